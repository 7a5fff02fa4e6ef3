//! Commands about who is connected.

use raptormq_client::ResponseCode;
use raptormq_protocol::body::{Connection, ConsumerConnection};

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::session::{Session, line, record};
use crate::targets;
use crate::text;
use crate::topic::RETRY_PREFIX;

pub(crate) const PRODUCERS: Command = Command {
    name: "producerConnection",
    about: "Show the clients of a producer group",
    kind: Kind::Shows,
    options: &[
        Opt::value("g", "producerGroup", "Name of the producer group").required(),
        Opt::value("t", "topic", "A topic that it sends to").required(),
    ],
    run: Run::By(|session, arguments| Box::pin(producers(session, arguments))),
};

pub(crate) const CONSUMERS: Command = Command {
    name: "consumerConnection",
    about: "Show the clients of a consumer group and what they subscribe to",
    kind: Kind::Shows,
    options: &[
        Opt::value("g", "consumerGroup", "Name of the consumer group").required(),
        Opt::value("b", "brokerAddr", "The broker to ask, host:port; else one of the group's"),
    ],
    run: Run::By(|session, arguments| Box::pin(consumers(session, arguments))),
};

pub(crate) const ALL_PRODUCERS: Command = Command {
    name: "producer",
    about: "Show all producers of a broker",
    kind: Kind::Shows,
    options: &[Opt::value("b", "broker", "The broker, host:port").required()],
    run: Run::By(|session, arguments| Box::pin(all_producers(session, arguments))),
};

/// A broker that knows the members of a consumer group. Members greet all brokers of their topics, so any broker of the
/// group's retry topic knows them.
pub(crate) async fn broker_of_group(session: &Session<'_>, group: &str) -> Result<String> {
    let no_group = |error: raptormq_client::Error| match error.kind() {
        raptormq_client::ErrorKind::TopicNotExist => Failure::argument(format!(
            "there is no consumer group {group}, or it never was on line; consumerProgress lists the groups"
        )),
        _ => error.into(),
    };
    let route = session.admin.topic_route(&format!("{RETRY_PREFIX}{group}")).await.map_err(no_group)?;
    let brokers = targets::brokers(&route);
    let first = brokers.first().map(|(_, address)| (*address).to_owned());
    first.ok_or_else(|| Failure::argument(format!("no broker serves the group {group} now")))
}

/// The members of a consumer group, which must have some.
pub(crate) async fn members(session: &Session<'_>, address: &str, group: &str) -> Result<ConsumerConnection> {
    match session.admin.consumer_connections(address, group).await {
        Ok(connections) if !connections.connection_set.is_empty() => Ok(connections),
        Ok(_) => Err(not_online(group)),
        Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => Err(not_online(group)),
        Err(error) => Err(error.into()),
    }
}

fn not_online(group: &str) -> Failure {
    Failure::argument(format!("the consumer group {group} is not on line: none of its members is connected"))
}

async fn producers(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let (group, topic) = (arguments.require("g")?, arguments.require("t")?);
    let route = session.admin.topic_route(topic).await?;
    let mut found: Vec<Connection> = Vec::new();
    let mut refused = None;
    // Producers greet the brokers that they send to, which need not be all of the topic's.
    for (_, address) in targets::brokers(&route) {
        match session.admin.producer_connections(address, group).await {
            Ok(connections) => found.extend(connections.connection_set),
            Err(error) => refused = Some(error),
        }
    }
    found.sort_by(|one, other| one.client_id.cmp(&other.client_id));
    found.dedup_by(|one, other| one.client_id == other.client_id);
    if let (true, Some(error)) = (found.is_empty(), refused) {
        return Err(error.into());
    }
    for (at, one) in found.iter().enumerate() {
        let (number, version) = (at + 1, text::version(one.version));
        record_client(session, one)?;
        line!(session, "{number:04}  {:<32} {:<22} {:<8} {version}", one.client_id, one.client_addr, one.language);
    }
    Ok(())
}

fn record_client(session: &Session<'_>, one: &Connection) -> Result<()> {
    record!(
        session,
        "clientId": one.client_id,
        "clientAddr": one.client_addr,
        "language": one.language.to_string(),
        "version": text::version(one.version),
    );
    Ok(())
}

async fn consumers(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let group = arguments.require("g")?;
    let address = match arguments.get("b") {
        Some(address) => address.to_owned(),
        None => broker_of_group(session, group).await?,
    };
    let connections = members(session, &address, group).await?;
    line!(session, "{:<36} {:<22} {:<10} #Version", "#ClientId", "#ClientAddr", "#Language");
    for one in &connections.connection_set {
        record_client(session, one)?;
        let version = text::version(one.version);
        line!(session, "{:<36} {:<22} {:<10} {version}", one.client_id, one.client_addr, one.language);
    }
    line!(session, "\nBelow is subscription:");
    line!(session, "{:<20} #SubExpression", "#Topic");
    for subscription in connections.subscription_table.values() {
        record!(session, "topic": subscription.topic, "subExpression": subscription.sub_string);
        line!(session, "{:<20} {}", subscription.topic, subscription.sub_string);
    }
    let name = |name: Option<String>| name.unwrap_or_else(|| "null".to_owned());
    record!(
        session,
        "consumeType": connections.consume_type,
        "messageModel": connections.message_model,
        "consumeFromWhere": connections.consume_from_where,
    );
    line!(session);
    line!(session, "ConsumeType: {}", name(connections.consume_type.map(|kind| text::enum_name(&kind))));
    line!(session, "MessageModel: {}", name(connections.message_model.map(|model| text::enum_name(&model))));
    line!(session, "ConsumeFromWhere: {}", name(connections.consume_from_where.map(|place| text::enum_name(&place))));
    Ok(())
}

async fn all_producers(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let table = session.admin.all_producers(arguments.require("b")?).await?;
    for (group, producers) in &table.data {
        if producers.is_empty() {
            line!(session, "producer group ({group}) instances are empty");
        }
        for one in producers {
            record!(
                session,
                "producerGroup": group,
                "clientId": one.client_id,
                "remoteIP": one.remote_ip,
                "language": one.language.to_string(),
                "version": one.version,
                "lastUpdateTimestamp": one.last_update_timestamp,
            );
            line!(
                session,
                "producer group ({group}) instance : clientId={},remoteIP={}, language={}, version={}, \
                 lastUpdateTimestamp={}",
                one.client_id,
                one.remote_ip,
                one.language,
                one.version,
                one.last_update_timestamp
            );
        }
    }
    Ok(())
}
