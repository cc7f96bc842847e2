//! The clock of the real system.

use std::time::{Duration, Instant};

use super::Clock;

/// `CLOCK_MONOTONIC`, counted from when this was made. Setting the time of day does not move it (D8).
pub(super) struct Monotonic {
    start: Instant,
}

impl Monotonic {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let clock = Monotonic::new();
        let first = clock.now();
        clock.sleep(Duration::from_micros(1));
        assert!(clock.now() > first);
    }
}
