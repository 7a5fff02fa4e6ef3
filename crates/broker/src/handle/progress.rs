//! How far groups are, as tools ask: consume statistics (208, 317), who consumes what (300, 343, 345), time spans (303),
//! corrections (308), and offsets taken over from another group (314).
//! Java: `processor/AdminBrokerProcessor.java`.

use std::collections::{BTreeMap, BTreeSet};

use raptormq_protocol::body::{
    ConsumeStats, ConsumeStatsList, GroupList, OffsetWrapper, QueryConsumeTimeSpanBody, QueryCorrectionOffsetBody,
    QuerySubscriptionResponseBody, QueueTimeSpan, TopicConfig, TopicList,
};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    CloneGroupOffsetRequestHeader, GetConsumeStatsInBrokerHeader, GetConsumeStatsRequestHeader,
    QueryConsumeTimeSpanRequestHeader, QueryCorrectionOffsetHeader, QuerySubscriptionByConsumerRequestHeader,
    QueryTopicConsumeByWhoRequestHeader, QueryTopicsByConsumerRequestHeader,
};

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::handle::offset;
use crate::names;
use crate::topics::{QUEUES_MAX, Topic};

/// GET_CONSUME_STATS (208): of one topic, of those named, or of all that the group has offsets of.
pub(crate) fn consume_stats(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetConsumeStatsRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let group = header.consumer_group;
    let named =
        |list: &str| list.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let named: BTreeSet<String> = header.topic_list.map(named).unwrap_or_default();
    let topics = if !named.is_empty() {
        named
    } else {
        let mut topics = match header.topic.filter(|topic| !topic.trim().is_empty()) {
            Some(topic) => [topic.to_owned()].into(),
            None => broker.offsets.topics_of(group),
        };
        topics.retain(|topic| is_consumed(broker, group, topic));
        topics
    };
    let group = group.to_owned();
    Ok(call.json_later(&broker.readers.tools, move |broker| {
        let mut stats = ConsumeStats::default();
        for topic in topics {
            if let Some(known) = broker.topics.get(&topic) {
                add_progress(broker, &group, (&known.config, known.config.read_queue_nums), &mut stats)?;
            }
        }
        Ok(stats)
    }))
}

/// Whether the topic counts: a group that is connected has only what it subscribes to.
fn is_consumed(broker: &Broker, group: &str, topic: &str) -> bool {
    match broker.clients.consumer_group(group) {
        Some(members) => members.subscription(topic).is_some() || members.subscriptions().is_empty(),
        None => true,
    }
}

/// Adds how far the group is in so many queues of the topic.
fn add_progress(
    broker: &Broker,
    group: &str,
    (topic, queue_count): (&TopicConfig, i32),
    stats: &mut ConsumeStats,
) -> Result<(), Failure> {
    let broker_name = &broker.settings().broker.broker_name;
    let name = &topic.topic_name;
    for queue_id in 0..queue_count.clamp(0, QUEUES_MAX) {
        let queue = offset::find_queue(broker, name, queue_id);
        let progress = broker.offsets.progress(group, name, queue_id);
        let progress = progress.as_deref();
        let consumer_offset = progress.and_then(|progress| progress.consumed()).unwrap_or(0).max(0);
        let pulled = progress.and_then(|progress| progress.pulled()).unwrap_or(0);
        let mut wrapper = OffsetWrapper {
            broker_offset: queue.as_deref().map_or(Ok(0), |queue| offset::end_of(broker, queue))?.max(0),
            consumer_offset,
            pull_offset: pulled.max(consumer_offset),
            last_timestamp: 0,
        };
        if let Some(queue) = queue.filter(|_| consumer_offset > 0) {
            let last = broker.store.timestamp_at(&queue, consumer_offset - 1).map_err(offset::disk_failure)?;
            wrapper.last_timestamp = last.max(0);
        }
        stats.offset_table.insert(names::message_queue(name, broker_name, queue_id), wrapper);
    }
    stats.consume_tps += broker.stats.group_get_tps(group, name);
    Ok(())
}

/// GET_BROKER_CONSUME_STATS (317): of every group and topic.
pub(crate) fn all_consume_stats(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let header: GetConsumeStatsInBrokerHeader = call.request.header()?;
    let is_order = header.is_order;
    Ok(call.json_later(&broker.readers.tools, move |broker| all_progress(broker, is_order)))
}

/// How far every group is, in all topics or in the ordered ones only.
fn all_progress(broker: &Broker, is_order: bool) -> Result<ConsumeStatsList, Failure> {
    let mut list =
        ConsumeStatsList { broker_addr: Some(broker.outer.broker_addr().to_owned()), ..ConsumeStatsList::default() };
    for group in broker.groups.snapshot().subscription_group_table.into_keys() {
        let mut of_group = Vec::new();
        for topic in broker.offsets.topics_of(&group) {
            let Some(known) = broker.topics.get(&topic) else { continue };
            if (is_order && !known.config.order) || !is_consumed(broker, &group, &topic) {
                continue;
            }
            let mut stats = ConsumeStats::default();
            add_progress(broker, &group, (&known.config, known.config.write_queue_nums), &mut stats)?;
            for offsets in stats.offset_table.values() {
                list.total_diff += offsets.broker_offset - offsets.consumer_offset;
                list.total_inflight_diff += offsets.pull_offset - offsets.consumer_offset;
            }
            of_group.push(stats);
        }
        list.consume_stats_list.push(BTreeMap::from([(group, of_group)]));
    }
    Ok(list)
}

