//! Sends: single messages (10, 310) and batches (320).
//!
//! A send is checked and staged when it comes, appended with everything else of its turn, and answered by [`finish`].
//! Java: `processor/SendMessageProcessor.java`, `processor/AbstractSendMessageProcessor.java`, `util/HookUtils.java`.

use std::borrow::Cow;
use std::sync::Arc;

use raptormq_protocol::body::{PERM_WRITE, TopicConfig, TopicFilterType};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::{CommandWriter, Version};
use raptormq_protocol::header::{
    FieldSink, FieldValue, SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::sys_flag;
use raptormq_remoting::{Connection, Output, Responder};
use raptormq_store::{NewBatch, NewMessage, PutError, PutStatus, Staging};

use crate::broker::Broker;
use crate::dispatch::{self, Call, Reply};
use crate::failure::Failure;
use crate::names;
use crate::persist::Table;
use crate::service::Ticket;
use crate::stats::Counters;
use crate::topics::{Topic, Wanted};

/// The attribute of a topic whose messages must have keys.
const CLEANUP_POLICY: &str = "cleanup.policy";

/// A send in the form that all its codes have in common.
#[derive(Clone, Copy, Debug)]
struct Send<'a> {
    topic: &'a str,
    default_topic: &'a str,
    default_topic_queue_nums: i32,
    queue_id: i32,
    sys_flag: i32,
    born_timestamp_ms: i64,
    flag: i32,
    properties: &'a str,
    reconsume_times: i32,
    max_reconsume_times: Option<i32>,
    is_unit: bool,
    is_batch: bool,
}

/// SEND_MESSAGE (10).
pub(crate) fn send(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let send = Send {
        topic: header.topic,
        default_topic: header.default_topic,
        default_topic_queue_nums: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_timestamp_ms: header.born_timestamp,
        flag: header.flag,
        properties: header.properties.unwrap_or_default(),
        reconsume_times: header.reconsume_times.unwrap_or_default(),
        max_reconsume_times: header.max_reconsume_times,
        is_unit: header.unit_mode,
        is_batch: header.batch,
    };
    accept(broker, call, send)
}

/// SEND_MESSAGE_V2 (310).
pub(crate) fn send_v2(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeaderV2<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send::from(&header))
}

/// SEND_BATCH_MESSAGE (320).
pub(crate) fn send_batch(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: SendMessageRequestHeaderV2<'_>,
) -> Result<Reply, Failure> {
    accept(broker, call, Send { is_batch: true, ..Send::from(&header) })
}

impl<'a> From<&SendMessageRequestHeaderV2<'a>> for Send<'a> {
    fn from(header: &SendMessageRequestHeaderV2<'a>) -> Send<'a> {
        Send {
            topic: header.topic,
            default_topic: header.default_topic,
            default_topic_queue_nums: header.default_topic_queue_nums,
            queue_id: header.queue_id,
            sys_flag: header.sys_flag,
            born_timestamp_ms: header.born_timestamp,
            flag: header.flag,
            properties: header.properties.unwrap_or_default(),
            reconsume_times: header.reconsume_times.unwrap_or_default(),
            max_reconsume_times: header.max_reconsume_times,
            is_unit: header.unit_mode.unwrap_or_default(),
            is_batch: header.batch.unwrap_or_default(),
        }
    }
}

/// The topic and queue of a send.
struct Target {
    topic: Arc<Topic>,
    queue_id: i32,
    /// The topic was made for it.
    is_new: bool,
    /// The message is given up: it goes to the dead letters, and its delay does not count.
    is_dead: bool,
}

