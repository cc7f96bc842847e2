//! Who the container is: its id and that of its sandbox. Both become names of directories on host
//! and guest, so `kata_sys_util::validate` decides what they may be.

use std::path::Path;

use kata_sys_util::spec::{self, ShimIdInfo};
use kata_sys_util::validate::verify_id;

use crate::bundle::Bundle;
use crate::problem::Problem;

/// The longest id that containerd gives.
const MAX_ID_BYTES: usize = 76;

const EXPECTED: &str = "must be 2 to 76 letters, digits, '_', '.' and '-', the first a letter or \
                        digit";

#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) container: String,
    pub(crate) sandbox: String,
}

impl Identity {
    /// The container is named by `given`, or else by the directory of its bundle; its sandbox by the
    /// annotations of containerd, CRI-O or dockershim. A container without a pod is its own sandbox.
    pub(crate) fn of(given: Option<&str>, dir: &Path, bundle: &Bundle) -> Result<Self, Problem> {
        let container = match given {
            Some(id) => id.to_owned(),
            None => directory_name(dir),
        };
        if !is_id(&container) {
            let reason = format!("{EXPECTED} (choose one with --id)");
            return Err(Problem::field(dir, "container id", &container, reason));
        }
        let sandbox = match spec::shim_id_info_of(&bundle.spec) {
            Ok(ShimIdInfo::Sandbox) => container.clone(),
            Ok(ShimIdInfo::Container(sandbox)) => sandbox,
            Err(error) => {
                let reason = format!("annotations: the container belongs to no sandbox: {error}");
                return Err(Problem::file(&bundle.config, reason));
            }
        };
        if !is_id(&sandbox) {
            let field = "annotations: sandbox id";
            return Err(Problem::field(&bundle.config, field, &sandbox, EXPECTED));
        }
        Ok(Self { container, sandbox })
    }
}

fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID_BYTES && verify_id(text).is_ok()
}

fn directory_name(dir: &Path) -> String {
    let dir = dir.canonicalize().ok();
    let name = dir.as_deref().and_then(Path::file_name);
    name.unwrap_or_default().to_string_lossy().into_owned()
}
