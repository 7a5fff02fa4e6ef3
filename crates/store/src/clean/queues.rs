//! Deleting whole queues: those of topics that are no more, and those that nobody uses.

use std::io;
use std::sync::Arc;

use crate::consume_queue::Queue;
use crate::open::{Shared, Store};

/// Queues to be deleted. Finding them takes no disk, deleting them may take a while.
pub struct DoomedQueues {
    shared: Arc<Shared>,
    queues: Vec<Arc<Queue>>,
}

impl Store {
    /// Finds the queues of which `is_doomed` says that they are to be deleted.
    pub fn doomed_queues(&self, is_doomed: impl Fn(&Queue) -> bool) -> DoomedQueues {
        let mut queues = self.shared.queues.all();
        queues.retain(|queue| is_doomed(queue));
        DoomedQueues { shared: self.shared.clone(), queues }
    }

    /// Forgets a topic's queues and removes their files. The messages stay in the log until its files are deleted; a
    /// topic made again under that name starts at 0.
    pub fn delete_topic(&self, topic: &str) -> io::Result<()> {
        let queues = self.shared.queues.remove(topic);
        self.shared.tails.forget()?;
        for queue in queues {
            self.shared.files.remove(&queue)?;
        }
        self.shared.files.remove_topic(topic)
    }
}

impl DoomedQueues {
    /// Forgets the queues and removes their files, one after another; returns how many there were. The first error ends
    /// it; those not deleted yet are as they were.
    pub fn delete(self) -> io::Result<usize> {
        let Shared { queues, files, tails, .. } = &*self.shared;
        let mut count = 0;
        for of_topic in self.queues.chunk_by(|one, other| one.topic == other.topic) {
            for queue in of_topic {
                // Only what is still there under its name: a topic may have been made again meanwhile.
                if queues.remove_queue(queue) {
                    tracing::info!(?queue, "deleted a queue");
                    tails.forget()?;
                    files.remove(queue)?;
                    count += 1;
                }
            }
            let topic = &of_topic[0].topic;
            if queues.of_topic(topic).is_empty() {
                files.remove_topic(topic)?;
            }
        }
        Ok(count)
    }
}
