//! A limit on what clients may make the broker remember: members and subscriptions of groups, locks on queues, held pulls.
//!
//! Whoever keeps something for a client takes a [`Share`] for it and keeps that beside it; the share goes back when the
//! thing is dropped, wherever that is. The counts are estimates, with room for what surrounds the bytes that were sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left to be taken. Clones take from the same bytes.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// Bytes that were taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    left: Arc<AtomicUsize>,
    bytes: usize,
}

/// There is no room for more of what clients say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    pub(crate) fn new(bytes: u64) -> Budget {
        Budget(Arc::new(AtomicUsize::new(usize::try_from(bytes).unwrap_or(usize::MAX))))
    }

    /// Takes that many bytes, if they are left.
    pub(crate) fn take(&self, bytes: usize) -> Result<Share, Exhausted> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_| Exhausted)?;
        Ok(Share { left: Arc::clone(&self.0), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let first = budget.take(60).unwrap();
        assert_eq!(budget.take(41).unwrap_err(), Exhausted);
        let second = budget.clone().take(40).unwrap();
        drop(first);
        assert_eq!(budget.take(61).unwrap_err(), Exhausted);
        drop(budget.take(60).unwrap());
        drop(second);
        assert!(budget.take(100).is_ok());
    }
}
