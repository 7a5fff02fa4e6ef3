//! `statsAll` and `startMonitoring`: who consumes what, and how fast.

use std::collections::BTreeMap;
use std::time::Duration;

use raptormq_client::{ConsumeFrom, PullFrom};
use raptormq_protocol::body::{BrokerStatsData, MessageQueue, OffsetWrapper};
use raptormq_protocol::route::TopicRouteData;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::connection;
use crate::failure::{Failure, Result};
use crate::message::TOOLS_GROUP;
use crate::progress;
use crate::session::{Session, line, record};
use crate::targets::MASTER_ID;
use crate::text::{self, front};
use crate::topic::{self, DLQ_PREFIX, RETRY_PREFIX};

/// The statistic of messages put into a topic.
const PUT_NUMS: &str = "TOPIC_PUT_NUMS";
/// The statistic of messages that a group got of a topic.
const GET_NUMS: &str = "GROUP_GET_NUMS";
/// How often `startMonitoring` looks. Java: `MonitorConfig.roundInterval`.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);
/// The topic in which brokers say that a consumer's messages were deleted before it had them.
const OFFSET_MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";

pub(crate) const ALL: Command = Command {
    name: "statsAll",
    about: "Show how much is sent to each topic and consumed by each group",
    kind: Kind::Shows,
    options: &[
        Opt::flag("a", "activeTopic", "Only topics that something was sent to or consumed of today"),
        Opt::value("t", "topic", "Only this topic"),
    ],
    run: Run::By(|session, arguments| Box::pin(all(session, arguments))),
};

pub(crate) const MONITOR: Command = Command {
    name: "startMonitoring",
    about: "Watch all consumer groups and report on standard error which lag or lose messages",
    kind: Kind::Probes,
    options: &[],
    run: Run::By(|session, _| Box::pin(monitor(session))),
};

async fn all(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let wanted = arguments.get("t").filter(|topic| !topic.is_empty());
    let topics = session.admin.topics().await?;
    line!(
        session,
        "{:<64}  {:<64} {:>12} {:>11} {:>11} {:>14} {:>14}",
        "#Topic",
        "#Consumer Group",
        "#Accumulation",
        "#InTPS",
        "#OutTPS",
        "#InMsg24Hour",
        "#OutMsg24Hour"
    );
    for (at, name) in topics.iter().enumerate().filter(|(_, name)| wanted.is_none_or(|wanted| wanted == *name)) {
        session.progress(|| format!("topic {} of {}: {name}", at + 1, topics.len()));
        if name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX) {
            continue;
        }
        session.go_on(print_topic(session, name, arguments.has("a")).await)?;
    }
    match wanted.filter(|wanted| !topics.iter().any(|name| name == wanted)) {
        Some(unknown) => {
            Err(Failure::argument(format!("there is no topic {unknown}; topicList shows those that there are")))
        }
        None => Ok(()),
    }
}

/// What went into something or out of it.
#[derive(Clone, Copy, Default)]
struct Flow {
    /// In a second, over the last minute.
    per_second: f64,
    /// In the last 24 hours, or as long as there are figures.
    day: i64,
}

async fn print_topic(session: &Session<'_>, topic: &str, only_active: bool) -> Result<()> {
    let route = session.admin.topic_route(topic).await?;
    let sent = flow(session, &route, PUT_NUMS, topic).await;
    let groups = topic::groups_of(session, &route, topic).await?;
    for group in &groups {
        let got = flow(session, &route, GET_NUMS, &format!("{topic}@{group}")).await;
        // A group whose offsets are not known lags by nothing that is known; the reason is said.
        let stats = session.or_nothing(progress::stats_in(session, group, topic, &route).await);
        let lag = progress::total_diff(&stats).max(0);
        if !only_active || sent.day > 0 || got.day > 0 {
            record!(
                session,
                "topic": topic,
                "group": group,
                "accumulation": lag,
                "inTps": sent.per_second,
                "outTps": got.per_second,
                "inMsg24Hour": sent.day,
                "outMsg24Hour": got.day,
            );
            line!(
                session,
                "{:<64}  {:<64} {lag:>12} {:>11.2} {:>11.2} {:>14} {:>14}",
                front(topic, 64),
                front(group, 64),
                sent.per_second,
                got.per_second,
                sent.day,
                got.day
            );
        }
    }
    if groups.is_empty() && (!only_active || sent.day > 0) {
        record!(
            session,
            "topic": topic,
            "inTps": sent.per_second,
            "inMsg24Hour": sent.day,
        );
        line!(
            session,
            "{:<64}  {:<64} {:>12} {:>11.2} {:>11} {:>14} {:>14}",
            front(topic, 64),
            "",
            0,
            sent.per_second,
            "",
            sent.day,
            "NO_CONSUMER"
        );
    }
    Ok(())
}

