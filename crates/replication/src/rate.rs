//! How many bytes pass in a second, and how many more may.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);

/// Bytes of the present second and of the one before.
#[derive(Debug, Default)]
pub(crate) struct Rate(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    begun: Option<Instant>,
    bytes: u64,
    before: u64,
}

impl Rate {
    /// Counts bytes that passed.
    pub(crate) fn add(&self, bytes: u64) {
        let mut windows = self.0.lock();
        windows.turn(Instant::now());
        windows.bytes += bytes;
    }

    /// Bytes of the last whole second.
    pub(crate) fn per_second(&self) -> u64 {
        let mut windows = self.0.lock();
        windows.turn(Instant::now());
        windows.before
    }

    /// How long to wait before more may pass, when so many a second are the most.
    pub(crate) fn pause(&self, max: u64) -> Option<Duration> {
        let mut windows = self.0.lock();
        let now = Instant::now();
        windows.turn(now);
        let begun = windows.begun.filter(|_| windows.bytes >= max)?;
        Some((begun + WINDOW).saturating_duration_since(now))
    }
}

impl Windows {
    fn turn(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun);
        if passed >= WINDOW {
            // Of a second that ended long ago nothing is said.
            self.before = if passed < 2 * WINDOW { self.bytes } else { 0 };
            self.bytes = 0;
            self.begun = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_waits_for_the_next_second() {
        let rate = Rate::default();
        rate.add(10);
        assert_eq!(rate.pause(11), None);
        rate.add(1);
        assert!(rate.pause(11).is_some_and(|pause| pause <= WINDOW));
        assert_eq!(rate.per_second(), 0, "the second is not over");
    }
}
