//! Consuming: [`Consumer`], which pulls messages and hands them to an async function.
//!
//! Where things are: [`rebalance`] decides which queues are ours and where to begin in them; each queue has a task that
//! [`pull`]s; [`work`] runs the handler, as often at once as allowed, and gives back what it could not do;
//! [`process_queue`] knows what of a queue is unfinished; [`offsets`] and the task here commit where we are.

pub(crate) mod calls;
mod offsets;
mod process_queue;
pub(crate) mod pull;
mod rebalance;
mod work;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, EXPRESSION_SQL92, EXPRESSION_TAG, MessageModel, SUBSCRIBE_ALL,
    SubscriptionData,
};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use self::offsets::LocalOffsets;
use self::process_queue::{ProcessQueue, QueueLimits};
pub use self::work::Retry;
use self::work::Work;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::MessageView;
use crate::names;

/// How often offsets are committed (Java: `persistConsumerOffsetInterval`).
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a shutdown waits for handlers that run.
const HANDLERS_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a group begins in a queue in which it has no offset yet.
///
/// A broker may know better: Java's answers 0 for a queue whose first message it still has in memory, whatever is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "ConsumeFromWhere")]
pub enum ConsumeFrom {
    /// Behind the last message.
    #[default]
    Last,
    /// At the first message there is.
    First,
    /// At the first message stored at this time or later.
    Time(SystemTime),
}

/// What a handler is inside: `Fn(MessageView)` to a future.
type Handler = dyn Fn(MessageView) -> Pin<Box<dyn Future<Output = Result<(), Retry>> + Send>> + Send + Sync;

/// Settings of a [`Consumer`]. Made by [`Client::consumer`].
#[must_use = "a consumer begins with start()"]
pub struct ConsumerBuilder {
    client: Client,
    settings: Settings,
    subscriptions: Vec<(String, String, &'static str)>,
    offsets_home: Option<PathBuf>,
}

/// What the parts of a consumer need to know.
#[derive(Clone, Debug)]
struct Settings {
    group: String,
    broadcast: bool,
    from: ConsumeFrom,
    concurrency: usize,
    pull_batch: u16,
    limits: QueueLimits,
    deliveries_max: i32,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, group: String) -> ConsumerBuilder {
        // Java: `DefaultMQPushConsumer`.
        let settings = Settings {
            group,
            broadcast: false,
            from: ConsumeFrom::Last,
            concurrency: 20,
            pull_batch: 32,
            limits: QueueLimits::default(),
            deliveries_max: 16,
        };
        ConsumerBuilder { client, settings, subscriptions: Vec::new(), offsets_home: None }
    }

    /// Subscribes to a topic, filtered by tags: `"TagA || TagB"`, `"*"` for all messages. All members of a group must
    /// subscribe to the same.
    pub fn subscribe(mut self, topic: impl Into<String>, tags: impl Into<String>) -> ConsumerBuilder {
        self.subscriptions.push((topic.into(), tags.into(), EXPRESSION_TAG));
        self
    }

    /// Subscribes to a topic, filtered by the broker with an SQL92 condition over properties: `"amount > 100"`.
    pub fn subscribe_sql(mut self, topic: impl Into<String>, condition: impl Into<String>) -> ConsumerBuilder {
        self.subscriptions.push((topic.into(), condition.into(), EXPRESSION_SQL92));
        self
    }

    /// Every member of the group gets every message. Offsets are kept on this machine, and a message whose handler fails
    /// is not delivered again.
    pub fn broadcast(mut self) -> ConsumerBuilder {
        self.settings.broadcast = true;
        self
    }

    /// The folder below which the offsets of a broadcasting group are kept, in `.rocketmq_offsets`: the home folder
    /// unless set.
    pub fn offsets_home(mut self, folder: impl Into<PathBuf>) -> ConsumerBuilder {
        self.offsets_home = Some(folder.into());
        self
    }

    /// Where the group begins in a queue in which it has no offset yet. [`ConsumeFrom::Last`] unless set.
    pub fn from(mut self, from: ConsumeFrom) -> ConsumerBuilder {
        self.settings.from = from;
        self
    }

    /// How many handlers run at once. 20 unless set.
    pub fn concurrency(mut self, handlers: usize) -> ConsumerBuilder {
        self.settings.concurrency = handlers.clamp(1, u32::MAX as usize >> 3);
        self
    }

    /// How many messages one pull may bring. 32 unless set, which is also what brokers give at most by default.
    pub fn pull_batch(mut self, messages: u16) -> ConsumerBuilder {
        self.settings.pull_batch = messages.max(1);
        self
    }

    /// How many messages, and bytes of their bodies, of one queue may wait here. 1000 and 100 MiB unless set.
    pub fn max_cached(mut self, messages: usize, bytes: usize) -> ConsumerBuilder {
        self.settings.limits = QueueLimits { messages_max: messages, bytes_max: bytes, ..self.settings.limits };
        self
    }

