//! Commands about topics.

use std::collections::BTreeMap;

use raptormq_client::{ErrorKind, ResponseCode};
use raptormq_protocol::body::{MessageQueue, TopicConfig, TopicStatsTable};
use raptormq_protocol::hash::sort_as_java_map;
use raptormq_protocol::json;
use raptormq_protocol::route::{ClusterInfo, TopicRouteData};

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::pretty;
use crate::session::{Session, line, print, record};
use crate::targets::{self, MASTER_ID};
use crate::text::{self, front};

/// Namespace of the settings of globally ordered topics. Java: `NamesrvUtil.NAMESPACE_ORDER_TOPIC_CONFIG`.
const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";
/// What the topic of a group's messages to be consumed again begins with.
pub(crate) const RETRY_PREFIX: &str = "%RETRY%";
/// What the topic of a group's dead letters begins with.
pub(crate) const DLQ_PREFIX: &str = "%DLQ%";

const TOPIC: Opt = Opt::value("t", "topic", "Name of the topic").required();
const BROKER: Opt = Opt::value("b", "brokerAddr", "Only this broker, host:port");
const CLUSTER: Opt = Opt::value("c", "clusterName", "All masters of this cluster");

pub(crate) const UPDATE: Command = Command {
    name: "updateTopic",
    about: "Create a topic or change its settings",
    kind: Kind::Changes,
    options: &[
        BROKER.one_of(),
        CLUSTER.one_of(),
        Opt::value("a", "attributes", "Attributes to set and to remove: +key=value,-key"),
        TOPIC,
        Opt::number("r", "readQueueNums", "Queues to read from, 8 unless given"),
        Opt::number("w", "writeQueueNums", "Queues to write to, 8 unless given"),
        Opt::number("p", "perm", "Permission: 2 write, 4 read, 6 both; 6 unless given"),
        Opt::value("o", "order", "Whether the topic is ordered over all brokers, true or false"),
        Opt::value("u", "unit", "Whether it is the topic of a unit, true or false"),
        Opt::value("s", "hasUnitSub", "Whether units subscribe to it, true or false"),
    ],
    run: Run::By(|session, arguments| Box::pin(update(session, arguments))),
};

pub(crate) const DELETE: Command = Command {
    name: "deleteTopic",
    about: "Delete a topic on brokers and name servers",
    kind: Kind::Changes,
    options: &[TOPIC, Opt::value("c", "clusterName", "The cluster to delete it in").required()],
    run: Run::By(|session, arguments| Box::pin(delete(session, arguments))),
};

pub(crate) const UPDATE_PERM: Command = Command {
    name: "updateTopicPerm",
    about: "Change who may read and write a topic",
    kind: Kind::Changes,
    options: &[BROKER, CLUSTER, TOPIC, Opt::number("p", "perm", "Permission: 2 write, 4 read, 6 both").required()],
    run: Run::By(|session, arguments| Box::pin(update_perm(session, arguments))),
};

pub(crate) const ROUTE: Command = Command {
    name: "topicRoute",
    about: "Show which brokers serve a topic",
    kind: Kind::Shows,
    options: &[TOPIC, Opt::flag("l", "list", "As a table instead of JSON")],
    run: Run::By(|session, arguments| Box::pin(route(session, arguments))),
};

pub(crate) const STATUS: Command = Command {
    name: "topicStatus",
    about: "Show the offsets of a topic's queues",
    kind: Kind::Shows,
    options: &[TOPIC, Opt::value("c", "cluster", "Ask the brokers of this cluster instead of the topic's")],
    run: Run::By(|session, arguments| Box::pin(status(session, arguments))),
};

pub(crate) const CLUSTERS: Command = Command {
    name: "topicClusterList",
    about: "Show the clusters that have a topic",
    kind: Kind::Shows,
    options: &[TOPIC],
    run: Run::By(|session, arguments| Box::pin(clusters(session, arguments))),
};

pub(crate) const LIST: Command = Command {
    name: "topicList",
    about: "List all topics",
    kind: Kind::Shows,
    options: &[Opt::flag("c", "clusterModel", "With the cluster and the groups of each")],
    run: Run::By(|session, arguments| Box::pin(list(session, arguments))),
};

