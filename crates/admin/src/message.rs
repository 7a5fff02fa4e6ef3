//! Commands that find messages: by id, key, place; and the units of a queue.

use std::time::Duration;

use encoding_rs::Encoding;
use raptormq_client::{PullFrom, PullStatus, QueueRange};
use raptormq_protocol::body::{
    ConsumeMessageDirectlyResult, ConsumeQueueData, MessageQueue, QueryConsumeQueueResponseBody,
};
use raptormq_protocol::header::{ConsumeMessageDirectlyResultRequestHeader, QueryMessageRequestHeader};
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::id::OffsetMessageId;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::connection;
use crate::consumer_info;
use crate::failure::{Failure, Result};
use crate::file;
use crate::session::{Session, line, print, record};
use crate::targets;
use crate::text;
use crate::track;

/// The group that tools read as; every broker has it. Java: `MixAll.TOOLS_CONSUMER_GROUP`.
pub(crate) const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// Where bodies are written, because people look for them there.
const BODY_FOLDER: &str = "/tmp/rocketmq/msgbodys";
/// How far back a message is looked for by the id that its producer gave it, ms. Java: three days.
const UNIQUE_SPAN_MS: i64 = 3 * 24 * 3_600_000;
/// Messages that are looked at for one unique id.
const UNIQUE_MESSAGES_MAX: i32 = 32;
/// Units of a queue that are asked for at a time: what is to be shown may be millions.
const UNITS_MAX: i32 = 1024;
/// How long a query may take: it may read old parts of the log from disk.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);

const TOPIC: Opt = Opt::value("t", "topic", "Name of the topic").required();
const CLUSTER: Opt = Opt::value("c", "cluster", "Only the brokers of this cluster");

pub(crate) const BY_ID: Command = Command {
    name: "queryMsgById",
    about: "Show messages by their ids, or have a consumer consume them, or send them again",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        Opt::value("i", "msgId", "Ids, with commas between: those of brokers, or those of producers").required(),
        Opt::value("g", "consumerGroup", "With -d: the group whose member is to consume them"),
        Opt::value("d", "clientId", "With -g: the member that is to consume them"),
        Opt::value("s", "sendMessage", "Whether to send them again, true or false"),
        Opt::value("u", "unitName", "Accepted and of no effect: units are told apart by name servers"),
        Opt::value("f", "bodyFormat", "Show bodies, too, in this charset: UTF-8"),
        CLUSTER,
    ],
    run: Run::By(|session, arguments| Box::pin(by_id(session, arguments))),
};

pub(crate) const BY_KEY: Command = Command {
    name: "queryMsgByKey",
    about: "Find messages by a key",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        Opt::value("k", "msgKey", "The key").required(),
        Opt::number("b", "beginTimestamp", "Stored from this moment on, milliseconds since 1970"),
        Opt::number("e", "endTimestamp", "Stored up to this moment, milliseconds since 1970"),
        Opt::number("m", "maxNum", "Messages to find on each broker, 64 unless given"),
        CLUSTER,
    ],
    run: Run::By(|session, arguments| Box::pin(by_key(session, arguments))),
};

pub(crate) const BY_UNIQUE_KEY: Command = Command {
    name: "queryMsgByUniqueKey",
    about: "Show a message by the id that its producer gave it, or have a consumer consume it",
    kind: Kind::Shows,
    options: &[
        Opt::value("i", "msgId", "The id").required(),
        Opt::value("g", "consumerGroup", "With -d: the group whose member is to consume it"),
        Opt::value("d", "clientId", "With -g: the member that is to consume it"),
        TOPIC,
        Opt::flag("a", "showAll", "All messages of that id, not only the oldest"),
        CLUSTER,
    ],
    run: Run::By(|session, arguments| Box::pin(by_unique_key(session, arguments))),
};

