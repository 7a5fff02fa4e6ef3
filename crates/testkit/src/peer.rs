//! [`Peer`]: somebody who sends requests that no client of ours would send.

use std::sync::Arc;

use bytes::Bytes;
use raptormq_protocol::body::TopicConfig;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::frame::Serialization;
use raptormq_protocol::header::{
    CreateTopicRequestHeader, GetMaxOffsetRequestHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    QueryConsumerOffsetRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use raptormq_protocol::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData,
};
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_remoting::{
    CallError, Client, ClientOptions, Connection, Inbound, Output, OwnedFields, PendingCall, Request, Response,
};
use tokio::sync::{Mutex, mpsc};

use crate::PATIENCE;

/// Bits of a pull's `sysFlag`. Java: `common/sysflag/PullSysFlag.java`.
const PULL_SUSPEND: i32 = 0x2;
const PULL_SUBSCRIPTION: i32 = 0x4;

/// Largest body that a peer unpacks, in bytes.
const BODY_BYTES_MAX: usize = 8 << 20;

/// One connection to one process, over which a test says what it wants. A call that is not answered within
/// [`PATIENCE`] panics, as everything does that a test does not expect.
pub struct Peer {
    client: Client,
    address: String,
    notices: Mutex<mpsc::UnboundedReceiver<Notice>>,
}

/// A request of the server to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is.
    pub code: RequestCode,
    /// The header's fields.
    pub fields: Vec<(String, String)>,
    /// Whether no answer is wanted.
    pub is_oneway: bool,
}

impl Notice {
    /// A field of the header.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Puts notices where [`Peer::notice`] finds them. The test bounds how many there are.
struct Notices(mpsc::UnboundedSender<Notice>);

impl Inbound for Notices {
    fn handle(&self, _: &Connection, request: &Command<'_>, out: &mut Output) {
        let fields = request.fields.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        // The test may have ended.
        let _ = self.0.send(Notice { code: RequestCode(request.code), fields, is_oneway: request.is_oneway() });
        out.respond(request, ResponseCode::SUCCESS, None);
    }
}

/// An answer to a pull.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// How it went.
    pub code: ResponseCode,
    /// The status in words.
    pub remark: Option<String>,
    /// Offsets.
    pub header: PullMessageResponseHeader,
    /// The messages.
    pub messages: Vec<MessageExt>,
}

impl Peer {
    /// A peer of the process at `address` (`host:port`). It connects with its first call.
    pub fn new(address: impl Into<String>) -> Peer {
        Peer::with(address.into(), ClientOptions::default())
    }

    /// A peer that writes its headers in RocketMQ's binary form.
    pub fn binary(address: impl Into<String>) -> Peer {
        Peer::with(address.into(), ClientOptions { serialization: Serialization::Rocketmq, ..Default::default() })
    }

    fn with(address: String, options: ClientOptions) -> Peer {
        let (sender, notices) = mpsc::unbounded_channel();
        let client = Client::new(options, Arc::new(Notices(sender)));
        Peer { client, address, notices: Mutex::new(notices) }
    }

    /// Calls, and returns the answer whatever it is.
    pub async fn call(&self, request: Request) -> Response {
        let code = request.code;
        let answer = self.client.call(&self.address, request, PATIENCE).await;
        answer.unwrap_or_else(|error| panic!("request {code}: {error}"))
    }

    /// Calls a process that may end meanwhile.
    ///
    /// # Errors
    /// The call is not answered, because the process ended or never was.
    pub async fn try_call(&self, request: Request) -> Result<Response, CallError> {
        self.client.call(&self.address, request, PATIENCE).await
    }

    /// Puts a call on its way and waits for its answer later.
    pub async fn begin(&self, request: &Request) -> PendingCall {
        self.client.begin(&self.address, request, PATIENCE).await.expect("the peer is connected")
    }

    /// Calls, and expects success.
    pub async fn ok(&self, request: Request) -> Response {
        let code = request.code;
        let response = self.call(request).await;
        assert!(response.is_success(), "request {code}: {:?} {:?}", response.code, response.remark);
        response
    }

    /// Calls, and expects to be refused; the code and the remark.
    pub async fn refused(&self, request: Request) -> (ResponseCode, String) {
        let code = request.code;
        let response = self.call(request).await;
        assert!(!response.is_success(), "request {code} was carried out: {:?}", response.fields);
        (response.code, response.remark.unwrap_or_default())
    }

    /// Sends a request that wants no answer.
    pub async fn oneway(&self, request: &Request) {
        self.client.oneway(&self.address, request).await.expect("the peer is connected");
    }

    /// The next request that the server sends of its own accord.
    pub async fn notice(&self) -> Notice {
        let mut notices = self.notices.lock().await;
        let notice = tokio::time::timeout(PATIENCE, notices.recv()).await;
        notice.expect("a notice comes in time").expect("the client holds the other end")
    }

    /// Requests that the server has sent and nobody looked at.
    pub async fn unread_notices(&self) -> Vec<Notice> {
        let mut notices = self.notices.lock().await;
        std::iter::from_fn(|| notices.try_recv().ok()).collect()
    }

    /// Ends the connection, without a word to the server.
    pub fn leave(&self) {
        self.client.close();
    }

    /// Makes a topic with so many queues.
    pub async fn create_topic(&self, topic: &str, queues: i32) {
        self.ok(topic_request(&TopicConfig {
            topic_name: topic.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            ..TopicConfig::default()
        }))
        .await;
    }

    /// Sends one message; returns its queue offset.
    pub async fn send(&self, topic: &str, queue_id: i32, body: impl Into<Bytes>) -> i64 {
        self.send_tagged(topic, queue_id, "", body).await
    }