pub(crate) const UPDATE_ORDER: Command = Command {
    name: "updateOrderConf",
    about: "Read, set or delete how many queues each broker has of a globally ordered topic",
    kind: Kind::Changes,
    options: &[
        TOPIC,
        Opt::value("v", "orderConf", "The setting: broker-a:4;broker-b:4"),
        Opt::value("m", "method", "get, put or delete").required(),
    ],
    run: Run::By(|session, arguments| Box::pin(update_order(session, arguments))),
};

pub(crate) const ALLOCATE: Command = Command {
    name: "allocateMQ",
    about: "Show how queues would be shared among consumers",
    kind: Kind::Shows,
    options: &[TOPIC, Opt::value("i", "ipList", "The consumers, with commas between").required()],
    run: Run::By(|session, arguments| Box::pin(allocate(session, arguments))),
};

async fn update(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let is_order = arguments.truth("o").unwrap_or(false);
    let topic = TopicConfig {
        topic_name: arguments.require("t")?.to_owned(),
        attributes: attributes(arguments.get("a").unwrap_or_default())?,
        read_queue_nums: arguments.number_from("r", 1)?.unwrap_or(8),
        write_queue_nums: arguments.number_from("w", 1)?.unwrap_or(8),
        perm: arguments.number("p")?.unwrap_or(6),
        topic_sys_flag: i32::from(arguments.truth("u") == Some(true))
            | i32::from(arguments.truth("s") == Some(true)) << 1,
        order: is_order,
        ..TopicConfig::default()
    };
    let (name, queues) = (&topic.topic_name, topic.write_queue_nums);
    if let Some(address) = arguments.get("b") {
        targets::check_master(session, address).await?;
        put(session, address, &topic).await?;
        if is_order {
            let broker_name = broker_name(session, address).await?;
            let order = format!("{broker_name}:{queues}");
            put_order_of_broker(session, name, &broker_name, &order).await?;
            line!(session, "set broker orderConf. isOrder=true, orderConf=[{order}]");
        }
        line!(session, "create topic to {address} success.");
    } else {
        let cluster = arguments.require("c")?;
        for address in targets::masters(session, cluster).await? {
            put(session, &address, &topic).await?;
            line!(session, "create topic to {address} success.");
        }
        if is_order {
            let mut names: Vec<String> =
                targets::groups_of(session, cluster).await?.into_iter().map(|group| group.broker_name).collect();
            sort_as_java_map(&mut names, |name| name);
            let order: Vec<_> = names.iter().map(|name| format!("{name}:{queues}")).collect();
            let order = order.join(";");
            put_order(session, name, &order).await?;
            line!(session, "set cluster orderConf. isOrder=true, orderConf=[{order}]");
        }
    }
    line!(session, "{}", text::topic(&topic));
    Ok(())
}

/// Reads `+key=value,-key`. Java: `common/attribute/AttributeParser.java`.
pub(crate) fn attributes(changes: &str) -> Result<BTreeMap<String, String>> {
    let mut read = BTreeMap::new();
    for change in changes.split(',').filter(|change| !change.is_empty()) {
        let (key, value) = change.split_once('=').unwrap_or((change, ""));
        let sign = if change.contains('=') { '+' } else { '-' };
        if !key.starts_with(sign) {
            return Err(Failure::argument(format!(
                "attribute {change}: write +key=value to set one, -key to remove it"
            )));
        }
        if read.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::argument(format!("attribute {key} is there twice")));
        }
    }
    Ok(read)
}

async fn broker_name(session: &Session<'_>, address: &str) -> Result<String> {
    let info = session.admin.cluster_info().await?;
    let mut groups = info.broker_addr_table.into_values();
    let group = groups.find(|group| group.broker_addrs.values().any(|member| member == address));
    let unknown = || Failure::argument(format!("no broker {address} is registered; clusterList shows those that are"));
    Ok(group.ok_or_else(unknown)?.broker_name)
}

/// Sets the part of one broker in the setting of a globally ordered topic.
async fn put_order_of_broker(session: &Session<'_>, topic: &str, broker_name: &str, order: &str) -> Result<()> {
    let known = match session.admin.kv_config(ORDER_NAMESPACE, topic).await {
        Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => String::new(),
        known => known?,
    };
    let mut parts: BTreeMap<&str, &str> =
        known.split(';').filter_map(|part| Some((part.split_once(':')?.0, part))).collect();
    parts.insert(broker_name, order);
    put_order(session, topic, &parts.into_values().collect::<Vec<_>>().join(";")).await
}