pub(crate) const BY_OFFSET: Command = Command {
    name: "queryMsgByOffset",
    about: "Show the message at an offset of a queue",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        Opt::value("b", "brokerName", "Name of the broker").required(),
        Opt::number("i", "queueId", "The queue").required(),
        Opt::number("o", "offset", "The offset").required(),
        Opt::value("f", "bodyFormat", "Show the body, too, in this charset: UTF-8"),
    ],
    run: Run::By(|session, arguments| Box::pin(by_offset(session, arguments))),
};

pub(crate) const QUEUE: Command = Command {
    name: "queryCq",
    about: "Show what a queue holds, unit by unit",
    kind: Kind::Shows,
    options: &[
        TOPIC,
        Opt::number("q", "queue", "The queue").required(),
        Opt::number("i", "index", "The first unit").required(),
        Opt::number("c", "count", "How many units, 10 unless given"),
        Opt::value("b", "broker", "The broker, host:port; else the first of the topic"),
        Opt::value("g", "consumer", "Show what this group's filter says to each"),
    ],
    run: Run::By(|session, arguments| Box::pin(queue(session, arguments))),
};

/// The charset of that name.
pub(crate) fn charset(name: &str) -> Result<&'static Encoding> {
    let unknown = || Failure::argument(format!("{name}: no such charset; for example UTF-8, GBK, ISO-8859-1"));
    Encoding::for_label(name.as_bytes()).ok_or_else(unknown)
}

/// The address of a broker that has a topic, by its name.
pub(crate) async fn address_of(session: &Session<'_>, topic: &str, broker_name: &str) -> Result<String> {
    let route = session.admin.topic_route(topic).await?;
    let found = targets::brokers(&route).into_iter().find(|(name, _)| *name == broker_name);
    let unknown = || {
        let names: Vec<_> = route.broker_datas.iter().map(|group| group.broker_name.as_str()).collect();
        Failure::argument(format!("topic {topic} is not on a broker {broker_name}; it is on {}", names.join(", ")))
    };
    Ok(found.ok_or_else(unknown)?.1.to_owned())
}

async fn by_id(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    let cluster = arguments.get("c");
    let ids = arguments.require("i")?.split(',').map(str::trim).filter(|id| !id.is_empty());
    let format = arguments.get("f").map(charset).transpose()?;
    let consumer = consumer(arguments)?;
    for id in ids {
        // A bad id does not stand in the way of the others.
        let outcome = async {
            let message = find(session, cluster, topic, id).await?;
            if let Some(consumer) = consumer {
                return consume_directly(session, consumer, &message).await;
            }
            match arguments.truth("s") {
                Some(true) => send_again(session, &message, id).await,
                Some(false) => Ok(()),
                None => print_message(session, &message, format).await,
            }
        };
        session.go_on(outcome.await)?;
    }
    Ok(())
}

/// The message of an id: one that tells its broker and place, or one that a producer gave.
async fn find(session: &Session<'_>, cluster: Option<&str>, topic: &str, id: &str) -> Result<MessageExt> {
    let place = id.parse::<OffsetMessageId>().ok();
    if let Some(place) = &place {
        // An id that a producer gave may look like a place; then its address is nobody's.
        let address = place.store_host.to_string();
        let known = session.admin.cluster_info().await?;
        let mut members = known.broker_addr_table.values().flat_map(|group| group.broker_addrs.values());
        if members.any(|member| *member == address) {
            return Ok(session.admin.message_at(&address, topic, place.log_offset).await?);
        }
    }
    let query = Query { topic, key: id, max: UNIQUE_MESSAGES_MAX, span: (text::now_ms() - UNIQUE_SPAN_MS, i64::MAX) };
    let found = query_all(session, cluster, &query, true).await?;
    found.into_iter().next().ok_or_else(|| {
        Failure::argument(format!("no message {id} in topic {topic}: none of its brokers has it, or not any more"))
    })
}

