//! The public API of this crate, the generated modules included, is the one that is listed in
//! `api/protocols.txt`; see `test-utils/tests/public_api`, which does the same for the other crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::path::Path;

#[path = "../../test-utils/tests/public_api/listing/mod.rs"]
mod listing;

#[test]
fn protocols_has_the_listed_api() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listing = folder.parent().unwrap().join("api/protocols.txt");
    let out_dir = Path::new(env!("OUT_DIR"));
    listing::check("protocols", &folder.join("src"), Some(out_dir), &listing);
}
