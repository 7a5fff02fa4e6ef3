//! `exportMetadata`, `exportConfigs`, `exportMetrics`: what brokers have and are, written to files as JSON.

use std::collections::{BTreeMap, BTreeSet};

use raptormq_protocol::body::{DataVersion, SubscriptionGroupConfig, TopicConfig};
use raptormq_protocol::command::Version;
use raptormq_protocol::hash::sort_as_java_map;
use raptormq_protocol::json;
use raptormq_protocol::route::BrokerData;
use serde::{Serialize, Serializer};

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::connection;
use crate::failure::{Failure, Result};
use crate::file;
use crate::session::{Session, line, print};
use crate::stats;
use crate::targets::{self, MASTER_ID};
use crate::text;
use crate::topic::{DLQ_PREFIX, RETRY_PREFIX};

/// Where files are written unless another folder is named.
const FOLDER: &str = "/tmp/rocketmq/export";
/// What the names of brokers' own topics of 5.x begin with.
const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// What the names of brokers' own groups begin with.
const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";
/// Groups that brokers and tools have for themselves. Java: `DefaultMQAdminExtImpl.SYSTEM_GROUP_SET`.
const SYSTEM_GROUPS: [&str; 14] = [
    "DEFAULT_CONSUMER",
    "DEFAULT_PRODUCER",
    "TOOLS_CONSUMER",
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "CLIENT_INNER_PRODUCER",
    "SELF_TEST_P_GROUP",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_ONSAPI_PULL",
    "CID_RMQ_SYS_TRANS",
];
/// Settings that matter to somebody who moves a cluster. Those that share a place in Java's hash table stand as they do
/// there. Java: `ExportConfigsCommand.needBrokerProprties`.
const SETTINGS: [&str; 16] = [
    "brokerId",
    "brokerName",
    "brokerRole",
    "fileReservedTime",
    "brokerClusterName",
    "filterServerNums",
    "flushDiskType",
    "maxMessageSize",
    "messageDelayLevel",
    "msgTraceTopicName",
    "slaveReadEnable",
    "traceOn",
    "traceTopicEnable",
    "useTLS",
    "autoCreateTopicEnable",
    "autoCreateSubscriptionGroup",
];

const CLUSTER: Opt = Opt::value("c", "clusterName", "All brokers of this cluster");
const PATH: Opt = Opt::value("f", "filePath", "The folder to write to, /tmp/rocketmq/export unless given");

pub(crate) const METADATA: Command = Command {
    name: "exportMetadata",
    about: "Write topics and groups of brokers to files",
    kind: Kind::Writes,
    options: &[
        CLUSTER,
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        PATH,
        Opt::flag("t", "topic", "Topics"),
        Opt::flag("g", "subscriptionGroup", "Groups"),
        Opt::flag("s", "specialTopic", "Retry and dead-letter topics, too"),
    ],
    run: Run::By(|session, arguments| Box::pin(metadata(session, arguments))),
};

pub(crate) const CONFIGS: Command = Command {
    name: "exportConfigs",
    about: "Write what matters of the settings of a cluster to a file",
    kind: Kind::Writes,
    options: &[CLUSTER.required(), PATH],
    run: Run::By(|session, arguments| Box::pin(configs(session, arguments))),
};

pub(crate) const METRICS: Command = Command {
    name: "exportMetrics",
    about: "Write figures of a cluster to a file",
    kind: Kind::Writes,
    options: &[CLUSTER.required(), PATH],
    run: Run::By(|session, arguments| Box::pin(metrics(session, arguments))),
};

/// A map of the original's, in the order in which it writes it.
struct JavaMap<T>(Vec<(String, T)>);

impl<T> JavaMap<T> {
    fn new(entries: impl IntoIterator<Item = (String, T)>) -> JavaMap<T> {
        let mut entries: Vec<(String, T)> = entries.into_iter().collect();
        sort_as_java_map(&mut entries, |(name, _)| name);
        JavaMap(entries)
    }
}

impl<T: Serialize> Serialize for JavaMap<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A value of any kind in such a map.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Whole(i64),
    Fraction(f64),
    Texts(Vec<String>),
    Map(JavaMap<Value>),
    Topics(JavaMap<TopicConfig>),
    Groups(JavaMap<SubscriptionGroupConfig>),
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(JavaMap::new(entries.map(|(name, value)| (name.to_owned(), value))))
}

