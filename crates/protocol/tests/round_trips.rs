//! What is written is read back, for any content; and nothing that is read makes a decoder panic.

#![allow(clippy::unwrap_used, reason = "all of this is test code, helpers included")]

use std::collections::BTreeMap;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use raptormq_protocol::body::{DataVersion, MessageQueue, RegisterBrokerBody, ResetOffsetBody, TopicConfig};
use raptormq_protocol::command::{Command, CommandWriter, Head, Language, Version};
use raptormq_protocol::frame::{self, Serialization};
use raptormq_protocol::header::{FieldSink, FieldValue};
use raptormq_protocol::heartbeat::{ConsumerData, HeartbeatData, SubscriptionData};
use raptormq_protocol::json;
use raptormq_protocol::message::properties::{self, Properties};
use raptormq_protocol::route::BrokerData;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const FRAME_BYTES_MAX: usize = 16 << 20;

/// JSON trees without null members, which are not read back by design.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // serde_json may read the last digit of extreme doubles differently; rates and averages are not like that.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// All three styles are read back to the value.
fn all_styles<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    for text in [json::to_vec(value), json::to_vec_strict(value), json::to_pretty(value)] {
        let text = text.unwrap();
        prop_assert_eq!(&json::from_slice::<T>(&text).unwrap(), value, "{}", String::from_utf8_lossy(&text));
    }
    Ok(())
}

fn subscription() -> impl Strategy<Value = SubscriptionData> {
    (any::<String>(), any::<String>(), any::<i64>(), btree_set(any::<i32>(), 0..4), btree_set(any::<String>(), 0..4))
        .prop_map(|(topic, sub_string, sub_version, code_set, tags_set)| SubscriptionData {
            topic,
            sub_string,
            sub_version,
            code_set,
            tags_set,
            ..SubscriptionData::default()
        })
}

fn topic() -> impl Strategy<Value = TopicConfig> {
    ("[^ ]{1,20}", any::<i32>(), any::<i32>(), btree_map(any::<String>(), any::<String>(), 0..3)).prop_map(
        |(topic_name, perm, read_queue_nums, attributes)| TopicConfig {
            topic_name,
            perm,
            read_queue_nums,
            attributes,
            ..TopicConfig::default()
        },
    )
}

fn serialization() -> impl Strategy<Value = Serialization> {
    prop_oneof![Just(Serialization::Json), Just(Serialization::Rocketmq)]
}

proptest! {
    #[test]
    fn json_trees(value in tree()) {
        for text in [json::to_vec(&value), json::to_vec_strict(&value), json::to_pretty(&value)] {
            prop_assert_eq!(&json::parse_value(&text.unwrap()).unwrap(), &value);
        }
    }

    #[test]
    fn bodies_with_integer_and_object_keys(
        addresses in btree_map(any::<i64>(), any::<String>(), 0..4),
        queues in btree_map((any::<String>(), any::<String>(), any::<i32>()), any::<i64>(), 0..4),
    ) {
        all_styles(&BrokerData { broker_addrs: addresses, ..BrokerData::default() })?;
        let offset_table: BTreeMap<MessageQueue, i64> = queues
            .into_iter()
            .map(|((topic, broker_name, queue_id), offset)| (MessageQueue { topic, broker_name, queue_id }, offset))
            .collect();
        all_styles(&ResetOffsetBody { offset_table })?;
    }

    #[test]
    fn heartbeats(client_id in any::<String>(), subscriptions in vec(subscription(), 0..4)) {
        let consumer = ConsumerData { subscription_data_set: subscriptions, ..ConsumerData::default() };
        all_styles(&HeartbeatData { client_id, consumer_data_set: vec![consumer], ..HeartbeatData::default() })?;
    }

    #[test]
    fn register_bodies(topics in vec(topic(), 0..8), counter in any::<i64>()) {
        let mut body = RegisterBrokerBody::default();
        body.topic_config_serialize_wrapper.data_version = DataVersion { counter, ..DataVersion::default() };
        for topic in topics {
            body.topic_config_serialize_wrapper.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        for bytes in [body.encode().unwrap(), body.encode_compressed().unwrap()] {
            prop_assert_eq!(&RegisterBrokerBody::decode(&bytes, Version::CURRENT).unwrap(), &body);
        }
    }

    /// Text made of JSON's own pieces comes closer to the reader's corners than any bytes do.
    #[test]
    fn almost_json_never_panics_and_standard_json_means_what_it_says(
        pieces in vec(prop_oneof![
            "[{}\\[\\]:,\"'/*\\\\ \n0-9a-fux.+-]",
            Just("null".to_owned()), Just("true".to_owned()), Just("{\"a\":".to_owned()), Just("{{".to_owned()),
            Just("\\u".to_owned()), Just("ud83d".to_owned()), Just("\"k\":1,".to_owned()), Just("'s'".to_owned()),
        ], 0..40),
    ) {
        let text = pieces.concat();
        let ours = json::parse_value(text.as_bytes());
        if let Ok(mut standard) = serde_json::from_str::<Value>(&text) {
            without_nulls(&mut standard);
            prop_assert_eq!(ours.unwrap(), standard);
        }
        let _whatever = json::from_slice::<HeartbeatData>(text.as_bytes());
    }

    #[test]
    fn bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _whatever = json::parse_value(&bytes);
        let _whatever = RegisterBrokerBody::decode(&bytes, Version::CURRENT);
        if let Ok(Some(frame)) = frame::split(&bytes, FRAME_BYTES_MAX) {
            let _whatever = Command::decode(&bytes, &frame, &mut Vec::new()).is_ok();
        }
    }

    /// The binary form has 16 bits for code and version, and no empty texts.
    #[test]
    fn commands(
        serialization in serialization(),
        code in any::<i16>(),
        (flag, opaque, version) in (any::<i32>(), any::<i32>(), any::<i16>()),
        language in 0_u8..14,
        remark in proptest::option::of(".{1,30}"),
        fields in btree_map(".{1,10}", ".{1,30}", 0..12),
        body in vec(any::<u8>(), 0..50),
    ) {
        let mut bytes = Vec::new();
        let head = Head {
            code: code.into(),
            flag,
            language: Language(language),
            opaque,
            remark: remark.as_deref(),
            version: Version(version.into()),
        };
        let mut writer = CommandWriter::new(&mut bytes, serialization, head);
        for (key, value) in &fields {
            writer.field(key, FieldValue::Text(value));
        }
        writer.finish(&body);
        let frame = frame::split(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        prop_assert_eq!(frame.len(), bytes.len());
        let mut scratch = Vec::new();
        let read = Command::decode(&bytes, &frame, &mut scratch).unwrap();
        prop_assert_eq!(
            (read.code, read.flag, read.opaque, read.version),
            (i32::from(code), flag, opaque, Version(version.into()))
        );
        prop_assert_eq!(read.language, Language(language));
        prop_assert_eq!(read.remark, remark.as_deref());
        prop_assert_eq!(read.body, body);
        let pairs: BTreeMap<String, String> =
            read.fields.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(pairs, fields);
    }

    #[test]
    fn message_properties(pairs in btree_map("[^\u{1}\u{2}]{1,10}", "[^\u{1}\u{2}]{1,10}", 0..10)) {
        let text = properties::encode(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let read: BTreeMap<String, String> =
            Properties(&text).iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(read, pairs);
        // Older clients leave the last separator out.
        if let Some(shorter) = text.strip_suffix('\u{2}') {
            prop_assert!(Properties(shorter).iter().eq(Properties(&text).iter()));
        }
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
