//! [`PullConsumer`]: a consumer that is polled, with queues that the group shares or that the program names.
//!
//! Java: `DefaultLitePullConsumer`.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::heartbeat::{ConsumeType, EXPRESSION_TAG, SUBSCRIBE_ALL, SubscriptionData};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::allocate::Allocation;
use super::builder::{Settings, Subscriptions};
use super::process_queue::{Held, ProcessQueue, Ticket};
use super::{ConsumeFrom, Shared, Sink, abandon, calls, shut_down};
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::MessageView;
use crate::names;

/// Messages of all queues that may wait (Java: `pullThresholdForAll`).
const WAITING_MAX: usize = 10_000;

/// Settings of a [`PullConsumer`]. Made by [`Client::pull_consumer`].
#[must_use = "a consumer begins with start()"]
pub struct PullConsumerBuilder {
    client: Client,
    settings: Settings,
    subscriptions: Subscriptions,
    offsets_home: Option<PathBuf>,
    /// Tags of those queues that the program names.
    assigned_tags: String,
    waiting_max: usize,
}

impl PullConsumerBuilder {
    pub(crate) fn new(client: Client, group: String) -> PullConsumerBuilder {
        let settings = Settings { pull_batch: 10, consume_type: ConsumeType::ConsumeActively, ..Settings::new(group) };
        PullConsumerBuilder {
            client,
            settings,
            subscriptions: Subscriptions::default(),
            offsets_home: None,
            assigned_tags: SUBSCRIBE_ALL.to_owned(),
            waiting_max: WAITING_MAX,
        }
    }

    /// Subscribes to a topic, filtered by tags: `"TagA || TagB"`, `"*"` for all messages. The members of the group share
    /// its queues. Without any subscription the queues are named by [`PullConsumer::assign`].
    pub fn subscribe(mut self, topic: impl Into<String>, tags: impl Into<String>) -> PullConsumerBuilder {
        self.subscriptions.tags(topic.into(), tags.into());
        self
    }

    /// Subscribes to a topic, filtered by the broker with an SQL92 condition over properties.
    pub fn subscribe_sql(mut self, topic: impl Into<String>, condition: impl Into<String>) -> PullConsumerBuilder {
        self.subscriptions.sql(topic.into(), condition.into());
        self
    }

    /// Which tags are wanted of queues that are named by [`PullConsumer::assign`]. All unless set.
    #[doc(alias = "setSubExpressionForAssign")]
    pub fn assigned_tags(mut self, tags: impl Into<String>) -> PullConsumerBuilder {
        self.assigned_tags = tags.into();
        self
    }

    /// Every member of the group gets every message; offsets are kept on this machine.
    pub fn broadcast(mut self) -> PullConsumerBuilder {
        self.settings.broadcast = true;
        self
    }

    /// The folder below which the offsets of a broadcasting group are kept, in `.rocketmq_offsets`: the home folder
    /// unless set.
    pub fn offsets_home(mut self, folder: impl Into<PathBuf>) -> PullConsumerBuilder {
        self.offsets_home = Some(folder.into());
        self
    }

    /// Where the group begins in a queue in which it has no offset yet. [`ConsumeFrom::Last`] unless set.
    pub fn from(mut self, from: ConsumeFrom) -> PullConsumerBuilder {
        self.settings.from = from;
        self
    }

    /// How queues are dealt out among the members. [`Allocation::Averagely`] unless set.
    pub fn allocation(mut self, allocation: Allocation) -> PullConsumerBuilder {
        self.settings.allocation = allocation;
        self
    }

    /// How many messages one pull, and so one poll, may bring, between 1 and 1024. 10 unless set.
    #[doc(alias = "setPullBatchSize")]
    pub fn pull_batch(mut self, messages: u16) -> PullConsumerBuilder {
        self.settings.pull_batch = messages.clamp(1, 1024);
        self
    }

    /// How many messages, and bytes of their bodies, of one queue may wait to be polled. 1000 and 100 MiB unless set.
    pub fn max_cached(mut self, messages: usize, bytes: usize) -> PullConsumerBuilder {
        (self.settings.limits.messages_max, self.settings.limits.bytes_max) = (messages, bytes);
        self
    }

    /// How many messages of all queues may wait to be polled. 10,000 unless set.
    #[doc(alias = "setPullThresholdForAll")]
    pub fn max_cached_of_all(mut self, messages: usize) -> PullConsumerBuilder {
        self.waiting_max = messages.max(1);
        self
    }

