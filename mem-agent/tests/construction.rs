//! What the constructors need of a machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fs;

use common::{FakeLru, Machine, compact_off, memcg_off, wait};
use mem_agent::agent::MemAgent;
use mem_agent::compact::{self, Compact};
use mem_agent::env::{CgroupVersion, Env};
use mem_agent::memcg::{self, MemCG};

fn memcg_error(env: Env) -> String {
    let error = MemCG::with_env(env, memcg::Config::default()).unwrap_err();
    format!("{error}")
}

fn compact_error(env: Env) -> String {
    let error = Compact::with_env(env, compact::Config::default()).unwrap_err();
    format!("{error}")
}

#[test]
fn cgroups_of_the_sample_tree_are_found() {
    let machine = Machine::v2();
    let memcg = MemCG::with_env(machine.env(), memcg::Config::default()).unwrap();
    assert_eq!(machine.read("sys/kernel/mm/lru_gen/enabled"), "7");
    let status = wait(memcg.get_status());
    let mut paths: Vec<_> = status
        .iter()
        .map(|(path, cgroup)| (path.as_str(), cgroup.kernel_id(), cgroup.id))
        .collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            ("/", 1, 1),
            ("/pod7", 12, 12),
            ("/pod7/odd name", 70_211, 4675),
            ("/pod7/web", 19, 19)
        ]
    );
    let web = &status["/pod7/web"];
    assert_eq!(web.numa.keys().collect::<Vec<_>>(), [&0]);
    let node = &web.numa[&0];
    assert_eq!(
        (
            node.min_seq,
            node.max_seq,
            node.min_lru_anon,
            node.min_lru_file
        ),
        (9, 12, 1536, 512)
    );
    let directory = fs::metadata(machine.path("sys/fs/cgroup/pod7/web")).unwrap();
    assert_eq!(
        web.ino as u64,
        std::os::unix::fs::MetadataExt::ino(&directory)
    );
    assert_eq!(memcg.get_timeout_list(), [600]);
}

#[test]
fn version_1_has_memory_and_pressure_in_different_hierarchies() {
    let machine = Machine::v1();
    let memcg = MemCG::with_env(machine.env(), memcg::Config::default()).unwrap();
    let mut paths: Vec<_> = wait(memcg.get_status()).into_keys().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/", "/pod7", "/pod7/web"]);
    Compact::with_env(machine.env(), compact::Config::default()).unwrap();
}