/// What a broker has, and its version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<T> {
    data_version: DataVersion,
    #[serde(flatten)]
    table: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Topics {
    topic_config_table: JavaMap<TopicConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    subscription_group_table: JavaMap<SubscriptionGroupConfig>,
}

/// Writes a file of a folder, and returns its path.
fn write<T: Serialize>(arguments: &Arguments, name: &str, what: &T) -> Result<String> {
    let path = format!("{}/{name}", arguments.get("f").unwrap_or(FOLDER));
    let unwritable = |error| Failure::argument(format!("{path} cannot be written: {error}"));
    file::write(&path, &json::to_pretty(what).map_err(unwritable)?)?;
    Ok(path)
}

/// The topics of a broker that people made.
async fn topics_of(session: &Session<'_>, address: &str, special: bool) -> Result<Table<Topics>> {
    let all = session.admin.all_topics(address).await?;
    let own: BTreeSet<String> = session.admin.system_topics(address).await?.into_iter().collect();
    let is_wanted = |topic: &TopicConfig| {
        let name = &topic.topic_name;
        let is_special = name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX);
        !own.contains(name) && !name.starts_with(SYSTEM_TOPIC_PREFIX) && (special || !is_special)
    };
    let mut topics = JavaMap::new(all.topic_config_table);
    topics.0.retain(|(_, topic)| is_wanted(topic));
    Ok(Table { data_version: all.data_version, table: Topics { topic_config_table: topics } })
}

/// The groups of a broker that people made.
async fn groups_of(session: &Session<'_>, address: &str) -> Result<Table<Groups>> {
    let all = session.admin.all_groups(address).await?;
    let mut groups = JavaMap::new(all.subscription_group_table);
    groups.0.retain(|(name, _)| !name.starts_with(SYSTEM_GROUP_PREFIX) && !SYSTEM_GROUPS.contains(&name.as_str()));
    Ok(Table { data_version: all.data_version, table: Groups { subscription_group_table: groups } })
}

async fn metadata(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topics, groups, special) = (arguments.has("t"), arguments.has("g"), arguments.has("s"));
    if let Some(address) = arguments.get("b") {
        let path = if topics {
            write(arguments, "topic.json", &topics_of(session, address, special).await?)?
        } else if groups {
            write(arguments, "subscriptionGroup.json", &groups_of(session, address).await?)?
        } else {
            return Err(Failure::argument("say what to export of the broker: -t its topics, -g its groups"));
        };
        print!(session, "export {path} success");
        return Ok(());
    }
    let Some(cluster) = arguments.get("c") else { return Err(Failure::Usage) };
    let (all_topics, all_groups) = metadata_of_cluster(session, cluster, special).await?;
    let when = ("exportTime", Value::Whole(text::now_ms()));
    let path = if topics {
        write(arguments, "topic.json", &map([("topicConfigTable", all_topics), when]))?
    } else if groups {
        write(arguments, "subscriptionGroup.json", &map([("subscriptionGroupTable", all_groups), when]))?
    } else {
        let both = [("topicConfigTable", all_topics), ("subscriptionGroupTable", all_groups), when];
        write(arguments, "metadata.json", &map(both))?
    };
    line!(session, "export {path} success");
    Ok(())
}

/// Topics and groups of all masters. Queues of the same name add up.
async fn metadata_of_cluster(session: &Session<'_>, cluster: &str, special: bool) -> Result<(Value, Value)> {
    let mut topics: BTreeMap<String, TopicConfig> = BTreeMap::new();
    let mut groups: BTreeMap<String, SubscriptionGroupConfig> = BTreeMap::new();
    for address in targets::masters(session, cluster).await? {
        for (name, mut topic) in topics_of(session, &address, special).await?.table.topic_config_table.0 {
            if let Some(known) = topics.get(&name) {
                topic.write_queue_nums = topic.write_queue_nums.saturating_add(known.write_queue_nums);
                topic.read_queue_nums = topic.read_queue_nums.saturating_add(known.read_queue_nums);
            }
            topics.insert(name, topic);
        }
        for (name, mut group) in groups_of(session, &address).await?.table.subscription_group_table.0 {
            if let Some(known) = groups.get(&name) {
                group.retry_queue_nums = group.retry_queue_nums.saturating_add(known.retry_queue_nums);
            }
            groups.insert(name, group);
        }
    }
    Ok((Value::Topics(JavaMap::new(topics)), Value::Groups(JavaMap::new(groups))))
}

