//! Sending: [`Producer`] and what its calls return.
//!
//! The way of a message: [`outgoing`] checks and encodes it once; `dispatch` chooses a queue, hands the request to the
//! broker's connection and, when that fails in a way that another broker may not, tries again there.

mod dispatch;
mod outgoing;
mod receipt;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::dispatch::{Ack, Send};
pub(crate) use self::outgoing::Outgoing;
pub use self::receipt::{SendReceipt, SendStatus};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::names;

/// Settings of a [`Producer`]. Made by [`Client::producer`].
#[must_use = "a producer begins with start()"]
pub struct ProducerBuilder {
    client: Client,
    settings: ProducerSettings,
}

#[derive(Clone, Debug)]
pub(crate) struct ProducerSettings {
    pub(crate) group: String,
    timeout: Duration,
    retries: u32,
    weak_ack: bool,
    in_flight_max: usize,
    in_flight_bytes_max: usize,
    compress_from_bytes: usize,
    default_topic_queues: i32,
}

impl ProducerSettings {
    /// The settings of a producer that asks for nothing else. Java: `DefaultMQProducer`.
    pub(crate) fn of_group(group: impl Into<String>) -> ProducerSettings {
        ProducerSettings {
            group: group.into(),
            timeout: Duration::from_secs(3),
            retries: 2,
            weak_ack: false,
            in_flight_max: 1024,
            in_flight_bytes_max: 100 << 20,
            compress_from_bytes: 4096,
            default_topic_queues: DEFAULT_TOPIC_QUEUES,
        }
    }
}

/// Queues that a topic gets on each broker that creates it.
pub(crate) const DEFAULT_TOPIC_QUEUES: i32 = 4;

impl ProducerBuilder {
    pub(crate) fn new(client: Client, group: String) -> ProducerBuilder {
        ProducerBuilder { client, settings: ProducerSettings::of_group(group) }
    }

    /// How long a send may take with all its tries. 3 s unless set.
    pub fn timeout(mut self, timeout: Duration) -> ProducerBuilder {
        self.settings.timeout = timeout;
        self
    }

    /// How often a send is tried again, on another broker where there is one. 2 unless set.
    pub fn retries(mut self, retries: u32) -> ProducerBuilder {
        self.settings.retries = retries;
        self
    }

    /// Takes a message for sent, too, when it was not flushed or copied as the broker's settings promise; the receipt's
    /// [`status`](SendReceipt::status) tells.
    pub fn accept_weak_ack(mut self) -> ProducerBuilder {
        self.settings.weak_ack = true;
        self
    }

    /// How many messages, and bytes of their bodies, may be on their way at once; further sends wait. 1024 messages and
    /// 100 MiB unless set.
    pub fn max_in_flight(mut self, messages: usize, bytes: usize) -> ProducerBuilder {
        self.settings.in_flight_max = messages.clamp(1, Semaphore::MAX_PERMITS);
        self.settings.in_flight_bytes_max = bytes.clamp(1, u32::MAX as usize);
        self
    }

    /// From how many bytes on a body is compressed. 4096 unless set; `usize::MAX` for never.
    pub fn compress_from(mut self, bytes: usize) -> ProducerBuilder {
        self.settings.compress_from_bytes = bytes;
        self
    }

    /// How many queues a topic gets on each broker that creates it for us. 4 unless set.
    pub fn default_topic_queues(mut self, queues: u16) -> ProducerBuilder {
        self.settings.default_topic_queues = queues.into();
        self
    }

    /// Starts the producer: from now on brokers are told of it.
    pub async fn start(self) -> Result<Producer> {
        names::check_group(&self.settings.group)?;
        let ProducerBuilder { client, settings } = self;
        let messages = Arc::new(Semaphore::new(settings.in_flight_max));
        let bytes = Arc::new(Semaphore::new(settings.in_flight_bytes_max));
        if client.registry().add_producer(&settings.group) {
            client.heartbeat().await;
        }
        let next_queue = AtomicUsize::new(crate::clock::now_ms() as usize);
        let closed = AtomicBool::new(false);
        Ok(Producer { shared: Arc::new(Shared { client, settings, next_queue, messages, bytes, closed }) })
    }
}

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
}

impl Producer {
    /// Sends a message; `.await` gives the receipt.
    ///
    /// Nothing happens before the first poll. When the future is dropped after that, the message may go its way all the
    /// same.
    /// A send that finds a broker unreachable, busy or without the topic is tried again on another one, so a message
    /// can come twice when an answer was lost.
    pub fn send(&self, message: Message) -> Send<'_> {
        Send::new(self, message)
    }

    /// Hands a message over and returns while it is on its way; the [`Ack`] waits for the receipt.
    ///
    /// Waits only for room among the messages on their way, for the route of a new topic and for a connection. Messages
    /// that are handed over one after another travel together, so this is many times faster than waiting for each.
    pub async fn enqueue(&self, message: Message) -> Result<Ack> {
        self.check_open()?;
        let outgoing = Outgoing::single(&self.shared.client, &self.shared.settings, &message)?;
        self.dispatch(outgoing, self.shared.settings.timeout).await
    }

    /// Sends a message without waiting for an answer: it is lost if the broker does not take it, and nobody learns.
    pub async fn send_oneway(&self, message: Message) -> Result<()> {
        self.check_open()?;
        let outgoing = Outgoing::single(&self.shared.client, &self.shared.settings, &message)?;
        self.dispatch_oneway(outgoing).await
    }

    /// Sends messages of one topic as one: all of them are stored or none, one after another in one queue. Together they
    /// may have 4 MiB.
    pub async fn send_batch(&self, messages: impl IntoIterator<Item = Message>) -> Result<SendReceipt> {
        self.check_open()?;
        let messages: Vec<Message> = messages.into_iter().collect();
        let outgoing = Outgoing::batch(&self.shared.client, &messages)?;
        self.dispatch(outgoing, self.shared.settings.timeout).await?.await
    }

    /// Waits until what is on its way is acknowledged or failed, takes nothing more and tells the brokers that the
    /// producer leaves. Idempotent.
    pub async fn shutdown(&self) {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        // Each message on its way holds a permit until it is answered or its time is up.
        let all = u32::try_from(self.shared.settings.in_flight_max).unwrap_or(u32::MAX);
        drop(self.shared.messages.acquire_many(all).await);
        let Shared { client, settings, .. } = &*self.shared;
        if client.registry().remove_producer(&settings.group) {
            client.unregister(Some(&settings.group), None).await;
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.shared.closed.load(Ordering::Acquire) { Err(Error::closed("producer")) } else { Ok(()) }
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
