//! I/O threads that are away: a service may have to wait for something that usually is quick, a disk for example, and does
//! not come back for long. Connections that come meanwhile go to threads that are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A thread that has been away for so long is not expected back soon.
const AWAY_MIN: Duration = Duration::from_millis(50);

/// One of a server's I/O threads, as its service knows it.
#[derive(Clone, Debug)]
pub struct IoThread {
    /// Its number, counted from 0.
    pub index: usize,
    /// It takes only connections that come while all others are [away](IoThread::away), and must not be away itself.
    pub is_spare: bool,
    absence: Absence,
}

impl IoThread {
    pub(super) fn new(index: usize, is_spare: bool, absence: Absence) -> IoThread {
        IoThread { index, is_spare, absence }
    }

    /// Runs what is quick, or else keeps the thread away for nobody knows how long. `now` is what the clock says.
    pub fn away<T>(&self, now: Instant, wait: impl FnOnce() -> T) -> T {
        let _away = self.absence.begin(now);
        wait()
    }
}

/// Since when a thread is away. Clones are of the same thread.
#[derive(Clone, Debug)]
pub(super) struct Absence {
    /// What times are counted from.
    origin: Instant,
    /// In milliseconds, one more than it was; 0 while the thread is there.
    since: Arc<AtomicU64>,
}

/// Says that the thread is back when it is dropped: whatever it waits in may panic.
struct Away<'a>(&'a AtomicU64);

impl Absence {
    pub(super) fn new() -> Absence {
        Absence { origin: Instant::now(), since: Arc::default() }
    }

    fn begin(&self, now: Instant) -> Away<'_> {
        self.since.store(self.ms(now) + 1, Ordering::Relaxed);
        Away(&self.since)
    }

    /// Whether the thread is away, and not expected back soon.
    pub(super) fn is_long(&self, now: Instant) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && Duration::from_millis(self.ms(now).saturating_sub(since - 1)) >= AWAY_MIN
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_away_after_a_while_and_back_whatever_happens() {
        let absence = Absence::new();
        let thread = IoThread::new(0, false, absence.clone());
        let now = Instant::now();
        assert!(!absence.is_long(now + AWAY_MIN));
        thread.away(now, || {
            assert!(!absence.is_long(now), "it may be back at once");
            assert!(absence.is_long(now + AWAY_MIN * 2));
        });
        assert!(!absence.is_long(now + AWAY_MIN * 2));
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.away(now, || panic!("asked for"))));
        assert!(panicked.is_err() && !absence.is_long(now + AWAY_MIN * 2));
    }
}
