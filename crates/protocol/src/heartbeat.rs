//! What clients say of themselves: the body of HEART_BEAT (34), and subscriptions.
//!
//! Mirrors `remoting/protocol/heartbeat/*.java` and `remoting/protocol/filter/FilterAPI.java`. Fields that a peer leaves
//! out have Java's defaults, with one difference: Java sets `subVersion` to the current time, here it is 0, because this
//! crate has no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::hash::java_hash;

/// A client's producer and consumer groups, sent to every broker it knows each 30 s and at every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeartbeatData {
    /// `address@instance`, unique in a cluster.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// One entry a consumer group that lives in the client.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of the subscriptions, or 0 from clients before 5.1.
    pub heartbeat_fingerprint: i32,
    /// One entry a producer group that lives in the client.
    pub producer_data_set: Vec<ProducerData>,
    /// Whether the subscriptions were left out because the fingerprint did not change.
    pub without_sub: bool,
}

/// A producer group in a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerData {
    /// The group's name.
    pub group_name: String,
}

/// A consumer group in a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerData {
    /// Where a group without offsets starts.
    #[serde(skip_serializing_if = "ConsumeFromWhere::is_unknown")]
    pub consume_from_where: ConsumeFromWhere,
    /// How messages come to the client.
    #[serde(skip_serializing_if = "ConsumeType::is_unknown")]
    pub consume_type: ConsumeType,
    /// The group's name.
    pub group_name: String,
    /// Whether the group's members share the queues.
    #[serde(skip_serializing_if = "MessageModel::is_unknown")]
    pub message_model: MessageModel,
    /// What the group subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Whether the client is bound to a unit of a multi-site deployment.
    pub unit_mode: bool,
}

/// How messages come to a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeType {
    /// The program pulls by itself.
    ConsumeActively,
    /// The client pulls and hands over ("push").
    ConsumePassively,
    /// The client pops.
    ConsumePop,
    /// Not said, or a name this release does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whether the members of a group share the queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    /// Every member gets every message; offsets are kept by the client.
    Broadcasting,
    /// Each message goes to one member; offsets are kept by the broker.
    Clustering,
    /// Not said, or a name this release does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where a group without a stored offset starts. The variants stand in Java's order, because ordinals are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeFromWhere {
    /// At the end of the queue.
    ConsumeFromLastOffset,
    /// Deprecated in Java; treated as [`ConsumeFromWhere::ConsumeFromLastOffset`].
    ConsumeFromLastOffsetAndFromMinWhenBootFirst,
    /// Deprecated in Java; treated as [`ConsumeFromWhere::ConsumeFromLastOffset`].
    ConsumeFromMinOffset,
    /// Deprecated in Java; treated as [`ConsumeFromWhere::ConsumeFromLastOffset`].
    ConsumeFromMaxOffset,
    /// At the beginning of the queue.
    ConsumeFromFirstOffset,
    /// At a time the client configures.
    ConsumeFromTimestamp,
    /// Not said, or a name this release does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ConsumeType {
    fn is_unknown(&self) -> bool {
        *self == ConsumeType::Unknown
    }
}

impl MessageModel {
    fn is_unknown(&self) -> bool {
        *self == MessageModel::Unknown
    }
}

impl ConsumeFromWhere {
    fn is_unknown(&self) -> bool {
        *self == ConsumeFromWhere::Unknown
    }
}

/// One topic a group subscribes to, and the filter on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionData {
    /// Whether a filter class on a filter server decides (gone since 4.x).
    pub class_filter_mode: bool,
    /// [`java_hash`] of each tag. Some clients send wrong codes here; a broker computes its own from the expression.
    pub code_set: BTreeSet<i32>,
    /// [`EXPRESSION_TAG`] or [`EXPRESSION_SQL92`].
    pub expression_type: String,
    /// The expression as the user wrote it; `*` for all.
    pub sub_string: String,
    /// When the subscription was made, in ms since 1970: the larger one wins.
    pub sub_version: i64,
    /// The tags of the expression; empty means all.
    pub tags_set: BTreeSet<String>,
    /// The topic.
    pub topic: String,
}

/// The expression type of tags separated by `||`.
pub const EXPRESSION_TAG: &str = "TAG";
/// The expression type of an SQL92 condition over properties.
pub const EXPRESSION_SQL92: &str = "SQL92";
/// The expression that lets every message through.
pub const SUBSCRIBE_ALL: &str = "*";

/// Why an expression is no subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// A tag expression made of nothing but separators.
    #[error("subString split error")]
    NoTags,
    /// Only tags may be left out: every other type needs an expression.
    #[error("Expression can't be null! {0}")]
    NoExpression(String),
}

