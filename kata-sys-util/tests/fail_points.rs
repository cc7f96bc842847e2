//! The fail points of `mount`, which a build with the feature `failpoints` of `fail` can switch on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use fail::FailScenario;
use kata_sys_util::mount::{Error, Mounter, bind_mount_unchecked};
use kata_types::mount::Mount;
use nix::mount::MsFlags;

/// One test, as fail points are global.
#[test]
fn fail_points_come_before_anything_else() {
    let scenario = FailScenario::setup();
    // Without an action, nothing happens.
    let result = bind_mount_unchecked("", "", false, MsFlags::empty());
    assert!(matches!(result, Err(Error::NullMountPointPath)));

    fail::cfg("bind_mount", "return").unwrap();
    let result = bind_mount_unchecked("", "", false, MsFlags::empty());
    let Err(Error::FailureInject(text)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(text, "Bind mount fail point injection");

    let mount = Mount {
        options: vec!["loop".to_owned()],
        ..Mount::default()
    };
    let result = mount.mount("");
    assert!(matches!(result, Err(Error::InvalidMountOption(_))));
    fail::cfg("Mount::mount", "return").unwrap();
    let error = mount.mount("").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failure injection: Mount::mount() fail point injection"
    );
    scenario.teardown();
}
