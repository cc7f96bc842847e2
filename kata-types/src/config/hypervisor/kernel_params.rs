//! Text of the guest kernel command line.
//!
//! Follows the kernel's own splitting (`lib/cmdline.c`, `next_arg`): parameters are separated by
//! white space outside double quotes.

use std::collections::HashSet;

/// `params`, then `old` if it is not empty, separated by one space.
pub(super) fn prepend(mut params: Vec<String>, old: &str) -> String {
    if !old.is_empty() {
        params.push(old.to_owned());
    }
    params.join(" ")
}

/// The parameters of `old` whose names do not occur in `new`, then those of `new`, all verbatim.
///
/// What is remembered are names of `old`, which is the operator's: `new` may be a pod's.
pub(super) fn replace(old: &str, new: &str) -> String {
    let known: HashSet<&str> = split(old).map(name).collect();
    let replaced: HashSet<&str> = split(new)
        .filter_map(|param| known.get(name(param)).copied())
        .collect();
    let kept = split(old).filter(|param| !replaced.contains(name(param)));

    let mut params = String::with_capacity(old.len().saturating_add(new.len()).saturating_add(1));
    for param in kept.chain(split(new)) {
        if !params.is_empty() {
            params.push(' ');
        }
        params.push_str(param);
    }
    params
}

/// Parameters of a command line. An unbalanced quote reaches to the end.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        if c == '"' {
            quoted = !quoted;
        }
        c.is_ascii_whitespace() && !quoted
    })
    .filter(|param| !param.is_empty())
}

/// Name of a parameter. The kernel also knows quotes around a whole parameter: `"name=a b"`.
fn name(param: &str) -> &str {
    let param = param.strip_prefix('"').unwrap_or(param);
    match param.split_once('=') {
        Some((name, _)) => name,
        None => param.strip_suffix('"').unwrap_or(param),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacement_by_name() {
        for (old, new, result) in [
            ("", "a", "a"),
            ("a b=1 c", "b=2", "a c b=2"),
            ("a a=1 a=2 b", "a", "b a"),
            ("a=1", "b=1 b=2 b", "a=1 b=1 b=2 b"),
            ("a=1", " ", "a=1"),
            ("  a=1   b  ", "c", "a=1 b c"),
            // D26
            ("foo= bar", "c", "foo= bar c"),
            ("a=1\tb=2\nc", "b=3", "a=1 c b=3"),
            (r#"a="x y" b"#, "b=1", r#"a="x y" b=1"#),
            (r#"a="x b=1" c"#, "b", r#"a="x b=1" c b"#),
            (r#""a=x y" c"#, "a=1", "c a=1"),
            (r#""a" c"#, "a=1", "c a=1"),
            (r#"a="x y"#, "b", r#"a="x y b"#),
            ("a=b=c", "a", "a"),
            ("=x", "=y", "=y"),
            ("Größe=1 ß", "ß=2", "Größe=1 ß=2"),
        ] {
            assert_eq!(replace(old, new), result, "{old:?} + {new:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_accepted_and_replacing_twice_is_replacing_once(
            old in "[ab=\" \t\\PC]{0,20}", new in "[ab= ]{0,20}",
        ) {
            let once = replace(&old, &new);
            // An unbalanced quote of the old text swallows what follows it.
            if old.matches('"').count() % 2 == 0 {
                proptest::prop_assert_eq!(replace(&once, &new), once);
            }
        }
    }
}
