//! The fail point `execute_hook`. Fail points are global, so this is the only test here.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::io::ErrorKind;

use kata_sys_util::hooks::{HookState, HookStates};
use oci_spec::runtime::HookBuilder;

#[test]
fn fail_point_fails_a_pending_hook_before_it_is_recorded() {
    let scenario = fail::FailScenario::setup();
    let hook = HookBuilder::default().path("/bin/true").build().unwrap();
    let mut states = HookStates::new();
    fail::cfg("execute_hook", "return").unwrap();

    let error = states.execute_hook(&hook, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(error.to_string(), "execute hook fail point injection");
    assert!(!states.should_retry());
    assert_eq!(states.failures().len(), 1);

    // A hook that is not pending does not get there.
    states.update(&hook, HookState::Ignored);
    states.execute_hook(&hook, None).unwrap();
    states.remove(&hook);

    fail::remove("execute_hook");
    states.execute_hook(&hook, None).unwrap();
    assert_eq!(states.get(&hook), HookState::Done);
    scenario.teardown();
}
