//! Commands about single brokers: their settings, their figures, their house-keeping.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use raptormq_client::Admin;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::session::{Session, line, print, record};
use crate::targets::{self, MASTER_ID};
use crate::text::{self, front};

const BROKER: Opt = Opt::value("b", "brokerAddr", "The broker, host:port");
const CLUSTER: Opt = Opt::value("c", "clusterName", "All brokers of this cluster");
const ALL: Opt = Opt::value("c", "cluster", "All brokers of this cluster; without it and -b, of all clusters");

pub(crate) const UPDATE_CONFIG: Command = Command {
    name: "updateBrokerConfig",
    about: "Change a setting of brokers while they run",
    kind: Kind::Changes,
    options: &[
        BROKER,
        Opt::value("c", "clusterName", "All masters of this cluster"),
        Opt::value("a", "updateAllBroker", "With -c: slaves, too"),
        Opt::value("k", "key", "Key of the setting").required(),
        Opt::value("v", "value", "Its new value").required(),
    ],
    run: Run::By(|session, arguments| Box::pin(update_config(session, arguments))),
};

pub(crate) const GET_CONFIG: Command = Command {
    name: "getBrokerConfig",
    about: "Show the settings of brokers",
    kind: Kind::Shows,
    options: &[BROKER, CLUSTER],
    run: Run::By(|session, arguments| Box::pin(get_config(session, arguments))),
};

pub(crate) const STATUS: Command = Command {
    name: "brokerStatus",
    about: "Show the figures of brokers",
    kind: Kind::Shows,
    options: &[BROKER.one_of(), CLUSTER.one_of()],
    run: Run::By(|session, arguments| Box::pin(status(session, arguments))),
};

pub(crate) const CONSUME_STATS: Command = Command {
    name: "brokerConsumeStats",
    about: "Show how far all consumer groups of a broker are",
    kind: Kind::Shows,
    options: &[
        BROKER.required(),
        Opt::number("t", "timeoutMillis", "How long the broker may take, milliseconds; 50000 unless given"),
        Opt::number("l", "level", "Only queues with at least so many messages to consume"),
        Opt::value("o", "order", "Whether to show only globally ordered topics, true or false"),
    ],
    run: Run::By(|session, arguments| Box::pin(consume_stats(session, arguments))),
};

pub(crate) const CLEAN_QUEUES: Command = Command {
    name: "cleanExpiredCQ",
    about: "Have brokers delete what queues hold of messages that are gone",
    kind: Kind::Changes,
    options: &[BROKER, ALL],
    run: Run::By(|session, arguments| Box::pin(clean(session, arguments, Task::Queues))),
};

pub(crate) const CLEAN_TOPICS: Command = Command {
    name: "cleanUnusedTopic",
    about: "Have brokers delete the queues of topics that are gone",
    kind: Kind::Changes,
    options: &[BROKER, ALL],
    run: Run::By(|session, arguments| Box::pin(clean(session, arguments, Task::Topics))),
};

pub(crate) const DELETE_LOG: Command = Command {
    name: "deleteExpiredCommitLog",
    about: "Have brokers delete files of their logs that are old enough",
    kind: Kind::Changes,
    options: &[BROKER, ALL],
    run: Run::By(|session, arguments| Box::pin(clean(session, arguments, Task::Log))),
};

pub(crate) const RESET_MASTER_FLUSH_OFFSET: Command = Command {
    name: "resetMasterFlushOffset",
    about: "Tell a slave how far its master's log is on disk, which only slaves of Java's have a use for",
    kind: Kind::Changes,
    options: &[Opt::value("b", "brokerAddr", "The broker, host:port"), Opt::number("o", "offset", "The offset")],
    run: Run::By(|session, arguments| Box::pin(reset_master_flush_offset(session, arguments))),
};

pub(crate) const SET_READ_AHEAD: Command = Command {
    name: "setCommitLogReadAheadMode",
    about: "Have the disk read on in the log behind what is read, or not",
    kind: Kind::Changes,
    options: &[
        BROKER,
        CLUSTER,
        Opt::number("m", "commitLogReadAheadMode", "0 to read on, 1 to read no more than is asked for").required(),
    ],
    run: Run::By(|session, arguments| Box::pin(set_read_ahead(session, arguments))),
};

