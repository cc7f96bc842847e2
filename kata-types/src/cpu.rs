//! CPU sets and the CPU resources of containers and sandboxes.
//!
//! Source: [`linux.resources.cpu`] of the OCI runtime specification.
//!
//! [`linux.resources.cpu`]: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#cpu

use oci_spec::runtime::LinuxCpu;

use crate::utils::u32_set::U32Set;

/// A set of CPU ids.
pub type CpuSet = U32Set;

/// A set of NUMA node ids.
pub type NumaNodeSet = U32Set;

/// The CPU part of an OCI spec is malformed.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// `cpus` is not a CPU list.
    #[error("Invalid CPU list: {0}")]
    InvalidCpuSet(#[source] crate::Error),
    /// `mems` is not a list of NUMA nodes.
    #[error("Invalid NUMA memory node list: {0}")]
    InvalidNodeSet(#[source] crate::Error),
}

/// The CPU resources that one container asks for.
///
/// ```
/// use kata_types::cpu::LinuxContainerCpuResources;
/// use oci_spec::runtime::LinuxCpuBuilder;
///
/// let cpu = LinuxCpuBuilder::default().period(100_000u64).quota(150_000i64).build()?;
/// let resources = LinuxContainerCpuResources::try_from(&cpu)?;
/// assert_eq!(resources.get_vcpus(), Some(1.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct LinuxContainerCpuResources {
    shares: u64,
    period: u64,
    quota: i64,
    cpuset: CpuSet,
    nodeset: NumaNodeSet,
    calculated_vcpu_time: Option<f64>,
}

impl LinuxContainerCpuResources {
    /// Relative CPU weight; 0 when not given.
    ///
    /// ```
    /// use kata_types::cpu::LinuxContainerCpuResources;
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().shares(512_u64).build()?;
    /// let container = LinuxContainerCpuResources::try_from(&cpu)?;
    /// assert_eq!(container.shares(), 512);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shares(&self) -> u64 {
        self.shares
    }

    /// Scheduling period in microseconds; 0 when not given.
    ///
    /// ```
    /// use kata_types::cpu::LinuxContainerCpuResources;
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().period(100_000_u64).build()?;
    /// let container = LinuxContainerCpuResources::try_from(&cpu)?;
    /// assert_eq!(container.period(), 100_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn period(&self) -> u64 {
        self.period
    }

    /// CPU time per period in microseconds; negative means unlimited, which is the default.
    ///
    /// ```
    /// use kata_types::cpu::LinuxContainerCpuResources;
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().build()?;
    /// let container = LinuxContainerCpuResources::try_from(&cpu)?;
    /// assert_eq!(container.quota(), -1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quota(&self) -> i64 {
        self.quota
    }

    /// CPUs that the container may run on; empty when not restricted.
    ///
    /// ```
    /// use kata_types::cpu::LinuxContainerCpuResources;
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().cpus("0-2,8").build()?;
    /// let container = LinuxContainerCpuResources::try_from(&cpu)?;
    /// assert_eq!(container.cpuset().to_string(), "0-2,8");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cpuset(&self) -> &CpuSet {
        &self.cpuset
    }

    /// NUMA nodes that the container may take memory from; empty when not restricted.
    ///
    /// ```
    /// use kata_types::cpu::LinuxContainerCpuResources;
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().mems("1").build()?;
    /// let container = LinuxContainerCpuResources::try_from(&cpu)?;
    /// assert_eq!(container.nodeset().to_string(), "1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn nodeset(&self) -> &NumaNodeSet {
        &self.nodeset
    }

    /// The vCPUs that the container needs: quota / period, or else the size of its CPU set.
    ///
    /// `None` when neither restricts it.
    ///
    /// ```
    /// use kata_types::cpu::LinuxContainerCpuResources;
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().quota(150_000_i64).period(100_000_u64).cpus("0-7").build()?;
    /// let container = LinuxContainerCpuResources::try_from(&cpu)?;
    /// assert_eq!(container.get_vcpus(), Some(1.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_vcpus(&self) -> Option<f64> {
        self.calculated_vcpu_time
    }
}

impl TryFrom<&LinuxCpu> for LinuxContainerCpuResources {
    type Error = Error;

