//! How a producer is set up and started.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use raptormq_protocol::message::compress::Compression;
use tokio::sync::Semaphore;

use super::fault::Faults;
use super::hook::ProducerHook;
use super::transaction::{CHECKS_RUNNING, Checks, TransactionProducer, TransactionState};
use super::{Producer, Shared, detect};
use crate::client::Client;
use crate::error::Result;
use crate::message::{BODY_BYTES_MAX, MessageView};
use crate::names;
use crate::trace::{TRACE_TOPIC, Tracer};

/// Settings of a [`Producer`]. Made by [`Client::producer`].
#[must_use = "a producer begins with start()"]
pub struct ProducerBuilder {
    client: Client,
    settings: ProducerSettings,
    latency_faults: bool,
    detector: bool,
    trace_topic: Option<String>,
    checks_running: usize,
}

#[derive(Clone)]
pub(crate) struct ProducerSettings {
    /// With its namespace.
    pub(crate) group: String,
    pub(super) timeout: Duration,
    pub(super) try_timeout: Duration,
    pub(super) retries: u32,
    pub(super) weak_ack: bool,
    pub(super) retry_weak_ack: bool,
    pub(super) in_flight_max: usize,
    pub(super) in_flight_bytes_max: usize,
    pub(super) compress_from_bytes: usize,
    pub(super) compression: (Compression, i32),
    pub(super) body_bytes_max: usize,
    pub(super) default_topic_queues: i32,
    pub(super) traces: bool,
    /// Of the client's own, so that topics are taken as they are.
    pub(super) is_inner: bool,
    pub(super) hooks: Vec<Arc<dyn ProducerHook>>,
}

impl ProducerSettings {
    /// The settings of a producer that asks for nothing else. Java: `DefaultMQProducer`.
    pub(crate) fn of_group(group: impl Into<String>) -> ProducerSettings {
        ProducerSettings {
            group: group.into(),
            timeout: Duration::from_secs(3),
            try_timeout: Duration::MAX,
            retries: 2,
            weak_ack: false,
            retry_weak_ack: false,
            in_flight_max: 1024,
            in_flight_bytes_max: 100 << 20,
            compress_from_bytes: 4096,
            compression: (Compression::Zlib, ZLIB_LEVEL),
            body_bytes_max: BODY_BYTES_MAX,
            default_topic_queues: DEFAULT_TOPIC_QUEUES,
            traces: false,
            is_inner: false,
            hooks: Vec::new(),
        }
    }
}

/// Queues that a topic gets on each broker that creates it.
pub(crate) const DEFAULT_TOPIC_QUEUES: i32 = 4;

/// zlib level, as Java's producers have it.
const ZLIB_LEVEL: i32 = 5;

impl ProducerBuilder {
    pub(crate) fn new(client: Client, group: String) -> ProducerBuilder {
        let settings = ProducerSettings::of_group(client.with_namespace(&group).into_owned());
        let checks_running = CHECKS_RUNNING;
        ProducerBuilder { client, settings, latency_faults: false, detector: false, trace_topic: None, checks_running }
    }

    /// A producer of the client's own: its names are taken as they are.
    pub(crate) fn inner(client: Client, group: String) -> ProducerBuilder {
        let mut builder = ProducerBuilder::new(client, String::new());
        builder.settings.group = group;
        builder.settings.is_inner = true;
        builder
    }

    /// How long a send may take with all its tries. 3 s unless set.
    #[doc(alias = "setSendMsgTimeout")]
    pub fn timeout(mut self, timeout: Duration) -> ProducerBuilder {
        self.settings.timeout = timeout;
        self
    }

    /// How long one try may take, so that time is left for another broker. As long as the send may take unless set.
    #[doc(alias = "setSendMsgMaxTimeoutPerRequest")]
    pub fn try_timeout(mut self, timeout: Duration) -> ProducerBuilder {
        self.settings.try_timeout = timeout;
        self
    }

    /// How often a send is tried again, on another broker where there is one. 2 unless set.
    #[doc(alias = "setRetryTimesWhenSendFailed")]
    #[doc(alias = "setRetryTimesWhenSendAsyncFailed")]
    pub fn retries(mut self, retries: u32) -> ProducerBuilder {
        self.settings.retries = retries;
        self
    }

    /// Takes a message for sent, too, when it was not flushed or copied as the broker's settings promise; the receipt's
    /// [`status`](super::SendReceipt::status) tells.
    pub fn accept_weak_ack(mut self) -> ProducerBuilder {
        self.settings.weak_ack = true;
        self
    }

    /// Tries another broker when a message was stored, but not flushed or copied as the broker's settings promise. The
    /// message is stored twice then.
    #[doc(alias = "setRetryAnotherBrokerWhenNotStoreOK")]
    pub fn retry_weak_ack(mut self) -> ProducerBuilder {
        self.settings.retry_weak_ack = true;
        self
    }

    /// How many messages, and bytes of their bodies, may be on their way at once; further sends wait. 1024 messages and
    /// 100 MiB unless set.
    #[doc(alias = "setBackPressureForAsyncSendNum")]
    #[doc(alias = "setBackPressureForAsyncSendSize")]
    pub fn max_in_flight(mut self, messages: usize, bytes: usize) -> ProducerBuilder {
        self.settings.in_flight_max = messages.clamp(1, u32::MAX as usize >> 3);
        self.settings.in_flight_bytes_max = bytes.clamp(1, u32::MAX as usize >> 3);
        self
    }

