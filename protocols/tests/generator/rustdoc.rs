//! Comments as Markdown.

use proptest::prelude::*;

use crate::generator::rustdoc::{check as check_links, lines, summary};

#[track_caller]
fn check(comment: &str, expected: &[&str]) {
    assert_eq!(lines(comment), expected, "{comment}");
}

#[test]
fn accidental_markup_is_escaped() {
    check("a <b> [c] d*e ~f~ g\\h", &[r"a \<b> \[c\] d\*e \~f\~ g\\h"]);
    check(
        "memory.* and cpu.*, 2*3*4, *.a or *.b",
        &[r"memory.\* and cpu.\*, 2\*3\*4, \*.a or \*.b"],
    );
    check(
        "snake_case _private 5_ __init__",
        &[r"snake_case \_private 5\_ \_\_init\_\_"],
    );
    check("> quoted", &[r"\> quoted"]);
}

#[test]
fn code_spans_stay_as_they_are() {
    check("`<a> [b] *` and <c>", &[r"`<a> [b] *` and \<c>"]);
    check("`over\ntwo <lines>` <c>", &["`over", r"two <lines>` \<c>"]);
    check("lone ` <tick>", &[r"lone \` \<tick>"]);
}

#[test]
fn emphasis_is_kept() {
    check("A *pod sandbox* and *x*.", &["A *pod sandbox* and *x*."]);
}

#[test]
fn addresses_become_links() {
    check(
        "See https://example.com/a_b?c=[d]. (http://x.org/y), https://z.org/(w)",
        &["See <https://example.com/a_b?c=[d]>. (<http://x.org/y>), <https://z.org/(w)>"],
    );
    check(
        "[text](https://example.com/a_b) [x] (y)",
        &[r"[text](https://example.com/a_b) \[x\] (y)"],
    );
    check("`https://example.com`", &["`https://example.com`"]);
    check("xhttps://example.com", &["xhttps://example.com"]);
}

#[test]
fn label_of_a_link_stands_on_one_line() {
    for comment in [
        "",
        "[a]",
        "[a [b](https://c.d) and [e](http://f.g)\n[h\ni]",
        "see\n[a](https://b.c)",
    ] {
        assert_eq!(check_links(comment), Ok(()), "{comment}");
    }
    for comment in ["[a\nb](https://c.d)", "[a](https://b.c) [d] e](http://f.g)"] {
        let error = check_links(comment).unwrap_err();
        let line = comment.lines().last().unwrap();
        assert!(
            error.contains("one line") && error.contains(line),
            "{error}"
        );
    }
}

#[test]
fn paragraphs_and_lists_are_kept() {
    check("One\ntwo.\n\n\nThree.\n", &["One", "two.", "", "Three."]);
    check("* a\n  b\n- c\n+ d", &["- a", "  b", "- c", "- d"]);
}

#[test]
fn indented_text_is_no_code_block() {
    check("a\n\n      b", &["a", "", "   b"]);
}

#[test]
fn fenced_blocks_are_text_unless_they_name_a_language() {
    check(
        "```\n<a>\n\n    *b*\n```",
        &["```text", "<a>", "", "    *b*", "```"],
    );
    check("```json\n{}\n```", &["```json", "{}", "```"]);
    check("```\nopen", &["```text", "open", "```"]);
}

#[test]
fn nothing_gives_nothing() {
    check("", &[]);
    check(" \n\n", &[]);
    assert_eq!(summary(""), "");
}

#[test]
fn summary_is_the_first_paragraph_on_one_line() {
    assert_eq!(summary("One\n  two <b>.\n\nThree."), r"One two \<b>.");
}

proptest! {
    #[test]
    fn no_comment_makes_a_code_block_or_a_panic(comment in r"([`<>\[\]()*_~#\\a-z:/.é -]|https://|    |\n){0,80}") {
        let lines = lines(&comment);
        let mut fenced = false;
        for line in &lines {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            prop_assert!(fenced || !line.starts_with("    "), "{lines:?}");
        }
        prop_assert!(!fenced);
        prop_assert!(!summary(&comment).contains('\n'));
    }
}
