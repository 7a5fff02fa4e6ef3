//! Which queues are ours: computed anew every 20 s and whenever a broker tells that the group has changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use raptormq_protocol::body::MessageQueue;
use tokio::time::Instant;

use super::process_queue::{ProcessQueue, QueueLimits};
use super::{ConsumeFrom, Shared, Sink, calls, ordered, pull};
use crate::error::{Error, ErrorKind, Result};
use crate::names::RETRY_PREFIX;
use crate::route::{MASTER_ID, Route};

/// How often queues are dealt out anew (Java: `rocketmq.client.rebalance.waitInterval`).
const INTERVAL: Duration = Duration::from_secs(20);
/// How long a queue that is given up waits for the ordered handler that has messages of it (Java:
/// `RebalancePushImpl.removeUnnecessaryMessageQueue`); after that it is kept until the next time.
const HANDLER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a queue that is set to another offset waits for its ordered handler (Java: `MQClientInstance.resetOffset`).
const RESTART_PATIENCE: Duration = Duration::from_secs(10);
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
    pub(super) async fn rebalance_all(self: &Arc<Self>) -> bool {
        let _alone = self.balancing.lock().await;
        let mut complete = true;
        let assigned = match &self.sink {
            Sink::Ready(ready) => ready.assigned(),
            _ => None,
        };
        let topics: BTreeSet<String> = match &assigned {
            // Also those of queues that are not assigned any more.
            Some(queues) => queues.iter().chain(self.queues.lock().keys()).map(|queue| queue.topic.clone()).collect(),
            None => self.subscriptions.keys().cloned().collect(),
        };
        for topic in &topics {
            if self.is_stopped() {
                return true;
            }
            match self.rebalance(topic, assigned.as_ref()).await {
                Ok(found) => complete &= found,
                Err(error) => {
                    complete = false;
                    tracing::warn!(group = self.settings.group, topic, %error, "queues were not dealt out");
                }
            }
        }
        complete
    }

    /// Deals out the queues of one topic; `false` while there is no such topic or not all of our queues are to be had.
    async fn rebalance(self: &Arc<Self>, topic: &str, assigned: Option<&BTreeSet<MessageQueue>>) -> Result<bool> {
        let Some(route) = self.client.subscribe_route(topic).await? else { return Ok(false) };
        let mine: BTreeSet<MessageQueue> = match assigned {
            Some(queues) => queues.iter().filter(|queue| queue.topic == topic).cloned().collect(),
            None if self.settings.broadcast => route.subscribe.iter().cloned().collect(),
            None => self.share(&route).await?.into_iter().collect(),
        };
        let mut complete = self.give_up(topic, &mine).await;
        let mut new: Vec<MessageQueue> = {
            let queues = self.queues.lock();
            mine.iter().filter(|queue| !queues.contains_key(queue)).cloned().collect()
        };
        if self.needs_locks() && !new.is_empty() {
            let locked = self.lock(&new).await;
            // Whoever has the others gives them up sooner or later.
            complete &= locked.len() == new.len();
            new.retain(|queue| locked.contains(queue));
        }
        let limits = self.settings.limits.of_share(mine.len());
        self.queues.lock().values().filter(|held| held.queue.topic == topic).for_each(|held| held.set_limits(limits));
        let starts = join_all(new.iter().map(|queue| self.first_offset(&route, queue))).await;
        let (mut failed, mut unused) = (None, Vec::new());
        for (queue, start) in new.into_iter().zip(starts) {
            match start {
                Ok(offset) if self.take_on(&queue, offset, limits) => {}
                Ok(_) => unused.push(queue),
                Err(error) => {
                    failed = Some(error);
                    unused.push(queue);
                }
            }
        }
        if self.needs_locks() && !unused.is_empty() {
            // Others would wait for a minute.
            self.unlock(&unused).await;
        }
        failed.map_or(Ok(complete), Err)
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
        let known = |queue: &MessageQueue| route.subscribe.binary_search(queue).is_ok();
        let mut share = self.settings.allocation.share(&route.subscribe, &members, self.client.id());
        share.retain(known);
        Ok(share)
    }

    /// Lets go of the topic's queues that are not among `mine`, committing how far we came. `false` when a handler is in
    /// the way: its queue stays until the next time.
    async fn give_up(&self, topic: &str, mine: &BTreeSet<MessageQueue>) -> bool {
        let held: Vec<Arc<ProcessQueue>> = self.queues.lock().values().cloned().collect();
        let unwanted = held.into_iter().filter(|held| held.queue.topic == topic && !mine.contains(&held.queue));
        let mut lost = Vec::new();
        let mut complete = true;
        for queue in unwanted {
            if self.needs_locks() {
                // Whoever gets the queue next must not begin before the handler has ended.
                let Ok(_idle) = tokio::time::timeout(HANDLER_PATIENCE, queue.consuming.lock()).await else {
                    complete = false;
                    continue;
                };
                queue.release();
            }
            lost.push(queue);
        }
        for queue in &lost {
            tracing::info!(group = self.settings.group, queue = %queue.queue, "the queue is no longer ours");
            queue.release();
            self.queues.lock().remove(&queue.queue);
        }
        self.commit(&lost).await;
        if self.needs_locks() && !lost.is_empty() {
            self.unlock(&lost.iter().map(|queue| queue.queue.clone()).collect::<Vec<_>>()).await;
        }
        complete
    }

    /// Goes on in a queue that is ours at another offset; what is here of it is forgotten.
    pub(super) async fn restart(self: &Arc<Self>, queue: &MessageQueue, offset: i64) -> Result<()> {
        let _alone = self.balancing.lock().await;
        let not_ours = || Error::invalid(format!("{queue} is not consumed here"));
        let old = self.queues.lock().remove(queue).ok_or_else(not_ours)?;
        old.release();
        if self.settings.ordered {
            // What comes now is not to be handled beside what was.
            let idle = tokio::time::timeout(RESTART_PATIENCE, old.consuming.lock()).await;
            drop(idle);
        }
        let limits = old.limits();
        self.take_on(queue, offset, limits);
        if let Some(new) = self.queues.lock().get(queue) {
            // An offset that was set is committed even when nothing is pulled.
            new.begin(offset);
            new.set_paused(old.is_paused());
        }
        Ok(())
    }

    /// Begins to consume a queue, which is locked if it has to be; `false` when the consumer was stopped meanwhile.
    fn take_on(self: &Arc<Self>, queue: &MessageQueue, offset: i64, limits: QueueLimits) -> bool {
        let counters = self.rates.counters(&queue.topic);
        let process_queue = Arc::new(ProcessQueue::new(queue.clone(), limits, counters));
        {
            let mut queues = self.queues.lock();
            // A shutdown sets this before it empties the table: either it sees the queue or we see that it began.
            if self.is_stopped() {
                return false;
            }
            queues.insert(queue.clone(), process_queue.clone());
        }
        tracing::info!(group = self.settings.group, queue = %process_queue.queue, offset, "the queue is ours");
        if let Sink::Ordered(_) = self.sink {
            tokio::spawn(ordered::keep_handling(self.clone(), process_queue.clone()));
        }
        tokio::spawn(pull::keep_pulling(self.clone(), process_queue, offset));
        true
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
