//! Transactions: a message that consumers get only when local work has succeeded.
//!
//! The message is stored as a half that nobody sees; then its producer says whether it becomes a message. When nothing is
//! heard, the broker asks a producer of the group. Java: `producer/TransactionMQProducer.java`,
//! `impl/producer/DefaultMQProducerImpl.java` (`sendMessageInTransaction`, `checkTransactionState`, `endTransaction`).

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{CheckTransactionStateRequestHeader, EndTransactionRequestHeader};
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::id::OffsetMessageId;
use raptormq_protocol::message::properties::name;
use raptormq_protocol::message::sys_flag;
use raptormq_remoting::{Connection, Request};
use tokio::sync::Semaphore;

use super::hook::EndedContext;
use super::outgoing::Kind;
use super::{Producer, Send, SendReceipt, SendStatus, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, MessageView};
use crate::trace::Ended;

/// Questions that are answered at once unless set.
pub(super) const CHECKS_RUNNING: usize = 16;
/// Questions that may wait; the broker asks again for further ones (Java: `checkRequestHoldMax`).
const CHECKS_WAITING_MAX: usize = 2000;

/// What became of a transaction's local work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "LocalTransactionState")]
pub enum TransactionState {
    /// It succeeded: consumers get the message.
    Commit,
    /// It failed: nobody gets the message.
    Rollback,
    /// Nobody can say yet: the broker asks later.
    Unknown,
}

impl TransactionState {
    fn flag(self) -> i32 {
        match self {
            TransactionState::Commit => sys_flag::TRANSACTION_COMMIT,
            TransactionState::Rollback => sys_flag::TRANSACTION_ROLLBACK,
            TransactionState::Unknown => sys_flag::TRANSACTION_NONE,
        }
    }

    /// Java's name.
    fn name(self) -> &'static str {
        match self {
            TransactionState::Commit => "COMMIT_MESSAGE",
            TransactionState::Rollback => "ROLLBACK_MESSAGE",
            TransactionState::Unknown => "UNKNOW",
        }
    }
}

/// Prints Java's name.
impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sends messages that depend on local work. Made by
/// [`ProducerBuilder::start_transactional`](super::ProducerBuilder::start_transactional). Cheap to clone.
///
/// ```no_run
/// # async fn example() -> raptormq_client::Result<()> {
/// use raptormq_client::{Client, Message, TransactionState};
///
/// let client = Client::connect("127.0.0.1:9876").await?;
/// // Asked after a crash: look up whether the order was paid.
/// let producer = client.producer("pay").start_transactional(|_message| async { TransactionState::Rollback }).await?;
/// let transaction = producer.begin(Message::new("Paid", "order-42").key("order-42")).await?;
/// match std::fs::write("order-42", "paid") {
///     Ok(()) => transaction.commit().await?,
///     Err(_) => transaction.rollback().await?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "TransactionMQProducer")]
pub struct TransactionProducer {
    pub(super) producer: Producer,
}

impl TransactionProducer {
    /// Stores the half of a message, which nobody gets before [`Transaction::commit`]. The message may not be delayed.
    pub async fn begin(&self, message: Message) -> Result<Transaction> {
        if message.is_delayed() {
            return Err(Error::invalid("a message of a transaction cannot be delayed"));
        }
        let shared = self.producer.shared.clone();
        let (tags, keys) = (message.get(name::TAGS).map(str::to_owned), message.get(name::KEYS).map(str::to_owned));
        let topic = shared.client.with_namespace(message.topic()).into_owned();
        let half = message.system_property(name::TRAN_MSG, "true");
        let half = half.system_property(name::PGROUP, shared.settings.group.as_str());
        let receipt = Send::one(&self.producer, half).kind(Kind::Half).await?;
        let transaction = Transaction { shared, receipt, topic, tags, keys };
        // Stored weaker than the broker's settings promise: nothing may come of it.
        if transaction.receipt.status != SendStatus::SendOk {
            let status = transaction.receipt.status;
            let receipt = transaction.receipt.clone();
            transaction.end(TransactionState::Rollback).await?;
            let text = format!("the half of the message was stored with {status} only, and is rolled back");
            return Err(Error::new(ErrorKind::ServiceUnavailable, text).with_receipt(receipt));
        }
        Ok(transaction)
    }

