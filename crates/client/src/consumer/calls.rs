//! What a consumer asks brokers, each request as a function.

use std::time::Duration;

use raptormq_protocol::body::{CheckClientRequestBody, GetConsumerListByGroupResponseBody, MessageQueue};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{
    ConsumerSendMsgBackRequestHeader, GetConsumerListByGroupRequestHeader, GetMaxOffsetRequestHeader,
    GetMinOffsetRequestHeader, OffsetResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    QueryConsumerOffsetRequestHeader, SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use raptormq_protocol::heartbeat::SubscriptionData;
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::record::{RecordError, RecordView};
use raptormq_remoting::{Request, Response};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::name_server::read_body;

/// How long a broker may hold a pull (Java: `DefaultMQPushConsumerImpl.BROKER_SUSPEND_MAX_TIME_MILLIS`).
pub(crate) const SUSPEND: Duration = Duration::from_secs(15);
/// How long a broker may hold a pull of a consumer that is polled (Java:
/// `DefaultLitePullConsumer.brokerSuspendMaxTimeMillis`).
pub(crate) const SUSPEND_OF_POLLS: Duration = Duration::from_secs(20);
/// How long we wait for the answer to a pull (Java: `CONSUMER_TIMEOUT_MILLIS_WHEN_SUSPEND`).
const PULL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bit of a pull's flag: it carries an offset to commit.
const PULL_COMMITS: i32 = 0x1;
/// Bit of a pull's flag: the broker may hold it.
const PULL_SUSPENDS: i32 = 0x2;
/// Bit of a pull's flag: it carries its own filter.
const PULL_FILTERS: i32 = 0x4;

/// Bit of a pull's flag: it is one of a consumer that is polled.
const PULL_IS_LITE: i32 = 0x10;

/// Largest body that a message may decompress to: what a producer may send, and room for those with a higher limit.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;

/// What to pull.
pub(crate) struct Pull<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) offset: i64,
    /// Offset to commit on the way.
    pub(crate) commit_offset: Option<i64>,
    pub(crate) messages_max: i32,
    pub(crate) bytes_max: i32,
    /// How long the broker may hold it.
    pub(crate) suspend: Duration,
    /// Whether it is one of a consumer that is polled and has subscribed.
    pub(crate) is_lite: bool,
    /// The filter, for who is not a member of the group; the broker knows that of members from their heartbeats.
    pub(crate) subscription: Option<&'a str>,
    pub(crate) expression_type: &'a str,
    pub(crate) sub_version: i64,
}

/// What a pull brought.
pub(crate) struct Pulled {
    pub(crate) outcome: PullOutcome,
    /// Where to go on.
    pub(crate) next_offset: i64,
    pub(crate) min_offset: i64,
    pub(crate) max_offset: i64,
    /// Member of the broker group to pull from next.
    pub(crate) suggested_broker_id: i64,
}

/// How a pull ended.
pub(crate) enum PullOutcome {
    Found(Vec<MessageExt>),
    /// Nothing, or nothing that passes the filter.
    Nothing,
    /// The offset is not within the queue.
    OffsetIllegal,
}

/// Pulls messages; the broker holds the request while there are none.
pub(crate) async fn pull(client: &Client, address: &str, pull: &Pull<'_>) -> Result<Pulled> {
    let commit = pull.commit_offset.filter(|offset| *offset > 0);
    let bit = |set: bool, bit| if set { bit } else { 0 };
    let header = PullMessageRequestHeader {
        consumer_group: pull.group,
        topic: &pull.queue.topic,
        queue_id: pull.queue.queue_id,
        queue_offset: pull.offset,
        max_msg_nums: pull.messages_max,
        sys_flag: PULL_SUSPENDS
            | bit(commit.is_some(), PULL_COMMITS)
            | bit(pull.subscription.is_some(), PULL_FILTERS)
            | bit(pull.is_lite, PULL_IS_LITE),
        commit_offset: commit.unwrap_or(0),
        suspend_timeout_millis: pull.suspend.as_millis() as i64,
        subscription: pull.subscription,
        sub_version: pull.sub_version,
        expression_type: Some(pull.expression_type),
        max_msg_bytes: Some(pull.bytes_max),
        ..PullMessageRequestHeader::default()
    };
    let code = if pull.is_lite { RequestCode::LITE_PULL_MESSAGE } else { RequestCode::PULL_MESSAGE };
    let request = Request::new(code).header(&header);
    let response = client.remoting().call(address, request, PULL_TIMEOUT).await?;
    let outcome = match response.code {
        ResponseCode::SUCCESS => {
            let unreadable = |error| Error::protocol(format!("{address} sent unreadable messages")).with_source(error);
            PullOutcome::Found(decode(&response.body, pull.queue).map_err(unreadable)?)
        }
        ResponseCode::PULL_NOT_FOUND | ResponseCode::PULL_RETRY_IMMEDIATELY => PullOutcome::Nothing,
        ResponseCode::PULL_OFFSET_MOVED => PullOutcome::OffsetIllegal,
        code => return Err(Error::refused(code.0, response.remark.as_deref(), address)),
    };
    let header: PullMessageResponseHeader = read_header(&response)?;
    Ok(Pulled {
        outcome,
        next_offset: header.next_begin_offset,
        min_offset: header.min_offset,
        max_offset: header.max_offset,
        suggested_broker_id: header.suggest_which_broker_id,
    })
}

