//! The public API of each crate is the one that is listed in `api/`: to change it is a decision, not
//! an accident. A change that is meant is written down by
//! `UPDATE_API=1 cargo test --workspace --all-features --test public_api`.
//!
//! `protocols`, whose modules are generated, is compared by a test of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::path::Path;

mod listing;

fn check(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let listing = root.join("api").join(format!("{name}.txt"));
    listing::check(name, &root.join(name).join("src"), None, &listing);
}

macro_rules! crates {
    ($($test:ident $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                check($name);
            }
        )*
    };
}

crates! {
    kata_sys_util_has_the_listed_api "kata-sys-util";
    kata_types_has_the_listed_api "kata-types";
    logging_has_the_listed_api "logging";
    mem_agent_has_the_listed_api "mem-agent";
    runtime_spec_has_the_listed_api "runtime-spec";
    safe_path_has_the_listed_api "safe-path";
    shim_interface_has_the_listed_api "shim-interface";
    test_utils_has_the_listed_api "test-utils";
}

/// A crate with every kind of item, and what users see of it.
const SOURCES: [(&str, &str); 3] = [
    (
        "lib.rs",
        "mod inner;\n\
         pub mod outer;\n\
         pub use inner::{Renamed as Shown, free};\n\
         pub use std::io::Error as IoError;\n\
         #[macro_export]\n\
         macro_rules! twice { ($e:expr) => { $e }; () => { 0 }; }\n\
         #[cfg(test)]\n\
         mod tests { pub fn unseen() {} }\n\
         fn private() {}",
    ),
    (
        "inner.rs",
        "use std::{fmt, path::Path};\n\
         #[derive(Clone, Debug)]\n\
         #[non_exhaustive]\n\
         pub struct Renamed<'a, T: Copy = u8> { pub shown: &'a [T], hidden: u8 }\n\
         impl<T: Copy> Renamed<'_, T> {\n\
             pub const N: u8 = 3;\n\
             #[must_use]\n\
             pub fn with(mut self, f: impl Fn(&Path) -> Option<Hidden>) -> Self { self }\n\
             pub(crate) fn private(&self) {}\n\
         }\n\
         impl<T: Copy> fmt::Display for Renamed<'_, T> {}\n\
         struct Hidden;\n\
         impl Clone for Hidden {}\n\
         pub struct NotExported;\n\
         pub async fn free(_: &mut Renamed<'_>) -> fmt::Result { Ok(()) }",
    ),
    (
        "outer/mod.rs",
        "use crate::Shown;\n\
         pub enum E { Unit = 3, Tuple(u8, Shown<'static>), Named { a: u8 } }\n\
         pub trait T: Send { type A: Copy; fn must(&self); fn may(&self) {} }\n\
         impl T for E { type A = u8; }\n\
         pub const C: &str = \"text\";\n\
         pub type R<X> = Result<X, E>;\n\
         lazy_static::lazy_static! { pub static ref S: Vec<u8> = vec![]; }",
    ),
];

const LISTING: &str = "\
pub use std::io::Error as a_b::IoError
pub async fn a_b::free(_: &mut a_b::Shown<'_>) -> std::fmt::Result
#[non_exhaustive] pub struct a_b::Shown<'a, T: Copy = u8> { .. }
impl Clone for a_b::Shown
impl Debug for a_b::Shown
impl<T: Copy> Display for a_b::Shown<'_, T>
pub const a_b::Shown<'_, T>::N: u8 = 3
pub a_b::Shown::shown: &'a [T]
#[must_use] pub fn a_b::Shown<'_, T>::with(self, f: impl Fn(&std::path::Path) -> Option<a_b::inner::Hidden>) -> Self
macro a_b::twice!()
macro a_b::twice!($e: expr)
pub mod a_b::outer
pub const a_b::outer::C: &str = \"text\"
pub enum a_b::outer::E
impl a_b::outer::T for a_b::outer::E
type <a_b::outer::E as a_b::outer::T>::A = u8
a_b::outer::E::Named { a: u8 }
a_b::outer::E::Tuple(u8, a_b::Shown<'static>)
a_b::outer::E::Unit = 3
pub type a_b::outer::R<X> = Result<X, a_b::outer::E>
pub static a_b::outer::S: lazy_static::Lazy<Vec<u8>>
pub trait a_b::outer::T: Send
type a_b::outer::T::A: Copy
fn a_b::outer::T::may(&self) { .. }
fn a_b::outer::T::must(&self)
";

#[test]
fn a_listing_has_what_users_can_name_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("outer")).unwrap();
    for (file, text) in SOURCES {
        fs::write(dir.path().join(file), text).unwrap();
    }
    let listing = listing::list("a-b", dir.path(), None);
    let mut lines: Vec<&str> = listing.lines().skip(1).collect();
    lines.sort_unstable();
    let mut expected: Vec<&str> = LISTING.lines().collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn a_difference_shows_what_came_and_went() {
    for (old, new, shown) in [
        ("a\nb\n", "a\nb\n", ""),
        ("a\nb\n", "a\nc\n", "- b\n+ c\n"),
        ("", "a\n", "+ a\n"),
        ("a\n", "", "- a\n"),
        ("a\nc\nd\n", "b\nc\n", "- a\n+ b\n- d\n"),
    ] {
        assert_eq!(listing::difference(old, new), shown, "{old:?} {new:?}");
    }
}

#[test]
fn a_listing_that_is_not_the_committed_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lib.rs"), "pub fn b() {}").unwrap();
    let committed = dir.path().join("a.txt");
    let check = || listing::check("a", dir.path(), None, &committed);
    let message = |result: std::thread::Result<()>| -> String {
        *result.unwrap_err().downcast::<String>().unwrap()
    };
    if std::env::var_os("UPDATE_API").is_some() {
        return; // then it is written
    }
    assert!(message(std::panic::catch_unwind(check)).contains("a.txt"));
    fs::write(&committed, listing::list("a", dir.path(), None)).unwrap();
    check();
    fs::write(dir.path().join("lib.rs"), "pub fn c() {}").unwrap();
    let message = message(std::panic::catch_unwind(check));
    assert!(
        message.contains("- pub fn a::b()\n+ pub fn a::c()\n"),
        "{message}"
    );
}