fn count(items: usize) -> Value {
    Value::Whole(i64::try_from(items).unwrap_or(i64::MAX))
}

async fn configs(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let groups = targets::groups_of(session, arguments.require("c")?).await?;
    let mut brokers = Vec::new();
    let mut slaves = 0;
    for group in &groups {
        let Some(address) = master(session, group) else { continue };
        slaves += group.broker_addrs.len() - 1;
        let settings = session.admin.broker_config(address).await?;
        let name = settings.get("brokerName").unwrap_or(&group.broker_name).clone();
        let kept =
            SETTINGS.iter().filter_map(|key| Some(((*key).to_owned(), Value::Text(settings.get(*key)?.clone()))));
        brokers.push((name, Value::Map(JavaMap::new(kept))));
    }
    let scale = map([
        ("namesrvSize", count(session.admin.name_servers().len())),
        ("masterBrokerSize", count(brokers.len())),
        ("slaveBrokerSize", count(slaves)),
    ]);
    let all = map([("brokerConfigs", Value::Map(JavaMap::new(brokers))), ("clusterScale", scale)]);
    print!(session, "export {} success", write(arguments, "configs.json", &all)?);
    Ok(())
}

/// The master of a group; that there is none is said.
fn master<'g>(session: &Session<'_>, group: &'g BrokerData) -> Option<&'g str> {
    let master = group.broker_addrs.get(&MASTER_ID).map(String::as_str);
    if master.is_none() {
        session.complain(&Failure::argument(format!("broker {} has no master now: it is left out", group.broker_name)));
    }
    master
}

/// What goes into a broker and out of it: messages in a second, and in a day.
#[derive(Clone, Copy, Default)]
struct Rates {
    normal_in: (f64, i64),
    normal_out: (f64, i64),
    transactions: (f64, i64),
    schedule: (f64, i64),
}

async fn metrics(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let groups = targets::groups_of(session, arguments.require("c")?).await?;
    let mut brokers = Vec::new();
    let mut total = Rates::default();
    for group in &groups {
        let Some(address) = master(session, group) else { continue };
        let (report, rates) = report(session, address).await?;
        for (sum, one) in [
            (&mut total.normal_in, rates.normal_in),
            (&mut total.normal_out, rates.normal_out),
            (&mut total.transactions, rates.transactions),
            (&mut total.schedule, rates.schedule),
        ] {
            *sum = (sum.0 + one.0, sum.1.saturating_add(one.1));
        }
        brokers.push((group.broker_name.clone(), report));
    }
    let total_tps = map([
        ("totalNormalInTps", Value::Fraction(total.normal_in.0)),
        ("totalNormalOutTps", Value::Fraction(total.normal_out.0)),
        ("totalTransInTps", Value::Fraction(total.transactions.0)),
        ("totalScheduleInTps", Value::Fraction(total.schedule.0)),
    ]);
    let totals = map([("totalTps", total_tps), ("totalOneDayNum", one_day(&total))]);
    let all = map([("evaluateReport", Value::Map(JavaMap::new(brokers))), ("totalData", totals)]);
    print!(session, "export {} success", write(arguments, "metrics.json", &all)?);
    Ok(())
}

fn one_day(rates: &Rates) -> Value {
    map([
        ("normalOneDayInNum", Value::Whole(rates.normal_in.1)),
        ("normalOneDayOutNum", Value::Whole(rates.normal_out.1)),
        ("transOneDayInNum", Value::Whole(rates.transactions.1)),
        ("scheduleOneDayInNum", Value::Whole(rates.schedule.1)),
    ])
}

