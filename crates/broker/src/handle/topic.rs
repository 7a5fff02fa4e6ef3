//! Topics, as clients and tools make, remove and list them (17, 18, 21, 202, 215, 305, 351).
//! Java: `processor/AdminBrokerProcessor.java`.

use std::collections::BTreeMap;

use raptormq_protocol::body::{
    CreateTopicListRequestBody, TopicConfig, TopicConfigAndMappingSerializeWrapper, TopicConfigAndQueueMapping,
    TopicFilterType, TopicList, TopicOffset, TopicStatsTable,
};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    CreateTopicRequestHeader, DeleteTopicRequestHeader, FieldValue, GetAllTopicConfigRequestHeader,
    GetTopicConfigRequestHeader, GetTopicStatsInfoRequestHeader,
};
use raptormq_protocol::json;

use crate::attributes::{self, Changes, MESSAGE_TYPE};
use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::handle::offset;
use crate::names;
use crate::persist::Table;
use crate::topics::{QUEUES_MAX, Topic};

/// UPDATE_AND_CREATE_TOPIC (17).
pub(crate) fn create(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: CreateTopicRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let config = TopicConfig {
        topic_name: header.topic.to_owned(),
        read_queue_nums: header.read_queue_nums,
        write_queue_nums: header.write_queue_nums,
        perm: header.perm,
        topic_filter_type: TopicFilterType::from_name(header.topic_filter_type),
        topic_sys_flag: header.topic_sys_flag.unwrap_or_default(),
        order: header.order,
        attributes: BTreeMap::new(),
    };
    check_own(broker, header.topic)?;
    let config = completed(broker, config, &attributes::parse(header.attributes.unwrap_or_default())?)?;
    Ok(put_all(broker, call, vec![config]))
}

/// UPDATE_AND_CREATE_TOPIC_LIST (18): all of them, or none when one cannot be.
pub(crate) fn create_list(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let body: CreateTopicListRequestBody = json::from_slice(call.request.body).map_err(Failure::body)?;
    let complete = |mut config: TopicConfig| {
        let changes = std::mem::take(&mut config.attributes);
        completed(broker, config, &changes)
    };
    let configs: Vec<TopicConfig> = body.topic_config_list.into_iter().map(complete).collect::<Result<_, _>>()?;
    Ok(put_all(broker, call, configs))
}

/// The topic as it is to be, when it may be so: `config` with the attributes of the one that there is, changed.
fn completed(broker: &Broker, mut config: TopicConfig, changes: &Changes) -> Result<TopicConfig, Failure> {
    check_own(broker, &config.topic_name)?;
    for (number, what) in [(config.read_queue_nums, "readQueueNums"), (config.write_queue_nums, "writeQueueNums")] {
        if !(1..=QUEUES_MAX).contains(&number) {
            return Err(Failure::invalid(format!("{what} is {number}; 1 to {QUEUES_MAX} queues are possible")));
        }
    }
    let is_mixed = changes.iter().any(|(key, value)| key.strip_prefix('+') == Some(MESSAGE_TYPE) && value == "MIXED");
    if is_mixed && !broker.settings().broker.enable_mixed_message_type {
        return Err(Failure::invalid("MIXED message type is not supported."));
    }
    let known = broker.topics.get(&config.topic_name);
    let current = known.as_ref().map(|topic| &topic.config.attributes);
    config.attributes = attributes::alter(attributes::OF_TOPICS, current, changes)?;
    Ok(config)
}

/// Puts those that are other than they were, and answers when that is kept and the name servers know.
fn put_all(broker: &Broker, call: &mut Call<'_, '_>, configs: Vec<TopicConfig>) -> Reply {
    let mut is_changed = false;
    for config in configs {
        if broker.topics.get(&config.topic_name).is_some_and(|topic| topic.config == config) {
            continue;
        }
        tracing::info!(topic = config.topic_name, by = %call.peer.peer_addr(), "a topic is made or changed");
        broker.topics.put(config, broker.now_ms());
        is_changed = true;
    }
    if !is_changed {
        return call.success();
    }
    broker.outer.topics_changed();
    call.success_when_kept_and(broker, broker.keeper.keep(Table::Topics), broker.outer.told())
}

/// Refuses names that are none, and those of the broker's own topics.
fn check_own(broker: &Broker, name: &str) -> Result<(), Failure> {
    names::check_topic(name)?;
    if broker.settings().broker.validate_system_topic_when_update_topic && broker.topics.system.contains(name) {
        return Err(Failure::invalid(format!("The topic[{name}] is conflict with system topic.")));
    }
    Ok(())
}

