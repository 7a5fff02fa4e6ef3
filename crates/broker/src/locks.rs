//! Which client of a group may consume a queue in order. A lock that is not renewed within a minute is free again.
//! Java: `client/rebalance/RebalanceLockManager.java`.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use raptormq_protocol::body::MessageQueue;

use crate::budget::{Budget, Share};

/// How long a lock holds without being renewed. Java: `rocketmq.broker.rebalance.lockMaxLiveTime`.
const LOCK_TTL_MS: i64 = 60_000;
/// What a lock takes beside its names, in bytes.
const LOCK_BYTES: usize = 256;

#[derive(Debug)]
struct Lock {
    client_id: Box<str>,
    renewed_ms: i64,
    _share: Share,
}

impl Lock {
    fn is_expired(&self, now_ms: i64) -> bool {
        now_ms - self.renewed_ms > LOCK_TTL_MS
    }
}

/// All locks, by group and queue.
#[derive(Debug)]
pub(crate) struct Locks {
    budget: Budget,
    table: Mutex<HashMap<Box<str>, HashMap<MessageQueue, Lock>>>,
}

impl Locks {
    /// No locks; those that come take their bytes from the budget.
    pub(crate) fn new(budget: Budget) -> Locks {
        Locks { budget, table: Mutex::default() }
    }

    /// Locks or renews as many of `wanted` as are free for the client, and as there is room for; those that it has then.
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
            match locks.get_mut(&queue) {
                Some(lock) if *lock.client_id == *client_id => lock.renewed_ms = now_ms,
                Some(lock) if !lock.is_expired(now_ms) => continue,
                _ => {
                    let names = group.len() + client_id.len() + queue.topic.len() + queue.broker_name.len();
                    let Ok(share) = self.budget.take(LOCK_BYTES + names) else { continue };
                    let lock = Lock { client_id: client_id.into(), renewed_ms: now_ms, _share: share };
                    locks.insert(queue.clone(), lock);
                }
            }
            locked.insert(queue);
        }
        if locks.is_empty() {
            table.remove(group);
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
        let locks = Locks::new(Budget::new(1 << 20));
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
    fn there_are_as_many_locks_as_there_is_room_for() {
        let locks = Locks::new(Budget::new(3 * (LOCK_BYTES as u64 + 10)));
        let all: Vec<i32> = (0..10).collect();
        assert_eq!(locks.lock("g", "one", queues(&all), 0), queues(&[0, 1, 2]));
        assert_eq!(locks.lock("h", "two", queues(&all), 0), queues(&[]));
        assert_eq!(locks.lock("g", "one", queues(&all), 1), queues(&[0, 1, 2]), "those that it has are renewed");
        assert_eq!(locks.table.lock().len(), 1);
        locks.unlock("g", "one", &queues(&[1]));
        assert_eq!(locks.lock("h", "two", queues(&all), 2), queues(&[0]));
    }

    #[test]
    fn a_lock_that_is_not_renewed_for_a_minute_is_free() {
        let locks = Locks::new(Budget::new(1 << 20));
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
