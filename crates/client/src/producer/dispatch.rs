//! One message's way to a broker: choosing queues, trying again, and the futures that callers wait on.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use raptormq_protocol::code::ResponseCode;
use raptormq_remoting::{CallError, PendingCall, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::outgoing::Outgoing;
use super::{Producer, SendReceipt, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::route::{PublishQueue, Route};

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

/// A send that has not begun: see [`Producer::send`].
#[must_use = "nothing is sent before this is awaited"]
pub struct Send<'a> {
    producer: &'a Producer,
    message: Message,
    timeout: Duration,
}

impl<'a> Send<'a> {
    pub(super) fn new(producer: &'a Producer, message: Message) -> Send<'a> {
        Send { producer, message, timeout: producer.shared.settings.timeout }
    }

    /// How long this send may take with all its tries.
    pub fn timeout(mut self, timeout: Duration) -> Send<'a> {
        self.timeout = timeout;
        self
    }
}

impl<'a> IntoFuture for Send<'a> {
    type Output = Result<SendReceipt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + std::marker::Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Shared { client, settings, .. } = &*self.producer.shared;
            self.producer.check_open()?;
            let outgoing = Outgoing::single(client, settings, &self.message)?;
            self.producer.dispatch(outgoing, self.timeout).await?.await
        })
    }
}

impl Producer {
    /// Hands the first try over to a connection; the rest of the way is a task of its own, so that an answer makes room
    /// and a refusal is tried again whether or not somebody waits for the [`Ack`].
    pub(super) async fn dispatch(&self, outgoing: Outgoing, timeout: Duration) -> Result<Ack> {
        let room = Room::take(&self.shared, outgoing.body_bytes()).await?;
        let began = Instant::now();
        let mut delivery = Delivery {
            shared: self.shared.clone(),
            outgoing,
            timeout,
            deadline: began + timeout,
            began,
            tries: Vec::with_capacity(1),
        };
        let first_try = match delivery.try_once().await {
            Err(error) if !delivery.may_go_on(&error) => return Err(delivery.failure(error)),
            first_try => first_try,
        };
        let finish = async move {
            let receipt = delivery.finish(first_try).await;
            drop(room);
            receipt
        };
        Ok(Ack { delivery: self.shared.client.runtime().spawn(finish) })
    }

    /// Sends once, without an answer.
    pub(super) async fn dispatch_oneway(&self, outgoing: Outgoing) -> Result<()> {
        let Shared { client, settings, .. } = &*self.shared;
        let route = client.publish_route(&outgoing.topic, settings.default_topic_queues).await?;
        let to = self.shared.choose(&route, None);
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
    /// The next queue in turn, not on the broker that failed last if there is another.
    fn choose<'r>(&self, route: &'r Route, failed_broker: Option<&str>) -> &'r Arc<PublishQueue> {
        let queues = &route.publish;
        let turn = || self.next_queue.fetch_add(1, Ordering::Relaxed) % queues.len();
        if let Some(failed) = failed_broker {
            for _ in 0..queues.len() {
                let queue = &queues[turn()];
                if queue.queue.broker_name != failed {
                    return queue;
                }
            }
        }
        &queues[turn()]
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

/// A message being sent, with what was tried already.
struct Delivery {
    shared: Arc<Shared>,
    outgoing: Outgoing,
    timeout: Duration,
    deadline: Instant,
    began: Instant,
    /// The queues that were tried.
    tries: Vec<Arc<PublishQueue>>,
}

impl Delivery {
    /// Finds a queue and puts the request on its broker's connection.
    async fn try_once(&mut self) -> Result<PendingCall> {
        let Shared { client, settings, .. } = &*self.shared;
        let route = match client.known_publish_route(&self.outgoing.topic) {
            Some(route) => route,
            None => {
                let route = client.publish_route(&self.outgoing.topic, settings.default_topic_queues);
                tokio::time::timeout_at(self.deadline, route).await.map_err(|_| self.late())??
            }
        };
        let failed_broker = self.tries.last().map(|to| to.queue.broker_name.as_str());
        let to = self.shared.choose(&route, failed_broker).clone();
        let request = self.outgoing.request(settings, &to.queue);
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.tries.push(to.clone());
        Ok(client.remoting().begin(&to.address, &request, left).await?)
    }

    /// What an answer means.
    fn judge(&self, answer: Result<Response, CallError>) -> Result<SendReceipt> {
        let Some(to) = self.tries.last() else { return Err(Error::protocol("an answer to nothing")) };
        let receipt = SendReceipt::of(&answer?, &self.outgoing.message_id, &to.queue, &to.address)?;
        receipt.accept(self.shared.settings.weak_ack)
    }

    /// Whether there is a try and time left, and reason to use them.
    fn may_go_on(&self, error: &Error) -> bool {
        let tried = self.tries.len();
        tried > 0
            && tried <= self.shared.settings.retries as usize
            && may_retry(error)
            && Instant::now() < self.deadline
    }

    /// Waits for the answer to the first try, and tries until it succeeds or nothing is left to try.
    async fn finish(mut self, first_try: Result<PendingCall>) -> Result<SendReceipt> {
        let mut a_try = first_try;
        loop {
            let receipt = match a_try {
                Ok(pending) => self.judge(pending.await),
                Err(error) => Err(error),
            };
            let error = match receipt {
                Ok(receipt) => return Ok(receipt),
                Err(error) if self.may_go_on(&error) => error,
                Err(error) => return Err(self.failure(error)),
            };
            tracing::debug!(%error, topic = self.outgoing.topic, "a send is tried again");
            if error.kind() == ErrorKind::Unreachable {
                self.shared.client.suspect_routes();
                if !self.wait_for_same_broker().await {
                    return Err(self.failure(error));
                }
            }
            a_try = self.try_once().await;
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

/// The acknowledgement of a message that was handed over: a future of its receipt.
///
/// The message goes its way, with all its tries, whether or not this is awaited; dropping it only means not to learn
/// what became of it.
#[must_use = "whether the message was taken is known only here"]
pub struct Ack {
    delivery: JoinHandle<Result<SendReceipt>>,
}

impl Future for Ack {
    type Output = Result<SendReceipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The task ends early only with its runtime.
        let ended = |error| Error::closed("client's runtime").with_outcome_unknown().with_source(error);
        Pin::new(&mut self.delivery).poll(context).map(|receipt| receipt.map_err(ended).flatten())
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
