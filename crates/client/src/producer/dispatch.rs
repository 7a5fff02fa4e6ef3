//! One message's way to a broker: choosing queues, trying again, and telling those who look on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::Header;
use raptormq_remoting::{CallError, Inquiry, Unanswered};
use smallvec::SmallVec;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::fault::Seen;
use super::hook::SentContext;
use super::outgoing::Outgoing;
use super::send::Target;
use super::{Ack, Producer, SendReceipt, SendStatus, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::route::{PublishQueue, Route};
use crate::trace::Sent;

/// Answers after which another broker, or the same one a moment later, may take the message
/// (Java: `DefaultMQProducer.retryResponseCodes`).
const RETRY_CODES: [ResponseCode; 8] = [
    ResponseCode::TOPIC_NOT_EXIST,
    ResponseCode::SERVICE_NOT_AVAILABLE,
    ResponseCode::SYSTEM_ERROR,
    ResponseCode::SYSTEM_BUSY,
    ResponseCode::NO_PERMISSION,
    ResponseCode::NO_BUYER_ID,
    ResponseCode::NOT_IN_CURRENT_UNIT,
    ResponseCode::GO_AWAY,
];

/// Pauses before a broker that could not be reached is tried again when there is no other: it may be starting. The last
/// one is as long as the connections' own longest pause between attempts, so the try after it does connect.
const SAME_BROKER_PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// Pause before a one-way message that found no room asks again.
const ONEWAY_PAUSE: Duration = Duration::from_millis(1);

/// Whether a failed send may be tried again.
fn may_retry(error: &Error) -> bool {
    match error.code() {
        Some(code) => RETRY_CODES.contains(&code),
        None => matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Busy | ErrorKind::Timeout),
    }
}

impl Producer {
    /// Hands the first try over to a connection. Whoever reads the answer there ends the delivery, or starts a task that
    /// tries again: so an answer makes room, and a refusal is tried again, whether or not somebody waits for the [`Ack`].
    pub(super) async fn dispatch(&self, outgoing: Outgoing, target: Target, timeout: Duration) -> Result<Ack> {
        let room = Room::take(&self.shared, outgoing.body_bytes()).await?;
        let began = Instant::now();
        let (sender, receipt) = oneshot::channel();
        let mut delivery = Box::new(Delivery {
            shared: self.shared.clone(),
            outgoing,
            timeout,
            deadline: began + timeout,
            began,
            try_began: began,
            is_bound: !matches!(target, Target::Turn),
            tries: SmallVec::new(),
            sender,
            _room: room,
        });
        let begun = match delivery.aim_first(target).await {
            Ok(()) => delivery.begin_try(began).await,
            Err(error) => Err((error, delivery)),
        };
        match begun {
            Ok(()) => {}
            Err((error, delivery)) if delivery.may_go_on(&error) => {
                delivery.note(&Err(error.clone()));
                delivery.spawn(Step::Again(Some(error)));
            }
            Err((error, delivery)) => {
                let error = delivery.failure(error);
                delivery.note(&Err(error.clone()));
                delivery.tell(&Err(error.clone()));
                return Err(error);
            }
        }
        Ok(Ack { receipt })
    }

    /// Sends once, without an answer.
    pub(super) async fn dispatch_oneway(&self, outgoing: Outgoing, target: Target) -> Result<()> {
        let Shared { client, settings, .. } = &*self.shared;
        let route = client.publish_route(&outgoing.topic, settings.default_topic_queues).await?;
        let to = self.shared.aim(&route, target)?;
        let request = outgoing.request(settings, &to.queue);
        let deadline = Instant::now() + settings.timeout;
        loop {
            match client.remoting().oneway(&to.address, &request).await {
                // What waits for the socket is bounded; wait for room there.
                Err(CallError::Busy { .. }) if Instant::now() < deadline => tokio::time::sleep(ONEWAY_PAUSE).await,
                sent => return Ok(sent?),
            }
        }
    }
}

impl Shared {
    /// The queue that a target means.
    fn aim(&self, route: &Route, target: Target) -> Result<Arc<PublishQueue>> {
        let queues = &route.publish;
        let at = match target {
            Target::Turn => return Ok(self.choose(route, None).clone()),
            Target::Queue(queue) => return self.named(route, queue),
            // Java's `%` and `abs`.
            Target::Key(hash) => (hash % queues.len() as i32).unsigned_abs() as usize,
            Target::Choice(choose) => {
                let shown = |to: &Arc<PublishQueue>| self.client.queue_without_namespace(&to.queue);
                choose(&queues.iter().map(shown).collect::<Vec<MessageQueue>>()) % queues.len()
            }
        };
        Ok(queues[at].clone())
    }