async fn set_read_ahead(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let reads_ahead = match arguments.number::<i64>("m")? {
        Some(0) => true,
        Some(1) => false,
        _ => {
            line!(session, "set the read mode error; 0 is default, 1 random read");
            return Err(Failure::argument(format!("-m {}: 0 or 1 is expected", arguments.require("m")?)));
        }
    };
    let places = match (arguments.get("b"), arguments.get("c")) {
        (Some(address), _) => vec![(format!("============{address}============"), Some(address.to_owned()))],
        (None, Some(cluster)) => headed(session, cluster).await?,
        (None, None) => return Err(Failure::Usage),
    };
    for (head, address) in places {
        line!(session, " {head}");
        let Some(address) = address else { continue };
        if session.is_dry_run() {
            let what = if reads_ahead { "read on in its log" } else { "read no more of its log than is asked for" };
            session.change(format_args!("have broker {address} {what}"), async { Ok(()) }).await?;
            continue;
        }
        let answer = session.admin.set_read_ahead(&address, reads_ahead).await?;
        line!(session, "commitLog set readAhead mode rstStr{answer}");
    }
    Ok(())
}

async fn reset_master_flush_offset(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let address = arguments.require("b")?;
    let missing = || Failure::argument("option -o is missing");
    let offset = arguments.number("o")?.ok_or_else(missing)?;
    let work = session.admin.reset_master_flush_offset(address, offset);
    session.change(format_args!("tell {address} that its master's log is on disk up to {offset}"), work).await?;
    line!(session, "reset master flush offset to {offset} success");
    Ok(())
}

async fn update_config(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let settings = BTreeMap::from([(arguments.require("k")?.to_owned(), arguments.require("v")?.to_owned())]);
    if let Some(address) = arguments.get("b") {
        change(session, address, &settings).await?;
        line!(session, "update broker config success, {address}");
        return Ok(());
    }
    let Some(cluster) = arguments.get("c") else { return Err(Failure::Usage) };
    let addresses = match arguments.has("a") {
        true => targets::members(session, cluster).await?,
        false => targets::masters(session, cluster).await?,
    };
    for address in addresses {
        match change(session, &address, &settings).await {
            Ok(()) => line!(session, "update broker config success, {address}"),
            Err(failure) => session.complain(&failure),
        }
    }
    Ok(())
}

/// Changes a setting of a broker. That it has no such key, or did not take the value, is a failure: the original's broker
/// says that it is done.
async fn change(session: &Session<'_>, address: &str, settings: &BTreeMap<String, String>) -> Result<()> {
    check_keys(address, &session.admin.broker_config(address).await?, settings)?;
    let wanted: Vec<_> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let update = session.admin.update_broker_config(address, settings);
    session.change(format_args!("set {} on broker {address}", wanted.join(", ")), update).await?;
    if session.is_dry_run() {
        return Ok(());
    }
    check_values(address, &session.admin.broker_config(address).await?, settings)
}

