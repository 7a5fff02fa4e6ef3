//! Sending: [`Producer`] and what its calls return.
//!
//! The way of a message: `send` holds its options; [`outgoing`] checks and encodes it once; `dispatch` chooses a queue,
//! hands the request to the broker's connection and, when that fails in a way that another broker may not, tries again
//! there. `fault` and `detect` know which brokers to stay away from; `transaction` and `request` are messages that something
//! follows; `hook` is what users hang in.

mod builder;
mod detect;
mod dispatch;
mod fault;
mod hook;
mod outgoing;
mod receipt;
mod request;
mod send;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use raptormq_protocol::body::MessageQueue;
use tokio::sync::Semaphore;

pub use self::builder::ProducerBuilder;
pub(crate) use self::builder::{DEFAULT_TOPIC_QUEUES, ProducerSettings};
use self::fault::Faults;
pub use self::hook::{EndedContext, ProducerHook, SentContext};
pub(crate) use self::outgoing::Outgoing;
pub use self::receipt::{SendReceipt, SendStatus};
pub(crate) use self::request::Requests;
pub use self::send::{Ack, Send};
pub(crate) use self::transaction::{Checks, Question};
pub use self::transaction::{Transaction, TransactionProducer, TransactionState};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::trace::Tracer;

/// Sends messages. Cheap to clone.
///
/// ```no_run
/// # async fn example() -> raptormq_client::Result<()> {
/// use raptormq_client::{Client, Message};
///
/// let client = Client::connect("127.0.0.1:9876").await?;
/// let producer = client.producer("orders").start().await?;
/// let receipt = producer.send(Message::new("TopicTest", "hello").tag("TagA")).await?;
/// println!("{receipt}");
///
/// // Many at once: hand over first, wait for the acknowledgements later.
/// let mut acks = Vec::new();
/// for number in 0..100 {
///     acks.push(producer.enqueue(Message::new("TopicTest", format!("message {number}"))).await?);
/// }
/// for ack in acks {
///     ack.await?;
/// }
/// producer.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    settings: ProducerSettings,
    /// Turns over the queues of all topics.
    next_queue: AtomicUsize,
    /// Room for messages on their way.
    messages: Arc<Semaphore>,
    /// Room for bytes on their way.
    bytes: Arc<Semaphore>,
    closed: AtomicBool,
    /// Brokers to stay away from, where that is asked for.
    faults: Option<Faults>,
    /// Whether brokers that could not be reached are asked until they can be.
    detects: bool,
    tracer: Option<Tracer>,
}

impl Producer {
    /// Sends a message; `.await` gives the receipt.
    ///
    /// Nothing happens before the first poll. When the future is dropped after that, the message may go its way all the
    /// same.
    /// A send that finds a broker unreachable, busy or without the topic is tried again on another one, so a message
    /// can come twice when an answer was lost.
    pub fn send(&self, message: Message) -> Send<'_> {
        Send::one(self, message)
    }

    /// Hands a message over and returns while it is on its way; the [`Ack`] waits for the receipt.
    ///
    /// Waits only for room among the messages on their way, for the route of a new topic and for a connection. Messages
    /// that are handed over one after another travel together, so this is many times faster than waiting for each.
    pub async fn enqueue(&self, message: Message) -> Result<Ack> {
        self.send(message).enqueue().await
    }

    /// Sends a message without waiting for an answer: it is lost if the broker does not take it, and nobody learns.
    #[doc(alias = "sendOneway")]
    pub async fn send_oneway(&self, message: Message) -> Result<()> {
        self.send(message).oneway().await
    }

    /// Sends messages of one topic as one: all of them are stored or none, one after another in one queue. Together they
    /// may have 4 MiB ([`ProducerBuilder::max_message_bytes`]); none may be delayed.
    pub fn send_batch(&self, messages: impl IntoIterator<Item = Message>) -> Send<'_> {
        Send::batch(self, messages.into_iter().collect())
    }

    /// Sends messages of one topic in as many batches as they need, one after another, each of at most `bytes_max` bytes.
    ///
    /// Stops at the first batch that fails; the error says how many messages were sent before.
    pub async fn send_batches(
        &self,
        messages: impl IntoIterator<Item = Message>,
        bytes_max: usize,
    ) -> Result<Vec<SendReceipt>> {
        let mut receipts = Vec::new();
        let mut sent = 0;
        for batch in outgoing::split(messages, bytes_max.min(self.shared.settings.body_bytes_max)) {
            let count = batch.len();
            let receipt = self.send_batch(batch).await;
            receipts.push(receipt.map_err(|error| error.during(format_args!("after {sent} messages that were sent")))?);
            sent += count;
        }
        Ok(receipts)
    }

    /// The queues that messages of a topic go to.
    #[doc(alias = "fetchPublishMessageQueues")]
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        let Shared { client, settings, .. } = &*self.shared;
        let route = client.publish_route(&client.with_namespace(topic), settings.default_topic_queues).await?;
        Ok(route.publish.iter().map(|to| client.queue_without_namespace(&to.queue)).collect())
    }

    /// Waits until what is on its way now is acknowledged or failed.
    pub async fn flush(&self) {
        // Each message on its way holds a permit until it is answered or its time is up.
        let all = u32::try_from(self.shared.settings.in_flight_max).unwrap_or(u32::MAX);
        // Only a closed semaphore gives none, and this one is never closed.
        drop(self.shared.messages.acquire_many(all).await);
    }

    /// Waits until what is on its way is acknowledged or failed, takes nothing more and tells the brokers that the
    /// producer leaves. Idempotent.
    pub async fn shutdown(&self) {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.flush().await;
        let Shared { client, settings, tracer, .. } = &*self.shared;
        if let Some(tracer) = tracer {
            tracer.shutdown().await;
        }
        if client.registry().remove_producer(&settings.group) {
            client.unregister(Some(&settings.group), None).await;
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.shared.closed.load(Ordering::Acquire) { Err(Error::closed("producer")) } else { Ok(()) }
    }
}

impl Shared {
    /// Shows a message to the hooks.
    fn before_send(&self, message: &mut Message) -> Result<()> {
        self.settings.hooks.iter().try_for_each(|hook| hook.before_send(&self.settings.group, message))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !*self.closed.get_mut() && self.client.registry().remove_producer(&self.settings.group) {
            let (client, group) = (self.client.clone(), std::mem::take(&mut self.settings.group));
            self.client.runtime().spawn(async move { client.unregister(Some(&group), None).await });
        }
    }
}
