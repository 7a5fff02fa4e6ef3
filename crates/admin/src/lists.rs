//! Commands that create what a file lists.

use raptormq_protocol::body::{SubscriptionGroupConfig, TopicConfig};
use raptormq_protocol::json;
use serde::de::DeserializeOwned;

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::commons_cli;
use crate::failure::{Failure, Result};
use crate::session::{Session, line, print};
use crate::targets;

const BROKER: Opt = Opt::value("b", "brokerAddr", "Only this broker, host:port").one_of();
const CLUSTER: Opt = Opt::value("c", "clusterName", "All masters of this cluster").one_of();
const FILE: Opt = Opt::value("f", "filename", "A file with a JSON list of them").required();
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(crate) const TOPICS: Command = Command {
    name: "updateTopicList",
    about: "Create or change the topics that a file lists",
    kind: Kind::Changes,
    options: &[BROKER, CLUSTER, FILE],
    run: Run::By(|session, arguments| Box::pin(topics(session, arguments))),
};

pub(crate) const GROUPS: Command = Command {
    name: "updateSubGroupList",
    about: "Create or change the consumer groups that a file lists",
    kind: Kind::Changes,
    options: &[BROKER, CLUSTER, FILE],
    run: Run::By(|session, arguments| Box::pin(groups(session, arguments))),
};

async fn topics(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let Some(topics) = read::<TopicConfig>(session, arguments)? else { return Ok(()) };
    for address in targets_of(session, arguments).await? {
        let names: Vec<_> = topics.iter().map(|topic| topic.topic_name.as_str()).collect();
        let what = format_args!("give broker {address} the topics {}", names.join(", "));
        session.change(what, session.admin.put_topics(&address, topics.clone())).await?;
        line!(session, "submit batch of topic config to {address} success, please check the result later.");
    }
    if !arguments.has("b") {
        // So does the original, of this command only.
        print!(session, "{}", commons_cli::usage("mqadmin updateTopicList", &TOPICS.known()));
    }
    Ok(())
}

async fn groups(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let Some(groups) = read::<SubscriptionGroupConfig>(session, arguments)? else { return Ok(()) };
    for address in targets_of(session, arguments).await? {
        let names: Vec<_> = groups.iter().map(|group| group.group_name.as_str()).collect();
        let what = format_args!("give broker {address} the groups {}", names.join(", "));
        session.change(what, session.admin.put_groups(&address, groups.clone())).await?;
        line!(session, "submit batch of group config to {address} success, please check the result later.");
    }
    Ok(())
}

/// What the file lists; `None` when there is nothing to do.
fn read<T: DeserializeOwned>(session: &Session<'_>, arguments: &Arguments) -> Result<Option<Vec<T>>> {
    let path = arguments.require("f")?;
    let failed = |error| Failure::File { path: path.to_owned(), error };
    let length = match std::fs::metadata(path) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            line!(session, "the file path {path} does not exists");
            return Err(failed(error));
        }
        Err(error) => return Err(failed(error)),
    };
    if length > FILE_BYTES_MAX {
        return Err(Failure::argument(format!("{path}: longer than {FILE_BYTES_MAX} bytes; split it")));
    }
    let text = std::fs::read(path).map_err(failed)?;
    let wrong = |error| Failure::argument(format!("{path}: a JSON list is expected: {error}"));
    let list: Vec<T> = json::from_slice(&text).map_err(wrong)?;
    Ok(Some(list).filter(|list| !list.is_empty()))
}

async fn targets_of(session: &Session<'_>, arguments: &Arguments) -> Result<Vec<String>> {
    match arguments.get("b") {
        Some(address) => {
            targets::check_master(session, address).await?;
            Ok(vec![address.to_owned()])
        }
        None => Ok(targets::masters(session, arguments.require("c")?).await?.into_iter().collect()),
    }
}