/// The messages of a pull's answer. One whose body is damaged or cannot be decompressed is passed over: it would stand
/// in the way of all others, and asking again does not help.
fn decode(mut bytes: &[u8], queue: &MessageQueue) -> Result<Vec<MessageExt>, RecordError> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let record = RecordView::parse(bytes)?;
        match MessageExt::from_record(&record, BODY_BYTES_MAX) {
            Ok(message) => messages.push(MessageExt { broker_name: queue.broker_name.clone(), ..message }),
            Err(error) => {
                let offset = record.queue_offset;
                tracing::error!(%queue, offset, %error, "a damaged message is passed over");
            }
        }
        bytes = &bytes[record.size..];
    }
    Ok(messages)
}

/// Asks a broker whether it understands a filter.
pub(crate) async fn check_filter(client: &Client, address: &str, group: &str, filter: &SubscriptionData) -> Result<()> {
    let body = CheckClientRequestBody {
        client_id: client.id().to_owned(),
        group: group.to_owned(),
        namespace: None,
        subscription_data: Some(filter.clone()),
    };
    let body = json::to_vec(&body).map_err(|error| Error::protocol(error.to_string()))?;
    client.call(address, Request::new(RequestCode::CHECK_CLIENT_CONFIG).body(body)).await.map(drop)
}

/// The ids of a group's members.
pub(crate) async fn members(client: &Client, address: &str, group: &str) -> Result<Vec<String>> {
    let header = GetConsumerListByGroupRequestHeader { consumer_group: group };
    let request = Request::new(RequestCode::GET_CONSUMER_LIST_BY_GROUP).header(&header);
    let response = client.call(address, request).await?;
    let body: GetConsumerListByGroupResponseBody = read_body(&response, address, "a list of consumers")?;
    Ok(body.consumer_id_list)
}

/// The offset that the broker keeps for a group; `None` when it keeps none.
pub(crate) async fn committed_offset(
    client: &Client,
    address: &str,
    group: &str,
    queue: &MessageQueue,
) -> Result<Option<i64>> {
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: group,
        topic: &queue.topic,
        queue_id: queue.queue_id,
        set_zero_if_not_found: None,
    };
    let request = Request::new(RequestCode::QUERY_CONSUMER_OFFSET).header(&header);
    match client.call(address, request).await {
        Ok(response) => read_offset(&response).map(Some),
        Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The request that commits an offset.
pub(crate) fn commit_request(group: &str, queue: &MessageQueue, offset: i64) -> Request {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: group,
        topic: &queue.topic,
        queue_id: Some(queue.queue_id),
        commit_offset: Some(offset),
    };
    Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&header)
}

/// The offset behind a queue's last message.
pub(crate) async fn max_offset(client: &Client, address: &str, queue: &MessageQueue) -> Result<i64> {
    let header = GetMaxOffsetRequestHeader { topic: &queue.topic, queue_id: queue.queue_id, committed: true };
    let request = Request::new(RequestCode::GET_MAX_OFFSET).header(&header);
    read_offset(&client.call(address, request).await?)
}

/// The offset of a queue's first message.
pub(crate) async fn min_offset(client: &Client, address: &str, queue: &MessageQueue) -> Result<i64> {
    let header = GetMinOffsetRequestHeader { topic: &queue.topic, queue_id: queue.queue_id };
    let request = Request::new(RequestCode::GET_MIN_OFFSET).header(&header);
    read_offset(&client.call(address, request).await?)
}

/// The offset of the first message that was stored at a time, in ms, or later.
pub(crate) async fn offset_by_time(client: &Client, address: &str, queue: &MessageQueue, time_ms: i64) -> Result<i64> {
    let header = SearchOffsetRequestHeader {
        topic: &queue.topic,
        queue_id: queue.queue_id,
        timestamp: time_ms,
        boundary_type: None,
    };
    let request = Request::new(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP).header(&header);
    read_offset(&client.call(address, request).await?)
}

/// Gives a message back, to be delivered again after a delay level (0: by how often it came; -1: never, it is dead).
pub(crate) async fn send_back(
    client: &Client,
    address: &str,
    header: &ConsumerSendMsgBackRequestHeader<'_>,
) -> Result<()> {
    let request = Request::new(RequestCode::CONSUMER_SEND_MSG_BACK).header(header);
    client.call(address, request).await.map(drop)
}

fn read_offset(response: &Response) -> Result<i64> {
    Ok(read_header::<OffsetResponseHeader>(response)?.offset)
}

fn read_header<'a, H: raptormq_protocol::header::Header<'a>>(response: &'a Response) -> Result<H> {
    response.header().map_err(|error| Error::protocol("a broker's answer cannot be read").with_source(error))
}
