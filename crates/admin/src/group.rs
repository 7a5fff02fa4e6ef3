//! Commands about the settings of groups.

use raptormq_protocol::body::{
    GroupRetryPolicy, MessageRequestMode, SetMessageRequestModeRequestBody, SubscriptionGroupConfig,
};
use raptormq_protocol::hash::sort_as_java_map;
use raptormq_protocol::json;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::session::{Session, line, print, record};
use crate::targets;
use crate::text;
use crate::topic::{self, DLQ_PREFIX, RETRY_PREFIX};

const GROUP: Opt = Opt::value("g", "groupName", "Name of the group").required();
const BROKER: Opt = Opt::value("b", "brokerAddr", "Only this broker, host:port");
const CLUSTER: Opt = Opt::value("c", "clusterName", "All masters of this cluster");

pub(crate) const UPDATE: Command = Command {
    name: "updateSubGroup",
    about: "Create a consumer group or change its settings",
    kind: Kind::Changes,
    options: &[
        BROKER,
        CLUSTER,
        GROUP,
        Opt::value("s", "consumeEnable", "Whether the group may consume, true unless given"),
        Opt::value("m", "consumeFromMinEnable", "Whether it may begin at a queue's first message, false unless given"),
        Opt::value("d", "consumeBroadcastEnable", "Whether it may broadcast, false unless given"),
        Opt::value("o", "consumeMessageOrderly", "Whether it consumes in order, false unless given"),
        Opt::number("q", "retryQueueNums", "Queues of its retry topic, 1 unless given"),
        Opt::number("r", "retryMaxTimes", "How often a message is delivered again, 16 unless given"),
        Opt::value("p", "groupRetryPolicy", "After how long it is delivered again, as JSON"),
        Opt::number("i", "brokerId", "Member of a broker group to consume from, 0 unless given"),
        Opt::number("w", "whichBrokerWhenConsumeSlowly", "Member to consume from when it lags, 1 unless given"),
        Opt::value("a", "notifyConsumerIdsChanged", "Whether members are told of each other, true unless given"),
        Opt::value("", "attributes", "Attributes to set and to remove: +key=value,-key"),
    ],
    run: Run::By(|session, arguments| Box::pin(update(session, arguments))),
};

pub(crate) const DELETE: Command = Command {
    name: "deleteSubGroup",
    about: "Delete a consumer group; in a cluster its retry and dead-letter topics, too",
    kind: Kind::Changes,
    options: &[BROKER, CLUSTER, GROUP, Opt::value("r", "removeOffset", "Whether its offsets go, too, true or false")],
    run: Run::By(|session, arguments| Box::pin(delete(session, arguments))),
};

pub(crate) const GET: Command = Command {
    name: "getConsumerConfig",
    about: "Show a consumer group's settings on each broker",
    kind: Kind::Shows,
    options: &[GROUP],
    run: Run::By(|session, arguments| Box::pin(get(session, arguments))),
};

pub(crate) const SET_MODE: Command = Command {
    name: "setConsumeMode",
    about: "Choose how a group consumes a topic: PULL or POP",
    kind: Kind::Changes,
    options: &[
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        Opt::value("c", "clusterName", "All masters of this cluster"),
        Opt::value("t", "topicName", "Name of the topic").required(),
        GROUP,
        Opt::value("m", "mode", "PULL or POP").required(),
        Opt::number("q", "popShareQueueNum", "Members that share a queue"),
    ],
    run: Run::By(|session, arguments| Box::pin(set_mode(session, arguments))),
};

async fn set_mode(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topic, group, name) = (arguments.require("t")?, arguments.require("g")?, arguments.require("m")?);
    let mode = match name {
        "PULL" => MessageRequestMode::Pull,
        "POP" => MessageRequestMode::Pop,
        _ => return Err(Failure::argument(format!("-m {name}: PULL or POP is expected"))),
    };
    let share = arguments.number("q")?.unwrap_or(0);
    let addresses = match (arguments.get("b"), arguments.get("c")) {
        (Some(address), _) => std::collections::BTreeSet::from([address.to_owned()]),
        (None, Some(cluster)) => targets::masters(session, cluster).await?,
        (None, None) => return Err(Failure::Usage),
    };
    let body = SetMessageRequestModeRequestBody {
        consumer_group: group.to_owned(),
        mode,
        pop_share_queue_num: share,
        topic: topic.to_owned(),
    };
    for address in &addresses {
        let what = format_args!("have group {group} consume topic {topic} on broker {address} by {name}");
        match session.change(what, session.admin.set_request_mode(address, &body)).await {
            Ok(()) => line!(session, "set consume mode to {address} success."),
            Err(failure) => session.complain(&failure),
        }
    }
    if !session.has_failed() {
        print!(session, "topic[{topic}] group[{group}] consume mode[{name}] popShareQueueNum[{share}]");
    }
    Ok(())
}

