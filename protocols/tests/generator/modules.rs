//! The generated modules, from small `.proto` files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::generator::stubs::snake_case;
use crate::generator::{INPUTS, Input, generate};

const INPUT: Input = Input {
    path: "small.proto",
    public: true,
    stubs: true,
};

/// The files generated from `small.proto` with this text, or the error.
fn try_generate(text: &str) -> Result<BTreeMap<String, String>, String> {
    let protos = tempfile::tempdir().unwrap();
    fs::write(protos.path().join(INPUT.path), text).unwrap();
    let out = tempfile::tempdir().unwrap();
    generate(&[INPUT], protos.path(), out.path()).map_err(|error| error.to_string())?;
    Ok(contents(out.path()))
}

fn contents(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn generated(declarations: &str) -> BTreeMap<String, String> {
    try_generate(&format!("syntax = \"proto3\";\npackage p;\n{declarations}")).unwrap()
}

/// The lines directly above the line that contains `item`, without the marks of the generator.
#[track_caller]
fn above(code: &str, item: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains(item));
    let at = at.unwrap_or_else(|| panic!("no {item} in\n{code}"));
    let above = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with(['/', '#']));
    let mut above: Vec<_> = above
        .filter(|l| !l.starts_with("// "))
        .map(|&l| l.to_owned())
        .collect();
    above.reverse();
    above
}

#[test]
fn comments_become_documentation() {
    let files = generated(
        "// The message.\nmessage M {\n\
           // The field. See <it>.\n//\n// More.\nstring f = 1;\n\
           M m = 2; // Inner.\n\
           // One of two.\noneof o {\n// First.\nint32 a = 3; string b = 4; }\n\
         }\n\
         // The enum.\nenum E {\n// Zero.\nZ = 0;\n}\n\
         // The service.\nservice S {\n// The method.\nrpc Get (M) returns (M); }",
    );
    let messages = &files["small.rs"];
    assert_eq!(above(messages, "pub struct M ")[0], "/// The message.");
    assert_eq!(
        above(messages, "pub f: "),
        [r"/// The field. See \<it>.", "///", "/// More."]
    );
    assert_eq!(above(messages, "pub o: "), ["/// One of two."]);
    assert_eq!(above(messages, "A(i32)"), ["/// First."]);
    assert_eq!(above(messages, "pub enum O ")[2], "/// One of two.");
    assert_eq!(above(messages, "pub enum E ")[1], "/// The enum.");
    assert_eq!(above(messages, "Z = 0"), ["/// Zero."]);
    assert_eq!(
        above(messages, "pub fn f("),
        [r"/// The field. See \<it>.", "///", "/// The value of `f`."]
    );
    let functions = [
        (
            "new(",
            "Returns the message with every field at its default.",
        ),
        ("clear_f(", "Sets `f` to its default."),
        ("set_f(", "Sets `f`."),
        ("mut_f(", "Gives write access to `f`."),
        ("take_f(", "Moves `f` out and leaves its default."),
        ("clear_m(", "Makes `m` absent."),
        ("has_m(", "Whether `m` is present."),
        (
            "mut_m(",
            "Gives write access to `m`, first set to its default if absent.",
        ),
        (
            "take_m(",
            "Moves `m` out, its default if absent, and leaves it absent.",
        ),
        ("clear_a(", "Unsets `o`, whichever member is set."),
        ("has_a(", "Whether `o` is set to `a`."),
        (
            "take_b(",
            "Moves `b` out, its default if absent, and leaves it absent.",
        ),
    ];
    for (function, text) in functions {
        assert_eq!(
            above(messages, &format!("pub fn {function}")),
            [format!("/// {text}")]
        );
    }

    for stub in ["small_ttrpc.rs", "small_ttrpc_async.rs"] {
        let stub = &files[stub];
        assert_eq!(above(stub, "pub struct SClient")[0], "/// The service.");
        assert_eq!(above(stub, "pub trait S")[0], "/// The service.");
        assert_eq!(above(stub, "fn get(&self, ctx: ")[0], "/// The method.");
        assert_eq!(above(stub, "fn get(&self, _ctx: ")[0], "/// The method.");
        assert!(above(stub, "pub fn create_s(")[0].starts_with("/// Returns `service`"));
    }
}

#[test]
fn missing_comments_are_left_to_the_lint() {
    let messages = &generated("message M { string f = 1; } enum E { Z = 0; }")["small.rs"];
    assert!(!messages.contains("missing_docs"), "{messages}");
    for item in ["pub struct M ", "pub f: ", "pub enum E ", "Z = 0"] {
        assert!(
            above(messages, item)
                .iter()
                .all(|line| !line.starts_with('/')),
            "{item}"
        );
    }
    assert_eq!(above(messages, "pub fn f("), ["/// The value of `f`."]);
}