    /// Sends one message with a tag; returns its queue offset.
    pub async fn send_tagged(&self, topic: &str, queue_id: i32, tag: &str, body: impl Into<Bytes>) -> i64 {
        let properties = if tag.is_empty() { String::new() } else { format!("TAGS\u{1}{tag}\u{2}") };
        let header =
            SendMessageRequestHeaderV2 { queue_id, properties: Some(&properties), ..send_header("testers", topic) };
        let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body);
        let response = self.ok(request).await;
        let header: SendMessageResponseHeader<'_> = response.header().expect("the answer to a send has its header");
        header.queue_offset
    }

    /// Pulls and returns at once, whether there is something or not.
    pub async fn pull(&self, topic: &str, queue_id: i32, queue_offset: i64) -> Pulled {
        let header = PullMessageRequestHeader { queue_id, queue_offset, ..pull_header("testers", topic) };
        Pulled::of(self.call(Request::new(RequestCode::PULL_MESSAGE).header(&header)).await)
    }

    /// The number of messages that were ever in a queue.
    pub async fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        let header = GetMaxOffsetRequestHeader { topic, queue_id, committed: true };
        self.offset(Request::new(RequestCode::GET_MAX_OFFSET).header(&header)).await.expect("a queue has an end")
    }

    /// Where a group is in a queue; `None` when it has been nowhere.
    pub async fn consumer_offset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group,
            topic,
            queue_id,
            set_zero_if_not_found: Some(false),
        };
        self.offset(Request::new(RequestCode::QUERY_CONSUMER_OFFSET).header(&header)).await
    }

    /// Calls a request whose answer is an offset; `None` when there is none (22).
    pub async fn offset(&self, request: Request) -> Option<i64> {
        let response = self.call(request).await;
        if response.code == ResponseCode::QUERY_NOT_FOUND {
            return None;
        }
        assert!(response.is_success(), "{:?} {:?}", response.code, response.remark);
        Some(response.fields.get("offset").and_then(|text| text.parse().ok()).expect("the answer has an offset"))
    }

    /// Says in a heartbeat that a consumer of `group` subscribes to `topic`, by tags.
    pub async fn join(&self, client_id: &str, group: &str, topic: &str, tags: &str) -> Response {
        self.ok(heartbeat_request(&HeartbeatData {
            client_id: client_id.to_owned(),
            consumer_data_set: vec![consumer_data(group, topic, tags)],
            ..HeartbeatData::default()
        }))
        .await
    }
}

impl Pulled {
    /// Reads the answer to a pull.
    pub fn of(response: Response) -> Pulled {
        let remark = response.remark.clone();
        let header = response.header().unwrap_or_else(|error| panic!("{error}: {:?} {remark:?}", response.code));
        let messages = MessageExt::decode_all(&response.body, BODY_BYTES_MAX).expect("the body of a pull is records");
        Pulled { code: response.code, remark, header, messages }
    }

    /// The bodies of the messages, as text.
    pub fn texts(&self) -> Vec<String> {
        self.messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
    }
}

/// A header of a send as the Java client would fill it, to queue 0.
pub fn send_header<'a>(producer_group: &'a str, topic: &'a str) -> SendMessageRequestHeaderV2<'a> {
    SendMessageRequestHeaderV2 {
        producer_group,
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(false),
        ..SendMessageRequestHeaderV2::default()
    }
}

/// A header of a pull that carries its subscription to everything, from the start of queue 0; it is not held.
pub fn pull_header<'a>(consumer_group: &'a str, topic: &'a str) -> PullMessageRequestHeader<'a> {
    PullMessageRequestHeader {
        consumer_group,
        topic,
        max_msg_nums: 32,
        sys_flag: PULL_SUBSCRIPTION,
        subscription: Some("*"),
        expression_type: Some("TAG"),
        ..PullMessageRequestHeader::default()
    }
}

/// As [`pull_header`], but held for so long when there is nothing.
pub fn held_pull_header<'a>(consumer_group: &'a str, topic: &'a str, timeout_ms: i64) -> PullMessageRequestHeader<'a> {
    PullMessageRequestHeader {
        sys_flag: PULL_SUBSCRIPTION | PULL_SUSPEND,
        suspend_timeout_millis: timeout_ms,
        ..pull_header(consumer_group, topic)
    }
}

/// Makes a topic, or changes it (17).
pub fn topic_request(config: &TopicConfig) -> Request {
    Request::new(RequestCode::UPDATE_AND_CREATE_TOPIC).header(&CreateTopicRequestHeader {
        topic: &config.topic_name,
        default_topic: "TBW102",
        read_queue_nums: config.read_queue_nums,
        write_queue_nums: config.write_queue_nums,
        perm: config.perm,
        topic_filter_type: config.topic_filter_type.name(),
        order: config.order,
        ..CreateTopicRequestHeader::default()
    })
}

/// A heartbeat (34).
pub fn heartbeat_request(data: &HeartbeatData) -> Request {
    Request::new(RequestCode::HEART_BEAT).body(json::to_vec(data).expect("a heartbeat is JSON"))
}

/// A consumer that pushes and shares its queues.
pub fn consumer_data(group: &str, topic: &str, tags: &str) -> ConsumerData {
    ConsumerData {
        group_name: group.to_owned(),
        consume_type: ConsumeType::ConsumePassively,
        message_model: MessageModel::Clustering,
        consume_from_where: ConsumeFromWhere::ConsumeFromFirstOffset,
        subscription_data_set: vec![SubscriptionData::parse(topic, tags).expect("a test's tags are tags")],
        unit_mode: false,
    }
}

/// The value of a field, as text.
pub fn field<'f>(fields: &'f OwnedFields, key: &str) -> &'f str {
    fields.get(key).unwrap_or_else(|| panic!("no field {key} in {fields:?}"))
}
