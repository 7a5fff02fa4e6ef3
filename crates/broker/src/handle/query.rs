//! Single messages: by the log offset in their id (33), by key (12).
//! Java: `processor/QueryMessageProcessor.java`.

use bytes::Bytes;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader};
use raptormq_protocol::message::properties::{Properties, name};
use raptormq_protocol::message::record::RecordView;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::handle::offset;

/// Set to `true` by who asks for one message by its unique key. Java: `MixAll.UNIQUE_MSG_QUERY_FLAG`.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";

/// VIEW_MESSAGE_BY_ID (33).
pub(crate) fn view_message(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ViewMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    match broker.store.record_at(header.offset) {
        Some(record) => Ok(call.success_body(record)),
        None => Err(Failure::system(format!("can not find message by the offset, {}", header.offset))),
    }
}

/// QUERY_MESSAGE (12).
pub(crate) fn query_message(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let count_max = match call.request.fields.get(UNIQUE_KEY_QUERY) {
        Some("true") => broker.settings().store.default_query_max_num as usize,
        _ => usize::try_from(header.max_num).unwrap_or(0),
    };
    let times = header.begin_timestamp..=header.end_timestamp;
    let found = broker.store.query(header.topic, header.key, count_max, times).map_err(offset::disk_failure)?;
    let matching = found.records.into_iter().filter(|record| has_key(record, header.topic, header.key));
    let records: Vec<Bytes> = matching.collect();
    if records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        return Err(Failure::new(ResponseCode::QUERY_NOT_FOUND, remark));
    }
    let answer = QueryMessageResponseHeader {
        index_last_update_timestamp: found.index_last_update_timestamp_ms,
        index_last_update_phyoffset: found.index_last_update_log_offset,
    };
    Ok(call.success_slices(&answer, records))
}

/// Whether the message is the topic's and has that key; the index compares hashes only.
fn has_key(record: &[u8], topic: &str, key: &str) -> bool {
    let Ok(view) = RecordView::parse(record) else { return false };
    let text = view.properties();
    let properties = Properties(&text);
    view.topic == topic
        && (properties.get(name::UNIQ_KEY) == Some(key)
            || properties.get(name::KEYS).is_some_and(|keys| keys.split(' ').any(|own| own == key)))
}
