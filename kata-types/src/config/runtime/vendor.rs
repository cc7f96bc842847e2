//! Vendor extension of the `[runtime]` section: a sample, behind the feature `enable-vendor`.

#[cfg(not(feature = "enable-vendor"))]
mod none {
    use serde::{Deserialize, Serialize};

    use crate::config::ConfigOps;

    /// Place for keys of a vendor in `[runtime]`; there are none without the feature
    /// `enable-vendor`.
    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    pub struct RuntimeVendor {}

    impl ConfigOps for RuntimeVendor {}
}

#[cfg(feature = "enable-vendor")]
mod sample {
    use std::io;

    use serde::{Deserialize, Serialize};

    use crate::config::{ConfigOps, TomlConfig};

    /// Most detailed level that does not count as debugging.
    const LAST_QUIET_LEVEL: u32 = 5;
    const LAST_LEVEL: u32 = 10;

    /// A sample of vendor keys in `[runtime]`.
    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    #[serde(default = "RuntimeVendor::default")]
    pub struct RuntimeVendor {
        /// Log level as a number, 0 to 10. Shares the key `log_level` with
        /// [`Runtime::log_level`](crate::config::Runtime::log_level): a number goes here, a text
        /// there. Default: 0.
        pub log_level: u32,

        /// Prefix of log lines. Default: empty.
        pub log_prefix: String,
    }

    impl ConfigOps for RuntimeVendor {
        /// A level above 5 turns on `runtime.debug`.
        fn adjust_config(conf: &mut TomlConfig) -> io::Result<()> {
            if conf.runtime.vendor.log_level > LAST_QUIET_LEVEL {
                conf.runtime.debug = true;
            }
            Ok(())
        }

        /// A level is at most 10.
        fn validate(conf: &TomlConfig) -> io::Result<()> {
            let level = conf.runtime.vendor.log_level;
            if level > LAST_LEVEL {
                return Err(io::Error::other(format!(
                    "log level {level} in configuration file is invalid"
                )));
            }
            Ok(())
        }
    }
}

#[cfg(not(feature = "enable-vendor"))]
pub use none::RuntimeVendor;
#[cfg(feature = "enable-vendor")]
pub use sample::RuntimeVendor;
