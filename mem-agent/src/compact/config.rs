//! What the compact half is told to do.

use std::path::PathBuf;

/// The order that stands for "whatever the balloon reports".
pub(super) const DEFAULT_ORDER: u8 = 9;

/// Configuration of the compact half.
///
/// Percentages are of the time in which some task stalled, memory and I/O added up
/// ([PSI](https://docs.kernel.org/accounting/psi.html)): 0 to 200, rounded down, and more than 200
/// is no limit.
///
/// ```
/// use mem_agent::compact::Config;
///
/// let config = Config { compact_sec_max: 60, ..Default::default() };
/// assert_eq!(config.compact_threshold, 1024);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Never compacts. Default: false.
    pub disabled: bool,
    /// Directory whose `memory.pressure` and `io.pressure` count. Empty, the default: the cgroup root
    /// on v2, on v1 the first directory in `/sys/fs/cgroup` that has such files.
    pub psi_path: PathBuf,
    /// Seconds from run to run; less than 1 is 1, more than about 100 years is never. Default: 600.
    pub period_secs: u64,
    /// No compaction if there was more pressure than this percentage of the last period. Default: 1.
    pub period_psi_percent_limit: u8,
    /// A compaction is stopped if pressure exceeds this percentage of the time. Default: 5.
    pub compact_psi_percent_limit: u8,
    /// A compaction is stopped after this many seconds; at once if 0 or less. Default: 300.
    pub compact_sec_max: i64,
    /// Free blocks of less than `2^compact_order` pages are fragments. At the default of 9, it is
    /// the order that the balloon reports to the host, where the kernel tells
    /// (`/sys/module/page_reporting/parameters/page_reporting_order`). At 0 nothing is a fragment;
    /// beyond the largest order of the kernel, all free movable memory is.
    pub compact_order: u8,
    /// Compacts if free memory has fallen, or memory in movable fragments has grown, by more than
    /// this many pages (of this machine's size) since the last compaction, by `MemFree` of
    /// [`/proc/meminfo`](https://man7.org/linux/man-pages/man5/proc_meminfo.5.html) and by
    /// [`/proc/pagetypeinfo`](https://man7.org/linux/man-pages/man5/proc_pagetypeinfo.5.html).
    /// Default: 1024.
    pub compact_threshold: u64,
    /// Compacts whatever the threshold says after so many periods without. `i64::MAX` and more, the
    /// default, is never; 0 is every period.
    pub compact_force_times: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            disabled: false,
            psi_path: PathBuf::new(),
            period_secs: 600,
            period_psi_percent_limit: 1,
            compact_psi_percent_limit: 5,
            compact_sec_max: 300,
            compact_order: DEFAULT_ORDER,
            compact_threshold: 2 << DEFAULT_ORDER,
            compact_force_times: NEVER_FORCED,
        }
    }
}

/// `i64::MAX`: TOML has no larger integers.
pub(super) const NEVER_FORCED: u64 = i64::MAX.unsigned_abs();

/// Changes of a [`Config`]: each `Some` replaces a field. Units and ranges are those of the fields.
///
/// ```
/// use mem_agent::compact::OptionConfig;
///
/// let change = OptionConfig { period_secs: Some(300), ..Default::default() };
/// assert_eq!(change.disabled, None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct OptionConfig {
    /// [`Config::disabled`]
    pub disabled: Option<bool>,
    /// [`Config::psi_path`]
    pub psi_path: Option<PathBuf>,
    /// [`Config::period_secs`]
    pub period_secs: Option<u64>,
    /// [`Config::period_psi_percent_limit`]
    pub period_psi_percent_limit: Option<u8>,
    /// [`Config::compact_psi_percent_limit`]
    pub compact_psi_percent_limit: Option<u8>,
    /// [`Config::compact_sec_max`]
    pub compact_sec_max: Option<i64>,
    /// [`Config::compact_order`]
    pub compact_order: Option<u8>,
    /// [`Config::compact_threshold`]
    pub compact_threshold: Option<u64>,
    /// [`Config::compact_force_times`]
    pub compact_force_times: Option<u64>,
}

impl Config {
    pub(super) fn overlay(&mut self, change: &OptionConfig) {
        let Self {
            disabled,
            psi_path,
            period_secs,
            period_psi_percent_limit,
            compact_psi_percent_limit,
            compact_sec_max,
            compact_order,
            compact_threshold,
            compact_force_times,
        } = self;
        replace(disabled, change.disabled);
        replace(psi_path, change.psi_path.clone());
        replace(period_secs, change.period_secs);
        replace(period_psi_percent_limit, change.period_psi_percent_limit);
        replace(compact_psi_percent_limit, change.compact_psi_percent_limit);
        replace(compact_sec_max, change.compact_sec_max);
        replace(compact_order, change.compact_order);
        replace(compact_threshold, change.compact_threshold);
        replace(compact_force_times, change.compact_force_times);
    }
}

fn replace<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
