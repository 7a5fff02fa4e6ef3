//! `consumerProgress`: how far groups are.

use std::collections::{BTreeMap, BTreeSet};

use raptormq_client::ResponseCode;
use raptormq_protocol::body::{ConsumeStats, ConsumerConnection, MessageQueue, OffsetWrapper};
use raptormq_protocol::heartbeat::ConsumeType;
use raptormq_protocol::route::TopicRouteData;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::connection;
use crate::failure::{Failure, Result};
use crate::session::{Session, line, record};
use crate::targets;
use crate::text::{self, front};
use crate::topic::RETRY_PREFIX;

pub(crate) const COMMAND: Command = Command {
    name: "consumerProgress",
    about: "Show how far consumer groups are and what they still have to consume",
    kind: Kind::Shows,
    options: &[
        Opt::value("g", "groupName", "Only this group, with its queues"),
        Opt::value("t", "topicName", "Only this topic"),
        Opt::value("s", "showClientIP", "Whether to show who has each queue, true or false"),
        Opt::value("c", "cluster", "The cluster, for topics that have no route of their own"),
    ],
    run: Run::By(|session, arguments| Box::pin(run(session, arguments))),
};

async fn run(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    match arguments.get("g") {
        Some(group) => one_group(session, arguments, group).await,
        None => match arguments.get("t") {
            Some(topic) => Err(Failure::argument(format!("-t {topic} needs -g with a group, too"))),
            None => all_groups(session).await,
        },
    }
}

/// How far a group is, on all brokers: the original asks only those that have the group's retry topic, and misses queues
/// that are elsewhere.
pub(crate) async fn stats_of(session: &Session<'_>, group: &str) -> Result<ConsumeStats> {
    let info = session.admin.cluster_info().await?;
    sum(session, group, None, info.broker_addr_table.values().filter_map(targets::any_member)).await
}

/// How far a group is in a topic, on the brokers of its route.
pub(crate) async fn stats_in(
    session: &Session<'_>,
    group: &str,
    topic: &str,
    route: &TopicRouteData,
) -> Result<ConsumeStats> {
    sum(session, group, Some(topic), targets::brokers(route).into_iter().map(|(_, address)| address)).await
}