/// What messages are looked for.
pub(crate) struct Query<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: &'a str,
    /// Messages of each broker.
    pub(crate) max: i32,
    /// Stored from … to, ms since 1970.
    pub(crate) span: (i64, i64),
}

/// Messages of all brokers that have a key.
pub(crate) async fn query_all(
    session: &Session<'_>,
    cluster: Option<&str>,
    query: &Query<'_>,
    unique: bool,
) -> Result<Vec<MessageExt>> {
    let route = session.admin.topic_route(query.topic).await?;
    let admin = session.admin.with_timeout(QUERY_TIMEOUT);
    let header = QueryMessageRequestHeader {
        topic: query.topic,
        key: query.key,
        max_num: query.max,
        begin_timestamp: query.span.0,
        end_timestamp: query.span.1,
    };
    let is_meant = |message: &MessageExt| {
        if unique {
            return message.unique_key() == Some(query.key) || message.msg_id == query.key;
        }
        // Index slots are shared by keys of the same hash.
        let has_key = message.keys().is_some_and(|keys| keys.split(' ').any(|key| key == query.key));
        has_key && message.topic == query.topic
    };
    let mut found = Vec::new();
    let groups: Vec<_> =
        route.broker_datas.iter().filter(|group| cluster.is_none_or(|cluster| cluster == group.cluster)).collect();
    if let (Some(cluster), true) = (cluster, groups.is_empty()) {
        return Err(Failure::argument(format!("topic {} is on no broker of a cluster {cluster}", query.topic)));
    }
    let (mut failures, mut has_answer) = (Vec::new(), false);
    for address in groups.into_iter().filter_map(targets::any_member) {
        match admin.messages_by_key(address, &header, unique).await {
            Ok(messages) => {
                has_answer = true;
                found.extend(messages.into_iter().filter(|message| is_meant(message)));
            }
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    if let (false, Some(failure)) = (has_answer, failures.pop()) {
        return Err(failure);
    }
    // Another broker may have it.
    failures.iter().for_each(|failure| session.complain(failure));
    Ok(found)
}

/// The id that people know a message by: the producer's if it gave one.
pub(crate) fn shown_id(message: &MessageExt) -> &str {
    message.unique_key().unwrap_or(&message.msg_id)
}

/// Prints all that is known of a message. Java: `QueryMsgByIdSubCommand.printMsg`.
async fn print_message(session: &Session<'_>, message: &MessageExt, format: Option<&'static Encoding>) -> Result<()> {
    if session.is_json() {
        return record_message(session, message, format).await;
    }
    line!(session, "{:<20} {}", "OffsetID:", message.msg_id);
    let path = write_body(message, 0)?;
    print_fields(session, message, &path)?;
    if let Some(format) = format {
        line!(session, "{:<20} {}", "Message Body:", format.decode_without_bom_handling(&message.body).0);
    }
    print_tracks(session, message, "\n").await
}

/// A message in JSON, with how far each group is with it.
async fn record_message(session: &Session<'_>, message: &MessageExt, format: Option<&'static Encoding>) -> Result<()> {
    let tracks: Vec<serde_json::Value> = match track::of(session, message).await {
        Ok(tracks) => tracks.iter().map(track::Track::in_json).collect(),
        Err(failure) => {
            session.complain(&failure);
            Vec::new()
        }
    };
    let mut fields = fields_of(message);
    if let Some(format) = format {
        fields.push(("body", format.decode_without_bom_handling(&message.body).0.into()));
    }
    fields.push(("tracks", tracks.into()));
    session.record(&fields)
}

/// What is known of a message, its body apart.
pub(crate) fn fields_of(message: &MessageExt) -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("msgId", shown_id(message).into()),
        ("offsetMsgId", message.msg_id.as_str().into()),
        ("topic", message.topic.as_str().into()),
        ("brokerName", message.broker_name.as_str().into()),
        ("queueId", message.queue_id.into()),
        ("queueOffset", message.queue_offset.into()),
        ("commitLogOffset", message.commit_log_offset.into()),
        ("reconsumeTimes", message.reconsume_times.into()),
        ("bornTimestamp", message.born_timestamp_ms.into()),
        ("storeTimestamp", message.store_timestamp_ms.into()),
        ("bornHost", message.born_host.to_string().into()),
        ("storeHost", message.store_host.to_string().into()),
        ("sysFlag", message.sys_flag.into()),
        ("flag", message.flag.into()),
        ("bodySize", message.body.len().into()),
        ("properties", message.properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()),
    ]
}