/// Checks the send in the original's order, and stages its messages.
fn accept(broker: &Broker, call: &mut Call<'_, '_>, send: Send<'_>) -> Result<Reply, Failure> {
    check_time(broker)?;
    let target = find_target(broker, call, &send)?;
    let given = Given::read(send.properties);
    let is_retry = names::group_of_retry_topic(send.topic).is_some();
    if (given.is_transactional && !(is_retry && send.reconsume_times > 0))
        || sys_flag::transaction_state(send.sys_flag) != sys_flag::TRANSACTION_NONE
    {
        return Err(refuse_transaction(broker));
    }
    if given.keys.is_none() && is_compacted(&target.topic.config) {
        return Err(Failure::new(ResponseCode::MESSAGE_ILLEGAL, "Required message key is missing"));
    }
    if send.is_batch {
        check_batch(&send)?;
    }
    if !target.is_dead {
        if given.is_delayed {
            return Err(Failure::not_built("delayed messages"));
        }
        if given.is_timed {
            return Err(Failure::not_built("timer messages"));
        }
    }
    if call.request.body.is_empty() {
        return Err(illegal(broker));
    }
    stage(broker, call, &send, &given, &target).map(Reply::Turn)
}

/// Hands the message to the turn.
fn stage(
    broker: &Broker,
    call: &Call<'_, '_>,
    send: &Send<'_>,
    given: &Given<'_>,
    target: &Target,
) -> Result<Ticket, Failure> {
    let identity = &broker.identity;
    let own_properties = cleaned(send.properties, given, target.is_dead);
    let mut made_key = String::new();
    if given.unique_key.is_none() && !send.is_batch {
        properties::append(&mut made_key, name::UNIQ_KEY, &identity.unique_ids.next(broker.now_ms()));
    }
    let key = given.unique_key.unwrap_or_else(|| Properties(&made_key).get(name::UNIQ_KEY).unwrap_or_default());
    let multi_tags = match target.topic.config.topic_filter_type {
        TopicFilterType::MultiTag => sys_flag::MULTI_TAGS,
        _ => 0,
    };
    let message = NewMessage {
        flag: send.flag,
        sys_flag: send.sys_flag | multi_tags,
        born_timestamp_ms: send.born_timestamp_ms,
        born_host: call.peer.peer_addr(),
        store_host: identity.store_host,
        reconsume_times: send.reconsume_times,
        prepared_transaction_offset: 0,
        body: call.request.body,
        properties: &[&own_properties, &made_key, &identity.broker_properties],
    };
    let queue = target.topic.queue(&broker.store, target.queue_id);
    let queue = queue.ok_or_else(|| Failure::system("the store cannot have that queue"))?;
    let is_inner_batch = send.is_batch && given.unique_key.is_some() && target.topic.is_batch();
    let put = |staging: &mut Staging| match (send.is_batch, is_inner_batch) {
        (_, true) => staging.put_inner_batch(queue, &NewBatch { common: message }),
        (true, false) => staging.put_batch(queue, &NewBatch { common: message }),
        (false, _) => staging.put(queue, &message),
    };
    let (slot, key) = call.turn.stage(key, put).map_err(|error| put_failure(broker, error))?;
    Ok(Ticket {
        to: call.exchange(),
        slot,
        queue_id: target.queue_id,
        is_batch: send.is_batch,
        is_inner_batch,
        key,
        waits_for_flush: identity.is_sync_flush && given.waits,
        waits_for_topic: target.is_new,
    })
}

fn check_time(broker: &Broker) -> Result<(), Failure> {
    let from_ms = broker.settings().broker.start_accept_send_request_time_stamp;
    if from_ms == 0 || broker.now_ms() >= from_ms {
        return Ok(());
    }
    let text = jiff::Timestamp::from_millisecond(from_ms)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S,%3f").to_string())
        .unwrap_or_else(|_| from_ms.to_string());
    Err(Failure::system(format!("broker unable to service, until {text}")))
}