/// QUERY_TOPIC_CONSUME_BY_WHO (300): groups that are connected, and groups that have offsets.
pub(crate) fn groups_of_topic(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryTopicConsumeByWhoRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let mut groups = broker.offsets.groups_of(header.topic);
    groups.extend(broker.clients.groups_of(header.topic));
    call.success_json(&GroupList { group_list: groups.into_iter().collect() })
}

/// QUERY_TOPICS_BY_CONSUMER (343): topics that the group has offsets of.
pub(crate) fn topics_of_group(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryTopicsByConsumerRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let topic_list = broker.offsets.topics_of(header.group).into_iter().collect();
    call.success_json(&TopicList { broker_addr: Some(broker.outer.broker_addr().to_owned()), topic_list })
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER (345).
pub(crate) fn subscription(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QuerySubscriptionByConsumerRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let members = broker.clients.consumer_group(header.group);
    let found = members.and_then(|members| members.subscription(header.topic));
    call.success_json(&QuerySubscriptionResponseBody {
        group: header.group.to_owned(),
        subscription_data: found.map(|subscription| subscription.data.clone()),
        topic: header.topic.to_owned(),
    })
}

/// QUERY_CONSUME_TIME_SPAN (303): which times each queue covers, and where the group is in them.
pub(crate) fn time_span(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryConsumeTimeSpanRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let name = header.topic;
    let missing = || Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{name}] not exist"));
    let topic = broker.topics.get(name).ok_or_else(missing)?;
    let group = header.group.to_owned();
    Ok(call.json_later(&broker.readers.tools, move |broker| time_spans(broker, &group, &topic)))
}

fn time_spans(broker: &Broker, group: &str, topic: &Topic) -> Result<QueryConsumeTimeSpanBody, Failure> {
    let name = &topic.config.topic_name;
    let mut body = QueryConsumeTimeSpanBody::default();
    for queue_id in 0..topic.config.write_queue_nums.clamp(0, QUEUES_MAX) {
        let message_queue = names::message_queue(name, &broker.settings().broker.broker_name, queue_id);
        let mut span = QueueTimeSpan {
            consume_time_stamp: -1,
            delay_time: 0,
            max_time_stamp: -1,
            message_queue: Some(message_queue),
            min_time_stamp: -1,
        };
        if let Some(queue) = offset::find_queue(broker, name, queue_id) {
            let stored_at = |offset: i64| match offset {
                0.. => broker.store.timestamp_at(&queue, offset).map_err(offset::disk_failure),
                _ => Ok(-1),
            };
            let max = offset::end_of(broker, &queue)?;
            let consumed = broker.offsets.get(group, name, queue_id).unwrap_or(-1);
            span.min_time_stamp = broker.store.earliest_time(&queue).map_err(offset::disk_failure)?;
            span.max_time_stamp = stored_at(max - 1)?;
            span.consume_time_stamp = if consumed > 0 { stored_at(consumed - 1)? } else { span.min_time_stamp };
            // What a group has not begun with waits since the first message came.
            let next = consumed.max(queue.min_offset());
            if next < max {
                span.delay_time = (broker.now_ms() - stored_at(next)?).max(0);
            }
        }
        body.consume_time_span_set.push(span);
    }
    Ok(body)
}

/// QUERY_CORRECTION_OFFSET (308): the smallest offset of all groups in each queue of the topic; the greatest number
/// there is where the compared group is before that.
pub(crate) fn correction(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: QueryCorrectionOffsetHeader<'_>,
) -> Result<Reply, Failure> {
    let filtered: BTreeSet<&str> = header.filter_groups.unwrap_or_default().split(',').collect();
    let mut offsets: BTreeMap<i32, i64> = BTreeMap::new();
    for group in broker.offsets.groups_of(header.topic) {
        if filtered.contains(group.as_str()) {
            continue;
        }
        for (queue_id, offset) in broker.offsets.consumed_of(&group, header.topic) {
            let min = offset::find_queue(broker, header.topic, queue_id).map_or(0, |queue| queue.min_offset());
            if offset >= min {
                let least = offsets.entry(queue_id).or_insert(i64::MAX);
                *least = (*least).min(offset);
            }
        }
    }
    for (queue_id, compared) in broker.offsets.consumed_of(header.compare_group, header.topic) {
        if let Some(least) = offsets.get_mut(&queue_id).filter(|least| **least > compared) {
            *least = i64::MAX;
        }
    }
    call.success_json(&QueryCorrectionOffsetBody { correction_offsets: offsets })
}

/// CLONE_GROUP_OFFSET (314).
pub(crate) fn clone_offsets(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: CloneGroupOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let (from, to) = (header.src_group, header.dest_group);
    names::check_group(to)?;
    let topics = match header.topic.filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => [topic.to_owned()].into(),
        None => broker.offsets.topics_of(from),
    };
    for topic in topics {
        if broker.topics.get(&topic).is_some() && (header.offline || is_consumed(broker, from, &topic)) {
            let is_copied = broker.offsets.copy(&topic, from, to, broker.now_ms());
            tracing::info!(topic, from, to, is_copied, by = %call.peer.peer_addr(), "offsets are taken over");
        }
    }
    Ok(call.success())
}
