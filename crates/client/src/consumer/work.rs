//! Running the handlers of a concurrent consumer, and giving back what they could not do.

use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::name;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
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

/// The handler of a concurrent consumer, and the way to it.
pub(super) struct Concurrent {
    pub(super) handler: Handler,
    /// Messages to be handled. Bounded by what the queues may hold: they pull no more than that.
    work: mpsc::UnboundedSender<Work>,
    /// The other end, until the consumer starts.
    to_do: parking_lot::Mutex<Option<mpsc::UnboundedReceiver<Work>>>,
}

impl Concurrent {
    pub(super) fn new(handler: Handler) -> Concurrent {
        let (work, to_do) = mpsc::unbounded_channel();
        Concurrent { handler, work, to_do: parking_lot::Mutex::new(Some(to_do)) }
    }

    /// Lets messages be handled, so many at once.
    pub(super) fn put(&self, queue: &Arc<ProcessQueue>, messages: Vec<Held>, batch: usize) {
        let mut messages = messages.into_iter();
        while messages.len() > 0 {
            let messages = messages.by_ref().take(batch).collect();
            // Nobody listens any more only when the consumer has stopped, and then nothing is to be done.
            let _ = self.work.send(Work { queue: queue.clone(), messages });
        }
    }

    /// Begins to handle what is put.
    pub(super) fn start(&self, shared: &Arc<Shared>) {
        if let Some(to_do) = self.to_do.lock().take() {
            tokio::spawn(dispatch(shared.clone(), to_do));
        }
    }
}

/// Messages to be handled at once.
struct Work {
    queue: Arc<ProcessQueue>,
    messages: Vec<Held>,
}

/// Starts a handler for each batch, as many at once as allowed, until the consumer stops.
async fn dispatch(shared: Arc<Shared>, mut to_do: mpsc::UnboundedReceiver<Work>) {
    let next = async {
        while let Some(mut work) = to_do.recv().await {
            work.messages.retain(|(ticket, _)| work.queue.is_wanted(*ticket));
            if work.messages.is_empty() {
                continue;
            }
            let Ok(permit) = shared.permits.clone().acquire_owned().await else { return };
            tokio::spawn(handle(shared.clone(), work, permit));
        }
    };
    tokio::select! {
        biased;
        () = shared.stopped() => {}
        () = next => {}
    }
}

/// Handles one batch to its end.
async fn handle(shared: Arc<Shared>, mut work: Work, permit: OwnedSemaphorePermit) {
    let super::Sink::Concurrent(concurrent) = &shared.sink else { return };
    let began = Instant::now();
    let messages = shared.prepare(&mut work.messages);
    let outcome = shared.run(&concurrent.handler, messages).await;
    let done = outcome.as_ref().map_or_else(Failure::done, |()| work.messages.len()).min(work.messages.len());
    work.queue.counters.handled(done, work.messages.len() - done, began.elapsed());
    work.queue.finish_all(work.messages.drain(..done).map(|(ticket, _)| ticket));
    if let Err(failure) = outcome {
        give_back(&shared, work, failure, permit).await;
    }
}

/// Gives messages back to their broker, to be delivered again; those that it does not take are handled again here.
async fn give_back(shared: &Arc<Shared>, mut work: Work, failure: Failure, permit: OwnedSemaphorePermit) {
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
        drop(permit);
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
            // Nobody listens any more only when the consumer has stopped; the messages are unfinished and come again.
            let _ = concurrent.work.send(work);
        }
    });
}

impl Shared {
    /// What a handler gets of messages that are to be handled now.
    pub(super) fn prepare(&self, held: &mut [Held]) -> Vec<MessageView> {
        let now_ms = clock::now_ms().to_string();
        let prepare = |(_, message): &mut Held| {
            let ext = message.ext_mut();
            ext.set_property(name::CONSUME_START_TIME, now_ms.as_str());
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
