//! Commands that move the offsets of groups.

use std::collections::BTreeMap;

use raptormq_client::ResponseCode;
use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::header::ResetOffsetRequestHeader;
use raptormq_protocol::route::TopicRouteData;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::progress;
use crate::session::{Session, line, print};
use crate::targets;
use crate::text::{self, front};
use crate::topic::RETRY_PREFIX;

const GROUP: Opt = Opt::value("g", "group", "Name of the consumer group").required();
const TOPIC: Opt = Opt::value("t", "topic", "Name of the topic").required();
const FORCE: Opt = Opt::value("f", "force", "Whether offsets may go forward, too: true, unless given, or false");
const CLUSTER: Opt = Opt::value("c", "cluster", "The cluster, for topics that have no route of their own");

pub(crate) const RESET: Command = Command {
    name: "resetOffsetByTime",
    about: "Set the offsets of a consumer group to a moment, or to an offset",
    kind: Kind::Changes,
    options: &[
        GROUP,
        TOPIC,
        Opt::moment("s", "timestamp", "now, milliseconds since 1970, or yyyy-MM-dd#HH:mm:ss:SSS").required(),
        FORCE,
        CLUSTER,
        Opt::value("b", "broker", "With -q: only a queue of this broker, host:port"),
        Opt::number("q", "queue", "With -b: only this queue"),
        Opt::number("o", "offset", "With -b and -q: to this offset instead of the moment"),
    ],
    run: Run::By(|session, arguments| Box::pin(reset(session, arguments))),
};

pub(crate) const SKIP: Command = Command {
    name: "skipAccumulatedMessage",
    about: "Have a consumer group pass over everything that it has not consumed yet",
    kind: Kind::Changes,
    options: &[GROUP, TOPIC, FORCE, CLUSTER],
    run: Run::By(|session, arguments| Box::pin(skip(session, arguments))),
};

pub(crate) const CLONE: Command = Command {
    name: "cloneGroupOffset",
    about: "Give a consumer group the offsets of another one, in all topics, on the brokers of the one that is named",
    kind: Kind::Changes,
    options: &[
        Opt::value("s", "srcGroup", "The group that has the offsets").required(),
        Opt::value("d", "destGroup", "The group that gets them").required(),
        TOPIC,
        Opt::value("o", "offline", "Accepted and of no effect, as in the original"),
    ],
    run: Run::By(|session, arguments| Box::pin(clone(session, arguments))),
};

/// The timestamp that stands for the end of the queues.
const END: i64 = -1;

async fn reset(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (group, topic, when) = (arguments.require("g")?, arguments.require("t")?, arguments.require("s")?);
    let time_ms = match when {
        "now" => text::now_ms(),
        _ => arguments.moment("s")?.unwrap_or_default(),
    };
    let queue_id: Option<i32> = arguments.number("q")?;
    let offset: Option<i64> = arguments.number("o")?;
    if let (Some(address), Some(queue_id @ 0..)) = (arguments.get("b"), queue_id) {
        line!(
            session,
            "start reset consumer offset by specified, group[{group}], topic[{topic}], queueId[{queue_id}], \
             broker[{address}], timestamp(string)[{when}], timestamp(long)[{time_ms}]"
        );
        return reset_queue(session, address, (group, topic, queue_id), (offset, time_ms)).await;
    }
    if let Some(address) = arguments.get("b").filter(|_| queue_id.is_none()) {
        return Err(Failure::argument(format!("-b {address} needs -q with a queue, too")));
    }
    let force = arguments.truth("f").unwrap_or(true);
    let start = format!(
        "group[{group}], topic[{topic}], force[{force}], timestamp(string)[{when}], timestamp(long)[{time_ms}]"
    );
    let route = targets::route(session, topic, arguments.get("c")).await?;
    match reset_all(session, &route, &Reset { group, topic, time_ms, force }).await {
        Ok(offsets) => {
            line!(session, "start reset consumer offset by specified, {start}");
            print_offsets(session, &offsets)
        }
        Err(failure) if failure.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => {
            // Brokers before 5.0 reset nothing for a group that is not on line: its offsets are committed instead.
            let rows = commit_all(session, &route, &Reset { group, topic, time_ms, force }).await?;
            line!(session, "reset consumer offset by specified consumer{}", start.replacen("group[", "Group[", 1));
            print_rollbacks(session, &rows, "#resetOffset")
        }
        Err(failure) => Err(failure),
    }
}

