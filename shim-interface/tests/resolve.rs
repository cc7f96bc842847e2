//! From an id or prefix to an address: the rules of `mgmt_socket_addr`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use shim_interface::shim_mgmt::{blocking, client};
use shim_interface::{
    Layout, SHIM_MGMT_SOCK_NAME, StorageError, StorageRoots, find_sandbox_in, list_sandboxes_in,
    mgmt_socket_addr, mgmt_socket_addr_in, sb_storage_path,
};
use test_utils::isolation::as_ordinary_user;
use test_utils::skip_if_not_root;

mod support;
use support::Tree;

const EMPTY: &str = "Empty sandbox id for acquiring socket address for shim_mgmt";
const INVALID: &str = "The short id contains invalid characters.";

/// A base directory, without symlinks in its path.
fn base() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    (dir, base)
}

fn address(base: &Path, id: &str) -> String {
    format!("unix://{}/{id}/{SHIM_MGMT_SOCK_NAME}", base.display())
}

fn make_dirs(base: &Path, ids: &[&str]) {
    for id in ids {
        fs::create_dir(base.join(id)).unwrap();
    }
}

fn not_found(prefix: &str) -> String {
    format!("sandbox with the provided prefix {prefix:?} is not found")
}

fn ambiguous(prefix: &str) -> String {
    format!(
        "more than one sandbox exists with the provided prefix {prefix:?}, \
         please provide a unique prefix"
    )
}

#[test]
fn the_vocabulary_is_fixed() {
    use shim_interface::shim_mgmt as m;
    assert_eq!(SHIM_MGMT_SOCK_NAME, "shim-monitor.sock");
    assert_eq!(sb_storage_path(), "/run/kata");
    for (constant, value) in [
        (m::DIRECT_VOLUME_PATH_KEY, "path"),
        (m::DIRECT_VOLUME_STATS_URL, "/direct-volume/stats"),
        (m::DIRECT_VOLUME_RESIZE_URL, "/direct-volume/resize"),
        (m::AGENT_URL, "/agent-url"),
        (m::IP_TABLE_URL, "/iptables"),
        (m::IP6_TABLE_URL, "/ip6tables"),
        (m::METRICS_URL, "/metrics"),
        (m::AGENT_POLICY_URL, "/policy"),
        (
            m::ERR_NO_SHIM_SERVER,
            "Failed to create shim management server",
        ),
    ] {
        assert_eq!(constant, value);
    }
}

#[test]
fn url_constants_are_match_patterns() {
    use shim_interface::shim_mgmt::{AGENT_URL, METRICS_URL};
    let name = |path: &str| match path {
        AGENT_URL => "agent",
        METRICS_URL => "metrics",
        _ => "other",
    };
    assert_eq!(
        ["/agent-url", "/metrics", "/"].map(name),
        ["agent", "metrics", "other"]
    );
}

#[test]
fn an_empty_id_is_an_error() {
    let (_dir, base) = base();
    assert_eq!(
        mgmt_socket_addr_in(&base, "").unwrap_err().to_string(),
        EMPTY
    );
    assert_eq!(mgmt_socket_addr("").unwrap_err().to_string(), EMPTY);
}

#[test]
fn an_invalid_id_is_an_error_whatever_exists() {
    let (_dir, base) = base();
    make_dirs(&base, &["a", "-ab", "é1", "sub"]);
    fs::create_dir(base.join("sub/x")).unwrap();
    for id in [
        "a", "-ab", "é1", ".", "..", "../x", "sub/x", "/etc", "a b", "ab\0", "ab\n",
    ] {
        for error in [
            anyhow::Error::from(mgmt_socket_addr_in(&base, id).unwrap_err()),
            mgmt_socket_addr(id).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), INVALID, "{id:?}");
            let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
            assert_eq!(causes[0], format!("invalid container ID {id}"));
            assert!(causes[1].starts_with("too short") || causes[1].starts_with("bad character"));
        }
    }
}

#[test]
fn a_complete_id_is_found_with_and_without_its_socket() {
    let (_dir, base) = base();
    make_dirs(&base, &["abc", "abc2", "abcd"]);
    assert_eq!(
        mgmt_socket_addr_in(&base, "abc").unwrap(),
        address(&base, "abc")
    );
    let _listener = UnixListener::bind(base.join("abc").join(SHIM_MGMT_SOCK_NAME)).unwrap();
    assert_eq!(
        mgmt_socket_addr_in(&base, "abc").unwrap(),
        address(&base, "abc")
    );
}

