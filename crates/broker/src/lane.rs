//! How many sends may wait for their answers.
//!
//! A send is carried out in the turn in which it comes, so nothing queues up in front of the handlers. What can pile up are
//! answers that wait for the disk, for slaves or for name servers. They have the place of the queue that sends wait in in the
//! original (`sendThreadPoolQueueCapacity`). A send is refused before its message is stored, never after.
//! Java: `BrokerController.sendThreadPoolQueue`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The answers that wait.
pub(crate) struct WaitingSends {
    count: Arc<AtomicUsize>,
    max: usize,
}

/// As long as it is held, an answer waits.
pub(crate) struct Place {
    count: Arc<AtomicUsize>,
}

impl WaitingSends {
    pub(crate) fn new(max: u32) -> WaitingSends {
        WaitingSends { count: Arc::default(), max: max.max(1) as usize }
    }

    /// Whether no further send should be taken. Those of one turn may exceed the number.
    pub(crate) fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.max
    }

    /// Counts one more.
    pub(crate) fn wait(&self) -> Place {
        self.count.fetch_add(1, Ordering::Relaxed);
        Place { count: Arc::clone(&self.count) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
