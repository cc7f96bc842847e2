//! Security: confidential guests, rootless operation, annotations.

use std::io;

use serde::{Deserialize, Serialize};

use super::RootlessUser;
use super::annotation_gate::AnnotationGate;
use crate::config::adjust::{Adjuster, Checked, adjust_alone};
use crate::config::redact::{Digest, redacted_debug};
use crate::config::validate::check_configured_path;

/// Security settings of a hypervisor section.
///
/// [`Debug`](std::fmt::Debug) shows `initdata` as length and digest only.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default = "SecurityInfo::default")]
pub struct SecurityInfo {
    /// The hypervisor runs as an ordinary user. Default: false.
    pub rootless: bool,

    /// The hypervisor runs without seccomp filter. Default: false.
    pub disable_seccomp: bool,

    /// The VM is a confidential guest: TDX, SEV-SNP, Secure Execution, CCA. Default: false.
    pub confidential_guest: bool,

    /// Among the technologies of AMD, SEV-SNP is used. Default: false.
    pub sev_snp_guest: bool,

    /// SEV-SNP id block, in Base64. Default: empty. Ignored by the runtime of this version.
    pub snp_id_block: String,

    /// SEV-SNP id authentication data, in Base64. Default: empty. Ignored by the runtime of this
    /// version.
    pub snp_id_auth: String,

    /// SEV-SNP guest policy, a bit set. Default: 0x30000 (SMT allowed, and the reserved bit).
    pub snp_guest_policy: u32,

    /// Directory **in the guest image** with OCI hooks that run in the guest. Default: empty, none.
    pub guest_hook_path: String,

    /// Initdata document that is handed to the guest. Default: empty.
    pub initdata: String,

    /// Which hypervisor annotations a pod may use: regular expressions that must match the whole
    /// name after `io.katacontainers.config.hypervisor.`. Default: none.
    ///
    /// Names without operators cost nothing; of real regular expressions at most 128 are used, each
    /// if it takes no more than 256 KiB (`\w{5}` is more).
    ///
    /// Each enabled annotation lets a pod author change how the hypervisor process is run on the
    /// host.
    pub enable_annotations: Vec<String>,

    /// Vsock port of the TDX quote generation service of the host. Default: 4050.
    #[serde(rename = "tdx_quote_generation_service_socket_port")]
    pub qgs_port: u32,

    /// Argument of QEMU's `-sandbox`. Default: none.
    pub seccomp_sandbox: Option<String>,

    /// SELinux label of the hypervisor process. Default: none.
    pub selinux_label: Option<String>,

    /// The user of a rootless hypervisor, filled in by the runtime. Default: none.
    // The last field, because it is a table (D25).
    pub rootless_user: Option<RootlessUser>,
}

impl Default for SecurityInfo {
    fn default() -> SecurityInfo {
        SecurityInfo {
            rootless: false,
            disable_seccomp: false,
            confidential_guest: false,
            sev_snp_guest: false,
            snp_id_block: String::new(),
            snp_id_auth: String::new(),
            snp_guest_policy: 0x30000,
            guest_hook_path: String::new(),
            initdata: String::new(),
            enable_annotations: Vec::new(),
            qgs_port: 4050,
            seccomp_sandbox: None,
            selinux_label: None,
            rootless_user: None,
        }
    }
}

redacted_debug!(SecurityInfo {
    rootless,
    disable_seccomp,
    confidential_guest,
    sev_snp_guest,
    snp_id_block,
    snp_id_auth,
    snp_guest_policy,
    guest_hook_path,
    initdata: Digest(initdata),
    enable_annotations,
    qgs_port,
    seccomp_sandbox,
    selinux_label,
    rootless_user,
});

impl SecurityInfo {
    /// Changes nothing. Patterns of `enable_annotations` that cannot be read are logged.
    ///
    /// # Errors
    ///
    /// None.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Accepts everything.
    ///
    /// # Errors
    ///
    /// None.
    pub fn validate(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether `enable_annotations` permits the annotation `path`.
    ///
    /// `path` is the full key; it must start with `io.katacontainers.config.hypervisor.`, and one
    /// pattern must match all of the rest: `kernel` does not enable `kernel_params`. A pattern
    /// that is no regular expression enables nothing.
    ///
    /// ```
    /// use kata_types::config::hypervisor::SecurityInfo;
    ///
    /// let security = SecurityInfo {
    ///     enable_annotations: vec!["kernel".into(), "virtio_fs_.*".into()],
    ///     ..Default::default()
    /// };
    /// let enabled = |name: &str| {
    ///     security.is_annotation_enabled(&format!("io.katacontainers.config.hypervisor.{name}"))
    /// };
    /// assert!(enabled("kernel"));
    /// assert!(!enabled("kernel_params"));
    /// assert!(enabled("virtio_fs_cache"));
    /// ```
    pub fn is_annotation_enabled(&self, path: &str) -> bool {
        AnnotationGate::of(&self.enable_annotations).is_enabled(path)
    }

    /// Checks that `path` is empty or exists. No allow-list is consulted.
    ///
    /// # Errors
    ///
    /// `path <path> is invalid: <reason>`.
    pub fn validate_path(&self, path: &str) -> io::Result<()> {
        check_configured_path(path)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        AnnotationGate::of(&self.enable_annotations).note_problems(cx);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_empty_or_exists() {
        let info = SecurityInfo::default();
        info.validate_path("").unwrap();
        info.validate_path("/dev/null").unwrap();
        assert_eq!(
            info.validate_path("/missing").unwrap_err().to_string(),
            "path /missing is invalid: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn adjust_and_validate_do_not_touch_values() {
        let mut info = SecurityInfo {
            rootless: true,
            enable_annotations: vec!["(".into()],
            ..Default::default()
        };
        info.adjust_config().unwrap();
        info.validate().unwrap();
        assert_eq!(info.guest_hook_path, "");
        assert!(info.rootless_user.is_none());
    }

    #[test]
    fn debug_does_not_show_initdata() {
        let info = SecurityInfo {
            initdata: "secret".into(),
            qgs_port: 77,
            ..Default::default()
        };
        let text = format!("{info:?}");
        assert!(!text.contains("secret"), "{text}");
        assert!(
            text.contains("initdata: <6 bytes, sha256 2bb80d53>"),
            "{text}"
        );
        assert!(text.contains("qgs_port: 77"), "{text}");
        assert!(text.starts_with("SecurityInfo {"), "{text}");
    }
}
