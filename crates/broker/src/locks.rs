//! Which client of a group may consume a queue in order. A lock that is not renewed within a minute is free again.
//! Java: `client/rebalance/RebalanceLockManager.java`.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;

/// How long a lock holds without being renewed. Java: `rocketmq.broker.rebalance.lockMaxLiveTime`.
const LOCK_TTL_MS: i64 = 60_000;
/// Most locks of a group: several topics with all their queues.
const LOCKS_PER_GROUP_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
struct Lock {
    client_id: Box<str>,
    renewed_ms: i64,
}

impl Lock {
    fn is_free_for(&self, client_id: &str, now_ms: i64) -> bool {
        *self.client_id == *client_id || self.is_expired(now_ms)
    }

    fn is_expired(&self, now_ms: i64) -> bool {
        now_ms - self.renewed_ms > LOCK_TTL_MS
    }
}

/// All locks, by group and queue.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    table: Mutex<HashMap<Box<str>, HashMap<MessageQueue, Lock>>>,
}

impl Locks {
    /// Locks or renews as many of `wanted` as are free for the client; those that it has then.
    pub(crate) fn lock(
        &self,
        group: &str,
        client_id: &str,
        wanted: BTreeSet<MessageQueue>,
        now_ms: i64,
    ) -> BTreeSet<MessageQueue> {
        let mut table = self.table.lock();
        let locks = table.entry(group.into()).or_default();
        let mut locked = BTreeSet::new();
        for queue in wanted {
            let is_free = match locks.get(&queue) {
                Some(lock) => lock.is_free_for(client_id, now_ms),
                None => locks.len() < LOCKS_PER_GROUP_MAX,
            };
            if is_free {
                locks.insert(queue.clone(), Lock { client_id: client_id.into(), renewed_ms: now_ms });
                locked.insert(queue);
            }
        }
        locked
    }

    /// Gives up those of `queues` that the client has.
    pub(crate) fn unlock(&self, group: &str, client_id: &str, queues: &BTreeSet<MessageQueue>) {
        let mut table = self.table.lock();
        let Some(locks) = table.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| *lock.client_id == *client_id) {
                locks.remove(queue);
            }
        }
    }

    /// Whether somebody of the group has a queue: the group consumes in order then.
    pub(crate) fn has_any(&self, group: &str, now_ms: i64) -> bool {
        self.table.lock().get(group).is_some_and(|locks| locks.values().any(|lock| !lock.is_expired(now_ms)))
    }

    /// Forgets locks that are free.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.table.lock().retain(|_, locks| {
            locks.retain(|_, lock| !lock.is_expired(now_ms));
            !locks.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(ids: &[i32]) -> BTreeSet<MessageQueue> {
        ids.iter().map(|id| MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: *id }).collect()
    }

    #[test]
    fn a_queue_has_one_owner_until_it_unlocks_or_forgets() {
        let locks = Locks::default();
        assert_eq!(locks.lock("g", "one", queues(&[0, 1]), 0), queues(&[0, 1]));
        assert_eq!(locks.lock("g", "two", queues(&[1, 2]), 1), queues(&[2]));
        assert_eq!(locks.lock("other", "two", queues(&[1]), 1), queues(&[1]));
        locks.unlock("g", "two", &queues(&[0]));
        assert!(locks.has_any("g", 2) && !locks.has_any("nobody", 2));
        assert_eq!(locks.lock("g", "two", queues(&[0]), 2), queues(&[]));
        locks.unlock("g", "one", &queues(&[0]));
        assert_eq!(locks.lock("g", "two", queues(&[0]), 3), queues(&[0]));
    }

    #[test]
    fn a_lock_that_is_not_renewed_for_a_minute_is_free() {
        let locks = Locks::default();
        locks.lock("g", "one", queues(&[0, 1]), 0);
        locks.lock("g", "one", queues(&[1]), 30_000);
        assert_eq!(locks.lock("g", "two", queues(&[0, 1]), LOCK_TTL_MS), queues(&[]));
        assert_eq!(locks.lock("g", "two", queues(&[0, 1]), LOCK_TTL_MS + 1), queues(&[0]));
        locks.sweep(LOCK_TTL_MS + 30_001);
        assert!(locks.has_any("g", LOCK_TTL_MS + 30_001));
        locks.sweep(2 * LOCK_TTL_MS + 30_002);
        assert!(!locks.has_any("g", 2 * LOCK_TTL_MS + 30_002));
    }
}