    /// Commits only when [`PullConsumer::commit`] is called. Otherwise what was polled is committed every 5 s, once the
    /// next messages were polled.
    #[doc(alias = "setAutoCommit")]
    pub fn manual_commit(mut self) -> PullConsumerBuilder {
        self.settings.auto_commit = false;
        self
    }

    /// How often what was polled is committed. 5 s unless set, at least 10 ms.
    #[doc(alias = "setAutoCommitIntervalMillis")]
    pub fn commit_interval(mut self, interval: Duration) -> PullConsumerBuilder {
        self.settings.commit_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Starts the consumer: it pulls ahead, so that polls find messages.
    ///
    /// # Errors
    /// As those of [`ConsumerBuilder::start`](crate::ConsumerBuilder::start).
    pub async fn start(mut self) -> Result<PullConsumer> {
        self.settings.enter_namespace(&self.client);
        names::check_group(&self.settings.group)?;
        let subscriptions = self.subscriptions.parse(&self.client, None)?;
        let filter = SubscriptionData::build("", &self.assigned_tags, EXPRESSION_TAG)
            .map_err(|error| Error::invalid(format!("{:?} is no filter: {error}", self.assigned_tags)))?;
        let ready = Ready {
            filter: SubscriptionData { sub_version: clock::now_ms(), ..filter },
            assigned: Mutex::new(self.subscriptions.is_empty().then(BTreeSet::new)),
            waiting_max: self.waiting_max,
            state: Mutex::default(),
            arrived: Notify::new(),
            room: Notify::new(),
        };
        let sink = (Sink::Ready(Box::new(ready)), self.offsets_home);
        let shared = Shared::start(self.client, self.settings, subscriptions, sink).await?;
        Ok(PullConsumer { shared })
    }
}

/// Messages that wait to be polled.
pub(super) struct Ready {
    /// What is wanted of queues that the program names.
    pub(super) filter: SubscriptionData,
    /// The queues that the program named; `None` when the group shares them.
    assigned: Mutex<Option<BTreeSet<MessageQueue>>>,
    waiting_max: usize,
    state: Mutex<State>,
    /// Woken when messages have come, or may be polled that might not.
    arrived: Notify,
    /// Woken when messages were polled.
    room: Notify,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Messages in them.
    waiting: usize,
    /// What the last poll gave out.
    polled: Option<(Arc<ProcessQueue>, Vec<Ticket>)>,
}

struct Batch {
    queue: Arc<ProcessQueue>,
    messages: Vec<Held>,
}

impl Ready {
    pub(super) fn assigned(&self) -> Option<BTreeSet<MessageQueue>> {
        self.assigned.lock().clone()
    }

    /// Waits until more may be pulled.
    pub(super) async fn room(&self) {
        loop {
            // Many tasks wait here, and all of them may go on.
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.state.lock().waiting < self.waiting_max {
                return;
            }
            room.await;
        }
    }

    pub(super) fn put(&self, queue: &Arc<ProcessQueue>, messages: Vec<Held>) {
        {
            let mut state = self.state.lock();
            state.waiting += messages.len();
            state.batches.push_back(Batch { queue: queue.clone(), messages });
        }
        self.arrived.notify_one();
    }

    /// What the last poll gave out is done.
    fn finish_polled(&self) {
        let polled = self.state.lock().polled.take();
        if let Some((queue, tickets)) = polled {
            queue.finish_all(tickets);
        }
    }

    /// The next messages, of a queue that is not paused.
    fn take(&self) -> Option<Vec<MessageView>> {
        let taken = {
            let mut state = self.state.lock();
            let dropped = state.batches.iter().filter(|batch| batch.queue.is_dropped());
            let gone: usize = dropped.map(|batch| batch.messages.len()).sum();
            state.batches.retain(|batch| !batch.queue.is_dropped());
            state.waiting -= gone;
            let at = state.batches.iter().position(|batch| !batch.queue.is_paused());
            let batch = at.and_then(|at| state.batches.remove(at));
            state.waiting -= batch.as_ref().map_or(0, |batch| batch.messages.len());
            batch
        };
        self.room.notify_waiters();
        let Batch { queue, mut messages } = taken?;
        messages.retain(|(ticket, _)| queue.is_wanted(*ticket));
        let (tickets, messages) = messages.into_iter().unzip();
        self.state.lock().polled = Some((queue, tickets));
        Some(messages)
    }
}

/// A consumer that is polled for messages. It pulls ahead by itself; its offsets are committed as the group's.
///
/// What one poll gave out counts as consumed when the next one begins, so one task polls at a time: what was not done
/// with when a program ends comes again.
///
/// ```no_run
/// # async fn example() -> raptormq_client::Result<()> {
/// use std::time::Duration;
///
/// use raptormq_client::{Client, ConsumeFrom};
///
/// let client = Client::connect("127.0.0.1:9876").await?;
/// let consumer = client.pull_consumer("etl").subscribe("TopicTest", "*").from(ConsumeFrom::First).start().await?;
/// loop {
///     let messages = consumer.poll(Duration::from_secs(5)).await?;
///     if messages.is_empty() {
///         break;
///     }
///     println!("{} messages", messages.len());
/// }
/// consumer.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a consumer that is dropped stops"]
#[doc(alias = "DefaultLitePullConsumer")]
#[doc(alias = "DefaultMQPullConsumer")]
pub struct PullConsumer {
    shared: Arc<Shared>,
}

impl PullConsumer {
    fn ready(&self) -> &Ready {
        match &self.shared.sink {
            Sink::Ready(ready) => ready,
            Sink::Concurrent(_) | Sink::Ordered(_) => unreachable!("a pull consumer is started with no other"),
        }
    }

