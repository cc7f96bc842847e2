//! Memory that texts of any content can make their parsers take. For specifications of many small
//! items see `specification_memory.rs`.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs::{self, File};
use std::path::Path;

use kata_sys_util::SysRoot;
use kata_sys_util::check_kernel_cmd_line;
use kata_sys_util::cpu::{
    get_cpu_flags, get_cpu_flags_vec, get_single_cpu_info, retrieve_cpu_facilities_from,
};
use kata_sys_util::hooks::{HookState, HookStates};
use kata_sys_util::infiniband::{
    InfinibandRoots, expose_guest_infiniband_devices_in, list_infiniband_devices_in,
    snapshot_infiniband_in,
};
use kata_sys_util::mount::{Error, get_linux_mount_info_in, parse_mount_options};
use kata_sys_util::numa::{get_node_map_in, get_numa_nodes_in};
use kata_sys_util::pcilibs::{PCIDeviceManager, PciCapabilities};
use kata_sys_util::protection::{Platform, SevCpuid, protection_report_in};
use kata_sys_util::spec::load_oci_spec_in;
use oci_spec::runtime::{HookBuilder, Spec};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;
const CONSTANT: usize = 128 << 10;

/// A root with `proc/mounts`.
fn with_table(table: &[u8]) -> (tempfile::TempDir, SysRoot) {
    let dir = tempfile::tempdir().unwrap();
    let root = SysRoot::under(dir.path());
    fs::create_dir(&root.proc).unwrap();
    fs::write(root.proc.join("mounts"), table).unwrap();
    (dir, root)
}

#[test]
fn mount_table_of_any_length_takes_a_constant() {
    let line = "tmpfs /run/containers/a\\040b/merged overlay rw,lowerdir=/x 0 0\n";
    let (_dir, root) = with_table(line.repeat(LARGE / line.len()).as_bytes());
    let path = "/run/containers/a b/merged";
    let (found, allocated) = allocated_by(|| get_linux_mount_info_in(&root, path));
    assert_eq!(found.unwrap().fs_type, "overlay");
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
}

#[test]
fn line_of_a_mount_table_takes_at_most_eight_times_its_length() {
    let long = "x".repeat(1 << 20);
    for (what, line) in [
        ("device", format!("{long} /m tmpfs rw 0 0")),
        ("path", format!("none /{long} tmpfs rw 0 0")),
        (
            "escapes",
            format!("none {} tmpfs rw 0 0", "\\040".repeat(1 << 18)),
        ),
        ("options", format!("none /m tmpfs {long} 0 0")),
        ("fields", format!("none /m {}", "x ".repeat(1 << 19))),
        ("damaged", format!("none /m {long}")),
        ("no line", long.clone()),
    ] {
        let (_dir, root) = with_table(line.as_bytes());
        let (_, allocated) = allocated_by(|| get_linux_mount_info_in(&root, "/m"));
        assert!(
            allocated.peak <= 8 * line.len() + CONSTANT,
            "{what}: {allocated:?}"
        );
    }
}

#[test]
fn mount_options_take_at_most_eight_times_their_length() {
    for (what, options) in [
        ("one", vec!["x".repeat(LARGE)]),
        ("many", vec!["x=y".to_owned(); 1 << 20]),
        ("flags", vec!["ro".to_owned(); 1 << 20]),
        ("ignored", vec!["x-y".to_owned(); 1 << 20]),
    ] {
        let size: usize = options.iter().map(String::len).sum();
        let (parsed, allocated) = allocated_by(|| parse_mount_options(&options));
        assert!(matches!(parsed, Ok(_) | Err(Error::MountOptionTooBig)));
        assert!(
            allocated.peak <= 8 * size + CONSTANT,
            "{what}: {allocated:?}"
        );
    }
}

