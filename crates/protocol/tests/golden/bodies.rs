//! JSON bodies: what Java writes is read without loss and written with the same bytes.

use raptormq_protocol::body::{self, RegisterBrokerBody};
use raptormq_protocol::command::Version;
use raptormq_protocol::{heartbeat, json, route};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Vector;

/// Runs `round_trip` with the type of that name.
macro_rules! body_named {
    ($name:expr, $vector:expr, { $($module:ident: $($body:ident)*;)* }) => {
        match $name {
            $($(stringify!($body) => round_trip::<$module::$body>($vector),)*)*
            other => panic!("{other} has vectors but no type"),
        }
    };
}

#[test]
fn bodies_are_read_without_loss_and_written_byte_for_byte() {
    for vector in Vector::all("bodies.json") {
        if vector.text("type") == "compressed" {
            continue;
        }
        body_named!(vector.text("type"), &vector, {
            body:
                TopicConfig DataVersion TopicConfigSerializeWrapper TopicConfigAndMappingSerializeWrapper
                RegisterBrokerBody TopicConfigAndQueueMapping CreateTopicListRequestBody TopicList KVTable
                BrokerMemberGroup GetBrokerMemberGroupResponseBody SubscriptionGroupConfig SubscriptionGroupWrapper
                SubscriptionGroupList GroupRetryPolicy CustomizedRetryPolicy ExponentialRetryPolicy
                SimpleSubscriptionData GroupForbidden GroupList MessageQueue LockBatchRequestBody
                LockBatchResponseBody UnlockBatchRequestBody QueryAssignmentRequestBody QueryAssignmentResponseBody
                MessageQueueAssignment SetMessageRequestModeRequestBody MessageRequestModeSerializeWrapper
                ConsumerOffsetSerializeWrapper QueryCorrectionOffsetBody TopicStatsTable TopicOffset ConsumeStats
                OffsetWrapper ConsumeStatsList ResetOffsetBody ResetOffsetBodyForC GetConsumerStatusBody
                GetConsumerListByGroupResponseBody CheckClientRequestBody Connection ConsumerConnection
                ProducerConnection ProducerTableInfo ProducerInfo QuerySubscriptionResponseBody ConsumerRunningInfo
                ProcessQueueInfo PopProcessQueueInfo ConsumeStatus ConsumeMessageDirectlyResult BrokerStatsData
                BrokerStatsItem QueryConsumeTimeSpanBody QueueTimeSpan QueryConsumeQueueResponseBody
                ConsumeQueueData;
            heartbeat: HeartbeatData ProducerData ConsumerData SubscriptionData;
            route:
                TopicRouteData BrokerData QueueData ClusterInfo TopicQueueMappingInfo TopicQueueMappingDetail
                LogicQueueMappingItem;
        });
    }
}

/// Every field of a recorded body has a value that is not the default, so the same bytes mean that none was forgotten.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(vector: &Vector) {
    let name = vector.name();
    let read: T = json::from_slice(vector.text("loose").as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    for form in ["strict", "pretty"] {
        let again: T = json::from_slice(vector.text(form).as_bytes()).unwrap_or_else(|e| panic!("{name}: {form}: {e}"));
        assert_eq!(again, read, "{name}: {form}");
    }
    let written = [
        ("loose", json::to_vec(&read).unwrap()),
        ("strict", json::to_vec_strict(&read).unwrap()),
        ("pretty", json::to_pretty(&read).unwrap()),
    ];
    for (form, ours) in written {
        let ours = without_old_name(&String::from_utf8(ours).unwrap());
        let java = vector.text(form);
        if is_only_equal_in_content(form, java) {
            assert_eq!(content(&ours), content(java), "{name}: {form}");
        } else {
            assert_eq!(ours, java, "{name}: {form}");
        }
    }
}

/// Two things differ in bytes on purpose: Java adds times as text, and breaks lines in lists but not in sets.
fn is_only_equal_in_content(form: &str, java: &str) -> bool {
    java.contains("TimeStampStr") || (form == "pretty" && java.contains("[\n"))
}

fn content(text: &str) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, _| !name.ends_with("TimeStampStr"));
                members.values_mut().for_each(strip);
            }
            Value::Array(elements) => elements.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = json::parse_value(text.as_bytes()).unwrap();
    strip(&mut value);
    value
}

/// Our routes carry `topicSynFlag`, for clients up to 4.8; current Java does not.
fn without_old_name(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("\"topicSynFlag\":") {
        out.push_str(before);
        let end = after.find('"').unwrap();
        rest = &after[end..];
    }
    out + rest
}

#[test]
fn the_compressed_register_body_of_java_is_read_and_ours_says_the_same() {
    for vector in Vector::named("bodies.json", "RegisterBrokerBody-compressed") {
        let read = RegisterBrokerBody::decode(&vector.bytes("hex"), Version::CURRENT).unwrap();
        let mut wanted: RegisterBrokerBody = json::from_slice(vector.text("loose").as_bytes()).unwrap();
        // The stream has no version of the mappings; Java makes one up.
        wanted.topic_config_serialize_wrapper.mapping_data_version = Default::default();
        assert_eq!(read, wanted);
        // Compressors differ in bytes, so ours is compared after reading.
        let ours = read.encode_compressed().unwrap();
        assert_eq!(RegisterBrokerBody::decode(&ours, Version::CURRENT).unwrap(), wanted);
    }
}
