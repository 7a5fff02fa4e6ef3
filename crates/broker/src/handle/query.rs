//! Single messages: by the log offset in their id (33), by key (12); units of queues (321).
//! Java: `processor/QueryMessageProcessor.java`, `processor/AdminBrokerProcessor.java`.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use raptormq_protocol::body::{ConsumeQueueData, QueryConsumeQueueResponseBody};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    QueryConsumeQueueRequestHeader, QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader,
};
use raptormq_protocol::json;
use raptormq_protocol::message::properties::{Properties, name};
use raptormq_protocol::message::record::RecordView;

use raptormq_remoting::Output;
use raptormq_store::{Extension, Queue, Unit};

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::failure::Failure;
use crate::filter::kept::ConsumerFilter;
use crate::filter::{Subscription, bloom};
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
    let mut asked = None;
    if let Some(group) = header.consumer_group {
        let subscription = broker.clients.consumer_group(group).and_then(|members| members.subscription(topic));
        let filter = broker.filters.get(topic, group);
        body.filter_data = Some(match (&subscription, &filter) {
            (None, _) => format!("{group}@{topic} is not online!"),
            // Filters by tags are not kept.
            (Some(_), None) => "null".to_owned(),
            (Some(_), Some(filter)) => lossy(json::to_pretty(&filter.data(group, topic)).map_err(Failure::answer)?),
        });
        body.subscription_data = subscription.as_ref().map(|subscription| subscription.data.clone());
        asked = subscription.map(|subscription| (subscription, filter));
    }
    let count = usize::try_from(header.count.unwrap_or(0)).unwrap_or(0).min(UNITS_MAX);
    Ok(call.json_later(&broker.readers.tools, move |broker| {
        let units = broker.store.units(&queue, from, count).map_err(offset::disk_failure)?;
        let of_unit = |unit: &Unit| queue_data(broker, &queue, unit, asked.as_ref());
        body.queue_data = Some(units.iter().map(of_unit).collect());
        Ok(body)
    }))
}

/// What a group asks for in a topic: its subscription, and its condition if it has one.
type Asked = (Arc<Subscription>, Option<Arc<ConsumerFilter>>);

fn queue_data(broker: &Broker, queue: &Arc<Queue>, unit: &Unit, asked: Option<&Asked>) -> ConsumeQueueData {
    let mut data = ConsumeQueueData {
        physic_offset: unit.log_offset,
        physic_size: unit.size,
        tags_code: unit.tags_code,
        ..ConsumeQueueData::default()
    };
    match broker.store.extension(queue, unit) {
        Ok(None) => {}
        Ok(Some(extension)) => {
            data.tags_code = extension.tags_code;
            data.eval = asked.is_some_and(|asked| may_want(asked, &extension));
            data.extend_data_json = json::to_vec(&ExtensionShown::new(&extension)).ok().map(lossy);
            if !extension.bit_map.is_empty() {
                data.bit_map = Some(bloom::print(&extension.bit_map));
            }
        }
        Err(error) => {
            tracing::error!(?queue, %error, "an extension of a consume queue cannot be read");
            data.msg = Some(format!("Cq extend not exist!addr: {}", unit.tags_code));
        }
    }
    data
}

/// Whether the group may want a message, as far as the extension says.
fn may_want((subscription, filter): &Asked, extension: &Extension) -> bool {
    match filter {
        _ if subscription.data.is_tag_type() => subscription.filter.matches(extension.tags_code),
        Some(filter) => filter.may_want_stored(extension),
        None => true,
    }
}

/// What tools are shown of an extension. Java: `store/ConsumeQueueExt.java`, `CqExtUnit`.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtensionShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_bit_map: Option<String>,
    msg_store_time: i64,
    size: i16,
    tags_code: i64,
}

impl ExtensionShown {
    fn new(extension: &Extension) -> ExtensionShown {
        let bit_map = &extension.bit_map;
        ExtensionShown {
            filter_bit_map: (!bit_map.is_empty()).then(|| BASE64_STANDARD.encode(bit_map)),
            msg_store_time: extension.store_timestamp_ms,
            size: extension.size,
            tags_code: extension.tags_code,
        }
    }
}

fn lossy(text: Vec<u8>) -> String {
    String::from_utf8_lossy(&text).into_owned()
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