    /// How often a message is delivered again before it is dead. 16 unless set.
    #[doc(alias = "setMaxReconsumeTimes")]
    pub fn max_redeliveries(mut self, times: u16) -> ConsumerBuilder {
        self.settings.deliveries_max = times.into();
        self
    }

    /// Starts consuming. The handler gets each message; when it returns an error (`?` turns any error into a
    /// [`Retry`]) or panics, the message is delivered again later.
    ///
    /// Handlers run at once, up to [`concurrency`](ConsumerBuilder::concurrency), in no particular order. A message can
    /// come twice, after a crash or while queues move between members.
    pub async fn start<H, F>(self, handler: H) -> Result<Consumer>
    where
        H: Fn(MessageView) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Retry>> + Send + 'static,
    {
        self.start_boxed(Box::new(move |message| Box::pin(handler(message)))).await
    }

    async fn start_boxed(self, handler: Box<Handler>) -> Result<Consumer> {
        let subscriptions = self.parse_subscriptions()?;
        let ConsumerBuilder { client, settings, offsets_home, .. } = self;
        let local_offsets = match settings.broadcast {
            true => Some(open_offsets(&client, &settings.group, offsets_home)?),
            false => None,
        };
        // Brokers can be told of us only once we know which there are.
        for topic in subscriptions.keys() {
            client.subscribe_route(topic).await?;
        }
        let rebalance = Arc::new(Notify::new());
        let data = consumer_data(&settings, &subscriptions);
        client.registry().add_consumer(data, rebalance.clone())?;
        client.heartbeat().await;
        let (work, to_do) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            permits: Arc::new(Semaphore::new(settings.concurrency)),
            client,
            settings,
            subscriptions,
            handler,
            work,
            queues: Mutex::default(),
            rebalance,
            local_offsets,
            stopped: watch::channel(false).0,
            closed: AtomicBool::new(false),
        });
        tokio::spawn(work::dispatch(shared.clone(), to_do));
        tokio::spawn(rebalance::keep_balanced(shared.clone()));
        tokio::spawn(keep_committed(shared.clone()));
        Ok(Consumer { shared })
    }

    fn parse_subscriptions(&self) -> Result<BTreeMap<String, SubscriptionData>> {
        names::check_group(&self.settings.group)?;
        if self.subscriptions.is_empty() {
            return Err(Error::invalid("a consumer needs a subscription: call subscribe() before start()"));
        }
        let retry_topic = names::retry_topic(&self.settings.group);
        let retry = (!self.settings.broadcast).then_some((retry_topic.as_str(), SUBSCRIBE_ALL, EXPRESSION_TAG));
        let users = self.subscriptions.iter().map(|(topic, text, kind)| (topic.as_str(), text.as_str(), *kind));
        let mut subscriptions = BTreeMap::new();
        let sub_version = clock::now_ms();
        for (topic, text, kind) in users.chain(retry) {
            names::check_topic(topic)?;
            let parsed = SubscriptionData::build(topic, text, kind)
                .map_err(|error| Error::invalid(format!("{text:?} is no filter: {error}")).with_source(error))?;
            subscriptions.insert(topic.to_owned(), SubscriptionData { sub_version, ..parsed });
        }
        Ok(subscriptions)
    }
}

fn open_offsets(client: &Client, group: &str, home: Option<PathBuf>) -> Result<LocalOffsets> {
    let no_home = || Error::new(ErrorKind::Storage, "no home folder for broadcast offsets: call offsets_home()");
    let home = home.or_else(std::env::home_dir).ok_or_else(no_home)?;
    LocalOffsets::open(&home, client.stable_id(), group)
}

/// What brokers are told of a consumer.
fn consumer_data(settings: &Settings, subscriptions: &BTreeMap<String, SubscriptionData>) -> ConsumerData {
    ConsumerData {
        consume_from_where: match settings.from {
            ConsumeFrom::Last => ConsumeFromWhere::ConsumeFromLastOffset,
            ConsumeFrom::First => ConsumeFromWhere::ConsumeFromFirstOffset,
            ConsumeFrom::Time(_) => ConsumeFromWhere::ConsumeFromTimestamp,
        },
        consume_type: ConsumeType::ConsumePassively,
        group_name: settings.group.clone(),
        message_model: if settings.broadcast { MessageModel::Broadcasting } else { MessageModel::Clustering },
        subscription_data_set: subscriptions.values().cloned().collect(),
        unit_mode: false,
    }
}

