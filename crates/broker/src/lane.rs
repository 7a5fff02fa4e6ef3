//! How many requests of a family may wait for their answers.
//!
//! A request is carried out in the turn in which it comes, so nothing queues up in front of the handlers. What can pile up
//! are answers that wait for the disk, for slaves, for name servers or for other clients, and what is to be read from the
//! disk ([`crate::readers`]). They have the place of the queues that requests wait in in the original, and the limits of
//! those (`sendThreadPoolQueueCapacity`, `replyThreadPoolQueueCapacity`, `adminBrokerThreadPoolQueueCapacity`). A request is
//! refused before anything is done, never after. Java: `BrokerController`'s thread pool queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raptormq_config::BrokerConfig;

/// Who waits, by family.
pub(crate) struct Lanes {
    /// Sends whose messages are stored.
    pub(crate) sends: Waiting,
    /// Replies that are handed over to those who asked.
    pub(crate) replies: Waiting,
    /// What tools ask, and wait for a file or for a client.
    pub(crate) tools: Waiting,
}

impl Lanes {
    pub(crate) fn new(config: &BrokerConfig) -> Lanes {
        Lanes {
            sends: Waiting::new(config.send_thread_pool_queue_capacity),
            replies: Waiting::new(config.reply_thread_pool_queue_capacity),
            tools: Waiting::new(config.admin_broker_thread_pool_queue_capacity),
        }
    }
}

/// The answers of a family that wait.
pub(crate) struct Waiting {
    count: Arc<AtomicUsize>,
    max: usize,
}

/// As long as it is held, an answer waits.
pub(crate) struct Place {
    count: Arc<AtomicUsize>,
}

impl Waiting {
    fn new(max: u32) -> Waiting {
        Waiting { count: Arc::default(), max: max.max(1) as usize }
    }

    /// Whether no further request should be taken. Those of one turn may exceed the number.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(crate) fn wait(&self) -> Place {
        self.count.fetch_add(1, Ordering::Relaxed);
        Place { count: Arc::clone(&self.count) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