impl Default for SubscriptionData {
    fn default() -> Self {
        SubscriptionData {
            class_filter_mode: false,
            code_set: BTreeSet::new(),
            expression_type: EXPRESSION_TAG.to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: BTreeSet::new(),
            topic: String::new(),
        }
    }
}

impl SubscriptionData {
    /// A subscription by tags: `a || b`; `*` and an empty expression mean all. `sub_version` is 0.
    ///
    /// Java: `FilterAPI.buildSubscriptionData(topic, subString)`.
    pub fn parse(topic: &str, expression: &str) -> Result<SubscriptionData, SubscriptionError> {
        let mut subscription = SubscriptionData { topic: topic.to_owned(), ..SubscriptionData::default() };
        if expression.is_empty() || expression == SUBSCRIBE_ALL {
            subscription.sub_string = SUBSCRIBE_ALL.to_owned();
            return Ok(subscription);
        }
        if expression.split("||").all(str::is_empty) {
            return Err(SubscriptionError::NoTags);
        }
        subscription.sub_string = expression.to_owned();
        for tag in expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()) {
            subscription.tags_set.insert(tag.to_owned());
            subscription.code_set.insert(java_hash(tag));
        }
        Ok(subscription)
    }

    /// A subscription of any expression type; an empty type is [`EXPRESSION_TAG`]. The text of another type is only
    /// carried, not compiled. Java: `FilterAPI.build`.
    pub fn build(topic: &str, expression: &str, expression_type: &str) -> Result<SubscriptionData, SubscriptionError> {
        if expression_type.is_empty() || expression_type == EXPRESSION_TAG {
            return SubscriptionData::parse(topic, expression);
        }
        if expression.is_empty() {
            return Err(SubscriptionError::NoExpression(expression_type.to_owned()));
        }
        Ok(SubscriptionData {
            topic: topic.to_owned(),
            sub_string: expression.to_owned(),
            expression_type: expression_type.to_owned(),
            ..SubscriptionData::default()
        })
    }

    /// Whether this is a filter by tags (also when the type was left out).
    pub fn is_tag_type(&self) -> bool {
        self.expression_type.is_empty() || self.expression_type == EXPRESSION_TAG
    }

    /// Whether every message passes.
    pub fn is_all(&self) -> bool {
        self.is_tag_type() && (self.sub_string.is_empty() || self.sub_string == SUBSCRIBE_ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn tags_are_split_trimmed_and_hashed() {
        let read = SubscriptionData::parse("T", " TagA || TagB||").unwrap();
        assert_eq!(read.tags_set, ["TagA".to_owned(), "TagB".to_owned()].into());
        assert_eq!(read.code_set, [2_598_919, 2_598_920].into());
        assert_eq!(read.sub_string, " TagA || TagB||");
        for all in ["", "*"] {
            let read = SubscriptionData::parse("T", all).unwrap();
            assert!(read.is_all() && read.tags_set.is_empty());
            assert_eq!(read.sub_string, "*");
        }
        assert_eq!(SubscriptionData::parse("T", "||"), Err(SubscriptionError::NoTags));
        assert!(SubscriptionData::build("T", "", EXPRESSION_SQL92).is_err());
        assert!(!SubscriptionData::build("T", "a > 1", EXPRESSION_SQL92).unwrap().is_all());
    }

    #[test]
    fn a_heartbeat_of_another_language_is_read() {
        // Numbers in quotes, ordinals, a null list, unknown fields: all seen from clients that are not Java.
        let text = br#"{"clientID":"10.0.0.1@9","producerDataSet":null,"consumerDataSet":[{"groupName":"g",
            "consumeType":1,"messageModel":"CLUSTERING","consumeFromWhere":"NEVER_HEARD_OF","unitMode":"0",
            "subscriptionDataSet":[{"topic":"T","subString":"*","codeSet":["0",0],"tagsSet":null,"subVersion":"17"}]}],
            "later":1}"#;
        let read: HeartbeatData = json::from_slice(text).unwrap();
        let consumer = &read.consumer_data_set[0];
        assert_eq!(consumer.consume_type, ConsumeType::ConsumePassively);
        assert_eq!(consumer.message_model, MessageModel::Clustering);
        assert_eq!(consumer.consume_from_where, ConsumeFromWhere::Unknown);
        assert_eq!(consumer.subscription_data_set[0].sub_version, 17);
        assert_eq!(consumer.subscription_data_set[0].expression_type, EXPRESSION_TAG);
        assert_eq!(consumer.subscription_data_set[0].code_set, [0].into());
    }
}