#[test]
fn cpu_info_takes_at_most_eight_times_its_length() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path();
    let name = path.to_str().unwrap();
    for (what, text) in [
        ("one line", vec![b'x'; LARGE]),
        ("no UTF-8", vec![0xff; 1 << 20]),
        (
            "flags",
            [b"flags : ".to_vec(), b"avx512_vbmi2 ".repeat(1 << 16)].concat(),
        ),
        ("facilities", b"facilities : 158 ".repeat(1 << 16)),
        (
            "shortest flags",
            [b"flags : ".to_vec(), b"a ".repeat((1 << 16) + 1)].concat(),
        ),
        ("many facilities", {
            let numbers: Vec<String> = (0..(1 << 16) + 1).map(|n| n.to_string()).collect();
            format!("facilities : {}", numbers.join(" ")).into_bytes()
        }),
    ] {
        fs::write(path, &text).unwrap();
        let limit = 8 * text.len() + CONSTANT;
        let (info, allocated) = allocated_by(|| get_single_cpu_info(name, "\nprocessor"));
        assert!(allocated.peak <= limit, "{what}: {allocated:?}");
        let (_, allocated) = allocated_by(|| retrieve_cpu_facilities_from(path));
        assert!(allocated.peak <= limit, "{what}: {allocated:?}");
        let (_, allocated) = allocated_by(|| check_kernel_cmd_line(name, "x", &["1"]));
        assert!(allocated.peak <= limit, "{what}: {allocated:?}");
        if let Ok(info) = info {
            let (_, allocated) = allocated_by(|| get_cpu_flags(&info, "flags"));
            assert!(allocated.peak <= limit, "{what}: {allocated:?}");
            // A `String` of each flag, the shortest of which has one letter and a blank.
            let (_, allocated) = allocated_by(|| get_cpu_flags_vec(&info, "flags"));
            assert!(allocated.peak <= 4 * limit, "{what}: {allocated:?}");
        }
    }
}

