//! Which handler answers which request: one table, declared once.

use bytes::Bytes;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{self, FieldSink, FieldValue, Header};
use raptormq_protocol::json;
use raptormq_remoting::{Connection, Exchange, Output, Responder};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::failure::Failure;
use crate::handle;
use crate::readers::Pool;
use crate::service::{Ticket, Turn};

/// A request, and everything that answers it.
pub(crate) struct Call<'c, 'r> {
    pub(crate) request: &'c Command<'r>,
    pub(crate) peer: &'c Connection,
    pub(crate) out: &'c mut Output,
    pub(crate) turn: &'c Turn,
}

/// What a handler did with a request.
pub(crate) enum Reply {
    /// Answered, or to be answered through a [`Responder`].
    Done,
    /// To be answered at the end of the turn.
    Turn(Ticket),
}

/// Families of requests that are treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Send,
    /// Reading messages: not on the VIP port, which is for what must not wait behind pulls.
    Pull,
    /// Heartbeats, membership, offsets and locks of clients.
    Client,
    /// Everything that tools ask.
    Admin,
}

/// Declares the table: code, header (if the request has fields that matter), handler, lane.
macro_rules! requests {
    ($($code:ident $(($header:ident))? => $family:ident::$handler:ident, $lane:ident;)*) => {
        /// Answers a request.
        pub(crate) fn handle(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
            match RequestCode(call.request.code) {
                $(RequestCode::$code => {
                    admit(call, Lane::$lane)?;
                    requests!(@run $family::$handler(broker, call) $($header)?)
                })*
                RequestCode(code) => Err(Failure::not_supported(code)),
            }
        }
    };
    (@run $family:ident::$handler:ident($broker:ident, $call:ident)) => {
        handle::$family::$handler($broker, $call)
    };
    (@run $family:ident::$handler:ident($broker:ident, $call:ident) $header:ident) => {{
        let header: header::$header<'_> = $call.request.header()?;
        handle::$family::$handler($broker, $call, header)
    }};
}

requests! {
    SEND_MESSAGE(SendMessageRequestHeader) => send::send, Send;
    SEND_MESSAGE_V2(SendMessageRequestHeaderV2) => send::send_v2, Send;
    SEND_BATCH_MESSAGE(SendMessageRequestHeaderV2) => send::send_batch, Send;
    PULL_MESSAGE(PullMessageRequestHeader) => pull::pull, Pull;
    LITE_PULL_MESSAGE(PullMessageRequestHeader) => pull::lite_pull, Pull;
    VIEW_MESSAGE_BY_ID(ViewMessageRequestHeader) => query::view_message, Admin;
    QUERY_MESSAGE(QueryMessageRequestHeader) => query::query_message, Admin;
    QUERY_CONSUME_QUEUE(QueryConsumeQueueRequestHeader) => query::query_consume_queue, Admin;
    QUERY_CONSUMER_OFFSET(QueryConsumerOffsetRequestHeader) => offset::query_consumer_offset, Client;
    UPDATE_CONSUMER_OFFSET(UpdateConsumerOffsetRequestHeader) => offset::update_consumer_offset, Client;
    SEARCH_OFFSET_BY_TIMESTAMP(SearchOffsetRequestHeader) => offset::search_offset, Client;
    GET_MAX_OFFSET(GetMaxOffsetRequestHeader) => offset::max_offset, Client;
    GET_MIN_OFFSET(GetMinOffsetRequestHeader) => offset::min_offset, Client;
    GET_EARLIEST_MSG_STORETIME(GetEarliestMsgStoretimeRequestHeader) => offset::earliest_time, Client;
    GET_ALL_CONSUMER_OFFSET => offset::all_consumer_offsets, Admin;
    HEART_BEAT => client::heartbeat, Client;
    UNREGISTER_CLIENT(UnregisterClientRequestHeader) => client::unregister, Client;
    GET_CONSUMER_LIST_BY_GROUP(GetConsumerListByGroupRequestHeader) => client::consumer_list, Client;
    CHECK_CLIENT_CONFIG => client::check_config, Client;
    GET_CONSUMER_CONNECTION_LIST(GetConsumerConnectionListRequestHeader) => client::consumer_connections, Admin;
    GET_PRODUCER_CONNECTION_LIST(GetProducerConnectionListRequestHeader) => client::producer_connections, Admin;
    LOCK_BATCH_MQ => lock::lock, Client;
    UNLOCK_BATCH_MQ => lock::unlock, Client;
    UPDATE_AND_CREATE_TOPIC(CreateTopicRequestHeader) => topic::create, Admin;
    DELETE_TOPIC_IN_BROKER(DeleteTopicRequestHeader) => topic::delete, Admin;
    GET_ALL_TOPIC_CONFIG(GetAllTopicConfigRequestHeader) => topic::all, Admin;
    GET_TOPIC_CONFIG(GetTopicConfigRequestHeader) => topic::get, Admin;
    GET_TOPIC_STATS_INFO(GetTopicStatsInfoRequestHeader) => topic::stats, Admin;
    GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topic::system_topics, Admin;
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::create, Admin;
    DELETE_SUBSCRIPTIONGROUP(DeleteSubscriptionGroupRequestHeader) => group::delete, Admin;
    GET_ALL_SUBSCRIPTIONGROUP_CONFIG(GetAllSubscriptionGroupRequestHeader) => group::all, Admin;
    GET_SUBSCRIPTIONGROUP_CONFIG(GetSubscriptionGroupConfigRequestHeader) => group::get, Admin;
    CLEAN_EXPIRED_CONSUMEQUEUE => clean::expired_queues, Admin;
    CLEAN_UNUSED_TOPIC => clean::unused_topics, Admin;
    DELETE_EXPIRED_COMMITLOG => clean::expired_files, Admin;
    GET_BROKER_CONFIG => admin::config, Admin;
    GET_BROKER_RUNTIME_INFO => admin::runtime_info, Admin;
}

