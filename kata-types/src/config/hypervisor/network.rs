//! Network devices.

use std::io;

use serde::{Deserialize, Serialize};

use crate::config::adjust::{Adjuster, Checked, adjust_alone};

/// Most queues of a network device.
const MAX_QUEUES: u32 = 256;

/// Network settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "NetworkInfo::default")]
pub struct NetworkInfo {
    /// Network devices are served by the hypervisor process instead of vhost-net in the host
    /// kernel. Default: false.
    pub disable_vhost_net: bool,

    /// Limit of received data, in bits per second; 0 is no limit. Default: 0. Ignored by the
    /// runtime of this version.
    pub rx_rate_limiter_max_rate: u64,

    /// Limit of sent data, in bits per second; 0 is no limit. Default: 0. Ignored by the runtime
    /// of this version.
    pub tx_rate_limiter_max_rate: u64,

    /// Queue pairs of a network device, at most 256. Default: 1.
    pub network_queues: u32,
}

impl NetworkInfo {
    /// Fills in and limits `network_queues`.
    ///
    /// # Errors
    ///
    /// None.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Accepts everything.
    ///
    /// # Errors
    ///
    /// None.
    pub fn validate(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        if self.network_queues == 0 {
            self.network_queues = 1;
        } else if self.network_queues > MAX_QUEUES {
            let why = format!("a network device has at most {MAX_QUEUES} queues");
            cx.clamped("network_queues", self.network_queues, MAX_QUEUES, why);
            self.network_queues = MAX_QUEUES;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_between_1_and_256() {
        for (queues, adjusted) in [(0, 1), (1, 1), (256, 256), (257, 256), (u32::MAX, 256)] {
            let mut info = NetworkInfo {
                network_queues: queues,
                ..Default::default()
            };
            info.adjust_config().unwrap();
            assert_eq!(info.network_queues, adjusted);
            info.validate().unwrap();
        }
    }
}
