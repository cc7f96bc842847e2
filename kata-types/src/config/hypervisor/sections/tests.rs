//! Sections together with their plugins.

use super::*;
use crate::config::adjust::AdjustNote;
use crate::config::diagnostics::DiagnosticKind;
use crate::config::hypervisor::register_hypervisor_plugin;

const CPUS: u32 = 64;

/// A section that any plugin can adjust.
fn section() -> Hypervisor {
    let mut hv = Hypervisor {
        path: "/dev/null".into(),
        ..Default::default()
    };
    hv.boot_info.kernel = "/dev/null".into();
    hv.boot_info.image = "/dev/null".into();
    hv.remote_info.hypervisor_socket = "/dev/null".into();
    hv
}

fn config(active: &str, sections: &[(&str, Hypervisor)]) -> TomlConfig {
    let mut conf = TomlConfig::default();
    for (name, hv) in sections {
        conf.hypervisor.insert((*name).to_owned(), hv.clone());
    }
    conf.runtime.hypervisor_name = active.to_owned();
    conf
}

struct Outcome {
    result: Result<(), (String, String)>,
    notes: Vec<AdjustNote>,
}

fn adjust(conf: &mut TomlConfig) -> Outcome {
    let mut report = AdjustReport::default();
    let result = conf.adjust_on(&Host::with(CPUS, 4096), &mut report);
    Outcome {
        result: result.map_err(|e| (report.failed_key.unwrap_or_default(), e.to_string())),
        notes: report.notes,
    }
}

fn validate(conf: &TomlConfig) -> Outcome {
    let mut report = AdjustReport::default();
    let result = conf.validate_on(&Host::with(CPUS, 4096), &mut report);
    Outcome {
        result: result.map_err(|e| (report.failed_key.unwrap_or_default(), e.to_string())),
        notes: report.notes,
    }
}

fn error(key: &str, text: &str) -> Result<(), (String, String)> {
    Err((key.to_owned(), text.to_owned()))
}

#[test]
fn default_maxvcpus_respects_the_hypervisor() {
    for (name, configured, adjusted) in [
        ("firecracker", 0, 32),
        ("firecracker", 100, 32),
        ("firecracker", 40, 40),
        ("qemu", 0, CPUS),
        ("remote", 0, CPUS),
        ("remote", 100, CPUS),
    ] {
        let mut hv = section();
        hv.cpu_info.default_maxvcpus = configured;
        let mut conf = config(name, &[(name, hv)]);
        adjust(&mut conf).result.unwrap();
        assert_eq!(conf.hypervisor[name].cpu_info.default_maxvcpus, adjusted);
    }
    let mut hv = section();
    hv.cpu_info.default_maxvcpus = 40;
    let mut conf = config("firecracker", &[("firecracker", hv)]);
    adjust(&mut conf).result.unwrap();
    assert_eq!(
        validate(&conf).result,
        error(
            "hypervisor.firecracker.default_maxvcpus",
            "Firecracker hypervisor can not support 40 vCPUs"
        )
    );
}

#[test]
fn dragonball_keeps_its_vcpus_without_a_maximum() {
    let mut hv = section();
    hv.path.clear();
    hv.cpu_info.default_vcpus = 4.0;
    let mut conf = config("dragonball", &[("dragonball", hv)]);
    for _ in 0..2 {
        let outcome = adjust(&mut conf);
        outcome.result.unwrap();
        assert_eq!(outcome.notes, []);
        let cpu = &conf.hypervisor["dragonball"].cpu_info;
        assert_eq!((cpu.default_vcpus, cpu.default_maxvcpus), (4.0, CPUS));
    }
    validate(&conf).result.unwrap();
}

#[test]
fn infinite_vcpus_are_an_error_for_every_hypervisor() {
    for name in ["qemu", "clh", "dragonball", "firecracker", "remote"] {
        for vcpus in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut hv = section();
            hv.cpu_info.default_vcpus = vcpus;
            let mut conf = config(name, &[(name, hv)]);
            let (key, text) = adjust(&mut conf).result.unwrap_err();
            assert_eq!(key, format!("hypervisor.{name}.default_vcpus"));
            assert!(text.contains("default_vcpus"), "{text}");
        }
    }
}

#[test]
fn a_default_kernel_is_not_looked_for_in_the_current_directory() {
    for (name, default) in [
        ("qemu", "vmlinuz"),
        ("clh", "vmlinuz"),
        ("dragonball", "vmlinuz"),
        ("firecracker", "vmlinux"),
    ] {
        let mut hv = section();
        hv.boot_info.kernel.clear();
        let mut conf = config(name, &[(name, hv)]);
        // Not even the second time.
        for _ in 0..2 {
            assert_eq!(
                adjust(&mut conf).result,
                error(
                    &format!("hypervisor.{name}.kernel"),
                    &format!(
                        "guest kernel image is not configured (key \"kernel\"): the default \
                         {default} is not looked for in the current directory"
                    )
                )
            );
        }
    }
    let mut hv = section();
    hv.boot_info.kernel.clear();
    adjust(&mut config("remote", &[("remote", hv)]))
        .result
        .unwrap();
}

