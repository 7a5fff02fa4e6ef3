//! Running the handlers of a concurrent consumer, and giving back what they could not do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::name;
use tokio::time::Instant;

use super::Shared;
use super::handler::{Failure, Handler};
use super::process_queue::{Held, ProcessQueue};
use crate::clock;
use crate::message::MessageView;
use crate::names;
use crate::trace::Consumed;

/// When a message that could not be given back is handled again here (Java: `submitConsumeRequestLater`).
const LOCAL_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Batches that a worker handles before the other tasks of its thread have their turn.
const BATCHES_MAX: usize = 64;

/// The handler of a concurrent consumer, and the way to it.
///
/// Workers are tasks that handle one batch after another as long as there are some. Each one that finds more than it can
/// take at once starts the next, up to as many as may run, so that they are on all threads soon, and a handler that is
/// done at once needs no task of its own.
pub(super) struct Concurrent {
    pub(super) handler: Handler,
    to_do: parking_lot::Mutex<ToDo>,
}

/// What is to be handled, and by how many.
#[derive(Default)]
struct ToDo {
    /// Bounded by what the queues may hold: they pull no more than that.
    batches: VecDeque<Work>,
    /// Workers that run.
    workers: usize,
    /// Whether one of them has not looked for work yet.
    is_starting: bool,
}

impl Concurrent {
    pub(super) fn new(handler: Handler) -> Concurrent {
        Concurrent { handler, to_do: parking_lot::Mutex::default() }
    }
}

/// Messages to be handled at once.
struct Work {
    queue: Arc<ProcessQueue>,
    messages: Vec<Held>,
}

impl ToDo {
    /// Whether another worker is to be started; it counts from now on.
    fn wants_worker(&mut self, workers_max: usize) -> bool {
        let wants = !self.batches.is_empty() && !self.is_starting && self.workers < workers_max;
        if wants {
            self.workers += 1;
            self.is_starting = true;
        }
        wants
    }
}

/// Lets messages be handled.
pub(super) fn put(shared: &Arc<Shared>, concurrent: &Concurrent, queue: &Arc<ProcessQueue>, messages: Vec<Held>) {
    let mut messages = messages.into_iter();
    let mut to_do = concurrent.to_do.lock();
    while messages.len() > 0 {
        let messages = messages.by_ref().take(shared.settings.batch).collect();
        to_do.batches.push_back(Work { queue: queue.clone(), messages });
    }
    let wants_worker = to_do.wants_worker(shared.settings.concurrency);
    drop(to_do);
    if wants_worker {
        start_worker(shared);
    }
}

fn start_worker(shared: &Arc<Shared>) {
    tokio::spawn(work(shared.clone()));
}

/// A worker: handles batches until there are none, or the consumer stops.
async fn work(shared: Arc<Shared>) {
    let super::Sink::Concurrent(concurrent) = &shared.sink else { return };
    // Each worker finds one, unless the consumer has stopped and waits for those that run.
    let permit = shared.permits.try_acquire();
    let mut is_new = true;
    for handled in 1_usize.. {
        let (next, wants_worker) = {
            let mut to_do = concurrent.to_do.lock();
            if std::mem::take(&mut is_new) {
                to_do.is_starting = false;
            }
            if permit.is_err() || shared.is_stopped() {
                to_do.batches.clear();
            }
            let next = to_do.batches.pop_front();
            if next.is_none() {
                to_do.workers -= 1;
            }
            (next, to_do.wants_worker(shared.settings.concurrency))
        };
        let Some(mut work) = next else { return };
        if wants_worker {
            start_worker(&shared);
        }
        work.messages.retain(|(ticket, _)| work.queue.is_wanted(*ticket));
        if !work.messages.is_empty() {
            handle(&shared, concurrent, work).await;
        }
        if handled.is_multiple_of(BATCHES_MAX) {
            tokio::task::yield_now().await;
        }
    }
}

/// Handles one batch to its end.
async fn handle(shared: &Arc<Shared>, concurrent: &Concurrent, mut work: Work) {
    let began = Instant::now();
    let messages = shared.prepare(&mut work.messages);
    let outcome = shared.run(&concurrent.handler, messages).await;
    let done = outcome.as_ref().map_or_else(Failure::done, |()| work.messages.len()).min(work.messages.len());
    work.queue.counters.handled(done, work.messages.len() - done, began.elapsed());
    work.queue.finish_all(work.messages.drain(..done).map(|(ticket, _)| ticket));
    if let Err(failure) = outcome {
        give_back(shared, work, failure).await;
    }
}

