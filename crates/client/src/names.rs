//! Which topic, group and property names are allowed, with the original's words.
//!
//! Java: `common/topic/TopicValidator.java`, `client/Validators.java`.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Prefix of the topic that holds a group's messages to be consumed again.
pub(crate) const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of the topic that holds what a group gave up on.
pub(crate) const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// The topic whose route and settings a topic that does not exist yet is created with.
pub(crate) const DEFAULT_TOPIC: &str = "TBW102";

/// Characters a topic may have; those of retry and dead-letter topics may have twice as many.
const TOPIC_LENGTH_MAX: usize = 127;
/// Characters a retry or dead-letter topic may have.
const GROUP_TOPIC_LENGTH_MAX: usize = 255;
/// Characters a group may have.
const GROUP_LENGTH_MAX: usize = 120;

/// Topics that only the broker itself may write to.
const NOT_FOR_SENDING: [&str; 6] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// The topic of a group's messages to be consumed again.
pub(crate) fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// Checks the name of a topic to subscribe to.
pub(crate) fn check_topic(topic: &str) -> Result<()> {
    let of_group = topic.starts_with(RETRY_PREFIX) || topic.starts_with(DEAD_LETTER_PREFIX);
    check("topic", topic, if of_group { GROUP_TOPIC_LENGTH_MAX } else { TOPIC_LENGTH_MAX })
}

/// Checks the name of a topic to send to.
pub(crate) fn check_send_topic(topic: &str) -> Result<()> {
    check_topic(topic)?;
    if NOT_FOR_SENDING.contains(&topic) {
        return Err(Error::invalid(format!("Sending message to topic[{topic}] is forbidden.")));
    }
    Ok(())
}

/// Checks the name of a group.
pub(crate) fn check_group(group: &str) -> Result<()> {
    check("group", group, GROUP_LENGTH_MAX)
}

fn check(what: &str, name: &str, length_max: usize) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("The specified {what} is blank.")));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-');
    if !name.bytes().all(allowed) {
        return Err(Error::invalid(format!(
            "The specified {what}: {name}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
        )));
    }
    if name.len() > length_max {
        return Err(Error::invalid(format!(
            "The specified {what}: {name}, is longer than {what} max length: {length_max}"
        )));
    }
    Ok(())
}

/// Between a namespace and the name in it.
const NAMESPACE_SEPARATOR: char = '%';

/// Topics and groups of the system, which are in no namespace (Java: `TopicValidator.isSystemTopic`,
/// `MixAll.isSysConsumerGroup`).
const OF_THE_SYSTEM: [&str; 16] = [
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "BenchmarkTest",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "DEFAULT_PRODUCER",
    "DEFAULT_CONSUMER",
    "TOOLS_CONSUMER",
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "SELF_TEST_C_GROUP",
];

/// What the names of the system's topics and groups begin with.
const SYSTEM_PREFIXES: [&str; 2] = ["rmq_sys_", "CID_RMQ_SYS_"];

/// The two parts of a name: `%RETRY%` or `%DLQ%` if it has one of these, and the rest.
fn split_prefix(name: &str) -> (&str, &str) {
    for prefix in [RETRY_PREFIX, DEAD_LETTER_PREFIX] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return (prefix, rest);
        }
    }
    ("", name)
}

/// A topic's or group's name as brokers know it: `namespace%name`, behind `%RETRY%` or `%DLQ%`.
///
/// Java: `remoting/protocol/NamespaceUtil.java` (`wrapNamespace`).
pub(crate) fn with_namespace<'a>(namespace: &str, name: &'a str) -> Cow<'a, str> {
    let (prefix, rest) = split_prefix(name);
    let is_system = OF_THE_SYSTEM.contains(&name) || SYSTEM_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let is_in_it = rest.strip_prefix(namespace).is_some_and(|rest| rest.starts_with(NAMESPACE_SEPARATOR));
    match namespace.is_empty() || name.is_empty() || is_system || is_in_it {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("{prefix}{namespace}{NAMESPACE_SEPARATOR}{rest}")),
    }
}

/// A name as users know it: without the namespace.
///
/// Java: `remoting/protocol/NamespaceUtil.java` (`withoutNamespace`).
pub(crate) fn without_namespace<'a>(namespace: &str, name: &'a str) -> Cow<'a, str> {
    let (prefix, rest) = split_prefix(name);
    match rest.strip_prefix(namespace).and_then(|rest| rest.strip_prefix(NAMESPACE_SEPARATOR)) {
        Some(bare) if !namespace.is_empty() && prefix.is_empty() => Cow::Borrowed(bare),
        Some(bare) if !namespace.is_empty() => Cow::Owned(format!("{prefix}{bare}")),
        _ => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_into_a_namespace_and_out_again() {
        for (bare, full) in [
            ("T", "NS%T"),
            ("%RETRY%G", "%RETRY%NS%G"),
            ("%DLQ%G", "%DLQ%NS%G"),
            ("RMQ_SYS_TRACE_TOPIC", "RMQ_SYS_TRACE_TOPIC"),
            ("rmq_sys_x", "rmq_sys_x"),
            ("", ""),
        ] {
            assert_eq!(with_namespace("NS", bare), full);
            assert_eq!(with_namespace("NS", full), full, "once only");
            assert_eq!(without_namespace("NS", full), bare);
            assert_eq!((with_namespace("", bare), without_namespace("", full)), (bare.into(), full.into()));
        }
        assert_eq!(without_namespace("NS", "Other%T"), "Other%T");
    }

    #[test]
    fn names_are_checked_as_java_checks_them() {
        assert!(check_send_topic("Topic_1-%|").is_ok());
        assert_eq!(check_topic("").unwrap_err().to_string(), "The specified topic is blank.");
        assert_eq!(
            check_group("a.b").unwrap_err().to_string(),
            "The specified group: a.b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
        );
        assert!(check_topic(&"t".repeat(128)).unwrap_err().to_string().ends_with("max length: 127"));
        assert!(check_topic(&format!("%RETRY%{}", "t".repeat(200))).is_ok());
        assert!(check_send_topic("SCHEDULE_TOPIC_XXXX").is_err());
    }
}
