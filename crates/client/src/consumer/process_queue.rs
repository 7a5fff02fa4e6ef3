//! What a consumer holds of one queue: which messages are being consumed, and up to where all of them are done.
//!
//! Messages finish in any order, so the offset to commit is that of the first one that has not: what lies behind it may
//! be delivered again after a crash, nothing is ever skipped. Java: `ProcessQueue`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::body::{MessageQueue, ProcessQueueInfo};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::rates::Counters;
use crate::clock;
use crate::message::MessageView;

/// For how long a broker's lock is relied on (Java: `rocketmq.client.rebalance.lockMaxLiveTime`). Brokers keep it for
/// twice as long.
const LOCK_LIFE: Duration = Duration::from_secs(30);

/// How much of one queue may wait in the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    /// Messages.
    pub(crate) messages_max: usize,
    /// Bytes of their bodies.
    pub(crate) bytes_max: usize,
    /// Distance of the first unfinished offset from the last one: one message that does not finish must not let the
    /// list of what to deliver again grow without end.
    pub(crate) span_max: i64,
    /// Messages of all queues of the topic together.
    pub(crate) topic_messages_max: Option<usize>,
    /// Bytes of all queues of the topic together.
    pub(crate) topic_bytes_max: Option<usize>,
}

impl Default for QueueLimits {
    /// Java: `pullThresholdForQueue`, `pullThresholdSizeForQueue`, `consumeConcurrentlyMaxSpan`,
    /// `pullThresholdForTopic`, `pullThresholdSizeForTopic`.
    fn default() -> Self {
        QueueLimits {
            messages_max: 1000,
            bytes_max: 100 << 20,
            span_max: 2000,
            topic_messages_max: None,
            topic_bytes_max: None,
        }
    }
}

impl QueueLimits {
    /// The limits of one of so many queues of a topic: the topic's limit, if there is one, divided among them.
    pub(crate) fn of_share(self, queues: usize) -> QueueLimits {
        let share = |max: usize| (max / queues.max(1)).max(1);
        QueueLimits {
            messages_max: self.topic_messages_max.map_or(self.messages_max, share),
            bytes_max: self.topic_bytes_max.map_or(self.bytes_max, share),
            ..self
        }
    }
}

/// One message that was handed out: give it back to [`ProcessQueue::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) offset: i64,
    /// Which of the queue's positions it belongs to; see [`ProcessQueue::reset`].
    generation: u64,
}

/// A message of the queue, with its ticket.
pub(crate) type Held = (Ticket, MessageView);

/// See the module's documentation.
pub(crate) struct ProcessQueue {
    pub(crate) queue: MessageQueue,
    pub(crate) counters: Arc<Counters>,
    /// Held while an ordered handler has messages of this queue: whoever gives the queue up waits for it.
    pub(crate) consuming: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Woken when something was finished, or the queue is pulled from again.
    room: Notify,
    /// Woken when messages wait for an ordered handler.
    arrived: Notify,
    /// Becomes true when the queue is no longer ours.
    dropped: watch::Sender<bool>,
}

struct State {
    limits: QueueLimits,
    generation: u64,
    /// Unfinished messages: offset to bytes.
    unfinished: BTreeMap<i64, usize>,
    bytes: usize,
    /// Messages that no handler has yet, in order; only of an ordered consumer. They are unfinished, too.
    backlog: VecDeque<Held>,
    /// Offset behind the last message that was seen.
    next: Option<i64>,
    /// What was committed last.
    committed: Option<i64>,
    is_paused: bool,
    /// When the broker last locked the queue for us.
    locked: Instant,
    last_lock_ms: i64,
    last_pull_ms: i64,
    last_consume_ms: i64,
}

impl State {
    fn commit_offset(&self) -> Option<i64> {
        self.unfinished.first_key_value().map(|(offset, _)| *offset).or(self.next)
    }
}

impl ProcessQueue {
    /// A queue that is locked, if it is one that has to be, at this moment.
    pub(crate) fn new(queue: MessageQueue, limits: QueueLimits, counters: Arc<Counters>) -> ProcessQueue {
        let (dropped, _) = watch::channel(false);
        let now_ms = clock::now_ms();
        let state = State {
            limits,
            generation: 0,
            unfinished: BTreeMap::new(),
            bytes: 0,
            backlog: VecDeque::new(),
            next: None,
            committed: None,
            is_paused: false,
            locked: Instant::now(),
            last_lock_ms: now_ms,
            last_pull_ms: now_ms,
            last_consume_ms: now_ms,
        };
        ProcessQueue {
            queue,
            counters,
            consuming: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
            room: Notify::new(),
            arrived: Notify::new(),
            dropped,
        }
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
        state.last_pull_ms = clock::now_ms();
        tickets
    }

    /// Lets messages wait for [`take`](ProcessQueue::take).
    pub(crate) fn put(&self, messages: impl IntoIterator<Item = Held>) {
        self.state.lock().backlog.extend(messages);
        self.arrived.notify_one();
    }

