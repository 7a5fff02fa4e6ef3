//! What a consumer holds of one queue: which messages are being consumed, and up to where all of them are done.
//!
//! Messages finish in any order, so the offset to commit is that of the first one that has not: what lies behind it may
//! be delivered again after a crash, nothing is ever skipped. Java: `ProcessQueue`.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;
use tokio::sync::{Notify, watch};

/// How much of one queue may wait in the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    /// Messages.
    pub(crate) messages_max: usize,
    /// Bytes of their records.
    pub(crate) bytes_max: usize,
    /// Distance of the first unfinished offset from the last one: one message that does not finish must not let the
    /// list of what to deliver again grow without end.
    pub(crate) span_max: i64,
}

impl Default for QueueLimits {
    /// Java: `pullThresholdForQueue`, `pullThresholdSizeForQueue`, `consumeConcurrentlyMaxSpan`.
    fn default() -> Self {
        QueueLimits { messages_max: 1000, bytes_max: 100 << 20, span_max: 2000 }
    }
}

/// One message that was handed out: give it back to [`ProcessQueue::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) offset: i64,
    /// Which of the queue's positions it belongs to; see [`ProcessQueue::reset`].
    generation: u64,
}

/// See the module's documentation.
pub(crate) struct ProcessQueue {
    pub(crate) queue: MessageQueue,
    limits: QueueLimits,
    state: Mutex<State>,
    /// Woken when something was finished.
    room: Notify,
    /// Becomes true when the queue is no longer ours.
    dropped: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    generation: u64,
    /// Unfinished messages: offset to bytes.
    unfinished: BTreeMap<i64, usize>,
    bytes: usize,
    /// Offset behind the last message that was seen.
    next: Option<i64>,
    /// What was committed last.
    committed: Option<i64>,
}

impl State {
    fn commit_offset(&self) -> Option<i64> {
        self.unfinished.first_key_value().map(|(offset, _)| *offset).or(self.next)
    }
}

impl ProcessQueue {
    pub(crate) fn new(queue: MessageQueue, limits: QueueLimits) -> ProcessQueue {
        let (dropped, _) = watch::channel(false);
        ProcessQueue { queue, limits, state: Mutex::default(), room: Notify::new(), dropped }
    }

    /// Takes in messages, given by offset and bytes, that were read up to `next_offset`, and answers with their
    /// tickets. What was filtered away lies below `next_offset` and counts as done.
    pub(crate) fn add(&self, messages: impl IntoIterator<Item = (i64, usize)>, next_offset: i64) -> Vec<Ticket> {
        let mut state = self.state.lock();
        let mut tickets = Vec::new();
        for (offset, bytes) in messages {
            tickets.push(Ticket { offset, generation: state.generation });
            state.bytes += bytes;
            if let Some(replaced) = state.unfinished.insert(offset, bytes) {
                state.bytes -= replaced;
            }
        }
        state.next = Some(next_offset);
        tickets
    }

    /// Marks a message as done.
    pub(crate) fn finish(&self, ticket: Ticket) {
        {
            let mut state = self.state.lock();
            if state.generation != ticket.generation {
                return;
            }
            let Some(bytes) = state.unfinished.remove(&ticket.offset) else { return };
            state.bytes -= bytes;
        }
        self.room.notify_one();
    }

    /// Whether a message is still to be consumed: not after a [`reset`](ProcessQueue::reset), nor when the queue went
    /// to another member.
    pub(crate) fn is_wanted(&self, ticket: Ticket) -> bool {
        !self.is_dropped() && self.state.lock().generation == ticket.generation
    }

    /// Forgets everything and goes on at another offset, because the broker does not have the one we were at.
    pub(crate) fn reset(&self, next_offset: i64) {
        let mut state = self.state.lock();
        let generation = state.generation + 1;
        *state = State { generation, next: Some(next_offset), ..State::default() };
    }

    /// Waits until there is room for another pull.
    pub(crate) async fn room(&self) {
        // Whoever finishes leaves a permit if nobody waits, so a wake-up between check and wait is not lost.
        while self.is_full() {
            self.room.notified().await;
        }
    }

    fn is_full(&self) -> bool {
        let state = self.state.lock();
        let span = match (state.unfinished.first_key_value(), state.unfinished.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last - first,
            _ => 0,
        };
        state.unfinished.len() > self.limits.messages_max
            || state.bytes > self.limits.bytes_max
            || span > self.limits.span_max
    }

