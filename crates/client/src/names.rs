//! Which topic, group and property names are allowed, with the original's words.
//!
//! Java: `common/topic/TopicValidator.java`, `client/Validators.java`.

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

#[cfg(test)]
mod tests {
    use super::*;

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
