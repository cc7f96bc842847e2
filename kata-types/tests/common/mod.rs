//! Files for configurations, and a small root for the programs and images they name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kata_types::config::{Agent, Hypervisor, TomlConfig};
use tempfile::TempDir;

/// Names of the documented examples.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) const EXAMPLES: [&str; 9] = [
    "qemu",
    "qemu-snp",
    "qemu-tdx",
    "qemu-se",
    "qemu-nvidia-gpu",
    "clh",
    "fc",
    "dragonball",
    "remote",
];

#[allow(dead_code, reason = "not every test file uses it")]
/// A configuration that needs no files, and enables all annotations.
pub(crate) fn permissive_config() -> TomlConfig {
    let mut hypervisor = Hypervisor::default();
    hypervisor.remote_info.hypervisor_socket = "/dev/null".to_owned();
    hypervisor.security_info.enable_annotations = vec![".*".to_owned()];
    let mut config = TomlConfig::default();
    config.hypervisor.insert("remote".to_owned(), hypervisor);
    config.agent.insert("kata".to_owned(), Agent::default());
    config.runtime.name = "virt_container".to_owned();
    config.runtime.hypervisor_name = "remote".to_owned();
    config.runtime.agent_name = "kata".to_owned();
    config
}

#[allow(dead_code, reason = "not every test file uses it")]
/// A documented example.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/config")
        .join(format!("configuration-{name}.toml"));
    fs::read_to_string(&path).unwrap()
}

#[allow(dead_code, reason = "not every test file uses it")]
/// The configuration with every program, image and socket it sets moved below `root`, where an
/// empty file is made for it.
pub(crate) fn below(root: &Path, text: &str) -> String {
    const KEYS: [&str; 9] = [
        "path",
        "jailer_path",
        "kernel",
        "image",
        "initrd",
        "firmware",
        "virtio_fs_daemon",
        "hypervisor_socket",
        "prefetch_list_path",
    ];
    let mut moved = String::new();
    for line in text.lines() {
        let set = line
            .split_once(" = \"/")
            .filter(|(key, _)| KEYS.contains(key));
        match set {
            Some((key, rest)) => {
                let file = root.join(rest.trim_end_matches('"'));
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, "").unwrap();
                moved.push_str(&format!("{key} = \"{}\"\n", file.display()));
            }
            None => {
                moved.push_str(line);
                moved.push('\n');
            }
        }
    }
    moved
}

#[allow(dead_code, reason = "not every test file uses it")]
/// A canonical directory with files; `dir/` is a directory, `name -> target` a symlink.
pub(crate) fn tree(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for (name, content) in files {
        let path = root.join(name.trim_end_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None if name.ends_with('/') => fs::create_dir_all(path).unwrap(),
            None => fs::write(path, content).unwrap(),
        }
    }
    (dir, root)
}