/// Refuses keys that a server does not have.
pub(crate) fn check_keys(
    address: &str,
    known: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Result<()> {
    match wanted.keys().find(|key| !known.contains_key(*key)) {
        Some(key) => {
            Err(Failure::argument(format!("{address} has no setting {key}; see getBrokerConfig, getNamesrvConfig")))
        }
        None => Ok(()),
    }
}

/// Says which values a server did not take.
pub(crate) fn check_values(
    address: &str,
    known: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Result<()> {
    let is_same = |one: &str, other: &str| {
        one.eq_ignore_ascii_case(other) || one.parse::<f64>().is_ok_and(|number| other.parse() == Ok(number))
    };
    for (key, value) in wanted {
        let now = known.get(key).map_or("", String::as_str);
        if !is_same(now, value) {
            return Err(Failure::argument(format!("{address} did not take {key}={value}: it still is {now}")));
        }
    }
    Ok(())
}

async fn get_config(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    if let Some(address) = arguments.get("b") {
        return print_config(session, &format!("============{address}============"), address).await;
    }
    let Some(cluster) = arguments.get("c") else {
        return Err(Failure::argument("name a broker with -b HOST:PORT or a cluster with -c NAME"));
    };
    for (head, address) in headed(session, cluster).await? {
        match address {
            Some(address) => print_config(session, &head, &address).await?,
            None => line!(session, "{head}"),
        }
    }
    Ok(())
}

/// The brokers of a cluster, each slave behind its master, with what stands above what is shown of it; a master that is not
/// there has no address.
async fn headed(session: &Session<'_>, cluster: &str) -> Result<Vec<(String, Option<String>)>> {
    let mut all = Vec::new();
    for group in targets::groups_of(session, cluster).await? {
        let master = group.broker_addrs.get(&MASTER_ID);
        let name = master.map_or("NO_MASTER", String::as_str);
        all.push((format!("============Master: {name}============"), master.cloned()));
        for slave in group.broker_addrs.iter().filter(|(id, _)| **id != MASTER_ID).map(|(_, address)| address) {
            all.push((format!("============My Master: {name}=====Slave: {slave}============"), Some(slave.clone())));
        }
    }
    Ok(all)
}

async fn print_config(session: &Session<'_>, head: &str, address: &str) -> Result<()> {
    line!(session, "{head}");
    let settings = session.admin.broker_config(address).await?;
    record!(session, "address": address, "settings": settings);
    for (key, value) in settings {
        line!(session, "{key:<50}=  {value}");
    }
    line!(session);
    Ok(())
}

async fn status(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    if let Some(address) = arguments.get("b") {
        let figures = session.admin.runtime_info(address).await?;
        record!(session, "address": address, "figures": figures);
        for (key, value) in figures {
            line!(session, "{key:<32}: {value}");
        }
        return Ok(());
    }
    for address in targets::members(session, arguments.require("c")?).await? {
        match session.admin.runtime_info(&address).await {
            Ok(figures) => {
                record!(session, "address": address, "figures": figures);
                for (key, value) in figures {
                    line!(session, "{address:<24} {key:<32}: {value}");
                }
            }
            Err(error) => session.complain(&error.into()),
        }
    }
    Ok(())
}

async fn consume_stats(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let address = arguments.require("b")?;
    let level: i64 = arguments.number("l")?.unwrap_or(0);
    let timeout = Duration::from_millis(arguments.number("t")?.unwrap_or(50_000));
    let admin = session.admin.with_timeout(timeout);
    let stats = admin.all_consume_stats(address, arguments.truth("o").unwrap_or(false)).await?;
    line!(
        session,
        "{:<64}  {:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {:<20}  #LastTime",
        "#Topic",
        "#Group",
        "#Broker Name",
        "#QID",
        "#Broker Offset",
        "#Consumer Offset",
        "#Diff"
    );
    let groups = stats.consume_stats_list.iter().flatten();
    for (group, queues) in groups.flat_map(|(group, stats)| stats.iter().map(move |stats| (group, stats))) {
        for (queue, offset) in &queues.offset_table {
            let diff = offset.broker_offset - offset.consumer_offset;
            if diff < level || offset.last_timestamp <= 0 {
                continue;
            }
            record!(
                session,
                "topic": queue.topic,
                "group": group,
                "brokerName": queue.broker_name,
                "queueId": queue.queue_id,
                "brokerOffset": offset.broker_offset,
                "consumerOffset": offset.consumer_offset,
                "diff": diff,
                "lastTimestamp": offset.last_timestamp,
            );
            line!(
                session,
                "{:<64}  {group:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {diff:<20}  {}",
                front(&queue.topic, 64),
                front(&queue.broker_name, 32),
                queue.queue_id,
                offset.broker_offset,
                offset.consumer_offset,
                text::time(offset.last_timestamp)
            );
        }
    }
    line!(session, "\nDiff Total: {}", stats.total_diff);
    Ok(())
}

/// What brokers are asked to clean.
#[derive(Clone, Copy)]
enum Task {
    Queues,
    Topics,
    Log,
}

impl Task {
    fn what(self) -> &'static str {
        match self {
            Task::Queues => "delete what queues hold of messages that are gone",
            Task::Topics => "delete the queues of topics that are gone",
            Task::Log => "delete the files of the log that are old enough",
        }
    }
}

async fn clean(session: &Session<'_>, arguments: &Arguments, task: Task) -> Result<()> {
    let addresses = match (arguments.get("b"), arguments.get("c").filter(|cluster| !cluster.is_empty())) {
        (Some(address), _) => BTreeSet::from([address.to_owned()]),
        (None, wanted) => {
            let info = session.admin.cluster_info().await?;
            let clusters = info.cluster_addr_table.iter().filter(|(name, _)| wanted.is_none_or(|one| one == *name));
            let groups = clusters.flat_map(|(_, names)| names).filter_map(|name| info.broker_addr_table.get(name));
            groups.flat_map(|group| group.broker_addrs.values().cloned()).collect()
        }
    };
    for address in &addresses {
        session.change(format_args!("{} on broker {address}", task.what()), run(&session.admin, address, task)).await?;
    }
    if addresses.is_empty() {
        print!(session, "false");
        return Err(targets::no_such_cluster(arguments.get("c").unwrap_or("with a broker")));
    }
    print!(session, "success");
    Ok(())
}

async fn run(admin: &Admin, address: &str, task: Task) -> raptormq_client::Result<()> {
    match task {
        Task::Queues => admin.clean_expired_queues(address).await,
        Task::Topics => admin.clean_unused_topics(address).await,
        Task::Log => admin.delete_expired_log(address).await,
    }
}
