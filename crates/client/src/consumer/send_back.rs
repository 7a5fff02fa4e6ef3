//! Giving messages back to their broker, which delivers them again later or keeps them as dead letters.

use bytes::Bytes;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{ConsumerSendMsgBackRequestHeader, SendMessageRequestHeaderV2};
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::{self, name};
use raptormq_remoting::Request;

use super::process_queue::ProcessQueue;
use super::{Shared, calls};
use crate::clock;
use crate::error::Result;
use crate::names::{self, DEFAULT_TOPIC};

/// The producer group in whose name clients send what they could not consume (Java:
/// `MixAll.CLIENT_INNER_PRODUCER_GROUP`).
const INNER_PRODUCER_GROUP: &str = "CLIENT_INNER_PRODUCER";
/// Delay level of the first redelivery; each further one has the next (Java: `DefaultMQPushConsumerImpl.sendMessageBack`).
const FIRST_DELAY_LEVEL: i32 = 3;
/// Queues that a retry topic is made with when it is not there yet.
const QUEUES_OF_NEW_TOPIC: i32 = 4;

/// What is not sent again: what this client has put into the properties of what it received, and the mark of a
/// transaction, which is over.
const LEFT_OUT: [&str; 4] = [name::MIN_OFFSET, name::MAX_OFFSET, name::CONSUME_START_TIME, name::TRAN_MSG];

impl Shared {
    /// How often a message of a concurrent consumer is delivered again before it is dead.
    fn deliveries_max(&self) -> i32 {
        self.settings.deliveries_max.map_or(16, i32::from)
    }

    /// Gives a message back, to come again after this delay level. When the broker does not take it back, it is sent
    /// once more, as a new message.
    pub(super) async fn send_back(&self, queue: &ProcessQueue, message: &MessageExt, delay_level: i32) -> Result<()> {
        let Err(error) = self.call_send_back(queue, message, delay_level).await else { return Ok(()) };
        tracing::debug!(id = message.msg_id, %error, "a message was not taken back; it is sent once more");
        let again = Again { reconsume_times: message.reconsume_times + 1, reconsume_times_max: self.deliveries_max() };
        self.send_again(message, again).await.map_err(|second| second.during(error))
    }

    async fn call_send_back(&self, queue: &ProcessQueue, message: &MessageExt, delay_level: i32) -> Result<()> {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.commit_log_offset,
            group: &self.settings.group,
            delay_level,
            origin_msg_id: Some(&message.msg_id),
            origin_topic: Some(&self.client.with_namespace(&message.topic)),
            unit_mode: false,
            max_reconsume_times: Some(self.deliveries_max()),
        };
        let address = self.master_of(Some(&queue.queue), &queue.queue.broker_name)?;
        calls::send_back(&self.client, &address, &header).await
    }

    /// Sends a message that an ordered consumer gives up on: it goes to the group's dead letters.
    pub(super) async fn send_to_dead_letters(&self, message: &MessageExt) -> Result<()> {
        // As many times as are allowed: the broker of a group that locks queues makes a dead letter of that.
        let times = message.reconsume_times;
        self.send_again(message, Again { reconsume_times: times, reconsume_times_max: times }).await
    }

    /// Sends a message to the group's retry topic.
    async fn send_again(&self, message: &MessageExt, again: Again) -> Result<()> {
        let topic = names::retry_topic(&self.settings.group);
        let route = self.client.publish_route(&topic, QUEUES_OF_NEW_TOPIC).await?;
        let to = &route.publish[clock::now_ms() as usize % route.publish.len()];
        let text = properties_of(message, &self.client.with_namespace(&message.topic));
        let header = SendMessageRequestHeaderV2 {
            producer_group: INNER_PRODUCER_GROUP,
            topic: &topic,
            default_topic: DEFAULT_TOPIC,
            default_topic_queue_nums: QUEUES_OF_NEW_TOPIC,
            queue_id: to.queue.queue_id,
            sys_flag: 0,
            born_timestamp: clock::now_ms(),
            flag: message.flag,
            properties: Some(&text),
            reconsume_times: Some(again.reconsume_times),
            unit_mode: Some(false),
            max_reconsume_times: Some(again.reconsume_times_max),
            batch: Some(false),
            broker_name: Some(&to.queue.broker_name),
        };
        let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&header);
        self.client.call(&to.address, request.body(Bytes::clone(&message.body))).await.map(drop)
    }
}

/// How often a message has been delivered again, and how often it may.
#[derive(Clone, Copy)]
struct Again {
    reconsume_times: i32,
    reconsume_times_max: i32,
}

/// The properties of a message that is sent again.
fn properties_of(message: &MessageExt, origin_topic: &str) -> String {
    let level = (FIRST_DELAY_LEVEL + message.reconsume_times).to_string();
    let origin = message.property(name::ORIGIN_MESSAGE_ID).unwrap_or(&message.msg_id);
    let changed = [(name::RETRY_TOPIC, origin_topic), (name::ORIGIN_MESSAGE_ID, origin), (name::DELAY, &level)];
    let is_kept = |name: &str| !LEFT_OUT.contains(&name) && !changed.iter().any(|(changed, _)| *changed == name);
    properties::encode(message.properties.iter().filter(|(name, _)| is_kept(name)).chain(changed))
}