/// A statistic, summed over the masters of a route. A broker without it has seen nothing of it.
async fn flow(session: &Session<'_>, route: &TopicRouteData, name: &str, key: &str) -> Flow {
    let mut sum = Flow::default();
    for address in route.broker_datas.iter().filter_map(|group| group.broker_addrs.get(&MASTER_ID)) {
        if let Ok(stats) = session.admin.stats(address, name, key).await {
            sum.per_second += stats.stats_minute.map_or(0.0, |minute| minute.tps);
            sum.day += day_of(&stats);
        }
    }
    sum
}

/// Messages that a broker stored in a topic: in a second, and in a day. One without the figure stored none.
pub(crate) async fn put(session: &Session<'_>, address: &str, topic: &str) -> (f64, i64) {
    let stats = session.admin.stats(address, PUT_NUMS, topic).await.ok();
    stats.map_or((0.0, 0), |stats| (stats.stats_minute.map_or(0.0, |minute| minute.tps), day_of(&stats)))
}

fn day_of(stats: &BrokerStatsData) -> i64 {
    let sums = [stats.stats_day, stats.stats_hour, stats.stats_minute].map(|item| item.map_or(0, |item| item.sum));
    sums.into_iter().find(|sum| *sum != 0).unwrap_or(0)
}

async fn monitor(session: &Session<'_>) -> Result<()> {
    let mut moved = session.admin.client().reader(OFFSET_MOVED_TOPIC).from(ConsumeFrom::Last).open().await?;
    let mut rounds = tokio::time::interval(ROUND_INTERVAL);
    loop {
        tokio::select! {
            _ = rounds.tick() => {
                session.go_on(round(session).await)?;
            }
            event = moved.next() => {
                let Some(event) = event else { return Ok(()) };
                let stored_ms = event.ext().store_timestamp_ms;
                let body = String::from_utf8_lossy(event.body()).into_owned();
                record!(session, "event": "deleteMsgs", "offsetMovedEvent": body, "eventTimestamp": stored_ms);
                session.flush()?;
                session.report(&format!(
                    "[MONITOR] reportDeleteMsgsEvent: DeleteMsgsEvent [offsetMovedEvent={body}, eventTimestamp={stored_ms}]"
                ));
            }
        }
    }
}

/// Looks at all groups once. Java: `tools/monitor/MonitorService.java`.
async fn round(session: &Session<'_>) -> Result<()> {
    session.begin_round();
    session.report("[MONITOR] =========================================beginRound");
    for topic in session.admin.topics().await? {
        let Some(group) = topic.strip_prefix(RETRY_PREFIX) else { continue };
        // Who is not on line has nobody who could be told.
        let Ok(address) = connection::broker_of_group(session, group).await else { continue };
        if connection::members(session, &address, group).await.is_err() {
            continue;
        }
        let stats = session.or_nothing(progress::stats_of(session, group).await);
        let mut topics: BTreeMap<&str, Vec<(&MessageQueue, &OffsetWrapper)>> = BTreeMap::new();
        for (queue, offset) in &stats.offset_table {
            topics.entry(&queue.topic).or_default().push((queue, offset));
        }
        for (topic, queues) in topics {
            report_lag(session, group, topic, &queues).await?;
        }
    }
    session.report("[MONITOR] =========================================endRound");
    Ok(())
}

async fn report_lag(
    session: &Session<'_>,
    group: &str,
    topic: &str,
    queues: &[(&MessageQueue, &OffsetWrapper)],
) -> Result<()> {
    let (mut total, mut most, mut delay_ms) = (0, 0, 0);
    for (queue, offset) in queues {
        let diff = (offset.broker_offset - offset.consumer_offset).max(0);
        (total, most) = (total + diff, most.max(diff));
        if diff > 0 && offset.last_timestamp > 0 {
            let newest_ms = newest(session, queue, offset.broker_offset).await.unwrap_or(offset.last_timestamp);
            delay_ms = delay_ms.max(newest_ms - offset.last_timestamp);
        }
    }
    record!(
        session,
        "event": "undoneMsgs",
        "consumerGroup": group,
        "topic": topic,
        "undoneMsgsTotal": total,
        "undoneMsgsSingleMQ": most,
        "undoneMsgsDelayTimeMills": delay_ms,
    );
    session.report(&format!(
        "[MONITOR] reportUndoneMsgs: UndoneMsgs [consumerGroup={group}, topic={topic}, undoneMsgsTotal={total}, \
         undoneMsgsSingleMQ={most}, undoneMsgsDelayTimeMills={delay_ms}]"
    ));
    session.flush()
}

/// When the last message of a queue was stored, ms since 1970.
async fn newest(session: &Session<'_>, queue: &MessageQueue, end: i64) -> Option<i64> {
    let address = crate::message::address_of(session, &queue.topic, &queue.broker_name).await.ok()?;
    let from = PullFrom { queue, group: TOOLS_GROUP, expression: "*", offset: end - 1, messages_max: 1 };
    let pulled = session.admin.pull(&address, from).await.ok()?;
    pulled.messages.first().map(|message| message.store_timestamp_ms)
}

/// When something happened, for lines of a log.
pub(crate) fn stamp() -> String {
    text::time_ms(text::now_ms())
}
