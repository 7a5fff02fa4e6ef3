//! Records of the commit log: what recovery, readers and clients parse.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::record::{self, Place, RecordParts, RecordView};

const BODY_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let _whatever = MessageExt::decode_all(data, BODY_BYTES_MAX)
        .map(|messages| messages.iter().map(|message| message.to_string().len()).sum::<usize>());
    let Ok(view) = RecordView::parse(data) else { return };
    let Ok(properties) = std::str::from_utf8(view.properties_bytes) else { return };
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
        properties: &[properties],
    };
    let mut again = Vec::new();
    if record::encode(&parts, &mut again).is_err() {
        return;
    }
    let place = Place {
        queue_offset: view.queue_offset,
        log_offset: view.log_offset,
        store_timestamp_ms: view.store_timestamp_ms,
    };
    record::patch(&mut again, &place);
    let read = RecordView::parse(&again).expect("what we write is read");
    assert_eq!((read.topic, read.body, read.properties_bytes), (view.topic, view.body, view.properties_bytes));
    assert_eq!((read.born_host, read.store_host), (view.born_host, view.store_host));
    assert_eq!((read.queue_offset, read.log_offset), (view.queue_offset, view.log_offset));
    assert!(read.crc_matches());
});
