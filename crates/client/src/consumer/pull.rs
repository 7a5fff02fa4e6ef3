//! The task that pulls from one queue.

use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::heartbeat::SubscriptionData;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties::name;
use tokio::time::Instant;

use super::calls::{self, Pull, PullOutcome, Pulled};
use super::process_queue::{Held, ProcessQueue};
use super::{Shared, Sink, work};
use crate::error::{Error, ErrorKind, Result};
use crate::message::MessageView;
use crate::route::MASTER_ID;

/// Pause after a pull that failed.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the broker asked for patience, or answered at once that there is nothing.
pub(crate) const FLOW_CONTROL_PAUSE: Duration = Duration::from_millis(20);

/// Pulls until the queue is no longer ours.
pub(super) async fn keep_pulling(shared: Arc<Shared>, queue: Arc<ProcessQueue>, offset: i64) {
    let mut puller = Puller { shared, queue: queue.clone(), offset, broker_id: MASTER_ID, failing: None };
    tokio::select! {
        biased;
        () = queue.dropped() => {}
        () = puller.run() => {}
    }
}

/// Whether a message has one of the tags subscribed to.
pub(crate) fn has_tag(subscription: &SubscriptionData, message: &MessageExt) -> bool {
    subscription.tags_set.is_empty() || message.tags().is_some_and(|tag| subscription.tags_set.contains(tag))
}

struct Puller {
    shared: Arc<Shared>,
    queue: Arc<ProcessQueue>,
    /// Where to pull next.
    offset: i64,
    /// Member of the broker group to pull from.
    broker_id: i64,
    /// How the last pull failed, so that what goes on failing is not logged each second.
    failing: Option<(ErrorKind, Option<ResponseCode>)>,
}

impl Puller {
    async fn run(&mut self) {
        loop {
            self.queue.room().await;
            self.shared.room().await;
            let began = Instant::now();
            match self.pull().await {
                Ok(pulled) => {
                    self.failing = None;
                    if let PullOutcome::Found(messages) = &pulled.outcome {
                        self.queue.counters.pulled(messages.len(), began.elapsed());
                    }
                    let stood_still = pulled.next_offset == self.offset;
                    self.take(pulled).await;
                    // A broker that neither holds the request nor moves on must not keep both of us busy.
                    if stood_still && began.elapsed() < FLOW_CONTROL_PAUSE {
                        tokio::time::sleep(FLOW_CONTROL_PAUSE).await;
                    }
                    if !self.shared.settings.pull_interval.is_zero() {
                        tokio::time::sleep(self.shared.settings.pull_interval).await;
                    }
                }
                Err(error) => self.recover(error).await,
            }
        }
    }

    async fn pull(&self) -> Result<Pulled> {
        let Shared { client, settings, subscriptions, local_offsets, .. } = &*self.shared;
        let queue = &self.queue.queue;
        let nowhere = || Error::new(ErrorKind::NoRoute, format!("no broker serves {queue} now"));
        let route = client.known_route(&queue.topic).ok_or_else(nowhere)?;
        let (broker_id, address) = route.member(&queue.broker_name, self.broker_id).ok_or_else(nowhere)?;
        // Whoever names its queues has told no broker what it wants of them, so each pull says it.
        let (subscription, own) = match (subscriptions.get(&queue.topic), &self.shared.sink) {
            (Some(subscription), _) => (subscription, None),
            (None, Sink::Ready(ready)) => (&ready.filter, Some(&*ready.filter.sub_string)),
            (None, _) => return Err(nowhere()),
        };
        // Only a master keeps offsets, and only for groups that do not keep them by themselves.
        let handles = !matches!(self.shared.sink, Sink::Ready(_));
        let commits = broker_id == MASTER_ID && local_offsets.is_none() && handles;
        let commit_offset = self.queue.commit_offset().filter(|_| commits);
        let pull = Pull {
            group: &settings.group,
            queue,
            offset: self.offset,
            commit_offset,
            messages_max: settings.pull_batch.into(),
            bytes_max: settings.pull_bytes as i32,
            suspend: self.shared.suspend_time(),
            is_lite: !handles && own.is_none(),
            subscription: own,
            expression_type: &subscription.expression_type,
            sub_version: subscription.sub_version,
        };
        let pulled = calls::pull(client, address, &pull).await.map_err(|error| error.with_broker(address))?;
        if let Some(offset) = commit_offset {
            self.queue.set_committed(offset);
        }
        Ok(pulled)
    }