async fn update(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    check_name(arguments.require("g")?)?;
    let defaults = SubscriptionGroupConfig::default();
    let policy = arguments.get("p").map(|text| {
        let wrong = |error| Failure::argument(format!("-p {text}: {error}"));
        json::from_slice::<GroupRetryPolicy>(text.as_bytes()).map_err(wrong)
    });
    let group = SubscriptionGroupConfig {
        group_name: arguments.require("g")?.to_owned(),
        consume_enable: arguments.truth("s").unwrap_or(true),
        consume_from_min_enable: arguments.truth("m").unwrap_or(false),
        consume_broadcast_enable: arguments.truth("d").unwrap_or(false),
        consume_message_orderly: arguments.truth("o").unwrap_or(false),
        retry_queue_nums: arguments.number_from("q", 0)?.unwrap_or(defaults.retry_queue_nums),
        retry_max_times: arguments.number_from("r", 0)?.unwrap_or(defaults.retry_max_times),
        group_retry_policy: policy.transpose()?.or(defaults.group_retry_policy),
        broker_id: arguments.number_from("i", 0)?.unwrap_or(defaults.broker_id),
        which_broker_when_consume_slowly: arguments
            .number_from("w", 0)?
            .unwrap_or(defaults.which_broker_when_consume_slowly),
        notify_consumer_ids_changed_enable: arguments.truth("a").unwrap_or(true),
        attributes: topic::attributes(arguments.get("attributes").unwrap_or_default())?,
        ..SubscriptionGroupConfig::default()
    };
    if let Some(address) = arguments.get("b") {
        targets::check_master(session, address).await?;
        put(session, address, &group).await?;
        line!(session, "create subscription group to {address} success.");
    } else if let Some(cluster) = arguments.get("c") {
        for address in targets::masters(session, cluster).await? {
            match put(session, &address, &group).await {
                Ok(()) => line!(session, "create subscription group to {address} success."),
                Err(failure) => session.complain(&failure),
            }
        }
    } else {
        return Err(Failure::Usage);
    }
    print!(session, "{}", shown(&group));
    Ok(())
}

async fn put(session: &Session<'_>, address: &str, group: &SubscriptionGroupConfig) -> Result<()> {
    let what = format_args!("create group {} on broker {address}, or change it", group.group_name);
    session.change(what, session.admin.put_group(address, group)).await
}

/// A group's settings. Java: `SubscriptionGroupConfig.toString`.
fn shown(group: &SubscriptionGroupConfig) -> String {
    format!(
        "SubscriptionGroupConfig{{groupName={}, consumeEnable={}, consumeFromMinEnable={}, consumeBroadcastEnable={}, \
         consumeMessageOrderly={}, retryQueueNums={}, retryMaxTimes={}, groupRetryPolicy={}, brokerId={}, \
         whichBrokerWhenConsumeSlowly={}, notifyConsumerIdsChangedEnable={}, groupSysFlag={}, \
         consumeTimeoutMinute={}, subscriptionDataSet=null, attributes={{{}}}}}",
        group.group_name,
        group.consume_enable,
        group.consume_from_min_enable,
        group.consume_broadcast_enable,
        group.consume_message_orderly,
        group.retry_queue_nums,
        group.retry_max_times,
        shown_policy(group.group_retry_policy.as_ref()),
        group.broker_id,
        group.which_broker_when_consume_slowly,
        group.notify_consumer_ids_changed_enable,
        group.group_sys_flag,
        group.consume_timeout_minute,
        attributes(group)
    )
}

fn attributes(group: &SubscriptionGroupConfig) -> String {
    let attributes = group.attributes.iter().map(|(key, value)| format!("{key}={value}"));
    attributes.collect::<Vec<_>>().join(", ")
}

/// Java: `GroupRetryPolicy.toString` and those of its two kinds.
fn shown_policy(policy: Option<&GroupRetryPolicy>) -> String {
    let Some(policy) = policy else { return "null".to_owned() };
    let exponential = policy.exponential_retry_policy.as_ref().map_or("null".to_owned(), |policy| {
        let (initial, max, multiplier) = (policy.initial, policy.max, policy.multiplier);
        format!("ExponentialRetryPolicy{{initial={initial}, max={max}, multiplier={multiplier}}}")
    });
    let customized = policy.customized_retry_policy.as_ref().map_or("null".to_owned(), |policy| {
        let steps: Vec<_> = policy.next.iter().map(ToString::to_string).collect();
        format!("CustomizedRetryPolicy{{next=[{}]}}", steps.join(", "))
    });
    let name = text::enum_name(&policy.policy_type);
    format!("GroupRetryPolicy{{type={name}, exponentialRetryPolicy={exponential}, customizedRetryPolicy={customized}}}")
}

