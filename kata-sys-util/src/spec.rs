//! The OCI spec of the bundle in the working directory
//! ([Filesystem Bundle](https://github.com/opencontainers/runtime-spec/blob/main/bundle.md)
//! of the OCI runtime specification), and what it says about the pod.
//!
//! Which container is the sandbox of a pod, and which pod a container belongs to, is no matter of
//! OCI. The [CRI](https://kubernetes.io/docs/concepts/containers/cri/) implementations tell it in
//! [annotations](https://github.com/opencontainers/runtime-spec/blob/main/config.md#annotations),
//! each with keys of its own.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kata_types::container::ContainerType;
use oci_spec::OciSpecError;
use oci_spec::runtime::Spec;

/// The file of a bundle that holds its spec.
const CONFIG_FILE: &str = "config.json";

/// Annotations that tell the type of a container: of containerd, CRI-O and dockershim.
const CONTAINER_TYPE_KEYS: [&str; 3] = [
    "io.kubernetes.cri.container-type",
    "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.docker.type",
];

/// Annotations that tell the sandbox of a container: of containerd, CRI-O and dockershim.
const SANDBOX_ID_KEYS: [&str; 3] = [
    "io.kubernetes.cri.sandbox-id",
    "io.kubernetes.cri-o.SandboxID",
    "io.kubernetes.sandbox.id",
];

/// Why a spec does not tell what a container is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The annotation has a value that is not known.
    #[error("unknown container type {0}")]
    UnknownContainerType(String),
    /// No annotation tells the sandbox of a container in a pod.
    #[error("missing sandboxID")]
    MissingSandboxID,
    /// The spec could not be loaded.
    #[error("oci error")]
    Oci(#[from] OciSpecError),
}

/// What a shim is started for.
#[derive(Clone, Debug)]
pub enum ShimIdInfo {
    /// A sandbox, or a container without a pod.
    Sandbox,
    /// A container in the sandbox with this id.
    Container(String),
}

/// The type of a container: the first annotation decides that is present, in the order of
/// containerd, CRI-O, dockershim. Without any, it is a sandbox.
///
/// # Errors
///
/// [`Error::UnknownContainerType`] if its value is not `sandbox`, `podsandbox` or `container`.
///
/// ```
/// use kata_sys_util::spec::get_container_type;
/// use kata_types::container::ContainerType;
/// use oci_spec::runtime::Spec;
///
/// let mut spec = Spec::default();
/// assert_eq!(get_container_type(&spec)?, ContainerType::PodSandbox);
///
/// let annotation = ("io.kubernetes.cri.container-type".to_owned(), "container".to_owned());
/// spec.set_annotations(Some([annotation].into()));
/// assert_eq!(get_container_type(&spec)?, ContainerType::PodContainer);
/// # Ok::<(), kata_sys_util::spec::Error>(())
/// ```
pub fn get_container_type(spec: &Spec) -> Result<ContainerType, Error> {
    match first_annotation(spec, &CONTAINER_TYPE_KEYS).map(String::as_str) {
        None | Some("sandbox" | "podsandbox") => Ok(ContainerType::PodSandbox),
        Some("container") => Ok(ContainerType::PodContainer),
        Some(other) => Err(Error::UnknownContainerType(other.to_owned())),
    }
}

/// What the shim of the bundle in the working directory is started for; see
/// [`shim_id_info_of`].
///
/// # Errors
///
/// [`Error::Oci`] if the spec cannot be loaded, else as [`shim_id_info_of`].
///
/// ```
/// # // Not run: the working directory is that of the whole process.
/// # fn f() -> Result<(), kata_sys_util::spec::Error> {
/// use kata_sys_util::spec::{ShimIdInfo, get_shim_id_info};
///
/// match get_shim_id_info()? {
///     ShimIdInfo::Sandbox => println!("start a virtual machine"),
///     ShimIdInfo::Container(sandbox) => println!("join the shim of sandbox {sandbox}"),
/// }
/// # Ok(())
/// # }
/// ```
pub fn get_shim_id_info() -> Result<ShimIdInfo, Error> {
    shim_id_info_of(&load_oci_spec()?)
}

