//! What users hang into the way of a message.

use super::{SendReceipt, TransactionState};
use crate::error::{Error, Result};
use crate::message::Message;

/// Looks at sends as they happen. All methods do nothing unless they are written; none may block, because a send waits for
/// them. Add one with [`ProducerBuilder::hook`](super::ProducerBuilder::hook).
#[doc(alias = "SendMessageHook")]
#[doc(alias = "CheckForbiddenHook")]
#[doc(alias = "EndTransactionHook")]
pub trait ProducerHook: Send + Sync + 'static {
    /// Before a message is encoded: it may be changed, or refused by an error. Each message of a batch comes by itself.
    fn before_send(&self, group: &str, message: &mut Message) -> Result<()> {
        let _ = (group, message);
        Ok(())
    }

    /// After the last try. A one-way message has no receipt; it is not reported.
    fn after_send(&self, sent: &SentContext<'_>) {
        let _ = sent;
    }

    /// After a transaction was ended by its producer or by the answer to a broker's question.
    fn after_end_transaction(&self, ended: &EndedContext<'_>) {
        let _ = ended;
    }
}

/// A message or batch that was sent, or could not be.
#[derive(Debug)]
#[non_exhaustive]
pub struct SentContext<'a> {
    /// The producer's group.
    pub group: &'a str,
    /// The topic, with its namespace.
    pub topic: &'a str,
    /// The message's id; those of a batch with commas between.
    pub message_id: &'a str,
    /// The broker of the last try; empty when there was none.
    pub broker_name: &'a str,
    /// Tries that were made.
    pub tries: usize,
    /// Milliseconds since 1970 when the message was made ready.
    pub born_timestamp_ms: i64,
    /// What came of it.
    pub outcome: Result<&'a SendReceipt, &'a Error>,
}

/// A transaction that was ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct EndedContext<'a> {
    /// The producer's group.
    pub group: &'a str,
    /// The topic of its message, with its namespace.
    pub topic: &'a str,
    /// The message's id.
    pub message_id: &'a str,
    /// How it ended.
    pub state: TransactionState,
    /// Whether the broker had asked.
    pub from_check: bool,
}