#[test]
fn a_unique_prefix_is_enough() {
    let (_dir, base) = base();
    make_dirs(&base, &["abc1", "xyz1"]);
    for prefix in ["ab", "abc", "abc1"] {
        assert_eq!(
            mgmt_socket_addr_in(&base, prefix).unwrap(),
            address(&base, "abc1")
        );
    }
}

#[test]
fn what_matches_nothing_is_not_found() {
    let (_dir, base) = base();
    make_dirs(&base, &["abc1"]);
    for id in ["abc12", "bc", "AB", &"a".repeat(300), &"a".repeat(5000)] {
        let error = mgmt_socket_addr_in(&base, id).unwrap_err();
        assert_eq!(error.to_string(), not_found(id));
        assert!(error.source().is_none());
    }
}

#[test]
fn an_ambiguous_prefix_names_the_candidates() {
    let (_dir, base) = base();
    make_dirs(&base, &["ab2", "ab1", "xy"]);
    let error = mgmt_socket_addr_in(&base, "ab").unwrap_err();
    assert_eq!(error.to_string(), ambiguous("ab"));
    assert_eq!(error.source().unwrap().to_string(), "it may be ab1, ab2");
    let StorageError::Ambiguous { matches, .. } = error else {
        panic!("{error:?}");
    };
    let ids: Vec<_> = matches.sandboxes().iter().map(|s| s.id()).collect();
    assert_eq!(ids, ["ab1", "ab2"]);

    for n in 10..22 {
        make_dirs(&base, &[&format!("ab-{n}")]);
    }
    let error = mgmt_socket_addr_in(&base, "ab").unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.starts_with("it may be ab-10, ab-11, "), "{cause}");
    assert!(cause.ends_with("ab-19 and 4 more"), "{cause}");
}

#[test]
fn only_directories_are_sandboxes() {
    let (_dir, base) = base();
    make_dirs(&base, &["abc1"]);
    fs::write(base.join("abc.log"), "").unwrap();
    fs::write(base.join("file"), "").unwrap();
    let (_elsewhere, target) = self::base();
    fs::write(target.join(SHIM_MGMT_SOCK_NAME), "").unwrap();
    symlink(&target, base.join("abc-link")).unwrap();
    symlink(&target, base.join("link")).unwrap();
    let _listener = UnixListener::bind(base.join("abcsock")).unwrap();

    assert_eq!(
        mgmt_socket_addr_in(&base, "abc").unwrap(),
        address(&base, "abc1")
    );
    for id in ["file", "link", "abc.log", "abcsock", "abc-link"] {
        let error = mgmt_socket_addr_in(&base, id).unwrap_err();
        assert_eq!(error.to_string(), not_found(id));
    }
}

#[test]
fn names_that_are_not_utf_8_are_skipped() {
    let (_dir, base) = base();
    make_dirs(&base, &["abc1"]);
    fs::create_dir(base.join(OsStr::from_bytes(b"abc\xff"))).unwrap();
    assert_eq!(
        mgmt_socket_addr_in(&base, "abc").unwrap(),
        address(&base, "abc1")
    );
}

#[test]
fn the_base_is_canonicalised() {
    let (_dir, base) = base();
    fs::create_dir_all(base.join("real/abc1")).unwrap();
    symlink("real", base.join("link")).unwrap();
    for spelling in ["link", "link/", "./real/../link/."] {
        let found = mgmt_socket_addr_in(base.join(spelling), "abc").unwrap();
        assert_eq!(found, address(&base.join("real"), "abc1"));
    }
}

#[test]
fn a_missing_base_means_that_nothing_is_found() {
    let (_dir, base) = base();
    let error = mgmt_socket_addr_in(base.join("missing"), "abc").unwrap_err();
    assert_eq!(error.to_string(), not_found("abc"));
    let cause: &io::Error = error.source().unwrap().downcast_ref().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::NotFound);

    let roots = StorageRoots::under(base.join("missing"));
    let error = find_sandbox_in(&roots, "abc").unwrap_err();
    assert_eq!(error.to_string(), not_found("abc"));
    assert!(error.source().is_some());
}

#[test]
fn a_base_that_leads_nowhere_is_an_error_of_its_own() {
    let (_dir, base) = base();
    symlink("loop", base.join("loop")).unwrap();
    let error = mgmt_socket_addr_in(base.join("loop"), "abc").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("failed to canonicalize path /"),
        "{error}"
    );

    fs::write(base.join("file"), "").unwrap();
    let error = mgmt_socket_addr_in(base.join("file"), "abc").unwrap_err();
    assert!(matches!(error, StorageError::Read { .. }), "{error:?}");
}

