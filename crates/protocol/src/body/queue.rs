//! Queues, locks on them, and how they are dealt out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::heartbeat::MessageModel;

/// A queue of a topic on a broker group.
///
/// It sorts by topic, broker and id, as in Java: clients that deal out queues by themselves rely on one order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageQueue {
    /// The broker group.
    pub broker_name: String,
    /// The number within topic and broker group, from 0.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        java_order(&self.topic, &other.topic)
            .then_with(|| java_order(&self.broker_name, &other.broker_name))
            .then_with(|| self.queue_id.cmp(&other.queue_id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Java compares strings by UTF-16 units, which differs from bytes above the basic plane.
fn java_order(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Prints as Java's `MessageQueue.toString`.
impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageQueue [topic={}, brokerName={}, queueId={}]", self.topic, self.broker_name, self.queue_id)
    }
}

/// Asks for the exclusive use of queues: LOCK_BATCH_MQ (41).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LockBatchRequestBody {
    /// Who asks.
    pub client_id: String,
    /// For which group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: BTreeSet<MessageQueue>,
    /// Whether the broker asks no replica (5.x).
    pub only_this_broker: bool,
}

/// The queues that are locked for the asker now: answer to LOCK_BATCH_MQ (41).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponseBody {
    /// The queues.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: BTreeSet<MessageQueue>,
}

/// Gives queues back: UNLOCK_BATCH_MQ (42).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UnlockBatchRequestBody {
    /// Who gives back.
    pub client_id: String,
    /// For which group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: BTreeSet<MessageQueue>,
    /// Whether the broker tells no replica (5.x).
    pub only_this_broker: bool,
}

/// Whether the members of a group pull or pop. The variants stand in Java's order, because ordinals are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageRequestMode {
    /// Each queue belongs to one member, which pulls from it.
    #[default]
    Pull,
    /// Queues are shared; each message is handed out by itself.
    Pop,
    /// A name this release does not know; treated as [`MessageRequestMode::Pull`].
    #[serde(other)]
    Unknown,
}

/// Asks which queues a client shall serve: QUERY_ASSIGNMENT (400).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryAssignmentRequestBody {
    /// Who asks.
    pub client_id: String,
    /// For which group.
    pub consumer_group: String,
    /// Whether the group's members share the queues.
    pub message_model: MessageModel,
    /// `AVG` or `AVG_BY_CIRCLE`.
    pub strategy_name: String,
    /// The topic.
    pub topic: String,
}

/// The queues a client shall serve: answer to QUERY_ASSIGNMENT (400).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryAssignmentResponseBody {
    /// The queues and how to serve them; without it the client keeps those that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<MessageQueueAssignment>>,
}

/// A queue and how to serve it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageQueueAssignment {
    /// Whatever the strategy adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<BTreeMap<String, String>>,
    /// The queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue: Option<MessageQueue>,
    /// Whether to pull or to pop.
    pub mode: MessageRequestMode,
}

/// Sets whether a group pulls or pops: SET_MESSAGE_REQUEST_MODE (401), and an entry of `messageRequestMode.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SetMessageRequestModeRequestBody {
    /// The group.
    pub consumer_group: String,
    /// What it does.
    pub mode: MessageRequestMode,
    /// Queues that members of a popping group share; 0 or less means all.
    pub pop_share_queue_num: i32,
    /// The topic.
    pub topic: String,
}

/// All request modes of a broker: answer to GET_ALL_MESSAGE_REQUEST_MODE (402).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageRequestModeSerializeWrapper {
    /// Topic to group to mode.
    pub message_request_mode_map: BTreeMap<String, BTreeMap<String, SetMessageRequestModeRequestBody>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_sort_by_topic_then_broker_then_id() {
        let queue = |topic: &str, broker: &str, queue_id| MessageQueue {
            broker_name: broker.to_owned(),
            queue_id,
            topic: topic.to_owned(),
        };
        let mut queues = vec![queue("b", "a", 0), queue("a", "b", 0), queue("a", "a", 10), queue("a", "a", 9)];
        queues.sort();
        assert_eq!(queues, [queue("a", "a", 9), queue("a", "a", 10), queue("a", "b", 0), queue("b", "a", 0)]);
        assert_eq!(queues[0].to_string(), "MessageQueue [topic=a, brokerName=a, queueId=9]");
    }
}