fn print_fields(session: &Session<'_>, message: &MessageExt, path: &str) -> Result<()> {
    let or_null = |text: Option<&str>| format!("[{}]", text.unwrap_or("null"));
    let rows = [
        ("Topic:", message.topic.clone()),
        ("Tags:", or_null(message.tags())),
        ("Keys:", or_null(message.keys())),
        ("Queue ID:", message.queue_id.to_string()),
        ("Queue Offset:", message.queue_offset.to_string()),
        ("CommitLog Offset:", message.commit_log_offset.to_string()),
        ("Reconsume Times:", message.reconsume_times.to_string()),
        ("Born Timestamp:", text::time_ms(message.born_timestamp_ms)),
        ("Store Timestamp:", text::time_ms(message.store_timestamp_ms)),
        ("Born Host:", message.born_host.to_string()),
        ("Store Host:", message.store_host.to_string()),
        ("System Flag:", message.sys_flag.to_string()),
        ("Properties:", message.properties_text()),
        ("Message Body Path:", path.to_owned()),
    ];
    for (key, value) in rows {
        line!(session, "{key:<20} {value}");
    }
    Ok(())
}

/// Prints how far each group is with a message.
async fn print_tracks(session: &Session<'_>, message: &MessageExt, end: &str) -> Result<()> {
    match track::of(session, message).await {
        Ok(tracks) if tracks.is_empty() => print!(session, "\n\nWARN: No Consumer"),
        Ok(tracks) => {
            print!(session, "\n\n");
            for track in tracks {
                print!(session, "{track}{end}");
            }
        }
        Err(failure) => session.complain(&failure),
    }
    Ok(())
}

/// Writes a body where the original writes it, readable for its user only, and returns the path. The id comes with the
/// message, so what could lead elsewhere is replaced.
fn write_body(message: &MessageExt, number: usize) -> Result<String> {
    let id: String =
        shown_id(message).chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let path = match number {
        0 => format!("{BODY_FOLDER}/{id}"),
        number => format!("{BODY_FOLDER}/{id}_{number}"),
    };
    file::write(&path, &message.body)?;
    Ok(path)
}

/// The member of a group that is to consume a message, if there is to be one: its group and its client's id.
fn consumer(arguments: &Arguments) -> Result<Option<(&str, &str)>> {
    match (arguments.get("g"), arguments.get("d")) {
        (Some(group), Some(client)) => Ok(Some((group, client))),
        (None, None) => Ok(None),
        (Some(group), None) => Err(Failure::argument(format!("-g {group} needs -d with the id of a member, too"))),
        (None, Some(client)) => Err(Failure::argument(format!("-d {client} needs -g with the member's group, too"))),
    }
}

/// Has a member of a group consume a message.
async fn consume_directly(session: &Session<'_>, (group, client): (&str, &str), message: &MessageExt) -> Result<()> {
    let address = connection::broker_of_group(session, group).await?;
    let info = session.admin.running_info(&address, group, client, false).await?;
    if !consumer_info::is_push(&info) {
        print!(session, "this {client} client is not push consumer ,not support direct push \n");
        return Err(Failure::argument(format!(
            "{client} pulls itself; only a consumer that is pushed to can be told what to consume"
        )));
    }
    let header = ConsumeMessageDirectlyResultRequestHeader {
        consumer_group: group,
        client_id: Some(client),
        msg_id: Some(&message.msg_id),
        broker_name: None,
        topic: Some(&message.topic),
        topic_sys_flag: None,
        group_sys_flag: None,
    };
    let result = session.admin.consume_directly(&message.store_host.to_string(), &header).await?;
    record!(session, "msgId": shown_id(message), "result": result);
    print!(session, "{}", shown_result(&result));
    Ok(())
}