    /// The next messages that wait, at most `max`; waits until there are some.
    pub(crate) async fn take(&self, max: usize) -> Vec<Held> {
        loop {
            {
                let mut state = self.state.lock();
                let count = state.backlog.len().min(max);
                if count > 0 {
                    return state.backlog.drain(..count).collect();
                }
            }
            // Whoever puts leaves a permit if nobody waits, so a wake-up between check and wait is not lost.
            self.arrived.notified().await;
        }
    }

    /// Marks a message as done.
    pub(crate) fn finish(&self, ticket: Ticket) {
        self.finish_all([ticket]);
    }

    /// Marks messages as done.
    pub(crate) fn finish_all(&self, tickets: impl IntoIterator<Item = Ticket>) {
        {
            let mut state = self.state.lock();
            for ticket in tickets.into_iter() {
                if state.generation == ticket.generation
                    && let Some(bytes) = state.unfinished.remove(&ticket.offset)
                {
                    state.bytes -= bytes;
                }
            }
            state.last_consume_ms = clock::now_ms();
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
        state.generation += 1;
        state.unfinished.clear();
        state.bytes = 0;
        state.backlog.clear();
        (state.next, state.committed) = (Some(next_offset), None);
    }

    /// Waits until there is room for another pull.
    pub(crate) async fn room(&self) {
        // As in take().
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
        state.is_paused
            || state.unfinished.len() > state.limits.messages_max
            || state.bytes > state.limits.bytes_max
            || span > state.limits.span_max
    }

    /// Sets other limits: the number of queues of the topic has changed.
    pub(crate) fn set_limits(&self, limits: QueueLimits) {
        self.state.lock().limits = limits;
        self.room.notify_one();
    }

    pub(crate) fn limits(&self) -> QueueLimits {
        self.state.lock().limits
    }

    /// Begins no more pulls, or does so again.
    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.state.lock().is_paused = is_paused;
        self.room.notify_one();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state.lock().is_paused
    }

    /// Remembers that the broker has locked the queue for us at this moment.
    pub(crate) fn set_locked(&self) {
        let mut state = self.state.lock();
        (state.locked, state.last_lock_ms) = (Instant::now(), clock::now_ms());
    }

    /// Whether the broker's lock can be relied on.
    pub(crate) fn is_locked(&self) -> bool {
        self.is_locked_at(Instant::now())
    }

    fn is_locked_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.state.lock().locked) < LOCK_LIFE
    }

    /// What is told of the queue to who asks.
    pub(crate) fn info(&self, is_ordered: bool) -> ProcessQueueInfo {
        let is_locked = is_ordered && self.is_locked();
        let state = self.state.lock();
        let first = state.unfinished.first_key_value().map_or(0, |(offset, _)| *offset);
        let last = state.unfinished.last_key_value().map_or(0, |(offset, _)| *offset);
        let in_hand = state.unfinished.len().saturating_sub(state.backlog.len());
        ProcessQueueInfo {
            commit_offset: state.commit_offset().unwrap_or(0),
            cached_msg_count: state.unfinished.len() as i32,
            cached_msg_min_offset: first,
            cached_msg_max_offset: last,
            cached_msg_size_in_mi_b: (state.bytes >> 20) as i32,
            droped: self.is_dropped(),
            last_consume_timestamp: state.last_consume_ms,
            last_lock_timestamp: state.last_lock_ms,
            last_pull_timestamp: state.last_pull_ms,
            locked: is_locked,
            transaction_msg_count: if is_ordered { in_hand as i32 } else { 0 },
            ..ProcessQueueInfo::default()
        }
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

    /// Sets where the queue begins, unless a pull was answered already.
    pub(crate) fn begin(&self, offset: i64) {
        self.state.lock().next.get_or_insert(offset);
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
        let limits = QueueLimits { messages_max, bytes_max, span_max, ..QueueLimits::default() };
        ProcessQueue::new(queue, limits, Arc::default())
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
    fn a_topic_s_limit_is_divided_among_its_queues() {
        let limits = QueueLimits { topic_messages_max: Some(10), topic_bytes_max: None, ..QueueLimits::default() };
        assert_eq!((limits.of_share(3).messages_max, limits.of_share(3).bytes_max), (3, 100 << 20));
        assert_eq!((limits.of_share(0).messages_max, limits.of_share(64).messages_max), (10, 1));
        assert_eq!(QueueLimits::default().of_share(8), QueueLimits::default());
    }

    #[test]
    fn a_lock_is_relied_on_for_half_a_minute() {
        let queue = process_queue(10, 1000, 100);
        queue.set_locked();
        let locked = Instant::now();
        assert!(queue.is_locked_at(locked + Duration::from_secs(29)));
        assert!(!queue.is_locked_at(locked + Duration::from_secs(30)));
    }

    #[tokio::test]
    async fn a_paused_queue_has_no_room_until_it_goes_on() {
        let queue = process_queue(10, 1000, 100);
        queue.set_paused(true);
        tokio::join!(queue.room(), async { queue.set_paused(false) });
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
