//! Offsets set from outside: by the broker, or through the group's clients (222), and what the clients hold (223).
//! Java: `processor/AdminBrokerProcessor.java`, `client/net/Broker2Client.java`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::body::{
    GetConsumerStatusBody, MessageQueue, MessageQueueForC, ResetOffsetBody, ResetOffsetBodyForC,
};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Language, Version};
use raptormq_protocol::header::{GetConsumerStatusRequestHeader, ResetOffsetRequestHeader};
use raptormq_protocol::json;
use raptormq_remoting::{Request, Response};
use raptormq_store::Boundary;

use crate::broker::Broker;
use crate::clients::Member;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::handle::offset;
use crate::topics::{QUEUES_MAX, Topic};
use crate::{hold, names};

/// How long a client has to say what it holds. Java: `Broker2Client.getConsumeStatus`.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// INVOKE_BROKER_TO_RESET_OFFSET (222).
pub(crate) fn reset(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ResetOffsetRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let ResetOffsetRequestHeader { topic, group, queue_id, offset, timestamp, is_force } = header;
    let by = call.peer.peer_addr();
    tracing::info!(topic, group, queue_id, offset, timestamp, is_force, %by, "offsets are set from outside");
    let (topic, group) = (topic.to_owned(), group.to_owned());
    let rest = ResetOffsetRequestHeader { topic: "", group: "", queue_id, offset, timestamp, is_force };
    let language = call.request.language;
    // Times are looked up in queues of any age.
    Ok(call.json_later(&broker.readers.tools, move |broker| {
        let header = ResetOffsetRequestHeader { topic: &topic, group: &group, ..rest };
        let offset_table = match broker.settings().broker.use_server_side_reset_offset {
            true => on_broker(broker, &header)?,
            false => through_clients(broker, language, &header)?,
        };
        Ok(ResetOffsetBody { offset_table })
    }))
}

