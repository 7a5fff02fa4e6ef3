//! Commands that ask consumers themselves, through their broker.

use std::fmt::Write as _;
use std::path::Path;

use raptormq_protocol::body::{ConsumerRunningInfo, ProcessQueueInfo};
use raptormq_protocol::hash::sort_as_java_map;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::connection;
use crate::failure::{Failure, Result};
use crate::session::{Session, line, print, record};
use crate::text::{self, front};

/// Property of a consumer that says whether messages are pushed to it. Java: `ConsumerRunningInfo.PROP_CONSUME_TYPE`.
const CONSUME_TYPE: &str = "PROP_CONSUME_TYPE";
/// Its value for one that they are pushed to.
const PUSH: &str = "CONSUME_PASSIVELY";
/// Property that says whether it consumes in order.
const ORDERLY: &str = "PROP_CONSUMEORDERLY";
/// Property that says since when it runs.
const START_TIMESTAMP: &str = "PROP_CONSUMER_START_TIMESTAMP";
/// For how long members may differ in what they subscribe to: a release is being rolled out.
const START_PHASE_MS: i64 = 120_000;
/// After how long without consuming a queue that has messages is worth a word.
const BLOCKED_MS: i64 = 60_000;

pub(crate) const STATUS: Command = Command {
    name: "consumerStatus",
    about: "Ask the members of a consumer group for all they know of themselves",
    kind: Kind::Shows,
    options: &[
        Opt::value("g", "consumerGroup", "Name of the consumer group").required(),
        Opt::value("i", "clientId", "Only this member, printed instead of written to a file"),
        Opt::value("b", "brokerAddr", "The broker to ask for the members, host:port; else one of the group's"),
        Opt::flag("s", "jstack", "With what its threads are doing"),
    ],
    run: Run::By(|session, arguments| Box::pin(status(session, arguments))),
};

pub(crate) const OFFSETS: Command = Command {
    name: "getConsumerStatus",
    about: "Ask the members of a consumer group for their offsets",
    kind: Kind::Shows,
    options: &[
        Opt::value("g", "group", "Name of the consumer group").required(),
        Opt::value("t", "topic", "Name of the topic").required(),
        Opt::value("i", "originClientId", "Only this member"),
    ],
    run: Run::By(|session, arguments| Box::pin(offsets(session, arguments))),
};

/// Whether messages are pushed to the consumer.
pub(crate) fn is_push(info: &ConsumerRunningInfo) -> bool {
    info.properties.get(CONSUME_TYPE).is_some_and(|kind| kind == PUSH)
}

