//! Sends that are answered after their turn: when their messages are on disk, or slaves have them.
//!
//! One task answers those of a turn, in the order of the log. So a sync, or what a slave acknowledges, wakes an I/O thread
//! once for all that it releases there, and the answers for a connection leave with one write.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::header::SendMessageResponseHeader;
use raptormq_remoting::Responder;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::answer::write_sent;
use crate::broker::Broker;
use crate::ha::{self, SyncRule};
use crate::lane::Place;
use crate::persist::Table;

/// A send that is answered after its turn.
pub(super) struct Later {
    pub(super) responder: Responder,
    pub(super) message_id: String,
    pub(super) key: String,
    pub(super) is_inner_batch: bool,
    pub(super) queue_id: i32,
    pub(super) queue_offset: i64,
    /// Log offset behind the message.
    pub(super) log_end: i64,
    /// What is answered when all goes well from here on.
    pub(super) code: ResponseCode,
    pub(super) flush: Flush,
    pub(super) slaves: Option<SyncRule>,
    pub(super) _place: Place,
}

/// Whether a message is on disk as its sender wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// It is, or nobody waits for that.
    Done,
    /// It is, but took longer than `syncFlushTimeout`.
    Late,
    /// It is not yet.
    Waited,
}

/// What the turn that is being finished holds back.
#[derive(Clone, Default)]
pub(crate) struct Held(Rc<RefCell<Vec<Later>>>);

impl Held {
    pub(super) fn push(&self, broker: &Arc<Broker>, later: Later) {
        let mut sends = self.0.borrow_mut();
        if sends.is_empty() {
            spawn_local(self.clone().answer(Arc::clone(broker)));
        }
        sends.push(later);
    }

    /// Runs for the first time when the turn is finished: then it has all that the turn holds back.
    async fn answer(self, broker: Arc<Broker>) {
        let mut sends = self.0.take();
        sends.sort_unstable_by_key(|later| later.log_end);
        let patience = Patience::of(&broker);
        for later in sends {
            later.answer(&broker, &patience).await;
        }
    }
}

/// Until when an answer waits.
struct Patience {
    flushed: Instant,
    replicated: Instant,
}

impl Patience {
    fn of(broker: &Broker) -> Patience {
        let store = &broker.settings().store;
        let now = Instant::now();
        Patience {
            flushed: now + Duration::from_millis(store.sync_flush_timeout),
            replicated: now + Duration::from_millis(store.slave_timeout),
        }
    }
}

impl Later {
    /// Answers when the topic, which is new, is on disk, and then as any other.
    pub(super) fn answer_after_topic(self, broker: &Arc<Broker>) {
        let broker = Arc::clone(broker);
        spawn_local(async move {
            if let Ok(Err(reason)) = broker.keeper.kept(Table::Topics).await {
                return self.responder.respond(ResponseCode::SYSTEM_ERROR, Some(&reason));
            }
            broker.outer.told().await;
            self.answer(&broker, &Patience::of(&broker)).await;
        });
    }

    async fn answer(self, broker: &Broker, patience: &Patience) {
        let flushed = self.flushed(broker, patience.flushed);
        let replicated = self.replicated(broker, patience.replicated);
        let (flushed, replicated) = tokio::join!(flushed, replicated);
        // When both failed, the original tells of the slaves.
        let code = replicated.and(flushed).err().unwrap_or(ResponseCode::SUCCESS);
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

    /// Waits until the message is on disk. Where it does not get there the message is stored, but nobody can say whether
    /// it survives: what the original says then.
    async fn flushed(&self, broker: &Broker, deadline: Instant) -> Result<(), ResponseCode> {
        let flushed = &broker.store.watermarks().flushed;
        match self.flush {
            Flush::Late => return Err(ResponseCode::FLUSH_DISK_TIMEOUT),
            Flush::Waited if flushed.value() < self.log_end => {}
            Flush::Done | Flush::Waited => return Ok(()),
        }
        match tokio::time::timeout_at(deadline, flushed.reached(self.log_end)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ResponseCode::FLUSH_DISK_TIMEOUT),
        }
    }

    /// Waits until slaves have the message.
    async fn replicated(&self, broker: &Broker, deadline: Instant) -> Result<(), ResponseCode> {
        match (self.slaves, self.code) {
            (Some(rule), _) => ha::replicated(broker, rule, self.log_end, deadline).await,
            (None, ResponseCode::SUCCESS) => Ok(()),
            (None, code) => Err(code),
        }
    }
}