/// The topic and queue that the message goes to; the topic is made when it may be.
fn find_target(broker: &Broker, call: &Call<'_, '_>, send: &Send<'_>) -> Result<Target, Failure> {
    let known = broker.topics.get(send.topic);
    let is_writable = broker.settings().broker.broker_permission & PERM_WRITE as u32 != 0;
    if !is_writable && known.as_ref().is_some_and(|topic| topic.config.order) {
        let ip = &broker.settings().broker.broker_ip1;
        return Err(Failure::forbidden(format!("the broker[{ip}] sending message is forbidden")));
    }
    names::check_topic(send.topic)?;
    if names::is_send_forbidden(send.topic) {
        return Err(Failure::forbidden(format!("Sending message to topic[{}] is forbidden.", send.topic)));
    }
    let (topic, is_new) = match known {
        Some(topic) => (topic, false),
        None => (create_topic(broker, send)?, true),
    };
    if send.queue_id >= topic.queue_count() {
        return Err(Failure::invalid(format!(
            "request queueId[{}] is illegal, {} Producer: {}",
            send.queue_id,
            Described(&topic.config),
            call.peer.peer_addr()
        )));
    }
    // Batches to such topics are refused later, whatever their group.
    if let Some(group) = names::group_of_retry_topic(send.topic)
        && !send.is_batch
        && is_given_up(broker, call.request.version, send, group)?
    {
        return dead_letters(broker, group);
    }
    let queue_id = match send.queue_id {
        // At most as many as the topic has, which is an i32.
        any if any < 0 => call.turn.any_below(topic.config.write_queue_nums.max(1) as u32) as i32,
        chosen => chosen,
    };
    Ok(Target { topic, queue_id, is_new, is_dead: false })
}

fn create_topic(broker: &Broker, send: &Send<'_>) -> Result<Arc<Topic>, Failure> {
    /// Bits of `TopicSysFlag`.
    const UNIT: i32 = 1;
    const UNIT_SUB: i32 = 2;
    let is_retry = names::group_of_retry_topic(send.topic).is_some();
    let sys_flag = match (send.is_unit, is_retry) {
        (true, true) => UNIT_SUB,
        (true, false) => UNIT,
        (false, _) => 0,
    };
    let now_ms = broker.now_ms();
    let wanted = Wanted {
        topic: send.topic,
        template: send.default_topic,
        queue_count: send.default_topic_queue_nums,
        sys_flag,
    };
    let created = match broker.topics.create_like(wanted, now_ms) {
        None if is_retry => broker.topics.create_for_group(send.topic, 1, now_ms),
        created => created,
    };
    let topic = created.ok_or_else(|| Failure::no_topic_to_send(send.topic))?;
    tracing::info!(topic = send.topic, queues = topic.config.write_queue_nums, "a topic was made for a message");
    broker.topics_changed();
    Ok(topic)
}

/// Whether a message that a consumer sends to its group's retry topic has been tried often enough.
fn is_given_up(broker: &Broker, version: Version, send: &Send<'_>, group: &str) -> Result<bool, Failure> {
    let config = broker.groups.get(group).ok_or_else(|| Failure::no_group_to_retry(group))?;
    let max = match send.max_reconsume_times {
        Some(max) if version >= Version::V3_4_9 => max,
        _ => config.retry_max_times,
    };
    // Who consumes in order sends a message back only to give it up.
    Ok(send.reconsume_times > max || broker.locks.has_any(group, broker.now_ms()))
}

fn dead_letters(broker: &Broker, group: &str) -> Result<Target, Failure> {
    let name = format!("{}{group}", names::DLQ_PREFIX);
    if let Some(topic) = broker.topics.get(&name) {
        return Ok(Target { topic, queue_id: 0, is_new: false, is_dead: true });
    }
    let topic = broker.topics.create_for_group(&name, 1, broker.now_ms());
    let topic = topic.ok_or_else(|| Failure::no_topic_to_send(&name))?;
    broker.topics_changed();
    Ok(Target { topic, queue_id: 0, is_new: true, is_dead: true })
}

fn refuse_transaction(broker: &Broker) -> Failure {
    if broker.settings().broker.reject_transaction_message {
        let ip = &broker.settings().broker.broker_ip1;
        return Failure::forbidden(format!("the broker[{ip}] sending transaction message is forbidden"));
    }
    Failure::not_built("transactional messages")
}

