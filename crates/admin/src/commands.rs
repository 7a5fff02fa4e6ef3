//! All commands, in the original's order. Java: `MQAdminStartup.initCommand`.

use crate::command::Command;
use crate::{
    absent, broker, cluster, connection, consumer_info, dump, export, group, ha, lists, message, name_server, offset,
    print_messages, progress, send, stats, topic, trace,
};

/// Every command that there is.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter()
}

/// The command of that name; upper and lower case are the same.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name.eq_ignore_ascii_case(name))
}

/// Whether a command is from older releases: it works, and is not listed.
pub(crate) fn is_old(command: &Command) -> bool {
    command.name == consumer_info::OFFSETS.name
}

const COMMANDS: &[Command] = &[
    topic::UPDATE,
    lists::TOPICS,
    topic::DELETE,
    group::UPDATE,
    lists::GROUPS,
    group::SET_MODE,
    group::DELETE,
    broker::UPDATE_CONFIG,
    topic::UPDATE_PERM,
    topic::ROUTE,
    topic::STATUS,
    topic::CLUSTERS,
    absent::ADD_BROKER,
    absent::REMOVE_BROKER,
    broker::RESET_MASTER_FLUSH_OFFSET,
    broker::STATUS,
    message::BY_ID,
    message::BY_KEY,
    message::BY_UNIQUE_KEY,
    message::BY_OFFSET,
    trace::COMMAND,
    print_messages::PRINT,
    print_messages::PRINT_QUEUE,
    send::PROBE_BROKER,
    broker::CONSUME_STATS,
    connection::PRODUCERS,
    connection::CONSUMERS,
    progress::COMMAND,
    consumer_info::STATUS,
    offset::CLONE,
    connection::ALL_PRODUCERS,
    cluster::LIST,
    topic::LIST,
    name_server::PUT_KV,
    name_server::DELETE_KV,
    name_server::WIPE_PERM,
    name_server::ADD_PERM,
    offset::RESET,
    offset::SKIP,
    topic::UPDATE_ORDER,
    broker::CLEAN_QUEUES,
    broker::DELETE_LOG,
    broker::CLEAN_TOPICS,
    stats::MONITOR,
    stats::ALL,
    topic::ALLOCATE,
    send::PROBE_TOPIC,
    send::PROBE_CLUSTER,
    name_server::GET_CONFIG,
    name_server::UPDATE_CONFIG,
    broker::GET_CONFIG,
    group::GET,
    message::QUEUE,
    send::SEND,
    print_messages::CONSUME,
    absent::UPDATE_STATIC_TOPIC,
    absent::REMAPPING_STATIC_TOPIC,
    export::METADATA,
    export::CONFIGS,
    export::METRICS,
    absent::EXPORT_METADATA_IN_ROCKS_DB,
    absent::EXPORT_POP_RECORD,
    ha::STATUS,
    absent::GET_SYNC_STATE_SET,
    absent::GET_BROKER_EPOCH,
    absent::GET_CONTROLLER_META_DATA,
    absent::GET_CONTROLLER_CONFIG,
    absent::UPDATE_CONTROLLER_CONFIG,
    absent::ELECT_MASTER,
    absent::CLEAN_BROKER_METADATA,
    dump::COMMAND,
    absent::GET_COLD_DATA_FLOW_CTR_INFO,
    absent::UPDATE_COLD_DATA_FLOW_CTR_GROUP_CONFIG,
    absent::REMOVE_COLD_DATA_FLOW_CTR_GROUP_CONFIG,
    broker::SET_READ_AHEAD,
    absent::CREATE_USER,
    absent::UPDATE_USER,
    absent::DELETE_USER,
    absent::GET_USER,
    absent::LIST_USER,
    absent::COPY_USER,
    absent::CREATE_ACL,
    absent::UPDATE_ACL,
    absent::DELETE_ACL,
    absent::GET_ACL,
    absent::LIST_ACL,
    absent::COPY_ACL,
    absent::ROCKS_DBCONFIG_TO_JSON,
    absent::CHECK_ROCKSDB_CQ_WRITE_PROGRESS,
    consumer_info::OFFSETS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commons_cli::Need;

    /// Commands and their options as a live 5.3.3 has them.
    const RECORDED: &str = include_str!("../../../golden/mqadmin/options.tsv");

    #[test]
    fn names_letters_and_needs_are_the_originals() {
        let rows: Vec<Vec<&str>> = RECORDED.lines().skip(1).map(|row| row.split('\t').collect()).collect();
        let mut ours = Vec::new();
        for command in all().filter(|command| !is_old(command)) {
            for option in command.known() {
                let needs = match option.need {
                    Need::Optional => "no",
                    Need::Required => "yes",
                    Need::OneOf(_) => "one-of",
                };
                let value = if option.takes_value { "yes" } else { "no" };
                let short = if option.short.is_empty() { "-".to_owned() } else { option.short.clone() };
                ours.push(format!("{} {short} {} {value} {needs}", command.name, option.long));
            }
        }
        let mut recorded: Vec<String> =
            rows.iter().map(|row| format!("{} {} {} {} {}", row[0], row[2], row[3], row[4], row[5])).collect();
        ours.sort();
        recorded.sort();
        let missing: Vec<_> = recorded.iter().filter(|row| !ours.contains(row)).collect();
        let more: Vec<_> = ours.iter().filter(|row| !recorded.contains(row)).collect();
        assert!(missing.is_empty() && more.is_empty(), "not ours: {missing:#?}\nonly ours: {more:#?}");
    }
}
