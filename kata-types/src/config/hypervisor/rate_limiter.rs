//! Rate limits of disks and network devices, as token buckets.

use serde::{Deserialize, Serialize};

/// Time after which a token bucket is full again, in ms.
pub const DEFAULT_RATE_LIMITER_REFILL_TIME: u64 = 1000;

/// Limits of a device. The JSON form is that of the hypervisors' APIs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RateLimiterConfig {
    /// Limit in bytes.
    pub bandwidth: Option<TokenBucketConfig>,
    /// Limit in operations.
    pub ops: Option<TokenBucketConfig>,
}

/// A token bucket: `size` tokens per `refill_time`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TokenBucketConfig {
    /// Tokens of the full bucket: bytes or operations.
    pub size: u64,
    /// Additional tokens that are given once and never refilled.
    pub one_time_burst: Option<u64>,
    /// Time after which the bucket is full again, in ms.
    pub refill_time: u64,
}

impl RateLimiterConfig {
    /// Limits per second, of bytes and of operations; a rate of 0 is no limit, and drops its burst.
    /// `None` without any limit.
    ///
    /// ```
    /// use kata_types::config::hypervisor::RateLimiterConfig;
    ///
    /// let limits = RateLimiterConfig::new(1 << 20, 0, Some(1 << 22), Some(7));
    /// assert_eq!(
    ///     serde_json::to_string(&limits)?,
    ///     r#"{"bandwidth":{"size":1048576,"one_time_burst":4194304,"refill_time":1000},"ops":null}"#,
    /// );
    /// assert_eq!(RateLimiterConfig::new(0, 0, Some(1), Some(1)), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn new(
        band_rate: u64,
        ops_rate: u64,
        band_onetime_burst: Option<u64>,
        ops_onetime_burst: Option<u64>,
    ) -> Option<RateLimiterConfig> {
        let bucket = |size, one_time_burst| {
            (size != 0).then_some(TokenBucketConfig {
                size,
                one_time_burst,
                refill_time: DEFAULT_RATE_LIMITER_REFILL_TIME,
            })
        };
        let config = RateLimiterConfig {
            bandwidth: bucket(band_rate, band_onetime_burst),
            ops: bucket(ops_rate, ops_onetime_burst),
        };
        (config != RateLimiterConfig::default()).then_some(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_stands_for_itself() {
        let bucket = |size, one_time_burst| {
            Some(TokenBucketConfig {
                size,
                one_time_burst,
                refill_time: 1000,
            })
        };
        assert_eq!(RateLimiterConfig::new(0, 0, Some(1), Some(2)), None);
        assert_eq!(
            RateLimiterConfig::new(5, 0, Some(0), Some(2)),
            Some(RateLimiterConfig {
                bandwidth: bucket(5, Some(0)),
                ops: None
            })
        );
        assert_eq!(
            RateLimiterConfig::new(5, 6, None, Some(2)),
            Some(RateLimiterConfig {
                bandwidth: bucket(5, None),
                ops: bucket(6, Some(2))
            })
        );
    }

    #[test]
    fn json_is_the_one_of_the_hypervisor_apis() {
        let json =
            r#"{"bandwidth":null,"ops":{"size":6,"one_time_burst":null,"refill_time":1000}}"#;
        let limits = RateLimiterConfig::new(0, 6, None, None).unwrap();
        assert_eq!(serde_json::to_string(&limits).unwrap(), json);
        assert_eq!(
            serde_json::from_str::<RateLimiterConfig>(json).unwrap(),
            limits
        );
        assert!(serde_json::from_str::<RateLimiterConfig>(r#"{"x":1}"#).is_err());
        assert!(serde_json::from_str::<TokenBucketConfig>(r#"{"size":1}"#).is_err());
    }
}
