//! What the walk finds, and that it agrees with serde.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::DiagnosticKind::{self, *};
use super::Walk;
use crate::config::TomlConfig;
use crate::config::keys::{Kind, Section};

fn walk(text: &str) -> Walk {
    Walk::over(DeTable::parse(text).unwrap().get_ref())
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Kind, key, line and suggestion of each finding.
fn findings(text: &str) -> Vec<(DiagnosticKind, String, usize, Option<String>)> {
    walk(text)
        .findings
        .into_iter()
        .map(|finding| {
            let line = line_of(text, finding.at);
            (finding.kind, finding.key, line, finding.suggestion)
        })
        .collect()
}

fn flaws(text: &str) -> Vec<String> {
    let walk = walk(text);
    walk.flaws
        .iter()
        .map(|flaw| {
            let line = line_of(text, flaw.at);
            format!("{line}: {}: {}", flaw.key, flaw.reason)
        })
        .collect()
}

#[test]
fn ignored_keys_are_classified() {
    let cases: &[(&str, DiagnosticKind, &str, Option<&str>)] = &[
        (
            "[runtime]\nenable_debgu = true",
            Misspelt,
            "runtime.enable_debgu",
            Some("enable_debug"),
        ),
        (
            "[hypervisor.qemu]\nkernl = ''",
            Misspelt,
            "hypervisor.qemu.kernl",
            Some("kernel"),
        ),
        (
            "[hypervisor.qemu]\nxyzzy = 1",
            UnknownKey,
            "hypervisor.qemu.xyzzy",
            None,
        ),
        ("\n[xyzzy]", UnknownKey, "xyzzy", None),
        (
            "\nhypervisors.qemu.path = ''",
            Misspelt,
            "hypervisors",
            Some("hypervisor"),
        ),
        (
            "[hypervisor.qemu]\nseccompsandbox = ''",
            Renamed,
            "hypervisor.qemu.seccompsandbox",
            Some("seccomp_sandbox"),
        ),
        (
            "[hypervisor.qemu]\nhypervisor_loglevel = 3",
            Renamed,
            "hypervisor.qemu.hypervisor_loglevel",
            Some("log_level"),
        ),
        (
            "[hypervisor.qemu]\nnet_rate_limiter_bw_max_rate = 1",
            Renamed,
            "hypervisor.qemu.net_rate_limiter_bw_max_rate",
            Some("rx_rate_limiter_max_rate"),
        ),
        (
            "[hypervisor.qemu]\nmsize_9p = 1",
            UnknownKey,
            "hypervisor.qemu.msize_9p",
            None,
        ),
        (
            "[hypervisor.qemu]\noverhead_memory = 1",
            UnknownKey,
            "hypervisor.qemu.overhead_memory",
            None,
        ),
        (
            "[runtime]\nkubelet_root_dir = ''",
            UnknownKey,
            "runtime.kubelet_root_dir",
            None,
        ),
        (
            "[runtime]\ncreate_container_timeout = 1\n[agent.kata]",
            WrongSection,
            "runtime.create_container_timeout",
            Some("agent.kata.create_container_timeout"),
        ),
        (
            "[runtime]\ncold_plug_vfio = ''\n[hypervisor.clh]",
            WrongSection,
            "runtime.cold_plug_vfio",
            Some("hypervisor.clh.cold_plug_vfio"),
        ),
        (
            "[runtime]\nguest_selinux_label = ''\nhypervisor_name = 'b'\n[hypervisor.a]\n[hypervisor.b]",
            Renamed,
            "runtime.guest_selinux_label",
            Some("hypervisor.b.selinux_label"),
        ),
        (
            "[factory]\nenable_template = true\n[hypervisor.qemu]",
            WrongSection,
            "factory.enable_template",
            Some("hypervisor.qemu.factory.enable_template"),
        ),
        (
            "[factory]\nvm_cache_number = 0",
            UnknownKey,
            "factory.vm_cache_number",
            None,
        ),
        (
            "[hypervisor.qemu]\nenable_template = true",
            WrongSection,
            "hypervisor.qemu.enable_template",
            Some("hypervisor.qemu.factory.enable_template"),
        ),
        (
            "\nenable_debug = true",
            WrongSection,
            "enable_debug",
            Some("runtime.enable_debug"),
        ),
        (
            "\n[hypervisor.qmeu]",
            Misspelt,
            "hypervisor.qmeu",
            Some("qemu"),
        ),
        (
            "[runtime]\nagent_name = 'kat'\n[agent.kata]",
            Policy,
            "runtime.agent_name",
            Some("kata"),
        ),
        (
            "[runtime]\nhypervisor_name = 'qemu'",
            Policy,
            "runtime.hypervisor_name",
            None,
        ),
        (
            "[hypervisor.qemu]\nsnp_id_block = 'x'",
            NoEffect,
            "hypervisor.qemu.snp_id_block",
            None,
        ),
        (
            "[hypervisor.qemu]\npflashes = ['x']",
            NoEffect,
            "hypervisor.qemu.pflashes",
            None,
        ),
        (
            "[hypervisor.qemu]\npcie_switch_port = 1",
            NoEffect,
            "hypervisor.qemu.pcie_switch_port",
            None,
        ),
        (
            "[agent.a]\npassfd_listener_port = 1",
            NoEffect,
            "agent.a.passfd_listener_port",
            None,
        ),
        (
            "[runtime]\nenable_pprof = true",
            NoEffect,
            "runtime.enable_pprof",
            None,
        ),
    ];
    for (text, kind, key, suggestion) in cases {
        assert_eq!(
            findings(text),
            [(*kind, (*key).to_owned(), 2, suggestion.map(str::to_owned))],
            "{text}"
        );
        assert!(flaws(text).is_empty(), "{text}");
    }
}

#[test]
fn keys_without_effect_are_fine_with_their_default() {
    for section in [Section::Hypervisor, Section::Agent, Section::Runtime] {
        let header = match section {
            Section::Hypervisor => "hypervisor.qemu",
            Section::Agent => "agent.kata",
            _ => "runtime",
        };
        let mut all = format!("[{header}]\n");
        for spec in section.keys().filter(|spec| spec.has_no_effect()) {
            all.push_str(&format!("{} = {}\n", spec.name, spec.default));
        }
        assert_eq!(findings(&all), [], "{all}");
    }
}

#[test]
fn aliases_are_not_remarkable() {
    let text = "[hypervisor.remote]\nremote_hypervisor_socket = '/s'\nremote_hypervisor_timeout = 1\n\
        dbg_monitor_socket = 'qmp'\n[agent.kata.mem_agent]\nmem_agent_enable = true\n";
    assert_eq!(findings(text), []);
    assert!(flaws(text).is_empty());
    let walk = walk(text);
    let keys: Vec<_> = walk.keys().map(|(key, _)| key).collect();
    assert!(
        keys.contains(&("hypervisor.remote", "hypervisor_socket")),
        "{keys:?}"
    );
}

#[test]
fn unknown_keys_of_strict_sections_are_errors_with_advice() {
    for (text, expected) in [
        (
            "[agent.kata]\ndial_timeout = 45",
            "2: agent.kata.dial_timeout: unknown field `dial_timeout`: renamed, and in milliseconds \
             instead of seconds; use `dial_timeout_ms` = 45000",
        ),
        (
            "[agent.kata]\ncdh_api_timeout = 50",
            "2: agent.kata.cdh_api_timeout: unknown field `cdh_api_timeout`: renamed, and in \
             milliseconds instead of seconds; use `cdh_api_timeout_ms` = 50000",
        ),
        (
            "[agent.kata]\nmemcg_swap = true",
            "2: agent.kata.memcg_swap: unknown field `memcg_swap`: belongs to another section; use \
             `agent.kata.mem_agent.memcg_swap`",
        ),
        (
            "[agent.kata.mem_agent]\ncompact_odrer = 1",
            "2: agent.kata.mem_agent.compact_odrer: unknown field `compact_odrer`: no such key; did \
             you mean `compact_order`?",
        ),
        (
            "[hypervisor.qemu.factory]\nvm_cache_number = 0",
            "2: hypervisor.qemu.factory.vm_cache_number: unknown field `vm_cache_number`: only the \
             Go runtime has this key",
        ),
        (
            "[hypervisor.qemu.rootless_user]\nid = 0",
            "2: hypervisor.qemu.rootless_user.id: unknown field `id`: no such key; did you mean \
             `uid`?",
        ),
        (
            "[[runtime.shared_mounts]]\nname = ''\n[[runtime.shared_mounts]]\nsource = ''",
            "4: runtime.shared_mounts[1].source: unknown field `source`: no such key",
        ),
    ] {
        assert_eq!(flaws(text), [expected], "{text}");
    }
}

#[test]
fn wrong_types_are_located_by_key_and_line() {
    for (text, expected) in [
        (
            "[runtime]\n\nenable_debug = 1",
            "3: runtime.enable_debug: invalid type: integer `1`, expected a boolean",
        ),
        (
            "[hypervisor.qemu]\nkernel = 'x'\nhotplug_vfio_on_root_bus = 'no'",
            "3: hypervisor.qemu.hotplug_vfio_on_root_bus: invalid type: string \"no\", expected a boolean",
        ),
        (
            "[hypervisor.qemu]\nenable_annotations = [\n'a',\n1]",
            "4: hypervisor.qemu.enable_annotations: invalid type: integer `1`, expected a string",
        ),
        (
            "[hypervisor.qemu.rootless_user]\ngroups = [1,\n-1]",
            "3: hypervisor.qemu.rootless_user.groups: invalid value: integer `-1`, expected u32",
        ),
        (
            "[hypervisor.qemu]\nhugepage_type = '1G'",
            "2: hypervisor.qemu.hugepage_type: invalid hugepage_type \"1G\", expected \"hugetlbfs\" or \"thp\"",
        ),
        (
            "\nhypervisor = 1",
            "2: hypervisor: invalid type: integer `1`, expected a map",
        ),
        (
            "\n[[hypervisor.qemu]]",
            "2: hypervisor.qemu: invalid type: sequence, expected struct Hypervisor",
        ),
        (
            "[agent]\nkata = true",
            "2: agent.kata: invalid type: boolean `true`, expected struct Agent",
        ),
        (
            "\nruntime = []",
            "2: runtime: invalid type: sequence, expected struct Runtime",
        ),
        (
            "[runtime]\nshared_mounts = [\n1]",
            "3: runtime.shared_mounts: invalid type: integer `1`, expected struct SharedMount",
        ),
        (
            "[hypervisor.qemu]\ndbg_monitor_socket = 'a'\nextra_monitor_socket = 'b'",
            "3: hypervisor.qemu.extra_monitor_socket: duplicate field `extra_monitor_socket`: the same as `dbg_monitor_socket`",
        ),
        (
            "[hypervisor.qemu]\nextra_monitor_socket = 'a'\ndbg_monitor_socket = 'b'",
            "3: hypervisor.qemu.extra_monitor_socket: duplicate field `extra_monitor_socket`: the same as `dbg_monitor_socket`",
        ),
        (
            "[runtime]\njaeger_password = 12345",
            "2: runtime.jaeger_password: invalid type: integer, expected a string",
        ),
    ] {
        assert_eq!(flaws(text), [expected], "{text}");
    }
}

#[test]
fn all_errors_are_found_but_a_flood_is_limited() {
    let text = "[runtime]\nenable_debug = 1\nname = 2\n[agent.a]\nx = 1\n";
    assert_eq!(flaws(text).len(), 3);

    let many: String = (0..5000).map(|n| format!("unknown_{n} = 1\n")).collect();
    let flood = walk(&format!("[runtime]\n{many}[agent.a]\n{many}"));
    assert_eq!(flood.findings.len(), 1000);
    assert_eq!(flood.unlisted, 4000);
    assert_eq!(flood.flaws.len(), 100);
}

/// TOML values of every kind.
const SAMPLES: &[&str] = &[
    "true",
    "\"\"",
    "\"x\"",
    "\"hugetlbfs\"",
    "\"thp\"",
    "\"info\"",
    "0",
    "-1",
    "1",
    "255",
    "256",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-2147483649",
    "0x10",
    "1.5",
    "-0.0",
    "inf",
    "nan",
    "1e999",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "[]",
    "[\"x\"]",
    "[1]",
    "[1, \"x\"]",
    "[-1]",
    "[true]",
    "[{}]",
    "{}",
    "{ x = 1 }",
    "[[]]",
];

/// What the walk lets pass, serde accepts, and the other way round: otherwise a load would fail
/// without a good message, or for nothing.
#[test]
fn walk_and_serde_accept_the_same_values() {
    for (section, header) in [
        (Section::Root, ""),
        (Section::Hypervisor, "[hypervisor.qemu]"),
        (Section::Factory, "[hypervisor.qemu.factory]"),
        (Section::RootlessUser, "[hypervisor.qemu.rootless_user]"),
        (Section::Agent, "[agent.kata]"),
        (Section::MemAgent, "[agent.kata.mem_agent]"),
        (Section::Runtime, "[runtime]"),
        (Section::SharedMount, "[[runtime.shared_mounts]]"),
    ] {
        for spec in section.keys() {
            for name in spec.aliases.iter().chain([&spec.name]) {
                for sample in SAMPLES {
                    // serde also takes an array for a struct, field by field; nobody writes that.
                    let is_struct = matches!(spec.kind, Kind::Table(_) | Kind::Tables(_));
                    let is_table = is_struct || matches!(spec.kind, Kind::Named(_));
                    // Nor a date, which it takes for a table.
                    if is_table && sample.starts_with("1979") {
                        continue;
                    }
                    if is_struct && sample.starts_with('[') {
                        continue;
                    }
                    let text = format!("{header}\n{name} = {sample}\n");
                    let tree = DeTable::parse(&text).unwrap().into_inner();
                    let walk = Walk::over(&tree);
                    let tree = Deserializer::from(Spanned::new(0..0, tree));
                    let serde = TomlConfig::deserialize(tree);
                    assert_eq!(
                        walk.flaws.is_empty(),
                        serde.is_ok(),
                        "{text}: {:?} but {:?}",
                        walk.flaws,
                        serde.map(drop)
                    );
                }
            }
        }
    }
}
