//! Offsets of queues (29, 30, 31, 32) and of consumers (14, 15, 43).
//! Java: `processor/ConsumerManageProcessor.java`, `processor/AdminBrokerProcessor.java`.

use std::io;
use std::sync::Arc;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader, GetMaxOffsetRequestHeader,
    GetMinOffsetRequestHeader, OffsetResponseHeader, QueryConsumerOffsetRequestHeader, SearchOffsetRequestHeader,
    UpdateConsumerOffsetRequestHeader,
};
use raptormq_remoting::Output;
use raptormq_store::{Boundary, Queue};

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::failure::Failure;

/// QUERY_CONSUMER_OFFSET (14).
///
/// A group without an offset begins at 0 as long as nothing of the queue is gone and its first message is in memory, and
/// also when the queue is empty: a message that comes between this answer and the client's next question is not skipped.
pub(crate) fn query_consumer_offset(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryConsumerOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let known = broker.offsets.get(header.consumer_group, header.topic, header.queue_id);
    if let Some(offset) = known.filter(|offset| *offset >= 0) {
        return Ok(call.success_with(&OffsetResponseHeader { offset }));
    }
    let not_found = |remark| Err(Failure::new(ResponseCode::QUERY_NOT_FOUND, remark));
    if header.set_zero_if_not_found == Some(false) {
        return not_found("Not found, do not set to zero, maybe this group boot first");
    }
    let begins_at_0 = match find_queue(broker, header.topic, header.queue_id) {
        Some(queue) if queue.min_offset() <= 0 => {
            queue.max_offset() <= 0 || broker.store.is_in_memory(&queue, 0).map_err(disk_failure)?
        }
        Some(_) => false,
        // A queue of a topic that exists and that nothing was ever written to.
        None => broker.topics.get(header.topic).is_some_and(|topic| topic.has_queue(header.queue_id)),
    };
    if begins_at_0 {
        return Ok(call.success_with(&OffsetResponseHeader { offset: 0 }));
    }
    not_found("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
}

/// UPDATE_CONSUMER_OFFSET (15).
pub(crate) fn update_consumer_offset(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: UpdateConsumerOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    if broker.groups.get(header.consumer_group).is_none() {
        let remark = format!("Group {} not exist!", header.consumer_group);
        return Err(Failure::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    if broker.topics.get(header.topic).is_none() {
        return Err(Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {} not exist!", header.topic)));
    }
    let missing = |what: &str| Failure::invalid(format!("{what} is null, topic is {}", header.topic));
    let queue_id = header.queue_id.ok_or_else(|| missing("QueueId"))?;
    let offset = header.commit_offset.ok_or_else(|| missing("Offset"))?;
    let progress = broker.offsets.progress(header.consumer_group, header.topic, queue_id);
    match progress {
        // The client does not know yet that its offset was set from outside; its next pull tells it.
        Some(progress) if progress.is_reset() && broker.settings().broker.use_server_side_reset_offset => {
            call.out.respond(call.request, ResponseCode::SUCCESS, Some("Offset has been previously reset"));
            return Ok(Reply::Done);
        }
        Some(progress) => broker.offsets.commit_to(&progress, offset, broker.now_ms()),
        None => {
            broker.offsets.commit(header.consumer_group, header.topic, (queue_id, offset), broker.now_ms());
        }
    }
    Ok(call.success())
}

/// SEARCH_OFFSET_BY_TIMESTAMP (29).
pub(crate) fn search_offset(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SearchOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let boundary = match header.boundary_type {
        Some(upper) if upper.eq_ignore_ascii_case("UPPER") => Boundary::Upper,
        _ => Boundary::Lower,
    };
    let Some(queue) = find_queue(broker, header.topic, header.queue_id) else {
        return Ok(call.success_with(&OffsetResponseHeader { offset: 0 }));
    };
    let timestamp_ms = header.timestamp;
    Ok(call.answer_later(&broker.readers.tools, move |broker| {
        let offset = broker.store.offset_by_time(&queue, timestamp_ms, boundary).map_err(disk_failure)?;
        let answer = OffsetResponseHeader { offset };
        Ok(move |to, out: &mut Output| dispatch::write_slices(&answer, Vec::new(), to, out))
    }))
}

/// GET_MAX_OFFSET (30).
pub(crate) fn max_offset(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetMaxOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let offset = find_queue(broker, header.topic, header.queue_id).map_or(Ok(0), |queue| end_of(broker, &queue))?;
    Ok(call.success_with(&OffsetResponseHeader { offset }))
}

/// GET_MIN_OFFSET (31).
pub(crate) fn min_offset(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetMinOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let offset = find_queue(broker, header.topic, header.queue_id).map_or(0, |queue| queue.min_offset());
    Ok(call.success_with(&OffsetResponseHeader { offset }))
}

/// GET_EARLIEST_MSG_STORETIME (32).
pub(crate) fn earliest_time(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetEarliestMsgStoretimeRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let Some(queue) = find_queue(broker, header.topic, header.queue_id) else {
        return Ok(call.success_with(&GetEarliestMsgStoretimeResponseHeader { timestamp: -1 }));
    };
    Ok(call.answer_later(&broker.readers.tools, move |broker| {
        let timestamp = broker.store.earliest_time(&queue).map_err(disk_failure)?;
        let answer = GetEarliestMsgStoretimeResponseHeader { timestamp };
        Ok(move |to, out: &mut Output| dispatch::write_slices(&answer, Vec::new(), to, out))
    }))
}

/// GET_ALL_CONSUMER_OFFSET (43).
pub(crate) fn all_consumer_offsets(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    call.success_json(&broker.offsets.snapshot())
}

/// GET_ALL_DELAY_OFFSET (45).
pub(crate) fn all_delay_offsets(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    call.success_json(&broker.delay_offsets())
}

/// The queue, if something was ever written to it or asked of it. Questions make no queues.
pub(crate) fn find_queue(broker: &Broker, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
    broker.store.queue(topic, queue_id)
}

/// Where the queue ends for readers.
pub(crate) fn end_of(broker: &Broker, queue: &Queue) -> Result<i64, Failure> {
    broker.store.visible_end(queue).map_err(disk_failure)
}

/// What a client is told when the disk cannot be read.
pub(crate) fn disk_failure(error: io::Error) -> Failure {
    tracing::error!(%error, "the store cannot be read");
    Failure::system(format!("the store cannot be read: {error}"))
}
