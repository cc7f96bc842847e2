//! The bundle and the configuration that are built into this program, so that it runs anywhere.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use runtime_spec::OCI_SPEC_CONFIG_FILE_NAME;

const BUNDLE_CONFIG: &str = include_str!("default/config.json");
const CONFIGURATION: &str = include_str!("default/configuration.toml");
const DROP_IN: &str = include_str!("default/config.d/10-memory.toml");

/// What stands in [`CONFIGURATION`] for the directory of kernel and image.
const SHARE: &str = "@share@";

/// Writes the bundle into `dir`, and returns its directory, whose name becomes the container's id.
pub(crate) fn write_bundle(dir: &Path) -> io::Result<PathBuf> {
    let bundle = dir.join("web");
    for sub in [
        "rootfs/etc",
        "rootfs/run",
        "rootfs/home/web",
        "rootfs/var",
        "secrets",
        "volumes/kubernetes.io~empty-dir/cache",
    ] {
        fs::create_dir_all(bundle.join(sub))?;
    }
    // As in most images: an absolute link that must be followed inside the rootfs, not on the host.
    symlink("/run", bundle.join("rootfs/var/run"))?;
    fs::write(bundle.join("resolv.conf"), "nameserver 192.0.2.53\n")?;
    fs::write(bundle.join("secrets/token"), "not a real token\n")?;
    fs::write(bundle.join(OCI_SPEC_CONFIG_FILE_NAME), BUNDLE_CONFIG)?;
    Ok(bundle)
}

/// Writes the configuration with its drop-in into `dir`, and returns its file.
pub(crate) fn write_configuration(dir: &Path) -> io::Result<PathBuf> {
    let dir = dir.join("etc");
    fs::create_dir_all(dir.join("config.d"))?;
    // A runtime looks whether kernel and image exist; nothing here starts them.
    for file in ["vmlinux.container", "kata-containers.img"] {
        fs::write(dir.join(file), "")?;
    }
    let file = dir.join("configuration.toml");
    // Where `TMPDIR` needs quoting in TOML, the path is quoted as TOML wants it.
    let share = dir.display().to_string();
    let share = share.replace('\\', "\\\\").replace('"', "\\\"");
    fs::write(&file, CONFIGURATION.replace(SHARE, &share))?;
    fs::write(dir.join("config.d/10-memory.toml"), DROP_IN)?;
    Ok(file)
}
