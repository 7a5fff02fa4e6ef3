//! Consuming: [`Consumer`], which pulls messages and hands them to an async function, and [`PullConsumer`], which is
//! polled.
//!
//! Where things are: [`builder`] has the settings; [`rebalance`] decides which queues are ours, by one of the ways of
//! [`allocate`], and where to begin in them; [`locks`] keeps those of ordered consumers to ourselves; each queue has a
//! task that [`pull`]s; [`work`] and [`ordered`] run the [`handler`], and [`send_back`] returns what it could not do;
//! [`pull_consumer`] gives messages to who polls; [`process_queue`] knows what of a queue is unfinished; [`offsets`] and
//! the task here commit where we are; [`commands`] answers what brokers ask of us; [`idempotence`] helps handlers.

pub(crate) mod allocate;
mod builder;
pub(crate) mod calls;
pub(crate) mod commands;
mod handler;
pub(crate) mod idempotence;
mod locks;
mod offsets;
mod ordered;
mod process_queue;
pub(crate) mod pull;
pub(crate) mod pull_consumer;
mod rates;
mod rebalance;
mod send_back;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::heartbeat::{EXPRESSION_TAG, SubscriptionData};
use tokio::sync::{Notify, Semaphore, watch};

use self::builder::Settings;
pub use self::builder::{ConsumeFrom, ConsumerBuilder};
use self::handler::Handler;
pub use self::handler::Retry;
use self::offsets::LocalOffsets;
use self::process_queue::ProcessQueue;
use self::pull_consumer::Ready;
use self::rates::Rates;
use self::work::Concurrent;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::trace::Tracer;

/// How long a shutdown waits for handlers that run.
const HANDLERS_TIMEOUT: Duration = Duration::from_secs(30);

/// Where messages go that were pulled.
enum Sink {
    /// To a handler, in any order.
    Concurrent(Concurrent),
    /// To a handler, those of a queue in order.
    Ordered(Handler),
    /// To whoever polls.
    Ready(Box<Ready>),
}

impl Sink {
    fn handling(handler: Handler, in_order: bool) -> Sink {
        match in_order {
            true => Sink::Ordered(handler),
            false => Sink::Concurrent(Concurrent::new(handler)),
        }
    }
}

fn open_offsets(client: &Client, group: &str, home: Option<PathBuf>) -> Result<LocalOffsets> {
    let no_home = || Error::new(ErrorKind::Storage, "no home folder for broadcast offsets: call offsets_home()");
    let home = home.or_else(std::env::home_dir).ok_or_else(no_home)?;
    LocalOffsets::open(&home, client.stable_id(), group)
}

