//! Messages: found by id, key and place; sent to a queue that is named.

use bytes::Bytes;
use raptormq_protocol::body::{MessageQueue, QueryConsumeQueueResponseBody};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{
    GetMinOffsetRequestHeader, OffsetResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    QueryConsumeQueueRequestHeader, QueryMessageRequestHeader, ViewMessageRequestHeader,
};
use raptormq_protocol::heartbeat::EXPRESSION_TAG;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::name;
use raptormq_remoting::Request;

use super::{Admin, read_header};
use crate::clock;
use crate::consumer::calls::{self, BODY_BYTES_MAX};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::name_server::read_body;
use crate::producer::{DEFAULT_TOPIC_QUEUES, Outgoing, ProducerSettings, SendReceipt};
use crate::route::Route;

/// Bit of a pull's flag: it carries its own filter. Without the bit that lets the broker hold it, it comes back at once.
const PULL_FILTERS: i32 = 0x4;
/// Bytes that one pull may bring (Java: `DefaultMQPullConsumer`, no limit).
const PULL_BYTES_MAX: i32 = i32::MAX;
/// Field that marks a query as one by unique key.
const UNIQUE_KEY_MARK: &str = "_UNIQUE_KEY_QUERY";

/// What a pull brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// How it ended.
    pub status: PullStatus,
    /// The messages; only when the status is [`PullStatus::Found`].
    pub messages: Vec<MessageExt>,
    /// Where to go on.
    pub next_offset: i64,
    /// The first offset of the queue.
    pub min_offset: i64,
    /// The offset behind the last message of the queue.
    pub max_offset: i64,
}

/// What to pull.
#[derive(Clone, Copy, Debug)]
pub struct PullFrom<'a> {
    /// The queue.
    pub queue: &'a MessageQueue,
    /// The group to pull as; nothing is committed for it.
    pub group: &'a str,
    /// Tags to let through, `*` for all.
    pub expression: &'a str,
    /// Where to begin.
    pub offset: i64,
    /// Messages that may come.
    pub messages_max: i32,
}

/// How a pull ended. Java: `client/consumer/PullStatus.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullStatus {
    /// With messages.
    Found,
    /// There is nothing behind the offset.
    NoNewMessage,
    /// There is something behind the offset that does not pass the filter.
    NoMatchedMessage,
    /// The offset is not within the queue.
    OffsetIllegal,
}

impl PullStatus {
    /// Java's name.
    pub fn name(self) -> &'static str {
        match self {
            PullStatus::Found => "FOUND",
            PullStatus::NoNewMessage => "NO_NEW_MSG",
            PullStatus::NoMatchedMessage => "NO_MATCHED_MSG",
            PullStatus::OffsetIllegal => "OFFSET_ILLEGAL",
        }
    }
}

/// Units of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRange<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue on the broker.
    pub queue_id: i32,
    /// The first unit.
    pub index: i64,
    /// How many units.
    pub count: i32,
}

impl Admin {
    /// The message at a place of a broker's log.
    #[doc(alias = "viewMessage")]
    pub async fn message_at(&self, address: &str, topic: &str, log_offset: i64) -> Result<MessageExt> {
        let header = ViewMessageRequestHeader { topic: Some(topic), offset: log_offset };
        let response = self.call(address, Request::new(RequestCode::VIEW_MESSAGE_BY_ID).header(&header)).await?;
        decode(&response.body, address)?
            .into_iter()
            .next()
            .ok_or_else(|| Error::protocol(format!("{address} sent no message for a message's place")))
    }

