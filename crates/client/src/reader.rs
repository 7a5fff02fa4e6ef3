//! Reading a topic without a group: nothing is committed, nobody shares, nothing is left behind. For tools and replays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::heartbeat::{EXPRESSION_SQL92, EXPRESSION_TAG, SubscriptionData};
use raptormq_protocol::message::MessageExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::clock;
use crate::consumer::calls::{self, Pull, PullOutcome, Pulled};
use crate::consumer::pull::{ERROR_PAUSE, FLOW_CONTROL_PAUSE, has_tag};
use crate::consumer::{ConsumeFrom, check_filter};
use crate::error::{Error, ErrorKind, Result};
use crate::message::MessageView;
use crate::names;
use crate::route::{MASTER_ID, Route};

/// The group that readers pull as: every RocketMQ broker has it (Java: `MixAll.TOOLS_CONSUMER_GROUP`).
const READER_GROUP: &str = "TOOLS_CONSUMER";
/// Messages that wait for [`Reader::next`].
const WAITING_MAX: usize = 1000;
/// Messages that one pull may bring.
const PULL_BATCH: i32 = 32;
/// Bytes that one pull may bring.
const PULL_BYTES_MAX: i32 = 256 << 10;
/// How often new queues are looked for, once there are some.
const QUEUES_INTERVAL: Duration = Duration::from_secs(20);
/// How often a topic is looked for that does not exist yet.
const TOPIC_INTERVAL: Duration = Duration::from_secs(1);

/// Settings of a [`Reader`]. Made by [`Client::reader`].
#[must_use = "a reader begins with open()"]
pub struct ReaderBuilder {
    client: Client,
    topic: String,
    filter: String,
    filter_kind: &'static str,
    from: ConsumeFrom,
    group: Option<String>,
    until_end: bool,
}

impl ReaderBuilder {
    pub(crate) fn new(client: Client, topic: String) -> ReaderBuilder {
        let (filter, filter_kind) = (String::new(), EXPRESSION_TAG);
        ReaderBuilder { client, topic, filter, filter_kind, from: ConsumeFrom::Last, group: None, until_end: false }
    }

    /// Reads only messages with these tags: `"TagA || TagB"`.
    pub fn tags(mut self, tags: impl Into<String>) -> ReaderBuilder {
        (self.filter, self.filter_kind) = (tags.into(), EXPRESSION_TAG);
        self
    }

    /// Reads only messages whose properties fulfil an SQL92 condition: `"amount > 100"`. The broker must be set to
    /// `enablePropertyFilter=true`.
    pub fn sql(mut self, condition: impl Into<String>) -> ReaderBuilder {
        (self.filter, self.filter_kind) = (condition.into(), EXPRESSION_SQL92);
        self
    }

    /// Begins where this consumer group has stopped; in queues in which it has not begun, where
    /// [`from`](ReaderBuilder::from) says. The group is left as it is.
    pub fn from_group(mut self, group: impl Into<String>) -> ReaderBuilder {
        self.group = Some(group.into());
        self
    }

    /// Ends with the messages that are there when the reader opens, instead of waiting for more.
    pub fn until_end(mut self) -> ReaderBuilder {
        self.until_end = true;
        self
    }

    /// Where to begin. [`ConsumeFrom::Last`], that is with messages that come from now on, unless set.
    pub fn from(mut self, from: ConsumeFrom) -> ReaderBuilder {
        self.from = from;
        self
    }

    /// Begins to read; when this returns, the beginning is fixed. A topic that does not exist yet is waited for.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a name or filter that cannot be; those of the name server and of brokers that
    /// cannot say where to begin, or that take no SQL.
    pub async fn open(self) -> Result<Reader> {
        let topic = self.client.with_namespace(&self.topic).into_owned();
        names::check_topic(&topic)?;
        let subscription = SubscriptionData::build(&topic, &self.filter, self.filter_kind)
            .map_err(|error| Error::invalid(format!("{:?} is no filter: {error}", self.filter)).with_source(error))?;
        let subscription = SubscriptionData { sub_version: clock::now_ms(), ..subscription };
        let route = self.client.subscribe_route(&topic).await?;
        if let Some(address) = route.as_ref().and_then(|route| route.any_broker()) {
            check_filter(&self.client, address, READER_GROUP, &subscription).await?;
        }
        let (messages, receiver) = mpsc::channel(WAITING_MAX);
        let mut keeper = Keeper {
            source: Arc::new(Source { client: self.client, subscription, messages }),
            from: self.from,
            group: self.group,
            until_end: self.until_end,
            known: BTreeSet::new(),
            pulls: JoinSet::new(),
        };
        let found = keeper.look().await?;
        // What comes after the first look is new, whatever was asked for.
        (keeper.from, keeper.group) = (ConsumeFrom::First, None);
        let tasks = match self.until_end {
            // When the last of them ends, nobody sends any more.
            true => keeper.pulls,
            false => {
                let mut tasks = JoinSet::new();
                tasks.spawn(keeper.keep_looking(found));
                tasks
            }
        };
        Ok(Reader { receiver, _tasks: tasks })
    }
}

/// Reads the messages of a topic, those of all queues mixed. Dropping it ends the reading.
///
/// ```no_run
/// # async fn example() -> raptormq_client::Result<()> {
/// use raptormq_client::{Client, ConsumeFrom};
///
/// let client = Client::connect("127.0.0.1:9876").await?;
/// let mut reader = client.reader("TopicTest").from(ConsumeFrom::First).open().await?;
/// while let Some(message) = reader.next().await {
///     println!("{message}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct Reader {
    receiver: mpsc::Receiver<MessageView>,
    /// Ends with the reader.
    _tasks: JoinSet<()>,
}

