//! Settings of a [`Consumer`](super::Consumer), and its start.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use raptormq_protocol::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, EXPRESSION_SQL92, EXPRESSION_TAG, MessageModel, SUBSCRIBE_ALL,
    SubscriptionData,
};

use super::allocate::Allocation;
use super::handler::{Handler, Retry};
use super::process_queue::QueueLimits;
use super::{Consumer, Shared, Sink};
use crate::client::Client;
use crate::clock;
use crate::error::{Error, Result};
use crate::message::MessageView;
use crate::names;
use crate::trace::TRACE_TOPIC;

/// Pauses between two pulls of a queue are at most this long (Java: `DefaultMQPushConsumer.pullInterval`).
const PULL_INTERVAL_MAX: Duration = Duration::from_millis(65_535);
/// Messages that one pull, or one call of a handler, may have (Java: `DefaultMQPushConsumerImpl.checkConfig`).
const BATCH_MAX: u16 = 1024;

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

impl ConsumeFrom {
    fn on_wire(self) -> ConsumeFromWhere {
        match self {
            ConsumeFrom::Last => ConsumeFromWhere::ConsumeFromLastOffset,
            ConsumeFrom::First => ConsumeFromWhere::ConsumeFromFirstOffset,
            ConsumeFrom::Time(_) => ConsumeFromWhere::ConsumeFromTimestamp,
        }
    }
}

/// What a consumer subscribes to: topic, filter, kind of filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions(Vec<(String, String, &'static str)>);

impl Subscriptions {
    pub(super) fn tags(&mut self, topic: String, tags: String) {
        self.0.push((topic, tags, EXPRESSION_TAG));
    }

    pub(super) fn sql(&mut self, topic: String, condition: String) {
        self.0.push((topic, condition, EXPRESSION_SQL92));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the brokers are told, by topic as they know it; with that of the group's retry topic if it has one.
    pub(super) fn parse(
        &self,
        client: &Client,
        retry_topic: Option<&str>,
    ) -> Result<BTreeMap<String, SubscriptionData>> {
        let retry = retry_topic.map(|topic| (topic, SUBSCRIBE_ALL, EXPRESSION_TAG));
        let users = self.0.iter().map(|(topic, text, kind)| (topic.as_str(), text.as_str(), *kind));
        let mut subscriptions = BTreeMap::new();
        let sub_version = clock::now_ms();
        for (topic, text, kind) in users.chain(retry) {
            let topic = &*client.with_namespace(topic);
            names::check_topic(topic)?;
            let parsed = SubscriptionData::build(topic, text, kind)
                .map_err(|error| Error::invalid(format!("{text:?} is no filter: {error}")).with_source(error))?;
            subscriptions.insert(topic.to_owned(), SubscriptionData { sub_version, ..parsed });
        }
        Ok(subscriptions)
    }
}

/// What the parts of a consumer need to know.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) group: String,
    pub(super) broadcast: bool,
    pub(super) ordered: bool,
    pub(super) consume_type: ConsumeType,
    pub(super) from: ConsumeFrom,
    pub(super) allocation: Allocation,
    /// Handlers that run at once.
    pub(super) concurrency: usize,
    /// Messages that a handler gets at once.
    pub(super) batch: usize,
    pub(super) pull_batch: u16,
    pub(super) pull_bytes: u32,
    pub(super) pull_interval: Duration,
    pub(super) limits: QueueLimits,
    pub(super) deliveries_max: Option<u16>,
    pub(super) consume_timeout: Duration,
    /// How long a queue stands still after an ordered handler failed.
    pub(super) suspend: Duration,
    /// Whether offsets are committed by themselves.
    pub(super) auto_commit: bool,
    pub(super) commit_interval: Duration,
    /// Where traces go.
    pub(super) trace_topic: Option<String>,
}