    /// Reads `shares`, `period`, `quota`, `cpus` and `mems`; real-time fields are ignored.
    fn try_from(value: &LinuxCpu) -> Result<Self, Self::Error> {
        let period = value.period().unwrap_or(0);
        let quota = value.quota().unwrap_or(-1);
        let cpuset = match value.cpus() {
            Some(cpus) => cpus.parse().map_err(Error::InvalidCpuSet)?,
            None => CpuSet::new(),
        };
        let nodeset = match value.mems() {
            Some(mems) => mems.parse().map_err(Error::InvalidNodeSet)?,
            None => NumaNodeSet::new(),
        };
        let calculated_vcpu_time = if quota >= 0 && period > 0 {
            Some(quota as f64 / period as f64)
        } else if !cpuset.is_empty() {
            Some(cpuset.len() as f64)
        } else {
            None
        };
        Ok(Self {
            shares: value.shares().unwrap_or(0),
            period,
            quota,
            cpuset,
            nodeset,
            calculated_vcpu_time,
        })
    }
}

/// The CPU resources of a sandbox: the sum over its containers.
///
/// ```
/// use kata_types::cpu::{LinuxContainerCpuResources, LinuxSandboxCpuResources};
/// use oci_spec::runtime::LinuxCpuBuilder;
///
/// let cpu = LinuxCpuBuilder::default().cpus("0-2").build()?;
/// let mut sandbox = LinuxSandboxCpuResources::new(1024);
/// sandbox.merge(&LinuxContainerCpuResources::try_from(&cpu)?);
/// assert_eq!(sandbox.get_vcpus(), 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default, Debug)]
pub struct LinuxSandboxCpuResources {
    shares: u64,
    calculated_vcpu: f64,
    cpuset: CpuSet,
    nodeset: NumaNodeSet,
}

impl LinuxSandboxCpuResources {
    /// A sandbox without containers and with this relative CPU weight.
    ///
    /// ```
    /// let sandbox = kata_types::cpu::LinuxSandboxCpuResources::new(1024);
    /// assert_eq!(sandbox.get_vcpus(), 0.0);
    /// ```
    pub fn new(shares: u64) -> Self {
        Self {
            shares,
            ..Default::default()
        }
    }

    /// The relative CPU weight given to [`new`](Self::new).
    ///
    /// ```
    /// let sandbox = kata_types::cpu::LinuxSandboxCpuResources::new(1024);
    /// assert_eq!(sandbox.shares(), 1024);
    /// ```
    pub fn shares(&self) -> u64 {
        self.shares
    }

