//! Names of topics and groups: which are well-formed, and which the broker keeps for itself.
//!
//! Java: `common/topic/TopicValidator.java`, `common/MixAll.java`, `client/Validators.java`.

use std::collections::BTreeSet;

use parking_lot::RwLock;
use raptormq_protocol::body::MessageQueue;

use crate::failure::Failure;

/// What the names of retry topics begin with.
pub(crate) const RETRY_PREFIX: &str = "%RETRY%";
/// What the names of dead-letter topics begin with.
pub(crate) const DLQ_PREFIX: &str = "%DLQ%";
/// What the names of the broker's own topics of 5.x begin with.
const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// What the names of the broker's own groups begin with.
const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// Longest topic name, in bytes; retry and dead-letter topics have [`LONG_TOPIC_BYTES_MAX`].
pub(crate) const TOPIC_BYTES_MAX: usize = 127;
/// Longest name of a retry or dead-letter topic, in bytes.
pub(crate) const LONG_TOPIC_BYTES_MAX: usize = 255;
/// Longest group name, in bytes.
pub(crate) const GROUP_BYTES_MAX: usize = 120;

/// The template that unknown topics are made after.
pub(crate) const AUTO_CREATE_TOPIC: &str = "TBW102";
pub(crate) const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
pub(crate) const BENCHMARK_TOPIC: &str = "BenchmarkTest";
pub(crate) const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
pub(crate) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
pub(crate) const TRANS_HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
pub(crate) const TRANS_OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
pub(crate) const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
pub(crate) const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
pub(crate) const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// System topics that are always ones, whether this broker has them or not.
const SYSTEM_TOPICS: [&str; 10] = [
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    TRANS_HALF_TOPIC,
    TRACE_TOPIC,
    TRANS_OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
    "CHECKPOINT_TOPIC",
];

/// Groups that every broker knows. Java: `SubscriptionGroupManager.init`.
pub(crate) const PRESET_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// Whether clients may not send to the topic. A match on the length first: this is asked for every message.
pub(crate) fn is_send_forbidden(topic: &str) -> bool {
    matches!(
        topic,
        SCHEDULE_TOPIC
            | TRANS_HALF_TOPIC
            | TRANS_OP_HALF_TOPIC
            | TRANS_CHECK_MAX_TIME_TOPIC
            | SELF_TEST_TOPIC
            | OFFSET_MOVED_EVENT
    )
}

/// The retry topic of a group.
pub(crate) fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The topic of a group's dead letters.
pub(crate) fn dead_letter_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// The group that a retry topic belongs to.
pub(crate) fn group_of_retry_topic(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX)
}

/// Whether the topic belongs to a group: its length may be greater.
pub(crate) fn is_group_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX)
}

/// Whether the broker knows the group by itself.
pub(crate) fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX) || PRESET_GROUPS.contains(&group)
}

/// Checks the name of a topic. Runs for every message.
pub(crate) fn check_topic(topic: &str) -> Result<(), Failure> {
    check(topic, "topic", if is_group_topic(topic) { LONG_TOPIC_BYTES_MAX } else { TOPIC_BYTES_MAX })
}

/// Checks the name of a group.
pub(crate) fn check_group(group: &str) -> Result<(), Failure> {
    check(group, "group", GROUP_BYTES_MAX)
}

fn check(name: &str, what: &'static str, bytes_max: usize) -> Result<(), Failure> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-');
    if name.trim().is_empty() {
        return Err(Failure::invalid(format!("The specified {what} is blank.")));
    }
    if !name.bytes().all(legal) {
        let remark = format!("The specified {what} contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$");
        return Err(Failure::invalid(remark));
    }
    if name.len() > bytes_max {
        return Err(Failure::invalid(format!("The specified {what} is longer than {what} max length.")));
    }
    Ok(())
}

/// The names of the topics that the broker made for itself at its start, beside those that are always its own.
#[derive(Debug, Default)]
pub(crate) struct SystemTopics {
    added: RwLock<BTreeSet<String>>,
}

impl SystemTopics {
    pub(crate) fn add(&self, topic: &str) {
        self.added.write().insert(topic.to_owned());
    }

    pub(crate) fn contains(&self, topic: &str) -> bool {
        SYSTEM_TOPICS.contains(&topic) || topic.starts_with(SYSTEM_TOPIC_PREFIX) || self.added.read().contains(topic)
    }

    /// All of them, those of other brokers' names apart.
    pub(crate) fn list(&self) -> Vec<String> {
        let mut all: BTreeSet<String> = self.added.read().clone();
        all.extend(SYSTEM_TOPICS.map(str::to_owned));
        all.into_iter().collect()
    }
}

/// A queue id of the wire as an index, if it can be one.
pub(crate) fn queue_index(queue_id: i32) -> Option<usize> {
    usize::try_from(queue_id).ok()
}

/// The queue as the wire names it.
pub(crate) fn message_queue(topic: &str, broker_name: &str, queue_id: i32) -> MessageQueue {
    MessageQueue { topic: topic.to_owned(), broker_name: broker_name.to_owned(), queue_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_in_the_originals_words() {
        let remark = |topic: &str| check_topic(topic).unwrap_err().remark;
        assert_eq!(remark(" "), "The specified topic is blank.");
        assert_eq!(remark("a b"), "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$");
        assert!(remark("a/../b").contains("contains illegal characters"));
        let long = "t".repeat(128);
        assert_eq!(remark(&long), "The specified topic is longer than topic max length.");
        assert_eq!(check_topic(&long[1..]), Ok(()));
        assert_eq!(check_topic(&retry_topic(&long)), Ok(()));
        assert_eq!(check_group("a|b%c-d_9"), Ok(()));
    }

    #[test]
    fn system_topics_are_the_fixed_ones_and_those_added() {
        let topics = SystemTopics::default();
        topics.add("DefaultCluster");
        for name in ["TBW102", "rmq_sys_anything", "DefaultCluster"] {
            assert!(topics.contains(name), "{name}");
        }
        assert!(!topics.contains("Orders"));
        assert!(is_system_group("CID_RMQ_SYS_X") && is_system_group("TOOLS_CONSUMER") && !is_system_group("g"));
    }
}
