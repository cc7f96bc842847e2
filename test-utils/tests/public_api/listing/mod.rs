//! The public API of a crate as lines of text, read from its sources.
//!
//! Sources, not `rustdoc`'s JSON: that format belongs to one version of an unstable toolchain, and
//! making it means to build everything once more. What is lost: auto traits, and what macros write.
//! The call of a macro is listed instead, as it stands.

mod attributes;
mod lines;
mod macros;
mod names;
mod signature;
mod source;
mod text;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// With this variable set to `1`, the listings are written instead of compared.
const UPDATE: &str = "UPDATE_API";

/// The public API of the crate in `sources`, its `src` folder. `out_dir` is where its build script
/// writes.
pub(crate) fn list(name: &str, sources: &Path, out_dir: Option<&Path>) -> String {
    let mut text = format!("# The public API of `{name}`. To change it: {}\n", update());
    for line in lines::list(&source::read(name, sources, out_dir)) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Compares the public API of a crate with the committed `listing`, or writes that.
pub(crate) fn check(name: &str, sources: &Path, out_dir: Option<&Path>, listing: &Path) {
    let text = list(name, sources, out_dir);
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        fs::write(listing, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(listing)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", listing.display(), update()));
    let difference = difference(&committed, &text);
    assert!(
        difference.is_empty(),
        "the public API of `{name}` is not that of {} (-):\n{difference}\
         If this is intended, say so in CHANGELOG.md and run: {}",
        listing.display(),
        update()
    );
}

fn update() -> String {
    format!("{UPDATE}=1 cargo test --workspace --all-features --test public_api")
}

/// The lines that only one of two sorted texts has.
pub(crate) fn difference(old: &str, new: &str) -> String {
    let mut difference = String::new();
    let (mut olds, mut news) = (old.lines().peekable(), new.lines().peekable());
    while let Some((sign, line)) = match (olds.peek(), news.peek()) {
        (Some(a), Some(b)) if a == b => {
            olds.next();
            news.next().map(|line| (' ', line))
        }
        (Some(a), b) if b.is_none() || !new.lines().any(|line| line == *a) => {
            olds.next().map(|line| ('-', line))
        }
        (_, Some(_)) => news.next().map(|line| ('+', line)),
        (_, None) => olds.next().map(|line| ('-', line)),
    } {
        if sign != ' ' {
            writeln!(difference, "{sign} {line}").unwrap();
        }
    }
    difference
}
