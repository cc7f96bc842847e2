//! The file system that host and guest share.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use crate::config::check::{Checker, check_alone};
use crate::config::default;
use crate::config::diagnostics::DiagnosticKind;
use crate::config::validate::{note_bad_patterns, validate_path_pattern};

const NONE: &str = "none";
pub(super) const VIRTIO_FS: &str = "virtio-fs";
pub(super) const VIRTIO_FS_INLINE: &str = "inline-virtio-fs";
/// virtio-fs with the daemon of the nydus image service.
const VIRTIO_FS_NYDUS: &str = "virtio-fs-nydus";

const CACHE_MODES: [&str; 3] = ["never", "auto", "always"];

/// Shared file system settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "SharedFsInfo::default")]
pub struct SharedFsInfo {
    /// Kind of the shared file system: `virtio-fs`, `inline-virtio-fs` (served by the hypervisor
    /// process), `virtio-fs-nydus`, or `none`.
    ///
    /// Absent is none; the empty text is `virtio-fs`. Default: absent.
    pub shared_fs: Option<String>,

    /// Path of the daemon that serves virtio-fs. Required except for `inline-virtio-fs`.
    pub virtio_fs_daemon: String,

    /// Shell patterns of the paths that a pod annotation may set as `virtio_fs_daemon`; see
    /// [`validate_path_pattern`]. Default: none.
    pub valid_virtio_fs_daemon_paths: Vec<String>,

    /// Additional arguments of the daemon. Default: none.
    pub virtio_fs_extra_args: Vec<String>,

    /// How much the guest caches: `never`, `auto` or `always`. Default: `never`.
    pub virtio_fs_cache: String,

    /// Size of the DAX window in MiB; 0 is no DAX, or 1024 with `virtio_fs_is_dax`. Default: 0.
    pub virtio_fs_cache_size: u32,

    /// Descriptors in the virtio-fs queue; 0 is the hypervisor's default. Default: 0.
    pub virtio_fs_queue_size: u32,

    /// DAX is used. Default: false; a `virtio_fs_cache_size` turns it on.
    pub virtio_fs_is_dax: bool,
}

const DAEMON: (&str, &str) = (
    "virtio_fs_daemon",
    "Virtio-fs daemon path {} is invalid: {}",
);

/// Who serves a shared file system.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Daemon,
    Hypervisor,
}

impl SharedFsInfo {
    /// Fills in defaults, resolves the daemon, and brings DAX and its size together. Kinds other
    /// than virtio-fs are left alone.
    ///
    /// # Errors
    ///
    /// The daemon does not exist.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Checks the kind, that the daemon exists where one is needed, the cache mode and DAX size.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn validate(&self) -> io::Result<()> {
        check_alone(|cx| self.validate_in(cx))
    }

    /// Checks that `valid_virtio_fs_daemon_paths` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_virtiofs_daemon_path<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_virtio_fs_daemon_paths, path)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        note_bad_patterns(
            cx,
            "valid_virtio_fs_daemon_paths",
            &self.valid_virtio_fs_daemon_paths,
        );
        match self.shared_fs.as_deref() {
            Some(NONE) => self.shared_fs = None,
            Some("") => self.shared_fs = Some(default::DEFAULT_SHARED_FS_TYPE.to_owned()),
            _ => {}
        }
        match self.shared_fs.as_deref().and_then(server) {
            Some(server) => self.adjust_virtio_fs(cx, server),
            None => Ok(()),
        }
    }

    pub(crate) fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        let Some(kind) = self.shared_fs.as_deref() else {
            return Ok(());
        };
        match server(kind) {
            Some(server) => self.validate_virtio_fs(cx, server),
            None => Err(KeyedError::other(
                "shared_fs",
                format!("Invalid shared_fs type {kind}"),
            )),
        }
    }

    fn adjust_virtio_fs(&mut self, cx: &mut Adjuster<'_>, server: Server) -> Checked {
        if server == Server::Daemon {
            cx.resolve(&mut self.virtio_fs_daemon, DAEMON.0, DAEMON.1)?;
        }
        let never = default::DEFAULT_VIRTIO_FS_CACHE_MODE;
        if self.virtio_fs_cache == NONE {
            cx.note(
                "virtio_fs_cache",
                DiagnosticKind::Deprecated,
                format!("cache mode {NONE:?} is now called {never:?}"),
                Some(never),
            );
            self.virtio_fs_cache.clear();
        }
        if self.virtio_fs_cache.is_empty() {
            self.virtio_fs_cache = never.to_owned();
        }
        if self.virtio_fs_cache_size != 0 {
            self.virtio_fs_is_dax = true;
        } else if self.virtio_fs_is_dax {
            self.virtio_fs_cache_size = default::DEFAULT_VIRTIO_FS_DAX_SIZE_MB;
        }
        Ok(())
    }

    fn validate_virtio_fs(&self, cx: &Checker<'_>, server: Server) -> Checked {
        if server == Server::Daemon {
            if self.virtio_fs_daemon.is_empty() {
                // D28
                return Err(KeyedError::other(
                    DAEMON.0,
                    "Virtio-fs daemon path is empty",
                ));
            }
            cx.exists(&self.virtio_fs_daemon, DAEMON.0, DAEMON.1)?;
        }
        if !CACHE_MODES.contains(&self.virtio_fs_cache.as_str()) {
            return Err(KeyedError::other(
                "virtio_fs_cache",
                format!("Invalid virtio-fs cache mode: {}", self.virtio_fs_cache),
            ));
        }
        if self.virtio_fs_is_dax && self.virtio_fs_cache_size == 0 {
            return Err(KeyedError::other(
                "virtio_fs_cache_size",
                "Invalid virtio-fs DAX window size: 0",
            ));
        }
        Ok(())
    }
}

