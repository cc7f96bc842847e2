//! The remote hypervisor has no local network; the others have the one that is configured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod fixture;

use fixture::{apply, capture_log, warnings};
use kata_types::config::TomlConfig;

/// A configuration with both kinds of hypervisors, adjusted.
fn config(active: &str, network: &str) -> TomlConfig {
    let mut config: TomlConfig = toml::from_str(&format!(
        "[hypervisor.remote]
         hypervisor_socket = '/dev/null'
         [hypervisor.qemu]
         path = '/dev/null'
         kernel = '/dev/null'
         [agent.kata]
         [runtime]
         name = 'virt_container'
         hypervisor_name = '{active}'
         agent_name = 'kata'
         {network}"
    ))
    .unwrap();
    config.adjust_config().unwrap();
    config
}

const LOCAL: &str = "internetworking_model = 'macvtap'\ndisable_new_netns = true";

fn network(config: &TomlConfig) -> (&str, bool) {
    let runtime = &config.runtime;
    (&runtime.internetworking_model, runtime.disable_new_netns)
}

#[test]
fn a_pod_that_leaves_the_remote_hypervisor_gets_the_configured_network() {
    for (configured, expected) in [
        (LOCAL, ("macvtap", true)),
        ("internetworking_model = 'macvtap'", ("macvtap", false)),
        ("disable_new_netns = true", ("tcfilter", true)),
        ("internetworking_model = 'none'", ("none", false)),
        ("", ("tcfilter", false)),
    ] {
        let mut config = config("remote", configured);
        config.adjust_config().unwrap();
        assert_eq!(network(&config), ("none", false), "{configured}");
        let mut pod = config.clone();
        apply(&mut pod, &[("runtime.hypervisor_name", "qemu")]).unwrap();
        assert_eq!(network(&pod), expected, "{configured}");
        assert_eq!(network(&config), ("none", false), "{configured}");

        // And back, and again.
        apply(&mut pod, &[("runtime.hypervisor_name", "remote")]).unwrap();
        assert_eq!(network(&pod), ("none", false), "{configured}");
        apply(&mut pod, &[("runtime.hypervisor_name", "qemu")]).unwrap();
        assert_eq!(network(&pod), expected, "{configured}");
    }
}

#[test]
fn what_the_pod_says_about_its_network_wins() {
    let mut pod = config("remote", LOCAL);
    apply(
        &mut pod,
        &[
            ("runtime.hypervisor_name", "qemu"),
            ("runtime.internetworking_model", "none"),
            ("runtime.disable_new_netns", "false"),
        ],
    )
    .unwrap();
    assert_eq!(network(&pod), ("none", false));
    pod.adjust_config().unwrap();
    assert_eq!(network(&pod), ("none", false));

    let mut pod = config("remote", LOCAL);
    apply(&mut pod, &[("runtime.internetworking_model", "tcfilter")]).unwrap();
    assert_eq!(network(&pod), ("none", false));
}

#[test]
fn a_failed_change_leaves_the_network_as_it_was() {
    let mut config = config("remote", LOCAL);
    let annotations = [
        ("runtime.hypervisor_name", "qemu"),
        ("runtime.disable_new_netns", "perhaps"),
    ];
    apply(&mut config, &annotations).unwrap_err();
    assert_eq!(network(&config), ("none", false));
    apply(&mut config, &[("runtime.hypervisor_name", "qemu")]).unwrap();
    assert_eq!(network(&config), ("macvtap", true));
}

#[test]
fn the_hypervisor_may_also_be_changed_by_hand() {
    let mut config = config("remote", LOCAL);
    config.runtime.hypervisor_name = "qemu".to_owned();
    let log = capture_log(|| config.adjust_config().unwrap());
    assert_eq!(network(&config), ("macvtap", true));
    assert_eq!(warnings(&log).len(), 2, "{log:?}");
    config.adjust_config().unwrap();
    assert_eq!(network(&config), ("macvtap", true));
}

#[test]
fn only_the_effective_network_is_written() {
    let value = serde_json::to_value(config("remote", LOCAL)).unwrap();
    let plain = serde_json::to_value(TomlConfig::default()).unwrap();
    let keys = |value: &serde_json::Value| {
        let runtime = value["runtime"].as_object().unwrap();
        runtime.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&value), keys(&plain));
    let mut read: TomlConfig = serde_json::from_value(value).unwrap();
    read.adjust_config().unwrap();
    assert_eq!(network(&read), ("none", false));
}