impl Settings {
    /// Java: `DefaultMQPushConsumer`.
    pub(super) fn new(group: String) -> Settings {
        Settings {
            group,
            broadcast: false,
            ordered: false,
            consume_type: ConsumeType::ConsumePassively,
            from: ConsumeFrom::Last,
            allocation: Allocation::Averagely,
            concurrency: 20,
            batch: 1,
            pull_batch: 32,
            pull_bytes: 256 << 10,
            pull_interval: Duration::ZERO,
            limits: QueueLimits::default(),
            deliveries_max: None,
            consume_timeout: Duration::from_secs(15 * 60),
            suspend: Duration::from_secs(1),
            auto_commit: true,
            commit_interval: Duration::from_secs(5),
            trace_topic: None,
        }
    }

    /// Names the group as brokers know it.
    pub(super) fn enter_namespace(&mut self, client: &Client) {
        self.group = client.with_namespace(&self.group).into_owned();
    }

    /// What brokers are told of the consumer.
    pub(super) fn consumer_data(&self, subscriptions: &BTreeMap<String, SubscriptionData>) -> ConsumerData {
        ConsumerData {
            consume_from_where: self.from.on_wire(),
            consume_type: self.consume_type,
            group_name: self.group.clone(),
            message_model: if self.broadcast { MessageModel::Broadcasting } else { MessageModel::Clustering },
            subscription_data_set: subscriptions.values().cloned().collect(),
            unit_mode: false,
        }
    }
}