    /// Messages of a broker that have a key; with `unique` that key is the id that the producer gave. No message is no
    /// error.
    #[doc(alias = "queryMessage")]
    pub async fn messages_by_key(
        &self,
        address: &str,
        query: &QueryMessageRequestHeader<'_>,
        unique: bool,
    ) -> Result<Vec<MessageExt>> {
        let request = Request::new(RequestCode::QUERY_MESSAGE).header(query);
        let request = request.field(UNIQUE_KEY_MARK, if unique { "true" } else { "false" });
        match self.call(address, request).await {
            Ok(response) => decode(&response.body, address),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What a queue holds, unit by unit, with what a group's filter says to it.
    #[doc(alias = "queryConsumeQueue")]
    pub async fn queue_units(
        &self,
        address: &str,
        range: QueueRange<'_>,
        consumer_group: Option<&str>,
    ) -> Result<QueryConsumeQueueResponseBody> {
        let header = QueryConsumeQueueRequestHeader {
            topic: Some(range.topic),
            queue_id: Some(range.queue_id),
            index: Some(range.index),
            count: Some(range.count),
            consumer_group,
        };
        let request = Request::new(RequestCode::QUERY_CONSUME_QUEUE).header(&header);
        let response = self.call(address, request).await?;
        match response.remark.as_deref().filter(|_| response.body.is_empty()) {
            // The first unit is not in the queue, or there is no such queue.
            Some(remark) => Err(Error::new(ErrorKind::InvalidArgument, format!("{address}: {remark}"))),
            None => read_body(&response, address, "units of a queue"),
        }
    }

    /// Pulls messages of a queue, without waiting for new ones and without committing anything.
    pub async fn pull(&self, address: &str, from: PullFrom<'_>) -> Result<Pulled> {
        let PullFrom { queue, group, expression, offset, messages_max } = from;
        let header = PullMessageRequestHeader {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            queue_offset: offset,
            max_msg_nums: messages_max,
            sys_flag: PULL_FILTERS,
            commit_offset: 0,
            suspend_timeout_millis: 0,
            subscription: Some(expression),
            sub_version: clock::now_ms(),
            expression_type: Some(EXPRESSION_TAG),
            max_msg_bytes: Some(PULL_BYTES_MAX),
            ..PullMessageRequestHeader::default()
        };
        let request = Request::new(RequestCode::PULL_MESSAGE).header(&header);
        let response = self.client.remoting().call(address, request, self.timeout).await?;
        let status = match response.code {
            ResponseCode::SUCCESS => PullStatus::Found,
            ResponseCode::PULL_NOT_FOUND => PullStatus::NoNewMessage,
            ResponseCode::PULL_RETRY_IMMEDIATELY => PullStatus::NoMatchedMessage,
            ResponseCode::PULL_OFFSET_MOVED => PullStatus::OffsetIllegal,
            code => return Err(Error::refused(code.0, response.remark.as_deref(), address)),
        };
        let header: PullMessageResponseHeader = read_header(&response, address)?;
        let messages = if status == PullStatus::Found { decode(&response.body, address)? } else { Vec::new() };
        let mut messages = messages;
        for message in &mut messages {
            message.broker_name.clone_from(&queue.broker_name);
            message.set_property(name::MIN_OFFSET, header.min_offset.to_string());
            message.set_property(name::MAX_OFFSET, header.max_offset.to_string());
        }
        Ok(Pulled {
            status,
            messages,
            next_offset: header.next_begin_offset,
            min_offset: header.min_offset,
            max_offset: header.max_offset,
        })
    }

    /// The first offset of a queue.
    pub async fn min_offset(&self, address: &str, queue: &MessageQueue) -> Result<i64> {
        let header = GetMinOffsetRequestHeader { topic: &queue.topic, queue_id: queue.queue_id };
        let response = self.call(address, Request::new(RequestCode::GET_MIN_OFFSET).header(&header)).await?;
        Ok(read_header::<OffsetResponseHeader>(&response, address)?.offset)
    }

    /// The offset behind a queue's last message.
    pub async fn max_offset(&self, address: &str, queue: &MessageQueue) -> Result<i64> {
        calls::max_offset(&self.client, address, queue).await
    }

    /// The offset of the first message that was stored at a time, in ms since 1970, or later.
    #[doc(alias = "searchOffset")]
    pub async fn offset_by_time(&self, address: &str, queue: &MessageQueue, time_ms: i64) -> Result<i64> {
        calls::offset_by_time(&self.client, address, queue, time_ms).await
    }

    /// The queues that a topic has for sending, each with its broker's address. A topic that does not exist and would
    /// be created by the first send has the queues it would get.
    pub async fn publish_queues(&self, topic: &str) -> Result<Vec<(MessageQueue, String)>> {
        let route = self.client.publish_route(topic, DEFAULT_TOPIC_QUEUES).await?;
        Ok(route.publish.iter().map(|to| (to.queue.clone(), to.address.clone())).collect())
    }

    /// Sends a message to a queue.
    pub async fn send_to(
        &self,
        address: &str,
        queue: &MessageQueue,
        group: &str,
        message: &Message,
    ) -> Result<SendReceipt> {
        let settings = ProducerSettings::of_group(group);
        let outgoing = Outgoing::single(&self.client, &settings, message.clone())?;
        let request = outgoing.request(&settings, queue);
        let response = self.client.remoting().call(address, request, self.timeout).await?;
        SendReceipt::of(&response, &outgoing.message_id, queue, address)
    }

    /// The queues that a topic has for consuming, each with its broker's address (the master's if there is one).
    #[doc(alias = "fetchSubscribeMessageQueues")]
    pub async fn subscribe_queues(&self, topic: &str) -> Result<Vec<(MessageQueue, String)>> {
        let route = Route::of(topic, &self.topic_route(topic).await?);
        let address = |queue: &MessageQueue| route.member(&queue.broker_name, 0).map(|(_, address)| address.to_owned());
        Ok(route.subscribe.iter().filter_map(|queue| Some((queue.clone(), address(queue)?))).collect())
    }
}

fn decode(body: &Bytes, address: &str) -> Result<Vec<MessageExt>> {
    let unreadable = |error| Error::protocol(format!("{address} sent unreadable messages")).with_source(error);
    MessageExt::decode_all(body, BODY_BYTES_MAX).map_err(unreadable)
}
