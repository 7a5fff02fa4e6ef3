//! The locks by which brokers see to it that a queue is consumed by one member of a group only: those of ordered consumers.
//!
//! Java: `RebalanceImpl.lockAll`, `RebalanceImpl.unlock`; the broker forgets a lock that was not renewed for a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use raptormq_protocol::body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue, UnlockBatchRequestBody};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::json;
use raptormq_remoting::Request;

use super::Shared;
use super::process_queue::ProcessQueue;
use crate::error::{Error, Result};
use crate::name_server::read_body;

/// How often locks are renewed (Java: `rocketmq.client.rebalance.lockInterval`).
const RENEWAL_INTERVAL: Duration = Duration::from_secs(20);

impl Shared {
    /// Whether queues have to be locked.
    pub(super) fn needs_locks(&self) -> bool {
        self.settings.ordered && !self.settings.broadcast
    }

    /// Locks queues for this member, and answers with those that it got. What could not be asked for is logged.
    pub(super) async fn lock(&self, queues: &[MessageQueue]) -> BTreeSet<MessageQueue> {
        let mut locked = BTreeSet::new();
        for (broker, outcome) in self.lock_by_broker(queues).await {
            match outcome {
                Ok(queues) => locked.extend(queues),
                Err(error) => tracing::warn!(group = self.settings.group, broker, %error, "queues were not locked"),
            }
        }
        locked
    }

    async fn lock_by_broker<'q>(&self, queues: &'q [MessageQueue]) -> Vec<(&'q str, Result<BTreeSet<MessageQueue>>)> {
        let calls = by_broker(queues).into_iter().map(async |(broker, queues)| {
            let body = LockBatchRequestBody {
                client_id: self.client.id().to_owned(),
                consumer_group: self.settings.group.clone(),
                mq_set: queues,
                only_this_broker: false,
            };
            (broker, self.lock_at(broker, &body).await)
        });
        join_all(calls).await
    }

    async fn lock_at(&self, broker: &str, body: &LockBatchRequestBody) -> Result<BTreeSet<MessageQueue>> {
        let address = self.master_of(body.mq_set.first(), broker)?;
        let request = Request::new(RequestCode::LOCK_BATCH_MQ).body(to_json(body)?);
        let response = self.client.call(&address, request).await?;
        let answer: LockBatchResponseBody = read_body(&response, &address, "a list of locks")?;
        Ok(answer.lock_ok_mq_set)
    }

    /// Gives locks back. A broker that is not there forgets them by itself.
    pub(super) async fn unlock(&self, queues: &[MessageQueue]) {
        let calls = by_broker(queues).into_iter().map(async |(broker, queues)| {
            let body = UnlockBatchRequestBody {
                client_id: self.client.id().to_owned(),
                consumer_group: self.settings.group.clone(),
                mq_set: queues,
                only_this_broker: false,
            };
            let address = self.master_of(body.mq_set.first(), broker)?;
            let request = Request::new(RequestCode::UNLOCK_BATCH_MQ).body(to_json(&body)?);
            self.client.call(&address, request).await
        });
        for error in join_all(calls).await.into_iter().filter_map(Result::err) {
            tracing::warn!(group = self.settings.group, %error, "queues were not unlocked; the broker does it in a minute");
        }
    }

    /// Renews the locks of all queues. A queue whose lock is lost is given up and asked for anew: another member may
    /// have gone on in it, so what is here of it is out of date.
    async fn renew_locks(&self) {
        // Else a lock could be renewed that was just given back.
        let _alone = self.balancing.lock().await;
        if self.is_stopped() {
            return;
        }
        let queues: Vec<Arc<ProcessQueue>> = self.queues.lock().values().cloned().collect();
        let names: Vec<MessageQueue> = queues.iter().map(|queue| queue.queue.clone()).collect();
        let mut lost = Vec::new();
        for (broker, outcome) in self.lock_by_broker(&names).await {
            let of_broker = queues.iter().filter(|queue| queue.queue.broker_name == *broker);
            match outcome {
                Ok(locked) => of_broker.for_each(|queue| match locked.contains(&queue.queue) && queue.is_locked() {
                    true => queue.set_locked(),
                    false => lost.push(queue.clone()),
                }),
                Err(error) => tracing::warn!(group = self.settings.group, broker, %error, "locks were not renewed"),
            }
        }
        if lost.is_empty() {
            return;
        }
        for queue in &lost {
            tracing::warn!(group = self.settings.group, queue = %queue.queue, "the lock of the queue is lost");
            queue.release();
        }
        let is_lost = |queue: &Arc<ProcessQueue>| lost.iter().any(|lost| Arc::ptr_eq(lost, queue));
        self.queues.lock().retain(|_, queue| !is_lost(queue));
        self.rebalance.notify_one();
    }

    /// The address of the master of a broker group.
    pub(super) fn master_of(&self, queue: Option<&MessageQueue>, broker: &str) -> Result<String> {
        let nowhere = || Error::new(crate::error::ErrorKind::NoRoute, format!("{broker} has no master now"));
        let route = queue.and_then(|queue| self.client.known_route(&queue.topic)).ok_or_else(nowhere)?;
        route.master(broker).map(str::to_owned).ok_or_else(nowhere)
    }
}

/// Renews locks until the consumer stops.
pub(super) async fn keep_locked(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            () = tokio::time::sleep(RENEWAL_INTERVAL) => {}
        }
        shared.renew_locks().await;
    }
}

fn by_broker(queues: &[MessageQueue]) -> BTreeMap<&str, BTreeSet<MessageQueue>> {
    let mut by_broker: BTreeMap<&str, BTreeSet<MessageQueue>> = BTreeMap::new();
    for queue in queues {
        by_broker.entry(&queue.broker_name).or_default().insert(queue.clone());
    }
    by_broker
}

fn to_json(body: &impl serde::Serialize) -> Result<Vec<u8>> {
    json::to_vec(body).map_err(|error| Error::protocol(error.to_string()))
}