/// Settings of a [`Consumer`]. Made by [`Client::consumer`].
#[must_use = "a consumer begins with start()"]
pub struct ConsumerBuilder {
    client: Client,
    settings: Settings,
    subscriptions: Subscriptions,
    offsets_home: Option<PathBuf>,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, group: String) -> ConsumerBuilder {
        let settings = Settings::new(group);
        ConsumerBuilder { client, settings, subscriptions: Subscriptions::default(), offsets_home: None }
    }

    /// Subscribes to a topic, filtered by tags: `"TagA || TagB"`, `"*"` for all messages. All members of a group must
    /// subscribe to the same.
    pub fn subscribe(mut self, topic: impl Into<String>, tags: impl Into<String>) -> ConsumerBuilder {
        self.subscriptions.tags(topic.into(), tags.into());
        self
    }

    /// Subscribes to a topic, filtered by the broker with an SQL92 condition over properties: `"amount > 100"`. The
    /// broker must be set to `enablePropertyFilter=true`.
    #[doc(alias = "MessageSelector")]
    pub fn subscribe_sql(mut self, topic: impl Into<String>, condition: impl Into<String>) -> ConsumerBuilder {
        self.subscriptions.sql(topic.into(), condition.into());
        self
    }

    /// Every member of the group gets every message. Offsets are kept on this machine, and a message whose handler fails
    /// is not delivered again.
    #[doc(alias = "MessageModel")]
    pub fn broadcast(mut self) -> ConsumerBuilder {
        self.settings.broadcast = true;
        self
    }

    /// The messages of a queue are handled one after another, in the order in which they were stored; those of different
    /// queues at once. The queue is locked at its broker, so that no other member of the group consumes it meanwhile.
    ///
    /// When the handler fails, its message is not given back to the broker: the queue stands still for a while
    /// ([`suspend_time`](ConsumerBuilder::suspend_time), or what [`Retry::After`] says) and the handler gets the message
    /// again. Without [`max_redeliveries`](ConsumerBuilder::max_redeliveries) that goes on until it succeeds.
    #[doc(alias = "MessageListenerOrderly")]
    pub fn orderly(mut self) -> ConsumerBuilder {
        self.settings.ordered = true;
        self
    }

    /// The folder below which the offsets of a broadcasting group are kept, in `.rocketmq_offsets`: the home folder
    /// unless set.
    pub fn offsets_home(mut self, folder: impl Into<PathBuf>) -> ConsumerBuilder {
        self.offsets_home = Some(folder.into());
        self
    }

    /// Where the group begins in a queue in which it has no offset yet. [`ConsumeFrom::Last`] unless set.
    #[doc(alias = "setConsumeFromWhere")]
    pub fn from(mut self, from: ConsumeFrom) -> ConsumerBuilder {
        self.settings.from = from;
        self
    }

    /// How queues are dealt out among the members of the group. [`Allocation::Averagely`] unless set. All members must
    /// have the same, Java's too, or queues are consumed by two or by nobody.
    #[doc(alias = "setAllocateMessageQueueStrategy")]
    pub fn allocation(mut self, allocation: Allocation) -> ConsumerBuilder {
        self.settings.allocation = allocation;
        self
    }

    /// How many handlers run at once. 20 unless set.
    #[doc(alias = "setConsumeThreadMax")]
    pub fn concurrency(mut self, handlers: usize) -> ConsumerBuilder {
        self.settings.concurrency = handlers.clamp(1, u32::MAX as usize >> 3);
        self
    }

    /// How many messages of one queue [`start_batch`](ConsumerBuilder::start_batch)'s handler gets at once, at most:
    /// between 1 and 1024. 1 unless set.
    #[doc(alias = "setConsumeMessageBatchMaxSize")]
    pub fn batch(mut self, messages: u16) -> ConsumerBuilder {
        self.settings.batch = messages.clamp(1, BATCH_MAX).into();
        self
    }

    /// How many messages one pull may bring, between 1 and 1024. 32 unless set, which is also what brokers give at most
    /// by default.
    #[doc(alias = "setPullBatchSize")]
    pub fn pull_batch(mut self, messages: u16) -> ConsumerBuilder {
        self.settings.pull_batch = messages.clamp(1, BATCH_MAX);
        self
    }

    /// How many bytes one pull may bring, as far as the broker heeds it. 256 KiB unless set.
    #[doc(alias = "setPullBatchSizeInBytes")]
    pub fn pull_bytes(mut self, bytes: u32) -> ConsumerBuilder {
        self.settings.pull_bytes = bytes.clamp(1, i32::MAX as u32);
        self
    }

    /// Pause between two pulls of a queue, up to 65,535 ms. None unless set.
    #[doc(alias = "setPullInterval")]
    pub fn pull_interval(mut self, pause: Duration) -> ConsumerBuilder {
        self.settings.pull_interval = pause.min(PULL_INTERVAL_MAX);
        self
    }

    /// How many messages, and bytes of their bodies, of one queue may wait here. 1000 and 100 MiB unless set; a pull that
    /// is under way may go over it.
    #[doc(alias = "setPullThresholdForQueue")]
    #[doc(alias = "setPullThresholdSizeForQueue")]
    pub fn max_cached(mut self, messages: usize, bytes: usize) -> ConsumerBuilder {
        (self.settings.limits.messages_max, self.settings.limits.bytes_max) = (messages, bytes);
        self
    }

    /// How many messages, and bytes of their bodies, of all queues of a topic that are consumed here may wait. It is
    /// divided evenly among the queues, and then stands instead of [`max_cached`](ConsumerBuilder::max_cached). No limit
    /// unless set.
    #[doc(alias = "setPullThresholdForTopic")]
    #[doc(alias = "setPullThresholdSizeForTopic")]
    pub fn max_cached_of_topic(mut self, messages: Option<usize>, bytes: Option<usize>) -> ConsumerBuilder {
        (self.settings.limits.topic_messages_max, self.settings.limits.topic_bytes_max) = (messages, bytes);
        self
    }

    /// How far the first unfinished message of a queue may lie behind the last one, in offsets, before no more are
    /// pulled. 2000 unless set. Ordered consumers have no such limit.
    #[doc(alias = "setConsumeConcurrentlyMaxSpan")]
    pub fn max_span(mut self, offsets: u32) -> ConsumerBuilder {
        self.settings.limits.span_max = offsets.into();
        self
    }

    /// How often a message is delivered again before it goes to the group's dead letters, the topic `%DLQ%` and the
    /// group's name. Unless set, 16, and without end for ordered consumers.
    #[doc(alias = "setMaxReconsumeTimes")]
    pub fn max_redeliveries(mut self, times: u16) -> ConsumerBuilder {
        self.settings.deliveries_max = Some(times);
        self
    }

    /// How long a handler may take. One that takes longer is dropped where it waits, and its messages are delivered again
    /// after 10 s, by ordered consumers as after any failure. 15 minutes unless set, at least 1 ms.
    ///
    /// A handler that blocks its thread cannot be dropped; its messages are delivered again once it returns.
    #[doc(alias = "setConsumeTimeout")]
    pub fn consume_timeout(mut self, timeout: Duration) -> ConsumerBuilder {
        self.settings.consume_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long the queue of an ordered consumer stands still after its handler failed without saying how long: between
    /// 10 ms and 30 s. 1 s unless set.
    #[doc(alias = "setSuspendCurrentQueueTimeMillis")]
    pub fn suspend_time(mut self, pause: Duration) -> ConsumerBuilder {
        self.settings.suspend = pause;
        self
    }

    /// How often offsets are committed. 5 s unless set, at least 10 ms.
    #[doc(alias = "setPersistConsumerOffsetInterval")]
    pub fn commit_interval(mut self, interval: Duration) -> ConsumerBuilder {
        self.settings.commit_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Writes down for each message when it was handled, how long that took and how it ended, in the topic
    /// `RMQ_SYS_TRACE_TOPIC`, where `mqadmin queryMsgTraceById` finds it.
    #[doc(alias = "setEnableTrace")]
    #[doc(alias = "enableMsgTrace")]
    pub fn trace(self) -> ConsumerBuilder {
        self.trace_to(TRACE_TOPIC)
    }

    /// As [`ConsumerBuilder::trace`], in another topic.
    #[doc(alias = "setTraceTopic")]
    pub fn trace_to(mut self, topic: impl Into<String>) -> ConsumerBuilder {
        self.settings.trace_topic = Some(topic.into());
        self
    }

    /// Starts consuming. The handler gets each message; when it returns an error (`?` turns any error into a
    /// [`Retry`]), panics or takes longer than [`consume_timeout`](ConsumerBuilder::consume_timeout), the message is
    /// delivered again later.
    ///
    /// Handlers run at once, up to [`concurrency`](ConsumerBuilder::concurrency), in no particular order, but for those
    /// of an [`orderly`](ConsumerBuilder::orderly) consumer. A message can come twice, after a crash or while queues
    /// move between members: see [`Once`](crate::Once).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for names and filters that cannot be, a consumer without a
    /// subscription and a group that this client has a consumer of already; [`Storage`](crate::ErrorKind::Storage) when
    /// the offsets of a broadcasting group cannot be read; that of the name server when it cannot be asked for routes.
    pub async fn start<H, F>(self, handler: H) -> Result<Consumer>
    where
        H: Fn(MessageView) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Retry>> + Send + 'static,
    {
        let builder = self.batch(1);
        builder.start_handler(Handler::each(handler)).await
    }

    /// Starts consuming with a handler that gets several messages of a queue at once, up to
    /// [`batch`](ConsumerBuilder::batch). An error counts for all of them, but for [`Retry::From`].
    ///
    /// # Errors
    /// As [`start`](ConsumerBuilder::start).
    pub async fn start_batch<H, F>(self, handler: H) -> Result<Consumer>
    where
        H: Fn(Vec<MessageView>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Retry>> + Send + 'static,
    {
        self.start_handler(Handler::batch(handler)).await
    }

    async fn start_handler(mut self, handler: Handler) -> Result<Consumer> {
        self.settings.enter_namespace(&self.client);
        names::check_group(&self.settings.group)?;
        if self.subscriptions.is_empty() {
            return Err(Error::invalid("a consumer needs a subscription: call subscribe() before start()"));
        }
        let retry_topic = names::retry_topic(&self.settings.group);
        let subscriptions =
            self.subscriptions.parse(&self.client, (!self.settings.broadcast).then_some(&retry_topic))?;
        let sink = Sink::handling(handler, self.settings.ordered);
        let shared = Shared::start(self.client, self.settings, subscriptions, (sink, self.offsets_home)).await?;
        Ok(Consumer { shared })
    }
}