/// The place of the VIP port among those that the server listens on.
pub(crate) const VIP_LISTENER: usize = 1;

fn admit(call: &Call<'_, '_>, lane: Lane) -> Result<(), Failure> {
    match lane {
        Lane::Pull if call.peer.listener() == VIP_LISTENER => Err(Failure::not_supported(call.request.code)),
        _ => Ok(()),
    }
}

impl Call<'_, '_> {
    /// What an answer must know of the request.
    pub(crate) fn exchange(&self) -> Exchange {
        self.request.into()
    }

    /// Promises an answer that comes later.
    pub(crate) fn responder(&self) -> Responder {
        self.peer.responder(self.request)
    }

    /// Answers SUCCESS.
    pub(crate) fn success(&mut self) -> Reply {
        self.out.respond(self.request, ResponseCode::SUCCESS, None);
        Reply::Done
    }

    /// Answers SUCCESS with fields.
    pub(crate) fn success_with<'h>(&mut self, header: &impl Header<'h>) -> Reply {
        if let Some(writer) = self.out.answer(self.request, ResponseCode::SUCCESS, None) {
            writer.header(header).finish(&[]);
        }
        Reply::Done
    }

    /// Answers SUCCESS with a body.
    pub(crate) fn success_body(&mut self, body: impl Into<Bytes>) -> Reply {
        self.success_fields_body(|_| (), body)
    }

    /// Answers SUCCESS with fields and a body.
    pub(crate) fn success_fields_body(
        &mut self,
        fields: impl FnOnce(&mut dyn FnMut(&str, FieldValue<'_>)),
        body: impl Into<Bytes>,
    ) -> Reply {
        let body = body.into();
        if let Some(mut writer) = self.out.answer(self.request, ResponseCode::SUCCESS, None) {
            fields(&mut |key, value| writer.field(key, value));
            writer.finish_detached(body.len());
            self.out.attach(body);
        }
        Reply::Done
    }

    /// Answers SUCCESS with a body in Java's JSON.
    pub(crate) fn success_json(&mut self, body: &impl Serialize) -> Result<Reply, Failure> {
        Ok(self.success_body(json::to_vec(body).map_err(Failure::answer)?))
    }

    /// Answers SUCCESS when what was changed is on disk, and SYSTEM_ERROR when it cannot be written.
    pub(crate) fn success_when_kept(&self, kept: oneshot::Receiver<Result<(), String>>) -> Reply {
        self.success_when_kept_and(kept, std::future::ready(()))
    }

    /// As [`Call::success_when_kept`], and after something else.
    pub(crate) fn success_when_kept_and(
        &self,
        kept: oneshot::Receiver<Result<(), String>>,
        then: impl Future<Output = ()> + 'static,
    ) -> Reply {
        let responder = self.responder();
        tokio::task::spawn_local(async move {
            match kept.await {
                Ok(Ok(())) => {
                    then.await;
                    responder.respond(ResponseCode::SUCCESS, None);
                }
                Ok(Err(reason)) => responder.respond(ResponseCode::SYSTEM_ERROR, Some(&reason)),
                Err(_) => responder.respond(ResponseCode::SYSTEM_ERROR, Some("the broker stops")),
            }
        });
        Reply::Done
    }

    /// Lets a thread of the pool find out what to answer.
    pub(crate) fn answer_later<A>(
        &self,
        pool: &Pool,
        work: impl FnOnce(&Broker) -> Result<A, Failure> + Send + 'static,
    ) -> Reply
    where
        A: FnOnce(Exchange, &mut Output),
    {
        pool.run(self.responder(), move |broker, responder| {
            let answer = work(broker);
            responder.answer(|to, out| match answer {
                Ok(write) => write(to, out),
                Err(failure) => refuse(out, to, &failure),
            });
        });
        Reply::Done
    }

    /// Answers a refusal.
    pub(crate) fn refuse(&mut self, failure: &Failure) {
        refuse(self.out, self.request.into(), failure);
    }
}

/// Writes the answer SUCCESS with a body.
pub(crate) fn write_body(body: Bytes, to: Exchange, out: &mut Output) {
    if let Some(writer) = out.answer(to, ResponseCode::SUCCESS, None) {
        writer.finish_detached(body.len());
        out.attach(body);
    }
}

/// Writes the answer SUCCESS with fields and slices of the log.
pub(crate) fn write_slices<'h>(header: &impl Header<'h>, slices: Vec<Bytes>, to: Exchange, out: &mut Output) {
    if let Some(writer) = out.answer(to, ResponseCode::SUCCESS, None) {
        writer.header(header).finish_detached(slices.iter().map(Bytes::len).sum());
        slices.into_iter().for_each(|slice| out.attach(slice));
    }
}

/// Answers a refusal.
pub(crate) fn refuse(out: &mut Output, to: Exchange, failure: &Failure) {
    if let Some(mut writer) = out.answer(to, failure.code, Some(&failure.remark)) {
        if let Some(what) = failure.forbidden {
            writer.field("forbiddenType", FieldValue::Integer(what as i64));
        }
        writer.finish(&[]);
    }
}
