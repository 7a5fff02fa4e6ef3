//! What brokers ask of consumers: to go to other offsets (220), where they are (221), what they are doing (307), and to
//! consume one message now (309).
//!
//! Java: `client/impl/ClientRemotingProcessor.java`, `MQClientInstance.resetOffset`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::body::{
    CMResult, ConsumeMessageDirectlyResult, ConsumerRunningInfo, GetConsumerStatusBody, MessageQueue, ResetOffsetBody,
    ResetOffsetBodyForC,
};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Command, Version};
use raptormq_protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
    ResetOffsetRequestHeader,
};
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_remoting::{Connection, Exchange, Output, Responder, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::calls::BODY_BYTES_MAX;
use super::handler::Failure;
use super::process_queue::ProcessQueue;
use super::{ConsumeFrom, Shared, Sink};
use crate::message::MessageView;
use crate::registry::Registry;

/// Requests of brokers that one consumer may have waiting.
const WAITING_MAX: usize = 64;
/// How long the handler of a message that a broker hands over may take: brokers wait no longer.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to a consumer.
pub(crate) type Calls = mpsc::Sender<GroupCall>;

pub(super) fn channel() -> (Calls, mpsc::Receiver<GroupCall>) {
    mpsc::channel(WAITING_MAX)
}

/// A request of a broker to the consumer of a group.
pub(crate) enum GroupCall {
    /// One-way.
    ResetOffsets(BTreeMap<MessageQueue, i64>),
    Status(String, Responder),
    RunningInfo(Responder),
    ConsumeDirectly(Box<MessageExt>, Responder),
}

/// Hands a broker's request to the consumer it is for; `false` when it is no such request.
pub(crate) fn receive(registry: &Registry, server: &Connection, request: &Command<'_>, out: &mut Output) -> bool {
    let responder = || server.responder(Exchange::from(request));
    let parsed = match RequestCode(request.code) {
        RequestCode::RESET_CONSUMER_CLIENT_OFFSET => reset(request),
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => {
            let header = request.header::<GetConsumerStatusRequestHeader<'_>>().map_err(|error| error.to_string());
            header.map(|header| (header.group.to_owned(), GroupCall::Status(header.topic.to_owned(), responder())))
        }
        RequestCode::GET_CONSUMER_RUNNING_INFO => {
            let header = request.header::<GetConsumerRunningInfoRequestHeader<'_>>().map_err(|error| error.to_string());
            header.map(|header| (header.consumer_group.to_owned(), GroupCall::RunningInfo(responder())))
        }
        RequestCode::CONSUME_MESSAGE_DIRECTLY => directly(request, responder),
        _ => return false,
    };
    let (group, call) = match parsed {
        Ok(parsed) => parsed,
        Err(reason) => {
            tracing::warn!(code = request.code, reason, "a broker's request cannot be read");
            out.respond(request, ResponseCode::SYSTEM_ERROR, Some(&reason));
            return true;
        }
    };
    let refused = match registry.calls(&group) {
        Some(calls) => match calls.try_send(call) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Full(_)) => (ResponseCode::SYSTEM_BUSY, "the consumer is busy".to_owned()),
            Err(mpsc::error::TrySendError::Closed(_)) => (ResponseCode::SYSTEM_ERROR, not_here(&group)),
        },
        None => (ResponseCode::SYSTEM_ERROR, not_here(&group)),
    };
    out.respond(request, refused.0, Some(&refused.1));
    true
}

fn not_here(group: &str) -> String {
    format!("The Consumer Group <{group}> not exist in this consumer")
}

