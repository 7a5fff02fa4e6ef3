//! Connected clients, and what they tell of themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;
use crate::heartbeat::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData};

/// The clients of a consumer group: answer to GET_CONSUMER_LIST_BY_GROUP (38).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetConsumerListByGroupResponseBody {
    /// Client ids.
    pub consumer_id_list: Vec<String>,
}

/// Asks whether a subscription is understood: CHECK_CLIENT_CONFIG (46).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckClientRequestBody {
    /// Who asks.
    pub client_id: String,
    /// For which group.
    pub group: String,
    /// The namespace of the names, where namespaces are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// A client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connection {
    /// `host:port` it comes from.
    pub client_addr: String,
    /// Its client id.
    pub client_id: String,
    /// Its language by Java's name, see [`crate::command::Language`].
    pub language: String,
    /// Its release by Java's number, see [`crate::command::Version`].
    pub version: i32,
}

/// The members of a consumer group: answer to GET_CONSUMER_CONNECTION_LIST (203).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerConnection {
    /// The members.
    pub connection_set: Vec<Connection>,
    /// Where the group starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_from_where: Option<ConsumeFromWhere>,
    /// How messages come to the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_type: Option<ConsumeType>,
    /// Whether the members share the queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_model: Option<MessageModel>,
    /// Topic to subscription.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// The members of a producer group: answer to GET_PRODUCER_CONNECTION_LIST (204).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerConnection {
    /// The members.
    pub connection_set: Vec<Connection>,
}

/// All producers of a broker: answer to GET_ALL_PRODUCER_INFO (328).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerTableInfo {
    /// Group to members.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// A member of a producer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerInfo {
    /// Its client id.
    pub client_id: String,
    /// Its language by Java's name.
    pub language: String,
    /// Last heartbeat, in ms since 1970.
    pub last_update_timestamp: i64,
    /// `host:port` it comes from.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Its release by Java's number.
    pub version: i32,
}

/// A group's subscription to a topic: answer to QUERY_SUBSCRIPTION_BY_CONSUMER (345).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QuerySubscriptionResponseBody {
    /// The group.
    pub group: String,
    /// Its subscription, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// The topic.
    pub topic: String,
}

/// What a consumer is doing: answer to GET_CONSUMER_RUNNING_INFO (307).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerRunningInfo {
    /// Stack traces of its threads, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jstack: Option<String>,
    /// Queues it pops from.
    pub mq_pop_table: BTreeMap<MessageQueue, PopProcessQueueInfo>,
    /// Queues it pulls from.
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    /// Its settings; names that begin with `PROP_` are RocketMQ's.
    pub properties: BTreeMap<String, String>,
    /// Topic to rates.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    /// Its subscriptions.
    pub subscription_set: Vec<SubscriptionData>,
    /// What the program adds.
    pub user_consumer_info: BTreeMap<String, String>,
}

/// What a consumer holds of a queue that it pulls from. Offsets are queue offsets, times are in ms since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProcessQueueInfo {
    /// Messages held.
    pub cached_msg_count: i32,
    /// Last message held.
    pub cached_msg_max_offset: i64,
    /// First message held.
    pub cached_msg_min_offset: i64,
    /// Their size in MiB.
    pub cached_msg_size_in_mi_b: i32,
    /// Offset reported to the broker.
    pub commit_offset: i64,
    /// Whether the queue was given up.
    pub droped: bool,
    /// Last consumption.
    pub last_consume_timestamp: i64,
    /// Last lock.
    pub last_lock_timestamp: i64,
    /// Last pull.
    pub last_pull_timestamp: i64,
    /// Whether it is locked by this client.
    pub locked: bool,
    /// Messages being consumed in order.
    pub transaction_msg_count: i32,
    /// Last of them.
    pub transaction_msg_max_offset: i64,
    /// First of them.
    pub transaction_msg_min_offset: i64,
    /// Unlocks that were put off.
    pub try_unlock_times: i64,
}

/// What a consumer holds of a queue that it pops from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PopProcessQueueInfo {
    /// Whether the queue was given up.
    pub droped: bool,
    /// Last pop, in ms since 1970.
    pub last_pop_timestamp: i64,
    /// Messages popped and not acknowledged.
    pub wait_ack_count: i32,
}

/// A consumer's rates on a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    /// Messages that failed in the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
    /// Messages a second that failed.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Messages a second that succeeded.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Time to consume, in ms.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Time to pull, in ms.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Messages a second pulled.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
}

/// How a message that an administrator handed to a client was consumed: answer to CONSUME_MESSAGE_DIRECTLY (309).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeMessageDirectlyResult {
    /// Whether an ordered consumer commits by itself.
    pub auto_commit: bool,
    /// What the listener said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_result: Option<CMResult>,
    /// Whether it consumes in order.
    pub order: bool,
    /// Further words, such as an exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long it took, in ms.
    pub spent_time_mills: i64,
}

impl Default for ConsumeMessageDirectlyResult {
    fn default() -> Self {
        ConsumeMessageDirectlyResult {
            auto_commit: true,
            consume_result: None,
            order: false,
            remark: None,
            spent_time_mills: 0,
        }
    }
}

/// What a listener said of a message. The variants stand in Java's order, because ordinals are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CMResult {
    /// Consumed.
    CrSuccess,
    /// To be delivered again.
    CrLater,
    /// Ordered: taken back.
    CrRollback,
    /// Ordered: committed.
    CrCommit,
    /// An exception.
    CrThrowException,
    /// Nothing, which is an error.
    CrReturnNull,
    /// A name this release does not know.
    #[default]
    #[serde(other)]
    Unknown,
}