    /// A queue by its name, which need not be one that the route offers.
    fn named(&self, route: &Route, queue: MessageQueue) -> Result<Arc<PublishQueue>> {
        let is_it = |to: &&Arc<PublishQueue>| {
            (to.queue.queue_id, &to.queue.broker_name) == (queue.queue_id, &queue.broker_name)
        };
        if let Some(known) = route.publish.iter().find(is_it) {
            return Ok(known.clone());
        }
        let address = route.master(&queue.broker_name).map(|address| self.client.send_address(address));
        let Some(address) = address else {
            let text =
                format!("The broker[{}] not exist, or has no master for topic {}", queue.broker_name, queue.topic);
            return Err(Error::new(ErrorKind::NoRoute, text));
        };
        Ok(Arc::new(PublishQueue { queue, address }))
    }

    /// The next queue in turn, not on the broker that failed last if there is another; where slow brokers are told from
    /// others, on one that is not.
    fn choose<'r>(&self, route: &'r Route, failed_broker: Option<&str>) -> &'r Arc<PublishQueue> {
        let queues = &route.publish;
        let first = self.next_queue.fetch_add(1, Ordering::Relaxed);
        if failed_broker.is_none() && self.faults.is_none() {
            return &queues[first % queues.len()];
        }
        let mut in_turn = (0..queues.len()).map(|step| &queues[first.wrapping_add(step) % queues.len()]);
        let is_other = |to: &Arc<PublishQueue>| failed_broker.is_none_or(|failed| to.queue.broker_name != failed);
        let now = Instant::now();
        let rank =
            |to: &Arc<PublishQueue>| self.faults.as_ref().map_or(2, |faults| faults.rank(&to.queue.broker_name, now));
        // Available ones first, then those that can be reached, then any; each time not where it failed last.
        for least in [2, 1, 0] {
            if let Some(to) = in_turn.clone().find(|to| is_other(to) && rank(to) >= least) {
                return to;
            }
        }
        in_turn.next().unwrap_or(&queues[0])
    }
}

/// A message's share of what may be on its way at once.
struct Room {
    _message: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Room {
    async fn take(shared: &Arc<Shared>, bytes: usize) -> Result<Room> {
        let closed = |_| Error::closed("producer");
        // One message always finds room, however long; the builder keeps the limit within a u32.
        let bytes = bytes.min(shared.settings.in_flight_bytes_max) as u32;
        let message = shared.messages.clone().acquire_owned().await.map_err(closed)?;
        let bytes = shared.bytes.clone().acquire_many_owned(bytes).await.map_err(closed)?;
        Ok(Room { _message: message, _bytes: bytes })
    }
}

/// Queues that a message of most producers is tried on at most: once and twice again.
const TRIES_USUAL: usize = 3;

/// A message being sent, with what was tried already.
struct Delivery {
    shared: Arc<Shared>,
    outgoing: Outgoing,
    timeout: Duration,
    deadline: Instant,
    began: Instant,
    try_began: Instant,
    /// Whether it may only go where the first try went.
    is_bound: bool,
    /// The queues that were tried. Not empty once a request was made.
    tries: SmallVec<[Arc<PublishQueue>; TRIES_USUAL]>,
    /// Tells whoever has the [`Ack`].
    sender: oneshot::Sender<Result<SendReceipt>>,
    _room: Room,
}

/// What follows from a try.
enum Step {
    /// The send is over.
    Over(Result<SendReceipt>),
    /// Another try; after this error, or because the message is stored weaker than asked for.
    Again(Option<Error>),
}

impl Inquiry for Delivery {
    fn code(&self) -> RequestCode {
        self.outgoing.code()
    }

    fn header(&self) -> impl Header<'_> {
        self.outgoing.header(&self.shared.settings, &self.last_try().queue)
    }

    fn body(&self) -> &Bytes {
        self.outgoing.body()
    }