    /// Stores the half, does the local work and ends the transaction as the work says.
    #[doc(alias = "sendMessageInTransaction")]
    pub async fn send<F>(&self, message: Message, work: F) -> Result<(SendReceipt, TransactionState)>
    where
        F: Future<Output = TransactionState>,
    {
        let transaction = self.begin(message).await?;
        let state = work.await;
        let receipt = transaction.receipt.clone();
        transaction.end(state).await?;
        Ok((receipt, state))
    }

    /// The producer for messages without a transaction, in the same group.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// See [`Producer::shutdown`].
    pub async fn shutdown(&self) {
        self.producer.shutdown().await;
    }
}

/// A half message. Dropped without an end it stays one until the broker asks what became of it.
#[must_use = "a transaction that is not ended waits until the broker asks"]
pub struct Transaction {
    shared: Arc<Shared>,
    receipt: SendReceipt,
    topic: String,
    tags: Option<String>,
    keys: Option<String>,
}

impl Transaction {
    /// Where the half lies. Its `message_id` is the message's id and the transaction's.
    pub fn receipt(&self) -> &SendReceipt {
        &self.receipt
    }

    /// Makes it a message, and waits until the broker has done so. After an error the broker asks.
    pub async fn commit(self) -> Result<()> {
        self.end(TransactionState::Commit).await
    }

    /// Makes it nothing. After an error the broker asks.
    pub async fn rollback(self) -> Result<()> {
        self.end(TransactionState::Rollback).await
    }

    async fn end(self, state: TransactionState) -> Result<()> {
        let Transaction { shared, receipt, topic, tags, keys } = &self;
        if state == TransactionState::Unknown {
            return Ok(());
        }
        let broker = &receipt.queue.broker_name;
        let Some(address) = shared.client.known_route(topic).and_then(|route| route.master(broker).map(str::to_owned))
        else {
            let text =
                format!("broker {broker} is in no route of {topic} any more; it will ask how the transaction ended");
            return Err(Error::new(ErrorKind::NoRoute, text));
        };
        let half: OffsetMessageId = receipt
            .offset_message_id
            .parse()
            .map_err(|error| Error::protocol("the answer to a half message has no place").with_source(error))?;
        let header = EndTransactionRequestHeader {
            topic: Some(topic),
            producer_group: &shared.settings.group,
            tran_state_table_offset: receipt.queue_offset,
            commit_log_offset: half.log_offset,
            commit_or_rollback: state.flag(),
            from_transaction_check: false,
            msg_id: &receipt.message_id,
            transaction_id: Some(&receipt.message_id),
        };
        let request = Request::new(RequestCode::END_TRANSACTION).header(&header);
        shared.client.call_within(&address, request, shared.settings.timeout).await?;
        let ended = Ended {
            topic,
            message_id: &receipt.message_id,
            tags: tags.as_deref(),
            keys: keys.as_deref(),
            broker_address: &address,
            transaction_id: &receipt.message_id,
            state: state.name(),
            from_check: false,
        };
        shared.ended(&ended, state);
        Ok(())
    }
}

impl Shared {
    /// Tells hooks and traces that a transaction ended.
    fn ended(&self, ended: &Ended<'_>, state: TransactionState) {
        if let Some(tracer) = &self.tracer {
            tracer.ended(ended);
        }
        for hook in &self.settings.hooks {
            hook.after_end_transaction(&EndedContext {
                group: &self.settings.group,
                topic: ended.topic,
                message_id: ended.message_id,
                state,
                from_check: ended.from_check,
            });
        }
    }
}