/// Who serves a virtio-fs of this kind; `None` for other kinds.
fn server(kind: &str) -> Option<Server> {
    match kind {
        VIRTIO_FS | VIRTIO_FS_NYDUS => Some(Server::Daemon),
        VIRTIO_FS_INLINE => Some(Server::Hypervisor),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::host::Host;

    fn of_kind(kind: &str) -> SharedFsInfo {
        SharedFsInfo {
            shared_fs: Some(kind.to_owned()),
            virtio_fs_daemon: "/proc/../dev/null".into(),
            ..Default::default()
        }
    }

    #[test]
    fn absent_and_none_are_no_shared_fs_and_empty_is_virtio_fs() {
        for (kind, adjusted) in [
            (None, None),
            (Some("none"), None),
            (Some(""), Some("virtio-fs")),
            (Some("virtio-fs"), Some("virtio-fs")),
            (Some("virtio-9p"), Some("virtio-9p")),
        ] {
            let mut info = SharedFsInfo {
                shared_fs: kind.map(str::to_owned),
                ..Default::default()
            };
            info.adjust_config().unwrap();
            assert_eq!(info.shared_fs.as_deref(), adjusted);
        }
    }

    #[test]
    fn daemon_is_resolved_unless_the_hypervisor_serves() {
        for (kind, daemon) in [
            ("virtio-fs", "/dev/null"),
            ("virtio-fs-nydus", "/dev/null"),
            ("inline-virtio-fs", "/proc/../dev/null"),
            ("virtio-9p", "/proc/../dev/null"),
        ] {
            let mut info = of_kind(kind);
            info.adjust_config().unwrap();
            assert_eq!(info.virtio_fs_daemon, daemon);
            assert_eq!(info.validate().is_ok(), kind != "virtio-9p");
        }
    }

    #[test]
    fn daemon_must_exist_unless_the_hypervisor_serves() {
        for (daemon, text) in [
            ("", "Virtio-fs daemon path is empty"),
            (
                "/missing",
                "Virtio-fs daemon path /missing is invalid: No such file or directory (os error 2)",
            ),
        ] {
            for kind in ["virtio-fs", "virtio-fs-nydus"] {
                let info = SharedFsInfo {
                    virtio_fs_daemon: daemon.into(),
                    virtio_fs_cache: "never".into(),
                    ..of_kind(kind)
                };
                assert_eq!(info.validate().unwrap_err().to_string(), text);
                if !daemon.is_empty() {
                    assert_eq!(info.clone().adjust_config().unwrap_err().to_string(), text);
                }
            }
            let mut inline = SharedFsInfo {
                virtio_fs_daemon: daemon.into(),
                ..of_kind("inline-virtio-fs")
            };
            inline.adjust_config().unwrap();
            inline.validate().unwrap();
        }
    }

    #[test]
    fn cache_mode_defaults_to_never_and_none_is_deprecated() {
        let host = Host::with(1, 1);
        for (mode, adjusted, notes) in [
            ("", "never", 0),
            ("none", "never", 1),
            ("auto", "auto", 0),
            ("always", "always", 0),
            ("bad", "bad", 0),
        ] {
            let mut report = AdjustReport::default();
            let mut info = SharedFsInfo {
                virtio_fs_cache: mode.into(),
                ..of_kind("virtio-fs")
            };
            info.adjust_in(&mut Adjuster::new(&host, &mut report))
                .unwrap();
            assert_eq!(info.virtio_fs_cache, adjusted);
            assert_eq!(report.notes.len(), notes);
            for note in report.notes {
                assert_eq!(note.kind, DiagnosticKind::Deprecated);
                assert_eq!(note.suggestion.as_deref(), Some("never"));
            }
            match mode {
                "bad" => assert_eq!(
                    info.validate().unwrap_err().to_string(),
                    "Invalid virtio-fs cache mode: bad"
                ),
                _ => info.validate().unwrap(),
            }
        }
    }

    #[test]
    fn dax_and_its_size_go_together() {
        for (dax, size, adjusted) in [
            (false, 0, (false, 0)),
            (true, 0, (true, 1024)),
            (false, 7, (true, 7)),
            (true, 7, (true, 7)),
        ] {
            let mut info = SharedFsInfo {
                virtio_fs_is_dax: dax,
                virtio_fs_cache_size: size,
                virtio_fs_cache: "auto".into(),
                ..of_kind("inline-virtio-fs")
            };
            if (dax, size) == (true, 0) {
                assert_eq!(
                    info.validate().unwrap_err().to_string(),
                    "Invalid virtio-fs DAX window size: 0"
                );
            }
            info.adjust_config().unwrap();
            assert_eq!((info.virtio_fs_is_dax, info.virtio_fs_cache_size), adjusted);
            info.validate().unwrap();
        }
    }

    #[test]
    fn other_kinds_are_invalid_and_untouched() {
        let mut info = SharedFsInfo {
            virtio_fs_is_dax: true,
            ..of_kind("virtio-9p")
        };
        info.adjust_config().unwrap();
        assert_eq!(info.virtio_fs_cache_size, 0);
        assert_eq!(
            info.validate().unwrap_err().to_string(),
            "Invalid shared_fs type virtio-9p"
        );
        SharedFsInfo::default().validate().unwrap();
    }
}
