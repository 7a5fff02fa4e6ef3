//! Replies to request messages (324, 325): handed to the client that waits for one (326), and stored in the cluster's reply
//! topic. Whoever sent the reply learns whether the client took it.
//! Java: `processor/ReplyMessageProcessor.java`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{
    Header, ReplyMessageRequestHeader, SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_remoting::{Connection, Exchange, Request, Responder};
use raptormq_store::{NewMessage, PutStatus, Slot, Staging};

use super::send::answer::write_fields;
use super::send::{Send, check};
use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::service::Ticket;

/// How long the waiting client has to take a reply. Java: `Broker2Client.callClient`.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A reply whose message is staged, if it is to be stored.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTicket {
    to: Exchange,
    queue_id: i32,
    slot: Option<Slot>,
    /// The client that waits and what it is told, or why there is none.
    push: Result<(Connection, Request), String>,
    /// What the client is called.
    client_id: String,
}

/// SEND_REPLY_MESSAGE (324).
pub(crate) fn reply(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send::from(&header))
}

/// SEND_REPLY_MESSAGE_V2 (325).
pub(crate) fn reply_v2(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeaderV2<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send::from(&header))
}

fn accept(broker: &Broker, call: &mut Call<'_, '_>, send: Send<'_>) -> Result<Reply, Failure> {
    check::time(broker)?;
    let target = check::target(broker, call, &send)?;
    let client_id = Properties(send.properties).get(name::REPLY_TO_CLIENT);
    let push = match client_id {
        None => Err(format!("reply message properties[{}] is null", name::REPLY_TO_CLIENT)),
        Some(id) => broker
            .clients
            .producer(id)
            .map(|connection| (connection, request(broker, call, &send)))
            .ok_or_else(|| format!("push reply message fail, channel of <{id}> not found.")),
    };
    // A slave hands it over all the same.
    let is_wanted = broker.settings().broker.store_reply_message_enable && !broker.is_slave();
    let is_stored = is_wanted && !call.request.body.is_empty();
    call.turn.begin();
    let slot = match is_stored {
        true => {
            let queue = target.topic.queue(&broker.store, target.queue_id);
            let queue = queue.ok_or_else(|| Failure::system("the store cannot have that queue"))?;
            let broker_properties = broker.identity.broker_properties.load();
            let pieces = [send.properties, broker_properties.as_str()];
            let message = NewMessage {
                flag: send.flag,
                sys_flag: send.sys_flag,
                born_timestamp_ms: send.born_timestamp_ms,
                born_host: call.peer.peer_addr(),
                store_host: broker.identity.store_host,
                reconsume_times: send.reconsume_times,
                prepared_transaction_offset: 0,
                body: call.request.body,
                properties: &pieces,
            };
            let put = |staging: &mut Staging| staging.put(queue, &message);
            let staged = call.turn.stage("", put).inspect_err(|error| {
                // The client that waits gets it all the same, as in the original.
                tracing::warn!(topic = send.topic, %error, "a reply is not stored");
            });
            staged.ok().map(|(slot, _)| slot)
        }
        false => None,
    };
    let client_id = client_id.unwrap_or_default().to_owned();
    let ticket = ReplyTicket { to: call.exchange(), queue_id: target.queue_id, slot, push, client_id };
    Ok(Reply::Turn(Ticket::Reply(Box::new(ticket))))
}

/// What the waiting client is told.
fn request(broker: &Broker, call: &Call<'_, '_>, send: &Send<'_>) -> Request {
    let now_ms = broker.now_ms();
    let settings = broker.settings();
    let (time, is_traced) = (now_ms.to_string(), settings.broker.trace_on.to_string());
    let changes = [
        (name::MSG_REGION, Some(settings.broker.region_id.as_str())),
        (name::TRACE_ON, Some(is_traced.as_str())),
        (name::PUSH_REPLY_TIME, Some(time.as_str())),
    ];
    let text = properties::changed(send.properties, &changes);
    let header = ReplyMessageRequestHeader {
        producer_group: send.producer_group,
        topic: send.topic,
        default_topic: send.default_topic,
        default_topic_queue_nums: send.default_topic_queue_nums,
        queue_id: send.queue_id,
        sys_flag: send.sys_flag,
        born_timestamp: send.born_timestamp_ms,
        flag: send.flag,
        properties: Some(&text),
        reconsume_times: Some(send.reconsume_times),
        unit_mode: send.is_unit,
        born_host: &call.peer.peer_addr().to_string(),
        store_host: &broker.identity.store_host.to_string(),
        store_timestamp: now_ms,
    };
    Request::new(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT)
        .header(&header)
        .body(Bytes::copy_from_slice(call.request.body))
}

/// Hands the reply over and answers, when the turn has ended.
pub(crate) fn finish(broker: &Arc<Broker>, peer: &Connection, ticket: ReplyTicket, staging: &Staging) {
    let ReplyTicket { to, queue_id, slot, push, client_id } = ticket;
    let placed = slot.map(|slot| *staging.placed(slot)).filter(|placed| placed.status == PutStatus::PutOk);
    let stored = placed.map(|placed| (broker.message_id(placed.log_offset), placed.queue_offset));
    let (broker, responder) = (Arc::clone(broker), peer.responder(to));
    let place = broker.lanes.replies.wait();
    tokio::task::spawn_local(async move {
        let _place = place;
        let outcome = match push {
            Err(remark) => Err(remark),
            Ok((connection, request)) => match connection.call(request, PUSH_TIMEOUT).await {
                Ok(response) if response.code == ResponseCode::SUCCESS => Ok(()),
                Ok(_) | Err(_) => Err(format!("push reply message to {client_id}fail.")),
            },
        };
        answer(&broker, responder, outcome, (queue_id, stored));
    });
}

/// Answers how the push went, and where the reply was stored.
fn answer(
    broker: &Broker,
    responder: Responder,
    outcome: Result<(), String>,
    (queue_id, stored): (i32, Option<(String, i64)>),
) {
    let (code, remark) = match &outcome {
        Ok(()) => (ResponseCode::SUCCESS, None),
        Err(remark) => (ResponseCode::SYSTEM_ERROR, Some(remark.as_str())),
    };
    let has_place = stored.is_some() || outcome.is_ok();
    // Clients want numbers there, also when nothing was stored.
    let (id, queue_offset) = stored.unwrap_or_else(|| ("0".to_owned(), 0));
    let header = SendMessageResponseHeader { msg_id: &id, queue_id, queue_offset, ..Default::default() };
    responder.answer(|to, out| {
        if let Some(mut writer) = out.answer(to, code, remark) {
            if has_place {
                header.encode(&mut writer);
            }
            write_fields(broker, writer);
        }
    });
}
