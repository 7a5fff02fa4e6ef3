//! Messages: [`Message`] on its way out, [`MessageView`] as a consumer gets it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::{self, NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, name};

use crate::error::{Error, ErrorKind, Result};
use crate::names;

/// Largest body that is sent, before compression, in bytes (Java: `DefaultMQProducer.maxMessageSize`).
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;

/// A message to be sent.
///
/// ```
/// use raptormq_client::Message;
/// let message = Message::new("TopicTest", "hello").tag("TagA").key("order-1").property("region", "EU");
/// assert_eq!(message.body(), "hello".as_bytes());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    topic: String,
    body: Bytes,
    flag: i32,
    waits_for_store: bool,
    properties: Vec<(String, String)>,
}

impl Message {
    /// A message with a topic and a body. What is not allowed in either is said by the send.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Message {
        let (topic, body) = (topic.into(), body.into());
        Message { topic, body, flag: 0, waits_for_store: true, properties: Vec::new() }
    }

    /// Sets the tag, which consumers filter by.
    pub fn tag(self, tag: impl Into<String>) -> Message {
        self.put(name::TAGS, tag.into())
    }

    /// Adds a key under which the message can be found again. A key has no spaces: a space separates two keys.
    pub fn key(mut self, key: impl Into<String>) -> Message {
        let key = key.into();
        match self.properties.iter_mut().find(|(known, _)| known == name::KEYS) {
            Some((_, keys)) => {
                keys.push(' ');
                keys.push_str(&key);
                self
            }
            None => self.put(name::KEYS, key),
        }
    }

    /// Sets a property of the user's own. Names that RocketMQ gives a meaning to are refused by the send.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Message {
        let name = name.into();
        // A name of the system is kept apart, so that the check finds it whatever was set by a method of its own.
        let name = if is_system_name(&name) { format!("{FORBIDDEN_MARK}{name}") } else { name };
        self.put(&name, value.into())
    }

    /// Sets the number that travels with the message for the user's own purposes.
    pub fn flag(self, flag: i32) -> Message {
        Message { flag, ..self }
    }

    /// Lets consumers have the message only after the delay of a level: 1 to 18 stand for 1, 5, 10 and 30 s, 1 to 10, 20
    /// and 30 minutes, 1 and 2 hours, unless the broker's `messageDelayLevel` says otherwise. Works with every broker.
    #[doc(alias = "setDelayTimeLevel")]
    pub fn delay_level(self, level: u32) -> Message {
        self.put(name::DELAY, level.to_string())
    }

    /// Lets consumers have the message only after this time, to the millisecond. Needs a broker with timer messages
    /// (RocketMQ 5 with `timerWheelEnable`); its `timerMaxDelaySec` is the limit, 3 days by default.
    #[doc(alias = "setDelayTimeMs")]
    #[doc(alias = "setDelayTimeSec")]
    pub fn deliver_after(self, delay: Duration) -> Message {
        self.put(name::TIMER_DELAY_MS, delay.as_millis().to_string())
    }

    /// Lets consumers have the message only from this moment on: see [`Message::deliver_after`].
    #[doc(alias = "setDeliverTimeMs")]
    pub fn deliver_at(self, moment: SystemTime) -> Message {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.put(name::TIMER_DELIVER_MS, since.as_millis().to_string())
    }

    /// Whether the broker answers only when the message is as safe as its settings promise (flushed, copied to a slave).
    /// It does unless this is set to `false`.
    #[doc(alias = "setWaitStoreMsgOK")]
    pub fn wait_for_store(self, waits_for_store: bool) -> Message {
        Message { waits_for_store, ..self }
    }

    /// Sets a property that RocketMQ gives a meaning to.
    pub(crate) fn system_property(self, name: &str, value: impl Into<String>) -> Message {
        self.put(name, value.into())
    }

    /// The value of a property that was set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn waits_for_store(&self) -> bool {
        self.waits_for_store
    }

    /// Whether consumers get the message later than it is stored.
    pub(crate) fn is_delayed(&self) -> bool {
        DELAYS.iter().any(|name| self.get(name).is_some())
    }

    fn put(mut self, name: &str, value: String) -> Message {
        match self.properties.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.properties.push((name.to_owned(), value)),
        }
        self
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    pub(crate) fn into_topic_and_body(self) -> (String, Bytes) {
        (self.topic, self.body)
    }

    pub(crate) fn user_flag(&self) -> i32 {
        self.flag
    }

    /// What no broker would take, with the original's words.
    pub(crate) fn check(&self, body_bytes_max: usize) -> Result<()> {
        names::check_send_topic(&self.topic)?;
        if self.body.is_empty() {
            return Err(Error::invalid("the message body length is zero"));
        }
        if self.body.len() > body_bytes_max {
            let text = format!(
                "the message body size over max value, MAX: {body_bytes_max}; it has {} bytes: send it in parts, or keep it \
                 elsewhere and send where it is",
                self.body.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let separators = [NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR];
        for (name, value) in &self.properties {
            if let Some(name) = name.strip_prefix(FORBIDDEN_MARK) {
                return Err(Error::invalid(format!("The Property<{name}> is used by system, input another please")));
            }
            if name.trim().is_empty() || value.trim().is_empty() {
                return Err(Error::invalid("The name or value of property can not be null or blank string!"));
            }
            if name.contains(separators) || value.contains(separators) {
                return Err(Error::invalid(format!("property {name:?} holds one of the characters 1 and 2")));
            }
        }
        Ok(())
    }

    /// Bytes of the properties that were set, on the wire.
    pub(crate) fn property_bytes(&self) -> usize {
        self.properties.iter().map(|(name, value)| name.len() + value.len() + 2).sum()
    }

    /// Takes out of a message to a retry topic how often it was consumed in vain, and how often it may be: the request's
    /// header says so (Java: `DefaultMQProducerImpl.sendKernelImpl`).
    pub(crate) fn take_retries(&mut self) -> (i32, Option<i32>) {
        let mut take = |name: &str| {
            let at = self.properties.iter().position(|(known, _)| known == name)?;
            self.properties.remove(at).1.parse().ok()
        };
        let times = take(name::RECONSUME_TIME).unwrap_or(0);
        (times, take(name::MAX_RECONSUME_TIMES))
    }

    /// The property text that goes onto the wire, with the properties that every message has.
    pub(crate) fn property_text(&self, unique_key: &str) -> Result<String> {
        let mut text = String::with_capacity(self.property_bytes() + unique_key.len() + 24);
        properties::append(&mut text, name::UNIQ_KEY, unique_key);
        properties::append(&mut text, name::WAIT, if self.waits_for_store { "true" } else { "false" });
        for (name, value) in &self.properties {
            properties::append(&mut text, name, value);
        }
        if text.len() > properties::BYTES_MAX {
            let text = format!("the properties are {} bytes long, MAX: {}", text.len(), properties::BYTES_MAX);
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(text)
    }
}

/// Properties that put the delivery off.
const DELAYS: [&str; 4] = [name::DELAY, name::TIMER_DELAY_SEC, name::TIMER_DELAY_MS, name::TIMER_DELIVER_MS];

/// Stands in front of a system property that a user tried to set, until the check reports it: a character that no
/// property name can have.
const FORBIDDEN_MARK: char = PROPERTY_SEPARATOR;

/// Properties that users may set although brokers give them a meaning: when a transaction is first asked for, in which
/// light queues a message lies besides its own, and such (those that Java's `MessageConst.STRING_HASH_SET` has not).
const FREE: [&str; 9] = [
    name::CHECK_IMMUNITY_TIME_IN_SECONDS,
    name::INNER_BASE,
    name::INNER_MULTI_DISPATCH,
    name::INNER_NUM,
    name::REDIRECT,
    name::SHARDING_KEY,
    name::TRACE_CONTEXT,
    name::TRANSACTION_CHECK_TIMES,
    name::TRANSACTION_ID,
];

fn is_system_name(property: &str) -> bool {
    name::ALL.contains(&property) && !FREE.contains(&property)
}

/// A received message. Cheap to clone.
///
/// Prints as Java's `MessageExt` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    ext: Arc<MessageExt>,
}

impl MessageView {
    pub(crate) fn new(ext: MessageExt) -> MessageView {
        MessageView { ext: Arc::new(ext) }
    }

    /// Sets a property; copies the message if somebody else holds it, too.
    pub(crate) fn ext_mut(&mut self) -> &mut MessageExt {
        Arc::make_mut(&mut self.ext)
    }

    /// The topic; of a message consumed again the one it was first sent to.
    pub fn topic(&self) -> &str {
        &self.ext.topic
    }

    /// The body, decompressed.
    pub fn body(&self) -> &Bytes {
        &self.ext.body
    }

    /// The id that the producer gave the message; the offset message id when the producer gave none.
    pub fn message_id(&self) -> &str {
        self.ext.unique_key().unwrap_or(&self.ext.msg_id)
    }

    /// The id that says where the message lies.
    pub fn offset_message_id(&self) -> &str {
        &self.ext.msg_id
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.ext.tags()
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.ext.keys().unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.ext.property(name)
    }

    /// The queue the message was read from, with the topic it lies in.
    pub fn queue_id(&self) -> i32 {
        self.ext.queue_id
    }

    /// Units from the start of the queue.
    pub fn queue_offset(&self) -> i64 {
        self.ext.queue_offset
    }

    /// How often the message was delivered before.
    pub fn reconsume_times(&self) -> i32 {
        self.ext.reconsume_times
    }

    /// Everything that the broker told.
    pub fn ext(&self) -> &MessageExt {
        &self.ext
    }
}

impl fmt::Display for MessageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ext.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: Message) -> String {
        message.check(BODY_BYTES_MAX).unwrap_err().to_string()
    }

    #[test]
    fn what_a_broker_would_refuse_is_refused_before() {
        assert_eq!(refused(Message::new("T", "")), "the message body length is zero");
        assert_eq!(
            refused(Message::new("T", vec![0; BODY_BYTES_MAX + 1])),
            "the message body size over max value, MAX: 4194304; it has 4194305 bytes: send it in parts, or keep it \
             elsewhere and send where it is"
        );
        assert_eq!(
            refused(Message::new("T", "x").property("KEYS", "k")),
            "The Property<KEYS> is used by system, input another please"
        );
        assert_eq!(
            refused(Message::new("T", "x").property("a\u{1}", "k")),
            "property \"a\\u{1}\" holds one of the characters 1 and 2"
        );
        let asked_for_late = Message::new("T", "x").property("CHECK_IMMUNITY_TIME_IN_SECONDS", "60");
        assert!(asked_for_late.check(BODY_BYTES_MAX).is_ok());
        assert!(Message::new("T", "x").property("a", " ").check(BODY_BYTES_MAX).is_err());
        assert!(Message::new("T", "x").tag("").check(BODY_BYTES_MAX).is_err());
        assert!(Message::new("T", "x").tag("A").key("k").property("a", "b").check(BODY_BYTES_MAX).is_ok());
    }

    #[test]
    fn delays_are_the_properties_of_java() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let message = Message::new("T", "x").delay_level(3).deliver_after(Duration::from_secs(2)).deliver_at(at);
        assert_eq!(message.get("DELAY"), Some("3"));
        assert_eq!(message.get("TIMER_DELAY_MS"), Some("2000"));
        assert_eq!(message.get("TIMER_DELIVER_MS"), Some("1700000000000"));
        assert!(message.is_delayed() && message.check(BODY_BYTES_MAX).is_ok());
        assert!(Message::new("T", "x").wait_for_store(false).property_text("I").unwrap().contains("WAIT\u{1}false"));
    }

    #[test]
    fn properties_are_written_once_each() {
        let message = Message::new("T", "x").tag("A").tag("B").key("k1").key("k2");
        let text = message.property_text("ID").unwrap();
        assert_eq!(text, "UNIQ_KEY\u{1}ID\u{2}WAIT\u{1}true\u{2}TAGS\u{1}B\u{2}KEYS\u{1}k1 k2\u{2}");
        let long = Message::new("T", "x").property("a", "b".repeat(40_000));
        assert_eq!(long.property_text("ID").unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