/// DELETE_TOPIC_IN_BROKER (215).
pub(crate) fn delete(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: DeleteTopicRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let name = header.topic;
    check_own(broker, name)?;
    tracing::info!(topic = name, by = %call.peer.peer_addr(), "a topic is deleted");
    broker.topics.remove(name, broker.now_ms());
    broker.store.delete_topic(name).map_err(offset::disk_failure)?;
    broker.offsets.remove_topic(name);
    broker.outer.topics_changed();
    Ok(call.success_when_kept_and(broker, broker.keeper.keep(Table::Topics), broker.outer.told()))
}

/// GET_ALL_TOPIC_CONFIG (21): all, or from 5.x a page.
pub(crate) fn all(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetAllTopicConfigRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let table = broker.topics.snapshot();
    let total = table.topic_config_table.len();
    let page = Page {
        first: header.topic_seq,
        count: header.max_topic_num,
        is_same: header.data_version.is_some_and(|version| {
            json::from_slice(version.as_bytes())
                .is_ok_and(|version: raptormq_protocol::body::DataVersion| version == table.data_version)
        }),
    };
    let wrapper = TopicConfigAndMappingSerializeWrapper {
        data_version: table.data_version,
        topic_config_table: page.of(broker, table.topic_config_table),
        ..Default::default()
    };
    let body = json::to_vec(&wrapper).map_err(Failure::answer)?;
    Ok(call.success_fields_body(|field| field("totalTopicNum", FieldValue::Integer(total as i64)), body))
}

/// Which part of a table is asked for.
pub(crate) struct Page {
    /// Number of the first entry; without it all are meant.
    pub(crate) first: Option<i32>,
    pub(crate) count: Option<i32>,
    /// The table is still the one that the pages before came from; otherwise the first page comes again.
    pub(crate) is_same: bool,
}

impl Page {
    pub(crate) fn of<T>(&self, broker: &Broker, table: BTreeMap<String, T>) -> BTreeMap<String, T> {
        let Some(first) = self.first.filter(|_| broker.settings().broker.enable_split_metadata) else { return table };
        let first = if self.is_same { usize::try_from(first).unwrap_or(0) } else { 0 };
        let most = usize::try_from(broker.settings().broker.split_metadata_size).unwrap_or(usize::MAX);
        let count = self.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(most).min(most);
        table.into_iter().skip(first).take(count).collect()
    }
}

/// GET_TOPIC_CONFIG (351).
pub(crate) fn get(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetTopicConfigRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let topic = broker.topics.get(header.topic).ok_or_else(|| {
        let remark = format!("No topic in this broker. topic: {}", header.topic);
        Failure::new(ResponseCode::TOPIC_NOT_EXIST, remark)
    })?;
    call.success_json(&TopicConfigAndQueueMapping { mapping_detail: None, topic: topic.config.clone() })
}

/// GET_TOPIC_STATS_INFO (202).
pub(crate) fn stats(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetTopicStatsInfoRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let name = header.topic;
    let topic = broker
        .topics
        .get(name)
        .ok_or_else(|| Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{name}] not exist")))?;
    Ok(call.json_later(&broker.readers.tools, move |broker| topic_stats(broker, &topic)))
}

fn topic_stats(broker: &Broker, topic: &Topic) -> Result<TopicStatsTable, Failure> {
    let name = &topic.config.topic_name;
    let mut stats = TopicStatsTable::default();
    for queue_id in 0..topic.queue_count() {
        let mut offsets = TopicOffset::default();
        if let Some(queue) = broker.store.queue(name, queue_id) {
            offsets.min_offset = queue.min_offset().max(0);
            offsets.max_offset = offset::end_of(broker, &queue)?.max(0);
            if offsets.max_offset > 0 {
                let last = broker.store.timestamp_at(&queue, offsets.max_offset - 1);
                offsets.last_update_timestamp = last.map_err(offset::disk_failure)?;
            }
        }
        let queue = names::message_queue(name, &broker.settings().broker.broker_name, queue_id);
        stats.offset_table.insert(queue, offsets);
    }
    stats.topic_put_tps = broker.stats.topic_put_tps(name);
    Ok(stats)
}

/// GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305).
pub(crate) fn system_topics(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    call.success_json(&TopicList { broker_addr: None, topic_list: broker.topics.system.list() })
}