fn is_compacted(config: &TopicConfig) -> bool {
    config.attributes.get(CLEANUP_POLICY).is_some_and(|policy| policy.eq_ignore_ascii_case("COMPACTION"))
}

fn check_batch(send: &Send<'_>) -> Result<(), Failure> {
    let refused = |remark| Err(Failure::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    if send.topic.len() > names::TOPIC_BYTES_MAX {
        return refused(format!("message topic length too long {}", send.topic.len()));
    }
    if names::group_of_retry_topic(send.topic).is_some() {
        return refused(format!("batch request does not support retry group {}", send.topic));
    }
    Ok(())
}

fn illegal(broker: &Broker) -> Failure {
    let max = broker.settings().store.max_message_size;
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. \
         msg body length limit {max}B, msg properties length limit 32KB."
    );
    Failure::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

fn put_failure(broker: &Broker, error: PutError) -> Failure {
    Counters::add(&broker.counters.sends_failed, 1);
    match error {
        PutError::TopicTooLong(_)
        | PutError::MessageSizeExceeded(_)
        | PutError::PropertiesSizeExceeded(_)
        | PutError::MessageIllegal => illegal(broker),
        PutError::LightQueuesExceeded => Failure::system(
            "[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]broker config enableLmq and enableMultiDispatch, lmq consumeQueue num \
             exceed maxLmqConsumeQueueNum config num, default limit 2w.",
        ),
    }
}

/// What a send must know of the properties that came with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Given<'a> {
    unique_key: Option<&'a str>,
    keys: Option<&'a str>,
    is_transactional: bool,
    is_delayed: bool,
    is_timed: bool,
    /// The sender waits until the message is on disk, if this broker does so.
    waits: bool,
    /// Properties that the broker does not store as they came.
    is_unclean: bool,
}

impl<'a> Given<'a> {
    fn read(text: &'a str) -> Given<'a> {
        let mut given = Given { waits: true, ..Given::default() };
        for (name, value) in Properties(text).iter() {
            match name {
                name::UNIQ_KEY => given.unique_key = Some(value),
                name::KEYS => given.keys = Some(value),
                name::WAIT => given.waits = !value.eq_ignore_ascii_case("false"),
                name::TRAN_MSG => given.is_transactional = value.eq_ignore_ascii_case("true"),
                name::DELAY => given.is_delayed = value.parse::<i32>().is_ok_and(|level| level > 0),
                name::TIMER_DELAY_MS | name::TIMER_DELAY_SEC | name::TIMER_DELIVER_MS => given.is_timed = true,
                name::CLUSTER | name::MSG_REGION | name::TRACE_ON | name::POP_CK => given.is_unclean = true,
                name if name.starts_with(name::TRANSIENT_PREFIX) => given.is_unclean = true,
                _ => {}
            }
        }
        given
    }
}

/// The properties as they are stored: without what only this way of the message is about.
fn cleaned<'a>(text: &'a str, given: &Given<'_>, is_dead: bool) -> Cow<'a, str> {
    if !given.is_unclean && !(is_dead && (given.is_delayed || given.is_timed)) {
        return Cow::Borrowed(text);
    }
    let is_dropped = |name: &str| {
        matches!(name, name::CLUSTER | name::MSG_REGION | name::TRACE_ON | name::POP_CK)
            || name.starts_with(name::TRANSIENT_PREFIX)
            || (is_dead
                && matches!(name, name::DELAY | name::TIMER_DELAY_MS | name::TIMER_DELAY_SEC | name::TIMER_DELIVER_MS))
    };
    Cow::Owned(properties::encode(Properties(text).iter().filter(|(name, _)| !is_dropped(name))))
}

/// A topic in the words of the original's `TopicConfig.toString`.
struct Described<'a>(&'a TopicConfig);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TopicConfig { topic_name, read_queue_nums, write_queue_nums, .. } = self.0;
        let bit = |bit: i32, letter: char| if self.0.perm & bit != 0 { letter } else { '-' };
        write!(
            f,
            "TopicConfig [topicName={topic_name}, readQueueNums={read_queue_nums}, writeQueueNums={write_queue_nums}, \
             perm={}{}{}, topicFilterType={}, topicSysFlag={}, order={}, attributes={{",
            bit(4, 'R'),
            bit(2, 'W'),
            bit(1, 'X'),
            self.0.topic_filter_type.name(),
            self.0.topic_sys_flag,
            self.0.order,
        )?;
        for (number, (key, value)) in self.0.attributes.iter().enumerate() {
            write!(f, "{}{key}={value}", if number > 0 { ", " } else { "" })?;
        }
        f.write_str("}]")
    }
}