async fn put_order(session: &Session<'_>, topic: &str, order: &str) -> Result<()> {
    let work = session.admin.put_kv_config(ORDER_NAMESPACE, topic, order);
    session.change(format_args!("set the order of topic {topic} to {order}"), work).await
}

async fn put(session: &Session<'_>, address: &str, topic: &TopicConfig) -> Result<()> {
    let (name, read, write) = (&topic.topic_name, topic.read_queue_nums, topic.write_queue_nums);
    let perm = text::perm(topic.perm);
    let what = format_args!("give broker {address} the topic {name}: {read} queues to read, {write} to write, {perm}");
    session.change(what, session.admin.put_topic(address, topic)).await
}

async fn delete(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topic, cluster) = (arguments.require("t")?, arguments.require("c")?);
    let masters = targets::masters(session, cluster).await?;
    if masters.is_empty() {
        // The original goes on and removes the topic from the name servers.
        return Ok(());
    }
    // That a topic is not there is said: the original tells of a success.
    session.admin.topic_route(topic).await?;
    for address in masters {
        let work = session.admin.delete_topic_in_broker(&address, topic);
        session.change(format_args!("delete topic {topic} with its queues on broker {address}"), work).await?;
    }
    line!(session, "delete topic [{topic}] from cluster [{cluster}] success.");
    let work = session.admin.delete_topic_in_name_servers(topic, Some(cluster));
    session.change(format_args!("remove topic {topic} from the name servers"), work).await?;
    line!(session, "delete topic [{topic}] from NameServer success.");
    Ok(())
}

async fn update_perm(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let name = arguments.require("t")?;
    let route = session.admin.topic_route(name).await?;
    let perm: i32 = arguments.number("p")?.unwrap_or_default();
    let Some(first) = route.queue_datas.first() else {
        return Err(Failure::argument(format!("topic {name} has no queue; updateTopic gives it some")));
    };
    let topic = TopicConfig {
        topic_name: name.to_owned(),
        read_queue_nums: first.read_queue_nums,
        write_queue_nums: first.write_queue_nums,
        topic_sys_flag: first.topic_sys_flag,
        perm,
        ..TopicConfig::default()
    };
    if let Some(address) = arguments.get("b") {
        let mut groups = route.broker_datas.iter();
        let is_master = groups.find(|group| group.broker_addrs.get(&MASTER_ID).is_some_and(|member| member == address));
        let Some(group) = is_master else {
            line!(session, "updateTopicPerm error broker not exit or broker is not master!.");
            let masters: Vec<_> =
                route.broker_datas.iter().filter_map(|group| group.broker_addrs.get(&MASTER_ID)).collect();
            return Err(Failure::argument(format!(
                "{address} is no master that has topic {name}; these are: {masters:?}"
            )));
        };
        let old = route.queue_datas.iter().find(|queues| queues.broker_name == group.broker_name);
        let old = old.map_or(0, |queues| queues.perm);
        if old == perm {
            line!(session, "new perm equals to the old one!");
            return Ok(());
        }
        put(session, address, &topic).await?;
        line!(session, "update topic perm from {old} to {perm} in {address} success.");
        line!(session, "{}.", text::topic(&topic));
    } else if let Some(cluster) = arguments.get("c") {
        for address in targets::masters(session, cluster).await? {
            put(session, &address, &topic).await?;
            line!(session, "update topic perm from {} to {perm} in {address} success.", first.perm);
        }
    } else {
        return Err(Failure::Usage);
    }
    Ok(())
}

async fn route(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let route = session.admin.topic_route(arguments.require("t")?).await?;
    if session.is_json() {
        return record_route(session, &route);
    }
    if !arguments.has("l") {
        let unwritable = |error| Failure::argument(format!("the route cannot be shown: {error}"));
        line!(session, "{}", pretty::route(&route).map_err(unwritable)?);
        return Ok(());
    }
    list_route(session, route)
}

