//! What tools ask of one client through the broker: what it is doing (307), and to consume a message now (309).
//! Java: `processor/AdminBrokerProcessor.java`, `client/net/Broker2Client.java`.

use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Version;
use raptormq_protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, FieldSink, FieldValue, GetConsumerRunningInfoRequestHeader,
};
use raptormq_protocol::message::id::OffsetMessageId;
use raptormq_remoting::{CallError, Request, Responder};
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::clients::Member;
use crate::dispatch::{Call, Reply, refuse_waiting};
use crate::failure::Failure;
use crate::lane::Place;

/// How long a client has to answer. Java: `Broker2Client.callClient`.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// GET_CONSUMER_RUNNING_INFO (307).
pub(crate) fn running_info(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: GetConsumerRunningInfoRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let member = find_member(broker, header.consumer_group, header.client_id)?;
    let request = copied(call, RequestCode::GET_CONSUMER_RUNNING_INFO, &[]).body(call.request.body.to_vec());
    let relay = Relay { member, group: header.consumer_group.to_owned(), _place: broker.lanes.tools.wait() };
    tokio::task::spawn_local(relay.run(request, call.responder()));
    Ok(Reply::Done)
}

/// CONSUME_MESSAGE_DIRECTLY (309): the message is looked up by its id and handed to the client.
pub(crate) fn consume_directly(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ConsumeMessageDirectlyResultRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let id = header.msg_id.unwrap_or_default();
    let place: OffsetMessageId = id.parse().map_err(|error| Failure::system(format!("{id}: {error}")))?;
    let member = find_member(broker, header.consumer_group, header.client_id.unwrap_or_default());
    let flag = |flag: Option<i32>| flag.map(|flag| FieldValue::Integer(flag.into()));
    let topic = header.topic.and_then(|topic| broker.topics.get(topic));
    let group = broker.groups.get(header.consumer_group);
    let settings = broker.settings();
    let own = [
        ("brokerName", Some(FieldValue::Text(&settings.broker.broker_name))),
        ("topicSysFlag", flag(topic.map(|topic| topic.config.topic_sys_flag))),
        ("groupSysFlag", flag(group.map(|group| group.group_sys_flag))),
    ];
    let request = copied(call, RequestCode::CONSUME_MESSAGE_DIRECTLY, &own);
    let (group, waits) = (header.consumer_group.to_owned(), broker.lanes.tools.wait());
    // A thread that may wait for the disk reads the message; this one speaks with the client then.
    let (found, reading) = oneshot::channel();
    broker.readers.tools.run(call.responder(), move |broker, responder| {
        // Whoever waits for it ends only with the I/O thread.
        let _ = found.send((broker.store.record_at(place.log_offset), responder));
    });
    tokio::task::spawn_local(async move {
        // Without a message the requester was refused already.
        let Ok((record, responder)) = reading.await else { return };
        let not_found = || Failure::system(format!("can not find message by the offset, {}", place.log_offset));
        match record.ok_or_else(not_found).and_then(|record| Ok((record, member?))) {
            Ok((record, member)) => Relay { member, group, _place: waits }.run(request.body(record), responder).await,
            Err(failure) => refuse_waiting(responder, &failure),
        }
    });
    Ok(Reply::Done)
}

/// A request with the fields of the one that came, and those of `own` that have a value instead of theirs.
fn copied(call: &Call<'_, '_>, code: RequestCode, own: &[(&str, Option<FieldValue<'_>>)]) -> Request {
    let mut request = Request::new(code);
    for (key, value) in call.request.fields.iter() {
        if !own.iter().any(|(name, value)| *name == key && value.is_some()) {
            request.fields.field(key, FieldValue::Text(value));
        }
    }
    for (name, value) in own {
        if let Some(value) = value {
            request.fields.field(name, *value);
        }
    }
    request
}

fn find_member(broker: &Broker, group: &str, client_id: &str) -> Result<Arc<Member>, Failure> {
    let members = broker.clients.consumer_group(group).map(|group| group.members()).unwrap_or_default();
    let member = members.into_iter().find(|member| *member.client_id == *client_id);
    let member = member.ok_or_else(|| Failure::system(format!("The Consumer <{group}> <{client_id}> not online")))?;
    if member.version < Version::V3_1_8_SNAPSHOT {
        let remark = format!(
            "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
            member.version
        );
        return Err(Failure::system(remark));
    }
    Ok(member)
}

/// The client that is asked, on behalf of who waits.
struct Relay {
    member: Arc<Member>,
    group: String,
    _place: Place,
}

impl Relay {
    /// Sends the request to the client and its answer back to who asks.
    async fn run(self, request: Request, responder: Responder) {
        let (group, client_id) = (&self.group, &self.member.client_id);
        match self.member.connection.call(request, CLIENT_TIMEOUT).await {
            Ok(response) => responder.respond_with(&response),
            Err(error @ CallError::Timeout { .. }) => {
                let remark = format!("consumer <{group}> <{client_id}> Timeout: {error}");
                responder.respond(ResponseCode::CONSUME_MSG_TIMEOUT, Some(&remark));
            }
            Err(error) => {
                let remark = format!("invoke consumer <{group}> <{client_id}> Exception: {error}");
                responder.respond(ResponseCode::SYSTEM_ERROR, Some(&remark));
            }
        }
    }
}