    fn answered(mut self: Box<Self>, answer: Result<&Command<'_>, Unanswered>) {
        let receipt = self.judge(answer);
        match self.follow(receipt) {
            // Hooks are the user's code: they may take their time and panic in a task, not here.
            Step::Over(outcome) if self.shared.settings.hooks.is_empty() => self.end(outcome),
            step => self.spawn(step),
        }
    }
}

impl Delivery {
    /// The queue that is being tried.
    fn last_try(&self) -> &Arc<PublishQueue> {
        self.tries.last().expect("a queue is chosen before a request is made for it")
    }

    /// The route of the topic.
    async fn route(&self) -> Result<Arc<Route>> {
        let Shared { client, settings, .. } = &*self.shared;
        if let Some(route) = client.known_publish_route(&self.outgoing.topic) {
            return Ok(route);
        }
        let route = client.publish_route(&self.outgoing.topic, settings.default_topic_queues);
        tokio::time::timeout_at(self.deadline, route).await.map_err(|_| self.late())?
    }

    /// Chooses the first queue.
    async fn aim_first(&mut self, target: Target) -> Result<()> {
        let to = self.shared.aim(&*self.route().await?, target)?;
        self.tries.push(to);
        Ok(())
    }

    /// Chooses another queue.
    async fn aim_again(&mut self) -> Result<()> {
        let failed_broker = self.tries.last().map(|to| to.queue.broker_name.as_str());
        let to = self.shared.choose(&*self.route().await?, failed_broker).clone();
        self.tries.push(to);
        Ok(())
    }

    /// Puts the request on the connection of the chosen queue's broker, from where this comes back with the answer.
    async fn begin_try(mut self: Box<Self>, now: Instant) -> Result<(), (Error, Box<Self>)> {
        self.try_began = now;
        let left = self.try_time();
        let (shared, to) = (self.shared.clone(), self.last_try().clone());
        let begun = shared.client.remoting().begin_inquiry(&to.address, self, now, left).await;
        begun.map_err(|(error, delivery)| (error.into(), delivery))
    }

    /// How long the try may take.
    fn try_time(&self) -> Duration {
        self.deadline.saturating_duration_since(self.try_began).min(self.shared.settings.try_timeout)
    }

    /// What an answer means.
    fn judge(&mut self, answer: Result<&Command<'_>, Unanswered>) -> Result<SendReceipt> {
        let answer = answer.map_err(|why| why.explain(&self.last_try().address, self.code(), self.try_time()))?;
        if let Some(traced) = &mut self.outgoing.traced {
            traced.answered(answer);
        }
        let to = self.last_try();
        let mut receipt = SendReceipt::of(answer, &self.outgoing.message_id, &to.queue, &to.address)?;
        self.shared.client.strip_namespace(&mut receipt.queue.topic);
        Ok(receipt)
    }

    /// Whether there is a try and time left.
    fn has_try_left(&self) -> bool {
        let tried = self.tries.len();
        !self.is_bound && tried > 0 && tried <= self.shared.settings.retries as usize && Instant::now() < self.deadline
    }

    /// Whether there is a try and time left, and reason to use them.
    fn may_go_on(&self, error: &Error) -> bool {
        may_retry(error) && self.has_try_left()
    }

    /// What follows from how a try went.
    fn follow(&self, receipt: Result<SendReceipt>) -> Step {
        self.note(&receipt);
        let settings = &self.shared.settings;
        match receipt {
            // Weaker than asked for: another broker may do better.
            Ok(receipt) if receipt.status != SendStatus::SendOk && settings.retry_weak_ack && self.has_try_left() => {
                tracing::debug!(status = %receipt.status, topic = self.outgoing.topic, "a send is tried again");
                Step::Again(None)
            }
            Ok(receipt) => Step::Over(receipt.accept(settings.weak_ack)),
            Err(error) if self.may_go_on(&error) => Step::Again(Some(error)),
            Err(error) => Step::Over(Err(self.failure(error))),
        }
    }

    /// Takes a step in a task of its own.
    fn spawn(self: Box<Self>, step: Step) {
        let runtime = self.shared.client.runtime().clone();
        runtime.spawn(self.go_on(step));
    }

