//! Kubernetes: kinds of volumes by path, and the role of a container by its annotations.
//!
//! The kubelet puts a [volume](https://kubernetes.io/docs/concepts/storage/volumes/) at `<pod dir>/volumes/<plugin>/<name>`, where the plugin name has its
//! slash escaped to a tilde, such as `kubernetes.io~secret`.

mod watchable;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use oci_spec::runtime::Spec;

use crate::annotations::{cri_containerd, crio, dockershim};
use crate::container::ContainerType;

pub use watchable::is_watchable_mount;

const EMPTY_DIR: &str = "kubernetes.io~empty-dir";
const CONFIGMAP: &str = "kubernetes.io~configmap";
const SECRET: &str = "kubernetes.io~secret";
const PROJECTED: &str = "kubernetes.io~projected";
const DOWNWARD_API: &str = "kubernetes.io~downward-api";

const CONTAINER_TYPE_KEYS: [&str; 3] = [
    crio::CONTAINER_TYPE_LABEL_KEY,
    cri_containerd::CONTAINER_TYPE_LABEL_KEY,
    dockershim::CONTAINER_TYPE_LABEL_KEY,
];
const SANDBOX_ID_KEYS: [&str; 3] = [
    crio::SANDBOX_ID_LABEL_KEY,
    cri_containerd::SANDBOX_ID_LABEL_KEY,
    dockershim::SANDBOX_ID_LABEL_KEY,
];
const CONTAINER_NAME_KEYS: [&str; 2] = [
    cri_containerd::CONTAINER_NAME_LABEL_KEY,
    crio::CONTAINER_NAME_LABEL_KEY,
];

/// Whether the path is that of an `emptyDir` volume.
///
/// ```
/// use kata_types::k8s::is_empty_dir;
/// assert!(is_empty_dir("/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/cache"));
/// assert!(!is_empty_dir("/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir"));
/// ```
pub fn is_empty_dir<P: AsRef<Path>>(path: P) -> bool {
    is_special_dir(path, EMPTY_DIR)
}

/// Whether the path is that of a `configMap` volume.
///
/// ```
/// assert!(kata_types::k8s::is_configmap("/pods/1/volumes/kubernetes.io~configmap/app"));
/// ```
pub fn is_configmap<P: AsRef<Path>>(path: P) -> bool {
    is_special_dir(path, CONFIGMAP)
}

/// Whether the path is that of a `secret` volume.
///
/// ```
/// assert!(kata_types::k8s::is_secret("/pods/1/volumes/kubernetes.io~secret/token"));
/// ```
pub fn is_secret<P: AsRef<Path>>(path: P) -> bool {
    is_special_dir(path, SECRET)
}

/// Whether the path is that of a `projected` volume.
///
/// ```
/// assert!(kata_types::k8s::is_projected("/pods/1/volumes/kubernetes.io~projected/api"));
/// ```
pub fn is_projected<P: AsRef<Path>>(path: P) -> bool {
    is_special_dir(path, PROJECTED)
}

/// Whether the path is that of a `downwardAPI` volume.
///
/// ```
/// assert!(kata_types::k8s::is_downward_api("/pods/1/volumes/kubernetes.io~downward-api/info"));
/// ```
pub fn is_downward_api<P: AsRef<Path>>(path: P) -> bool {
    is_special_dir(path, DOWNWARD_API)
}

/// Whether the last but one component of the path is exactly `dir_type`.
///
/// The test is lexical: nothing is looked up, repeated and trailing slashes do not count, and
/// subPath mounts (which lie deeper) are not recognised.
///
/// ```
/// use kata_types::k8s::is_special_dir;
/// assert!(is_special_dir("/pods/kind//name/", "kind"));
/// assert!(!is_special_dir("/pods/kind/name/deeper", "kind"));
/// ```
pub fn is_special_dir<P: AsRef<Path>>(path: P, dir_type: &str) -> bool {
    path.as_ref().parent().and_then(Path::file_name) == Some(OsStr::new(dir_type))
}

/// The role of a container, from the annotations of CRI-O, containerd or dockershim.
///
/// The first of these annotations whose value is a [`ContainerType`] decides; without one it is a
/// [`ContainerType::SingleContainer`].
///
/// ```
/// use kata_types::{container::ContainerType, k8s::container_type};
/// let mut spec = oci_spec::runtime::Spec::default();
/// assert_eq!(container_type(&spec), ContainerType::SingleContainer);
/// spec.set_annotations(Some(
///     [("io.kubernetes.cri.container-type".to_string(), "sandbox".to_string())].into(),
/// ));
/// assert_eq!(container_type(&spec), ContainerType::PodSandbox);
/// ```
pub fn container_type(spec: &Spec) -> ContainerType {
    lookups(spec, &CONTAINER_TYPE_KEYS)
        .find_map(|value| value.parse().ok())
        .unwrap_or(ContainerType::SingleContainer)
}

/// The name of a container, from the annotations of containerd or CRI-O; empty when there is none.
///
/// ```
/// let mut spec = oci_spec::runtime::Spec::default();
/// spec.set_annotations(Some(
///     [("io.kubernetes.cri.container-name".to_string(), "web".to_string())].into(),
/// ));
/// assert_eq!(kata_types::k8s::container_name(&spec), "web");
/// ```
pub fn container_name(spec: &Spec) -> String {
    lookups(spec, &CONTAINER_NAME_KEYS)
        .next()
        .cloned()
        .unwrap_or_default()
}