#[test]
fn a_base_that_is_not_utf_8_is_an_error() {
    let (_dir, base) = base();
    let base = base.join(OsStr::from_bytes(b"\xff"));
    fs::create_dir_all(base.join("abc1")).unwrap();
    let error = mgmt_socket_addr_in(&base, "abc").unwrap_err();
    assert!(matches!(error, StorageError::NotUtf8 { .. }), "{error:?}");
}

#[test]
fn an_unreadable_base_asks_for_root() {
    as_ordinary_user(|| {
        let (_dir, base) = base();
        make_dirs(&base, &["abc1"]);
        for (mode, id, is_found) in [
            (0o000, "abc1", false), // not even a complete id can be looked up
            (0o400, "abc1", false),
            (0o100, "abc1", true),
            (0o100, "abc", false), // no listing
        ] {
            fs::set_permissions(&base, Permissions::from_mode(mode)).unwrap();
            let result = mgmt_socket_addr_in(&base, id);
            if is_found {
                assert_eq!(result.unwrap(), address(&base, id));
                continue;
            }
            let error = result.unwrap_err();
            assert!(
                error.to_string().contains("root privileges are needed"),
                "{error}"
            );
            let cause: &io::Error = error.source().unwrap().downcast_ref().unwrap();
            assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
        }
        fs::set_permissions(&base, Permissions::from_mode(0o000)).unwrap();
        let error = mgmt_socket_addr_in(base.join("below"), "abc").unwrap_err();
        assert!(
            error.to_string().contains("root privileges are needed"),
            "{error}"
        );
        fs::set_permissions(&base, Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn an_unreadable_second_place_matters_only_without_an_answer_in_the_first() {
    as_ordinary_user(|| {
        let tree = Tree::new();
        tree.web();
        fs::set_permissions(&tree.roots.go, Permissions::from_mode(0o000)).unwrap();
        assert_eq!(find_sandbox_in(&tree.roots, "web-1").unwrap().id(), "web-1");
        assert_eq!(find_sandbox_in(&tree.roots, "we").unwrap().id(), "web-1");
        let error = find_sandbox_in(&tree.roots, "db").unwrap_err();
        assert!(
            matches!(error, StorageError::PermissionDenied { .. }),
            "{error:?}"
        );
        let error = list_sandboxes_in(&tree.roots).unwrap_err();
        assert!(
            matches!(error, StorageError::PermissionDenied { .. }),
            "{error:?}"
        );
        fs::set_permissions(&tree.roots.go, Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn sandboxes_of_both_runtimes_are_found() {
    let tree = Tree::new();
    make_dirs(&tree.roots.runtime_rs, &["rust-1"]);
    make_dirs(&tree.roots.go, &["go-1"]);
    for (prefix, id, layout, base) in [
        ("rust", "rust-1", Layout::RuntimeRs, &tree.roots.runtime_rs),
        ("go", "go-1", Layout::Go, &tree.roots.go),
        ("go-1", "go-1", Layout::Go, &tree.roots.go),
    ] {
        let found = find_sandbox_in(&tree.roots, prefix).unwrap();
        assert_eq!((found.id(), found.layout()), (id, layout));
        assert_eq!(found.address(), address(base, id));
    }
}

#[test]
fn one_missing_place_does_not_hide_the_other() {
    let tree = Tree::new();
    make_dirs(&tree.roots.go, &["go-1"]);
    fs::remove_dir(&tree.roots.runtime_rs).unwrap();
    assert_eq!(find_sandbox_in(&tree.roots, "go").unwrap().id(), "go-1");
}

#[test]
fn matches_of_both_runtimes_are_ambiguous() {
    let tree = Tree::new();
    make_dirs(&tree.roots.runtime_rs, &["ab-rust", "same"]);
    make_dirs(&tree.roots.go, &["ab-go", "same"]);
    for prefix in ["ab", "same", "sam"] {
        let error = find_sandbox_in(&tree.roots, prefix).unwrap_err();
        assert_eq!(error.to_string(), ambiguous(prefix));
        let cause = error.source().unwrap().to_string();
        for base in [&tree.roots.runtime_rs, &tree.roots.go] {
            assert!(cause.contains(&format!("{}/", base.display())), "{cause}");
        }
    }
}

#[test]
fn a_complete_id_wins_over_prefixes_in_the_other_runtime() {
    let tree = Tree::new();
    make_dirs(&tree.roots.runtime_rs, &["abc"]);
    make_dirs(&tree.roots.go, &["abc2", "abcd"]);
    assert_eq!(
        find_sandbox_in(&tree.roots, "abc").unwrap().layout(),
        Layout::RuntimeRs
    );
    assert_eq!(
        find_sandbox_in(&tree.roots, "abc2").unwrap().layout(),
        Layout::Go
    );
}

#[test]
fn two_names_of_one_directory_are_one_place() {
    let tree = Tree::new();
    fs::remove_dir(&tree.roots.go).unwrap();
    symlink(&tree.roots.runtime_rs, &tree.roots.go).unwrap();
    make_dirs(&tree.roots.runtime_rs, &["abc"]);
    assert_eq!(
        find_sandbox_in(&tree.roots, "abc").unwrap().layout(),
        Layout::RuntimeRs
    );
    assert_eq!(list_sandboxes_in(&tree.roots).unwrap().len(), 1);
}

#[test]
fn the_list_has_the_sandboxes_of_both_runtimes_and_nothing_else() {
    let tree = Tree::new();
    make_dirs(&tree.roots.runtime_rs, &["web-1", "x", "not an id"]);
    make_dirs(&tree.roots.go, &["db-1"]);
    fs::write(tree.roots.go.join("file"), "").unwrap();
    symlink("web-1", tree.roots.runtime_rs.join("link")).unwrap();
    let sandboxes = list_sandboxes_in(&tree.roots).unwrap();
    let found: Vec<_> = sandboxes.iter().map(|s| (s.id(), s.layout())).collect();
    assert_eq!(found, [("db-1", Layout::Go), ("web-1", Layout::RuntimeRs)]);
}

#[test]
fn a_client_reports_why_there_is_no_path() {
    let tree = Tree::new();
    for error in [
        client::MgmtClient::new_in(&tree.roots, "nothing", None)
            .err()
            .unwrap(),
        blocking::MgmtClient::new_in(&tree.roots, "nothing", None)
            .err()
            .unwrap(),
    ] {
        assert_eq!(error.to_string(), "Failed to get unix socket path");
        assert_eq!(
            error.chain().nth(1).unwrap().to_string(),
            not_found("nothing")
        );
        assert!(matches!(
            error.downcast_ref(),
            Some(StorageError::NotFound { .. })
        ));
    }
    assert_eq!(
        client::MgmtClient::new("", None)
            .err()
            .unwrap()
            .chain()
            .nth(1)
            .unwrap()
            .to_string(),
        EMPTY
    );
}

#[test]
fn the_real_directory_is_searched() {
    skip_if_not_root!();
    let base = Path::new(sb_storage_path());
    let existed = base.exists();
    let id = format!("shim-interface-test-{}", std::process::id());
    fs::create_dir_all(base.join(&id)).unwrap();
    let by_id = mgmt_socket_addr(&id);
    let by_prefix = mgmt_socket_addr(id.strip_suffix(char::is_numeric).unwrap());
    let client = client::MgmtClient::new(&id, None);
    fs::remove_dir(base.join(&id)).unwrap();
    if !existed {
        let _ = fs::remove_dir(base); // fails if somebody else has begun to use it
    }
    let expected = format!("unix:///run/kata/{id}/shim-monitor.sock");
    assert_eq!(by_id.unwrap(), expected);
    assert_eq!(by_prefix.unwrap(), expected);
    assert_eq!(client.unwrap().sandbox().address(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_set_of_names_follows_the_rules(
        dirs in proptest::collection::btree_set("[ab][ab.-]{1,3}", 0..6),
        files in proptest::collection::btree_set("[ab][ab.-]{1,3}", 0..3),
        sought in "[ab][ab.-]{1,3}",
    ) {
        let (_dir, base) = base();
        for id in &dirs {
            fs::create_dir(base.join(id)).unwrap();
        }
        for name in files.difference(&dirs) {
            fs::write(base.join(name), "").unwrap();
        }
        let matches: BTreeSet<&String> = dirs.iter().filter(|id| id.starts_with(&sought)).collect();
        let result = mgmt_socket_addr_in(&base, &sought).map_err(|error| error.to_string());
        let expected = if dirs.contains(&sought) {
            Ok(address(&base, &sought))
        } else if let Some(id) = matches.first() && matches.len() == 1 {
            Ok(address(&base, id))
        } else if matches.is_empty() {
            Err(not_found(&sought))
        } else {
            Err(ambiguous(&sought))
        };
        prop_assert_eq!(result, expected);
    }

    #[test]
    fn no_id_leaves_the_base_or_panics(id in "\\PC{0,6}|[./a-]{0,8}|[\\x00-\\x7f]{0,4}") {
        let (_dir, base) = base();
        fs::create_dir_all(base.join("aa")).unwrap();
        if let Ok(found) = mgmt_socket_addr_in(&base, &id) {
            prop_assert_eq!(found, address(&base, "aa"));
        }
        let _ = mgmt_socket_addr(&id);
    }
}