#[test]
fn an_explicit_relative_kernel_is_looked_for_in_the_current_directory() {
    let mut hv = section();
    hv.boot_info.kernel = ".".into();
    let mut conf = config("qemu", &[("qemu", hv)]);
    adjust(&mut conf).result.unwrap();
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(
        conf.hypervisor["qemu"].boot_info.kernel,
        here.to_str().unwrap()
    );
}

#[test]
fn errors_of_inactive_sections_are_notes_and_leave_the_section_alone() {
    let mut broken = section();
    broken.path = "/missing".into();
    broken.device_info.default_bridges = 99;
    let mut conf = config(
        "qemu",
        &[
            ("qemu", section()),
            ("clh", broken.clone()),
            ("unheard-of", section()),
        ],
    );
    let outcome = adjust(&mut conf);
    outcome.result.unwrap();
    let expected = [
        (
            "hypervisor.clh.path",
            "the section is not in use and has an error: CH binary path `/missing` is \
             invalid: No such file or directory (os error 2)",
        ),
        (
            "hypervisor.unheard-of",
            "the section is not in use and has an error: Can not find plugin for hypervisor \
             unheard-of",
        ),
    ];
    let found: Vec<_> = outcome
        .notes
        .iter()
        .map(|note| {
            assert_eq!(note.kind, DiagnosticKind::InactiveSection);
            (note.key.as_str(), note.message.as_str())
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(
        serde_json::to_value(&conf.hypervisor["clh"]).unwrap(),
        serde_json::to_value(&broken).unwrap()
    );

    let outcome = validate(&conf);
    outcome.result.unwrap();
    assert_eq!(outcome.notes.len(), 2);
    assert_eq!(outcome.notes[0].key, "hypervisor.clh.path");
}

#[test]
fn the_active_section_is_strict() {
    let mut broken = section();
    broken.path = "/missing".into();
    let mut conf = config("clh", &[("qemu", section()), ("clh", broken)]);
    assert_eq!(
        adjust(&mut conf).result,
        error(
            "hypervisor.clh.path",
            "CH binary path `/missing` is invalid: No such file or directory (os error 2)"
        )
    );
    let mut conf = config(
        "unheard-of",
        &[("qemu", section()), ("unheard-of", section())],
    );
    let no_plugin = error(
        "hypervisor.unheard-of",
        "Can not find plugin for hypervisor unheard-of",
    );
    assert_eq!(adjust(&mut conf).result, no_plugin);
    assert_eq!(validate(&conf).result, no_plugin);
}

#[test]
fn without_an_active_section_all_are_strict_and_the_first_name_is_reported() {
    for active in ["", "nothing"] {
        for _ in 0..8 {
            let mut broken = section();
            broken.path = "/missing".into();
            let mut conf = config(
                active,
                &[
                    ("qemu", broken.clone()),
                    ("clh", broken),
                    ("dragonball", section()),
                ],
            );
            let (key, _) = adjust(&mut conf).result.unwrap_err();
            assert_eq!(key, "hypervisor.clh.path");
            let (key, _) = validate(&conf).result.unwrap_err();
            assert_eq!(key, "hypervisor.clh.path");
        }
    }
}

#[test]
fn the_common_layer_reports_keys_and_texts() {
    type Change = fn(&mut Hypervisor);
    let cases: [(Change, &str, &str); 5] = [
        (
            |hv| hv.prefetch_list_path = "/missing".into(),
            "prefetch_list_path",
            "prefetch_list_path `/missing` is invalid",
        ),
        (
            |hv| hv.boot_info.image = "/missing".into(),
            "image",
            "guest boot image file /missing is invalid",
        ),
        (
            |hv| hv.machine_info.entropy_source = "/missing".into(),
            "entropy_source",
            "Entropy source /missing is invalid",
        ),
        (
            |hv| hv.memory_info.file_mem_backend = "/missing".into(),
            "file_mem_backend",
            "Memory backend file /missing is invalid",
        ),
        (
            |hv| {
                hv.shared_fs.shared_fs = Some("virtio-fs".into());
                hv.shared_fs.virtio_fs_daemon = "/missing".into();
            },
            "virtio_fs_daemon",
            "Virtio-fs daemon path /missing is invalid",
        ),
    ];
    for (change, key, text) in cases {
        let mut hv = section();
        change(&mut hv);
        let mut conf = config("qemu", &[("qemu", hv)]);
        assert_eq!(
            adjust(&mut conf).result,
            error(
                &format!("hypervisor.qemu.{key}"),
                &format!("{text}: No such file or directory (os error 2)")
            )
        );
    }
}

#[test]
fn paths_of_the_section_must_exist_whatever_the_plugin_says() {
    type Change = fn(&mut Hypervisor);
    let cases: [(Change, &str, &str); 4] = [
        (
            |hv| hv.path = "/missing".into(),
            "path",
            "Hypervisor binary path `/missing` is invalid",
        ),
        (
            |hv| hv.ctlpath = "/missing".into(),
            "ctlpath",
            "Hypervisor control executable `/missing` is invalid",
        ),
        (
            |hv| hv.jailer_path = "/missing".into(),
            "jailer_path",
            "Hypervisor jailer path `/missing` is invalid",
        ),
        (
            |hv| hv.prefetch_list_path = "/missing".into(),
            "prefetch_list_path",
            "prefetch_files.list path `/missing` is invalid",
        ),
    ];
    for (change, key, text) in cases {
        let mut conf = config("remote", &[("remote", section())]);
        adjust(&mut conf).result.unwrap();
        validate(&conf).result.unwrap();
        change(conf.hypervisor.get_mut("remote").unwrap());
        assert_eq!(
            validate(&conf).result,
            error(
                &format!("hypervisor.remote.{key}"),
                &format!("{text}: No such file or directory (os error 2)")
            )
        );
    }
}

#[test]
fn virtio_fs_needs_a_daemon() {
    let mut hv = section();
    hv.shared_fs.shared_fs = Some(String::new());
    let mut conf = config("qemu", &[("qemu", hv)]);
    adjust(&mut conf).result.unwrap();
    assert_eq!(
        validate(&conf).result,
        error(
            "hypervisor.qemu.virtio_fs_daemon",
            "Virtio-fs daemon path is empty"
        )
    );
}

#[test]
fn each_section_notes_its_own_keys() {
    let mut hv = section();
    hv.device_info.default_bridges = 9;
    hv.valid_hypervisor_paths = vec!["[".into()];
    hv.security_info.enable_annotations = vec!["(".into()];
    let mut conf = config("qemu", &[("qemu", hv.clone()), ("clh", hv)]);
    conf.runtime.disable_new_netns = true;
    let keys: Vec<_> = adjust(&mut conf).notes.into_iter().map(|n| n.key).collect();
    assert_eq!(
        keys,
        [
            "hypervisor.qemu.valid_hypervisor_paths",
            "hypervisor.qemu.default_bridges",
            "hypervisor.qemu.enable_annotations",
            "hypervisor.clh.valid_hypervisor_paths",
            "hypervisor.clh.default_bridges",
            "hypervisor.clh.enable_annotations",
        ]
    );
}

/// A plugin from outside, with faults.
struct Foreign;

impl ConfigPlugin for Foreign {
    fn name(&self) -> &str {
        "sections-test"
    }
    fn adjust_config(&self, conf: &mut TomlConfig) -> io::Result<()> {
        let Some(hv) = conf.hypervisor.get_mut(self.name()) else {
            return Ok(());
        };
        match hv.path.as_str() {
            "remove" => drop(conf.hypervisor.remove(self.name())),
            "fail" => {
                hv.path = "changed".into();
                return Err(io::Error::other("foreign"));
            }
            _ => hv.boot_info.kernel = "vmlinuz".into(),
        }
        Ok(())
    }
    fn validate(&self, _conf: &TomlConfig) -> io::Result<()> {
        Err(io::Error::other("never valid"))
    }
    fn get_min_memory(&self) -> u32 {
        1
    }
    fn get_max_cpus(&self) -> u32 {
        3
    }
}

#[test]
fn foreign_plugins_take_part() {
    let name = Foreign.name().to_owned();
    register_hypervisor_plugin(&name, Arc::new(Foreign));
    let with = |path: &str, kernel: &str| {
        let mut hv = section();
        hv.path = path.into();
        hv.boot_info.kernel = kernel.into();
        config(&name, &[(&name, hv)])
    };

    let mut conf = with("fail", "/dev/null");
    assert_eq!(
        adjust(&mut conf).result,
        error("hypervisor.sections-test", "foreign")
    );
    assert_eq!(conf.hypervisor[&name].path, "fail");

    let mut conf = with("remove", "/dev/null");
    adjust(&mut conf).result.unwrap();
    assert!(conf.hypervisor.is_empty());

    let mut conf = with("/dev/null", "");
    let (key, _) = adjust(&mut conf).result.unwrap_err();
    assert_eq!(key, "hypervisor.sections-test.kernel");

    let conf = with("/dev/null", "/dev/null");
    assert_eq!(
        validate(&conf).result,
        error("hypervisor.sections-test", "never valid")
    );
}

#[test]
fn built_in_plugins_adjust_only_the_section_of_their_own_name() {
    let alias = "sections-test-alias";
    register_hypervisor_plugin(alias, Arc::new(crate::config::QemuConfig::new()));
    let mut hv = section();
    hv.machine_info.machine_type.clear();
    let mut conf = config(alias, &[(alias, hv)]);
    adjust(&mut conf).result.unwrap();
    assert_eq!(conf.hypervisor[alias].machine_info.machine_type, "");
    assert_eq!(conf.hypervisor[alias].cpu_info.default_maxvcpus, CPUS);
}