/// What a checker is inside.
type Check = dyn Fn(MessageView) -> Pin<Box<dyn Future<Output = TransactionState> + std::marker::Send>>
    + std::marker::Send
    + Sync;

/// Answers a group's questions.
pub(crate) struct Checks {
    producer: Weak<Shared>,
    check: Box<Check>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// A broker's question.
pub(crate) struct Question {
    message: MessageExt,
    tran_state_table_offset: i64,
    commit_log_offset: i64,
    transaction_id: Option<String>,
    /// Whom to answer.
    broker: Connection,
}

impl Question {
    /// The question of a request, and the group it is for; `None` when nobody can be found by what it says.
    pub(crate) fn of(
        broker: &Connection,
        header: &CheckTransactionStateRequestHeader<'_>,
        message: MessageExt,
    ) -> Option<(String, Question)> {
        let group = message.property(name::PGROUP)?.to_owned();
        let question = Question {
            message,
            tran_state_table_offset: header.tran_state_table_offset,
            commit_log_offset: header.commit_log_offset,
            transaction_id: header.transaction_id.map(str::to_owned),
            broker: broker.clone(),
        };
        Some((group, question))
    }
}

impl Checks {
    pub(super) fn new<C>(producer: Weak<Shared>, running: usize, check: C) -> Checks
    where
        C: Fn(MessageView) -> Pin<Box<dyn Future<Output = TransactionState> + std::marker::Send>>
            + std::marker::Send
            + Sync
            + 'static,
    {
        Checks {
            producer,
            check: Box::new(check),
            running: Arc::new(Semaphore::new(running)),
            waiting: Arc::new(Semaphore::new(CHECKS_WAITING_MAX)),
        }
    }

    /// Answers a question when its turn comes.
    pub(crate) fn ask(self: Arc<Self>, question: Question) {
        let Some(shared) = self.producer.upgrade() else { return };
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            let group = &shared.settings.group;
            return tracing::warn!(group, "too many transactions are asked for at once; the broker will ask again");
        };
        let runtime = shared.client.runtime().clone();
        runtime.spawn(async move {
            if let Ok(_running) = self.running.acquire().await {
                self.answer(&shared, question).await;
            }
            drop(place);
        });
    }

    async fn answer(&self, shared: &Shared, question: Question) {
        let Question { mut message, .. } = question;
        shared.client.strip_namespace(&mut message.topic);
        let message_id = message.unique_key().unwrap_or(&message.msg_id).to_owned();
        let transaction_id = question.transaction_id.unwrap_or_else(|| message_id.clone());
        message.transaction_id = Some(transaction_id.clone());
        let message = MessageView::new(message);
        let checking = AssertUnwindSafe(async { (self.check)(message.clone()).await });
        let state = checking.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(message_id, "the check of a transaction panicked; the broker will ask again");
            TransactionState::Unknown
        });
        let topic = shared.client.with_namespace(message.topic());
        let header = EndTransactionRequestHeader {
            topic: Some(&topic),
            producer_group: &shared.settings.group,
            tran_state_table_offset: question.tran_state_table_offset,
            commit_log_offset: question.commit_log_offset,
            commit_or_rollback: state.flag(),
            from_transaction_check: true,
            msg_id: &message_id,
            transaction_id: Some(&transaction_id),
        };
        let request = Request::new(RequestCode::END_TRANSACTION).header(&header);
        if let Err(error) = shared.client.remoting().oneway_on(&question.broker, &request) {
            return tracing::warn!(%error, message_id, "the answer for a transaction was not sent; the broker will ask again");
        }
        let ended = Ended {
            topic: &topic,
            message_id: &message_id,
            tags: message.tag(),
            keys: message.property(name::KEYS),
            broker_address: &question.broker.peer_addr().to_string(),
            transaction_id: &transaction_id,
            state: state.name(),
            from_check: true,
        };
        shared.ended(&ended, state);
    }
}