fn reset(request: &Command<'_>) -> Result<(String, GroupCall), String> {
    let header: ResetOffsetRequestHeader<'_> = request.header().map_err(|error| error.to_string())?;
    let offsets = match json::from_slice::<ResetOffsetBody>(request.body) {
        Ok(body) => body.offset_table,
        // What C++ clients get; a broker takes the form of whoever asks for the reset.
        Err(_) => {
            let body: ResetOffsetBodyForC = json::from_slice(request.body).map_err(|error| error.to_string())?;
            let entry = |one: raptormq_protocol::body::MessageQueueForC| {
                let queue = MessageQueue { topic: one.topic, broker_name: one.broker_name, queue_id: one.queue_id };
                (queue, one.offset)
            };
            body.offset_table.into_iter().map(entry).collect()
        }
    };
    Ok((header.group.to_owned(), GroupCall::ResetOffsets(offsets)))
}

fn directly(request: &Command<'_>, responder: impl Fn() -> Responder) -> Result<(String, GroupCall), String> {
    let header: ConsumeMessageDirectlyResultRequestHeader<'_> = request.header().map_err(|error| error.to_string())?;
    let (message, _) = MessageExt::decode(request.body, BODY_BYTES_MAX).map_err(|error| error.to_string())?;
    let broker_name = header.broker_name.unwrap_or_default().to_owned();
    let message = Box::new(MessageExt { broker_name, ..message });
    Ok((header.consumer_group.to_owned(), GroupCall::ConsumeDirectly(message, responder())))
}

/// Answers brokers until the consumer stops.
pub(super) async fn answer(shared: Arc<Shared>, mut calls: mpsc::Receiver<GroupCall>) {
    loop {
        let call = tokio::select! {
            () = shared.stopped() => return,
            call = calls.recv() => call,
        };
        match call {
            None => return,
            Some(GroupCall::ResetOffsets(offsets)) => shared.reset_offsets(offsets).await,
            Some(GroupCall::Status(topic, responder)) => respond(responder, &shared.status(&topic)),
            Some(GroupCall::RunningInfo(responder)) => respond(responder, &shared.running_info()),
            Some(GroupCall::ConsumeDirectly(message, responder)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    match shared.consume_directly(*message).await {
                        Some(result) => respond(responder, &result),
                        None => {
                            let remark = not_here(&shared.settings.group);
                            responder.respond(ResponseCode::SYSTEM_ERROR, Some(&remark));
                        }
                    }
                });
            }
        }
    }
}

fn respond(responder: Responder, body: &impl Serialize) {
    match json::to_vec(body) {
        Ok(body) => responder.respond_with(&Response::new(ResponseCode::SUCCESS).body(body)),
        Err(error) => responder.respond(ResponseCode::SYSTEM_ERROR, Some(&error.to_string())),
    }
}

impl Shared {
    /// Goes to other offsets in those queues that are ours.
    async fn reset_offsets(self: &Arc<Self>, offsets: BTreeMap<MessageQueue, i64>) {
        let mut reset = Vec::new();
        for (queue, offset) in offsets {
            if !self.queues.lock().contains_key(&queue) {
                continue;
            }
            tracing::info!(group = self.settings.group, %queue, offset, "a broker sets the offset");
            match self.restart(&queue, offset).await {
                Ok(()) => reset.extend(self.queues.lock().get(&queue).cloned()),
                Err(error) => tracing::warn!(group = self.settings.group, %error, "an offset was not set"),
            }
        }
        self.commit(&reset).await;
        self.rebalance.notify_one();
    }

    /// Where we are in the queues of a topic.
    fn status(&self, topic: &str) -> GetConsumerStatusBody {
        let queues = self.queues.lock();
        let of_topic = queues.values().filter(|queue| queue.queue.topic == topic);
        let known = of_topic.filter_map(|queue| Some((queue.queue.clone(), queue.commit_offset()?)));
        GetConsumerStatusBody { message_queue_table: known.collect(), ..GetConsumerStatusBody::default() }
    }

    /// What we are doing.
    pub(super) fn running_info(&self) -> ConsumerRunningInfo {
        let is_ordered = self.settings.ordered;
        let info = |queue: &Arc<ProcessQueue>| (queue.queue.clone(), queue.info(is_ordered));
        ConsumerRunningInfo {
            mq_table: self.queues.lock().values().map(info).collect(),
            properties: self.properties(),
            status_table: self.rates.status(Instant::now()),
            subscription_set: self.subscriptions.values().cloned().collect(),
            ..ConsumerRunningInfo::default()
        }
    }

