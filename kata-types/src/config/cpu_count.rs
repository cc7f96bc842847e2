//! How many CPUs this process may use: its CPU affinity, limited by the CPU quota of its cgroup.
//!
//! The number is the one of `num_cpus::get` (D39). That looks for the cgroup in the table of mounts;
//! here the usual places are tried first, which takes half of the system calls and none that depends
//! on the number of mounts. See cgroups(7), and the kernel's documentation of
//! [cgroup v1](https://docs.kernel.org/scheduler/sched-bwc.html) and
//! [cgroup v2](https://docs.kernel.org/admin-guide/cgroup-v2.html).

/// The CPUs that this process may use.
pub(super) fn available() -> usize {
    #[cfg(target_os = "linux")]
    if let Some(cpus) = linux::available() {
        return cpus;
    }
    num_cpus::get()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::Read;
    use std::path::Path;

    /// The same for a process whose cgroup is mounted in the usual place.
    pub(super) fn available() -> Option<usize> {
        let affinity = affinity()?;
        if affinity == 1 {
            return Some(1); // a quota cannot make it less
        }
        Some(quota(Path::new("/"))?.limit(affinity))
    }

    /// A CPU quota in CPUs, rounded up.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(super) enum Quota {
        Unlimited,
        Cpus(usize),
    }

    impl Quota {
        fn limit(self, cpus: usize) -> usize {
            match self {
                Quota::Unlimited | Quota::Cpus(0) => cpus,
                Quota::Cpus(quota) => quota.min(cpus),
            }
        }

        /// From microseconds of run time in a period of so many microseconds.
        fn of(quota: &str, period: &str) -> Self {
            match (quota.parse::<usize>(), period.parse::<usize>()) {
                (Ok(quota), Ok(period)) if period != 0 => Quota::Cpus(quota.div_ceil(period)),
                _ => Quota::Unlimited, // "max" or -1
            }
        }
    }

    /// The quota of this process's cgroup; `None` when its files are not in the usual place.
    pub(super) fn quota(root: &Path) -> Option<Quota> {
        let cgroups = read(&root.join("proc/self/cgroup"))?;
        let mut unified = None;
        let mut with_cpu = None;
        for line in cgroups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if controllers.is_empty() {
                unified = Some(path);
            } else if controllers.split(',').any(|name| name == "cpu") {
                with_cpu = Some(path);
            }
        }
        let below = |mount: &str, path: &str| root.join(mount).join(path.trim_start_matches('/'));
        // The v1 hierarchy is the one with the controller if there are both.
        if let Some(path) = with_cpu {
            let cgroup = below("sys/fs/cgroup/cpu", path);
            let quota = read(&cgroup.join("cpu.cfs_quota_us"))?;
            if quota.trim().parse::<usize>().is_err() {
                return Some(Quota::Unlimited);
            }
            let period = read(&cgroup.join("cpu.cfs_period_us"))?;
            return Some(Quota::of(quota.trim(), period.trim()));
        }
        let limit = read(&below("sys/fs/cgroup", unified?).join("cpu.max"))?;
        let (quota, period) = limit.trim().split_once(' ')?;
        Some(Quota::of(quota, period))
    }

    /// A small file, in one read; `None` if it cannot be read or is not small.
    fn read(path: &Path) -> Option<String> {
        let mut buffer = vec![0; 4096];
        let length = File::open(path).ok()?.read(&mut buffer).ok()?;
        if length == buffer.len() {
            return None;
        }
        buffer.truncate(length);
        String::from_utf8(buffer).ok()
    }

    /// CPUs in the affinity mask; `None` on a machine with more than a mask can hold.
    fn affinity() -> Option<usize> {
        let mut mask = [0_u64; 16];
        // SAFETY: the pointer is valid for writes of so many bytes, and aligned like a `cpu_set_t`.
        let status =
            unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
        let count: u32 = mask.iter().map(|word| word.count_ones()).sum();
        (status == 0 && count != 0).then_some(count as usize)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::fs;

        /// The quota of a process in a system with these files.
        fn quota_in(files: &[(&str, &str)]) -> Option<Quota> {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            quota(dir.path())
        }

        const V1: &str = "9:name=systemd:/\n2:cpuset:/\n1:cpu,cpuacct:/pod/c\n0::/other\n";

        #[test]
        fn quotas_are_rounded_up() {
            for (text, expected) in [
                ("max 100000\n", Quota::Unlimited),
                ("100000 100000\n", Quota::Cpus(1)),
                ("100001 100000\n", Quota::Cpus(2)),
                ("1000 100000\n", Quota::Cpus(1)),
                ("250000 100000\n", Quota::Cpus(3)),
                ("5 0\n", Quota::Unlimited),
                ("x y\n", Quota::Unlimited),
            ] {
                let found = quota_in(&[
                    ("proc/self/cgroup", "0::/kube/pod/c\n"),
                    ("sys/fs/cgroup/kube/pod/c/cpu.max", text),
                ]);
                assert_eq!(found, Some(expected), "{text:?}");
            }
        }

        #[test]
        fn the_hierarchy_with_the_controller_counts() {
            let quota = "sys/fs/cgroup/cpu/pod/c/cpu.cfs_quota_us";
            let period = "sys/fs/cgroup/cpu/pod/c/cpu.cfs_period_us";
            let other = ("sys/fs/cgroup/other/cpu.max", "100000 100000\n");
            let v1 = ("proc/self/cgroup", V1);
            let unlimited = quota_in(&[v1, other, (quota, "-1\n")]);
            assert_eq!(unlimited, Some(Quota::Unlimited));
            let limited = quota_in(&[v1, other, (quota, "150000\n"), (period, "50000\n")]);
            assert_eq!(limited, Some(Quota::Cpus(3)));
        }

        #[test]
        fn files_in_another_place_are_not_guessed() {
            for files in [
                &[][..],
                &[("proc/self/cgroup", "0::/c\n")],
                &[("proc/self/cgroup", ""), ("sys/fs/cgroup/cpu.max", "1 1\n")],
                &[
                    ("proc/self/cgroup", "0::/c\n"),
                    ("sys/fs/cgroup/cpu.max", "1 1\n"),
                ],
                &[
                    ("proc/self/cgroup", V1),
                    ("sys/fs/cgroup/other/cpu.max", "1 1\n"),
                ],
            ] {
                assert_eq!(quota_in(files), None, "{files:?}");
            }
        }

        #[test]
        fn a_quota_only_limits() {
            for (quota, cpus) in [
                (Quota::Unlimited, 8),
                (Quota::Cpus(0), 8),
                (Quota::Cpus(3), 3),
                (Quota::Cpus(8), 8),
                (Quota::Cpus(9), 8),
            ] {
                assert_eq!(quota.limit(8), cpus, "{quota:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_number_is_the_one_of_num_cpus() {
        assert_eq!(super::available(), num_cpus::get());
    }
}