/// What the shim for a container is started for: a container of a pod belongs to the sandbox that
/// the first annotation names that is present, in the order of containerd, CRI-O, dockershim.
///
/// # Errors
///
/// As [`get_container_type`], and [`Error::MissingSandboxID`] if there is no such annotation.
///
/// ```
/// use kata_sys_util::spec::{ShimIdInfo, shim_id_info_of};
/// use oci_spec::runtime::Spec;
///
/// let mut spec = Spec::default();
/// spec.set_annotations(Some(
///     [
///         ("io.kubernetes.cri.container-type".to_owned(), "container".to_owned()),
///         ("io.kubernetes.cri.sandbox-id".to_owned(), "pod-1".to_owned()),
///     ]
///     .into(),
/// ));
/// assert!(matches!(shim_id_info_of(&spec)?, ShimIdInfo::Container(id) if id == "pod-1"));
/// # Ok::<(), kata_sys_util::spec::Error>(())
/// ```
pub fn shim_id_info_of(spec: &Spec) -> Result<ShimIdInfo, Error> {
    match get_container_type(spec)? {
        ContainerType::PodSandbox | ContainerType::SingleContainer => Ok(ShimIdInfo::Sandbox),
        ContainerType::PodContainer => {
            let id = first_annotation(spec, &SANDBOX_ID_KEYS).ok_or(Error::MissingSandboxID)?;
            Ok(ShimIdInfo::Container(id.clone()))
        }
    }
}

/// The bundle's directory: the working directory, which is where a shim is started.
///
/// # Errors
///
/// There is no working directory any more, or it cannot be reached.
///
/// ```
/// use kata_sys_util::spec::get_bundle_path;
///
/// println!("the root file system is {}", get_bundle_path()?.join("rootfs").display());
/// # std::io::Result::Ok(())
/// ```
pub fn get_bundle_path() -> io::Result<PathBuf> {
    env::current_dir()
}

/// Loads `config.json` of the bundle in the working directory.
///
/// # Memory
///
/// The file is read as a whole, whatever its size. A spec of ordinary items takes less than 8 times
/// its size. One of nothing but the smallest items takes more, as `oci-spec` has a structure of up to
/// 168 bytes for the three bytes of an empty object: at most 24 times its size if these are texts or
/// annotations, and at most 128 times (112 measured) if they are objects. Whoever takes bundles from
/// strangers has to bound the size of the file.
///
/// # Errors
///
/// [`OciSpecError::Io`](https://docs.rs/oci-spec/0.8/oci_spec/enum.OciSpecError.html) if there is no
/// such file or it cannot be read, `OciSpecError::SerDe` if it is not the JSON of a spec.
///
/// ```
/// use kata_sys_util::spec::load_oci_spec;
///
/// match load_oci_spec() {
///     Ok(spec) => println!("a bundle of version {}", spec.version()),
///     Err(error) => println!("no bundle: {error}"),
/// }
/// ```
pub fn load_oci_spec() -> Result<Spec, OciSpecError> {
    load_oci_spec_in(&get_bundle_path()?)
}

/// Loads `config.json` of a bundle. For the memory that takes, see [`load_oci_spec`].
///
/// # Errors
///
/// As [`load_oci_spec`].
///
/// ```
/// use kata_sys_util::spec::load_oci_spec_in;
/// # let bundle = tempfile::tempdir()?;
/// # let bundle = bundle.path();
///
/// std::fs::write(bundle.join("config.json"), r#"{"ociVersion": "1.1.0"}"#)?;
/// assert_eq!(load_oci_spec_in(bundle)?.version(), "1.1.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load_oci_spec_in(bundle: &Path) -> Result<Spec, OciSpecError> {
    // Several times as fast as through a reader.
    let text = fs::read(bundle.join(CONFIG_FILE))?;
    Ok(serde_json::from_slice(&text)?)
}