async fn status(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let group = arguments.require("g")?;
    let of_group = connection::broker_of_group(session, group).await;
    let asked = match arguments.get("b") {
        Some(address) => address.to_owned(),
        None => of_group.as_ref().map_err(|failure| Failure::argument(failure.to_string()))?.clone(),
    };
    let address = of_group.unwrap_or_else(|_| asked.clone());
    let members = connection::members(session, &asked, group).await?;
    let jstack = arguments.has("s");
    if let Some(client) = arguments.get("i") {
        let info = session.admin.running_info(&address, group, client, jstack).await?;
        record!(session, "clientId": client, "runningInfo": in_json(&info));
        print!(session, "{}", shown(&info));
        return Ok(());
    }
    let folder = text::now_ms().to_string();
    let mut found: Vec<(String, ConsumerRunningInfo)> = Vec::new();
    line!(session, "{:<10} {:<40} {:<20} #ConsumerRunningInfoFile", "#Index", "#ClientId", "#Version");
    for member in &members.connection_set {
        let client = &member.client_id;
        let info = match session.admin.running_info(&address, group, client, jstack).await {
            Ok(info) => info,
            Err(error) => {
                session.complain(&error.into());
                continue;
            }
        };
        if session.is_json() {
            record!(session, "clientId": client, "runningInfo": in_json(&info));
            continue;
        }
        let path = write(&folder, client, &shown(&info))?;
        found.push((client.clone(), info));
        line!(session, "{:<10} {client:<40} {:<20} {path}", found.len(), text::version(member.version));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    print_verdict(session, &found)
}

/// All that a consumer says of itself. Queues are no keys in JSON: they stand in the rows.
fn in_json(info: &ConsumerRunningInfo) -> serde_json::Value {
    let queues = info.mq_table.iter().map(|(queue, state)| serde_json::json!({ "queue": queue, "state": state }));
    let pop_queues =
        info.mq_pop_table.iter().map(|(queue, state)| serde_json::json!({ "queue": queue, "state": state }));
    serde_json::json!({
        "properties": info.properties,
        "subscriptions": info.subscription_set,
        "queues": queues.collect::<Vec<_>>(),
        "popQueues": pop_queues.collect::<Vec<_>>(),
        "status": info.status_table,
        "userConsumerInfo": info.user_consumer_info,
        "jstack": info.jstack,
    })
}

/// Writes what a member said to a file in the working folder, and returns its path. A client id is no path: what could
/// lead elsewhere is replaced.
fn write(folder: &str, client: &str, text: &str) -> Result<String> {
    let name = client.replace(['/', '\\'], "_");
    let path = format!("{folder}/{name}");
    let failed = |error| Failure::File { path: path.clone(), error };
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(Path::new(folder).join(&name), text).map_err(failed)?;
    Ok(path)
}

/// Says whether the members of a group fit together. Java: `ConsumerRunningInfo.analyzeSubscription` and the like.
fn print_verdict(session: &Session<'_>, members: &[(String, ConsumerRunningInfo)]) -> Result<()> {
    let Some((_, first)) = members.first() else { return Ok(()) };
    let start = first.properties.get(START_TIMESTAMP).and_then(|start| start.parse().ok());
    let is_settled = start.is_some_and(|start: i64| text::now_ms() - start > START_PHASE_MS);
    let is_same = members.windows(2).all(|pair| pair[0].1.subscription_set == pair[1].1.subscription_set);
    if is_push(first) && is_settled && !is_same {
        print!(session, "\n\nWARN: Different subscription in the same group of consumer!!!");
        return Ok(());
    }
    print!(session, "\n\nSame subscription in the same group of consumer");
    print!(session, "\n\nRebalance OK\n");
    for (client, info) in members.iter().filter(|(_, info)| is_push(info)) {
        let is_orderly = info.properties.get(ORDERLY).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        for (queue, state) in &info.mq_table {
            let now_ms = text::now_ms();
            let (unlocked_ms, idle_ms) = (now_ms - state.last_lock_timestamp, now_ms - state.last_consume_timestamp);
            if is_orderly && !state.locked {
                line!(session, "{client} {queue} can't lock for a while, {unlocked_ms}ms");
            } else if is_orderly && state.droped && state.try_unlock_times > 0 {
                line!(session, "{client} {queue} unlock {} times, still failed", state.try_unlock_times);
            } else if !is_orderly && idle_ms > BLOCKED_MS && state.cached_msg_count > 0 {
                line!(session, "{client} {queue} can't consume for a while, maybe blocked, {idle_ms}ms");
            }
        }
    }
    Ok(())
}

/// All that a consumer says of itself. Java: `ConsumerRunningInfo.formatString`.
fn shown(info: &ConsumerRunningInfo) -> String {
    let mut text = String::from("#Consumer Properties#\n");
    let queue_head = |text: &mut String, topic_width: usize, last: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<topic_width$}  {:<32}  {:<4}  {last:<20}", "#Topic", "#Broker Name", "#QID");
    };
    let mut properties: Vec<(&String, &String)> = info.properties.iter().collect();
    sort_as_java_map(&mut properties, |(key, _)| key);
    for (key, value) in properties {
        let _ = writeln!(text, "{key:<40}: {value}");
    }
    text.push_str("\n\n#Consumer Subscription#\n");
    for (at, one) in info.subscription_set.iter().enumerate() {
        let (number, mode) = (at + 1, one.class_filter_mode.to_string());
        let _ = writeln!(
            text,
            "{number:03} Topic: {:<40} ClassFilter: {mode:<8} SubExpression: {}",
            one.topic, one.sub_string
        );
    }
    text.push_str("\n\n#Consumer Offset#\n");
    queue_head(&mut text, 64, "#Consumer Offset");
    for (queue, state) in &info.mq_table {
        let (topic, broker, id) = (&queue.topic, &queue.broker_name, queue.queue_id);
        let _ = writeln!(text, "{topic:<32}  {broker:<32}  {id:<4}  {:<20}", state.commit_offset);
    }
    text.push_str("\n\n#Consumer MQ Detail#\n");
    queue_head(&mut text, 64, "#ProcessQueueInfo");
    for (queue, state) in &info.mq_table {
        let (topic, broker, id) = (&queue.topic, &queue.broker_name, queue.queue_id);
        let _ = writeln!(text, "{topic:<64}  {broker:<32}  {id:<4}  {}", shown_state(state));
    }
    text.push_str("\n\n#Consumer Pop Detail#\n");
    queue_head(&mut text, 32, "#ProcessQueueInfo");
    for (queue, state) in &info.mq_pop_table {
        let (topic, broker, id) = (&queue.topic, &queue.broker_name, queue.queue_id);
        let _ = writeln!(
            text,
            "{topic:<32}  {broker:<32}  {id:<4}  PopProcessQueueInfo [waitAckCount:{}, droped:{}, lastPopTimestamp:{}]",
            state.wait_ack_count, state.droped, state.last_pop_timestamp
        );
    }
    append_figures(&mut text, info);
    text
}

