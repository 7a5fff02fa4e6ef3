//! What a broker says when it has taken a message.

use std::fmt;

use raptormq_protocol::body::MessageQueue;
use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{HeaderError, SendMessageResponseHeader};
use raptormq_remoting::Response;

use crate::error::{Error, ErrorKind, Result};

/// Proof that a broker has stored a message. Prints as Java's `SendResult` does.
#[doc(alias = "SendResult")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendReceipt {
    /// How safe the message is.
    pub status: SendStatus,
    /// The id that the producer gave the message; those of a batch with commas between.
    pub message_id: String,
    /// Where the message lies in its broker's log; of a batch all places with commas between.
    pub offset_message_id: String,
    /// The queue that the message is in.
    pub queue: MessageQueue,
    /// Units from the start of the queue; of the first message of a batch.
    pub queue_offset: i64,
    /// By which a timer message can be called back.
    pub recall_handle: Option<String>,
}

/// How safe a stored message is. Everything but [`SendStatus::SendOk`] is an error unless the producer accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendStatus {
    /// As safe as the broker's settings promise.
    SendOk,
    /// In the broker's memory; not on its disk in time.
    FlushDiskTimeout,
    /// On the master; not on a slave in time.
    FlushSlaveTimeout,
    /// On the master, which has no slave to copy to.
    SlaveNotAvailable,
}

impl SendStatus {
    /// The status that an answer's code stands for; `None` when the message was not stored.
    fn of(code: ResponseCode) -> Option<SendStatus> {
        match code {
            ResponseCode::SUCCESS => Some(SendStatus::SendOk),
            ResponseCode::FLUSH_DISK_TIMEOUT => Some(SendStatus::FlushDiskTimeout),
            ResponseCode::FLUSH_SLAVE_TIMEOUT => Some(SendStatus::FlushSlaveTimeout),
            ResponseCode::SLAVE_NOT_AVAILABLE => Some(SendStatus::SlaveNotAvailable),
            _ => None,
        }
    }
}

impl fmt::Display for SendStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendStatus::SendOk => "SEND_OK",
            SendStatus::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            SendStatus::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            SendStatus::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
        })
    }
}

/// An answer to a send, where it was read or copied.
pub(crate) trait SendAnswer {
    fn code(&self) -> ResponseCode;
    fn remark(&self) -> Option<&str>;
    fn header(&self) -> Result<SendMessageResponseHeader<'_>, HeaderError>;
}

impl SendAnswer for Command<'_> {
    fn code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    fn remark(&self) -> Option<&str> {
        self.remark
    }

    fn header(&self) -> Result<SendMessageResponseHeader<'_>, HeaderError> {
        Command::header(self)
    }
}

impl SendAnswer for Response {
    fn code(&self) -> ResponseCode {
        self.code
    }

    fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    fn header(&self) -> Result<SendMessageResponseHeader<'_>, HeaderError> {
        Response::header(self)
    }
}

impl SendReceipt {
    /// The receipt in a broker's answer to a message that was sent to `queue`.
    pub(crate) fn of(
        answer: &impl SendAnswer,
        message_id: &str,
        queue: &MessageQueue,
        address: &str,
    ) -> Result<SendReceipt> {
        let Some(status) = SendStatus::of(answer.code()) else {
            return Err(Error::refused(answer.code().0, answer.remark(), address));
        };
        let unreadable = |error| Error::protocol("the answer to a send cannot be read").with_source(error);
        let header = answer.header().map_err(unreadable)?;
        Ok(SendReceipt {
            status,
            message_id: message_id.to_owned(),
            offset_message_id: header.msg_id.to_owned(),
            queue: MessageQueue { queue_id: header.queue_id, ..queue.clone() },
            queue_offset: header.queue_offset,
            recall_handle: header.recall_handle.map(str::to_owned),
        })
    }

    /// The receipt, if it is as strong as the producer asks for.
    pub(crate) fn accept(self, weak_ack: bool) -> Result<SendReceipt> {
        let (kind, what) = match self.status {
            SendStatus::SendOk => return Ok(self),
            _ if weak_ack => return Ok(self),
            SendStatus::FlushDiskTimeout => (ErrorKind::FlushDiskTimeout, "it was not flushed to disk in time"),
            SendStatus::FlushSlaveTimeout => (ErrorKind::FlushSlaveTimeout, "no slave had it in time"),
            SendStatus::SlaveNotAvailable => (ErrorKind::SlaveNotAvailable, "there is no slave to copy it to"),
        };
        let text = format!("message {} is stored by {}, but {what}", self.message_id, self.queue.broker_name);
        Err(Error::new(kind, text).with_receipt(self))
    }
}

impl fmt::Display for SendReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SendReceipt { status, message_id, offset_message_id, queue, queue_offset, recall_handle } = self;
        let recall_handle = recall_handle.as_deref().unwrap_or("null");
        write!(f, "SendResult [sendStatus={status}, msgId={message_id}, offsetMsgId={offset_message_id}, ")?;
        write!(f, "messageQueue={queue}, queueOffset={queue_offset}, recallHandle={recall_handle}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(code: ResponseCode) -> Result<SendReceipt> {
        let header = SendMessageResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id: 1,
            queue_offset: 11,
            ..Default::default()
        };
        let queue = MessageQueue { topic: "TopicTest".into(), broker_name: "broker-a".into(), queue_id: 0 };
        let response = Response::new(code).with_header(&header);
        SendReceipt::of(&response, "C0A80001000051AF0000000000000000", &queue, "b:1")
    }

    #[test]
    fn prints_as_java_does() {
        assert_eq!(
            receipt(ResponseCode::SUCCESS).unwrap().to_string(),
            "SendResult [sendStatus=SEND_OK, msgId=C0A80001000051AF0000000000000000, \
             offsetMsgId=7F00000100002A9F0000000000000000, messageQueue=MessageQueue [topic=TopicTest, \
             brokerName=broker-a, queueId=1], queueOffset=11, recallHandle=null]"
        );
    }

    #[test]
    fn a_weak_acknowledgement_is_an_error_that_holds_the_receipt() {
        for (code, kind) in [
            (ResponseCode::FLUSH_DISK_TIMEOUT, ErrorKind::FlushDiskTimeout),
            (ResponseCode::FLUSH_SLAVE_TIMEOUT, ErrorKind::FlushSlaveTimeout),
            (ResponseCode::SLAVE_NOT_AVAILABLE, ErrorKind::SlaveNotAvailable),
        ] {
            let error = receipt(code).unwrap().accept(false).unwrap_err();
            assert_eq!((error.kind(), error.receipt().unwrap().queue_offset), (kind, 11));
            assert!(!error.is_retryable());
            assert_eq!(receipt(code).unwrap().accept(true).unwrap().queue_offset, 11);
        }
        assert_eq!(receipt(ResponseCode::NO_PERMISSION).unwrap_err().kind(), ErrorKind::NotPermitted);
    }
}