fn first_annotation<'a>(spec: &'a Spec, keys: &[&str]) -> Option<&'a String> {
    let annotations = spec.annotations().as_ref()?;
    keys.iter().find_map(|key| annotations.get(*key))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn spec(annotations: &[(&str, &str)]) -> Spec {
        let annotations = annotations
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut spec = Spec::default();
        spec.set_annotations(Some(annotations.collect()));
        spec
    }

    #[test]
    fn container_type_is_the_value_of_the_first_key_present() {
        let [containerd, crio, docker] = CONTAINER_TYPE_KEYS;
        for (annotations, expected) in [
            (vec![], ContainerType::PodSandbox),
            (vec![("other", "container")], ContainerType::PodSandbox),
            (vec![(containerd, "sandbox")], ContainerType::PodSandbox),
            (vec![(crio, "sandbox")], ContainerType::PodSandbox),
            (vec![(docker, "podsandbox")], ContainerType::PodSandbox),
            (vec![(containerd, "container")], ContainerType::PodContainer),
            (vec![(crio, "container")], ContainerType::PodContainer),
            (vec![(docker, "container")], ContainerType::PodContainer),
            (
                vec![(crio, "sandbox"), (containerd, "container")],
                ContainerType::PodContainer,
            ),
            (
                vec![(docker, "container"), (crio, "sandbox")],
                ContainerType::PodSandbox,
            ),
        ] {
            assert_eq!(
                get_container_type(&spec(&annotations)).unwrap(),
                expected,
                "{annotations:?}"
            );
        }
        let mut without = Spec::default();
        without.set_annotations(None);
        assert_eq!(
            get_container_type(&without).unwrap(),
            ContainerType::PodSandbox
        );
    }

    #[test]
    fn unknown_type_is_an_error_even_if_a_later_key_is_known() {
        let [containerd, crio, _] = CONTAINER_TYPE_KEYS;
        for value in ["", "Sandbox", "pod_sandbox", " container"] {
            let spec = spec(&[(containerd, value), (crio, "sandbox")]);
            let error = get_container_type(&spec).unwrap_err();
            assert_eq!(error.to_string(), format!("unknown container type {value}"));
            assert!(matches!(error, Error::UnknownContainerType(v) if v == value));
        }
    }

    #[test]
    fn container_of_a_pod_belongs_to_the_first_sandbox_id_present() {
        let container = (CONTAINER_TYPE_KEYS[0], "container");
        let [containerd, crio, docker] = SANDBOX_ID_KEYS;
        for (annotations, expected) in [
            (vec![container, (containerd, "a")], "a"),
            (vec![container, (crio, "b")], "b"),
            (vec![container, (docker, "c")], "c"),
            (vec![container, (docker, "c"), (crio, "b")], "b"),
            (vec![container, (crio, "b"), (containerd, "a")], "a"),
        ] {
            let info = shim_id_info_of(&spec(&annotations)).unwrap();
            assert!(
                matches!(&info, ShimIdInfo::Container(id) if id == expected),
                "{info:?}"
            );
        }
        let error = shim_id_info_of(&spec(&[container])).unwrap_err();
        assert_eq!(error.to_string(), "missing sandboxID");
    }

    #[test]
    fn sandbox_needs_no_id() {
        let sandbox = [
            (CONTAINER_TYPE_KEYS[1], "sandbox"),
            (SANDBOX_ID_KEYS[0], "a"),
        ];
        for annotations in [&[][..], &sandbox] {
            let info = shim_id_info_of(&spec(annotations)).unwrap();
            assert!(matches!(info, ShimIdInfo::Sandbox));
        }
        let unknown = spec(&[(CONTAINER_TYPE_KEYS[0], "x")]);
        assert!(matches!(
            shim_id_info_of(&unknown),
            Err(Error::UnknownContainerType(_))
        ));
    }

    #[test]
    fn missing_file_is_an_io_error_and_bad_json_a_serde_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = load_oci_spec_in(dir.path()).unwrap_err();
        assert!(matches!(error, OciSpecError::Io(_)), "{error:?}");
        for text in ["", "{", "3", r#"{"ociVersion": 1}"#] {
            fs::write(dir.path().join(CONFIG_FILE), text).unwrap();
            let error = load_oci_spec_in(dir.path()).unwrap_err();
            assert!(matches!(error, OciSpecError::SerDe(_)), "{text}: {error:?}");
        }
        assert_eq!(Error::from(error).to_string(), "oci error");
    }

    #[test]
    fn bundle_path_need_not_be_utf8() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join(OsStr::from_bytes(b"\xff"));
        fs::create_dir(&bundle).unwrap();
        fs::write(bundle.join(CONFIG_FILE), r#"{"ociVersion": "1.2.0"}"#).unwrap();
        assert_eq!(load_oci_spec_in(&bundle).unwrap().version(), "1.2.0");
    }

    #[test]
    fn bundle_is_the_working_directory() {
        assert_eq!(get_bundle_path().unwrap(), env::current_dir().unwrap());
        // The crate's directory holds no spec.
        assert!(matches!(load_oci_spec(), Err(OciSpecError::Io(_))));
        assert!(matches!(
            get_shim_id_info(),
            Err(Error::Oci(OciSpecError::Io(_)))
        ));
    }
}