    /// From how many bytes on a body is compressed. 4096 unless set; `usize::MAX` for never. Batches never are.
    #[doc(alias = "setCompressMsgBodyOverHowmuch")]
    pub fn compress_from(mut self, bytes: usize) -> ProducerBuilder {
        self.settings.compress_from_bytes = bytes;
        self
    }

    /// How bodies are compressed; `level` is zlib's 0 to 9 or zstd's 1 to 22, LZ4 has none. zlib at level 5 unless set, which
    /// consumers of every release can read; LZ4 and zstd need those of 5.0 and later.
    #[doc(alias = "setCompressType")]
    #[doc(alias = "setCompressLevel")]
    pub fn compression(mut self, compression: Compression, level: i32) -> ProducerBuilder {
        self.settings.compression = (compression, level);
        self
    }

    /// Largest body, and largest batch, in bytes before compression. 4 MiB unless set; the broker has a limit of its own.
    #[doc(alias = "setMaxMessageSize")]
    pub fn max_message_bytes(mut self, bytes: usize) -> ProducerBuilder {
        self.settings.body_bytes_max = bytes;
        self
    }

    /// How many queues a topic gets on each broker that creates it for us. 4 unless set.
    #[doc(alias = "setDefaultTopicQueueNums")]
    pub fn default_topic_queues(mut self, queues: u16) -> ProducerBuilder {
        self.settings.default_topic_queues = queues.into();
        self
    }

    /// Stays away from brokers that were slow or failed, for as long as the original does: 2 s after an answer that took
    /// 550 ms, up to 30 s after one that took 15 s, 10 s after a failure.
    #[doc(alias = "setSendLatencyFaultEnable")]
    pub fn latency_faults(mut self) -> ProducerBuilder {
        self.latency_faults = true;
        self
    }

    /// As [`ProducerBuilder::latency_faults`]; a broker that could not be reached gets no message before it has answered a
    /// question of the client, which asks it every 2 s.
    #[doc(alias = "setStartDetectorEnable")]
    pub fn detect_faults(mut self) -> ProducerBuilder {
        (self.latency_faults, self.detector) = (true, true);
        self
    }

    /// Writes down for each message where it went and how long that took, in the topic `RMQ_SYS_TRACE_TOPIC`, where
    /// `mqadmin queryMsgTraceById` finds it.
    #[doc(alias = "setEnableTrace")]
    #[doc(alias = "enableMsgTrace")]
    pub fn trace(self) -> ProducerBuilder {
        self.trace_to(TRACE_TOPIC)
    }

    /// As [`ProducerBuilder::trace`], in another topic.
    #[doc(alias = "setTraceTopic")]
    pub fn trace_to(mut self, topic: impl Into<String>) -> ProducerBuilder {
        self.trace_topic = Some(topic.into());
        self
    }

    /// Lets somebody look at, change or refuse what is sent.
    #[doc(alias = "registerSendMessageHook")]
    pub fn hook(mut self, hook: impl ProducerHook) -> ProducerBuilder {
        self.settings.hooks.push(Arc::new(hook));
        self
    }

    /// How many questions for transactions are answered at once; see [`ProducerBuilder::start_transactional`]. 16 unless
    /// set.
    #[doc(alias = "setCheckThreadPoolMaxSize")]
    pub fn checks_at_once(mut self, checks: usize) -> ProducerBuilder {
        self.checks_running = checks.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Starts the producer: from now on brokers are told of it.
    #[doc(alias = "DefaultMQProducer.start")]
    pub async fn start(self) -> Result<Producer> {
        let shared = Arc::new(self.build()?);
        Shared::announce(&shared, None).await;
        Ok(Producer { shared })
    }

    /// Starts a producer of transactions. `check` is called when a broker asks what became of a message whose transaction
    /// was not ended: after this program, or any other of the group, ended or lost its connection in between.
    #[doc(alias = "TransactionMQProducer")]
    #[doc(alias = "setTransactionListener")]
    pub async fn start_transactional<C, F>(self, check: C) -> Result<TransactionProducer>
    where
        C: Fn(MessageView) -> F + Send + Sync + 'static,
        F: Future<Output = TransactionState> + Send + 'static,
    {
        let running = self.checks_running;
        let shared = Arc::new(self.build()?);
        let checks = Checks::new(Arc::downgrade(&shared), running, move |message| Box::pin(check(message)));
        Shared::announce(&shared, Some(Arc::new(checks))).await;
        Ok(TransactionProducer { producer: Producer { shared } })
    }

    fn build(self) -> Result<Shared> {
        let ProducerBuilder { client, mut settings, latency_faults, detector, trace_topic, .. } = self;
        names::check_group(&settings.group)?;
        settings.traces = trace_topic.is_some();
        let tracer = trace_topic.map(|topic| Tracer::start(&client, &settings.group, "PRODUCE", &topic)).transpose()?;
        Ok(Shared {
            messages: Arc::new(Semaphore::new(settings.in_flight_max)),
            bytes: Arc::new(Semaphore::new(settings.in_flight_bytes_max)),
            next_queue: AtomicUsize::new(crate::clock::now_ms() as usize),
            closed: AtomicBool::new(false),
            faults: latency_faults.then(|| Faults::new(detector)),
            detects: detector,
            tracer,
            client,
            settings,
        })
    }
}

impl Shared {
    /// Tells the client, and by it the brokers, that the producer is there.
    async fn announce(shared: &Arc<Shared>, checks: Option<Arc<Checks>>) {
        if shared.client.registry().add_producer(&shared.settings.group, checks) {
            shared.client.heartbeat().await;
        }
        if shared.detects {
            shared.client.runtime().spawn(detect::run(Arc::downgrade(shared)));
        }
    }
}
