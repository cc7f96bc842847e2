//! `SECURITY.md` names the tests that show what it promises: they exist.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

#[test]
fn the_files_that_the_security_policy_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let policy = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let code = policy.split('`').skip(1).step_by(2);
    let mut files = 0;
    for path in code.filter(|text| text.ends_with(".rs")) {
        assert!(root.join(path).is_file(), "{path}");
        files += 1;
    }
    assert!(files > 40, "{files}");
}