/// Lets a broker read a filter that is not one of tags, so that a mistake is told to who made it.
pub(crate) async fn check_filter(client: &Client, address: &str, group: &str, filter: &SubscriptionData) -> Result<()> {
    if filter.expression_type == EXPRESSION_TAG {
        return Ok(());
    }
    let explain = |error: Error| {
        let text = format!("the filter {:?} of topic {} is not accepted", filter.sub_string, filter.topic);
        match error.code() {
            Some(ResponseCode::SUBSCRIPTION_PARSE_FAILED) => error.during(text).with_kind(ErrorKind::InvalidArgument),
            Some(_) => error.during(format!("{text}; brokers need enablePropertyFilter=true for filters in SQL")),
            None => error.during(text),
        }
    };
    calls::check_filter(client, address, group, filter).await.map_err(explain)
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

/// What the tasks of a consumer share.
struct Shared {
    client: Client,
    settings: Settings,
    subscriptions: BTreeMap<String, SubscriptionData>,
    sink: Sink,
    /// One for each handler that may run.
    permits: Arc<Semaphore>,
    /// The queues that are ours.
    queues: Mutex<BTreeMap<MessageQueue, Arc<ProcessQueue>>>,
    /// Asks to look at once which queues are ours.
    rebalance: Arc<Notify>,
    /// Held while the queues that are ours change.
    balancing: tokio::sync::Mutex<()>,
    /// Only of a broadcasting group.
    local_offsets: Option<LocalOffsets>,
    rates: Rates,
    tracer: Option<Tracer>,
    started_ms: i64,
    /// True while nothing is pulled because the user asked for that.
    suspended: watch::Sender<bool>,
    /// Becomes true when nothing new is begun any more.
    stopped: watch::Sender<bool>,
    closed: AtomicBool,
}

impl Consumer {
    /// The queues that are consumed here at the moment.
    pub fn queues(&self) -> Vec<MessageQueue> {
        self.shared.queues_shown()
    }

    /// Begins no more pulls, until [`resume`](Consumer::resume). What was pulled is handled still.
    pub fn suspend(&self) {
        self.shared.suspended.send_replace(true);
    }

    /// Pulls again after [`suspend`](Consumer::suspend).
    pub fn resume(&self) {
        self.shared.suspended.send_replace(false);
    }

    /// Stops pulling, lets running handlers finish (for at most 30 s), commits offsets and leaves the group, so that
    /// the other members take over at once. Idempotent.
    pub async fn shutdown(&self) {
        shut_down(&self.shared).await;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        abandon(&self.shared);
    }
}

/// Shuts a consumer down that was dropped, unless that was done before.
fn abandon(shared: &Arc<Shared>) {
    if !shared.closed.load(Ordering::Acquire) {
        tracing::warn!(group = shared.settings.group, "a consumer is dropped without shutdown()");
        let shared = shared.clone();
        shared.client.runtime().clone().spawn(async move { shut_down(&shared).await });
    }
}

async fn shut_down(shared: &Shared) {
    if shared.closed.swap(true, Ordering::AcqRel) {
        return;
    }
    shared.stopped.send_replace(true);
    // Whoever asks for locks now gets to know of the end, and gives them back.
    drop(shared.balancing.lock().await);
    let queues: Vec<Arc<ProcessQueue>> = std::mem::take(&mut *shared.queues.lock()).into_values().collect();
    queues.iter().for_each(|queue| queue.release());
    let handlers = shared.permits.acquire_many(shared.settings.concurrency as u32);
    if tokio::time::timeout(HANDLERS_TIMEOUT, handlers).await.is_err() {
        tracing::warn!(group = shared.settings.group, "handlers still run; their messages will be delivered again");
    }
    if shared.settings.auto_commit {
        shared.commit(&queues).await;
    }
    if shared.needs_locks() && !queues.is_empty() {
        shared.unlock(&queues.iter().map(|queue| queue.queue.clone()).collect::<Vec<_>>()).await;
    }
    if let Some(tracer) = &shared.tracer {
        tracer.shutdown().await;
    }
    shared.client.registry().remove_consumer(&shared.settings.group);
    shared.client.unregister(None, Some(&shared.settings.group)).await;
}

impl Shared {
    /// Makes a consumer known to the brokers and starts its tasks.
    async fn start(
        client: Client,
        settings: Settings,
        subscriptions: BTreeMap<String, SubscriptionData>,
        (sink, offsets_home): (Sink, Option<PathBuf>),
    ) -> Result<Arc<Shared>> {
        let local_offsets = match settings.broadcast {
            true => Some(open_offsets(&client, &settings.group, offsets_home)?),
            false => None,
        };
        let trace = |topic: &str| Tracer::start(&client, &settings.group, "CONSUME", topic);
        let tracer = settings.trace_topic.as_deref().map(trace).transpose()?;
        // Brokers can be told of us only once we know which there are.
        for (topic, filter) in &subscriptions {
            let route = client.subscribe_route(topic).await?;
            if let Some(address) = route.as_ref().and_then(|route| route.any_broker()) {
                check_filter(&client, address, &settings.group, filter).await?;
            }
        }
        let rebalance = Arc::new(Notify::new());
        let data = settings.consumer_data(&subscriptions);
        let (calls, called) = commands::channel();
        client.registry().add_consumer(data, rebalance.clone(), calls)?;
        client.heartbeat().await;
        let shared = Arc::new(Shared {
            permits: Arc::new(Semaphore::new(settings.concurrency)),
            client,
            settings,
            subscriptions,
            sink,
            queues: Mutex::default(),
            rebalance,
            balancing: tokio::sync::Mutex::default(),
            local_offsets,
            rates: Rates::default(),
            tracer,
            started_ms: clock::now_ms(),
            suspended: watch::channel(false).0,
            stopped: watch::channel(false).0,
            closed: AtomicBool::new(false),
        });
        if shared.needs_locks() {
            tokio::spawn(locks::keep_locked(shared.clone()));
        }
        tokio::spawn(rebalance::keep_balanced(shared.clone()));
        tokio::spawn(keep_committed(shared.clone()));
        tokio::spawn(commands::answer(shared.clone(), called));
        Ok(shared)
    }

    /// The queues that are ours, as users know them.
    fn queues_shown(&self) -> Vec<MessageQueue> {
        self.queues.lock().keys().map(|queue| self.client.queue_without_namespace(queue)).collect()
    }

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
        for error in self.try_commit(queues).await {
            tracing::warn!(group = self.settings.group, %error, "an offset was not committed");
        }
    }

    /// Commits the offsets of queues that have moved on, and answers with what failed.
    async fn try_commit(&self, queues: &[Arc<ProcessQueue>]) -> Vec<Error> {
        if let Some(local) = &self.local_offsets {
            let known = queues.iter().filter_map(|queue| Some((queue.queue.clone(), queue.commit_offset()?)));
            return local.save(known).err().into_iter().collect();
        }
        let mut by_broker: BTreeMap<(&str, &str), Vec<(&ProcessQueue, i64)>> = BTreeMap::new();
        for queue in queues {
            if let Some(offset) = queue.uncommitted() {
                let MessageQueue { topic, broker_name, .. } = &queue.queue;
                by_broker.entry((topic, broker_name)).or_default().push((queue, offset));
            }
        }
        join_all(by_broker.values().map(|offsets| self.commit_to_broker(offsets))).await.concat()
    }

    /// Commits offsets of one topic to one broker: one by itself, and the others together once it is there. Java brokers
    /// make a group's table for a topic with its first offset, and when two come at once, each makes one and one of
    /// them is lost (`ConsumerOffsetManager.commitOffset`, seen on 5.3.3).
    async fn commit_to_broker(&self, offsets: &[(&ProcessQueue, i64)]) -> Vec<Error> {
        let Some(((first, first_offset), others)) = offsets.split_first() else { return Vec::new() };
        let first = self.commit_one(first, *first_offset).await;
        let others = join_all(others.iter().map(|(queue, offset)| self.commit_one(queue, *offset))).await;
        others.into_iter().chain([first]).filter_map(Result::err).collect()
    }

    async fn commit_one(&self, queue: &ProcessQueue, offset: i64) -> Result<()> {
        let address = self.master_of(Some(&queue.queue), &queue.queue.broker_name)?;
        self.client.call(&address, calls::commit_request(&self.settings.group, &queue.queue, offset)).await?;
        queue.set_committed(offset);
        Ok(())
    }
}

/// Commits offsets until the consumer stops.
async fn keep_committed(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            () = tokio::time::sleep(shared.settings.commit_interval) => {}
        }
        shared.rates.sample(tokio::time::Instant::now());
        if !shared.settings.auto_commit {
            continue;
        }
        let queues: Vec<Arc<ProcessQueue>> = shared.queues.lock().values().cloned().collect();
        shared.commit(&queues).await;
    }
}
