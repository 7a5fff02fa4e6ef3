//! How far each group is with a message. Java: `DefaultMQAdminExtImpl.messageTrackDetail`.

use std::fmt;

use raptormq_client::ResponseCode;
use raptormq_protocol::body::ConsumerConnection;
use raptormq_protocol::heartbeat::{ConsumeType, MessageModel};
use raptormq_protocol::message::MessageExt;

use crate::connection;
use crate::failure::Result;
use crate::progress;
use crate::session::Session;
use crate::topic;

/// A group and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    group: String,
    kind: Kind,
    problem: Option<String>,
}

impl Track {
    /// The same in JSON.
    pub(crate) fn in_json(&self) -> serde_json::Value {
        serde_json::json!({ "consumerGroup": self.group, "trackType": self.kind.name(), "exceptionDesc": self.problem })
    }
}

/// How far a group is with a message. Java: `tools/admin/api/TrackType.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Consumed,
    ConsumedButFiltered,
    Pull,
    NotConsumeYet,
    NotOnline,
    ConsumeBroadcasting,
    Unknown,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Consumed => "CONSUMED",
            Kind::ConsumedButFiltered => "CONSUMED_BUT_FILTERED",
            Kind::Pull => "PULL",
            Kind::NotConsumeYet => "NOT_CONSUME_YET",
            Kind::NotOnline => "NOT_ONLINE",
            Kind::ConsumeBroadcasting => "CONSUME_BROADCASTING",
            Kind::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        let problem = self.problem.as_deref().unwrap_or("null");
        write!(f, "MessageTrack [consumerGroup={}, trackType={kind}, exceptionDesc={problem}]", self.group)
    }
}

/// All groups that consume a message's topic.
pub(crate) async fn of(session: &Session<'_>, message: &MessageExt) -> Result<Vec<Track>> {
    let route = session.admin.topic_route(&message.topic).await?;
    let mut tracks = Vec::new();
    for group in topic::groups_of(session, &route, &message.topic).await? {
        let (kind, problem) = kind(session, message, &group).await;
        tracks.push(Track { group, kind, problem });
    }
    Ok(tracks)
}

async fn kind(session: &Session<'_>, message: &MessageExt, group: &str) -> (Kind, Option<String>) {
    let address = match connection::broker_of_group(session, group).await {
        Ok(address) => address,
        Err(failure) => return (Kind::Unknown, Some(failure.line())),
    };
    let members = match session.admin.consumer_connections(&address, group).await {
        Ok(members) => members,
        Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => {
            let text =
                format!("CODE:{} DESC:the consumer group[{group}] not online", ResponseCode::CONSUMER_NOT_ONLINE.0);
            return (Kind::NotOnline, Some(text));
        }
        Err(error) => return (Kind::Unknown, Some(error.to_string())),
    };
    match members.consume_type {
        Some(ConsumeType::ConsumeActively) => (Kind::Pull, None),
        Some(ConsumeType::ConsumePassively) if members.message_model == Some(MessageModel::Broadcasting) => {
            (Kind::ConsumeBroadcasting, None)
        }
        Some(ConsumeType::ConsumePassively) => match is_consumed(session, message, group).await {
            Ok(true) if is_filtered(&members, message) => (Kind::ConsumedButFiltered, None),
            Ok(true) => (Kind::Consumed, None),
            Ok(false) => (Kind::NotConsumeYet, None),
            Err(failure) => (Kind::Unknown, Some(failure.line())),
        },
        _ => (Kind::Unknown, None),
    }
}

/// Whether a group's offset has passed a message, on the broker that has it.
async fn is_consumed(session: &Session<'_>, message: &MessageExt, group: &str) -> Result<bool> {
    let stats = progress::stats_of(session, group).await?;
    let info = session.admin.cluster_info().await?;
    let holder = message.store_host.to_string();
    let has_passed = stats.offset_table.iter().any(|(queue, offset)| {
        let addresses = info.broker_addr_table.get(&queue.broker_name).map(|group| &group.broker_addrs);
        queue.topic == message.topic
            && queue.queue_id == message.queue_id
            && addresses.is_some_and(|addresses| addresses.values().any(|address| *address == holder))
            && offset.consumer_offset > message.queue_offset
    });
    Ok(has_passed)
}

/// Whether the group's subscription leaves a message out by its tag.
fn is_filtered(members: &ConsumerConnection, message: &MessageExt) -> bool {
    let Some(subscription) = members.subscription_table.get(&message.topic) else { return false };
    let tags = &subscription.tags_set;
    !tags.is_empty() && !tags.contains("*") && !message.tags().is_some_and(|tag| tags.contains(tag))
}