async fn delete(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let group = arguments.require("g")?;
    let clean_offset = arguments.truth("r").unwrap_or(false);
    if let Some(address) = arguments.get("b") {
        targets::check_master(session, address).await?;
        check_known(session, std::slice::from_ref(&address.to_owned()), group).await?;
        remove(session, address, group, clean_offset).await?;
        line!(session, "delete subscription group [{group}] from broker [{address}] success.");
        return Ok(());
    }
    let Some(cluster) = arguments.get("c") else { return Err(Failure::Usage) };
    let masters = targets::masters(session, cluster).await?;
    if masters.is_empty() {
        // The original goes on and removes the group's topics from the name servers.
        return Ok(());
    }
    check_known(session, &masters.iter().cloned().collect::<Vec<_>>(), group).await?;
    for address in &masters {
        remove(session, address, group, clean_offset).await?;
        line!(session, "delete subscription group [{group}] from broker [{address}] in cluster [{cluster}] success.");
    }
    let members = targets::members(session, cluster).await?;
    for topic in [format!("{RETRY_PREFIX}{group}"), format!("{DLQ_PREFIX}{group}")] {
        for address in &members {
            let work = session.admin.delete_topic_in_broker(address, &topic);
            if let Err(failure) = session.change(format_args!("delete topic {topic} on broker {address}"), work).await {
                session.complain(&failure);
            }
        }
        let work = session.admin.delete_topic_in_name_servers(&topic, None);
        session.change(format_args!("remove topic {topic} from the name servers"), work).await?;
    }
    Ok(())
}

async fn remove(session: &Session<'_>, address: &str, group: &str, clean_offset: bool) -> Result<()> {
    let offsets = if clean_offset { "with its offsets" } else { "but not its offsets" };
    let what = format_args!("delete group {group} on broker {address}, {offsets}");
    session.change(what, session.admin.delete_group(address, group, clean_offset)).await
}

/// Refuses a group that no broker has: the original tells of a success.
async fn check_known(session: &Session<'_>, addresses: &[String], group: &str) -> Result<()> {
    for address in addresses {
        if session.admin.group_config(address, group).await?.is_some() {
            return Ok(());
        }
    }
    Err(Failure::argument(format!("there is no consumer group {group} on {}", addresses.join(", "))))
}

/// Refuses a name that no group may have; brokers of the original take it.
fn check_name(group: &str) -> Result<()> {
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '%' | '|' | '_' | '-');
    if !group.is_empty() && group.chars().all(is_legal) {
        return Ok(());
    }
    Err(Failure::argument(format!("-g {group}: a group's name has letters, digits and %|_- only")))
}

async fn get(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let name = arguments.require("g")?;
    let info = session.admin.cluster_info().await?;
    let mut is_known = false;
    for (cluster, brokers) in &info.cluster_addr_table {
        let mut brokers: Vec<&String> = brokers.iter().collect();
        sort_as_java_map(&mut brokers, |name| name);
        for broker in brokers.iter().filter_map(|name| info.broker_addr_table.get(*name)) {
            let Some(address) = targets::any_member(broker) else { continue };
            match session.admin.group_config(address, name).await {
                Ok(Some(group)) => {
                    is_known = true;
                    print_settings(session, cluster, &broker.broker_name, &group)?;
                }
                Ok(None) => {}
                Err(error) => session.complain(&error.into()),
            }
        }
    }
    if !is_known && !session.has_failed() {
        return Err(Failure::argument(format!("there is no consumer group {name} on any broker")));
    }
    Ok(())
}

/// A group's settings on a broker, one a line. Java: `GetConsumerConfigSubCommand`.
fn print_settings(session: &Session<'_>, cluster: &str, broker: &str, group: &SubscriptionGroupConfig) -> Result<()> {
    record!(session, "cluster": cluster, "brokerName": broker, "settings": group);
    line!(session, "============================={cluster}:{broker}=============================");
    let rows = [
        ("groupName", group.group_name.clone()),
        ("consumeEnable", group.consume_enable.to_string()),
        ("consumeFromMinEnable", group.consume_from_min_enable.to_string()),
        ("consumeBroadcastEnable", group.consume_broadcast_enable.to_string()),
        ("consumeMessageOrderly", group.consume_message_orderly.to_string()),
        ("retryQueueNums", group.retry_queue_nums.to_string()),
        ("retryMaxTimes", group.retry_max_times.to_string()),
        ("groupRetryPolicy", shown_policy(group.group_retry_policy.as_ref())),
        ("brokerId", group.broker_id.to_string()),
        ("whichBrokerWhenConsumeSlowly", group.which_broker_when_consume_slowly.to_string()),
        ("notifyConsumerIdsChangedEnable", group.notify_consumer_ids_changed_enable.to_string()),
        ("groupSysFlag", group.group_sys_flag.to_string()),
        ("consumeTimeoutMinute", group.consume_timeout_minute.to_string()),
        ("subscriptionDataSet", String::new()),
        ("attributes", format!("{{{}}}", attributes(group))),
    ];
    for (key, value) in rows {
        line!(session, "{key:<40}=  {value}");
    }
    Ok(())
}