fn record_route(session: &Session<'_>, route: &TopicRouteData) -> Result<()> {
    for group in &route.broker_datas {
        let queues = route.queue_datas.iter().find(|queues| queues.broker_name == group.broker_name);
        record!(
            session,
            "cluster": group.cluster,
            "brokerName": group.broker_name,
            "brokerAddrs": group.broker_addrs,
            "readQueueNums": queues.map_or(0, |queues| queues.read_queue_nums),
            "writeQueueNums": queues.map_or(0, |queues| queues.write_queue_nums),
            "perm": queues.map_or(0, |queues| queues.perm),
            "topicSysFlag": queues.map_or(0, |queues| queues.topic_sys_flag),
            "orderTopicConf": route.order_topic_conf,
        );
    }
    Ok(())
}

fn list_route(session: &Session<'_>, mut route: TopicRouteData) -> Result<()> {
    let row = |columns: [&str; 6]| {
        let [cluster, broker, addresses, read, write, perm] = columns;
        session.print(format_args!("{cluster:<45} {broker:<32} {addresses:<50} {read:<10} {write:<11} {perm:<5}\n"))
    };
    route.broker_datas.sort_by(|one, other| one.broker_name.cmp(&other.broker_name));
    row(["#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm"])?;
    let (mut read_total, mut write_total) = (0_i64, 0_i64);
    for group in &route.broker_datas {
        let queues = route.queue_datas.iter().find(|queues| queues.broker_name == group.broker_name);
        let (read, write, perm) =
            queues.map_or((0, 0, 0), |queues| (queues.read_queue_nums, queues.write_queue_nums, queues.perm));
        (read_total, write_total) = (read_total + i64::from(read), write_total + i64::from(write));
        let addresses: Vec<_> = group.broker_addrs.iter().map(|(id, address)| format!("{id}={address}")).collect();
        let addresses = format!("{{{}}}", addresses.join(", "));
        let [read, write, perm] = [read, write, perm].map(|number| number.to_string());
        row([&group.cluster, &group.broker_name, &addresses, &read, &write, &perm])?;
    }
    line!(session, "{}", "-".repeat(158));
    let brokers = route.queue_datas.len().to_string();
    row(["Total:", &brokers, "", &read_total.to_string(), &write_total.to_string(), ""])
}

