//! Running the handler of an ordered consumer: of each queue one batch after another, the same one again while it fails.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::handler::{Failure, Handler, Retry};
use super::process_queue::{Held, ProcessQueue};
use super::{Shared, Sink};

/// Shortest and longest time that a queue stands still (Java: `ConsumeMessageOrderlyService.submitConsumeRequestLater`).
const SUSPEND_MIN: Duration = Duration::from_millis(10);
/// See [`SUSPEND_MIN`].
const SUSPEND_MAX: Duration = Duration::from_secs(30);
/// How often a queue whose lock has run out looks whether it was renewed.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Handles the messages of a queue until it is no longer ours or the consumer stops. A handler that runs then runs to
/// its end.
pub(super) async fn keep_handling(shared: Arc<Shared>, queue: Arc<ProcessQueue>) {
    let Sink::Ordered(handler) = &shared.sink else { return };
    loop {
        let batch = tokio::select! {
            biased;
            () = queue.dropped() => return,
            () = shared.stopped() => return,
            batch = queue.take(shared.settings.batch) => batch,
        };
        let mut left = batch;
        while !left.is_empty() {
            let pause = match handle(&shared, handler, (&queue, &mut left)).await {
                Some(pause) => pause,
                None => return,
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = queue.dropped() => return,
                () = shared.stopped() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Lets the handler have a batch once, and takes out of it what is done. Answers with how long to wait before the rest;
/// `None` when the queue is no longer ours.
async fn handle(
    shared: &Shared,
    handler: &Handler,
    (queue, batch): (&ProcessQueue, &mut Vec<Held>),
) -> Option<Duration> {
    let permit = tokio::select! {
        biased;
        () = queue.dropped() => return None,
        () = shared.stopped() => return None,
        permit = shared.permits.acquire() => permit.ok()?,
    };
    let _consuming = queue.consuming.lock().await;
    // The queue may have been given up, or set to another offset, meanwhile.
    if shared.is_stopped() || batch.iter().any(|(ticket, _)| !queue.is_wanted(*ticket)) {
        batch.clear();
        return if queue.is_dropped() || shared.is_stopped() { None } else { Some(Duration::ZERO) };
    }
    if shared.needs_locks() && !queue.is_locked() {
        return Some(LOCK_PAUSE);
    }
    let began = Instant::now();
    let outcome = shared.run(handler, shared.prepare(batch)).await;
    let done = outcome.as_ref().map_or_else(Failure::done, |()| batch.len()).min(batch.len());
    queue.counters.handled(done, batch.len() - done, began.elapsed());
    queue.finish_all(batch.drain(..done).map(|(ticket, _)| ticket));
    let Err(failure) = outcome else { return Some(Duration::ZERO) };
    settle(shared, (queue, batch), &failure).await;
    drop(permit);
    Some(shared.pause_after(&failure))
}

/// Gives up those messages that have failed for the last time; the others have failed once more.
async fn settle(shared: &Shared, (queue, batch): (&ProcessQueue, &mut Vec<Held>), failure: &Failure) {
    let group = &shared.settings.group;
    let is_dead = matches!(failure, Failure::Said(Retry::DeadLetter));
    let mut left = Vec::with_capacity(batch.len());
    for (ticket, mut message) in batch.drain(..) {
        let id = message.message_id().to_owned();
        let times = message.reconsume_times();
        if is_dead || shared.settings.deliveries_max.is_some_and(|max| times >= i32::from(max)) {
            if shared.settings.broadcast {
                tracing::warn!(group, id, ?failure, "a message is passed over, the group is broadcasting");
                queue.finish(ticket);
                continue;
            }
            match shared.send_to_dead_letters(message.ext()).await {
                Ok(()) => {
                    tracing::warn!(group, id, ?failure, "a message went to the dead letters");
                    queue.finish(ticket);
                    continue;
                }
                Err(error) => tracing::warn!(group, id, %error, "a message does not get to the dead letters"),
            }
        }
        tracing::warn!(group, id, ?failure, queue = %queue.queue, "a handler failed; its queue waits for it");
        message.ext_mut().reconsume_times = times.saturating_add(1);
        left.push((ticket, message));
    }
    *batch = left;
}

impl Shared {
    /// How long a queue stands still.
    fn pause_after(&self, failure: &Failure) -> Duration {
        let pause = match failure {
            Failure::Said(Retry::After(pause)) => *pause,
            _ => self.settings.suspend,
        };
        pause.clamp(SUSPEND_MIN, SUSPEND_MAX)
    }
}
