//! What decides on the protection besides files: the architecture, the CPU and the user.

use super::{ProtectionError, SevCpuid};
use crate::sys;

/// The architecture, with what its rules need besides files.
///
/// ```
/// use kata_sys_util::protection::Platform;
///
/// let is_x86_64 = matches!(Platform::current(), Platform::X86_64(_));
/// assert_eq!(is_x86_64, cfg!(target_arch = "x86_64"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platform {
    /// x86_64, with what the CPU says about itself.
    X86_64(SevCpuid),
    /// IBM Z and LinuxONE.
    S390x {
        /// Who asks: only root, 0, may.
        effective_uid: u32,
    },
    /// POWER, little-endian.
    Powerpc64le {
        /// Who asks: only root, 0, may.
        effective_uid: u32,
    },
    /// No technology is known.
    Other,
}

impl Platform {
    /// The platform of this process.
    pub fn current() -> Self {
        // Conditions rather than attributes, so that all of it is compiled on all architectures.
        if cfg!(target_arch = "x86_64") {
            return Self::X86_64(SevCpuid::current());
        }
        let effective_uid = sys::geteuid();
        if cfg!(target_arch = "s390x") {
            Self::S390x { effective_uid }
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            Self::Powerpc64le { effective_uid }
        } else {
            Self::Other
        }
    }

    /// X11, X15: root alone is told on s390x and powerpc64le.
    pub(super) fn check_user(&self) -> Result<(), ProtectionError> {
        match self {
            Self::S390x { effective_uid } | Self::Powerpc64le { effective_uid }
                if *effective_uid != 0 =>
            {
                Err(ProtectionError::NoPerms)
            }
            _ => Ok(()),
        }
    }
}