/// Java: `ConsumeMessageDirectlyResult.toString`.
fn shown_result(result: &ConsumeMessageDirectlyResult) -> String {
    let outcome = result.consume_result.map_or_else(|| "null".to_owned(), |outcome| text::enum_name(&outcome));
    format!(
        "ConsumeMessageDirectlyResult [order={}, autoCommit={}, consumeResult={outcome}, remark={}, spentTimeMills={}]",
        result.order,
        result.auto_commit,
        result.remark.as_deref().unwrap_or("null"),
        result.spent_time_mills
    )
}

/// Group of the producer that sends messages again.
const RESEND_GROUP: &str = "ReSendMsgById";

async fn send_again(session: &Session<'_>, message: &MessageExt, id: &str) -> Result<()> {
    print!(session, "prepare resend msg. originalMsgId={id}");
    let receipt = crate::send::copy(session, RESEND_GROUP, message).await?;
    record!(session, "originalMsgId": id, "msgId": receipt.message_id, "status": receipt.status.to_string());
    print!(session, "{receipt}");
    Ok(())
}

async fn by_key(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topic, key) = (arguments.require("t")?, arguments.require("k")?);
    let span = (arguments.number("b")?.unwrap_or(0), arguments.number("e")?.unwrap_or(i64::MAX));
    let query = Query { topic, key, max: arguments.number("m")?.unwrap_or(64), span };
    let found = query_all(session, arguments.get("c"), &query, false).await?;
    if found.is_empty() {
        return Err(Failure::argument(format!("no message of topic {topic} has the key {key} in that time")));
    }
    line!(session, "{:<50} {:>4} {:>40}", "#Message ID", "#QID", "#Offset");
    for message in &found {
        if session.is_json() {
            session.record(&fields_of(message))?;
        }
        line!(session, "{:<50} {:>4} {:>40}", shown_id(message), message.queue_id, message.queue_offset);
    }
    Ok(())
}

async fn by_unique_key(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topic, id) = (arguments.require("t")?, arguments.require("i")?);
    if let Some(consumer) = consumer(arguments)? {
        let message = find(session, arguments.get("c"), topic, id).await?;
        return consume_directly(session, consumer, &message).await;
    }
    let query = Query { topic, key: id, max: UNIQUE_MESSAGES_MAX, span: (0, i64::MAX) };
    let mut found = query_all(session, arguments.get("c"), &query, true).await?;
    if found.is_empty() {
        return Err(Failure::argument(format!("no message {id} in topic {topic}")));
    }
    found.sort_by_key(|message| message.store_timestamp_ms);
    let count = if arguments.has("a") { found.len() } else { 1 };
    for (number, message) in found.iter().take(count).enumerate() {
        if session.is_json() {
            record_message(session, message, None).await?;
            continue;
        }
        let path = write_body(message, number)?;
        print_fields(session, message, &path)?;
        print_tracks(session, message, "").await?;
    }
    Ok(())
}

