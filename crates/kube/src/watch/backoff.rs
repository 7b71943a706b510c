//! How long to wait before something is tried again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use super::Pace;

/// Delays that double, each somewhere in its upper half: many agents that lose the same server don't come
/// back as one.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(pace: &Pace) -> Self {
        Backoff { first: pace.first_retry, last: pace.last_retry, failures: 0 }
    }

    /// The delay after one more failure.
    pub fn next(&mut self) -> Duration {
        // The first delay is in the lower half of the second.
        let longest = self.first.saturating_mul(2_u32.saturating_pow(self.failures + 1)).min(self.last);
        self.failures = self.failures.saturating_add(1).min(30);
        around(longest.mul_f64(0.75), 1.0 / 3.0).max(self.first.min(self.last))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A duration that differs by chance, by up to this part of it.
pub(super) fn around(duration: Duration, part: f64) -> Duration {
    duration.mul_f64(1.0 + part * (2.0 * chance() - 1.0))
}

/// A number from 0 to 1. Hash keys of the standard library are random, and differ each time.
fn chance() -> f64 {
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_last_and_never_leave_their_half() {
        let pace = Pace::default();
        let mut seen = Vec::new();
        for _ in 0..100 {
            let mut backoff = Backoff::new(&pace);
            let delays: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
            for (failures, delay) in (1..).zip(&delays) {
                let longest = pace.first_retry.mul_f64(2_f64.powi(failures)).min(pace.last_retry);
                assert!(*delay <= longest.mul_f64(1.0001) && *delay >= longest.mul_f64(0.4999), "{delays:?}");
            }
            backoff.reset();
            assert!(backoff.next() <= pace.first_retry * 2);
            seen.push(delays[10]);
        }
        seen.dedup();
        assert!(seen.len() > 90, "not all agents wait as long: {seen:?}");
    }
}