    /// The next messages, all of one queue; none when none came within the time. What the last poll gave out counts as
    /// consumed from now on. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] after [`shutdown`](PullConsumer::shutdown).
    pub async fn poll(&self, timeout: Duration) -> Result<Vec<MessageView>> {
        let ready = self.ready();
        ready.finish_polled();
        let deadline = Instant::now() + timeout;
        loop {
            if self.shared.is_stopped() {
                return Err(Error::closed("consumer"));
            }
            if let Some(messages) = ready.take() {
                if messages.is_empty() {
                    continue;
                }
                return Ok(messages);
            }
            tokio::select! {
                () = ready.arrived.notified() => {}
                () = self.shared.stopped() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
            }
        }
    }

    /// The queues that are consumed here at the moment.
    pub fn assignment(&self) -> Vec<MessageQueue> {
        self.shared.queues_shown()
    }

    /// A queue as brokers know it.
    fn inner(&self, queue: &MessageQueue) -> MessageQueue {
        MessageQueue { topic: self.shared.client.with_namespace(&queue.topic).into_owned(), ..queue.clone() }
    }

    /// All queues of a topic.
    ///
    /// # Errors
    /// [`ErrorKind::TopicNotExist`] while there is no such topic; that of the name server otherwise.
    #[doc(alias = "fetchMessageQueues")]
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        let client = &self.shared.client;
        let route = client.subscribe_route(&client.with_namespace(topic)).await?;
        let nowhere = || Error::new(ErrorKind::TopicNotExist, format!("there is no topic {topic} to read from"));
        Ok(route.ok_or_else(nowhere)?.subscribe.iter().map(|queue| client.queue_without_namespace(queue)).collect())
    }

    /// Consumes exactly these queues, whoever else there is in the group; replaces what was assigned before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a consumer with a subscription.
    pub async fn assign(&self, queues: impl IntoIterator<Item = MessageQueue>) -> Result<()> {
        {
            let mut assigned = self.ready().assigned.lock();
            let Some(assigned) = assigned.as_mut() else {
                return Err(Error::invalid("Subscribe and assign are mutually exclusive."));
            };
            *assigned = queues.into_iter().map(|queue| self.inner(&queue)).collect();
        }
        // What fails now is tried again by the task that does this.
        if !self.shared.rebalance_all().await {
            self.shared.rebalance.notify_one();
        }
        Ok(())
    }

    /// Goes on at an offset of a queue, whatever was polled or committed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a queue that is not consumed here and for an offset that is not in the queue;
    /// that of the broker when it cannot say.
    pub async fn seek(&self, queue: &MessageQueue, offset: i64) -> Result<()> {
        let (min, max) = (self.min_offset(queue).await?, self.max_offset(queue).await?);
        if !(min..=max).contains(&offset) {
            return Err(Error::invalid(format!(
                "Seek offset illegal, seek offset = {offset}, min offset = {min}, max offset = {max}"
            )));
        }
        self.ready().finish_polled();
        self.shared.restart(&self.inner(queue), offset).await?;
        self.ready().arrived.notify_one();
        Ok(())
    }

    /// Goes on at the first message of a queue.
    ///
    /// # Errors
    /// As [`seek`](PullConsumer::seek).
    pub async fn seek_to_begin(&self, queue: &MessageQueue) -> Result<()> {
        self.seek(queue, self.min_offset(queue).await?).await
    }

