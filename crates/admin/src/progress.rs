//! `consumerProgress`: how far groups are.

use std::collections::{BTreeMap, BTreeSet};

use raptormq_client::{ErrorKind, ResponseCode};
use raptormq_protocol::body::{ConsumeStats, ConsumerConnection, MessageQueue, OffsetWrapper};
use raptormq_protocol::heartbeat::ConsumeType;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::connection;
use crate::failure::Result;
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
        None => all_groups(session).await,
    }
}

/// How far a group is, on all brokers: the original asks only those that have the group's retry topic, and misses queues
/// that are elsewhere. With a topic, on the brokers of that topic.
pub(crate) async fn stats_of(session: &Session<'_>, group: &str, topic: Option<&str>) -> Result<ConsumeStats> {
    let addresses: BTreeSet<String> = match topic {
        Some(topic) => {
            let route = session.admin.topic_route(topic).await;
            let none = |error: raptormq_client::Error| error.kind() == ErrorKind::TopicNotExist;
            match route {
                // The group has nothing in a topic that does not exist.
                Err(error) if none(error.clone()) => BTreeSet::new(),
                route => targets::brokers(&route?).into_iter().map(|(_, address)| address.to_owned()).collect(),
            }
        }
        None => {
            let info = session.admin.cluster_info().await?;
            info.broker_addr_table.values().filter_map(targets::any_member).map(str::to_owned).collect()
        }
    };
    let mut all = ConsumeStats::default();
    for address in &addresses {
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
    let stats = stats_of(session, group, arguments.get("t")).await?;
    if stats.offset_table.is_empty() && arguments.get("t").is_none() {
        // Nothing is known of its offsets: who broadcasts keeps them to themselves.
        let address = connection::broker_of_group(session, group).await?;
        connection::members(session, &address, group).await?;
    }
    let owners = match arguments.truth("s") {
        Some(true) => Some(owners(session, group).await.unwrap_or_default()),
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
        let stats = stats_of(session, group, None).await.unwrap_or_default();
        let members = match connection::broker_of_group(session, group).await {
            Ok(address) => connection::members(session, &address, group).await.unwrap_or_default(),
            Err(_) => ConsumerConnection::default(),
        };
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