async fn sum<'a>(
    session: &Session<'_>,
    group: &str,
    topic: Option<&str>,
    addresses: impl Iterator<Item = &'a str>,
) -> Result<ConsumeStats> {
    let mut all = ConsumeStats::default();
    for address in addresses.collect::<BTreeSet<_>>() {
        match session.admin.consume_stats(address, group, topic).await {
            Ok(stats) => {
                all.offset_table.extend(stats.offset_table);
                all.consume_tps += stats.consume_tps;
            }
            // A broker need not know every group.
            Err(error) if error.code() == Some(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// Messages that a group still has to consume.
pub(crate) fn total_diff(stats: &ConsumeStats) -> i64 {
    stats.offset_table.values().map(diff).sum()
}

fn diff(offset: &OffsetWrapper) -> i64 {
    offset.broker_offset - offset.consumer_offset
}

async fn one_group(session: &Session<'_>, arguments: &Arguments, group: &str) -> Result<()> {
    let stats = match arguments.get("t") {
        Some(topic) => match targets::route(session, topic, arguments.get("c")).await {
            Ok(route) => stats_in(session, group, topic, &route).await?,
            // The group has nothing in a topic that does not exist.
            Err(failure) => session.or_nothing(Err(failure)),
        },
        None => stats_of(session, group).await?,
    };
    if stats.offset_table.is_empty() && arguments.get("t").is_none() {
        // Nothing is known of its offsets: who broadcasts keeps them to themselves.
        let address = connection::broker_of_group(session, group).await?;
        connection::members(session, &address, group).await?;
    }
    let owners = match arguments.truth("s") {
        Some(true) => Some(session.or_nothing(owners(session, group).await)),
        _ => None,
    };
    let owner = |text: &str| if owners.is_some() { format!("{text:<20} ") } else { String::new() };
    line!(
        session,
        "{:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {}{:<20} {:<20}#LastTime",
        "#Topic",
        "#Broker Name",
        "#QID",
        "#Broker Offset",
        "#Consumer Offset",
        owner("#Client IP"),
        "#Diff",
        "#Inflight"
    );
    let (mut diff_total, mut inflight_total) = (0, 0);
    for (queue, offset) in &stats.offset_table {
        let (diff, inflight) = (diff(offset), offset.pull_offset - offset.consumer_offset);
        (diff_total, inflight_total) = (diff_total + diff, inflight_total + inflight);
        let last_time = match offset.last_timestamp {
            0 => "N/A".to_owned(),
            time => text::time(time),
        };
        let client = owners.as_ref().and_then(|owners| owners.get(queue)).map_or("N/A", String::as_str);
        record!(
            session,
            "group": group,
            "topic": queue.topic,
            "brokerName": queue.broker_name,
            "queueId": queue.queue_id,
            "brokerOffset": offset.broker_offset,
            "consumerOffset": offset.consumer_offset,
            "clientIP": owners.as_ref().and_then(|owners| owners.get(queue)),
            "diff": diff,
            "inflight": inflight,
            "lastTimestamp": offset.last_timestamp,
        );
        line!(
            session,
            "{:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {}{diff:<20} {inflight:<20} {last_time}",
            front(&queue.topic, 64),
            front(&queue.broker_name, 32),
            queue.queue_id,
            offset.broker_offset,
            offset.consumer_offset,
            owner(client)
        );
    }
    line!(session, "\nConsume TPS: {:.2}", stats.consume_tps);
    line!(session, "Consume Diff Total: {diff_total}");
    line!(session, "Consume Inflight Total: {inflight_total}");
    Ok(())
}

/// The addresses of the members that have the queues, as they say themselves.
async fn owners(session: &Session<'_>, group: &str) -> Result<BTreeMap<MessageQueue, String>> {
    let address = connection::broker_of_group(session, group).await?;
    let mut owners = BTreeMap::new();
    for member in connection::members(session, &address, group).await?.connection_set {
        let info = session.admin.running_info(&address, group, &member.client_id, false).await?;
        let ip = member.client_id.split('@').next().unwrap_or_default();
        owners.extend(info.mq_table.into_keys().map(|queue| (queue, ip.to_owned())));
    }
    Ok(owners)
}

/// The members of a group; none when it is not on line.
async fn members_of(session: &Session<'_>, group: &str) -> Result<ConsumerConnection> {
    let address = connection::broker_of_group(session, group).await?;
    match session.admin.consumer_connections(&address, group).await {
        Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => Ok(ConsumerConnection::default()),
        members => Ok(members?),
    }
}

async fn all_groups(session: &Session<'_>) -> Result<()> {
    line!(
        session,
        "{:<64}  {:<6}  {:<24} {:<5}  {:<14}  {:<7}  #Diff Total",
        "#Group",
        "#Count",
        "#Version",
        "#Type",
        "#Model",
        "#TPS"
    );
    let topics = session.admin.topics().await?;
    let groups: Vec<&str> = topics.iter().filter_map(|topic| topic.strip_prefix(RETRY_PREFIX)).collect();
    for (at, group) in groups.iter().enumerate() {
        session.progress(|| format!("group {} of {}: {group}", at + 1, groups.len()));
        // What is not known of a group is left out, and the reason said once.
        let stats = session.or_nothing(stats_of(session, group).await);
        let members = session.or_nothing(members_of(session, group).await);
        let count = members.connection_set.len();
        let oldest = members.connection_set.iter().map(|member| member.version).min();
        let version = oldest.map_or_else(|| "OFFLINE".to_owned(), text::version);
        let kind = match members.consume_type {
            _ if count == 0 => "",
            Some(ConsumeType::ConsumeActively) => "PULL",
            _ => "PUSH",
        };
        let is_push = count > 0 && members.consume_type == Some(ConsumeType::ConsumePassively);
        let model = members.message_model.filter(|_| is_push);
        let model = model.map(|model| text::enum_name(&model)).unwrap_or_default();
        let (tps, diff) = (stats.consume_tps as i64, total_diff(&stats));
        record!(
            session,
            "group": group,
            "count": count,
            "version": version,
            "consumeType": kind,
            "messageModel": model,
            "tps": stats.consume_tps,
            "diffTotal": diff,
        );
        let group = front(group, 64);
        line!(session, "{group:<64}  {count:<6}  {version:<24} {kind:<5}  {model:<14}  {tps:<7}  {diff}");
    }
    Ok(())
}
