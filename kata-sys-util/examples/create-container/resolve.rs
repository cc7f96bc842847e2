//! Resolves the paths of a configuration so that none of them leaves the directory it belongs to.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use runtime_spec::OCI_MOUNT_BIND_TYPE;
use safe_path::{PinnedPathBuf, ScopedRoot};

use crate::bundle::Bundle;
use crate::problem::Problem;

/// A mount whose paths were resolved.
#[derive(Debug)]
pub(crate) struct ResolvedMount {
    /// `destination` as configured.
    pub(crate) destination: PathBuf,
    /// Where that is on the host, below the rootfs.
    pub(crate) target: PathBuf,
    /// The pinned source of a bind mount.
    pub(crate) source: Option<PinnedPathBuf>,
}

/// The paths of a bundle, resolved and pinned.
#[derive(Debug)]
pub(crate) struct ResolvedPaths {
    /// The root filesystem.
    pub(crate) rootfs: PathBuf,
    /// One entry for each of the configuration's mounts, in order.
    pub(crate) mounts: Vec<ResolvedMount>,
}

/// Resolves rootfs and mounts of `bundle`, and puts the resolved sources into its specification.
pub(crate) fn resolve_paths(bundle: &mut Bundle) -> Result<ResolvedPaths, Problem> {
    let rootfs = resolve_rootfs(bundle)?;
    let mut resolved = Vec::new();
    let mut mounts = bundle.spec.mounts().clone().unwrap_or_default();
    for (i, mount) in mounts.iter_mut().enumerate() {
        let target = rootfs.join_child(mount.destination()).map_err(|e| {
            Problem::field(
                &bundle.config,
                format!("mounts[{i}].destination"),
                mount.destination(),
                format!("not a path inside the root filesystem: {e}"),
            )
        })?;
        let source = if is_bind(mount) {
            let source = resolve_source(bundle, i, mount)?;
            mount.set_source(Some(source.target().to_path_buf()));
            Some(source)
        } else {
            None
        };
        resolved.push(ResolvedMount {
            destination: mount.destination().clone(),
            target,
            source,
        });
    }
    bundle.spec.set_mounts(Some(mounts));
    if let Some(root) = bundle.spec.root_mut() {
        root.set_path(rootfs.path().to_path_buf());
    }
    Ok(ResolvedPaths {
        rootfs: rootfs.path().to_path_buf(),
        mounts: resolved,
    })
}

fn resolve_rootfs(bundle: &Bundle) -> Result<ScopedRoot, Problem> {
    let path = root_path(&bundle.spec);
    let problem = |reason: String| Problem::field(&bundle.config, "root.path", path, reason);
    // An absolute path is allowed as long as it points into the bundle.
    let inside = if path.is_absolute() {
        path.strip_prefix(bundle.root.path()).map_err(|_| {
            problem(format!(
                "an absolute path must lie in the bundle {}",
                bundle.root.path().display()
            ))
        })?
    } else {
        path
    };
    let rootfs = bundle
        .root
        .join_child(inside)
        .map_err(|e| problem(format!("not a path inside the bundle: {e}")))?;
    if !rootfs.is_dir() {
        return Err(problem("not an existing directory".to_string()));
    }
    ScopedRoot::open(&rootfs).map_err(|e| problem(e.to_string()))
}

fn root_path(spec: &Spec) -> &Path {
    spec.root()
        .as_ref()
        .map_or(Path::new(""), |root| root.path().as_path())
}

/// A bind mount by type or, as most tools write it, by option (OCI runtime-spec, "Mounts").
fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some(OCI_MOUNT_BIND_TYPE)
        || mount
            .options()
            .iter()
            .flatten()
            .any(|option| option == "bind" || option == "rbind")
}

/// A relative source belongs to the bundle, an absolute one to the host.
fn resolve_source(bundle: &Bundle, index: usize, mount: &Mount) -> Result<PinnedPathBuf, Problem> {
    let field = format!("mounts[{index}].source");
    let Some(source) = mount.source() else {
        return Err(Problem::file(
            &bundle.config,
            format!("{field} is missing, a bind mount needs one"),
        ));
    };
    let pinned = if source.is_absolute() {
        PinnedPathBuf::new("/", source)
    } else {
        // Strict: a source that had to be kept inside by force is refused, not bent. What the join
        // found is pinned as it stands, and refused if a link has taken its place since.
        bundle
            .root
            .join_child(source)
            .and_then(PinnedPathBuf::from_path)
    };
    pinned.map_err(|e| {
        Problem::field(
            &bundle.config,
            field,
            source,
            format!("cannot be bind mounted: {e}"),
        )
    })
}