    /// The offset of the first message that is not done; `None` before the first pull was answered.
    pub(crate) fn commit_offset(&self) -> Option<i64> {
        self.state.lock().commit_offset()
    }

    /// The offset to commit, if it differs from the one that was committed last.
    pub(crate) fn uncommitted(&self) -> Option<i64> {
        let state = self.state.lock();
        state.commit_offset().filter(|offset| Some(*offset) != state.committed)
    }

    /// Remembers what was committed.
    pub(crate) fn set_committed(&self, offset: i64) {
        self.state.lock().committed = Some(offset);
    }

    /// Ends the pulling and consuming of this queue.
    pub(crate) fn release(&self) {
        self.dropped.send_replace(true);
    }

    pub(crate) fn is_dropped(&self) -> bool {
        *self.dropped.borrow()
    }

    /// Waits until the queue is released.
    pub(crate) async fn dropped(&self) {
        let mut dropped = self.dropped.subscribe();
        // The sender lives as long as `self`, so waiting ends only with the value.
        let _ = dropped.wait_for(|dropped| *dropped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process_queue(messages_max: usize, bytes_max: usize, span_max: i64) -> ProcessQueue {
        let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 0 };
        ProcessQueue::new(queue, QueueLimits { messages_max, bytes_max, span_max })
    }

    #[test]
    fn the_first_unfinished_message_holds_the_offset() {
        let queue = process_queue(10, 1000, 100);
        assert_eq!(queue.commit_offset(), None);
        let tickets = queue.add([(5, 1), (6, 1), (8, 1)], 9);
        assert_eq!(queue.commit_offset(), Some(5));
        queue.finish(tickets[1]);
        assert_eq!(queue.commit_offset(), Some(5));
        queue.finish(tickets[0]);
        assert_eq!(queue.commit_offset(), Some(8));
        queue.finish(tickets[2]);
        assert_eq!(queue.commit_offset(), Some(9));
        // Nothing of the next pull passed the filter: all of it is done.
        queue.add([], 41);
        assert_eq!(queue.commit_offset(), Some(41));
    }

    #[test]
    fn only_a_changed_offset_is_committed() {
        let queue = process_queue(10, 1000, 100);
        queue.add([], 3);
        assert_eq!(queue.uncommitted(), Some(3));
        queue.set_committed(3);
        assert_eq!(queue.uncommitted(), None);
        queue.reset(1);
        assert_eq!(queue.uncommitted(), Some(1));
    }

    #[test]
    fn a_message_of_before_a_reset_changes_nothing() {
        let queue = process_queue(10, 1000, 100);
        let old = queue.add([(5, 1)], 6);
        queue.reset(5);
        assert!(!queue.is_wanted(old[0]));
        let new = queue.add([(5, 1)], 6);
        queue.finish(old[0]);
        assert_eq!(queue.commit_offset(), Some(5));
        assert!(queue.is_wanted(new[0]));
        queue.release();
        assert!(!queue.is_wanted(new[0]));
    }

    #[tokio::test]
    async fn each_limit_stops_the_pulling_and_finishing_resumes_it() {
        let full: [(ProcessQueue, Vec<(i64, usize)>); 3] = [
            (process_queue(1, 1000, 100), vec![(1, 1), (2, 1)]),
            (process_queue(10, 9, 100), vec![(1, 5), (2, 5)]),
            (process_queue(10, 1000, 100), vec![(1, 1), (102, 1)]),
        ];
        for (queue, messages) in full {
            let tickets = queue.add(messages, 200);
            assert!(queue.is_full());
            tokio::join!(queue.room(), async { queue.finish(tickets[0]) });
            assert!(!queue.is_full());
        }
    }

    #[test]
    fn any_order_of_finishing_commits_the_smallest_unfinished_offset() {
        // A small linear congruential generator: the same orders in each run.
        let mut seed = 7_u64;
        for _ in 0..100 {
            let queue = process_queue(1000, 1 << 20, 1000);
            let mut tickets = queue.add((0..50).map(|offset| (offset, 1)), 50);
            while !tickets.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let taken = tickets.swap_remove((seed >> 33) as usize % tickets.len());
                queue.finish(taken);
                let smallest = tickets.iter().map(|ticket| ticket.offset).min().unwrap_or(50);
                assert_eq!(queue.commit_offset(), Some(smallest));
            }
        }
    }
}