    /// Hands on what was pulled and moves forward.
    async fn take(&mut self, pulled: Pulled) {
        let Pulled { outcome, next_offset, min_offset, max_offset, suggested_broker_id } = pulled;
        match outcome {
            PullOutcome::Found(messages) => {
                let (min_offset, max_offset) = (min_offset.to_string(), max_offset.to_string());
                let wanted = messages.into_iter().filter(|message| self.passes(message)).map(|mut message| {
                    message.set_property(name::MIN_OFFSET, &min_offset);
                    message.set_property(name::MAX_OFFSET, &max_offset);
                    if let Sink::Ready(_) = self.shared.sink {
                        self.shared.restore_topic(&mut message);
                    }
                    MessageView::new(message)
                });
                let wanted: Vec<MessageView> = wanted.collect();
                let sizes = wanted.iter().map(|message| (message.queue_offset(), message.body().len()));
                let tickets = self.queue.add(sizes, next_offset);
                self.shared.hand_on(&self.queue, tickets.into_iter().zip(wanted).collect());
            }
            PullOutcome::Nothing => drop(self.queue.add([], next_offset)),
            PullOutcome::OffsetIllegal => {
                tracing::warn!(queue = %self.queue.queue, from = self.offset, to = next_offset, "the offset is not in the queue");
                self.queue.reset(next_offset);
                self.shared.commit(std::slice::from_ref(&self.queue)).await;
            }
        }
        self.offset = next_offset;
        self.broker_id = suggested_broker_id;
    }

    /// Whether a message has one of the tags subscribed to: brokers compare only hashes.
    fn passes(&self, message: &MessageExt) -> bool {
        match (self.shared.subscriptions.get(&self.queue.queue.topic), &self.shared.sink) {
            (Some(subscription), _) => has_tag(subscription, message),
            (None, Sink::Ready(ready)) => has_tag(&ready.filter, message),
            (None, _) => true,
        }
    }

    async fn recover(&mut self, error: Error) {
        let failing = Some((error.kind(), error.code()));
        if self.failing != failing {
            tracing::warn!(group = self.shared.settings.group, queue = %self.queue.queue, %error, "a pull failed");
            self.failing = failing;
        }
        match error.code() {
            Some(ResponseCode::FLOW_CONTROL) => return tokio::time::sleep(FLOW_CONTROL_PAUSE).await,
            // The broker does not know the subscription: it has forgotten us, or the heartbeat went astray.
            Some(ResponseCode::SUBSCRIPTION_NOT_EXIST | ResponseCode::SUBSCRIPTION_NOT_LATEST) => {
                if let Some(address) = error.broker() {
                    self.shared.client.heartbeat_to(address).await;
                }
            }
            Some(_) => {}
            None => self.shared.client.suspect_routes(),
        }
        tokio::time::sleep(ERROR_PAUSE).await;
    }
}

impl Shared {
    /// Waits until the consumer may pull: while it is not suspended, and has room for what it polls.
    async fn room(&self) {
        let mut suspended = self.suspended.subscribe();
        // The sender lives as long as `self`.
        let _ = suspended.wait_for(|suspended| !*suspended).await;
        if let Sink::Ready(ready) = &self.sink {
            ready.room().await;
        }
    }

    /// Hands messages to whoever handles them.
    fn hand_on(self: &Arc<Self>, queue: &Arc<ProcessQueue>, messages: Vec<Held>) {
        if messages.is_empty() {
            return;
        }
        match &self.sink {
            Sink::Concurrent(concurrent) => work::put(self, concurrent, queue, messages),
            Sink::Ordered(_) => queue.put(messages),
            Sink::Ready(ready) => ready.put(queue, messages),
        }
    }

    /// How long a broker may hold a pull.
    fn suspend_time(&self) -> Duration {
        match &self.sink {
            Sink::Ready(_) => calls::SUSPEND_OF_POLLS,
            _ => calls::SUSPEND,
        }
    }
}
