//! Clients as members of groups: heartbeats (34), leaving (35), who is there (38, 203, 204, 328), and the check of a
//! subscription before it is used (46).
//! Java: `processor/ClientManageProcessor.java`, `processor/ConsumerManageProcessor.java`.

use std::sync::Arc;

use raptormq_protocol::body::{
    CheckClientRequestBody, Connection, ConsumerConnection, GetConsumerListByGroupResponseBody, ProducerConnection,
    ProducerInfo, ProducerTableInfo, SubscriptionGroupConfig,
};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    GetConsumerConnectionListRequestHeader, GetConsumerListByGroupRequestHeader,
    GetProducerConnectionListRequestHeader, HeartbeatResponseHeader, UnregisterClientRequestHeader,
};
use raptormq_protocol::heartbeat::{ConsumeType, ConsumerData, HeartbeatData};
use raptormq_protocol::json;

use crate::broker::Broker;
use crate::clients::{Caller, Change, Member};
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::handle::pull;
use crate::names;
use crate::topics::UNIT_SUB;

/// HEART_BEAT (34).
///
/// Clients from 5.1 on may leave out subscriptions that have not changed. They are asked for them (`IS_SUB_CHANGE`) when
/// another member of the group has others, or none of this form; and, unlike in the original, when this broker does not
/// have them: after its restart, or when the client is new to it.
pub(crate) fn heartbeat(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let data: HeartbeatData = json::from_slice(call.request.body).map_err(Failure::body)?;
    let caller = Caller {
        client_id: &data.client_id,
        connection: call.peer,
        language: call.request.language,
        version: call.request.version,
        now_ms: broker.now_ms(),
        fingerprint: data.heartbeat_fingerprint,
    };
    let with_subscriptions = !data.without_sub;
    let mut is_wanted = data.heartbeat_fingerprint == 0;
    for consumer in data.consumer_data_set {
        if broker.settings().broker.reject_pull_consumer_enable && consumer.consume_type == ConsumeType::ConsumeActively
        {
            continue;
        }
        let change = consume(broker, consumer, with_subscriptions, &caller)?;
        is_wanted |= change.is_other_fingerprint || (change.is_new_member && !with_subscriptions);
    }
    if broker.settings().broker.enable_register_producer {
        for producer in &data.producer_data_set {
            broker.clients.produce(&producer.group_name, &caller)?;
        }
    }
    Ok(call.success_with(&HeartbeatResponseHeader {
        is_support_heart_beat_v2: Some(true),
        is_sub_change: Some(is_wanted),
    }))
}

fn consume(
    broker: &Broker,
    data: ConsumerData,
    with_subscriptions: bool,
    caller: &Caller<'_>,
) -> Result<Change, Failure> {
    let group = data.group_name.clone();
    let Some(config) = broker.group_or_create(&group) else { return Ok(Change::default()) };
    make_retry_topic(broker, &config, &data, with_subscriptions);
    if with_subscriptions {
        let log_end = || broker.store.log_max_offset();
        broker.filters.register(&group, &data.subscription_data_set, caller.now_ms, log_end)?;
    }
    let change = broker.clients.consume(data, with_subscriptions, caller)?;
    if change.is_any() {
        broker.notify_members(&group);
    }
    Ok(change)
}

/// Messages that the group gives back need a topic; clients subscribe to it from the start. It is ordered when the group
/// subscribes to a topic that is.
fn make_retry_topic(broker: &Broker, group: &SubscriptionGroupConfig, member: &ConsumerData, with_subscriptions: bool) {
    let name = names::retry_topic(&group.group_name);
    if group.retry_queue_nums <= 0 || names::check_topic(&name).is_err() {
        return;
    }
    let sys_flag = if member.unit_mode { UNIT_SUB } else { 0 };
    match broker.group_topic(&name, group.retry_queue_nums, sys_flag) {
        Ok((topic, _)) if with_subscriptions => {
            let mut subscribed = member.subscription_data_set.iter();
            let is_ordered = subscribed
                .any(|subscription| broker.topics.get(&subscription.topic).is_some_and(|topic| topic.config.order));
            broker.set_order(&topic, is_ordered);
        }
        Ok(_) => {}
        Err(failure) => tracing::warn!(topic = name, reason = %failure.remark, "a group has no topic for retries"),
    }
}

