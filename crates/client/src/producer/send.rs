//! A send that has not begun, with its options; and the acknowledgement of one that has.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::hash::java_hash;
use tokio::sync::oneshot;

use super::outgoing::{Kind, Outgoing};
use super::{Producer, SendReceipt};
use crate::error::{Error, Result};
use crate::message::Message;

/// What is sent.
enum Payload {
    One(Message),
    Batch(Vec<Message>),
}

/// Where it goes.
pub(super) enum Target {
    /// To the next queue in turn, and to another broker's after a failure.
    Turn,
    /// To this queue.
    Queue(MessageQueue),
    /// To the queue that a key's hash falls on.
    Key(i32),
    /// To the queue that a function chooses.
    Choice(Box<Choose>),
}

/// Chooses one of a topic's queues by its index.
type Choose = dyn FnOnce(&[MessageQueue]) -> usize + std::marker::Send;

/// A send that has not begun: see [`Producer::send`]. `.await` sends and waits for the receipt; [`Send::enqueue`] and
/// [`Send::oneway`] wait for less.
#[must_use = "nothing is sent before this is awaited"]
pub struct Send<'a> {
    producer: &'a Producer,
    payload: Payload,
    target: Target,
    kind: Kind,
    timeout: Duration,
}

impl<'a> Send<'a> {
    pub(super) fn one(producer: &'a Producer, message: Message) -> Send<'a> {
        Send::new(producer, Payload::One(message))
    }

    pub(super) fn batch(producer: &'a Producer, messages: Vec<Message>) -> Send<'a> {
        Send::new(producer, Payload::Batch(messages))
    }

    fn new(producer: &'a Producer, payload: Payload) -> Send<'a> {
        let timeout = producer.shared.settings.timeout;
        Send { producer, payload, target: Target::Turn, kind: Kind::Normal, timeout }
    }

    pub(super) fn kind(mut self, kind: Kind) -> Send<'a> {
        self.kind = kind;
        self
    }

    /// How long this send may take with all its tries.
    pub fn timeout(mut self, timeout: Duration) -> Send<'a> {
        self.timeout = timeout;
        self
    }

    /// Sends to this queue and no other: one try, as in the original.
    pub fn to_queue(mut self, queue: MessageQueue) -> Send<'a> {
        self.target = Target::Queue(queue);
        self
    }

    /// Sends to the queue that this key falls on, the same one for the same key as long as the topic's queues stay the
    /// same: messages of one key are consumed in order by an ordered consumer. One try, so that the order is kept.
    /// Java's `SelectMessageQueueByHash` chooses the same queue for the same text.
    #[doc(alias = "SelectMessageQueueByHash")]
    pub fn ordering_key(mut self, key: impl AsRef<str>) -> Send<'a> {
        self.target = Target::Key(java_hash(key.as_ref()));
        self
    }

    /// Sends to the queue whose index the function returns, which is taken modulo their number. One try.
    #[doc(alias = "MessageQueueSelector")]
    pub fn select(mut self, choose: impl FnOnce(&[MessageQueue]) -> usize + std::marker::Send + 'static) -> Send<'a> {
        self.target = Target::Choice(Box::new(choose));
        self
    }

    /// Hands over and returns while the message is on its way: see [`Producer::enqueue`].
    pub async fn enqueue(self) -> Result<Ack> {
        let (producer, timeout) = (self.producer, self.timeout);
        let (outgoing, target) = self.prepare()?;
        producer.dispatch(outgoing, target, timeout).await
    }

    /// Sends without waiting for an answer: see [`Producer::send_oneway`].
    pub async fn oneway(self) -> Result<()> {
        let producer = self.producer;
        let (outgoing, target) = self.prepare()?;
        producer.dispatch_oneway(outgoing, target).await
    }

    /// Checks and encodes.
    fn prepare(self) -> Result<(Outgoing, Target)> {
        self.producer.check_open()?;
        let shared = &self.producer.shared;
        let outgoing = match self.payload {
            Payload::One(mut message) => {
                shared.before_send(&mut message)?;
                Outgoing::of_kind(&shared.client, &shared.settings, message, self.kind)?
            }
            Payload::Batch(mut messages) => {
                for message in &mut messages {
                    shared.before_send(message)?;
                }
                Outgoing::batch(&shared.client, &shared.settings, &messages)?
            }
        };
        Ok((outgoing, self.target))
    }
}

impl<'a> IntoFuture for Send<'a> {
    type Output = Result<SendReceipt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + std::marker::Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.enqueue().await?.await })
    }
}

/// The acknowledgement of a message that was handed over: a future of its receipt.
///
/// The message goes its way, with all its tries, whether or not this is awaited; dropping it only means not to learn
/// what became of it.
#[must_use = "whether the message was taken is known only here"]
pub struct Ack {
    pub(super) receipt: oneshot::Receiver<Result<SendReceipt>>,
}

impl Future for Ack {
    type Output = Result<SendReceipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A delivery is dropped before its end only with its runtime.
        let ended = |error| Error::closed("client's runtime").with_outcome_unknown().with_source(error);
        Pin::new(&mut self.receipt).poll(context).map(|receipt| receipt.map_err(ended).flatten())
    }
}
