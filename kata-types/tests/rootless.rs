//! Rootless mode. The flag and the environment belong to the process, hence one test in a binary of
//! its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod fixture;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use fixture::capture_log;
use kata_types::mount::{kata_direct_volume_root_path, kata_guest_sandbox_dir};
use kata_types::rootless::{is_rootless, prefix_with_rootless_dir, rootless_dir, set_rootless};

const VARIABLE: &str = "XDG_RUNTIME_DIR";

fn set(value: impl AsRef<OsStr>) {
    // SAFETY: this binary has one test, and its only other thread waits for it.
    unsafe { std::env::set_var(VARIABLE, value) };
}

fn unset() {
    // SAFETY: as in `set`.
    unsafe { std::env::remove_var(VARIABLE) };
}

#[test]
fn paths_follow_the_flag_and_the_environment() {
    assert!(!is_rootless());
    assert_eq!(prefix_with_rootless_dir("/run/kata"), "/run/kata");

    // Without a usable value: the directory of the effective user, and one error.
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let fallback = format!("/run/user/{uid}");
    let log = capture_log(|| {
        unset();
        assert_eq!(rootless_dir(), fallback);
        set("");
        assert_eq!(rootless_dir(), fallback);
        set(OsString::from_vec(vec![b'/', 0xff]));
        assert_eq!(rootless_dir(), fallback);
    });
    assert_eq!(log, ["ERRO XDG_RUNTIME_DIR is not set yet"]);

    // The fallback is not kept: what is set later counts.
    set("/run/user/1000");
    assert_eq!(rootless_dir(), "/run/user/1000");
    set("/tmp/other");
    assert_eq!(rootless_dir(), "/tmp/other");

    // Setting the variable alone changes no path.
    assert_eq!(kata_types::build_path("/run/kata"), "/run/kata");
    set_rootless(true);
    assert!(std::thread::spawn(is_rootless).join().unwrap());
    for (path, prefixed) in [
        ("/run/kata", "/tmp/other/run/kata"),
        ("run/kata", "/tmp/other/run/kata"),
        ("//etc", "/tmp/other/etc"),
        ("/run/kata/", "/tmp/other/run/kata"),
        ("/../etc", "/tmp/other/../etc"),
    ] {
        assert_eq!(kata_types::build_path(path), prefixed, "{path}");
        assert_eq!(prefix_with_rootless_dir(path), prefixed);
    }
    assert_eq!(
        kata_direct_volume_root_path(),
        "/tmp/other/run/kata-containers/shared/direct-volumes"
    );
    // A path in the guest has nothing to do with the host's user (D-18).
    assert_eq!(kata_guest_sandbox_dir(), "/run/kata-containers/sandbox");

    #[cfg(feature = "safe-path")]
    direct_volumes_live_below_the_rootless_directory();

    set_rootless(false);
    assert_eq!(kata_types::build_path("/run/kata"), "/run/kata");
}

#[cfg(feature = "safe-path")]
fn direct_volumes_live_below_the_rootless_directory() {
    use kata_types::mount::{
        DirectVolumeMountInfo, add_volume_mount_info, get_volume_mount_info, is_volume_mounted,
        remove_volume_path,
    };

    let dir = tempfile::tempdir().unwrap();
    set(dir.path());
    let info = DirectVolumeMountInfo {
        volume_type: "block".to_string(),
        ..Default::default()
    };
    assert!(!is_volume_mounted("/v"));
    remove_volume_path("/v").unwrap();
    add_volume_mount_info("/v", &info).unwrap();
    assert!(
        dir.path()
            .join("run/kata-containers/shared/direct-volumes/L3Y=/mountInfo.json")
            .is_file()
    );
    assert!(is_volume_mounted("/v"));
    assert_eq!(get_volume_mount_info("/v").unwrap(), info);
    remove_volume_path("/v").unwrap();
    assert!(!is_volume_mounted("/v"));
}