/// UNREGISTER_CLIENT (35).
pub(crate) fn unregister(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: UnregisterClientRequestHeader<'_>,
) -> Result<Reply, Failure> {
    if let Some(group) = header.producer_group {
        broker.clients.leave_producers(group, call.peer.id());
    }
    if let Some(group) = header.consumer_group
        && broker.clients.leave_consumers(group, call.peer.id())
    {
        broker.notify_members(group);
    }
    Ok(call.success())
}

/// GET_CONSUMER_LIST_BY_GROUP (38).
pub(crate) fn consumer_list(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetConsumerListByGroupRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let group = header.consumer_group;
    let members = broker.clients.consumer_group(group).map(|group| group.members()).unwrap_or_default();
    if members.is_empty() {
        return Err(Failure::system(format!("no consumer for this group, {group}")));
    }
    let consumer_id_list = members.iter().map(|member| member.client_id.to_string()).collect();
    call.success_json(&GetConsumerListByGroupResponseBody { consumer_id_list })
}

/// CHECK_CLIENT_CONFIG (46).
pub(crate) fn check_config(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let body: CheckClientRequestBody = json::from_slice(call.request.body).map_err(Failure::body)?;
    if let Some(subscription) = &body.subscription_data {
        pull::check_subscription(broker, subscription)?;
    }
    Ok(call.success())
}

/// GET_CONSUMER_CONNECTION_LIST (203).
pub(crate) fn consumer_connections(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetConsumerConnectionListRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let name = header.consumer_group;
    let group = broker.clients.consumer_group(name).ok_or_else(|| {
        Failure::new(ResponseCode::CONSUMER_NOT_ONLINE, format!("the consumer group[{name}] not online"))
    })?;
    let manner = group.manner();
    let subscriptions = group.subscriptions();
    call.success_json(&ConsumerConnection {
        connection_set: described(&group.members()),
        consume_from_where: Some(manner.consume_from_where),
        consume_type: Some(manner.consume_type),
        message_model: Some(manner.message_model),
        subscription_table: subscriptions
            .iter()
            .map(|subscription| (subscription.data.topic.clone(), subscription.data.clone()))
            .collect(),
    })
}

/// GET_PRODUCER_CONNECTION_LIST (204).
pub(crate) fn producer_connections(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetProducerConnectionListRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let members = broker.clients.producers(header.producer_group);
    if members.is_empty() {
        return Err(Failure::system(format!("the producer group[{}] not exist", header.producer_group)));
    }
    call.success_json(&ProducerConnection { connection_set: described(&members) })
}

/// GET_ALL_PRODUCER_INFO (328).
pub(crate) fn all_producers(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let info = |member: &Arc<Member>| ProducerInfo {
        client_id: member.client_id.to_string(),
        language: member.language.name().to_owned(),
        last_update_timestamp: member.last_update_ms(),
        remote_ip: member.connection.peer_addr().to_string(),
        version: member.version.0,
    };
    let groups = broker.clients.all_producers().into_iter();
    let data = groups.map(|(group, members)| (group, members.iter().map(info).collect())).collect();
    call.success_json(&ProducerTableInfo { data })
}

fn described(members: &[Arc<Member>]) -> Vec<Connection> {
    let connection = |member: &Arc<Member>| Connection {
        client_addr: member.connection.peer_addr().to_string(),
        client_id: member.client_id.to_string(),
        language: member.language.name().to_owned(),
        version: member.version.0,
    };
    members.iter().map(connection).collect()
}
