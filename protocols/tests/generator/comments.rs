//! Which comment belongs to which declaration.

use proptest::prelude::*;

use crate::generator::comments::{Comments, Kind, read};

/// Path and comment of each declaration.
fn comments(text: &str) -> Vec<(String, String)> {
    let found = read(text).unwrap().declarations.into_iter();
    found
        .map(|declaration| (declaration.path, declaration.comment))
        .collect()
}

fn check(text: &str, expected: &[(&str, &str)]) {
    let actual = comments(text);
    let actual: Vec<(&str, &str)> = actual
        .iter()
        .map(|(p, c)| (p.as_str(), c.as_str()))
        .collect();
    assert_eq!(actual, expected, "{text}");
}

#[test]
fn comment_above_belongs_to_the_declaration() {
    check(
        "package p;\n// One\n// line.\nmessage M {\n  // The field.\n  string f = 1;\n}\n",
        &[("p.M", "One\nline."), ("p.M.f", "The field.")],
    );
}

#[test]
fn comment_above_an_empty_line_belongs_to_nothing() {
    check(
        "message M {\n  // Detached.\n\n  string f = 1;\n}\n",
        &[("M", ""), ("M.f", "")],
    );
    check(
        "// Detached.\n\n// Attached.\nmessage M {}",
        &[("M", "Attached.")],
    );
}

#[test]
fn comment_behind_belongs_to_the_declaration_on_its_line() {
    check(
        "message M { // The message.\n  string f = 1; // The field.\n  string g = 2;\n}\n",
        &[("M", "The message."), ("M.f", "The field."), ("M.g", "")],
    );
}

#[test]
fn comments_above_and_behind_are_two_paragraphs() {
    check(
        "message M {\n  // Above.\n  string f = 1; // Behind.\n  // Next.\n  string g = 2;\n}\n",
        &[("M", ""), ("M.f", "Above.\n\nBehind."), ("M.g", "Next.")],
    );
}

#[test]
fn block_comments_lose_their_margin() {
    check("/* One. */\nmessage M {}", &[("M", "One.")]);
    check("/** One. */\nmessage M {}", &[("M", "One.")]);
    check(
        "/*\n * One,\n *   two.\n *\n * Three.\n */\nmessage M {}",
        &[("M", "One,\n  two.\n\nThree.")],
    );
    check("/* inline */ message M {}", &[("M", "inline")]);
}

#[test]
fn every_kind_of_declaration_is_found() {
    let text = r#"
syntax = "proto3"; // not; { a declaration }
package a.b;
import "x.proto";
option (o) = { k: "};" };
// message
message M {
  reserved 3, 4;
  option deprecated = true;
  map<string, int32> map = 1 [deprecated = true]; // map
  // nested
  message N { int32 n = 1; }
  // oneof
  oneof O {
    // member
    string s = 2;
  }
  // enum
  enum E { option allow_alias = true; A = 0; /* a */ option = 1; }
}
// extend
extend google.protobuf.FileOptions { optional bool x = 5000; // ext
}
// service
service S {
  // plain
  rpc A (M) returns (stream M);
  rpc B (M) returns (M) { option (o) = 1; } // body
  rpc C (M) returns (M) {};
}
"#;
    let found = read(text).unwrap().declarations;
    let found: Vec<_> = found
        .iter()
        .map(|d| (d.kind, d.path.as_str(), d.comment.as_str()))
        .collect();
    let expected = [
        (Kind::Message, "a.b.M", "message"),
        (Kind::Field, "a.b.M.map", "map"),
        (Kind::Message, "a.b.M.N", "nested"),
        (Kind::Field, "a.b.M.N.n", ""),
        (Kind::Oneof, "a.b.M.O", "oneof"),
        (Kind::Field, "a.b.M.s", "member"),
        (Kind::Enum, "a.b.M.E", "enum"),
        (Kind::EnumValue, "a.b.M.E.A", "a"),
        (Kind::EnumValue, "a.b.M.E.option", ""),
        (Kind::Extension, "a.b.x", "ext"),
        (Kind::Service, "a.b.S", "service"),
        (Kind::Method, "a.b.S.A", "plain"),
        (Kind::Method, "a.b.S.B", "body"),
        (Kind::Method, "a.b.S.C", ""),
    ];
    assert_eq!(found, expected);
}

#[test]
fn fields_may_be_called_like_keywords() {
    check(
        "message M { string message = 1; string option = 2; bool oneof = 3; string enum = 4; }",
        &[
            ("M", ""),
            ("M.message", ""),
            ("M.option", ""),
            ("M.oneof", ""),
            ("M.enum", ""),
        ],
    );
}

#[test]
fn file_comment_is_what_stands_above_the_first_statement_without_the_licence() {
    let file = |text: &str| read(text).unwrap().file;
    assert_eq!(
        file("// About.\n//\n// More.\nsyntax = \"proto3\";"),
        "About.\n\nMore."
    );
    assert_eq!(
        file(
            "// Copyright (c) Someone\n// SPDX-License-Identifier: X\n\n// About.\n\n// More.\n\nsyntax = \"proto3\";"
        ),
        "About.\n\nMore."
    );
    assert_eq!(
        file("// SPDX-License-Identifier: X\nsyntax = \"proto3\";"),
        ""
    );
    assert_eq!(file("syntax = \"proto3\";\n// Of nothing.\n"), "");
    assert_eq!(read("").unwrap(), Comments::default());
}

#[test]
fn lines_are_counted_from_one() {
    let found = read("\n/* two\nlines */\n\nmessage M {\n  string f\n = 1;\n}").unwrap();
    let lines: Vec<usize> = found.declarations.iter().map(|d| d.line).collect();
    assert_eq!(lines, [5, 6]);
}

#[test]
fn broken_files_are_errors_that_name_the_place() {
    let cases = [
        ("message M {", "end of file, expected `}`"),
        ("message M {\n  string f = 1", "end of file, expected `;`"),
        ("\n/* x", "line 2: comment without end"),
        ("option o = \"x\n\";", "line 1: string without end"),
        ("\nx y;", "line 2: `x` is not expected here"),
        ("}", "line 1: `}` is not expected here"),
        ("enum E { A; }", "line 1: `A` is not expected here"),
        (
            "service S { message M {} }",
            "line 1: `message` is not expected here",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in r#"(message|enum|oneof|rpc|option|[{}=;\[\]"'/*. \na-z0-9é]){0,60}"#) {
        let _any_result = read(&text);
    }
}