/// What a broker is and does. Java: `ExportMetricsCommand`.
async fn report(session: &Session<'_>, address: &str) -> Result<(Value, Rates)> {
    let figures = session.admin.runtime_info(address).await?;
    let settings = session.admin.broker_config(address).await?;
    let groups = groups_of(session, address).await?.table.subscription_group_table;
    let topics = topics_of(session, address, false).await?.table.topic_config_table;
    let rates = rates(session, address, &figures).await;
    // What a broker does not say is left out.
    let of = |table: &BTreeMap<String, String>, pairs: &[(&str, &str)]| {
        let known =
            pairs.iter().filter_map(|(name, key)| Some(((*name).to_owned(), Value::Text(table.get(*key)?.clone()))));
        known.collect::<Vec<_>>()
    };
    let mut environment = of(&settings, &[("cpuNum", "clientCallbackExecutorThreads")]);
    environment.extend(of(&figures, &[("totalMemKBytes", "totalMemKBytes")]));
    let ratios = ["commitLogDiskRatio", "consumeQueueDiskRatio"].map(|name| (name, name));
    let tps = map([
        ("normalInTps", Value::Fraction(rates.normal_in.0)),
        ("normalOutTps", Value::Fraction(rates.normal_out.0)),
        ("transInTps", Value::Fraction(rates.transactions.0)),
        ("scheduleInTps", Value::Fraction(rates.schedule.0)),
    ]);
    let mut quota = vec![
        ("diskRatio".to_owned(), Value::Map(JavaMap::new(of(&figures, &ratios)))),
        ("tps".to_owned(), tps),
        ("oneDayNum".to_owned(), one_day(&rates)),
        ("topicSize".to_owned(), count(topics.0.len())),
        ("groupSize".to_owned(), count(groups.0.len())),
    ];
    quota.extend(of(&figures, &[("messageAverageSize", "putMessageAverageSize")]));
    let version = map([
        ("rocketmqVersion", Value::Text(Version::CURRENT.to_string())),
        ("clientInfo", Value::Texts(clients(session, &groups).await)),
    ]);
    let report = map([
        ("runtimeEnv", Value::Map(JavaMap::new(environment))),
        ("runtimeQuota", Value::Map(JavaMap::new(quota))),
        ("runtimeVersion", version),
    ]);
    Ok((report, rates))
}

async fn rates(session: &Session<'_>, address: &str, figures: &BTreeMap<String, String>) -> Rates {
    let rate = |names: [&str; 2]| {
        let text = names.iter().find_map(|name| figures.get(*name));
        text.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0)
    };
    let day = |kind: &str| {
        let figure =
            |when: &str| figures.get(&format!("msg{kind}Total{when}")).and_then(|text| text.parse::<i64>().ok());
        figure("TodayMorning").unwrap_or(0).saturating_sub(figure("YesterdayMorning").unwrap_or(0))
    };
    Rates {
        normal_in: (rate(["putTps", "putTps"]), day("Put")),
        // Brokers of 4.x spell it otherwise.
        normal_out: (rate(["getTransferredTps", "getTransferedTps"]), day("Get")),
        transactions: stats::put(session, address, "RMQ_SYS_TRANS_HALF_TOPIC").await,
        schedule: stats::put(session, address, "SCHEDULE_TOPIC_XXXX").await,
    }
}

/// Languages and releases of the clients of some groups.
async fn clients(session: &Session<'_>, groups: &JavaMap<SubscriptionGroupConfig>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (group, _) in &groups.0 {
        // Who is not on line has no clients.
        let Ok(address) = connection::broker_of_group(session, group).await else { continue };
        let Ok(members) = session.admin.consumer_connections(&address, group).await else { continue };
        found.extend(
            members.connection_set.iter().map(|one| format!("{}%{}", one.language, text::version(one.version))),
        );
    }
    let mut found: Vec<String> = found.into_iter().collect();
    sort_as_java_map(&mut found, |client| client);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_stand_in_the_originals_order() {
        let brokers = ["broker-a", "broker-b"].map(|name| (name.to_owned(), Value::Text("x".to_owned())));
        let all = map([
            ("brokerConfigs", Value::Map(JavaMap::new(brokers))),
            ("clusterScale", map([("namesrvSize", Value::Whole(1)), ("masterBrokerSize", Value::Whole(2))])),
        ]);
        let text = String::from_utf8(json::to_pretty(&all).unwrap()).unwrap();
        let expected = "{\n\t\"clusterScale\":{\n\t\t\"namesrvSize\":1,\n\t\t\"masterBrokerSize\":2\n\t},\n\t\"brokerConfigs\":{\n\
                        \t\t\"broker-b\":\"x\",\n\t\t\"broker-a\":\"x\"\n\t}\n}";
        assert_eq!(text, expected);
    }
}
