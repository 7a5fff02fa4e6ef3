//! What one send and one answer cost in the codec: `cargo bench -p raptormq-protocol`.

use divan::{Bencher, black_box};
use raptormq_protocol::command::{Command, CommandWriter, Head};
use raptormq_protocol::frame::{self, Serialization};
use raptormq_protocol::header::{FieldSink, FieldValue, SendMessageRequestHeaderV2, SendMessageResponseHeader};

fn main() {
    divan::main();
}

/// A send as the Java client writes it: 1 KiB of body, four properties.
fn send(serialization: Serialization) -> Vec<u8> {
    let header = SendMessageRequestHeaderV2 {
        producer_group: "please_rename_unique_group_name",
        topic: "TopicTest",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 3,
        born_timestamp: 1_763_000_000_000,
        properties: Some(
            "KEYS\u{1}order-42\u{2}UNIQ_KEY\u{1}7F0000010B2C18B4AAC2000000000000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}",
        ),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(false),
        broker_name: Some("broker-a"),
        ..Default::default()
    };
    let mut out = Vec::new();
    CommandWriter::new(&mut out, serialization, Head::request(310, 4711)).header(&header).finish(&[b'x'; 1024]);
    out
}

#[divan::bench(args = [Serialization::Json, Serialization::Rocketmq])]
fn decode_send(bencher: Bencher<'_, '_>, serialization: Serialization) {
    let bytes = send(serialization);
    let frame = frame::split(&bytes, frame::FRAME_BYTES_MAX).expect("a frame").expect("a whole frame");
    let mut scratch = Vec::new();
    bencher.bench_local(move || {
        let command = Command::decode(&bytes, &frame, &mut scratch).expect("a command");
        let header: SendMessageRequestHeaderV2<'_> = command.header().expect("a header");
        black_box((header.topic.len(), header.queue_id, command.body.len()))
    });
}

#[divan::bench(args = [Serialization::Json, Serialization::Rocketmq])]
fn encode_send_answer(bencher: Bencher<'_, '_>, serialization: Serialization) {
    let mut out = Vec::with_capacity(1024);
    bencher.bench_local(move || {
        out.clear();
        let header = SendMessageResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id: 3,
            queue_offset: 123_456,
            transaction_id: Some("7F0000010B2C18B4AAC2000000000000"),
            ..Default::default()
        };
        let mut writer = CommandWriter::new(&mut out, serialization, Head::response(0, 4711, None)).header(&header);
        writer.field("MSG_REGION", FieldValue::Text("DefaultRegion"));
        writer.field("TRACE_ON", FieldValue::Text("true"));
        writer.finish(&[]);
        black_box(out.len())
    });
}