/// P1, D34.
#[test]
fn pressure_of_version_1_is_in_the_first_directory_that_has_both_files() {
    let machine = Machine::v1();
    fs::remove_dir_all(machine.path("sys/fs/cgroup/cpuacct")).unwrap();
    let root = machine.path("sys/fs/cgroup");
    let missing = format!(
        "psi::check failed: find_psi_subdirs failed: cannot find cpuacct dir in {}/",
        root.display()
    );
    assert!(
        compact_error(machine.env()).starts_with(&missing),
        "{}",
        compact_error(machine.env())
    );
    machine.write("sys/fs/cgroup/a/memory.pressure", "some total=1\n");
    fs::create_dir_all(machine.path("sys/fs/cgroup/b/memory.pressure")).unwrap();
    machine.write("sys/fs/cgroup/b/io.pressure", "some total=1\n");
    assert!(compact_error(machine.env()).starts_with(&missing));
    // A hybrid.
    for file in ["memory.pressure", "io.pressure"] {
        machine.write(&format!("sys/fs/cgroup/unified/{file}"), "some total=1\n");
    }
    Compact::with_env(machine.env(), compact::Config::default()).unwrap();
    MemCG::with_env(machine.env(), memcg::Config::default()).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let psi = "psi::check failed: open file \"";
    let mglru = "mglru::check failed: ";
    type Case = (&'static str, fn(&Machine), &'static str, &'static str);
    let cases: [Case; 6] = [
        (
            "no switch",
            |m| m.remove("sys/kernel/mm/lru_gen/enabled"),
            mglru,
            "lru_gen/enabled\" failed: No such file",
        ),
        (
            "bad switch",
            |m| m.write("sys/kernel/mm/lru_gen/enabled", "on\n"),
            mglru,
            "parse file ",
        ),
        (
            "no lru_gen",
            |m| m.remove("sys/kernel/debug/lru_gen"),
            mglru,
            "CONFIG_DEBUG_FS",
        ),
        (
            "no pressure",
            |m| m.remove("sys/fs/cgroup/memory.pressure"),
            psi,
            "memory.pressure\" failed: No such file",
        ),
        (
            "lru_gen is a directory",
            |m| {
                m.remove("sys/kernel/debug/lru_gen");
                fs::create_dir(m.path("sys/kernel/debug/lru_gen")).unwrap();
            },
            mglru,
            "open file ",
        ),
        (
            "no version",
            |m| {
                fs::remove_dir_all(m.path("sys/fs/cgroup")).unwrap();
            },
            psi,
            "memory.pressure",
        ),
    ];
    for (name, damage, prefix, part) in cases {
        let machine = Machine::v2();
        damage(&machine);
        let error = memcg_error(machine.env());
        assert!(
            error.starts_with(prefix) && error.contains(part),
            "{name}: {error}"
        );
    }
    let machine = Machine::v2();
    machine.remove("sys/fs/cgroup/memory.pressure");
    let error = compact_error(machine.env());
    assert!(error.starts_with(psi), "{error}");
    let error =
        MemAgent::with_env(machine.env(), memcg_off(), compact::Config::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("compact::Compact::new fail: psi::check failed: "),
        "{error}"
    );
    let error =
        MemAgent::with_env(machine.env(), memcg::Config::default(), compact_off()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("memcg::MemCG::new fail: psi::check failed: "),
        "{error}"
    );
}

#[test]
fn switch_that_is_on_is_not_written() {
    for text in ["0x0007\n", "7\n", "0x7"] {
        let machine = Machine::v2();
        machine.write("sys/kernel/mm/lru_gen/enabled", text);
        MemCG::with_env(machine.env(), memcg::Config::default()).unwrap();
        assert_eq!(machine.read("sys/kernel/mm/lru_gen/enabled"), text);
    }
}

/// N1.
#[test]
fn kind_of_the_hierarchy_is_asked_for_only_if_something_is_enabled() {
    let machine = Machine::v2();
    fs::remove_dir_all(machine.path("sys/fs/cgroup")).unwrap();
    let env = || Env {
        cgroup: CgroupVersion::Auto,
        ..machine.env()
    };
    let error = memcg_error(env());
    assert!(
        error.starts_with("statfs \"") && error.contains("fs/cgroup\" failed: "),
        "{error}"
    );
    let error = compact_error(env());
    assert!(error.starts_with("psi::check failed: statfs \""), "{error}");
    MemAgent::with_env(env(), memcg_off(), compact_off()).unwrap();
}

/// A directory of a test is no cgroup2 file system.
#[test]
fn version_is_found_out_by_the_file_system() {
    let machine = Machine::v1();
    let env = Env {
        cgroup: CgroupVersion::Auto,
        ..machine.env()
    };
    let memcg = MemCG::with_env(env, memcg::Config::default()).unwrap();
    assert_eq!(wait(memcg.get_status()).len(), 3);
}

/// D29.
#[test]
fn disabled_halves_need_nothing() {
    let nothing = tempfile::tempdir().unwrap();
    let env = || Env {
        proc_root: nothing.path().join("proc"),
        sys_root: nothing.path().join("sys"),
        ..Env::default()
    };
    let (agent, guard) = MemAgent::with_env(env(), memcg_off(), compact_off()).unwrap();
    guard.block_on(async {
        assert!(agent.memcg_status_async().await.unwrap().is_empty());
        let memcg = memcg::OptionConfig {
            default: memcg::SingleOptionConfig {
                swap: Some(true),
                ..Default::default()
            },
            ..Default::default()
        };
        agent.memcg_set_config_async(memcg).await.unwrap();
        let compact = compact::OptionConfig {
            compact_order: Some(4),
            ..Default::default()
        };
        agent.compact_set_config_async(compact).await.unwrap();
        // What is missing is the answer to being enabled.
        let enable = memcg::OptionConfig {
            default: memcg::SingleOptionConfig {
                disabled: Some(false),
                ..Default::default()
            },
            ..Default::default()
        };
        let error = agent.memcg_set_config_async(enable).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("mem_agent thread memcg_set_config_async failed: "),
            "{error}"
        );
        let enable = compact::OptionConfig {
            disabled: Some(false),
            ..Default::default()
        };
        let error = agent.compact_set_config_async(enable).await.unwrap_err();
        assert!(
            error.to_string().starts_with(
                "mem_agent thread compact_set_config_async failed: psi::check failed: "
            ),
            "{error}"
        );
    });
}

