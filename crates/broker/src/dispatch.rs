//! Which handler answers which request: one table, declared once.

use bytes::Bytes;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{self, FieldSink, FieldValue, Header};
use raptormq_protocol::json;
use raptormq_remoting::{Connection, Exchange, Output, Responder};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::access::{self, Need};
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
    /// Messages of producers, and those that consumers give back.
    Send,
    /// Replies, which are handed over to who asked.
    Reply,
    /// Ends of transactions. They let go of what waits, so that no send may keep them out.
    End,
    /// Reading messages: not on the VIP port, which is for what must not wait behind pulls.
    Pull,
    /// Heartbeats, membership, offsets and locks of clients.
    Client,
    /// Everything that tools ask.
    Admin,
}

/// Declares the table: code, header (if the request has fields that matter), handler, lane, and what the sender needs when
/// access control is on.
macro_rules! requests {
    ($($code:ident $(($header:ident))? => $family:ident::$handler:ident, $lane:ident,
        $need:ident $(($($field:literal),*))?;)*) => {
        /// Codes that have a handler.
        #[cfg(test)]
        const ANSWERED: &[RequestCode] = &[$(RequestCode::$code),*];

        /// Answers a request.
        pub(crate) fn handle(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
            match RequestCode(call.request.code) {
                $(RequestCode::$code => {
                    admit(broker, call, Lane::$lane, Need::$need $(($($field),*))?)?;
                    requests!(@run $family::$handler(broker, call) $($header)?)
                })*
                code => {
                    known(broker, call, Need::Account)?;
                    Err(absent(code))
                }
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
    SEND_MESSAGE(SendMessageRequestHeader) => send::send, Send, Publish("topic");
    SEND_MESSAGE_V2(SendMessageRequestHeaderV2) => send::send_v2, Send, Publish("b");
    SEND_BATCH_MESSAGE(SendMessageRequestHeaderV2) => send::send_batch, Send, Publish("b");
    CONSUMER_SEND_MSG_BACK(ConsumerSendMsgBackRequestHeader) => send_back::send_back, Send, Group("group");
    SEND_REPLY_MESSAGE(SendMessageRequestHeader) => reply::reply, Reply, Account;
    SEND_REPLY_MESSAGE_V2(SendMessageRequestHeaderV2) => reply::reply_v2, Reply, Account;
    END_TRANSACTION(EndTransactionRequestHeader) => end_transaction::end_transaction, End, Account;
    RESUME_CHECK_HALF_MESSAGE(ResumeCheckHalfMessageRequestHeader) => end_transaction::resume, Admin, Admin;
    PULL_MESSAGE(PullMessageRequestHeader) => pull::pull, Pull, Subscribe("topic", "consumerGroup");
    LITE_PULL_MESSAGE(PullMessageRequestHeader) => pull::lite_pull, Pull, Subscribe("topic", "consumerGroup");
    VIEW_MESSAGE_BY_ID(ViewMessageRequestHeader) => query::view_message, Admin, Account;
    QUERY_MESSAGE(QueryMessageRequestHeader) => query::query_message, Admin, Subscribe("topic", "");
    QUERY_CONSUME_QUEUE(QueryConsumeQueueRequestHeader) => query::query_consume_queue, Admin, Account;
    QUERY_CONSUMER_OFFSET(QueryConsumerOffsetRequestHeader) => offset::query_consumer_offset, Client, Account;
    UPDATE_CONSUMER_OFFSET(UpdateConsumerOffsetRequestHeader) => offset::update_consumer_offset, Client, Subscribe("topic", "consumerGroup");
    SEARCH_OFFSET_BY_TIMESTAMP(SearchOffsetRequestHeader) => offset::search_offset, Client, Account;
    GET_MAX_OFFSET(GetMaxOffsetRequestHeader) => offset::max_offset, Client, Account;
    GET_MIN_OFFSET(GetMinOffsetRequestHeader) => offset::min_offset, Client, Account;
    GET_EARLIEST_MSG_STORETIME(GetEarliestMsgStoretimeRequestHeader) => offset::earliest_time, Client, Account;
    GET_ALL_CONSUMER_OFFSET => offset::all_consumer_offsets, Admin, Account;
    INVOKE_BROKER_TO_RESET_OFFSET(ResetOffsetRequestHeader) => reset::reset, Admin, Subscribe("topic", "group");
    INVOKE_BROKER_TO_GET_CONSUMER_STATUS(GetConsumerStatusRequestHeader) => reset::status, Admin, Account;
    GET_CONSUME_STATS(GetConsumeStatsRequestHeader) => progress::consume_stats, Admin, Account;
    GET_BROKER_CONSUME_STATS => progress::all_consume_stats, Admin, Account;
    QUERY_TOPIC_CONSUME_BY_WHO(QueryTopicConsumeByWhoRequestHeader) => progress::groups_of_topic, Admin, Account;
    QUERY_TOPICS_BY_CONSUMER(QueryTopicsByConsumerRequestHeader) => progress::topics_of_group, Admin, Account;
    QUERY_SUBSCRIPTION_BY_CONSUMER(QuerySubscriptionByConsumerRequestHeader) => progress::subscription, Admin, Account;
    QUERY_CONSUME_TIME_SPAN(QueryConsumeTimeSpanRequestHeader) => progress::time_span, Admin, Account;
    QUERY_CORRECTION_OFFSET(QueryCorrectionOffsetHeader) => progress::correction, Admin, Account;
    CLONE_GROUP_OFFSET(CloneGroupOffsetRequestHeader) => progress::clone_offsets, Admin, Subscribe("topic", "destGroup");
    GET_ALL_DELAY_OFFSET => offset::all_delay_offsets, Admin, Account;
    HEART_BEAT => client::heartbeat, Client, Heartbeat;
    UNREGISTER_CLIENT(UnregisterClientRequestHeader) => client::unregister, Client, Group("consumerGroup");
    GET_CONSUMER_LIST_BY_GROUP(GetConsumerListByGroupRequestHeader) => client::consumer_list, Client, Group("consumerGroup");
    CHECK_CLIENT_CONFIG => client::check_config, Client, Account;
    GET_CONSUMER_CONNECTION_LIST(GetConsumerConnectionListRequestHeader) => client::consumer_connections, Admin, Account;
    GET_PRODUCER_CONNECTION_LIST(GetProducerConnectionListRequestHeader) => client::producer_connections, Admin, Account;
    GET_ALL_PRODUCER_INFO => client::all_producers, Admin, Account;
    GET_CONSUMER_RUNNING_INFO(GetConsumerRunningInfoRequestHeader) => relay::running_info, Admin, Account;
    CONSUME_MESSAGE_DIRECTLY(ConsumeMessageDirectlyResultRequestHeader) => relay::consume_directly, Admin, Account;
    QUERY_ASSIGNMENT => assignment::query, Client, Account;
    SET_MESSAGE_REQUEST_MODE => assignment::set_mode, Admin, Admin;
    GET_ALL_MESSAGE_REQUEST_MODE => assignment::all_modes, Admin, Account;
    LOCK_BATCH_MQ => lock::lock, Client, Account;
    UNLOCK_BATCH_MQ => lock::unlock, Client, Account;
    UPDATE_AND_CREATE_TOPIC(CreateTopicRequestHeader) => topic::create, Admin, Admin;
    UPDATE_AND_CREATE_TOPIC_LIST => topic::create_list, Admin, Admin;
    DELETE_TOPIC_IN_BROKER(DeleteTopicRequestHeader) => topic::delete, Admin, Admin;
    GET_ALL_TOPIC_CONFIG(GetAllTopicConfigRequestHeader) => topic::all, Admin, Account;
    GET_TOPIC_CONFIG(GetTopicConfigRequestHeader) => topic::get, Admin, Account;
    GET_TOPIC_STATS_INFO(GetTopicStatsInfoRequestHeader) => topic::stats, Admin, Account;
    GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topic::system_topics, Admin, Account;
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::create, Admin, Admin;
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => group::create_list, Admin, Admin;
    UPDATE_AND_GET_GROUP_FORBIDDEN(UpdateGroupForbiddenRequestHeader) => group::forbidden, Admin, Admin;
    DELETE_SUBSCRIPTIONGROUP(DeleteSubscriptionGroupRequestHeader) => group::delete, Admin, Admin;
    GET_ALL_SUBSCRIPTIONGROUP_CONFIG(GetAllSubscriptionGroupRequestHeader) => group::all, Admin, Account;
    GET_SUBSCRIPTIONGROUP_CONFIG(GetSubscriptionGroupConfigRequestHeader) => group::get, Admin, Account;
    CLEAN_EXPIRED_CONSUMEQUEUE => clean::expired_queues, Admin, Admin;
    CLEAN_UNUSED_TOPIC => clean::unused_topics, Admin, Admin;
    DELETE_EXPIRED_COMMITLOG => clean::expired_files, Admin, Admin;
    UPDATE_BROKER_CONFIG => config::update, Admin, Admin;
    GET_BROKER_CONFIG => config::get, Admin, Account;
    SET_COMMITLOG_READ_MODE => config::set_read_mode, Admin, Admin;
    GET_BROKER_RUNTIME_INFO => admin::runtime_info, Admin, Account;
    VIEW_BROKER_STATS_DATA(ViewBrokerStatsDataRequestHeader) => admin::stats, Admin, Account;
    EXCHANGE_BROKER_HA_INFO(ExchangeHAInfoRequestHeader) => ha::exchange, Admin, Account;
    GET_BROKER_HA_STATUS => ha::status, Admin, Account;
    NOTIFY_MIN_BROKER_ID_CHANGE(NotifyMinBrokerIdChangeRequestHeader) => ha::smallest_id, Admin, Account;
    RESET_MASTER_FLUSH_OFFSET => admin::nothing_to_do, Admin, Account;
    UPDATE_AND_CREATE_ACL_CONFIG(CreateAccessConfigRequestHeader) => acl::put, Admin, Admin;
    DELETE_ACL_CONFIG(DeleteAccessConfigRequestHeader) => acl::delete, Admin, Admin;
    GET_BROKER_CLUSTER_ACL_INFO => acl::versions, Admin, Account;
    UPDATE_GLOBAL_WHITE_ADDRS_CONFIG(UpdateGlobalWhiteAddrsConfigRequestHeader) => acl::set_global_addresses, Admin, Admin;
    GET_BROKER_CLUSTER_ACL_CONFIG => acl::all, Admin, Admin;
}

/// Why a request has no handler here.
#[derive(Clone, Copy, Debug)]
enum Absent {
    /// The original's broker has none either: nobody's any more, or for name servers, controllers, containers or clients.
    Original,
    /// A feature of the original that is not built yet.
    Later(&'static str),
    /// Answered as by the original when the feature is off, which it is.
    Off(ResponseCode, &'static str),
}

/// Every request that is known and has no handler. With the table above it is all of `RequestCode.java`.
#[rustfmt::skip]
const ABSENT: &[(RequestCode, Absent)] = &[
    (RequestCode::QUERY_BROKER_OFFSET, Absent::Original),
    (RequestCode::GET_TOPIC_CONFIG_LIST, Absent::Original),
    (RequestCode::GET_TOPIC_NAME_LIST, Absent::Original),
    (RequestCode::TRIGGER_DELETE_FILES, Absent::Original),
    (RequestCode::CHECK_TRANSACTION_STATE, Absent::Original),
    (RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, Absent::Original),
    (RequestCode::GET_CLIENT_CONFIG, Absent::Original),
    (RequestCode::PUT_KV_CONFIG, Absent::Original),
    (RequestCode::GET_KV_CONFIG, Absent::Original),
    (RequestCode::DELETE_KV_CONFIG, Absent::Original),
    (RequestCode::REGISTER_BROKER, Absent::Original),
    (RequestCode::UNREGISTER_BROKER, Absent::Original),
    (RequestCode::GET_ROUTEINFO_BY_TOPIC, Absent::Original),
    (RequestCode::GET_BROKER_CLUSTER_INFO, Absent::Original),
    (RequestCode::WIPE_WRITE_PERM_OF_BROKER, Absent::Original),
    (RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, Absent::Original),
    (RequestCode::SUSPEND_CONSUMER, Absent::Original),
    (RequestCode::RESUME_CONSUMER, Absent::Original),
    (RequestCode::RESET_CONSUMER_OFFSET_IN_CONSUMER, Absent::Original),
    (RequestCode::RESET_CONSUMER_OFFSET_IN_BROKER, Absent::Original),
    (RequestCode::ADJUST_CONSUMER_THREAD_POOL, Absent::Original),
    (RequestCode::WHO_CONSUME_THE_MESSAGE, Absent::Original),
    (RequestCode::DELETE_TOPIC_IN_NAMESRV, Absent::Original),
    (RequestCode::REGISTER_TOPIC_IN_NAMESRV, Absent::Original),
    (RequestCode::GET_KVLIST_BY_NAMESPACE, Absent::Original),
    (RequestCode::RESET_CONSUMER_CLIENT_OFFSET, Absent::Original),
    (RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, Absent::Original),
    (RequestCode::GET_TOPICS_BY_CLUSTER, Absent::Original),
    (RequestCode::REGISTER_FILTER_SERVER, Absent::Original),
    (RequestCode::REGISTER_MESSAGE_FILTER_CLASS, Absent::Original),
    (RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS, Absent::Original),
    (RequestCode::GET_UNIT_TOPIC_LIST, Absent::Original),
    (RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST, Absent::Original),
    (RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, Absent::Original),
    (RequestCode::UPDATE_NAMESRV_CONFIG, Absent::Original),
    (RequestCode::GET_NAMESRV_CONFIG, Absent::Original),
    (RequestCode::QUERY_DATA_VERSION, Absent::Original),
    (RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, Absent::Original),
    (RequestCode::ADD_WRITE_PERM_OF_BROKER, Absent::Original),
    (RequestCode::GET_BROKER_MEMBER_GROUP, Absent::Original),
    (RequestCode::ADD_BROKER, Absent::Original),
    (RequestCode::REMOVE_BROKER, Absent::Original),
    (RequestCode::BROKER_HEARTBEAT, Absent::Original),
    (RequestCode::CONTROLLER_ALTER_SYNC_STATE_SET, Absent::Original),
    (RequestCode::CONTROLLER_ELECT_MASTER, Absent::Original),
    (RequestCode::CONTROLLER_REGISTER_BROKER, Absent::Original),
    (RequestCode::CONTROLLER_GET_REPLICA_INFO, Absent::Original),
    (RequestCode::CONTROLLER_GET_METADATA_INFO, Absent::Original),
    (RequestCode::CONTROLLER_GET_SYNC_STATE_DATA, Absent::Original),
    (RequestCode::UPDATE_CONTROLLER_CONFIG, Absent::Original),
    (RequestCode::GET_CONTROLLER_CONFIG, Absent::Original),
    (RequestCode::CLEAN_BROKER_DATA, Absent::Original),
    (RequestCode::CONTROLLER_GET_NEXT_BROKER_ID, Absent::Original),
    (RequestCode::CONTROLLER_APPLY_BROKER_ID, Absent::Original),
    (RequestCode::BROKER_CLOSE_CHANNEL_REQUEST, Absent::Original),
    (RequestCode::CHECK_NOT_ACTIVE_BROKER_REQUEST, Absent::Original),
    (RequestCode::GET_BROKER_LIVE_INFO_REQUEST, Absent::Original),
    (RequestCode::GET_SYNC_STATE_DATA_REQUEST, Absent::Original),
    (RequestCode::RAFT_BROKER_HEART_BEAT_EVENT_REQUEST, Absent::Original),
    (RequestCode::GET_TIMER_CHECK_POINT, Absent::Off(ResponseCode::SYSTEM_ERROR, "The checkpoint is null")),
    (RequestCode::GET_TIMER_METRICS, Absent::Off(ResponseCode::SYSTEM_ERROR, "The timer message store is null")),
    (RequestCode::RECALL_MESSAGE, Absent::Off(ResponseCode::NO_PERMISSION, "recall failed, operation is forbidden")),
    (RequestCode::CHECK_ROCKSDB_CQ_WRITE_PROGRESS, Absent::Later("RocksDB")),
    (RequestCode::EXPORT_ROCKSDB_CONFIG_TO_JSON, Absent::Later("RocksDB")),
    (RequestCode::UPDATE_AND_CREATE_STATIC_TOPIC, Absent::Later("static topics")),
    (RequestCode::GET_BROKER_EPOCH_CACHE, Absent::Off(ResponseCode::SYSTEM_ERROR, "this request only for controllerMode ")),
    (RequestCode::NOTIFY_BROKER_ROLE_CHANGED, Absent::Later("controller mode")),
    (RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG, Absent::Later("flow control of cold reads")),
    (RequestCode::REMOVE_COLD_DATA_FLOW_CTR_CONFIG, Absent::Later("flow control of cold reads")),
    (RequestCode::GET_COLD_DATA_FLOW_CTR_INFO, Absent::Later("flow control of cold reads")),
    (RequestCode::AUTH_CREATE_USER, Absent::Later("access control")),
    (RequestCode::AUTH_UPDATE_USER, Absent::Later("access control")),
    (RequestCode::AUTH_DELETE_USER, Absent::Later("access control")),
    (RequestCode::AUTH_GET_USER, Absent::Later("access control")),
    (RequestCode::AUTH_LIST_USER, Absent::Later("access control")),
    (RequestCode::AUTH_CREATE_ACL, Absent::Later("access control")),
    (RequestCode::AUTH_UPDATE_ACL, Absent::Later("access control")),
    (RequestCode::AUTH_DELETE_ACL, Absent::Later("access control")),
    (RequestCode::AUTH_GET_ACL, Absent::Later("access control")),
    (RequestCode::AUTH_LIST_ACL, Absent::Later("access control")),
    (RequestCode::POP_MESSAGE, Absent::Later("pop consumers")),
    (RequestCode::ACK_MESSAGE, Absent::Later("pop consumers")),
    (RequestCode::PEEK_MESSAGE, Absent::Later("pop consumers")),
    (RequestCode::CHANGE_MESSAGE_INVISIBLETIME, Absent::Later("pop consumers")),
    (RequestCode::NOTIFICATION, Absent::Later("pop consumers")),
    (RequestCode::POLLING_INFO, Absent::Later("pop consumers")),
    (RequestCode::POP_ROLLBACK, Absent::Later("pop consumers")),
    (RequestCode::BATCH_ACK_MESSAGE, Absent::Later("pop consumers")),
];

/// What a slave says to a request that stores messages. A reply is handed over all the same. Java:
/// `SendMessageProcessor.rejectRequest`, and where a slave may act as master, which lets the request in,
/// `HookUtils.checkBeforePutMessage` and `AbstractSendMessageProcessor.consumerSendMsgBack`.
fn slave(broker: &Broker, code: i32) -> Failure {
    let config = &broker.settings().broker;
    match RequestCode(code) {
        RequestCode::END_TRANSACTION => Failure::new(ResponseCode::SLAVE_NOT_AVAILABLE, ""),
        _ if !config.enable_slave_acting_master => Failure::rejected(),
        RequestCode::CONSUMER_SEND_MSG_BACK => {
            Failure::system(format!("no master available along with {}", config.broker_ip1))
        }
        _ => handle::send::answer::not_available(broker),
    }
}

/// What is said to a request without handler.
fn absent(code: RequestCode) -> Failure {
    let found = ABSENT.iter().find(|(known, _)| *known == code);
    match found.map_or(Absent::Original, |(_, why)| *why) {
        Absent::Original => Failure::not_supported(code.0),
        Absent::Later(feature) => Failure::not_yet(code.0, feature),
        Absent::Off(code, remark) => Failure::new(code, remark),
    }
}

/// The place of the VIP port among those that the server listens on.
pub(crate) const VIP_LISTENER: usize = 1;

/// Refuses whoever may not do that, when access control is on.
fn known(broker: &Broker, call: &Call<'_, '_>, need: Need) -> Result<(), Failure> {
    match &broker.acl {
        Some(acl) => access::check(acl, call.peer, call.request, need),
        None => Ok(()),
    }
}

fn admit(broker: &Broker, call: &Call<'_, '_>, lane: Lane, need: Need) -> Result<(), Failure> {
    known(broker, call, need)?;
    match lane {
        Lane::Send | Lane::End if broker.is_slave() => Err(slave(broker, call.request.code)),
        Lane::Send if broker.lanes.sends.is_full() => Err(Failure::overload()),
        Lane::Reply if broker.lanes.replies.is_full() => Err(Failure::overload()),
        Lane::Admin if broker.lanes.tools.is_full() => Err(Failure::overload()),
        Lane::Pull if broker.is_slave() && !broker.settings().broker.slave_read_enable => Err(Failure::rejected()),
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
    pub(crate) fn success_when_kept(&self, broker: &Broker, kept: oneshot::Receiver<Result<(), String>>) -> Reply {
        self.success_when_kept_and(broker, kept, std::future::ready(()))
    }

    /// As [`Call::success_when_kept`], and after something else.
    pub(crate) fn success_when_kept_and(
        &self,
        broker: &Broker,
        kept: oneshot::Receiver<Result<(), String>>,
        then: impl Future<Output = ()> + 'static,
    ) -> Reply {
        let responder = self.responder();
        let place = broker.lanes.tools.wait();
        tokio::task::spawn_local(async move {
            let _place = place;
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

    /// Lets a thread of the pool find out the body of the answer.
    pub(crate) fn json_later<T: Serialize>(
        &self,
        pool: &Pool,
        work: impl FnOnce(&Broker) -> Result<T, Failure> + Send + 'static,
    ) -> Reply {
        self.answer_later(pool, move |broker| {
            let body = Bytes::from(json::to_vec(&work(broker)?).map_err(Failure::answer)?);
            Ok(move |to, out: &mut Output| write_body(body, to, out))
        })
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

/// Answers a refusal to whoever waits.
pub(crate) fn refuse_waiting(responder: Responder, failure: &Failure) {
    responder.answer(|to, out| refuse(out, to, failure));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_of_the_original_has_one_row() {
        for (code, name) in RequestCode::NAMED {
            let rows = ANSWERED.iter().chain(ABSENT.iter().map(|(code, _)| code)).filter(|known| *known == code);
            assert_eq!(rows.count(), 1, "{name}");
        }
    }

    #[test]
    fn what_has_no_handler_is_refused_in_words() {
        assert_eq!(absent(RequestCode(7777)).remark, " request type 7777 not supported");
        assert_eq!(absent(RequestCode::PUT_KV_CONFIG).remark, " request type 100 not supported");
        let later = absent(RequestCode::POP_MESSAGE);
        assert_eq!(later.code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(later.remark, " request type 200050 not supported: this version of RaptorMQ has no pop consumers");
        assert_eq!(absent(RequestCode::RECALL_MESSAGE).code, ResponseCode::NO_PERMISSION);
    }
}
