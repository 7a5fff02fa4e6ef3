//! Queues shared out by the broker among the members of a group, for clients that let it do so (400), and whether groups
//! pull or pop (401, 402). Pop is not there: who shall pop is told so, and who is asked for gets queues to pull from.
//! Java: `processor/QueryAssignmentProcessor.java`.

use raptormq_protocol::allocate::Strategy;
use raptormq_protocol::body::{
    MessageQueue, MessageQueueAssignment, MessageRequestMode, QueryAssignmentRequestBody, QueryAssignmentResponseBody,
    SetMessageRequestModeRequestBody,
};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::heartbeat::MessageModel;
use raptormq_protocol::json;
use raptormq_remoting::Response;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::names;
use crate::persist::Table;
use crate::routes::Question;
use crate::topics::LIGHT_PREFIX;

/// The queue of a light topic.
const LIGHT_QUEUE_ID: i32 = 0;

/// QUERY_ASSIGNMENT (400).
pub(crate) fn query(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let body: QueryAssignmentRequestBody = json::from_slice(call.request.body).map_err(Failure::body)?;
    if body.topic.starts_with(LIGHT_PREFIX) {
        let queue = names::message_queue(&body.topic, &broker.settings().broker.broker_name, LIGHT_QUEUE_ID);
        return call.success_json(&assigned(broker, &body, Some(&[queue])));
    }
    if let Some(queues) = broker.routes.queues(&body.topic, broker.now_ms()) {
        return call.success_json(&assigned(broker, &body, Some(&queues)));
    }
    let waiting_max = broker.settings().broker.load_balance_thread_pool_queue_capacity as usize;
    broker.routes.ask(Question { body, responder: call.responder() }, waiting_max);
    Ok(Reply::Done)
}

/// Answers when the name servers have said which queues there are, or that they do not know.
pub(crate) fn answer_late(broker: &Broker, question: Question, queues: Option<&[MessageQueue]>) {
    match json::to_vec(&assigned(broker, &question.body, queues)) {
        Ok(body) => question.responder.respond_with(&Response::new(ResponseCode::SUCCESS).body(body)),
        Err(error) => question.responder.respond(ResponseCode::SYSTEM_ERROR, Some(&error.to_string())),
    }
}

/// The client's share. None at all, instead of an empty one, where the client shall keep what it has.
fn assigned(
    broker: &Broker,
    question: &QueryAssignmentRequestBody,
    queues: Option<&[MessageQueue]>,
) -> QueryAssignmentResponseBody {
    let share = queues.and_then(|queues| match question.message_model {
        MessageModel::Broadcasting => Some(queues.to_vec()),
        MessageModel::Clustering if !broker.settings().broker.server_load_balancer_enable => Some(queues.to_vec()),
        MessageModel::Clustering => share(broker, question, queues),
        MessageModel::Unknown => None,
    });
    let assignment = |queue| MessageQueueAssignment {
        attachments: None,
        message_queue: Some(queue),
        mode: MessageRequestMode::Pull,
    };
    QueryAssignmentResponseBody {
        message_queue_assignments: share.map(|queues| queues.into_iter().map(assignment).collect()),
    }
}

fn share(broker: &Broker, question: &QueryAssignmentRequestBody, queues: &[MessageQueue]) -> Option<Vec<MessageQueue>> {
    let members = broker.clients.consumer_group(&question.consumer_group)?.members();
    let mut ids: Vec<&str> = members.iter().map(|member| &*member.client_id).collect();
    ids.sort_unstable();
    let is_answerable = !(queues.is_empty() || question.client_id.is_empty());
    let strategy = Strategy::from_name(&question.strategy_name).filter(|_| is_answerable)?;
    Some(strategy.share(queues, &ids, &question.client_id))
}

/// SET_MESSAGE_REQUEST_MODE (401).
pub(crate) fn set_mode(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let mode: SetMessageRequestModeRequestBody = json::from_slice(call.request.body).map_err(Failure::body)?;
    let topic = &mode.topic;
    if names::group_of_retry_topic(topic).is_some() {
        return Err(Failure::forbidden("retry topic is not allowed to set mode"));
    }
    if broker.topics.get(topic).is_none() {
        return Err(Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist")));
    }
    if broker.group_or_create(&mode.consumer_group).is_none() {
        let remark = "subscription group does not exist";
        return Err(Failure::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    if mode.mode == MessageRequestMode::Pop {
        return Err(Failure::not_yet(RequestCode::SET_MESSAGE_REQUEST_MODE.0, "pop consumers"));
    }
    tracing::info!(topic, group = mode.consumer_group, by = %call.peer.peer_addr(), "a group shall pull");
    broker.request_modes.set(mode);
    Ok(call.success_when_kept(broker, broker.keeper.keep(Table::RequestModes)))
}

/// GET_ALL_MESSAGE_REQUEST_MODE (402).
pub(crate) fn all_modes(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    call.success_json(&broker.request_modes.snapshot())
}
