//! Which queues are ours: computed anew every 20 s and whenever a broker tells that the group has changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use raptormq_protocol::allocate::Strategy;
use raptormq_protocol::body::MessageQueue;
use tokio::time::Instant;

use super::process_queue::ProcessQueue;
use super::{ConsumeFrom, Shared, calls, pull};
use crate::error::{Error, ErrorKind, Result};
use crate::names::RETRY_PREFIX;
use crate::route::{MASTER_ID, Route};

/// How often queues are dealt out anew (Java: `rocketmq.client.rebalance.waitInterval`).
const INTERVAL: Duration = Duration::from_secs(20);
/// Pause before what did not succeed is tried again; twice as long each time, up to [`INTERVAL`].
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Deals out queues until the consumer stops.
pub(super) async fn keep_balanced(shared: Arc<Shared>) {
    let mut retry_pause = RETRY_PAUSE;
    loop {
        let complete = shared.rebalance_all().await;
        let pause = if complete { INTERVAL } else { retry_pause };
        retry_pause = if complete { RETRY_PAUSE } else { (retry_pause * 2).min(INTERVAL) };
        let next = Instant::now() + pause;
        tokio::select! {
            () = shared.stopped() => return,
            () = shared.rebalance.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

impl Shared {
    /// Deals out the queues of all topics; `false` when a topic is not there or something failed.
    async fn rebalance_all(self: &Arc<Self>) -> bool {
        let mut complete = true;
        for topic in self.subscriptions.keys() {
            if self.is_stopped() {
                return true;
            }
            match self.rebalance(topic).await {
                Ok(found) => complete &= found,
                Err(error) => {
                    complete = false;
                    tracing::warn!(group = self.settings.group, topic, %error, "queues were not dealt out");
                }
            }
        }
        complete
    }

    /// Deals out the queues of one topic; `false` while there is no such topic.
    async fn rebalance(self: &Arc<Self>, topic: &str) -> Result<bool> {
        let Some(route) = self.client.subscribe_route(topic).await? else { return Ok(false) };
        let mine: BTreeSet<MessageQueue> = match self.settings.broadcast {
            true => route.subscribe.iter().cloned().collect(),
            false => self.share(&route).await?.into_iter().collect(),
        };
        self.give_up(topic, &mine).await;
        let new: Vec<MessageQueue> = {
            let queues = self.queues.lock();
            mine.into_iter().filter(|queue| !queues.contains_key(queue)).collect()
        };
        let starts = join_all(new.iter().map(|queue| self.first_offset(&route, queue))).await;
        let mut failed = None;
        for (queue, start) in new.into_iter().zip(starts) {
            match start {
                Ok(offset) => self.take_on(queue, offset),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(true), Err)
    }

    /// Our share of a topic's queues.
    async fn share(&self, route: &Route) -> Result<Vec<MessageQueue>> {
        let group = &self.settings.group;
        let nobody = || Error::new(ErrorKind::NoRoute, "the topic has no broker now");
        let address = route.any_broker().ok_or_else(nobody)?;
        let mut members = calls::members(&self.client, address, group).await.unwrap_or_else(|error| {
            tracing::debug!(group, %error, "a broker does not say who is in the group");
            Vec::new()
        });
        if !members.iter().any(|member| member == self.client.id()) {
            // It does not know us (yet, or any more): introduce ourselves and ask again.
            self.client.heartbeat_to(address).await;
            members = calls::members(&self.client, address, group).await?;
        }
        members.sort();
        Ok(Strategy::Averagely.share(&route.subscribe, &members, self.client.id()))
    }

    /// Lets go of the topic's queues that are not among `mine`, committing how far we came.
    async fn give_up(&self, topic: &str, mine: &BTreeSet<MessageQueue>) {
        let lost: Vec<Arc<ProcessQueue>> = self
            .queues
            .lock()
            .extract_if(.., |queue, _| queue.topic == topic && !mine.contains(queue))
            .map(|(_, queue)| queue)
            .collect();
        for queue in &lost {
            tracing::info!(group = self.settings.group, queue = %queue.queue, "the queue is no longer ours");
            queue.release();
        }
        self.commit(&lost).await;
    }

    /// Begins to consume a queue.
    fn take_on(self: &Arc<Self>, queue: MessageQueue, offset: i64) {
        let process_queue = Arc::new(ProcessQueue::new(queue.clone(), self.settings.limits));
        {
            let mut queues = self.queues.lock();
            // A shutdown sets this before it empties the table: either it sees the queue or we see that it began.
            if self.is_stopped() {
                return;
            }
            queues.insert(queue, process_queue.clone());
        }
        tracing::info!(group = self.settings.group, queue = %process_queue.queue, offset, "the queue is ours");
        tokio::spawn(pull::keep_pulling(self.clone(), process_queue, offset));
    }

    /// Where to begin in a queue: where the group stopped, or where the settings say.
    async fn first_offset(&self, route: &Route, queue: &MessageQueue) -> Result<i64> {
        let nowhere = || Error::new(ErrorKind::NoRoute, format!("no broker serves {queue} now"));
        let (_, address) = route.member(&queue.broker_name, MASTER_ID).ok_or_else(nowhere)?;
        let group = &self.settings.group;
        let stored = match &self.local_offsets {
            Some(local) => local.get(queue),
            None => calls::committed_offset(&self.client, address, group, queue).await?,
        };
        if let Some(offset) = stored {
            return Ok(offset);
        }
        let is_retry = queue.topic.starts_with(RETRY_PREFIX);
        match self.settings.from {
            ConsumeFrom::First => Ok(0),
            // What was given back before anybody listened is to be consumed.
            ConsumeFrom::Last if is_retry => Ok(0),
            ConsumeFrom::Time(time) if !is_retry => {
                let time_ms = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
                calls::offset_by_time(&self.client, address, queue, time_ms).await
            }
            ConsumeFrom::Last | ConsumeFrom::Time(_) => calls::max_offset(&self.client, address, queue).await,
        }
    }
}