/// Consumes messages until it is shut down. Dropping it shuts it down, too, but waits for nothing.
///
/// ```no_run
/// # async fn example() -> raptormq_client::Result<()> {
/// use raptormq_client::{Client, ConsumeFrom};
///
/// let client = Client::connect("127.0.0.1:9876").await?;
/// let consumer = client
///     .consumer("billing")
///     .subscribe("TopicTest", "TagA || TagB")
///     .from(ConsumeFrom::First)
///     .start(|message| async move {
///         let text = std::str::from_utf8(message.body())?;
///         println!("{}: {text}", message.message_id());
///         Ok(())
///     })
///     .await?;
/// // …
/// consumer.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a consumer that is dropped stops"]
pub struct Consumer {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    settings: Settings,
    subscriptions: BTreeMap<String, SubscriptionData>,
    handler: Box<Handler>,
    /// One for each handler that may run.
    permits: Arc<Semaphore>,
    /// Messages to be handled. Bounded by what the queues may hold: they pull no more than that.
    work: mpsc::UnboundedSender<Work>,
    /// The queues that are ours.
    queues: Mutex<BTreeMap<MessageQueue, Arc<ProcessQueue>>>,
    /// Asks to look at once which queues are ours.
    rebalance: Arc<Notify>,
    /// Only of a broadcasting group.
    local_offsets: Option<LocalOffsets>,
    /// Becomes true when nothing new is begun any more.
    stopped: watch::Sender<bool>,
    closed: AtomicBool,
}

impl Consumer {
    /// The queues that are consumed here at the moment.
    pub fn queues(&self) -> Vec<MessageQueue> {
        self.shared.queues.lock().keys().cloned().collect()
    }

    /// Stops pulling, lets running handlers finish (for at most 30 s), commits offsets and leaves the group, so that
    /// the other members take over at once. Idempotent.
    pub async fn shutdown(&self) {
        shut_down(&self.shared).await;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.shared.closed.load(Ordering::Acquire) {
            tracing::warn!(group = self.shared.settings.group, "a consumer is dropped without shutdown()");
            let shared = self.shared.clone();
            self.shared.client.runtime().spawn(async move { shut_down(&shared).await });
        }
    }
}

async fn shut_down(shared: &Shared) {
    if shared.closed.swap(true, Ordering::AcqRel) {
        return;
    }
    shared.stopped.send_replace(true);
    let queues: Vec<Arc<ProcessQueue>> = std::mem::take(&mut *shared.queues.lock()).into_values().collect();
    queues.iter().for_each(|queue| queue.release());
    let handlers = shared.permits.acquire_many(shared.settings.concurrency as u32);
    if tokio::time::timeout(HANDLERS_TIMEOUT, handlers).await.is_err() {
        tracing::warn!(group = shared.settings.group, "handlers still run; their messages will be delivered again");
    }
    shared.commit(&queues).await;
    shared.client.registry().remove_consumer(&shared.settings.group);
    shared.client.unregister(None, Some(&shared.settings.group)).await;
}

impl Shared {
    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until the consumer stops.
    async fn stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // The sender lives as long as `self`, so waiting ends only with the value.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Commits the offsets of queues that have moved on. What fails is tried again the next time.
    async fn commit(&self, queues: &[Arc<ProcessQueue>]) {
        if let Some(local) = &self.local_offsets {
            let known = queues.iter().filter_map(|queue| Some((queue.queue.clone(), queue.commit_offset()?)));
            if let Err(error) = local.save(known) {
                tracing::error!(%error, "broadcast offsets are not kept");
            }
            return;
        }
        let mut by_broker: BTreeMap<(&str, &str), Vec<(&ProcessQueue, i64)>> = BTreeMap::new();
        for queue in queues {
            if let Some(offset) = queue.uncommitted() {
                let MessageQueue { topic, broker_name, .. } = &queue.queue;
                by_broker.entry((topic, broker_name)).or_default().push((queue, offset));
            }
        }
        join_all(by_broker.values().map(|offsets| self.commit_to_broker(offsets))).await;
    }

    /// Commits offsets of one topic to one broker: one by itself, and the others together once it is there. Java brokers
    /// make a group's table for a topic with its first offset, and when two come at once, each makes one and one of
    /// them is lost (`ConsumerOffsetManager.commitOffset`, seen on 5.3.3).
    async fn commit_to_broker(&self, offsets: &[(&ProcessQueue, i64)]) {
        let Some(((first, first_offset), others)) = offsets.split_first() else { return };
        self.commit_one(first, *first_offset).await;
        join_all(others.iter().map(|(queue, offset)| self.commit_one(queue, *offset))).await;
    }

    async fn commit_one(&self, queue: &ProcessQueue, offset: i64) {
        let group = &self.settings.group;
        let route = self.client.known_route(&queue.queue.topic);
        let Some(address) = route.as_ref().and_then(|route| route.master(&queue.queue.broker_name)) else {
            return tracing::warn!(queue = %queue.queue, "the queue's broker has no master now to commit an offset to");
        };
        match self.client.call(address, calls::commit_request(group, &queue.queue, offset)).await {
            Ok(_) => queue.set_committed(offset),
            Err(error) => tracing::warn!(group, queue = %queue.queue, %error, "an offset was not committed"),
        }
    }
}

/// Commits offsets until the consumer stops.
async fn keep_committed(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            () = tokio::time::sleep(COMMIT_INTERVAL) => {}
        }
        let queues: Vec<Arc<ProcessQueue>> = shared.queues.lock().values().cloned().collect();
        shared.commit(&queues).await;
    }
}
