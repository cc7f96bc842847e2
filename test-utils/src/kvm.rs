//! Guard for tests that need a working `/dev/kvm`. The requests are those of the
//! [KVM API](https://docs.kernel.org/virt/kvm/api.html), sections 4.1 and 4.2.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::ioctl::NATIVE;
use crate::skip::{Need, announce};

const DEVICE: &str = "/dev/kvm";

/// The only API version since Linux 2.6.22; the KVM documentation has programs refuse any other.
const API_VERSION: i32 = 12;

const KVM_GET_API_VERSION: u32 = NATIVE.io(KVMIO, 0x00);
const KVM_CREATE_VM: u32 = NATIVE.io(KVMIO, 0x01);
const KVMIO: u8 = 0xAE;

/// Returns from the test unless `/dev/kvm` can be used to create a virtual machine.
///
/// The device must exist, open for reading and writing, speak API version 12, and create a
/// virtual machine; both are closed again before the test continues. If it does not, one of these
/// lines is printed, with the test's name; if KVM works, nothing is.
///
/// ```text
/// INFO: skipping MODULE - KVM device does not exist
/// INFO: skipping MODULE - KVM device exists but is not accessible: ERROR
/// ```
///
/// An argument is the value to return, for tests that return one; it is not evaluated unless the
/// test is skipped.
///
/// [`skip_if_kvm_inaccessible!`](crate::skip_if_kvm_inaccessible) is the same under its right
/// spelling; this name stays.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `kvm` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_if_kvm_unaccessable;
///
/// fn kvm_opens() {
///     skip_if_kvm_unaccessable!();
///     let kvm = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
///     assert!(kvm.is_ok());
/// }
/// # kvm_opens();
/// ```
#[macro_export]
macro_rules! skip_if_kvm_unaccessable {
    ($($value:expr $(,)?)?) => {
        if $crate::__private::skip_without_kvm(::core::module_path!()) {
            return $($value)?;
        }
    };
}

/// [`skip_if_kvm_unaccessable!`](crate::skip_if_kvm_unaccessable) under its right spelling.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `kvm` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_if_kvm_inaccessible;
///
/// fn kvm_opens() -> std::io::Result<()> {
///     skip_if_kvm_inaccessible!(Ok(()));
///     std::fs::File::open("/dev/kvm").map(drop)
/// }
/// # kvm_opens().unwrap();
/// ```
#[macro_export]
macro_rules! skip_if_kvm_inaccessible {
    ($($value:expr $(,)?)?) => {
        $crate::skip_if_kvm_unaccessable!($($value)?)
    };
}

/// Whether to skip a test that needs KVM; says so if it is.
#[track_caller]
pub fn skip_without_kvm(module: &str) -> bool {
    match create_and_drop_vm(Path::new(DEVICE)) {
        Ok(()) => return false,
        Err(Unusable::Missing) => announce(
            Need::Kvm,
            format_args!("{module} - KVM device does not exist"),
        ),
        Err(Unusable::Inaccessible(error)) => announce(
            Need::Kvm,
            format_args!("{module} - KVM device exists but is not accessible: {error}"),
        ),
    }
    true
}

#[derive(Debug)]
enum Unusable {
    Missing,
    Inaccessible(io::Error),
}

/// U8: an open device is not enough, as creating a virtual machine still fails where the
/// processor's extensions are hidden (nested guests) or in use by another hypervisor.
fn create_and_drop_vm(device: &Path) -> Result<(), Unusable> {
    let kvm = OpenOptions::new()
        .read(true)
        .write(true)
        .open(device) // std opens with O_CLOEXEC
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unusable::Missing,
            _ => Unusable::Inaccessible(error),
        })?;
    create_vm(&kvm).map(drop).map_err(Unusable::Inaccessible)
}

fn create_vm(kvm: &File) -> io::Result<OwnedFd> {
    let version = ioctl(kvm, KVM_GET_API_VERSION, "KVM_GET_API_VERSION")?;
    if version != API_VERSION {
        return Err(io::Error::other(format!(
            "KVM_GET_API_VERSION: {version}, expected {API_VERSION}"
        )));
    }
    let vm = ioctl(kvm, KVM_CREATE_VM, "KVM_CREATE_VM")?;
    // SAFETY: KVM has just created this descriptor for us, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(vm) })
}

/// One of the requests above, whose argument is the number 0, under its name.
fn ioctl(kvm: &File, request: u32, name: &str) -> io::Result<i32> {
    loop {
        // SAFETY: the descriptor is open, and these requests take a number, not a pointer.
        let result = unsafe { libc::ioctl(kvm.as_raw_fd(), request as _, 0 as libc::c_ulong) };
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        // A pending signal interrupts KVM_CREATE_VM.
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(io::Error::new(error.kind(), format!("{name}: {error}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::ioctl::{Directions, GENERIC, POWERPC};

    fn refusal(device: &Path) -> String {
        match create_and_drop_vm(device) {
            Err(Unusable::Inaccessible(error)) => error.to_string(),
            other => panic!("{}: {other:?}", device.display()),
        }
    }

    #[test]
    fn requests_have_the_numbers_of_their_architecture() {
        let numbers = |directions: Directions| (directions.io(KVMIO, 0), directions.io(KVMIO, 1));
        assert_eq!(numbers(GENERIC), (0xAE00, 0xAE01));
        assert_eq!(numbers(POWERPC), (0x2000_AE00, 0x2000_AE01));
    }

    #[test]
    fn absent_device_and_dangling_link_are_missing() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("kvm");
        let dangling = dir.path().join("link");
        symlink(&absent, &dangling).unwrap();
        for device in [absent, dangling] {
            let result = create_and_drop_vm(&device);
            assert!(matches!(result, Err(Unusable::Missing)), "{result:?}");
        }
    }

    #[test]
    fn file_that_opens_but_is_not_kvm_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kvm");
        fs::write(&file, "").unwrap();
        for device in [file.as_path(), Path::new("/dev/null")] {
            let error = refusal(device);
            assert!(error.starts_with("KVM_GET_API_VERSION: "), "{error}");
            assert!(error.contains("os error 25"), "{error}");
        }
    }

    #[test]
    fn device_that_does_not_open_for_writing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = refusal(dir.path());
        assert!(error.contains("os error 21"), "{error}");

        crate::skip_if_root!(); // root opens it all the same
        let file = dir.path().join("kvm");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        let error = refusal(&file);
        assert!(error.contains("os error 13"), "{error}");
    }
}