/// Sets the offsets here; clients learn of it with their next pull.
fn on_broker(broker: &Broker, header: &ResetOffsetRequestHeader<'_>) -> Result<BTreeMap<MessageQueue, i64>, Failure> {
    let (name, group) = (header.topic, header.group);
    let topic = broker
        .topics
        .get(name)
        .ok_or_else(|| Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {name} does not exist")))?;
    if broker.groups.get(group).is_none() {
        let remark = format!("Group {group} does not exist");
        return Err(Failure::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let mut offsets = BTreeMap::new();
    match header.queue_id {
        0.. => {
            check_queue(&topic, header.queue_id)?;
            let offset = match header.offset.filter(|offset| *offset != -1) {
                Some(offset) => checked(broker, header, offset)?,
                None => by_time(broker, name, header.queue_id, header.timestamp)?,
            };
            offsets.insert(header.queue_id, offset);
        }
        _ => {
            for queue_id in 0..topic.config.read_queue_nums.clamp(0, QUEUES_MAX) {
                offsets.insert(queue_id, by_time(broker, name, queue_id, header.timestamp)?);
            }
        }
    }
    if offsets.is_empty() {
        return Err(Failure::system("No queues to reset."));
    }
    for (queue_id, offset) in &offsets {
        broker.offsets.reset(group, name, (*queue_id, *offset));
        if let Some(queue) = offset::find_queue(broker, name, *queue_id) {
            hold::end(broker, &queue, group);
        }
    }
    let broker_name = &broker.settings().broker.broker_name;
    Ok(offsets.into_iter().map(|(id, offset)| (names::message_queue(name, broker_name, id), offset)).collect())
}

fn check_queue(topic: &Topic, queue_id: i32) -> Result<(), Failure> {
    if queue_id < topic.queue_count() {
        return Ok(());
    }
    Err(Failure::system(format!("Target queue {queue_id} does not exist in topic {}", topic.config.topic_name)))
}

/// An offset that somebody chose, if the queue can have it.
fn checked(broker: &Broker, header: &ResetOffsetRequestHeader<'_>, offset: i64) -> Result<i64, Failure> {
    let queue = offset::find_queue(broker, header.topic, header.queue_id);
    let (min, max) = match queue {
        Some(queue) => (queue.min_offset(), offset::end_of(broker, &queue)?),
        None => (0, 0),
    };
    if offset < min.max(0) || offset > max + 1 {
        return Err(Failure::system(format!("Target offset {offset} not in consume queue range [{min}-{max}]")));
    }
    Ok(offset)
}

/// The offset of a time; a negative time is the end.
fn by_time(broker: &Broker, topic: &str, queue_id: i32, timestamp_ms: i64) -> Result<i64, Failure> {
    match offset::find_queue(broker, topic, queue_id) {
        Some(queue) if timestamp_ms < 0 => offset::end_of(broker, &queue),
        Some(queue) => broker.store.offset_by_time(&queue, timestamp_ms, Boundary::Lower).map_err(offset::disk_failure),
        None => Ok(0),
    }
}

/// Tells every client of the group where to go on; the offsets come back with what they commit then.
fn through_clients(
    broker: &Broker,
    language: Language,
    header: &ResetOffsetRequestHeader<'_>,
) -> Result<BTreeMap<MessageQueue, i64>, Failure> {
    let (name, group) = (header.topic, header.group);
    let topic = broker.topics.get(name).ok_or_else(|| {
        let remark = format!("[reset-offset] reset offset failed, no topic in this broker. topic={name}");
        Failure::new(ResponseCode::TOPIC_NOT_EXIST, remark)
    })?;
    let mut offset_table = BTreeMap::new();
    for queue_id in 0..topic.config.write_queue_nums.clamp(0, QUEUES_MAX) {
        let consumed = broker.offsets.get(group, name, queue_id);
        let consumed = consumed.ok_or_else(|| Failure::system(format!("THe consumer group <{group}> not exist")))?;
        let wanted = by_time(broker, name, queue_id, header.timestamp)?;
        let queue = names::message_queue(name, &broker.settings().broker.broker_name, queue_id);
        offset_table.insert(queue, if header.is_force { wanted } else { wanted.min(consumed) });
    }
    let members = broker.clients.consumer_group(group).map(|group| group.members()).unwrap_or_default();
    if members.is_empty() {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {group} Topic: {name} Timestamp: {}",
            header.timestamp
        );
        return Err(Failure::new(ResponseCode::CONSUMER_NOT_ONLINE, remark));
    }
    let body = match language {
        // Whoever asks in C++ has clients in C++.
        Language::CPP => json::to_vec(&ResetOffsetBodyForC { offset_table: list_of(&offset_table) }),
        _ => json::to_vec(&ResetOffsetBody { offset_table: offset_table.clone() }),
    };
    let told = ResetOffsetRequestHeader { queue_id: -1, offset: None, is_force: false, ..*header };
    let request = Request::new(RequestCode::RESET_CONSUMER_CLIENT_OFFSET).header(&told);
    let request = request.body(body.map_err(Failure::answer)?);
    for member in members {
        check_version(&member)?;
        if let Err(error) = member.connection.oneway(&request) {
            tracing::warn!(group, client_id = %member.client_id, %error, "a client was not told of its new offsets");
        }
    }
    Ok(offset_table)
}

fn list_of(offset_table: &BTreeMap<MessageQueue, i64>) -> Vec<MessageQueueForC> {
    let entry = |(queue, offset): (&MessageQueue, &i64)| MessageQueueForC {
        broker_name: queue.broker_name.clone(),
        offset: *offset,
        queue_id: queue.queue_id,
        topic: queue.topic.clone(),
    };
    offset_table.iter().map(entry).collect()
}

fn check_version(member: &Member) -> Result<(), Failure> {
    if member.version >= Version::V3_0_7_SNAPSHOT {
        return Ok(());
    }
    Err(Failure::system(format!("the client does not support this feature. version={}", member.version)))
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223): asks the clients of the group what offsets they hold.
pub(crate) fn status(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetConsumerStatusRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let wanted = header.client_addr.filter(|id| !id.trim().is_empty());
    let mut members = broker.clients.consumer_group(header.group).map(|group| group.members()).unwrap_or_default();
    if members.is_empty() {
        let remark = format!("No Any Consumer online in the consumer group: [{}]", header.group);
        return Err(Failure::system(remark));
    }
    members.retain(|member| wanted.is_none_or(|wanted| *wanted == *member.client_id));
    members.iter().try_for_each(|member| check_version(member))?;
    let told = GetConsumerStatusRequestHeader { client_addr: None, ..header };
    let request = Request::new(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT).header(&told);
    let (responder, place) = (call.responder(), broker.lanes.tools.wait());
    tokio::task::spawn_local(async move {
        let _place = place;
        let body = json::to_vec(&GetConsumerStatusBody {
            consumer_table: ask_all(members, &request).await,
            ..GetConsumerStatusBody::default()
        });
        match body {
            Ok(body) => responder.respond_with(&Response::new(ResponseCode::SUCCESS).body(body)),
            Err(error) => responder.respond(ResponseCode::SYSTEM_ERROR, Some(&error.to_string())),
        }
    });
    Ok(Reply::Done)
}

/// What each client says, all asked at once; who does not answer is left out.
async fn ask_all(members: Vec<Arc<Member>>, request: &Request) -> BTreeMap<String, BTreeMap<MessageQueue, i64>> {
    let calls: Vec<_> = members
        .into_iter()
        .map(|member| {
            let request = request.clone();
            tokio::task::spawn_local(async move {
                let answer = member.connection.call(request, STATUS_TIMEOUT).await;
                let answer = answer.inspect_err(|error| {
                    tracing::warn!(client_id = %member.client_id, %error, "a client does not say its offsets");
                });
                let answer = answer.ok().filter(Response::is_success)?;
                let body: GetConsumerStatusBody = json::from_slice(&answer.body).ok()?;
                Some((member.client_id.to_string(), body.message_queue_table))
            })
        })
        .collect();
    let mut table = BTreeMap::new();
    for call in calls {
        // A task that panicked has no answer either.
        table.extend(call.await.ok().flatten());
    }
    table
}
