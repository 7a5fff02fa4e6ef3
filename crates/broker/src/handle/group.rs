//! Subscription groups, as tools make, remove and list them (200, 201, 207, 225, 352, 353).
//! Java: `processor/AdminBrokerProcessor.java`.

use raptormq_protocol::body::{DataVersion, GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::{
    DeleteSubscriptionGroupRequestHeader, FieldValue, GetAllSubscriptionGroupRequestHeader,
    GetSubscriptionGroupConfigRequestHeader, UpdateGroupForbiddenRequestHeader,
};
use raptormq_protocol::json;

use crate::attributes;
use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::handle::topic::Page;
use crate::names;
use crate::persist::Table;

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200).
pub(crate) fn create(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let config: SubscriptionGroupConfig = json::from_slice(call.request.body).map_err(Failure::body)?;
    Ok(put_all(broker, call, vec![completed(broker, config)?]))
}

/// The group as it is to be, when it may be so: `config` with the attributes of the one that there is, changed.
fn completed(broker: &Broker, mut config: SubscriptionGroupConfig) -> Result<SubscriptionGroupConfig, Failure> {
    names::check_group(&config.group_name)?;
    let known = broker.groups.get(&config.group_name);
    let current = known.as_ref().map(|group| &group.attributes);
    config.attributes = attributes::alter(attributes::OF_GROUPS, current, &config.attributes)?;
    Ok(config)
}

fn put_all(broker: &Broker, call: &Call<'_, '_>, configs: Vec<SubscriptionGroupConfig>) -> Reply {
    for config in configs {
        tracing::info!(group = config.group_name, by = %call.peer.peer_addr(), "a subscription group is made or changed");
        broker.groups.put(config, broker.now_ms());
    }
    call.success_when_kept(broker, broker.keeper.keep(Table::Groups))
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225): all of them, or none when one cannot be.
pub(crate) fn create_list(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let body: SubscriptionGroupList = json::from_slice(call.request.body).map_err(Failure::body)?;
    let complete = body.group_config_list.into_iter().map(|config| completed(broker, config));
    let configs = complete.collect::<Result<_, _>>()?;
    Ok(put_all(broker, call, configs))
}

/// UPDATE_AND_GET_GROUP_FORBIDDEN (353): whether the group may read the topic, changed first if that is asked for.
pub(crate) fn forbidden(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: UpdateGroupForbiddenRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let (group, topic) = (header.group, header.topic);
    if let Some(readable) = header.readable {
        names::check_group(group)?;
        names::check_topic(topic)?;
        tracing::info!(group, topic, readable, by = %call.peer.peer_addr(), "a group's reading of a topic is changed");
        broker.groups.forbid(group, topic, !readable, broker.now_ms());
        broker.keeper.changed(Table::Groups);
    }
    call.success_json(&GroupForbidden {
        group: group.to_owned(),
        readable: Some(!broker.groups.is_forbidden(group, topic)),
        topic: topic.to_owned(),
    })
}

/// DELETE_SUBSCRIPTIONGROUP (207).
pub(crate) fn delete(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: DeleteSubscriptionGroupRequestHeader<'_>,
) -> Result<Reply, Failure> {
    tracing::info!(group = header.group_name, by = %call.peer.peer_addr(), "a subscription group is deleted");
    broker.groups.remove(header.group_name, broker.now_ms());
    if header.clean_offset {
        broker.offsets.remove_group(header.group_name);
        broker.keeper.changed(Table::Offsets);
    }
    Ok(call.success_when_kept(broker, broker.keeper.keep(Table::Groups)))
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): all, or from 5.x a page.
pub(crate) fn all(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetAllSubscriptionGroupRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let mut wrapper = broker.groups.snapshot();
    let total = wrapper.subscription_group_table.len();
    let known = header.data_version.and_then(|version| json::from_slice::<DataVersion>(version.as_bytes()).ok());
    let page =
        Page { first: header.group_seq, count: header.max_group_num, is_same: known == Some(wrapper.data_version) };
    wrapper.subscription_group_table = page.of(broker, wrapper.subscription_group_table);
    let body = json::to_vec(&wrapper).map_err(Failure::answer)?;
    Ok(call.success_fields_body(|field| field("totalGroupNum", FieldValue::Integer(total as i64)), body))
}

/// GET_SUBSCRIPTIONGROUP_CONFIG (352). Asking makes the group where groups make themselves, as in the original.
pub(crate) fn get(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetSubscriptionGroupConfigRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let group = broker
        .group_or_create(header.group)
        .ok_or_else(|| Failure::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "No group in this broker"))?;
    call.success_json(&*group)
}
