//! Single messages: by the log offset in their id (33), by key (12); units of queues (321).
//! Java: `processor/QueryMessageProcessor.java`, `processor/AdminBrokerProcessor.java`.

use bytes::Bytes;
use raptormq_protocol::body::{ConsumeQueueData, QueryConsumeQueueResponseBody};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    QueryConsumeQueueRequestHeader, QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader,
};
use raptormq_protocol::message::properties::{Properties, name};
use raptormq_protocol::message::record::RecordView;

use raptormq_remoting::Output;
use raptormq_store::Unit;

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::failure::Failure;
use crate::handle::offset;

/// Most units that one answer has.
const UNITS_MAX: usize = 1 << 15;

/// Set to `true` by who asks for one message by its unique key. Java: `MixAll.UNIQUE_MSG_QUERY_FLAG`.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";

/// VIEW_MESSAGE_BY_ID (33).
pub(crate) fn view_message(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ViewMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let log_offset = header.offset;
    Ok(call.answer_later(&broker.readers.queries, move |broker| match broker.store.record_at(log_offset) {
        Some(record) => Ok(move |to, out: &mut Output| dispatch::write_body(record, to, out)),
        None => Err(Failure::system(format!("can not find message by the offset, {log_offset}"))),
    }))
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
    let (topic, key) = (header.topic.to_owned(), header.key.to_owned());
    Ok(call.answer_later(&broker.readers.queries, move |broker| {
        let found = broker.store.query(&topic, &key, count_max, times).map_err(offset::disk_failure)?;
        let matching = found.records.into_iter().filter(|record| has_key(record, &topic, &key));
        let records: Vec<Bytes> = matching.collect();
        if records.is_empty() {
            let remark = "can not find message, maybe time range not correct";
            return Err(Failure::new(ResponseCode::QUERY_NOT_FOUND, remark));
        }
        let answer = QueryMessageResponseHeader {
            index_last_update_timestamp: found.index_last_update_timestamp_ms,
            index_last_update_phyoffset: found.index_last_update_log_offset,
        };
        Ok(move |to, out: &mut Output| dispatch::write_slices(&answer, records, to, out))
    }))
}

/// QUERY_CONSUME_QUEUE (321): units of a queue from an offset on, as they stand in its files.
pub(crate) fn query_consume_queue(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryConsumeQueueRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let (topic, queue_id, from) = (header.topic.unwrap_or_default(), header.queue_id.unwrap_or(0), header.index);
    let from = from.unwrap_or(0);
    let queue = broker.store.queue(topic, queue_id);
    let Some(queue) = queue.filter(|queue| (queue.min_offset()..queue.max_offset()).contains(&from)) else {
        let remark = format!("Index {from} of {queue_id}@{topic} is not exist!");
        call.out.respond(call.request, ResponseCode::SUCCESS, Some(&remark));
        return Ok(Reply::Done);
    };
    let mut body = QueryConsumeQueueResponseBody {
        min_queue_index: queue.min_offset(),
        max_queue_index: queue.max_offset(),
        ..QueryConsumeQueueResponseBody::default()
    };
    if let Some(group) = header.consumer_group {
        let subscription = broker.clients.consumer_group(group).and_then(|members| members.subscription(topic));
        body.filter_data = Some(match &subscription {
            // Filters by tags are not kept.
            Some(_) => "null".to_owned(),
            None => format!("{group}@{topic} is not online!"),
        });
        body.subscription_data = subscription.map(|subscription| subscription.data.clone());
    }
    let count = usize::try_from(header.count.unwrap_or(0)).unwrap_or(0).min(UNITS_MAX);
    Ok(call.json_later(&broker.readers.queries, move |broker| {
        let units = broker.store.units(&queue, from, count).map_err(offset::disk_failure)?;
        body.queue_data = Some(units.iter().map(queue_data).collect());
        Ok(body)
    }))
}

fn queue_data(unit: &Unit) -> ConsumeQueueData {
    ConsumeQueueData {
        physic_offset: unit.log_offset,
        physic_size: unit.size,
        tags_code: unit.tags_code,
        ..ConsumeQueueData::default()
    }
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
