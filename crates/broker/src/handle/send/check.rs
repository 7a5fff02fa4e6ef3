//! What is refused of a send, in the original's order and words, and where it goes.

use std::sync::Arc;

use raptormq_protocol::body::{PERM_WRITE, TopicConfig};
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Version;
use raptormq_store::PutError;

use super::Send;
use super::given::Given;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::failure::Failure;
use crate::names;
use crate::stats::Counters;
use crate::topics::{Topic, UNIT, UNIT_SUB, Wanted};

/// The attribute of a topic whose messages must have keys.
const CLEANUP_POLICY: &str = "cleanup.policy";

/// The topic and queue of a send.
pub(crate) struct Target {
    pub(crate) topic: Arc<Topic>,
    pub(crate) queue_id: i32,
    /// The topic was made for it.
    pub(crate) is_new: bool,
    /// The message is given up: it goes to the dead letters, and its delay does not count.
    pub(crate) is_dead: bool,
}

/// Refuses sends before the time from which on they are accepted.
pub(crate) fn time(broker: &Broker) -> Result<(), Failure> {
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
pub(crate) fn target(broker: &Broker, call: &Call<'_, '_>, send: &Send<'_>) -> Result<Target, Failure> {
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
        None if is_retry => broker.topics.create_for_group(send.topic, 1, sys_flag, now_ms),
        created => created,
    };
    let topic = created.ok_or_else(|| Failure::no_topic_to_send(send.topic))?;
    tracing::info!(topic = send.topic, queues = topic.config.write_queue_nums, "a topic was made for a message");
    broker.topics_changed();
    Ok(topic)
}

/// Whether a message that a consumer sends to its group's retry topic has been tried often enough.
fn is_given_up(broker: &Broker, version: Version, send: &Send<'_>, group: &str) -> Result<bool, Failure> {
    let config = broker.group_or_create(group).ok_or_else(|| Failure::no_group_to_retry(group))?;
    let max = match send.max_reconsume_times {
        Some(max) if version >= Version::V3_4_9 => max,
        _ => config.retry_max_times,
    };
    // Who consumes in order sends a message back only to give it up.
    Ok(send.reconsume_times > max || broker.locks.has_any(group, broker.now_ms()))
}

fn dead_letters(broker: &Broker, group: &str) -> Result<Target, Failure> {
    let (topic, is_new) = broker.group_topic(&names::dead_letter_topic(group), 1, 0)?;
    Ok(Target { topic, queue_id: 0, is_new, is_dead: true })
}

/// Whether only the last message of each key is kept.
pub(super) fn is_compacted(config: &TopicConfig) -> bool {
    config.attributes.get(CLEANUP_POLICY).is_some_and(|policy| policy.eq_ignore_ascii_case("COMPACTION"))
}

/// Refuses a message that names a time for its delivery; a delay level counts more. Java: `HookUtils.handleScheduleMessage`.
pub(super) fn timed(broker: &Broker, given: &Given<'_>) -> Result<(), Failure> {
    if given.delay_level > 0 || !given.is_timed || given.was_timed {
        return Ok(());
    }
    Err(match broker.settings().store.timer_wheel_enable {
        true => Failure::not_built("timer messages"),
        false => Failure::system("accurate timer message is not enabled, timerWheelEnable is false"),
    })
}

pub(super) fn batch(send: &Send<'_>) -> Result<(), Failure> {
    let refused = |remark| Err(Failure::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    if send.topic.len() > names::TOPIC_BYTES_MAX {
        return refused(format!("message topic length too long {}", send.topic.len()));
    }
    if names::group_of_retry_topic(send.topic).is_some() {
        return refused(format!("batch request does not support retry group {}", send.topic));
    }
    Ok(())
}

/// MESSAGE_ILLEGAL (13).
pub(crate) fn illegal(broker: &Broker) -> Failure {
    let max = broker.settings().store.max_message_size;
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. \
         msg body length limit {max}B, msg properties length limit 32KB."
    );
    Failure::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

/// Why a message is not even staged.
pub(crate) fn put_failure(broker: &Broker, error: PutError) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;

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