    /// Goes on behind the last message of a queue.
    ///
    /// # Errors
    /// As [`seek`](PullConsumer::seek).
    pub async fn seek_to_end(&self, queue: &MessageQueue) -> Result<()> {
        self.seek(queue, self.max_offset(queue).await?).await
    }

    /// Neither pulls nor polls these queues until [`resume`](PullConsumer::resume). Queues that are not consumed here
    /// are passed over.
    pub fn pause<'q>(&self, queues: impl IntoIterator<Item = &'q MessageQueue>) {
        self.set_paused(queues, true);
    }

    /// Pulls and polls these queues again.
    pub fn resume<'q>(&self, queues: impl IntoIterator<Item = &'q MessageQueue>) {
        self.set_paused(queues, false);
        self.ready().arrived.notify_one();
    }

    fn set_paused<'q>(&self, queues: impl IntoIterator<Item = &'q MessageQueue>, is_paused: bool) {
        let held = self.shared.queues.lock();
        let held = queues.into_iter().filter_map(|queue| held.get(&self.inner(queue)));
        held.for_each(|queue| queue.set_paused(is_paused));
    }

    /// Commits what was polled, that of the last poll, too.
    ///
    /// # Errors
    /// The first that a broker, or the file of a broadcasting group, gave; what failed is not committed.
    pub async fn commit(&self) -> Result<()> {
        self.ready().finish_polled();
        let queues: Vec<Arc<ProcessQueue>> = self.shared.queues.lock().values().cloned().collect();
        self.shared.try_commit(&queues).await.into_iter().next().map_or(Ok(()), Err)
    }

    /// Commits these offsets for the group, whatever was polled; where this consumer goes on does not change.
    ///
    /// # Errors
    /// The first that a broker, or the file of a broadcasting group, gave.
    pub async fn commit_offsets(&self, offsets: impl IntoIterator<Item = (MessageQueue, i64)>) -> Result<()> {
        if let Some(local) = &self.shared.local_offsets {
            return local.save(offsets.into_iter().map(|(queue, offset)| (self.inner(&queue), offset)));
        }
        for (queue, offset) in offsets {
            let queue = self.inner(&queue);
            let address = self.shared.master_of(Some(&queue), &queue.broker_name)?;
            let request = calls::commit_request(&self.shared.settings.group, &queue, offset);
            self.shared.client.call(&address, request).await?;
        }
        Ok(())
    }

    /// The offset that the group has committed for a queue; `None` when there is none.
    ///
    /// # Errors
    /// That of the broker.
    pub async fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        if let Some(local) = &self.shared.local_offsets {
            return Ok(local.get(&self.inner(queue)));
        }
        let (address, queue) = self.find(queue).await?;
        calls::committed_offset(&self.shared.client, &address, &self.shared.settings.group, &queue).await
    }

    /// The offset of a queue behind what counts as consumed; `None` for a queue that is not consumed here or of which
    /// nothing is known yet.
    pub fn position(&self, queue: &MessageQueue) -> Option<i64> {
        self.shared.queues.lock().get(&self.inner(queue)).and_then(|queue| queue.commit_offset())
    }

    /// The offset of the first message of a queue that was stored at this time or later.
    ///
    /// # Errors
    /// That of the broker.
    #[doc(alias = "offsetForTimestamp")]
    pub async fn offset_for_time(&self, queue: &MessageQueue, time: SystemTime) -> Result<i64> {
        let time_ms = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let (address, queue) = self.find(queue).await?;
        calls::offset_by_time(&self.shared.client, &address, &queue, time_ms).await
    }

    async fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let (address, queue) = self.find(queue).await?;
        calls::min_offset(&self.shared.client, &address, &queue).await
    }

    async fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let (address, queue) = self.find(queue).await?;
        calls::max_offset(&self.shared.client, &address, &queue).await
    }

    /// The address of a queue's master, and the queue as that knows it.
    async fn find(&self, queue: &MessageQueue) -> Result<(String, MessageQueue)> {
        self.queues(&queue.topic).await?;
        let queue = self.inner(queue);
        Ok((self.shared.master_of(Some(&queue), &queue.broker_name)?, queue))
    }

    /// Stops pulling and leaves the group; commits what was polled, unless commits are
    /// [manual](PullConsumerBuilder::manual_commit). Idempotent.
    pub async fn shutdown(&self) {
        self.ready().finish_polled();
        shut_down(&self.shared).await;
    }
}

impl Drop for PullConsumer {
    fn drop(&mut self) {
        abandon(&self.shared);
    }
}
