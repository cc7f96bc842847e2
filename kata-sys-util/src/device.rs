//! The block device behind a path, for the block I/O controllers of cgroups
//! ([v1](https://docs.kernel.org/admin-guide/cgroup-v1/blkio-controller.html),
//! [v2](https://docs.kernel.org/admin-guide/cgroup-v2.html#io-interface-files)): they know
//! whole disks only. Limits of an OCI spec
//! ([*Block IO*](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#block-io))
//! name them by these numbers.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::open::{open, read_text};

/// Block devices by their numbers, in sysfs.
const SYS_DEV_BLOCK: &str = "/sys/dev/block";

/// File that a block device has in sysfs if it is a partition.
const PARTITION: &str = "partition";

/// File of a block device in sysfs with its number.
const DEV: &str = "dev";

/// Number (major, minor) of the whole disk that block I/O of `path` goes to: for a file or
/// directory the one that its file system is on, for a block device the device itself. `None` if
/// there is none: for character devices, pipes and sockets, and for file systems without a block
/// device of their own, such as tmpfs, overlay, NFS or a subvolume of btrfs.
///
/// Symbolic links are followed.
///
/// # Errors
///
/// The path does not exist or cannot be reached, a block device is not in sysfs, or sysfs has
/// something unexpected there.
///
/// ```
/// use kata_sys_util::device::get_devid_for_blkio_cgroup;
///
/// assert_eq!(get_devid_for_blkio_cgroup("/proc")?, None);
/// assert_eq!(get_devid_for_blkio_cgroup("/dev/null")?, None);
/// # std::io::Result::Ok(())
/// ```
pub fn get_devid_for_blkio_cgroup<P: AsRef<Path>>(path: P) -> io::Result<Option<(u64, u64)>> {
    get_devid_for_blkio_cgroup_in(Path::new(SYS_DEV_BLOCK), path.as_ref())
}