/// The [`container_type`], and for a container inside a pod the id of its sandbox.
///
/// ```
/// use kata_types::{container::ContainerType, k8s::container_type_with_id};
/// let mut spec = oci_spec::runtime::Spec::default();
/// spec.set_annotations(Some(
///     [
///         ("io.kubernetes.cri.container-type".to_string(), "container".to_string()),
///         ("io.kubernetes.cri.sandbox-id".to_string(), "s1".to_string()),
///     ]
///     .into(),
/// ));
/// assert_eq!(
///     container_type_with_id(&spec),
///     (ContainerType::PodContainer, Some("s1".to_string()))
/// );
/// ```
pub fn container_type_with_id(spec: &Spec) -> (ContainerType, Option<String>) {
    let kind = container_type(spec);
    let sandbox_id = if kind.is_pod_container() {
        lookups(spec, &SANDBOX_ID_KEYS).next().cloned()
    } else {
        None
    };
    (kind, sandbox_id)
}

/// The values of those keys that the spec's annotations have, in the order of the keys.
fn lookups<'a>(spec: &'a Spec, keys: &'a [&str]) -> impl Iterator<Item = &'a String> {
    let annotations: Option<&HashMap<String, String>> = spec.annotations().as_ref();
    keys.iter()
        .filter_map(move |key| annotations.and_then(|annotations| annotations.get(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_directory_is_the_last_but_one_component() {
        for (path, special) in [
            ("/x/kind/name", true),
            ("/kind/name", true),
            ("kind/name", true),
            ("/x/kind//name", true),
            ("/x/kind/name/", true),
            ("/x/kind/..", true), // lexical, S-7
            ("/x/kind", false),
            ("kind", false),
            ("", false),
            ("/", false),
            ("/x/kind-test/name", false),
            ("/x/akind/name", false),
            ("/x/kind/name/deeper", false),
        ] {
            assert_eq!(is_special_dir(path, "kind"), special, "{path}");
        }
    }

    #[test]
    fn each_volume_kind_has_its_directory() {
        type Query = fn(String) -> bool;
        let kinds: [(&str, Query); 5] = [
            ("kubernetes.io~empty-dir", is_empty_dir),
            ("kubernetes.io~configmap", is_configmap),
            ("kubernetes.io~secret", is_secret),
            ("kubernetes.io~projected", is_projected),
            ("kubernetes.io~downward-api", is_downward_api),
        ];
        for (name, _) in kinds {
            let path = format!("/var/lib/kubelet/pods/1/volumes/{name}/v");
            for (other, query) in kinds {
                assert_eq!(query(path.clone()), name == other);
            }
        }
    }

    fn spec(annotations: &[(&str, &str)]) -> Spec {
        let mut spec = Spec::default();
        spec.set_annotations(Some(
            annotations
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
        ));
        spec
    }

    #[test]
    fn first_parsable_container_type_wins() {
        let crio = crio::CONTAINER_TYPE_LABEL_KEY;
        let containerd = cri_containerd::CONTAINER_TYPE_LABEL_KEY;
        let docker = dockershim::CONTAINER_TYPE_LABEL_KEY;
        for (annotations, kind) in [
            (
                vec![(crio, "sandbox"), (containerd, "container")],
                ContainerType::PodSandbox,
            ),
            (
                vec![(crio, "bogus"), (containerd, "container")],
                ContainerType::PodContainer,
            ),
            (vec![(docker, "podsandbox")], ContainerType::PodSandbox),
            (vec![(docker, "bogus")], ContainerType::SingleContainer),
            (vec![], ContainerType::SingleContainer),
        ] {
            assert_eq!(container_type(&spec(&annotations)), kind, "{annotations:?}");
        }
        assert_eq!(
            container_type(&Spec::default()),
            ContainerType::SingleContainer
        );
    }

    #[test]
    fn sandbox_id_belongs_to_pod_containers_only() {
        let kind = cri_containerd::CONTAINER_TYPE_LABEL_KEY;
        let ids = [
            (crio::SANDBOX_ID_LABEL_KEY, "from-crio"),
            (cri_containerd::SANDBOX_ID_LABEL_KEY, "from-containerd"),
            (dockershim::SANDBOX_ID_LABEL_KEY, "from-docker"),
        ];
        for (position, (_, expected)) in ids.iter().enumerate() {
            let mut annotations = ids[position..].to_vec();
            annotations.push((kind, "container"));
            assert_eq!(
                container_type_with_id(&spec(&annotations)),
                (ContainerType::PodContainer, Some(expected.to_string()))
            );
        }
        assert_eq!(
            container_type_with_id(&spec(&[(kind, "container")])),
            (ContainerType::PodContainer, None)
        );
        assert_eq!(
            container_type_with_id(&spec(&[(kind, "sandbox"), ids[1]])),
            (ContainerType::PodSandbox, None)
        );
        assert_eq!(
            container_type_with_id(&spec(&ids)),
            (ContainerType::SingleContainer, None)
        );
    }

    #[test]
    fn container_name_prefers_containerd() {
        let containerd = (cri_containerd::CONTAINER_NAME_LABEL_KEY, "a");
        let crio = (crio::CONTAINER_NAME_LABEL_KEY, "b");
        assert_eq!(container_name(&spec(&[crio, containerd])), "a");
        assert_eq!(container_name(&spec(&[crio])), "b");
        assert_eq!(container_name(&spec(&[])), "");
        assert_eq!(container_name(&Spec::default()), "");
    }
}