    /// Tries until a request is on its way, or the send is over.
    async fn go_on(mut self: Box<Self>, mut step: Step) {
        loop {
            let error = match step {
                Step::Over(outcome) => return self.end(outcome),
                Step::Again(error) => error,
            };
            if let Some(error) = error {
                tracing::debug!(%error, topic = self.outgoing.topic, "a send is tried again");
                if error.kind() == ErrorKind::Unreachable {
                    self.shared.client.suspect_routes();
                    if !self.wait_for_same_broker().await {
                        let outcome = Err(self.failure(error));
                        return self.end(outcome);
                    }
                }
            }
            let begun = match self.aim_again().await {
                Ok(()) => self.begin_try(Instant::now()).await,
                Err(error) => Err((error, self)),
            };
            let Err((error, delivery)) = begun else { return };
            self = delivery;
            step = self.follow(Err(error));
        }
    }

    /// The send is over.
    fn end(self: Box<Self>, outcome: Result<SendReceipt>) {
        self.tell(&outcome);
        let Delivery { sender, _room: room, .. } = *self;
        // Nobody need wait for it.
        drop(sender.send(outcome));
        drop(room);
    }

    /// Notes for the next choice of a broker how a try went.
    fn note(&self, outcome: &Result<SendReceipt>) {
        let (Some(faults), Some(to)) = (&self.shared.faults, self.tries.last()) else { return };
        let seen = match outcome {
            Ok(_) => Seen::Answered(self.try_began.elapsed()),
            Err(error) if error.code().is_some() => Seen::Refused,
            Err(error) if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Timeout) => Seen::Unreachable,
            Err(_) => return,
        };
        faults.note(&to.queue.broker_name, seen, Instant::now());
    }

    /// Tells hooks and traces what came of it.
    fn tell(&self, outcome: &Result<SendReceipt>) {
        let Shared { settings, tracer, .. } = &*self.shared;
        let last = self.tries.last();
        if let (Some(tracer), Some(traced)) = (tracer, &self.outgoing.traced) {
            let elapsed_ms = self.try_began.elapsed().as_millis() as i64;
            let address = last.map(|to| to.address.as_str()).unwrap_or_default();
            let sent = Sent {
                topic: &self.outgoing.topic,
                message_id: &self.outgoing.message_id,
                born_timestamp_ms: self.outgoing.born_timestamp_ms,
                broker_address: address,
                elapsed_ms,
                receipt: outcome.as_ref().ok(),
            };
            tracer.sent(traced, &sent);
        }
        for hook in &settings.hooks {
            hook.after_send(&SentContext {
                group: &settings.group,
                topic: &self.outgoing.topic,
                message_id: &self.outgoing.message_id,
                broker_name: last.map(|to| to.queue.broker_name.as_str()).unwrap_or_default(),
                tries: self.tries.len(),
                born_timestamp_ms: self.outgoing.born_timestamp_ms,
                outcome: outcome.as_ref(),
            });
        }
    }

    /// Waits a moment when the next try can only go where the last one failed; `false` when there is no time for that.
    async fn wait_for_same_broker(&self) -> bool {
        let Some(failed) = self.tries.last() else { return true };
        let route = self.shared.client.known_route(&self.outgoing.topic);
        let is_other = |to: &Arc<PublishQueue>| to.queue.broker_name != failed.queue.broker_name;
        if route.is_some_and(|route| route.publish.iter().any(is_other)) {
            return true;
        }
        let pause = SAME_BROKER_PAUSES[self.tries.len().min(SAME_BROKER_PAUSES.len()) - 1];
        let until = Instant::now() + pause;
        if until >= self.deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }

    fn late(&self) -> Error {
        Error::new(ErrorKind::Timeout, format!("no route within {} ms", self.timeout.as_millis()))
    }

    /// The error of the whole send, in the original's words when more than one try was made.
    fn failure(&self, error: Error) -> Error {
        if self.tries.len() < 2 {
            return error;
        }
        let brokers: Vec<&str> = self.tries.iter().map(|to| to.queue.broker_name.as_str()).collect();
        error.during(format_args!(
            "Send [{}] times, still failed, cost [{}]ms, Topic: {}, BrokersSent: [{}]",
            self.tries.len(),
            self.began.elapsed().as_millis(),
            self.outgoing.topic,
            brokers.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_java_are_tried_again_and_no_others() {
        for code in 0..3000 {
            let error = Error::refused(code, None, "b:1");
            assert_eq!(may_retry(&error), [17, 14, 1, 2, 16, 204, 205, 1500].contains(&code), "{code}");
        }
        assert!(may_retry(&Error::new(ErrorKind::Unreachable, "")));
        assert!(!may_retry(&Error::new(ErrorKind::TooLarge, "")));
    }
}