async fn by_offset(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (topic, broker_name) = (arguments.require("t")?, arguments.require("b")?);
    let queue_id: i32 = arguments.number("i")?.unwrap_or_default();
    let offset: i64 = arguments.number("o")?.unwrap_or_default();
    let format = arguments.get("f").map(charset).transpose()?;
    let address = address_of(session, topic, broker_name).await?;
    let queue = MessageQueue { broker_name: broker_name.to_owned(), queue_id, topic: topic.to_owned() };
    let from = PullFrom { queue: &queue, group: TOOLS_GROUP, expression: "*", offset, messages_max: 1 };
    let pulled = session.admin.pull(&address, from).await?;
    match (pulled.status, pulled.messages.first()) {
        (PullStatus::Found, Some(message)) => print_message(session, message, format).await,
        _ => {
            let (first, end) = (pulled.min_offset, pulled.max_offset);
            Err(Failure::argument(format!(
                "no message at offset {offset} of {queue}; it has those from {first} to {end}, exclusive"
            )))
        }
    }
}

async fn queue(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let topic = arguments.require("t")?;
    let (queue_id, index) = (arguments.number("q")?.unwrap_or_default(), arguments.number("i")?.unwrap_or_default());
    let mut left: i32 = arguments.number("c")?.unwrap_or(10);
    let mut range = QueueRange { topic, queue_id, index, count: left.min(UNITS_MAX) };
    let address = match arguments.get("b").filter(|address| !address.is_empty()) {
        Some(address) => address.to_owned(),
        None => {
            let route = session.admin.topic_route(topic).await?;
            let first = targets::brokers(&route).first().map(|(_, address)| (*address).to_owned());
            first.ok_or_else(|| Failure::argument(format!("no broker serves topic {topic} now")))?
        }
    };
    let mut body = session.admin.queue_units(&address, range, arguments.get("g")).await?;
    print_queue_head(session, &body)?;
    loop {
        let units = body.queue_data.take().unwrap_or_default();
        print_units(session, range.index, &units)?;
        let count = i32::try_from(units.len()).unwrap_or(i32::MAX);
        left = left.saturating_sub(count);
        range.index = range.index.saturating_add(count.into());
        range.count = left.min(UNITS_MAX);
        if count == 0 || left <= 0 || range.index >= body.max_queue_index {
            return Ok(());
        }
        session.progress(|| format!("unit {} of {}", range.index, body.max_queue_index));
        body = session.admin.queue_units(&address, range, arguments.get("g")).await?;
    }
}

/// What stands between the parts of what a queue holds.
const SEPARATOR: &str = "======================================";

fn print_queue_head(session: &Session<'_>, body: &QueryConsumeQueueResponseBody) -> Result<()> {
    if let Some(subscription) = &body.subscription_data {
        let unwritable = |error| Failure::argument(format!("the subscription cannot be shown: {error}"));
        let text = json::to_pretty(subscription).map_err(unwritable)?;
        line!(session, "Subscription data: \n{}\n{SEPARATOR}", String::from_utf8_lossy(&text));
    }
    if let Some(filter) = &body.filter_data {
        line!(session, "Filter data: \n{filter}\n{SEPARATOR}");
    }
    line!(session, "Queue data: \nmax: {}, min: {}\n{SEPARATOR}", body.max_queue_index, body.min_queue_index);
    Ok(())
}

fn print_units(session: &Session<'_>, first: i64, units: &[ConsumeQueueData]) -> Result<()> {
    for (unit, at) in units.iter().zip(first..) {
        record!(
            session,
            "index": at,
            "physicOffset": unit.physic_offset,
            "physicSize": unit.physic_size,
            "tagsCode": unit.tags_code,
            "extendDataJson": unit.extend_data_json,
            "bitMap": unit.bit_map,
            "eval": unit.eval,
            "msg": unit.msg,
        );
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
        line!(session, "idx: {at}");
        line!(
            session,
            "ConsumeQueueData{{physicOffset={}, physicSize={}, tagsCode={}, extendDataJson='{}', bitMap='{}', \
             eval={}, msg='{}'}}",
            unit.physic_offset,
            unit.physic_size,
            unit.tags_code,
            text(&unit.extend_data_json),
            text(&unit.bit_map),
            unit.eval,
            text(&unit.msg)
        );
        line!(session, "{SEPARATOR}");
    }
    Ok(())
}
