//! The requests: one table from code to handler, and what all handlers share.
//!
//! A handler is a free function that borrows the name server and the request. It answers now, or names a change that
//! the keeper makes first. Java: `namesrv/…/namesrv/processor/{DefaultRequestProcessor,ClientRequestProcessor}.java`.

mod broker;
mod config;
mod kv;
mod route;
mod topics;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::HeaderError;
use raptormq_protocol::json::{self, JsonError};
use raptormq_remoting::Response;
use serde::Serialize;

use crate::keeper::Change;
use crate::name_server::NameServer;
use crate::routes::ConnectionId;

/// A request and where it came from.
pub(crate) struct Call<'c, 'a> {
    pub(crate) request: &'c Command<'a>,
    pub(crate) connection: ConnectionId,
}

/// What a handler has to say.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The answer.
    Now(Response),
    /// The answer is success, once this change is made.
    Keep(Change),
}

/// A request that fails: the code and the words of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ResponseCode,
    pub(crate) remark: String,
}

type Handler = fn(&NameServer, &Call<'_, '_>) -> Result<Reply, Failure>;

/// Every request that is answered.
const REQUESTS: &[(RequestCode, Handler)] = &[
    (RequestCode::GET_ROUTEINFO_BY_TOPIC, route::route),
    (RequestCode::BROKER_HEARTBEAT, broker::heartbeat),
    (RequestCode::QUERY_DATA_VERSION, broker::query_data_version),
    (RequestCode::REGISTER_BROKER, broker::register),
    (RequestCode::UNREGISTER_BROKER, broker::unregister),
    (RequestCode::GET_BROKER_CLUSTER_INFO, route::cluster_info),
    (RequestCode::GET_BROKER_MEMBER_GROUP, broker::member_group),
    (RequestCode::WIPE_WRITE_PERM_OF_BROKER, broker::wipe_write_permission),
    (RequestCode::ADD_WRITE_PERM_OF_BROKER, broker::add_write_permission),
    (RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, topics::all),
    (RequestCode::GET_TOPICS_BY_CLUSTER, topics::of_cluster),
    (RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS, topics::system),
    (RequestCode::GET_UNIT_TOPIC_LIST, topics::unit),
    (RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST, topics::unit_sub),
    (RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, topics::unit_sub_without_unit),
    (RequestCode::DELETE_TOPIC_IN_NAMESRV, topics::delete),
    (RequestCode::REGISTER_TOPIC_IN_NAMESRV, topics::register),
    (RequestCode::PUT_KV_CONFIG, kv::put),
    (RequestCode::GET_KV_CONFIG, kv::get),
    (RequestCode::DELETE_KV_CONFIG, kv::delete),
    (RequestCode::GET_KVLIST_BY_NAMESPACE, kv::list),
    (RequestCode::GET_NAMESRV_CONFIG, config::get),
    (RequestCode::UPDATE_NAMESRV_CONFIG, config::update),
];

/// Answers a request, or says what must be changed first.
pub(crate) fn dispatch(namesrv: &NameServer, call: &Call<'_, '_>) -> Reply {
    let handler = REQUESTS.iter().find(|(code, _)| code.0 == call.request.code).map(|(_, handler)| handler);
    let result = match handler {
        Some(handler) => handler(namesrv, call),
        None => Err(Failure {
            code: ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            remark: format!(" request type {} not supported", call.request.code),
        }),
    };
    result.unwrap_or_else(|failure| Reply::Now(failure.into_response()))
}

impl Failure {
    /// SYSTEM_ERROR with these words.
    pub(crate) fn system(remark: impl ToString) -> Failure {
        Failure { code: ResponseCode::SYSTEM_ERROR, remark: remark.to_string() }
    }

    pub(crate) fn into_response(self) -> Response {
        Response::new(self.code).remark(self.remark)
    }
}

impl From<HeaderError> for Failure {
    fn from(error: HeaderError) -> Failure {
        Failure::system(error)
    }
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Failure {
        Failure::system(error)
    }
}

/// Success without anything else to say.
fn success() -> Result<Reply, Failure> {
    Ok(Reply::Now(Response::new(ResponseCode::SUCCESS)))
}

/// Success with a body in the JSON that Java writes.
fn success_with(body: &impl Serialize) -> Result<Reply, Failure> {
    Ok(Reply::Now(Response::new(ResponseCode::SUCCESS).body(json::to_vec(body)?)))
}

#[cfg(test)]
mod testing {
    use raptormq_protocol::command::{CommandWriter, Head, Version};
    use raptormq_protocol::frame::{self, FRAME_BYTES_MAX, Serialization};
    use raptormq_protocol::header::{FieldSink, FieldValue};

    use super::*;

    /// Sends a request through its bytes to the dispatcher, as a peer of version 5.3.3 on connection 1.
    pub(super) fn ask(namesrv: &NameServer, code: RequestCode, fields: &[(&str, &str)], body: &[u8]) -> Response {
        ask_as(namesrv, Version::CURRENT, code, (fields, body))
    }

    /// The same for a peer of another version. A change is made at once.
    pub(super) fn ask_as(
        namesrv: &NameServer,
        version: Version,
        code: RequestCode,
        (fields, body): (&[(&str, &str)], &[u8]),
    ) -> Response {
        let mut bytes = Vec::new();
        let head = Head { version, ..Head::request(code.0, 1) };
        let mut writer = CommandWriter::new(&mut bytes, Serialization::Json, head);
        for (key, value) in fields {
            writer.field(key, FieldValue::Text(value));
        }
        writer.finish(body);
        let frame = frame::split(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        let mut scratch = Vec::new();
        let request = Command::decode(&bytes, &frame, &mut scratch).unwrap();
        match dispatch(namesrv, &Call { request: &request, connection: 1 }) {
            Reply::Now(response) => response,
            Reply::Keep(change) => match crate::keeper::make(namesrv, change) {
                Ok(()) => Response::new(ResponseCode::SUCCESS),
                Err(failure) => failure.into_response(),
            },
        }
    }

    /// Code and remark of a response.
    pub(super) fn verdict(response: &Response) -> (i32, &str) {
        (response.code.0, response.remark.as_deref().unwrap_or_default())
    }

    /// The body of a response as text.
    pub(super) fn text(response: &Response) -> &str {
        std::str::from_utf8(&response.body).unwrap()
    }

    /// Registers group `name` of cluster C with its master at `addr` and the topics A and B.
    pub(super) fn register_master(namesrv: &NameServer, name: &str, addr: &str) {
        let fields = [
            ("brokerName", name),
            ("brokerAddr", addr),
            ("clusterName", "C"),
            ("haServerAddr", "ha"),
            ("brokerId", "0"),
        ];
        let body = br#"{"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"timestamp":2},
            "topicConfigTable":{"A":{"topicName":"A","readQueueNums":4,"writeQueueNums":4,"perm":6},"B":{}}}}"#;
        let response = ask(namesrv, RequestCode::REGISTER_BROKER, &fields, body);
        assert_eq!(verdict(&response), (0, ""));
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{ask, verdict};
    use super::*;
    use crate::name_server::testing::Fixture;

    #[test]
    fn what_nobody_answers_is_refused_in_the_words_of_java() {
        let fixture = Fixture::new();
        let response = ask(&fixture.namesrv, RequestCode(12345), &[], b"");
        assert_eq!(verdict(&response), (3, " request type 12345 not supported"));
    }

    #[test]
    fn no_code_stands_twice_in_the_table() {
        for (at, (code, _)) in REQUESTS.iter().enumerate() {
            assert!(REQUESTS[..at].iter().all(|(other, _)| other != code), "{code}");
        }
    }
}