/// As [`get_devid_for_blkio_cgroup`], with another directory than `/sys/dev/block`.
///
/// # Errors
///
/// As [`get_devid_for_blkio_cgroup`].
///
/// ```
/// use std::path::Path;
/// use kata_sys_util::device::get_devid_for_blkio_cgroup_in;
///
/// // Nothing is known of any block device there.
/// assert_eq!(get_devid_for_blkio_cgroup_in(Path::new("/nowhere"), Path::new("/"))?, None);
/// # std::io::Result::Ok(())
/// ```
pub fn get_devid_for_blkio_cgroup_in(
    sys_dev_block: &Path,
    path: &Path,
) -> io::Result<Option<(u64, u64)>> {
    let metadata = fs::metadata(path)?;
    let file_type = metadata.file_type();
    if file_type.is_block_device() {
        let number = numbers(metadata.rdev());
        let directory = sysfs_directory(sys_dev_block, number)?;
        return whole_disk(directory, number).map(Some);
    }
    let number = numbers(metadata.dev());
    if !(file_type.is_file() || file_type.is_dir()) || number.0 == 0 {
        return Ok(None);
    }
    match sysfs_directory(sys_dev_block, number) {
        Ok(directory) => whole_disk(directory, number).map(Some),
        // Not a block device, but of a file system that makes up a number.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn numbers(device: u64) -> (u64, u64) {
    (libc::major(device).into(), libc::minor(device).into())
}

fn sysfs_directory(sys_dev_block: &Path, (major, minor): (u64, u64)) -> io::Result<PathBuf> {
    let link = sys_dev_block.join(format!("{major}:{minor}"));
    link.canonicalize().map_err(|error| naming(&link, error))
}

/// The number of the device itself, or of the disk that it is a partition of.
fn whole_disk(directory: PathBuf, (major, minor): (u64, u64)) -> io::Result<(u64, u64)> {
    let mut directory = directory.as_path();
    while directory.join(PARTITION).is_file() {
        directory = directory.parent().ok_or_else(|| {
            io::Error::other(format!("Can't find real device for dev {major}:{minor}"))
        })?;
    }
    read_number(&directory.join(DEV))
}

fn read_number(path: &Path) -> io::Result<(u64, u64)> {
    let text = open(path).and_then(read_text);
    let text = text.map_err(|error| naming(path, error))?;
    let text = text.trim();
    let Some((major, minor)) = text.split_once(':') else {
        let path = path.display();
        return Err(io::Error::other(format!("Wrong format in {path}: {text}")));
    };
    Ok((parse("major", major)?, parse("minor", minor)?))
}

fn parse(which: &str, text: &str) -> io::Result<u64> {
    let number = text.parse();
    number.map_err(|_| io::Error::other(format!("Failed to parse {which} number: {text}")))
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::*;

    /// Like `/sys`: links below `dev/block` to directories below `devices`.
    struct Sysfs(TempDir);

    impl Sysfs {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("dev/block")).unwrap();
            Self(dir)
        }

        /// A device at this path below `devices`, with these files.
        fn device(&self, number: (u64, u64), path: &str, files: &[(&str, &str)]) {
            let directory = self.0.path().join("devices").join(path);
            fs::create_dir_all(&directory).unwrap();
            for (name, text) in files {
                fs::write(directory.join(name), text).unwrap();
            }
            let link = self.dev_block().join(format!("{}:{}", number.0, number.1));
            symlink(directory, link).unwrap();
        }

        fn dev_block(&self) -> PathBuf {
            self.0.path().join("dev/block")
        }

        fn find<P: AsRef<Path>>(&self, path: P) -> io::Result<Option<(u64, u64)>> {
            get_devid_for_blkio_cgroup_in(&self.dev_block(), path.as_ref())
        }
    }

    /// The device that a file is on, if it is a real one.
    fn hosting_device(path: &Path) -> Option<(u64, u64)> {
        Some(numbers(fs::metadata(path).unwrap().dev())).filter(|(major, _)| *major != 0)
    }

    #[test]
    fn path_that_cannot_be_reached_is_an_error() {
        let sysfs = Sysfs::new();
        let error = sysfs.find("/no/such/path").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(get_devid_for_blkio_cgroup("").is_err());
        let link = sysfs.0.path().join("dangling");
        symlink("nowhere", &link).unwrap();
        assert_eq!(sysfs.find(&link).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_has_no_block_io_has_no_device() {
        let sysfs = Sysfs::new();
        let socket = sysfs.0.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(sysfs.find(&socket).unwrap(), None);
        assert_eq!(sysfs.find("/dev/null").unwrap(), None);
        // A file system with major number 0.
        assert_eq!(sysfs.find("/proc/self/status").unwrap(), None);
        assert_eq!(sysfs.find("/proc").unwrap(), None);
    }

    #[test]
    fn file_and_directory_belong_to_the_whole_disk_of_their_file_system() {
        let sysfs = Sysfs::new();
        let Some(number) = hosting_device(sysfs.0.path()) else {
            println!("INFO: skipping whole-disk test: temporary directory without block device");
            return;
        };
        let file = sysfs.0.path().join("file");
        fs::write(&file, "").unwrap();
        let link = sysfs.0.path().join("link");
        symlink(&file, &link).unwrap();

        assert_eq!(sysfs.find(&file).unwrap(), None, "not in sysfs");
        sysfs.device(
            number,
            "sda/sda3",
            &[("partition", "3\n"), ("dev", "8:3\n")],
        );
        sysfs.device((8, 0), "sda", &[("dev", "8:0\n")]);
        for path in [&file, sysfs.0.path(), &link] {
            assert_eq!(sysfs.find(path).unwrap(), Some((8, 0)), "{path:?}");
        }
    }

    #[test]
    fn disk_is_itself_and_a_partition_of_a_partition_its_disk() {
        let sysfs = Sysfs::new();
        let number = (259, 1_048_575);
        sysfs.device((1, 0), "disk", &[("dev", "259:1048575")]);
        sysfs.device((1, 1), "disk/p1", &[("dev", "1:1"), ("partition", "1")]);
        sysfs.device((1, 2), "disk/p1/p2", &[("dev", "1:2"), ("partition", "1")]);
        for device in [(1, 0), (1, 1), (1, 2)] {
            let directory = sysfs_directory(&sysfs.dev_block(), device).unwrap();
            assert_eq!(whole_disk(directory, device).unwrap(), number, "{device:?}");
        }
    }

    #[test]
    fn malformed_numbers_are_told_with_their_text() {
        let sysfs = Sysfs::new();
        sysfs.device((1, 0), "d", &[]);
        let directory = || sysfs_directory(&sysfs.dev_block(), (1, 0)).unwrap();
        let dev = directory().join("dev");
        for (text, expected) in [
            ("x:1\n", "Failed to parse major number: x".to_owned()),
            (":1", "Failed to parse major number: ".to_owned()),
            ("1:y\n", "Failed to parse minor number: y".to_owned()),
            ("1:2:3", "Failed to parse minor number: 2:3".to_owned()),
            ("12\n", format!("Wrong format in {}: 12", dev.display())),
            ("", format!("Wrong format in {}: ", dev.display())),
        ] {
            fs::write(&dev, text).unwrap();
            let error = whole_disk(directory(), (1, 0)).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), ErrorKind::Other);
        }
        fs::remove_file(&dev).unwrap();
        let error = whole_disk(directory(), (1, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().starts_with(dev.to_str().unwrap()),
            "{error}"
        );
    }

    #[test]
    fn block_device_that_is_not_in_sysfs_is_an_error() {
        let sysfs = Sysfs::new();
        let error = sysfs_directory(&sysfs.dev_block(), (8, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("dev/block/8:1: "), "{error}");
        for entry in fs::read_dir("/dev").unwrap().flatten() {
            if entry.file_type().unwrap().is_block_device() {
                assert!(sysfs.find(entry.path()).is_err(), "{entry:?}");
                return;
            }
        }
        println!("INFO: skipping the node itself: no block device in /dev");
    }
}