async fn skip(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (group, topic) = (arguments.require("g")?, arguments.require("t")?);
    let reset = Reset { group, topic, time_ms: END, force: arguments.truth("f").unwrap_or(true) };
    let route = targets::route(session, topic, arguments.get("c")).await?;
    match reset_all(session, &route, &reset).await {
        Ok(offsets) => print_offsets(session, &offsets),
        Err(failure) if failure.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => {
            let rows = commit_all(session, &route, &reset).await?;
            print_rollbacks(session, &rows, "#rollbackOffset")
        }
        Err(failure) => Err(failure),
    }
}

/// What to reset, and to when.
struct Reset<'a> {
    group: &'a str,
    topic: &'a str,
    time_ms: i64,
    force: bool,
}

/// Sets the offset of one queue to an offset, or to a moment.
async fn reset_queue(
    session: &Session<'_>,
    address: &str,
    (group, topic, queue_id): (&str, &str, i32),
    (offset, time_ms): (Option<i64>, i64),
) -> Result<()> {
    let queue = MessageQueue { broker_name: String::new(), queue_id, topic: topic.to_owned() };
    let offset = match offset {
        Some(offset) => offset,
        None => session.admin.offset_by_time(address, &queue, time_ms).await?,
    };
    line!(session, "reset consumer offset to {offset}");
    commit(session, address, group, (&queue, offset)).await?;
    if session.is_dry_run() {
        return Ok(());
    }
    let header =
        ResetOffsetRequestHeader { topic, group, queue_id, offset: Some(offset), timestamp: 0, is_force: false };
    match session.admin.reset_offsets(address, &header).await {
        // Who is not on line finds the committed offset.
        Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Sets the offsets on all brokers of a topic, which tell the members of the group.
async fn reset_all(
    session: &Session<'_>,
    route: &TopicRouteData,
    reset: &Reset<'_>,
) -> Result<BTreeMap<MessageQueue, i64>> {
    let mut all = BTreeMap::new();
    for (_, address) in targets::brokers(route) {
        let header = ResetOffsetRequestHeader {
            topic: reset.topic,
            group: reset.group,
            queue_id: -1,
            offset: None,
            timestamp: reset.time_ms,
            is_force: reset.force,
        };
        if session.is_dry_run() {
            let when = if reset.time_ms == END { "their ends".to_owned() } else { text::time_ms(reset.time_ms) };
            let what =
                format_args!("reset group {} in topic {} on broker {address} to {when}", reset.group, reset.topic);
            session.change(what, async { Ok(()) }).await?;
            continue;
        }
        all.extend(session.admin.reset_offsets(address, &header).await?);
    }
    Ok(all)
}

/// Commits an offset for a group.
async fn commit(
    session: &Session<'_>,
    address: &str,
    group: &str,
    (queue, offset): (&MessageQueue, i64),
) -> Result<()> {
    let (topic, id) = (&queue.topic, queue.queue_id);
    let what =
        format_args!("set the offset of group {group} in queue {id} of topic {topic} on broker {address} to {offset}");
    session.change(what, session.admin.commit_offset(address, group, queue, offset)).await
}

fn print_offsets(session: &Session<'_>, offsets: &BTreeMap<MessageQueue, i64>) -> Result<()> {
    line!(session, "{:<40}  {:<40}  {:<40}", "#brokerName", "#queueId", "#offset");
    for (queue, offset) in offsets {
        line!(session, "{:<40}  {:<40}  {offset:<40}", front(&queue.broker_name, 32), queue.queue_id);
    }
    Ok(())
}

/// What became of one queue's offset.
struct Rollback {
    broker_name: String,
    queue_id: i32,
    broker_offset: i64,
    consumer_offset: i64,
    timestamp_offset: i64,
    rollback_offset: i64,
}

/// Commits the offsets of a moment, queue by queue.
async fn commit_all(session: &Session<'_>, route: &TopicRouteData, reset: &Reset<'_>) -> Result<Vec<Rollback>> {
    let mut rows = Vec::new();
    for (_, address) in targets::brokers(route) {
        let stats = session.admin.consume_stats(address, reset.group, None).await?;
        let mut offsets: BTreeMap<MessageQueue, (i64, i64)> = stats
            .offset_table
            .into_iter()
            .filter(|(queue, _)| queue.topic == reset.topic)
            .map(|(queue, offset)| (queue, (offset.broker_offset, offset.consumer_offset)))
            .collect();
        if offsets.is_empty() {
            let stats = session.admin.topic_stats(address, reset.topic).await?;
            let queues = stats.offset_table.into_iter();
            offsets = queues.map(|(queue, offset)| (queue, (offset.max_offset, offset.min_offset))).collect();
        }
        for (queue, (broker_offset, consumer_offset)) in offsets {
            let timestamp_offset = match reset.time_ms {
                END => session.admin.max_offset(address, &queue).await?,
                time_ms => session.admin.offset_by_time(address, &queue, time_ms).await?,
            };
            let moves = reset.force || timestamp_offset <= consumer_offset;
            if moves {
                commit(session, address, reset.group, (&queue, timestamp_offset)).await?;
            }
            let rollback_offset = if moves { timestamp_offset } else { consumer_offset };
            let (broker_name, queue_id) = (queue.broker_name, queue.queue_id);
            rows.push(Rollback {
                broker_name,
                queue_id,
                broker_offset,
                consumer_offset,
                timestamp_offset,
                rollback_offset,
            });
        }
    }
    Ok(rows)
}

fn print_rollbacks(session: &Session<'_>, rows: &[Rollback], last: &str) -> Result<()> {
    line!(
        session,
        "{:<20}  {:<20}  {:<20}  {:<20}  {:<20}  {last:<20}",
        "#brokerName",
        "#queueId",
        "#brokerOffset",
        "#consumerOffset",
        "#timestampOffset"
    );
    for row in rows {
        line!(
            session,
            "{:<20}  {:<20}  {:<20}  {:<20}  {:<20}  {:<20}",
            front(&row.broker_name, 32),
            row.queue_id,
            row.broker_offset,
            row.consumer_offset,
            row.timestamp_offset,
            row.rollback_offset
        );
    }
    Ok(())
}

/// Java: `CloneGroupOffsetCommand`. The topic names the brokers; the offsets of all topics are given on.
async fn clone(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (source, target, topic) = (arguments.require("s")?, arguments.require("d")?, arguments.require("t")?);
    let stats = progress::stats_of(session, source).await?;
    let route = session.admin.topic_route(topic).await?;
    let brokers: BTreeMap<&str, &str> = targets::brokers(&route).into_iter().collect();
    // The retry topic is of the one group only.
    let own = format!("{RETRY_PREFIX}{source}");
    let offsets: Vec<_> = stats.offset_table.iter().filter(|(queue, _)| queue.topic != own).collect();
    if !offsets.iter().any(|(queue, _)| queue.topic == topic) {
        return Err(Failure::argument(format!("group {source} has no offsets in topic {topic}: nothing to give on")));
    }
    for (queue, offset) in offsets {
        let Some(address) = brokers.get(queue.broker_name.as_str()) else {
            let text =
                format!("broker {} is not in the route of {topic}: the offset of {queue} stays", queue.broker_name);
            session.complain(&Failure::argument(text));
            continue;
        };
        commit(session, address, target, (queue, offset.consumer_offset)).await?;
    }
    print!(session, "clone group offset success. srcGroup[{source}], destGroup=[{target}], topic[{topic}]");
    Ok(())
}