#[test]
fn serde_attributes_are_conditional_and_fit_the_field() {
    let messages = &generated(
        "enum E { Z = 0; }\n\
         message M { string s = 1; M m = 2; repeated M ms = 3; E e = 4; repeated E es = 5;\n\
           optional E oe = 6; map<string, M> mm = 7; oneof o { M om = 8; } optional uint32 n = 9; }",
    )["small.rs"];
    let derive =
        r#"#[cfg_attr(feature = "with-serde", derive(::serde::Serialize, ::serde::Deserialize))]"#;
    let message = above(messages, "pub struct M ");
    assert_eq!(
        message[..2],
        [
            derive,
            r#"#[cfg_attr(feature = "with-serde", serde(default))]"#
        ]
    );
    assert!(
        above(messages, "pub enum E ")
            .iter()
            .any(|line| line == derive)
    );
    assert!(
        above(messages, "pub enum O ")
            .iter()
            .any(|line| line == derive)
    );
    for (field, form) in [
        ("m", "message_field"),
        ("e", "enum_or_unknown"),
        ("es", "repeated_enum"),
        ("oe", "optional_enum"),
    ] {
        let attribute = format!(
            "#[cfg_attr(feature = \"with-serde\", serde(serialize_with = \"crate::serialize_{form}\", \
             deserialize_with = \"crate::deserialize_{form}\"))]"
        );
        assert_eq!(above(messages, &format!("pub {field}: ")), [attribute]);
    }
    for field in ["s", "ms", "mm", "o", "n"] {
        assert!(
            above(messages, &format!("pub {field}: ")).is_empty(),
            "{field}"
        );
    }
    let special = above(messages, "pub special_fields: ");
    assert_eq!(
        special.last().unwrap(),
        r#"#[cfg_attr(feature = "with-serde", serde(skip))]"#
    );
}

#[test]
fn nested_messages_and_keywords_are_documented() {
    let messages = &generated(
        "message Outer {\n// Inner.\nmessage InnerOne {\n// Kind.\nstring type = 1; E e = 2;\n\
         // Enum.\nenum E {\n// Zero.\nZ = 0; } }\nInnerOne one = 1; }",
    )["small.rs"];
    assert!(messages.contains("pub mod outer {") && messages.contains("pub mod inner_one {"));
    assert_eq!(above(messages, "pub struct InnerOne ")[0], "/// Inner.");
    assert_eq!(above(messages, "pub type_: "), ["/// Kind."]);
    assert_eq!(above(messages, "pub fn type_(")[0], "/// Kind.");
    for function in ["clear_type_", "set_type", "mut_type", "take_type_"] {
        assert!(above(messages, &format!("pub fn {function}("))[0].contains("`type`"));
    }
    assert_eq!(above(messages, "Z = 0"), ["/// Zero."]);
}

#[test]
fn modules_are_declared_with_the_comment_of_the_file() {
    let files = try_generate(
        "// About <it>.\nsyntax = \"proto3\";\npackage p;\nmessage M {}\n\
         service S { rpc Get (M) returns (M); }",
    )
    .unwrap();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "mod.rs",
            "small.rs",
            "small_ttrpc.rs",
            "small_ttrpc_async.rs"
        ]
    );
    let modules = &files["mod.rs"];
    assert_eq!(above(modules, "pub mod small;")[0], r"/// About \<it>.");
    let gate = r#"#[cfg(feature = "async")]"#.to_owned();
    assert!(above(modules, "pub mod small_ttrpc_async;").contains(&gate));
    assert!(!above(modules, "pub mod small_ttrpc;").contains(&gate));
}

#[test]
fn generating_twice_gives_the_same_files() {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let run = || -> TempDir {
        let out = tempfile::tempdir().unwrap();
        generate(INPUTS, &protos, out.path()).unwrap();
        out
    };
    let (first, second) = (run(), run());
    let first = contents(first.path());
    // 11 message modules, two flavours of stubs for four of them, and their list.
    assert_eq!(first.len(), 11 + 2 * 4 + 1);
    assert!(first == contents(second.path()));
}

#[test]
fn errors_name_the_file() {
    let cases = [
        (
            "syntax = \"proto3\"; message M { string f = 1 }",
            "small.proto",
        ),
        ("syntax = \"proto3\"; message M { N n = 1; }", "small.proto"),
        (
            "syntax = \"proto3\"; import \"other.proto\";",
            "other.proto",
        ),
        (
            "syntax = \"proto3\"; package p; enum E { Z = 0; } message M { oneof o { E e = 1; } }",
            "small.proto: M.e: an enum in a oneof has no JSON form",
        ),
        (
            "syntax = \"proto3\"; package p; enum E { Z = 0; } message M { map<string, E> m = 1; }",
            "an enum in a map has no JSON form",
        ),
        (
            "syntax = \"proto3\"; package p; message M {} service S { rpc A (M) returns (stream M); }",
            "small.proto: p.S.A: streaming methods have no stubs",
        ),
    ];
    for (text, expected) in cases {
        let error = try_generate(text).unwrap_err();
        assert!(
            error.contains(expected),
            "{error}\ndoes not contain {expected}"
        );
    }
    let nowhere = tempfile::tempdir().unwrap();
    let error = generate(&[INPUT], nowhere.path(), nowhere.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("small.proto"), "{error}");
}

#[test]
fn method_names_become_snake_case() {
    for (name, expected) in [
        ("Check", "check"),
        ("CreateContainer", "create_container"),
        ("GetIPTables", "get_ip_tables"),
        ("AddARPNeighbors", "add_arp_neighbors"),
        ("OnlineCPUMem", "online_cpu_mem"),
        ("GetOOMEvent", "get_oom_event"),
        ("CreateVM", "create_vm"),
        ("already_Snake", "already_snake"),
    ] {
        assert_eq!(snake_case(name), expected);
    }
}