impl Reader {
    /// The next message; `None` when the client was shut down, or at the end of what is [read until its
    /// end](ReaderBuilder::until_end). Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<MessageView> {
        self.receiver.recv().await
    }
}

/// What the tasks of a reader share.
struct Source {
    client: Client,
    subscription: SubscriptionData,
    messages: mpsc::Sender<MessageView>,
}

/// Looks for queues and starts to pull from new ones.
struct Keeper {
    source: Arc<Source>,
    from: ConsumeFrom,
    group: Option<String>,
    until_end: bool,
    known: BTreeSet<MessageQueue>,
    pulls: JoinSet<()>,
}

impl Keeper {
    async fn keep_looking(mut self, mut found: bool) {
        loop {
            tokio::time::sleep(if found { QUEUES_INTERVAL } else { TOPIC_INTERVAL }).await;
            if self.source.client.is_closed() {
                return;
            }
            match self.look().await {
                Ok(there) => found = there,
                Err(error) => tracing::warn!(%error, "the queues of a topic cannot be looked up"),
            }
        }
    }

    /// Starts to pull from queues that are new; `false` while the topic does not exist.
    async fn look(&mut self) -> Result<bool> {
        let topic = &self.source.subscription.topic;
        let Some(route) = self.source.client.subscribe_route(topic).await? else { return Ok(false) };
        for queue in route.subscribe.iter().filter(|queue| !self.known.contains(queue)).cloned().collect::<Vec<_>>() {
            let offset = self.source.first_offset(&route, &queue, (self.from, self.group.as_deref())).await?;
            let end = match self.until_end {
                true => self.source.end(&route, &queue).await?,
                false => i64::MAX,
            };
            self.known.insert(queue.clone());
            let source = self.source.clone();
            self.pulls.spawn(async move { source.keep_pulling(queue, offset, end).await });
        }
        Ok(true)
    }
}

impl Source {
    /// The offset behind what is there now.
    async fn end(&self, route: &Route, queue: &MessageQueue) -> Result<i64> {
        let (_, address) = route.member(&queue.broker_name, MASTER_ID).ok_or_else(|| nowhere(queue))?;
        calls::max_offset(&self.client, address, queue).await
    }

    async fn first_offset(
        &self,
        route: &Route,
        queue: &MessageQueue,
        (from, group): (ConsumeFrom, Option<&str>),
    ) -> Result<i64> {
        let (_, address) = route.member(&queue.broker_name, MASTER_ID).ok_or_else(|| nowhere(queue))?;
        if let Some(group) = group {
            let group = self.client.with_namespace(group);
            if let Some(offset) = calls::committed_offset(&self.client, address, &group, queue).await? {
                return Ok(offset);
            }
        }
        match from {
            ConsumeFrom::First => Ok(0),
            ConsumeFrom::Last => calls::max_offset(&self.client, address, queue).await,
            ConsumeFrom::Time(time) => {
                let time_ms = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
                calls::offset_by_time(&self.client, address, queue, time_ms).await
            }
        }
    }

    /// Pulls until nobody wants the messages any more, or up to the offset `end`.
    async fn keep_pulling(&self, queue: MessageQueue, mut offset: i64, end: i64) {
        let mut broker_id = MASTER_ID;
        while !self.client.is_closed() && offset < end {
            match self.pull(&queue, offset, broker_id).await {
                Ok(pulled) => {
                    let stood_still = pulled.next_offset == offset;
                    (offset, broker_id) = (pulled.next_offset, pulled.suggested_broker_id);
                    if let PullOutcome::Found(messages) = pulled.outcome {
                        let wanted =
                            |message: &MessageExt| message.queue_offset < end && has_tag(&self.subscription, message);
                        for message in messages.into_iter().filter(wanted) {
                            let mut message = MessageView::new(message);
                            self.client.show(&mut message);
                            if self.messages.send(message).await.is_err() {
                                return;
                            }
                        }
                    } else if stood_still {
                        // A held pull that ends with nothing comes rarely; one that was not held must not come often.
                        tokio::time::sleep(FLOW_CONTROL_PAUSE).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%queue, %error, "a pull failed");
                    self.client.suspect_routes();
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    async fn pull(&self, queue: &MessageQueue, offset: i64, broker_id: i64) -> Result<Pulled> {
        let route = self.client.known_route(&queue.topic).ok_or_else(|| nowhere(queue))?;
        let (_, address) = route.member(&queue.broker_name, broker_id).ok_or_else(|| nowhere(queue))?;
        let pull = Pull {
            group: READER_GROUP,
            queue,
            offset,
            commit_offset: None,
            messages_max: PULL_BATCH,
            bytes_max: PULL_BYTES_MAX,
            suspend: calls::SUSPEND,
            is_lite: false,
            subscription: Some(&self.subscription.sub_string),
            expression_type: &self.subscription.expression_type,
            sub_version: self.subscription.sub_version,
        };
        calls::pull(&self.client, address, &pull).await
    }
}

fn nowhere(queue: &MessageQueue) -> Error {
    Error::new(ErrorKind::NoRoute, format!("no broker serves {queue} now"))
}
