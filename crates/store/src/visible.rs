//! Where a queue ends for readers: a message can be read up to the watermark that the flush mode promises.
//!
//! Under ASYNC_FLUSH that is what was appended. Under SYNC_FLUSH it is what is on disk: a loss of power never takes back
//! what somebody has read, nor gives its queue offset to another message.

use std::io;

use crate::consume_queue::unit::{UNIT_BYTES, Unit};
use crate::consume_queue::{Queue, QueueType};
use crate::get::Patience;
use crate::open::Store;

impl Store {
    /// Offset behind the last message of a queue that can be read. Reads a unit of the queue, seldom from the disk, only
    /// under SYNC_FLUSH and while something is not flushed.
    pub fn visible_end(&self, queue: &Queue) -> io::Result<i64> {
        self.visible_end_with(queue, Patience::Disk)
    }

    /// The same; `WouldBlock` when the disk would have to be waited for and the patience is for memory only.
    pub(crate) fn visible_end_with(&self, queue: &Queue, patience: Patience) -> io::Result<i64> {
        let end = queue.max_offset();
        if !self.shared.options.sync_flush || self.shared.options.reads_unflushed {
            return Ok(end);
        }
        // Whatever the queue had was appended, so this order never calls a message flushed that is not.
        let appended = self.shared.log.appended.value();
        let flushed = self.shared.log.flushed.value();
        if flushed >= appended {
            return Ok(end);
        }
        let is_within = |position: i64| {
            let mut bytes = [0; crate::BATCH_UNIT_BYTES];
            let into = &mut bytes[..queue.queue_type.unit_bytes()];
            let count = queue.read(&self.shared.files, position, into, patience)?;
            // Both kinds of units begin with the same fields. A unit that was cut off meanwhile is nothing to read.
            let unit = bytes.first_chunk::<UNIT_BYTES>().filter(|_| count > 0).map(Unit::decode);
            Ok(unit.is_some_and(|unit| unit.log_end() <= flushed))
        };
        let first = queue.first();
        let position = end_of_run(first, queue.end(), is_within)?;
        match queue.queue_type {
            QueueType::Simple => Ok(position),
            QueueType::Batch if position <= first => Ok(queue.min_offset()),
            QueueType::Batch => {
                let last = queue.batch_unit_with(&self.shared.files, position - 1, patience)?;
                Ok(last.map_or_else(|| queue.min_offset(), |unit| unit.end_offset()))
            }
        }
    }
}

/// Position behind the last one from `first` to `end` for which `is_within` holds; it holds up to some position. Those for
/// which it does not are few and at the end, so the search begins there.
fn end_of_run(first: i64, end: i64, is_within: impl Fn(i64) -> io::Result<bool>) -> io::Result<i64> {
    // From `high` on it does not hold; below `low` it does.
    let (mut low, mut high, mut step) = (first, end, 1);
    while high > first {
        let probe = high.saturating_sub(step).max(first);
        if is_within(probe)? {
            low = probe + 1;
            break;
        }
        high = probe;
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_within(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_end_of_a_run_is_found_near_the_end_with_few_looks() {
        for (first, end) in [(0, 0), (0, 1), (3, 40), (7, 1_000)] {
            for right in first..=end {
                let found = end_of_run(first, end, |position| {
                    assert!((first..end).contains(&position));
                    Ok(position < right)
                });
                assert_eq!(found.unwrap(), right, "{first}..{end}");
            }
        }
        let looks = Cell::new(0);
        let far = end_of_run(0, 1 << 40, |position| {
            looks.set(looks.get() + 1);
            assert!(position > (1 << 40) - 200, "what is flushed for long may not be in memory");
            Ok(position < (1 << 40) - 100)
        });
        assert_eq!(far.unwrap(), (1 << 40) - 100);
        assert!(looks.get() < 16, "{looks:?}");
        assert!(end_of_run(0, 9, |_| Err(io::ErrorKind::WouldBlock.into())).is_err());
    }
}
