//! What comes from brokers without being asked for: changes of groups, questions for transactions, replies.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{
    CheckTransactionStateRequestHeader, NotifyConsumerIdsChangedRequestHeader, ReplyMessageRequestHeader,
};
use raptormq_protocol::message::compress::{self, CompressError, Compression};
use raptormq_protocol::message::properties::name;
use raptormq_protocol::message::{MessageExt, PropertyList, sys_flag};
use raptormq_remoting::{Connection, Inbound, Output};

use super::Attention;
use super::heartbeat::Greeted;
use crate::clock;
use crate::consumer::commands;
use crate::error::{Error, Result};
use crate::producer::Question;
use crate::registry::Registry;

/// Largest body of a message that a broker sends of its own accord, decompressed.
const PUSHED_BODY_BYTES_MAX: usize = 64 << 20;

/// See the module's documentation.
pub(super) struct Notices {
    pub(super) registry: Arc<Registry>,
    pub(super) greeted: Arc<Greeted>,
    pub(super) attention: Arc<Attention>,
}

impl Inbound for Notices {
    fn handle(&self, server: &Connection, request: &Command<'_>, out: &mut Output) {
        match RequestCode(request.code) {
            // One-way: no answer.
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                if let Ok(header) = request.header::<NotifyConsumerIdsChangedRequestHeader<'_>>() {
                    self.registry.wake(header.consumer_group);
                }
            }
            RequestCode::CHECK_TRANSACTION_STATE => self.check_transaction(server, request),
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => {
                let code = match self.take_reply(request) {
                    Ok(()) => ResponseCode::SUCCESS,
                    Err(error) => {
                        tracing::warn!(%error, "a reply cannot be read");
                        ResponseCode::SYSTEM_ERROR
                    }
                };
                out.respond(request, code, None);
            }
            _ if commands::receive(&self.registry, server, request, out) => {}
            code => {
                let remark = format!(" request type {} not supported", code.0);
                out.respond(request, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, Some(&remark));
            }
        }
    }

    /// A broker forgets a client with its connection, so it is told again on the next one.
    fn closed(&self, address: &str, reason: &str) {
        tracing::debug!(address, reason, "a connection ended");
        if self.greeted.forget(address) {
            self.attention.greet.notify_one();
        }
    }
}

impl Notices {
    /// A broker asks what became of a transaction. One-way: the answer is a request of ours.
    fn check_transaction(&self, server: &Connection, request: &Command<'_>) {
        let header = request.header::<CheckTransactionStateRequestHeader<'_>>();
        let message = MessageExt::decode(request.body, PUSHED_BODY_BYTES_MAX);
        let (Ok(header), Ok((message, _))) = (header, message) else {
            return tracing::warn!(broker = %server.peer_addr(), "a question for a transaction cannot be read");
        };
        let Some((group, question)) = Question::of(server, &header, message) else { return };
        match self.registry.checks(&group) {
            Some(checks) => checks.ask(question),
            None => tracing::debug!(group, "nobody here answers for the transactions of the group"),
        }
    }

    /// A broker hands on the reply to a request of ours.
    fn take_reply(&self, request: &Command<'_>) -> Result<()> {
        let unreadable = |error: &dyn std::fmt::Display| Error::protocol(format!("a pushed reply: {error}"));
        let header: ReplyMessageRequestHeader<'_> = request.header().map_err(|error| unreadable(&error))?;
        let mut reply = pushed_message(&header, request.body).map_err(|error| unreadable(&error))?;
        reply.set_property(name::ARRIVE_TIME, clock::now_ms().to_string());
        if !self.registry.requests().answer(reply) {
            tracing::debug!(topic = header.topic, "a reply that nobody waits for any more");
        }
        Ok(())
    }
}

/// The message that a broker pushes.
fn pushed_message(
    header: &ReplyMessageRequestHeader<'_>,
    body: &[u8],
) -> std::result::Result<MessageExt, CompressError> {
    let address = |text: &str| {
        let text = text.trim_start_matches('/');
        text.parse().unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    };
    let body = match Compression::of(header.sys_flag)? {
        Some(compression) => compress::decompress(compression, body, PUSHED_BODY_BYTES_MAX)?.into(),
        None => bytes::Bytes::copy_from_slice(body),
    };
    let properties = PropertyList::of(header.properties.unwrap_or_default());
    Ok(MessageExt {
        broker_name: String::new(),
        queue_id: header.queue_id,
        store_size: 0,
        queue_offset: 0,
        sys_flag: header.sys_flag & !sys_flag::COMPRESSED,
        born_timestamp_ms: header.born_timestamp,
        born_host: address(header.born_host),
        store_timestamp_ms: header.store_timestamp,
        store_host: address(header.store_host),
        msg_id: properties.get(name::UNIQ_KEY).unwrap_or_default().to_owned(),
        commit_log_offset: 0,
        body_crc: 0,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        topic: header.topic.to_owned(),
        flag: header.flag,
        properties,
        body,
        transaction_id: None,
    })
}
