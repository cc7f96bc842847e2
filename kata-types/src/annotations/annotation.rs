//! The annotations of a pod or container.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufReader};
use std::str::FromStr;

use serde::Deserialize;
use slog::warn;

use super::setting::{Entry, invalid_data};
use super::{
    BUNDLE_PATH_KEY, CONTAINER_TYPE_KEY, KATA_ANNO_CFG_HYPERVISOR_INIT_DATA,
    KATA_ANNO_CONTAINER_RES_SWAP_IN_BYTES, KATA_ANNO_CONTAINER_RES_SWAPPINESS,
    SANDBOX_CFG_PATH_KEY, apply, cri_containerd,
};
use crate::bounded_items;
use crate::config::TomlConfig;
use crate::config::redact::Digest;

/// The most that `swappiness` can be; see `memory.swappiness` in the kernel's cgroup v1
/// documentation.
const MAX_SWAPPINESS: u32 = 100;

/// The annotations of a pod or container.
///
/// They are written by the author of the pod, who is not to be trusted. When they are deserialized,
/// more than 65536 are an error.
///
/// ```
/// use kata_types::annotations::{Annotation, KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS};
/// let annotations = Annotation::from(
///     [(KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS.to_string(), " 2 ".to_string())]
///         .into_iter()
///         .collect::<std::collections::HashMap<_, _>>(),
/// );
/// assert_eq!(annotations.get(KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS).as_deref(), Some("2"));
/// assert_eq!(annotations.get_value::<f32>(KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS), Ok(Some(2.0)));
/// ```
///
/// [`Debug`](fmt::Debug) shows an initdata document as length and digest only.
#[derive(Default, Deserialize)]
pub struct Annotation {
    #[serde(deserialize_with = "bounded_items::annotations")]
    annotations: HashMap<String, String>,
}

impl fmt::Debug for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Value<'a>(&'a str, &'a str);

        impl fmt::Debug for Value<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    Value(KATA_ANNO_CFG_HYPERVISOR_INIT_DATA, value) => Digest(value).fmt(f),
                    Value(_, value) => fmt::Debug::fmt(value, f),
                }
            }
        }

        let values: BTreeMap<_, _> = self
            .annotations
            .iter()
            .map(|(key, value)| (key, Value(key, value)))
            .collect();
        f.debug_struct("Annotation")
            .field("annotations", &values)
            .finish()
    }
}

impl From<HashMap<String, String>> for Annotation {
    fn from(annotations: HashMap<String, String>) -> Self {
        Annotation { annotations }
    }
}

impl Annotation {
    /// Takes annotations as they are.
    pub fn new(annotations: HashMap<String, String>) -> Annotation {
        Annotation { annotations }
    }

    /// Reads a value of any type from a JSON file.
    ///
    /// # Errors
    /// When the file cannot be read, or is not such JSON.
    ///
    /// ```
    /// # let file = tempfile::NamedTempFile::new()?;
    /// # std::fs::write(file.path(), r#"{"annotations":{"a":"b"}}"#)?;
    /// # let path = file.path().to_str().unwrap();
    /// use kata_types::annotations::Annotation;
    /// let annotations: Annotation = Annotation::deserialize(path)?;
    /// assert_eq!(annotations.get("a").as_deref(), Some("b"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deserialize<T>(path: &str) -> io::Result<T>
    where
        for<'a> T: Deserialize<'a>,
    {
        let file = BufReader::new(File::open(path)?);
        Ok(serde_json::from_reader(file)?)
    }

    /// All annotations.
    pub fn get_annotations(&self) -> &HashMap<String, String> {
        &self.annotations
    }

    /// All annotations, to be changed.
    pub fn get_annotations_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.annotations
    }

    /// The parsed value of an annotation, without the blanks around it; `Ok(None)` when there is no
    /// such annotation.
    ///
    /// # Errors
    /// What the parser of the type says.
    pub fn get_value<T>(&self, key: &str) -> Result<Option<T>, <T as FromStr>::Err>
    where
        T: FromStr,
    {
        match self.annotations.get(key) {
            Some(value) => value.trim().parse().map(Some),
            None => Ok(None),
        }
    }

    /// The value of an annotation, without the blanks around it.
    pub fn get(&self, key: &str) -> Option<String> {
        self.annotations
            .get(key)
            .map(|value| value.trim().to_string())
    }
}

impl Annotation {
    /// The configuration file that the pod asks for; see [`SANDBOX_CFG_PATH_KEY`] for the risk.
    pub fn get_sandbox_config_path(&self) -> Option<String> {
        self.get(SANDBOX_CFG_PATH_KEY)
    }