fn append_figures(text: &mut String, info: &ConsumerRunningInfo) {
    text.push_str("\n\n#Consumer RT&TPS#\n");
    let _ = writeln!(
        text,
        "{:<64}  {:>14} {:>14} {:>14} {:>14} {:>18} {:>25}",
        "#Topic",
        "#Pull RT",
        "#Pull TPS",
        "#Consume RT",
        "#ConsumeOK TPS",
        "#ConsumeFailed TPS",
        "#ConsumeFailedMsgsInHour"
    );
    for (topic, figures) in &info.status_table {
        let _ = writeln!(
            text,
            "{topic:<32}  {:>14.2} {:>14.2} {:>14.2} {:>14.2} {:>18.2} {:>25}",
            figures.pull_rt,
            figures.pull_tps,
            figures.consume_rt,
            figures.consume_ok_tps,
            figures.consume_failed_tps,
            figures.consume_failed_msgs
        );
    }
    text.push_str("\n\n#User Consume Info#\n");
    for (key, value) in &info.user_consumer_info {
        let _ = writeln!(text, "{key:<40}: {value}");
    }
    if let Some(jstack) = &info.jstack {
        text.push_str("\n\n#Consumer jstack#\n");
        text.push_str(jstack);
    }
}

/// Java: `ProcessQueueInfo.toString`.
fn shown_state(state: &ProcessQueueInfo) -> String {
    format!(
        "ProcessQueueInfo [commitOffset={}, cachedMsgMinOffset={}, cachedMsgMaxOffset={}, cachedMsgCount={}, \
         cachedMsgSizeInMiB={}, transactionMsgMinOffset={}, transactionMsgMaxOffset={}, transactionMsgCount={}, \
         locked={}, tryUnlockTimes={}, lastLockTimestamp={}, droped={}, lastPullTimestamp={}, \
         lastConsumeTimestamp={}]",
        state.commit_offset,
        state.cached_msg_min_offset,
        state.cached_msg_max_offset,
        state.cached_msg_count,
        state.cached_msg_size_in_mi_b,
        state.transaction_msg_min_offset,
        state.transaction_msg_max_offset,
        state.transaction_msg_count,
        state.locked,
        state.try_unlock_times,
        text::time_number(state.last_lock_timestamp),
        state.droped,
        text::time_number(state.last_pull_timestamp),
        text::time_number(state.last_consume_timestamp)
    )
}

async fn offsets(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (group, topic) = (arguments.require("g")?, arguments.require("t")?);
    let client = arguments.get("i").filter(|client| !client.is_empty());
    let address = connection::broker_of_group(session, group).await?;
    let table = session.admin.member_offsets(&address, topic, group, client).await?;
    let shown = client.unwrap_or_default();
    line!(session, "get consumer status from client. group={group}, topic={topic}, originClientId={shown}");
    line!(session, "{:<50}  {:<15}  {:<15}  {:<20}", "#clientId", "#brokerName", "#queueId", "#offset");
    for (client, offsets) in &table {
        for (queue, offset) in offsets {
            record!(
                session,
                "clientId": client,
                "brokerName": queue.broker_name,
                "queueId": queue.queue_id,
                "offset": offset,
            );
            let client = front(client, 50);
            line!(session, "{client:<50}  {:<15}  {:<15}  {offset:<20}", queue.broker_name, queue.queue_id);
        }
    }
    Ok(())
}