/// A send whose turn has ended.
pub(crate) struct Sent<'a> {
    pub(crate) ticket: Ticket,
    pub(crate) key: &'a str,
    pub(crate) staging: &'a Staging,
    /// Room to put the message ids together in.
    pub(crate) text: &'a mut String,
}

/// Answers a send whose message is appended: now, or when what it waits for has happened.
pub(crate) fn finish(broker: &Arc<Broker>, peer: &Connection, sent: Sent<'_>, out: &mut Output) {
    let Sent { ticket, key, staging, text } = sent;
    let placed = *staging.placed(ticket.slot);
    if let Err(failure) = put_outcome(broker, placed.status) {
        Counters::add(&broker.counters.sends_failed, 1);
        return dispatch::refuse(out, ticket.to, &failure);
    }
    if ticket.to.oneway {
        return;
    }
    text.clear();
    if ticket.is_batch {
        for (number, log_offset) in staging.log_offsets(ticket.slot).enumerate() {
            if number > 0 {
                text.push(',');
            }
            push_message_id(broker, log_offset, text);
        }
    } else {
        push_message_id(broker, placed.log_offset, text);
    }
    let header = SendMessageResponseHeader {
        msg_id: text,
        queue_id: ticket.queue_id,
        queue_offset: placed.queue_offset,
        transaction_id: (!key.is_empty()).then_some(key),
        batch_uniq_id: ticket.is_inner_batch.then_some(key),
        ..SendMessageResponseHeader::default()
    };
    let waits_for_flush = ticket.waits_for_flush && broker.store.watermarks().flushed.value() < placed.log_end;
    if waits_for_flush || ticket.waits_for_topic {
        let later = Later {
            broker: Arc::clone(broker),
            responder: peer.responder(ticket.to),
            message_id: text.clone(),
            key: key.to_owned(),
            is_inner_batch: ticket.is_inner_batch,
            queue_id: ticket.queue_id,
            queue_offset: placed.queue_offset,
            flushed_to: waits_for_flush.then_some(placed.log_end),
            waits_for_topic: ticket.waits_for_topic,
        };
        tokio::task::spawn_local(later.answer());
    } else if let Some(writer) = out.answer(ticket.to, ResponseCode::SUCCESS, None) {
        write_sent(broker, writer, &header);
    }
}

fn write_sent(broker: &Broker, writer: CommandWriter<'_, '_>, header: &SendMessageResponseHeader<'_>) {
    let mut writer = writer.header(header);
    let config = &broker.settings().broker;
    writer.field(name::MSG_REGION, FieldValue::Text(&config.region_id));
    writer.field(name::TRACE_ON, FieldValue::Boolean(config.trace_on));
    writer.finish(&[]);
}

/// A send that is answered after its turn.
struct Later {
    broker: Arc<Broker>,
    responder: Responder,
    message_id: String,
    key: String,
    is_inner_batch: bool,
    queue_id: i32,
    queue_offset: i64,
    /// The log must be on disk up to here.
    flushed_to: Option<i64>,
    waits_for_topic: bool,
}