    /// The path of the OCI bundle.
    pub fn get_bundle_path(&self) -> Option<String> {
        self.get(BUNDLE_PATH_KEY)
    }

    /// The role of the container.
    pub fn get_container_type(&self) -> Option<String> {
        self.get(CONTAINER_TYPE_KEY)
    }

    /// The CPU quota of the pod, in microseconds per period; 0 when it is not given or malformed.
    pub fn get_sandbox_cpu_quota(&self) -> i64 {
        self.number_or_zero(cri_containerd::SANDBOX_CPU_QUOTA_KEY)
    }

    /// The CPU period of the pod, in microseconds; 0 when it is not given or malformed.
    pub fn get_sandbox_cpu_period(&self) -> u64 {
        self.number_or_zero(cri_containerd::SANDBOX_CPU_PERIOD_KEY)
    }

    /// The memory limit of the pod, in bytes; 0 when it is not given or malformed.
    pub fn get_sandbox_mem(&self) -> i64 {
        self.number_or_zero(cri_containerd::SANDBOX_MEM_KEY)
    }

    /// The swappiness of the container, 0 to 100; `Ok(None)` when it is not given.
    ///
    /// # Errors
    /// `InvalidData` when it is no such number.
    ///
    /// ```
    /// # use kata_types::annotations::{Annotation, KATA_ANNO_CONTAINER_RES_SWAPPINESS};
    /// let mut annotations = Annotation::default();
    /// assert_eq!(annotations.get_container_resource_swappiness()?, None);
    /// annotations
    ///     .get_annotations_mut()
    ///     .insert(KATA_ANNO_CONTAINER_RES_SWAPPINESS.to_string(), "60".to_string());
    /// assert_eq!(annotations.get_container_resource_swappiness()?, Some(60));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_container_resource_swappiness(&self) -> io::Result<Option<u32>> {
        let key = KATA_ANNO_CONTAINER_RES_SWAPPINESS;
        let Some(value) = self.annotations.get(key) else {
            return Ok(None);
        };
        let swappiness: u32 = Entry { key, value }.parse("u32")?;
        if swappiness > MAX_SWAPPINESS {
            return Err(invalid_data(format!(
                "{swappiness} greater than {MAX_SWAPPINESS}"
            )));
        }
        Ok(Some(swappiness))
    }

    /// The swap space of the container, in bytes, as text.
    pub fn get_container_resource_swap_in_bytes(&self) -> Option<String> {
        self.get(KATA_ANNO_CONTAINER_RES_SWAP_IN_BYTES)
    }

    fn number_or_zero<T>(&self, key: &str) -> T
    where
        T: FromStr<Err: Display> + Default,
    {
        match self.get_value(key) {
            Ok(value) => value.unwrap_or_default(),
            Err(error) => {
                warn!(sl!(), "Annotation {key} is malformed and counts as 0"; "error" => %error);
                T::default()
            }
        }
    }
}

impl Annotation {
    /// Changes a configuration as the annotations ask, as far as they may, and adjusts it.
    ///
    /// [`markdown_reference`](super::markdown_reference) lists the keys. Those of the hypervisor
    /// section are honoured only when the operator has enabled them in `enable_annotations`; others
    /// are ignored with a warning. The runtime and agent sections have no such list:
    /// `hypervisor_name` in particular lets a pod choose any configured hypervisor, also one that
    /// enables more annotations.
    ///
    /// Keys are taken in ascending order. Nothing is changed when one of them, or the final
    /// [`adjust_config`](TomlConfig::adjust_config), fails. The result is not
    /// [validated](TomlConfig::validate).
    ///
    /// # Errors
    /// `InvalidData` when a value is malformed or out of range, or a list of more than 4096 items, with
    /// key, value and reason;
    /// `InvalidInput` when a key is enabled that sets nothing; other kinds from the checks of paths and
    /// from adjusting.
    ///
    /// ```
    /// use kata_types::annotations::{Annotation, KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS};
    /// use kata_types::config::{Agent, Hypervisor, TomlConfig};
    ///
    /// let mut hypervisor = Hypervisor::default();
    /// hypervisor.remote_info.hypervisor_socket = "/dev/null".to_string();
    /// hypervisor.security_info.enable_annotations = vec!["default_vcpus".to_string()];
    /// let mut config = TomlConfig::default();
    /// config.hypervisor.insert("remote".to_string(), hypervisor);
    /// config.agent.insert("kata".to_string(), Agent::default());
    /// config.runtime.name = "virt_container".to_string();
    /// config.runtime.hypervisor_name = "remote".to_string();
    /// config.runtime.agent_name = "kata".to_string();
    ///
    /// let annotations = Annotation::new(
    ///     [(KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS.to_string(), "0.5".to_string())].into(),
    /// );
    /// annotations.update_config_by_annotation(&mut config)?;
    /// assert_eq!(config.hypervisor["remote"].cpu_info.default_vcpus, 0.5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn update_config_by_annotation(&self, config: &mut TomlConfig) -> io::Result<()> {
        apply::apply(&self.annotations, config)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn annotation(pairs: &[(&str, &str)]) -> Annotation {
        Annotation::new(
            pairs
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
        )
    }

