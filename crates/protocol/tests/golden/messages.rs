//! Records of the commit log, batches, properties and ids.

use std::net::SocketAddr;

use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::batch::{self, InnerMessage};
use raptormq_protocol::message::compress::Compression;

use raptormq_protocol::message::id::{Month, OffsetMessageId, UniqueIdGenerator};
use raptormq_protocol::message::properties::{self, Properties};
use raptormq_protocol::message::record::{self, Place, RecordParts, RecordView};

use crate::{Vector, hex};

const BODY_BYTES_MAX: usize = 1 << 20;

fn host(vector: &Vector, field: &str) -> SocketAddr {
    vector.text(field).parse().unwrap()
}

#[test]
fn records_are_read_as_java_reads_them_and_written_byte_for_byte() {
    for vector in Vector::named("messages.json", "record") {
        let name = vector.name();
        let java = vector.bytes("hex");
        let view = RecordView::parse(&java).unwrap();
        assert_eq!(view.topic, vector.text("topic"), "{name}");
        assert_eq!(view.queue_id, vector.int("queueId"), "{name}");
        assert_eq!(view.flag, vector.int("flag"), "{name}");
        assert_eq!(view.queue_offset, vector.number("queueOffset"), "{name}");
        assert_eq!(view.log_offset, vector.number("commitLogOffset"), "{name}");
        assert_eq!(view.sys_flag, vector.int("sysFlag"), "{name}");
        assert_eq!(view.born_timestamp_ms, vector.number("bornTimestamp"), "{name}");
        assert_eq!(view.store_timestamp_ms, vector.number("storeTimestamp"), "{name}");
        assert_eq!(view.born_host, host(&vector, "bornHost"), "{name}");
        assert_eq!(view.store_host, host(&vector, "storeHost"), "{name}");
        assert_eq!(view.reconsume_times, vector.int("reconsumeTimes"), "{name}");
        assert_eq!(view.prepared_transaction_offset, vector.number("preparedTransactionOffset"), "{name}");
        assert_eq!(view.body_crc, vector.int("bodyCRC"), "{name}");
        assert!(view.crc_matches(), "{name}");
        assert_eq!(view.body, vector.bytes("storedBody"), "{name}");
        assert_eq!(view.properties(), vector.text("propertiesString"), "{name}");

        let parts = RecordParts {
            topic: view.topic,
            queue_id: view.queue_id,
            flag: view.flag,
            sys_flag: view.sys_flag,
            born_timestamp_ms: view.born_timestamp_ms,
            born_host: view.born_host,
            store_host: view.store_host,
            reconsume_times: view.reconsume_times,
            prepared_transaction_offset: view.prepared_transaction_offset,
            body: view.body,
            properties: &[vector.text("propertiesString")],
        };
        let mut ours = Vec::new();
        record::encode(&parts, &mut ours).unwrap();
        let place = Place {
            queue_offset: view.queue_offset,
            log_offset: view.log_offset,
            store_timestamp_ms: view.store_timestamp_ms,
        };
        record::patch(&mut ours, &place);
        assert!(ours == java, "{name}\n{}\n{}", ours.escape_ascii(), java.escape_ascii());
    }
}

#[test]
fn clients_get_and_print_the_message_that_java_clients_get_and_print() {
    for vector in Vector::named("messages.json", "record") {
        let name = vector.name();
        let (mut message, size) = MessageExt::decode(&vector.bytes("hex"), BODY_BYTES_MAX).unwrap();
        assert_eq!(size as i64, vector.number("storeSize"), "{name}");
        assert_eq!(message.body, vector.bytes("body"), "{name}");
        assert_eq!(message.msg_id, vector.text("msgId"), "{name}");
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut properties: Vec<(String, String)> = message.properties.iter().map(owned).collect();
        properties.sort();
        assert_eq!(properties, vector.pairs("properties"), "{name}");
        message.broker_name = "broker-a".to_owned();
        assert_eq!(message.to_string(), vector.text("toString"), "{name}");
    }
}

