//! Request and reply: a message whose producer waits for another message in return.
//!
//! The requester's client id travels with the message; whoever handles it sends the reply to the broker, which hands it to
//! that client. Java: `impl/producer/DefaultMQProducerImpl.java` (`request`), `producer/RequestFutureHolder.java`,
//! `client/utils/MessageUtil.java`.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::name;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outgoing::Kind;
use super::{Producer, Send, SendReceipt};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, MessageView};

/// Requests of one client that may wait for their replies at once.
const WAITING_MAX: usize = 65_535;
/// What marks a reply.
const REPLY: &str = "reply";
/// What a cluster's topic of replies ends with.
const REPLY_TOPIC_SUFFIX: &str = "REPLY_TOPIC";

/// Requests that wait for their replies, by correlation id.
#[derive(Default)]
pub(crate) struct Requests {
    waiting: Mutex<HashMap<String, oneshot::Sender<MessageView>>>,
}

impl Requests {
    /// Hands a reply to whoever waits for it; `false` when nobody does any more.
    pub(crate) fn answer(&self, reply: MessageExt) -> bool {
        let Some(id) = reply.property(name::CORRELATION_ID) else { return false };
        let waiting = self.waiting.lock().remove(id);
        waiting.is_some_and(|waiting| waiting.send(MessageView::new(reply)).is_ok())
    }

    fn wait(&self, id: &str) -> Result<Waiting<'_>> {
        let (answer, reply) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            let text = format!("{WAITING_MAX} requests wait for their replies already");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        waiting.insert(id.to_owned(), answer);
        Ok(Waiting { requests: self, id: id.to_owned(), reply })
    }
}

/// One that waits; dropped, it waits no more.
struct Waiting<'a> {
    requests: &'a Requests,
    id: String,
    reply: oneshot::Receiver<MessageView>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.requests.waiting.lock().remove(&self.id);
    }
}

impl Producer {
    /// Sends a message and waits for the reply to it, which some consumer of its topic sends with [`Producer::reply`].
    ///
    /// Fails with [`ErrorKind::Timeout`] when no reply came in time; the message may be handled all the same.
    ///
    /// A broker of Java forgets where a client is when one of the producer groups in it leaves, although others stay, and
    /// replies do not come before the client connects again: with such brokers, producers that ask keep a [`Client`] of
    /// their own.
    ///
    /// [`Client`]: crate::Client
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<MessageView> {
        let deadline = Instant::now() + timeout;
        let client = &self.shared.client;
        let topic = message.topic().to_owned();
        // The reply comes over the connection of whichever broker it is sent to, so all have to know us.
        let full_topic = client.with_namespace(&topic);
        let route = client.publish_route(&full_topic, self.shared.settings.default_topic_queues);
        let late = || {
            let text = format!("no broker took the request to {topic} within {} ms", timeout.as_millis());
            Error::new(ErrorKind::Timeout, text)
        };
        tokio::time::timeout_at(deadline, route).await.map_err(|_| late())??;
        tokio::time::timeout_at(deadline, client.greet_new()).await.map_err(|_| late())?;
        let id = new_correlation_id(client.random_number());
        let message = message
            .system_property(name::CORRELATION_ID, id.as_str())
            .system_property(name::REPLY_TO_CLIENT, client.id())
            .system_property(name::TTL, timeout.as_millis().to_string());
        let mut waiting = client.registry().requests().wait(&id)?;
        let left = deadline.saturating_duration_since(Instant::now());
        Send::one(self, message).timeout(left).await?;
        match tokio::time::timeout_at(deadline, &mut waiting.reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(Error::closed("client")),
            Err(_) => {
                let text = format!(
                    "send request message to <{topic}> OK, but wait reply message timeout, {} ms: is there a consumer of the \
                     topic that replies?",
                    timeout.as_millis()
                );
                Err(Error::new(ErrorKind::Timeout, text).with_outcome_unknown())
            }
        }
    }

    /// Sends the reply to a request message that a consumer got.
    ///
    /// Fails with [`ErrorKind::InvalidArgument`] when `request` is no request message, and with [`ErrorKind::Refused`] when
    /// the requester is gone.
    #[doc(alias = "MessageUtil.createReplyMessage")]
    pub async fn reply(&self, request: &MessageView, body: impl Into<Bytes>) -> Result<SendReceipt> {
        let property = |name: &str| {
            request.property(name).ok_or_else(|| {
                Error::invalid(format!(
                    "create reply message fail, requestMessage error, property[{name}] is null: this is no request message"
                ))
            })
        };
        let topic = format!("{}_{REPLY_TOPIC_SUFFIX}", property(name::CLUSTER)?);
        let mut reply = Message::new(topic, body).system_property(name::MSG_TYPE, REPLY);
        for name in [name::CORRELATION_ID, name::REPLY_TO_CLIENT, name::TTL] {
            reply = reply.system_property(name, property(name)?);
        }
        Send::one(self, reply).kind(Kind::Reply).await
    }
}

/// An id in the form of a version 4 UUID.
fn new_correlation_id(random: u128) -> String {
    let digits = format!("{:032x}", random & !(0xF << 76) & !(0xC << 60) | 4 << 76 | 8 << 60);
    let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_is_a_uuid() {
        assert_eq!(new_correlation_id(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(new_correlation_id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn who_waits_no_more_is_not_kept() {
        let requests = Requests::default();
        drop(requests.wait("a").unwrap());
        assert!(requests.waiting.lock().is_empty());
    }
}