    /// The sum of the vCPUs of the containers.
    ///
    /// A container that is restricted by a CPU set only counts the whole set, also when it shares
    /// those CPUs with others.
    ///
    /// ```
    /// use kata_types::cpu::{LinuxContainerCpuResources, LinuxSandboxCpuResources};
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().cpus("0-2").build()?;
    /// let mut sandbox = LinuxSandboxCpuResources::new(1024);
    /// sandbox.merge(&LinuxContainerCpuResources::try_from(&cpu)?);
    /// assert_eq!(sandbox.calculated_vcpu(), 3.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn calculated_vcpu(&self) -> f64 {
        self.calculated_vcpu
    }

    /// The union of the CPU sets.
    ///
    /// ```
    /// use kata_types::cpu::{LinuxContainerCpuResources, LinuxSandboxCpuResources};
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().cpus("0-2").build()?;
    /// let mut sandbox = LinuxSandboxCpuResources::new(1024);
    /// sandbox.merge(&LinuxContainerCpuResources::try_from(&cpu)?);
    /// assert_eq!(sandbox.cpuset().to_string(), "0-2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cpuset(&self) -> &CpuSet {
        &self.cpuset
    }

    /// The union of the NUMA node sets.
    ///
    /// ```
    /// use kata_types::cpu::{LinuxContainerCpuResources, LinuxSandboxCpuResources};
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().mems("1").build()?;
    /// let mut sandbox = LinuxSandboxCpuResources::new(1024);
    /// sandbox.merge(&LinuxContainerCpuResources::try_from(&cpu)?);
    /// assert_eq!(sandbox.nodeset().to_string(), "1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn nodeset(&self) -> &NumaNodeSet {
        &self.nodeset
    }

    /// [`calculated_vcpu`](Self::calculated_vcpu), or the size of the CPU set when that is zero.
    ///
    /// ```
    /// use kata_types::cpu::{LinuxContainerCpuResources, LinuxSandboxCpuResources};
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let cpu = LinuxCpuBuilder::default().cpus("0-2").build()?;
    /// let mut sandbox = LinuxSandboxCpuResources::new(1024);
    /// sandbox.merge(&LinuxContainerCpuResources::try_from(&cpu)?);
    /// assert_eq!(sandbox.get_vcpus(), 3.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_vcpus(&self) -> f64 {
        if self.calculated_vcpu == 0.0 {
            self.cpuset.len() as f64
        } else {
            self.calculated_vcpu
        }
    }

    /// Adds the resources of one container.
    ///
    /// ```
    /// use kata_types::cpu::{LinuxContainerCpuResources, LinuxSandboxCpuResources};
    /// use oci_spec::runtime::LinuxCpuBuilder;
    ///
    /// let first = LinuxCpuBuilder::default().quota(50_000_i64).period(100_000_u64).build()?;
    /// let second = LinuxCpuBuilder::default().cpus("0-1").build()?;
    /// let mut sandbox = LinuxSandboxCpuResources::new(1024);
    /// sandbox
    ///     .merge(&LinuxContainerCpuResources::try_from(&first)?)
    ///     .merge(&LinuxContainerCpuResources::try_from(&second)?);
    /// assert_eq!(sandbox.get_vcpus(), 2.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&mut self, container_resource: &LinuxContainerCpuResources) -> &mut Self {
        if let Some(vcpus) = container_resource.calculated_vcpu_time {
            self.calculated_vcpu += vcpus;
        }
        self.cpuset.extend(&container_resource.cpuset);
        self.nodeset.extend(&container_resource.nodeset);
        self
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxCpuBuilder;

    use super::*;

    fn resources(cpu: LinuxCpu) -> LinuxContainerCpuResources {
        LinuxContainerCpuResources::try_from(&cpu).unwrap()
    }

    #[test]
    fn absent_fields_have_their_defaults() {
        let none = resources(LinuxCpu::default());
        assert_eq!((none.shares(), none.period(), none.quota()), (0, 0, -1));
        assert!(none.cpuset().is_empty() && none.nodeset().is_empty());
        assert_eq!(none.get_vcpus(), None);
        assert_eq!(LinuxContainerCpuResources::default().get_vcpus(), None);
    }

    #[test]
    fn quota_and_period_come_before_the_cpu_set() {
        let cpu = || LinuxCpuBuilder::default().cpus("0-3").shares(7u64);
        let of = |builder: LinuxCpuBuilder| resources(builder.build().unwrap());
        assert_eq!(of(cpu().quota(50i64).period(100u64)).get_vcpus(), Some(0.5));
        assert_eq!(of(cpu().quota(0i64).period(100u64)).get_vcpus(), Some(0.0));
        assert_eq!(of(cpu().quota(-1i64).period(100u64)).get_vcpus(), Some(4.0));
        assert_eq!(of(cpu().quota(50i64).period(0u64)).get_vcpus(), Some(4.0));
        assert_eq!(of(cpu().quota(50i64)).get_vcpus(), Some(4.0));
        assert_eq!(of(cpu()).shares(), 7);
    }

    #[test]
    fn malformed_lists_name_the_field() {
        let cpu = LinuxCpuBuilder::default().cpus("a").build().unwrap();
        let error = LinuxContainerCpuResources::try_from(&cpu).unwrap_err();
        assert_eq!(error.to_string(), "Invalid CPU list: invalid list a");
        let cpu = LinuxCpuBuilder::default().mems("1-1").build().unwrap();
        let error = LinuxContainerCpuResources::try_from(&cpu).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid NUMA memory node list: invalid list 1-1"
        );
    }

    #[test]
    fn sandbox_sums_vcpus_and_joins_sets() {
        let mut sandbox = LinuxSandboxCpuResources::new(1024);
        assert_eq!(sandbox.get_vcpus(), 0.0);
        let cpu = |cpus: &str, mems: &str| {
            resources(
                LinuxCpuBuilder::default()
                    .cpus(cpus)
                    .mems(mems)
                    .shares(5u64)
                    .build()
                    .unwrap(),
            )
        };
        sandbox
            .merge(&cpu("0-1", "0"))
            .merge(&cpu("1-2", "1"))
            .merge(&resources(LinuxCpu::default()));
        assert_eq!(sandbox.shares(), 1024);
        // Overlapping sets count whole.
        assert_eq!(sandbox.calculated_vcpu(), 4.0);
        assert_eq!(sandbox.get_vcpus(), 4.0);
        assert_eq!(sandbox.cpuset(), &CpuSet::from(vec![0, 1, 2]));
        assert_eq!(sandbox.nodeset(), &NumaNodeSet::from(vec![0, 1]));
    }

    #[test]
    fn sum_of_zero_falls_back_to_the_cpu_set() {
        let mut sandbox = LinuxSandboxCpuResources::new(0);
        let cpu = LinuxCpuBuilder::default()
            .cpus("0-2")
            .quota(0i64)
            .period(100u64)
            .build()
            .unwrap();
        sandbox.merge(&resources(cpu));
        assert_eq!(sandbox.calculated_vcpu(), 0.0);
        assert_eq!(sandbox.get_vcpus(), 3.0);
    }
}