#[test]
fn large_specification_takes_at_most_eight_times_its_size() {
    let bundle = tempfile::tempdir().unwrap();
    let long = "x".repeat(LARGE);
    for (what, json) in [
        ("string", format!(r#"{{"ociVersion":"{long}"}}"#)),
        (
            "blanks",
            format!(r#"{{{}"ociVersion":"1"}}"#, " ".repeat(1 << 20)),
        ),
        (
            "unknown",
            format!(r#"{{"ociVersion":"1","x":[{}1]}}"#, "1,".repeat(1 << 18)),
        ),
        ("no JSON", long.clone()),
        (
            "arguments",
            format!(
                r#"{{"ociVersion":"1","process":{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":[{}"x"]}}}}"#,
                r#""--option=value","#.repeat(1 << 16)
            ),
        ),
    ] {
        fs::write(bundle.path().join("config.json"), &json).unwrap();
        let (_, allocated) = allocated_by(|| load_oci_spec_in(bundle.path()).is_ok());
        assert!(
            allocated.peak <= 8 * json.len() + CONSTANT,
            "{what}: {allocated:?}"
        );
    }
}

#[test]
fn deep_specification_is_skipped_without_recursion_or_refused() {
    let bundle = tempfile::tempdir().unwrap();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for member in ["unknown", "process", "linux"] {
            let json = format!(
                r#"{{"ociVersion":"1","{member}":{}1{}}}"#,
                open.repeat(DEEP),
                close.repeat(DEEP)
            );
            fs::write(bundle.path().join("config.json"), &json).unwrap();
            let (spec, allocated) = allocated_by(|| load_oci_spec_in(bundle.path()));
            // What is not known is skipped, at any level.
            assert!(
                spec.is_err() || ["unknown", "linux"].contains(&member),
                "{member}"
            );
            assert!(
                allocated.peak <= 8 * json.len() + CONSTANT,
                "{member}: {allocated:?}"
            );
        }
    }
}

/// A file of zeros that takes no space.
fn sparse(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().set_len(LARGE as u64).unwrap();
}

#[test]
fn files_of_a_device_take_a_constant() {
    let dir = tempfile::tempdir().unwrap();
    let root = SysRoot::under(dir.path());
    let function = root.sys.join("bus/pci/devices/0000:3b:00.0");
    fs::create_dir_all(&function).unwrap();
    for (file, text) in [
        ("vendor", "0x10de"),
        ("device", "0x2330"),
        ("class", "0x030200"),
    ] {
        fs::write(function.join(file), text).unwrap();
    }
    for file in [
        "config",
        "resource",
        "numa_node",
        "revision",
        "sriov_totalvfs",
    ] {
        sparse(&function.join(file));
    }
    let manager = PCIDeviceManager::in_root(&root);
    let (found, allocated) = allocated_by(|| manager.get_all_devices(None).unwrap());
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
    let device = found.first().unwrap();
    let (_, allocated) = allocated_by(|| {
        let _ = (device.resources(), device.total_addressable_memory(true));
        let _ = (device.capabilities(), device.sriov());
    });
    assert!(allocated.peak <= 1 << 20, "{allocated:?}");

    for file in ["vendor", "device", "class"] {
        sparse(&function.join(file));
        let (found, allocated) = allocated_by(|| manager.get_all_devices(None).unwrap());
        assert!(found.is_empty(), "{file}");
        assert!(allocated.peak <= CONSTANT, "{file}: {allocated:?}");
    }
    let config = vec![0xff; LARGE];
    let (_, allocated) = allocated_by(|| PciCapabilities::parse(&config));
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
}

#[test]
fn files_of_the_kernel_take_at_most_eight_times_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let root = SysRoot::under(dir.path());
    sparse(&root.sys.join("devices/system/node/node0/cpulist"));
    let (_, allocated) = allocated_by(|| get_numa_nodes_in(&root).is_ok());
    assert!(allocated.peak <= 8 * LARGE, "{allocated:?}");

    for file in [
        "kvm_intel/parameters/tdx",
        "kvm_amd/parameters/sev",
        "kvm_amd/parameters/sev_snp",
    ] {
        sparse(&root.sys.join("module").join(file));
    }
    let cpuid = SevCpuid {
        vendor: *b"AuthenticAMD",
        max_ext_leaf: 0x8000_001f,
        eax: 2,
        ebx: 0,
    };
    let platform = Platform::X86_64(cpuid);
    let (_, allocated) = allocated_by(|| protection_report_in(&root, &platform));
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
}

#[test]
fn cpus_of_nodes_take_at_most_eight_times_their_list() {
    let dir = tempfile::tempdir().unwrap();
    let root = SysRoot::under(dir.path());
    let cpus = root.sys.join("devices/system/cpu");
    for cpu in 0..1 << 10 {
        fs::create_dir_all(cpus.join(format!("cpu{cpu}/node{}", cpu % 512))).unwrap();
    }
    let numbered: Vec<String> = (0..(1 << 9) + 1)
        .map(|cpu| (2 * cpu % 1024).to_string())
        .collect();
    for (what, list) in [
        ("one CPU, again and again", "1,".repeat(1 << 19) + "1"),
        ("too many", "1,".repeat(LARGE / 2)),
        ("no list", "x".repeat(1 << 20)),
        ("commas", ",".repeat(1 << 20)),
        ("every second CPU", numbered.join(",")),
        ("a range", "0-1023".to_owned()),
    ] {
        let (_, allocated) = allocated_by(|| get_node_map_in(&root, &list).is_ok());
        assert!(
            allocated.peak <= 8 * list.len() + CONSTANT,
            "{what}: {allocated:?}"
        );
    }
    // As many CPUs as a list may name, of four bytes each.
    let (map, allocated) = allocated_by(|| get_node_map_in(&root, "0-1048575"));
    map.unwrap_err();
    assert!(allocated.peak <= (4 << 20) + CONSTANT, "{allocated:?}");
}

#[test]
fn directories_and_files_of_infiniband_take_a_kilobyte_for_each_entry() {
    const ENTRIES: usize = (1 << 10) + 1;
    let dir = tempfile::tempdir().unwrap();
    let roots = InfinibandRoots::under(dir.path());
    for (class, names) in [
        (&roots.ib_class_dir, ["node_type", "fw_ver"]),
        (&roots.verbs_class_dir, ["ibdev", "dev"]),
    ] {
        for entry in 0..ENTRIES {
            fs::create_dir_all(class.join(format!("uverbs{entry}"))).unwrap();
        }
        for name in names {
            sparse(&class.join("uverbs0").join(name));
        }
    }
    fs::create_dir_all(&roots.dev_dir).unwrap();
    for entry in 0..ENTRIES {
        File::create(roots.dev_dir.join(format!("uverbs{entry}"))).unwrap();
    }
    let (text, allocated) = allocated_by(|| snapshot_infiniband_in(&roots));
    // Of a file that is too long, the beginning: zeros are written as four characters.
    assert!(
        text.len() <= 100 * 3 * ENTRIES + (32 << 10),
        "{}",
        text.len()
    );
    assert!(
        allocated.peak <= 3 * 1024 * ENTRIES + CONSTANT,
        "{allocated:?}"
    );
    let (listed, allocated) = allocated_by(|| list_infiniband_devices_in(&roots));
    assert!(listed.unwrap().is_empty(), "no device nodes");
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
    let mut spec = Spec::default();
    let (exposed, allocated) =
        allocated_by(|| expose_guest_infiniband_devices_in(&roots, &mut spec));
    assert!(exposed.unwrap().is_empty());
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
}

#[test]
fn output_of_a_hook_takes_a_constant() {
    for source in ["/dev/zero", "/dev/urandom"] {
        let args = ["head", "-c", &LARGE.to_string(), source].map(str::to_owned);
        let builder = HookBuilder::default()
            .path("/usr/bin/head")
            .args(args)
            .timeout(60);
        let hook = builder.build().unwrap();
        let mut states = HookStates::new();
        let (run, allocated) = allocated_by(|| states.execute_hook(&hook, None));
        run.unwrap();
        assert_eq!(states.get(&hook), HookState::Done);
        // What is kept of both outputs, and up to three times that as text.
        assert!(allocated.peak <= 1 << 20, "{source}: {allocated:?}");
    }
}
