//! What a request is refused with: a response code, and words that clients and tests know from the original.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::HeaderError;

use crate::budget::Exhausted;

/// Where the original sends whoever asks for something that is not there. Java: `common/help/FAQUrl.java`.
const FAQ_URL: &str = "https://rocketmq.apache.org/docs/bestPractice/06FAQ";

/// The line that the original adds where its FAQ helps.
fn faq() -> String {
    format!("\nSee {FAQ_URL} for further details.")
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The code of the answer.
    pub(crate) code: ResponseCode,
    /// Its remark.
    pub(crate) remark: Cow<'static, str>,
    /// Of a pull that is not allowed: what forbids it.
    pub(crate) forbidden: Option<Forbidden>,
}

/// What forbids a pull. Java: `header/PullMessageResponseHeader.java` through `ForbiddenType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    Broker = 1,
    Group = 2,
    Topic = 3,
    Broadcasting = 4,
    Subscription = 5,
}

impl Failure {
    pub(crate) fn new(code: ResponseCode, remark: impl Into<Cow<'static, str>>) -> Failure {
        Failure { code, remark: remark.into(), forbidden: None }
    }

    /// SYSTEM_ERROR (1).
    pub(crate) fn system(remark: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(ResponseCode::SYSTEM_ERROR, remark)
    }

    /// INVALID_PARAMETER (29).
    pub(crate) fn invalid(remark: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(ResponseCode::INVALID_PARAMETER, remark)
    }

    /// NO_PERMISSION (16).
    pub(crate) fn forbidden(remark: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(ResponseCode::NO_PERMISSION, remark)
    }

    /// NO_PERMISSION (16) of a pull, which also says what forbids it.
    pub(crate) fn pull_forbidden(what: Forbidden, remark: String) -> Failure {
        Failure { forbidden: Some(what), ..Failure::forbidden(remark) }
    }

    /// TOPIC_NOT_EXIST (17) of a send.
    pub(crate) fn no_topic_to_send(topic: &str) -> Failure {
        Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist, apply first please!{}", faq()))
    }

    /// TOPIC_NOT_EXIST (17) of a pull.
    pub(crate) fn no_topic_to_pull(topic: &str) -> Failure {
        Failure::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist, apply first please! {}", faq()))
    }

    /// SUBSCRIPTION_GROUP_NOT_EXIST (26) of a pull.
    pub(crate) fn no_group_to_pull(group: &str) -> Failure {
        let remark = format!("subscription group [{group}] does not exist, {}", faq());
        Failure::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    }

    /// SUBSCRIPTION_GROUP_NOT_EXIST (26) of a send to a group's retry topic.
    pub(crate) fn no_group_to_retry(group: &str) -> Failure {
        let remark = format!("subscription group not exist, {group} {}", faq());
        Failure::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    }

    /// SUBSCRIPTION_NOT_EXIST (24): nobody of the group is connected.
    pub(crate) fn group_not_online() -> Failure {
        let remark = format!("the consumer's group info not exist{}", faq());
        Failure::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark)
    }

    /// SUBSCRIPTION_NOT_EXIST (24): the group does not subscribe to the topic.
    pub(crate) fn not_subscribed() -> Failure {
        let remark = format!("the consumer's subscription not exist{}", faq());
        Failure::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark)
    }

    /// REQUEST_CODE_NOT_SUPPORTED (3).
    pub(crate) fn not_supported(code: i32) -> Failure {
        let remark = format!(" request type {code} not supported");
        Failure::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark)
    }

    /// REQUEST_CODE_NOT_SUPPORTED (3) of a request whose feature is not built yet.
    pub(crate) fn not_yet(code: i32, feature: &str) -> Failure {
        let remark = format!(" request type {code} not supported: this version of RaptorMQ has no {feature}");
        Failure::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark)
    }

    /// SYSTEM_BUSY (2): a request that the broker takes no requests of now. Java: `NettyRemotingAbstract`, where a
    /// processor rejects.
    pub(crate) fn rejected() -> Failure {
        Failure::new(ResponseCode::SYSTEM_BUSY, "[REJECTREQUEST]system busy, start flow control for a while")
    }

    /// SYSTEM_BUSY (2) of a request that would have to wait behind too many.
    pub(crate) fn overload() -> Failure {
        Failure::new(ResponseCode::SYSTEM_BUSY, "[OVERLOAD]system busy, start flow control for a while")
    }

    /// SYSTEM_BUSY (2) of a request that has waited for that long while `left` others wait behind it. Java:
    /// `latency/BrokerFastFailure.java`.
    pub(crate) fn waited_too_long(waited: Duration, left: usize) -> Failure {
        let remark = format!(
            "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {}ms, size of queue: {left}",
            waited.as_millis()
        );
        Failure::new(ResponseCode::SYSTEM_BUSY, remark)
    }

    /// A feature of RocketMQ that this version refuses instead of doing something else.
    pub(crate) fn not_built(feature: &str) -> Failure {
        Failure::system(format!("{feature} are not supported by this version of RaptorMQ"))
    }

    /// A body that cannot be read.
    pub(crate) fn body(error: impl Display) -> Failure {
        Failure::system(format!("the request's body cannot be read: {error}"))
    }

    /// An answer that cannot be written.
    pub(crate) fn answer(error: impl Display) -> Failure {
        Failure::system(format!("the answer cannot be written: {error}"))
    }
}

impl From<Exhausted> for Failure {
    /// Clients repeat their heartbeats, so this one may succeed later.
    fn from(_: Exhausted) -> Failure {
        Failure::new(
            ResponseCode::SYSTEM_BUSY,
            "the broker has no room for more clients and subscriptions; its operator can raise clientBytesMax",
        )
    }
}

impl From<HeaderError> for Failure {
    /// Java answers the exception of its decoder.
    fn from(error: HeaderError) -> Failure {
        Failure::system(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_originals() {
        assert_eq!(
            Failure::no_topic_to_send("T").remark,
            "topic[T] not exist, apply first please!\n\
             See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
        );
        assert_eq!(Failure::not_supported(7777).remark, " request type 7777 not supported");
    }
}
