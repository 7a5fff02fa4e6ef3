//! Wakes a thread when something is due earlier than it knew.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// One thread waits for it, any may ring it.
pub(crate) struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
    /// When the thread looks by itself; the far future while it is at work, so that nothing is missed then.
    armed_ms: AtomicI64,
}

#[derive(Default)]
struct State {
    is_rung: bool,
    is_stopped: bool,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { state: Mutex::default(), changed: Condvar::new(), armed_ms: AtomicI64::new(i64::MAX) }
    }
}

impl Alarm {
    /// Something is due at that time.
    pub(crate) fn ring(&self, due_ms: i64) {
        if due_ms < self.armed_ms.load(Ordering::SeqCst) {
            let mut state = self.state.lock();
            if !state.is_rung {
                state.is_rung = true;
                self.changed.notify_one();
            }
        }
    }

    /// The thread looks now: whoever rings from here on is heard by the next [`wait`](Alarm::wait). `false` when it
    /// shall end.
    pub(crate) fn begin(&self) -> bool {
        self.armed_ms.store(i64::MAX, Ordering::SeqCst);
        let mut state = self.state.lock();
        state.is_rung = false;
        !state.is_stopped
    }

    /// Waits until `due_ms`, for at most `timeout`, or until it rings.
    pub(crate) fn wait(&self, due_ms: i64, timeout: Duration) {
        let mut state = self.state.lock();
        self.armed_ms.store(due_ms, Ordering::SeqCst);
        if !(state.is_rung || state.is_stopped) {
            self.changed.wait_for(&mut state, timeout);
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_for_what_is_earlier_and_while_the_thread_is_at_work() {
        let alarm = Alarm::default();
        assert!(alarm.begin());
        alarm.ring(50);
        alarm.wait(100, Duration::from_secs(60));
        assert!(alarm.begin(), "it rang while the thread was at work, so nobody waited");
        alarm.wait(100, Duration::ZERO);
        alarm.ring(100);
        assert!(!alarm.state.lock().is_rung, "the thread looks then by itself");
        alarm.ring(99);
        assert!(alarm.state.lock().is_rung);
        alarm.stop();
        assert!(!alarm.begin());
    }
}