async fn status(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    // A cluster has a topic of its name on all of its brokers.
    let route = session.admin.topic_route(arguments.get("c").unwrap_or(topic)).await?;
    let mut all = TopicStatsTable::default();
    let mut without = None;
    for (_, address) in targets::brokers(&route) {
        match session.admin.topic_stats(address, topic).await {
            Ok(stats) => {
                all.offset_table.extend(stats.offset_table);
                // The original forgets it and always shows 0.0.
                all.topic_put_tps += stats.topic_put_tps;
            }
            // Not every broker of a cluster need have it; the original fails.
            Err(error) if error.code() == Some(ResponseCode::TOPIC_NOT_EXIST) => without = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(error) = without.filter(|_| all.offset_table.is_empty()) {
        return Err(error.into());
    }
    line!(
        session,
        "{:<32}  {:<4}  {:<20}  {:<20}    #Last Updated",
        "#Broker Name",
        "#QID",
        "#Min Offset",
        "#Max Offset"
    );
    for (queue, offset) in &all.offset_table {
        let updated = offset.last_update_timestamp;
        record!(
            session,
            "topic": topic,
            "brokerName": queue.broker_name,
            "queueId": queue.queue_id,
            "minOffset": offset.min_offset,
            "maxOffset": offset.max_offset,
            "lastUpdateTimestamp": updated,
        );
        let updated = if updated > 0 { text::time_ms(updated) } else { String::new() };
        let broker = front(&queue.broker_name, 32);
        let (id, min, max) = (queue.queue_id, offset.min_offset, offset.max_offset);
        line!(session, "{broker:<32}  {id:<4}  {min:<20}  {max:<20}    {updated}");
    }
    line!(session, "\nTopic Put TPS: {}", text::double(all.topic_put_tps));
    Ok(())
}

async fn clusters(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let info = session.admin.cluster_info().await?;
    let route = session.admin.topic_route(arguments.require("t")?).await?;
    for (cluster, brokers) in &info.cluster_addr_table {
        if route.broker_datas.iter().any(|group| brokers.contains(&group.broker_name)) {
            record!(session, "cluster": cluster);
            line!(session, "{cluster}");
        }
    }
    Ok(())
}

async fn list(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    if !arguments.has("c") {
        for topic in session.admin.topics().await? {
            record!(session, "topic": topic);
            line!(session, "{topic}");
        }
        return Ok(());
    }
    let info = session.admin.cluster_info().await?;
    line!(session, "{:<20}  {:<48}  {:<48}", "#Cluster Name", "#Topic", "#Consumer Group");
    let topics = session.admin.topics().await?;
    for topic in topics.iter().filter(|topic| !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX)) {
        // A topic without queues has no route; what else fails is said once, and the other topics are listed.
        let (cluster, groups) = match session.admin.topic_route(topic).await {
            Ok(route) => (cluster_of(&route, &info), session.or_nothing(groups_of(session, &route, topic).await)),
            Err(error) if error.kind() == ErrorKind::TopicNotExist => (String::new(), Vec::new()),
            Err(error) => (String::new(), session.or_nothing(Err(error.into()))),
        };
        record!(session, "cluster": cluster, "topic": topic, "groups": groups);
        let groups = if groups.is_empty() { vec![String::new()] } else { groups };
        for group in groups {
            line!(session, "{:<20}  {:<64}  {:<64}", front(&cluster, 20), front(topic, 64), front(&group, 64));
        }
    }
    Ok(())
}

/// The cluster of a route's first broker.
fn cluster_of(route: &TopicRouteData, info: &ClusterInfo) -> String {
    let Some(first) = route.broker_datas.first() else { return String::new() };
    let mut clusters = info.cluster_addr_table.iter();
    let cluster = clusters.find(|(_, brokers)| brokers.contains(&first.broker_name));
    cluster.map(|(name, _)| name.clone()).unwrap_or_default()
}

/// The groups that consume a topic, of all its brokers.
pub(crate) async fn groups_of(session: &Session<'_>, route: &TopicRouteData, topic: &str) -> Result<Vec<String>> {
    let mut groups = std::collections::BTreeSet::new();
    for (_, address) in targets::brokers(route) {
        groups.extend(session.admin.groups_of_topic(address, topic).await?);
    }
    Ok(groups.into_iter().collect())
}

async fn update_order(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    match arguments.require("m")? {
        "get" => {
            let order = session.admin.kv_config(ORDER_NAMESPACE, topic).await?;
            print!(session, "get orderConf success. topic=[{topic}], orderConf=[{order}] ");
        }
        "put" => {
            let Some(order) = arguments.get("v").filter(|order| !order.is_empty()) else {
                return Err(Failure::argument("put needs the setting: -v broker-a:4;broker-b:4"));
            };
            put_order(session, topic, order).await?;
            print!(session, "update orderConf success. topic=[{topic}], orderConf=[{order}]");
        }
        "delete" => {
            let work = session.admin.delete_kv_config(ORDER_NAMESPACE, topic);
            session.change(format_args!("delete the order of topic {topic}"), work).await?;
            print!(session, "delete orderConf success. topic=[{topic}]");
        }
        _ => return Err(Failure::Usage),
    }
    Ok(())
}

/// The queues as consumers share them: sorted, in even runs, the first ones one more.
async fn allocate(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let queues: Vec<MessageQueue> =
        session.admin.subscribe_queues(arguments.require("t")?).await?.into_iter().map(|(queue, _)| queue).collect();
    let mut consumers: Vec<&str> = arguments.require("i")?.split(',').collect();
    consumers.sort_unstable();
    consumers.dedup();
    let mut result = BTreeMap::new();
    let mut rest = queues.as_slice();
    for (at, consumer) in consumers.iter().enumerate() {
        let count = queues.len() / consumers.len() + usize::from(at < queues.len() % consumers.len());
        let (own, others) = rest.split_at(count);
        rest = others;
        record!(session, "consumer": consumer, "queues": own);
        result.insert(*consumer, own);
    }
    let unwritable = |error| Failure::argument(format!("the queues cannot be shown: {error}"));
    let text = json::to_vec(&BTreeMap::from([("result", result)])).map_err(unwritable)?;
    line!(session, "{}", String::from_utf8_lossy(&text));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_set_with_a_plus_and_removed_with_a_minus() {
        let read = attributes("+message.type=FIFO,-queue.type").unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(read, [("+message.type", "FIFO"), ("-queue.type", "")]);
        for wrong in ["message.type", "message.type=FIFO", "+a=1,+a=2"] {
            assert!(attributes(wrong).is_err(), "{wrong}");
        }
    }
}