#[test]
fn halves_are_probed_when_they_are_enabled_later() {
    let machine = Machine::v2();
    let mut memcg = MemCG::with_env(machine.env(), memcg_off()).unwrap();
    assert_eq!(machine.read("sys/kernel/mm/lru_gen/enabled"), "0x0000\n");
    let enable = memcg::SingleOptionConfig {
        disabled: Some(false),
        ..Default::default()
    };
    let enable = memcg::OptionConfig {
        default: enable,
        ..Default::default()
    };
    assert!(wait(memcg.set_config(enable)).unwrap());
    assert_eq!(machine.read("sys/kernel/mm/lru_gen/enabled"), "7");
    assert_eq!(memcg.get_timeout_list(), [600]);
    assert_eq!(wait(memcg.get_status()).len(), 4);

    let mut compact = Compact::with_env(machine.env(), compact_off()).unwrap();
    let enable = compact::OptionConfig {
        disabled: Some(false),
        ..Default::default()
    };
    assert!(wait(compact.set_config(enable)));
    assert_eq!(compact.get_remaining_tokio_duration().as_secs(), 600);
}

#[test]
fn injected_lru_gen_needs_no_files_of_mglru() {
    let machine = Machine::v2();
    machine.remove("sys/kernel/mm/lru_gen/enabled");
    machine.remove("sys/kernel/debug/lru_gen");
    let lru = FakeLru::new(&[(12, "/pod7", &[(1, 1)])]);
    let memcg = MemCG::with_env(machine.env_with(&lru), memcg::Config::default()).unwrap();
    assert_eq!(wait(memcg.get_status()).len(), 1);
}

/// L8, L9.
#[test]
fn of_cgroups_with_the_same_path_the_live_one_counts() {
    let machine = Machine::v2();
    let directory = fs::metadata(machine.path("sys/fs/cgroup/pod7")).unwrap();
    let ino = std::os::unix::fs::MetadataExt::ino(&directory);
    let cases = [
        (vec![5, 0], 5),
        (vec![0, 5], 5),
        (vec![5, 6], 6),
        (vec![ino, 6], ino),
        (vec![6, ino, 7], ino),
    ];
    for (ids, live) in cases {
        let memcgs: Vec<String> = ids
            .iter()
            .map(|id| format!("memcg {id} /pod7\n node 0\n 1 90000 1 1\n"))
            .collect();
        machine.write("sys/kernel/debug/lru_gen", &memcgs.concat());
        let memcg = MemCG::with_env(machine.env(), memcg::Config::default()).unwrap();
        assert_eq!(
            wait(memcg.get_status())["/pod7"].kernel_id(),
            live,
            "{ids:?}"
        );
    }
}

#[test]
fn paths_that_lead_elsewhere_are_not_managed() {
    let machine = Machine::v2();
    machine.write("sys/kernel/debug/lru_gen", "memcg 5 /pod7/../../x\n node 0\n 1 90000 1 1\nmemcg 6 /..\n node 0\n 1 90000 1 1\nmemcg 7 pod7\n node 0\n 1 90000 1 1\nmemcg 8 /pod7/memory.current\n");
    fs::create_dir_all(machine.path("sys/fs/x")).unwrap();
    let memcg = MemCG::with_env(machine.env(), memcg::Config::default()).unwrap();
    let paths: Vec<_> = wait(memcg.get_status()).into_keys().collect();
    assert!(paths.is_empty(), "{paths:?}");
}