/// Gives messages back to their broker, to be delivered again; those that it does not take are handled again here.
async fn give_back(shared: &Arc<Shared>, mut work: Work, failure: Failure) {
    let group = &shared.settings.group;
    let mut left = Vec::new();
    for (ticket, message) in work.messages.drain(..) {
        // Whoever has the queue now gets the message again in any case.
        if !work.queue.is_wanted(ticket) {
            continue;
        }
        let id = message.message_id();
        if shared.settings.broadcast {
            tracing::warn!(
                group,
                id,
                ?failure,
                "a handler failed; the message is passed over, the group is broadcasting"
            );
            work.queue.finish(ticket);
            continue;
        }
        tracing::warn!(group, id, ?failure, "a handler failed; the message will be delivered again");
        match shared.send_back(&work.queue, message.ext(), failure.delay_level()).await {
            Ok(()) => work.queue.finish(ticket),
            Err(error) => {
                tracing::warn!(group, id, %error, "a message was not taken back; it is handled again here in 5 s");
                left.push((ticket, message));
            }
        }
    }
    if !left.is_empty() {
        handle_again(shared.clone(), Work { queue: work.queue, messages: left });
    }
}

/// Puts messages behind the others in a while.
fn handle_again(shared: Arc<Shared>, mut work: Work) {
    tokio::spawn(async move {
        tokio::select! {
            () = shared.stopped() => return,
            () = work.queue.dropped() => return,
            () = tokio::time::sleep(LOCAL_RETRY_PAUSE) => {}
        }
        work.messages.iter_mut().for_each(|(_, message)| message.ext_mut().reconsume_times += 1);
        if let super::Sink::Concurrent(concurrent) = &shared.sink {
            put(&shared, concurrent, &work.queue, work.messages);
        }
    });
}

impl Shared {
    /// What a handler gets of messages that are to be handled now.
    pub(super) fn prepare(&self, held: &mut [Held]) -> Vec<MessageView> {
        let now_ms = clock::now_ms().to_string();
        let prepare = |(_, message): &mut Held| {
            let ext = message.ext_mut();
            ext.set_property(name::CONSUME_START_TIME, &now_ms);
            self.restore_topic(ext);
            message.clone()
        };
        held.iter_mut().map(prepare).collect()
    }

    /// Gives a message the topic by which the user knows it: of one of the group's retry topic that which it was sent
    /// to, without a namespace.
    pub(super) fn restore_topic(&self, message: &mut MessageExt) {
        if message.topic.starts_with(names::RETRY_PREFIX)
            && let Some(topic) = message.property(name::RETRY_TOPIC).map(str::to_owned)
            && message.topic == names::retry_topic(&self.settings.group)
        {
            message.topic = topic;
        }
        self.client.strip_namespace(&mut message.topic);
    }

    /// Lets the handler have messages, and writes down how that went if that is wanted.
    pub(super) async fn run(&self, handler: &Handler, messages: Vec<MessageView>) -> Result<(), Failure> {
        let timeout = self.settings.consume_timeout;
        let Some(tracer) = &self.tracer else { return handler.run(messages, timeout).await };
        let traced = messages.clone();
        let consumed: Vec<Consumed<'_>> = traced.iter().filter(is_traced).map(consumed).collect();
        let region = traced.first().and_then(|message| message.property(name::MSG_REGION));
        let request_id = self.client.new_message_id(clock::now_ms());
        tracer.consuming(&request_id, region, &consumed);
        let began = Instant::now();
        let outcome = handler.run(messages, timeout).await;
        let code = outcome.as_ref().map_or_else(Failure::trace_code, |()| TRACE_SUCCESS);
        tracer.consumed(&request_id, began.elapsed().as_millis() as i64, code, &consumed);
        outcome
    }
}

/// Java's `ConsumeReturnType.SUCCESS`.
const TRACE_SUCCESS: u8 = 0;

/// Whether the broker wants traces of a message.
fn is_traced(message: &&MessageView) -> bool {
    message.property(name::TRACE_ON) != Some("false")
}

fn consumed(message: &MessageView) -> Consumed<'_> {
    Consumed {
        message_id: message.message_id(),
        reconsume_times: message.reconsume_times(),
        keys: message.property(name::KEYS),
    }
}
