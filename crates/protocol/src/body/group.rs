//! Subscription groups and their table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// A consumer group's settings on one broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupConfig {
    /// Further settings.
    pub attributes: BTreeMap<String, String>,
    /// Broker id to consume from.
    pub broker_id: i64,
    /// Whether broadcasting is allowed.
    pub consume_broadcast_enable: bool,
    /// Whether the group may consume at all.
    pub consume_enable: bool,
    /// Whether it may start at a queue's beginning.
    pub consume_from_min_enable: bool,
    /// Whether it consumes in order.
    pub consume_message_orderly: bool,
    /// After how many minutes a message counts as not consumed.
    pub consume_timeout_minute: i32,
    /// The name.
    pub group_name: String,
    /// When a message comes again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_retry_policy: Option<GroupRetryPolicy>,
    /// Bits: 1 unit, 2 unit sub.
    pub group_sys_flag: i32,
    /// Whether members are told when others come and go.
    pub notify_consumer_ids_changed_enable: bool,
    /// Deliveries after the first before a message goes to the dead-letter queue.
    pub retry_max_times: i32,
    /// Queues of the group's retry topic.
    pub retry_queue_nums: i32,
    /// Subscriptions fixed by an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Vec<SimpleSubscriptionData>>,
    /// Broker id to consume from when the master is behind.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        SubscriptionGroupConfig {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: Some(GroupRetryPolicy::default()),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// A subscription fixed by an administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SimpleSubscriptionData {
    /// The expression; `*` for all.
    pub expression: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// The topic.
    pub topic: String,
    /// When it was made, in ms since 1970.
    pub version: i64,
}

/// When a message that was not consumed comes again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupRetryPolicy {
    /// The times of [`GroupRetryPolicyType::Customized`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// The times of [`GroupRetryPolicyType::Exponential`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// Which of the two holds.
    #[serde(rename = "type")]
    pub policy_type: GroupRetryPolicyType,
}

/// How the time to the next delivery is found. The variants stand in Java's order, because ordinals are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GroupRetryPolicyType {
    /// By multiplication.
    Exponential,
    /// From a list.
    #[default]
    Customized,
    /// A name this release does not know; treated as [`GroupRetryPolicyType::Customized`].
    #[serde(other)]
    Unknown,
}

/// Times to the next deliveries from a list; the last one holds for all further ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CustomizedRetryPolicy {
    /// Milliseconds.
    pub next: Vec<i64>,
}

impl Default for CustomizedRetryPolicy {
    /// The default delay levels of a broker: 1 s to 2 h.
    fn default() -> Self {
        const SECONDS: [i64; 18] =
            [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];
        CustomizedRetryPolicy { next: SECONDS.map(|seconds| seconds * 1000).to_vec() }
    }
}

/// Times to the next deliveries by multiplication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExponentialRetryPolicy {
    /// First time, in ms.
    pub initial: i64,
    /// Longest time, in ms.
    pub max: i64,
    /// Factor from each to the next.
    pub multiplier: i64,
}

impl Default for ExponentialRetryPolicy {
    fn default() -> Self {
        ExponentialRetryPolicy { initial: 5000, max: 7_200_000, multiplier: 2 }
    }
}

/// All subscription groups of a broker: `subscriptionGroup.json`, and the answer to
/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Group to topic to a bit set of what is forbidden; not sent by 5.3.3, but in its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbidden_table: Option<BTreeMap<String, BTreeMap<String, i32>>>,
    /// Group name to group.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Several groups to create: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// Whether a group may read a topic: answer to UPDATE_AND_GET_GROUP_FORBIDDEN (353).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupForbidden {
    /// The group.
    pub group: String,
    /// Whether reading is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<bool>,
    /// The topic.
    pub topic: String,
}

/// Group names: answer to QUERY_TOPIC_CONSUME_BY_WHO (300).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupList {
    /// The names.
    pub group_list: Vec<String>,
}