    #[test]
    fn values_are_trimmed_and_parsed() {
        let annotations = annotation(&[("a", "\u{a0} 7\n"), ("b", "x y"), ("c", "true")]);
        assert_eq!(annotations.get("a").as_deref(), Some("7"));
        assert_eq!(annotations.get("b").as_deref(), Some("x y"));
        assert_eq!(annotations.get("z"), None);
        assert_eq!(annotations.get_value::<u8>("a"), Ok(Some(7)));
        assert_eq!(annotations.get_value::<u8>("z"), Ok(None));
        assert!(annotations.get_value::<u8>("b").is_err());
        assert_eq!(annotations.get_value::<bool>("c"), Ok(Some(true)));
        assert_eq!(annotations.get_annotations().len(), 3);
    }

    #[test]
    fn getters_read_their_keys() {
        let annotations = annotation(&[
            ("io.katacontainers.config_path", " /c "),
            ("io.katacontainers.pkg.oci.bundle_path", "/b"),
            ("io.katacontainers.pkg.oci.container_type", "pod_sandbox"),
            ("io.katacontainers.container.resource.swap_in_bytes", "1024"),
        ]);
        let text = |value: Option<String>| value.unwrap();
        assert_eq!(text(annotations.get_sandbox_config_path()), "/c");
        assert_eq!(text(annotations.get_bundle_path()), "/b");
        assert_eq!(text(annotations.get_container_type()), "pod_sandbox");
        assert_eq!(
            text(annotations.get_container_resource_swap_in_bytes()),
            "1024"
        );
        let none = Annotation::default();
        assert_eq!(none.get_sandbox_config_path(), None);
        assert_eq!(none.get_bundle_path(), None);
        assert_eq!(none.get_container_type(), None);
        assert_eq!(none.get_container_resource_swap_in_bytes(), None);
    }

    #[test]
    fn pod_resources_are_zero_when_absent_or_malformed() {
        let quota = cri_containerd::SANDBOX_CPU_QUOTA_KEY;
        let period = cri_containerd::SANDBOX_CPU_PERIOD_KEY;
        let memory = cri_containerd::SANDBOX_MEM_KEY;
        let given = annotation(&[(quota, " -1 "), (period, "100000"), (memory, "1024")]);
        assert_eq!(given.get_sandbox_cpu_quota(), -1);
        assert_eq!(given.get_sandbox_cpu_period(), 100_000);
        assert_eq!(given.get_sandbox_mem(), 1024);
        let malformed = annotation(&[(quota, "x"), (period, "-1"), (memory, "1Gi")]);
        for annotations in [malformed, Annotation::default()] {
            assert_eq!(annotations.get_sandbox_cpu_quota(), 0);
            assert_eq!(annotations.get_sandbox_cpu_period(), 0);
            assert_eq!(annotations.get_sandbox_mem(), 0);
        }
    }

    #[test]
    fn swappiness_is_a_percentage() {
        let swappiness = |value: &str| {
            annotation(&[(KATA_ANNO_CONTAINER_RES_SWAPPINESS, value)])
                .get_container_resource_swappiness()
        };
        assert_eq!(swappiness("0").unwrap(), Some(0));
        assert_eq!(swappiness(" 100 ").unwrap(), Some(100));
        let error = swappiness("101").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "101 greater than 100");
        let error = swappiness("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            "parse u32 error: annotation io.katacontainers.container.resource.swappiness has \
             invalid value \"a\": invalid digit found in string"
        );
        let none = Annotation::default();
        assert_eq!(none.get_container_resource_swappiness().unwrap(), None);
    }

    #[test]
    fn json_files_deserialize_to_any_type() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, r#"{"annotations":{"k":"v"}}"#).unwrap();
        let annotations: Annotation = Annotation::deserialize(path).unwrap();
        assert_eq!(annotations.get("k").as_deref(), Some("v"));
        let error = Annotation::deserialize::<Vec<u8>>(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        std::fs::write(path, "{").unwrap();
        let error = Annotation::deserialize::<Annotation>(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let error = Annotation::deserialize::<Annotation>("/no/such/file").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