impl Later {
    async fn answer(self) {
        let broker = &self.broker;
        let mut code = ResponseCode::SUCCESS;
        if self.waits_for_topic {
            if let Ok(Err(reason)) = broker.keeper.kept(Table::Topics).await {
                return self.responder.respond(ResponseCode::SYSTEM_ERROR, Some(&reason));
            }
            broker.outer.told().await;
        }
        if let Some(log_end) = self.flushed_to {
            let flushed = broker.store.watermarks().flushed.reached(log_end);
            match tokio::time::timeout(broker.identity.sync_flush_timeout, flushed).await {
                Ok(Ok(())) => {}
                // The message is stored, but nobody can say whether it survives: what the original says then.
                Ok(Err(_)) | Err(_) => code = ResponseCode::FLUSH_DISK_TIMEOUT,
            }
        }
        let header = SendMessageResponseHeader {
            msg_id: &self.message_id,
            queue_id: self.queue_id,
            queue_offset: self.queue_offset,
            transaction_id: (!self.key.is_empty()).then_some(self.key.as_str()),
            batch_uniq_id: self.is_inner_batch.then_some(self.key.as_str()),
            ..SendMessageResponseHeader::default()
        };
        self.responder.answer(|to, out| {
            if let Some(writer) = out.answer(to, code, None) {
                write_sent(broker, writer, &header);
            }
        });
    }
}

fn put_outcome(broker: &Broker, status: PutStatus) -> Result<(), Failure> {
    match status {
        PutStatus::PutOk => Ok(()),
        PutStatus::CreateMappedFileFailed => {
            Err(Failure::system("create mapped file failed, server is busy or broken."))
        }
        PutStatus::ServiceNotAvailable => Err(not_available(broker)),
        PutStatus::UnknownError | PutStatus::Staged => Err(Failure::system("UNKNOWN_ERROR")),
    }
}

fn not_available(broker: &Broker) -> Failure {
    let [log, root] = broker.store.disk_usage().map_or([-1.0, -1.0], |usage| usage.map(|usage| usage.used_ratio()));
    let mut remark = format!(
        "service not available now. It may be caused by one of the following reasons: the broker's disk is full \
         [CL: {log:5.2} CQ: {root:5.2} INDEX: {root:5.2}], messages are put to the slave, message store has been shut \
         down, etc."
    );
    if let Some(failure) = broker.store.failure() {
        remark.push_str(" Here the disk failed, and the broker must be restarted: ");
        remark.push_str(failure);
    }
    Failure::new(ResponseCode::SERVICE_NOT_AVAILABLE, remark)
}

/// Appends the offset message id of a log offset.
fn push_message_id(broker: &Broker, log_offset: i64, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push_str(&broker.identity.message_id_prefix);
    for shift in (0..16).rev() {
        let nibble = (log_offset as u64 >> (shift * 4)) & 0xF;
        text.push(DIGITS[nibble as usize].into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_stored_as_they_came_unless_they_must_not_be() {
        let text = "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}u\u{2}WAIT\u{1}false\u{2}DELAY\u{1}0\u{2}";
        let given = Given::read(text);
        assert_eq!((given.unique_key, given.keys), (Some("u"), Some("k")));
        assert!(!given.waits && !given.is_delayed && !given.is_unclean);
        assert!(matches!(cleaned(text, &given, true), Cow::Borrowed(_)));

        let text = "CLUSTER\u{1}other\u{2}a\u{1}b\u{2}__RMQ.TRANSIENT.x\u{1}1\u{2}POP_CK\u{1}1\u{2}DELAY\u{1}3";
        let given = Given::read(text);
        assert!(given.is_delayed && given.is_unclean);
        assert_eq!(cleaned(text, &given, false), "a\u{1}b\u{2}DELAY\u{1}3\u{2}");
        assert_eq!(cleaned(text, &given, true), "a\u{1}b\u{2}");
    }

    #[test]
    fn a_topic_is_described_as_java_does() {
        let config = TopicConfig { topic_name: "T".into(), ..TopicConfig::default() };
        assert_eq!(
            Described(&config).to_string(),
            "TopicConfig [topicName=T, readQueueNums=16, writeQueueNums=16, perm=RW-, topicFilterType=SINGLE_TAG, \
             topicSysFlag=0, order=false, attributes={}]"
        );
    }
}