    /// The settings, by the names that Java's consumers have for them.
    fn properties(&self) -> BTreeMap<String, String> {
        let settings = &self.settings;
        let data = settings.consumer_data(&self.subscriptions);
        let from = match settings.from {
            ConsumeFrom::Last => "CONSUME_FROM_LAST_OFFSET",
            ConsumeFrom::First => "CONSUME_FROM_FIRST_OFFSET",
            ConsumeFrom::Time(_) => "CONSUME_FROM_TIMESTAMP",
        };
        let limits = settings.limits;
        let optional = |limit: Option<usize>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
        let pairs = [
            ("PROP_NAMESERVER_ADDR", self.client.name_servers().text()),
            ("PROP_CONSUMEORDERLY", settings.ordered.to_string()),
            ("PROP_THREADPOOL_CORE_SIZE", settings.concurrency.to_string()),
            ("PROP_CONSUMER_START_TIMESTAMP", self.started_ms.to_string()),
            ("PROP_CONSUME_TYPE", json_name(&data.consume_type)),
            ("PROP_CLIENT_VERSION", Version::CURRENT.to_string()),
            ("consumerGroup", settings.group.clone()),
            ("messageModel", json_name(&data.message_model)),
            ("consumeFromWhere", from.to_owned()),
            ("allocateMessageQueueStrategy", settings.allocation.name().to_owned()),
            ("consumeThreadMin", settings.concurrency.to_string()),
            ("consumeThreadMax", settings.concurrency.to_string()),
            ("consumeMessageBatchMaxSize", settings.batch.to_string()),
            ("consumeConcurrentlyMaxSpan", limits.span_max.to_string()),
            ("pullBatchSize", settings.pull_batch.to_string()),
            ("pullBatchSizeInBytes", settings.pull_bytes.to_string()),
            ("pullInterval", settings.pull_interval.as_millis().to_string()),
            ("pullThresholdForQueue", limits.messages_max.to_string()),
            ("pullThresholdSizeForQueue", (limits.bytes_max >> 20).to_string()),
            ("pullThresholdForTopic", optional(limits.topic_messages_max)),
            ("pullThresholdSizeForTopic", optional(limits.topic_bytes_max.map(|bytes| bytes >> 20))),
            ("maxReconsumeTimes", settings.deliveries_max.map_or(-1, i32::from).to_string()),
            ("suspendCurrentQueueTimeMillis", settings.suspend.as_millis().to_string()),
            ("consumeTimeout", (settings.consume_timeout.as_secs() / 60).to_string()),
            ("instanceName", self.client.id().split_once('@').map_or("", |(_, name)| name).to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Lets the handler have a message that is not from our queues; `None` for a consumer without a handler.
    async fn consume_directly(&self, mut message: MessageExt) -> Option<ConsumeMessageDirectlyResult> {
        let (handler, is_ordered) = match &self.sink {
            Sink::Concurrent(concurrent) => (&concurrent.handler, false),
            Sink::Ordered(handler) => (handler, true),
            Sink::Ready(_) => return None,
        };
        self.restore_topic(&mut message);
        let began = Instant::now();
        let outcome = handler.run(vec![MessageView::new(message)], DIRECT_TIMEOUT).await;
        let (result, remark) = match outcome {
            Ok(()) => (CMResult::CrSuccess, None),
            Err(Failure::Panicked(text)) => (CMResult::CrThrowException, Some(text)),
            Err(failure) => (CMResult::CrLater, Some(format!("{failure:?}"))),
        };
        Some(ConsumeMessageDirectlyResult {
            consume_result: Some(result),
            order: is_ordered,
            remark,
            spent_time_mills: began.elapsed().as_millis() as i64,
            ..ConsumeMessageDirectlyResult::default()
        })
    }
}

/// The name of a value that is written as a text.
fn json_name(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