#[test]
fn what_a_java_client_encodes_is_the_message_it_decoded() {
    // Its properties come in the order of a hash table, so bytes are not compared.
    for vector in Vector::named("messages.json", "client-encoded") {
        let (mut message, _) = MessageExt::decode(&vector.bytes("hex"), BODY_BYTES_MAX).unwrap();
        message.broker_name = "broker-a".to_owned();
        assert_eq!(message.to_string(), vector.text("toString"), "{}", vector.name());
    }
}

#[test]
fn every_compression_of_java_was_recorded() {
    for (kind, compression) in [("LZ4", Compression::Lz4), ("ZSTD", Compression::Zstd), ("ZLIB", Compression::Zlib)] {
        let name = format!("record/compressed-{kind}");
        let vector = Vector::named("messages.json", "record").into_iter().find(|v| v.name() == name).unwrap();
        assert_eq!(Compression::of(vector.int("sysFlag")).unwrap(), Some(compression));
        assert_eq!(vector.bytes("body"), "RocketMQ ".repeat(100).as_bytes());
    }
}

#[test]
fn batches_are_read_and_written_byte_for_byte() {
    for vector in Vector::named("messages.json", "batch") {
        let java = vector.bytes("hex");
        let read: Vec<InnerMessage<'_>> = batch::decode(&java).map(Result::unwrap).collect();
        let wanted = vector.0["messages"].as_array().unwrap();
        assert_eq!(read.len(), wanted.len());
        let mut ours = Vec::new();
        for (message, wanted) in read.iter().zip(wanted) {
            assert_eq!(i64::from(message.flag), wanted["flag"].as_i64().unwrap());
            assert_eq!(message.body, hex(wanted["body"].as_str().unwrap()));
            assert_eq!(message.properties, wanted["properties"].as_str().unwrap());
            batch::encode(message, &mut ours).unwrap();
        }
        assert_eq!(ours, java);
    }
}

#[test]
fn property_texts_mean_what_they_mean_to_java() {
    for vector in Vector::named("messages.json", "properties") {
        let text = vector.text("text");
        let wanted = vector.pairs("properties");
        for (name, value) in &wanted {
            let last = Properties(text).iter().filter(|(known, _)| known == name).last();
            assert_eq!(last, Some((name.as_str(), value.as_str())), "{text:?}");
        }
        assert!(Properties(text).iter().all(|(name, _)| wanted.iter().any(|(known, _)| known == name)), "{text:?}");
        let written = properties::encode(wanted.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(written, vector.text("written"), "{text:?}");
    }
}

#[test]
fn ids_are_read_and_written_as_java_does() {
    for vector in Vector::named("messages.json", "offset-id") {
        let id: OffsetMessageId = vector.text("id").parse().unwrap();
        assert_eq!(id.store_host, host(&vector, "host"));
        assert_eq!(id.log_offset, vector.number("offset"));
        assert_eq!(id.to_string(), vector.text("id"));
    }
    for vector in Vector::named("messages.json", "unique-id") {
        let since_month = vector.number("sinceMonth");
        let generator = UniqueIdGenerator::new(
            vector.text("ip").parse().unwrap(),
            u32::try_from(vector.number("pid")).unwrap(),
            0x251A_69D7,
            |_| Month { start_ms: 1_000_000, next_ms: i64::MAX },
        );
        // The recorded id is the second of its process.
        generator.next(1_000_000);
        assert_eq!(generator.next(1_000_000 + since_month), vector.text("id"));
    }
}

#[test]
fn a_queue_is_printed_as_java_prints_it() {
    for vector in Vector::named("messages.json", "MessageQueue") {
        let queue = MessageQueue { broker_name: "broker-a".to_owned(), queue_id: 2, topic: "TopicTest".to_owned() };
        assert_eq!(queue.to_string(), vector.text("toString"));
    }
}
