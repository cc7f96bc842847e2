//! Virtual CPUs.

use std::io;

use serde::{Deserialize, Serialize};

use super::list_text::trim_items;
use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};

/// CPU settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "CpuInfo::default")]
pub struct CpuInfo {
    /// CPU features for the hypervisor, separated by commas: `pmu=off,vmx=off`. Default: empty.
    pub cpu_features: String,

    /// Virtual CPUs of a VM when it starts; fractions are possible.
    ///
    /// 0 is 1, a negative number is as many as the host has, and the host and `default_maxvcpus`
    /// are the upper limits. Default: 0.
    pub default_vcpus: f32,

    /// Virtual CPUs that a VM can have at most. 0, or more than the host has, is as many as the
    /// host has and the hypervisor supports. Default: 0.
    pub default_maxvcpus: u32,
}

impl CpuInfo {
    /// Trims `cpu_features`, and limits the CPUs to those of the host: to be exact, to those that
    /// this process may use, like [`num_cpus::get`](https://docs.rs/num_cpus), read once per
    /// process.
    ///
    /// # Errors
    ///
    /// `default_vcpus` is infinite or not a number.
    ///
    /// ```
    /// use kata_types::config::hypervisor::CpuInfo;
    ///
    /// let mut cpu = CpuInfo { cpu_features: " a , b ".into(), ..Default::default() };
    /// cpu.adjust_config()?;
    /// assert_eq!(cpu.cpu_features, "a,b");
    /// assert_eq!(cpu.default_vcpus, 1.0);
    /// assert!(cpu.default_maxvcpus >= 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx, None))
    }

    /// Checks that `default_vcpus` is at most `default_maxvcpus`.
    ///
    /// # Errors
    ///
    /// It is not, or `default_vcpus` is not a number.
    pub fn validate(&self) -> io::Result<()> {
        self.validate_in().map_err(|e| e.error)
    }

    /// `supported` is the most that the hypervisor can run, if the default has to respect it (D4).
    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>, supported: Option<u32>) -> Checked {
        self.cpu_features = trim_items(&self.cpu_features);

        let configured = self.default_vcpus;
        if !configured.is_finite() {
            return Err(KeyedError::other(
                "default_vcpus",
                format!("default_vcpus {configured} is not a finite number"),
            ));
        }
        let host = cx.host.cpus();
        let most = supported
            .filter(|&cpus| cpus != 0)
            .map_or(host, |cpus| cpus.min(host));

        if self.default_maxvcpus > host {
            let mut why = format!("this machine has {host} CPUs");
            if most < host {
                why += &format!(", the hypervisor supports {most}");
            }
            cx.clamped("default_maxvcpus", self.default_maxvcpus, most, why);
            self.default_maxvcpus = most;
        } else if self.default_maxvcpus == 0 {
            self.default_maxvcpus = most;
        }

        if configured < 0.0 || configured > host as f32 {
            self.default_vcpus = host as f32;
        } else if configured == 0.0 {
            self.default_vcpus = 1.0;
        }
        self.default_vcpus = self.default_vcpus.min(self.default_maxvcpus as f32);
        // 0 and negative numbers are ways to ask for what they become.
        if configured > self.default_vcpus {
            let (new, most) = (self.default_vcpus, self.default_maxvcpus);
            let why = format!("this machine has {host} CPUs, and default_maxvcpus is {most}");
            cx.clamped("default_vcpus", configured, new, why);
        }
        Ok(())
    }

    pub(crate) fn validate_in(&self) -> Checked {
        // Written so that it fails for NaN.
        if self.default_vcpus <= self.default_maxvcpus as f32 {
            return Ok(());
        }
        Err(KeyedError::other(
            "default_vcpus",
            format!(
                "The default_vcpus({}) is greater than default_maxvcpus({})",
                self.default_vcpus, self.default_maxvcpus
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::diagnostics::DiagnosticKind;
    use crate::config::host::Host;

    fn adjust(
        vcpus: f32,
        maxvcpus: u32,
        supported: Option<u32>,
    ) -> (Checked<(f32, u32)>, AdjustReport) {
        let host = Host::with(8, 1024);
        let mut report = AdjustReport::default();
        let mut info = CpuInfo {
            cpu_features: String::new(),
            default_vcpus: vcpus,
            default_maxvcpus: maxvcpus,
        };
        let result = info
            .adjust_in(&mut Adjuster::new(&host, &mut report), supported)
            .map(|()| (info.default_vcpus, info.default_maxvcpus));
        (result, report)
    }

    #[test]
    fn host_is_the_limit() {
        for (vcpus, maxvcpus, result) in [
            (0.0, 0, (1.0, 8)),
            (-0.0, 0, (1.0, 8)),
            (1.0, 0, (1.0, 8)),
            (2.5, 0, (2.5, 8)),
            (0.25, 0, (0.25, 8)),
            (-1.0, 0, (8.0, 8)),
            (-1.0, 3, (3.0, 3)),
            (8.0, 0, (8.0, 8)),
            (8.5, 0, (8.0, 8)),
            (4.0, 9, (4.0, 8)),
            (4.0, 2, (2.0, 2)),
            (4.5, 4, (4.0, 4)),
            (f32::MAX, u32::MAX, (8.0, 8)),
        ] {
            let (adjusted, _) = adjust(vcpus, maxvcpus, None);
            assert_eq!(adjusted.unwrap(), result, "{vcpus}, {maxvcpus}");
            // Once more changes nothing.
            let (again, report) = adjust(result.0, result.1, None);
            assert_eq!(again.unwrap(), result);
            assert!(report.notes.is_empty());
        }
    }

    #[test]
    fn hypervisor_limits_the_default_but_not_an_explicit_value() {
        for (maxvcpus, supported, result) in [
            (0, Some(4), 4),
            (9, Some(4), 4),
            (6, Some(4), 6),
            (0, Some(16), 8),
            (0, Some(0), 8),
        ] {
            let (adjusted, _) = adjust(1.0, maxvcpus, supported);
            assert_eq!(adjusted.unwrap(), (1.0, result));
        }
        assert_eq!(adjust(6.0, 0, Some(4)).0.unwrap(), (4.0, 4));
    }

    #[test]
    fn numbers_that_are_not_finite_are_errors() {
        for (vcpus, text) in [
            (f32::NAN, "default_vcpus NaN is not a finite number"),
            (f32::INFINITY, "default_vcpus inf is not a finite number"),
            (
                f32::NEG_INFINITY,
                "default_vcpus -inf is not a finite number",
            ),
        ] {
            let error = adjust(vcpus, 0, None).0.unwrap_err();
            assert_eq!(error.key, "default_vcpus");
            assert_eq!(error.error.to_string(), text);
        }
    }

    #[test]
    fn clamping_is_noted_and_asking_for_all_is_not() {
        for (vcpus, maxvcpus) in [(0.0, 0), (-1.0, 0), (-1.0, 4), (2.0, 4), (8.0, 8)] {
            assert_eq!(adjust(vcpus, maxvcpus, None).1.notes, []);
        }
        let (_, report) = adjust(20.0, 10, Some(4));
        let notes: Vec<_> = report
            .notes
            .iter()
            .map(|n| (n.key.as_str(), n.kind, n.message.as_str()))
            .collect();
        assert_eq!(
            notes,
            [
                (
                    "default_maxvcpus",
                    DiagnosticKind::Clamped,
                    "changed from 10 to 4: this machine has 8 CPUs, the hypervisor supports 4",
                ),
                (
                    "default_vcpus",
                    DiagnosticKind::Clamped,
                    "changed from 20 to 4: this machine has 8 CPUs, and default_maxvcpus is 4",
                ),
            ]
        );
    }

    #[test]
    fn features_are_trimmed() {
        let mut info = CpuInfo {
            cpu_features: " pmu=off , vmx=off,".into(),
            ..Default::default()
        };
        info.adjust_config().unwrap();
        assert_eq!(info.cpu_features, "pmu=off,vmx=off,");
        assert_eq!(info.default_maxvcpus as usize, num_cpus::get());
    }

    #[test]
    fn validate_compares_the_two() {
        let info = |default_vcpus, default_maxvcpus| CpuInfo {
            cpu_features: String::new(),
            default_vcpus,
            default_maxvcpus,
        };
        info(0.0, 0).validate().unwrap();
        info(2.0, 2).validate().unwrap();
        assert_eq!(
            info(2.5, 2).validate().unwrap_err().to_string(),
            "The default_vcpus(2.5) is greater than default_maxvcpus(2)"
        );
        info(f32::NAN, 2).validate().unwrap_err();
    }
}
