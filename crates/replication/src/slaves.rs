//! The slaves of a master: who is connected, what each has, and who waits for that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use raptormq_store::Watermark;

use crate::options::Options;
use crate::rate::Rate;
use crate::refusals::Refusals;

/// The slaves that are connected.
pub struct Slaves {
    pub(crate) options: Options,
    connected: Mutex<Vec<Arc<Connected>>>,
    /// At position n: what at least n + 1 slaves have.
    replicated: Vec<Watermark>,
    pub(crate) refusals: Refusals,
}

/// A slave that is connected.
pub(crate) struct Connected {
    pub(crate) address: SocketAddr,
    /// Log offset up to which it says it has everything.
    pub(crate) acked: AtomicI64,
    /// Log offset up to which everything was sent to it.
    pub(crate) sent: AtomicI64,
    pub(crate) rate: Rate,
}

/// How far a slave is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlaveStatus {
    /// Where it connects from.
    pub address: SocketAddr,
    /// Log offset up to which it says it has everything.
    pub acked: i64,
    /// Log offset up to which everything was sent to it.
    pub sent: i64,
    /// Bytes that it lacks.
    pub behind: i64,
    /// Whether that is less than `haMaxGapNotInSync`.
    pub is_in_sync: bool,
    /// Bytes sent in the last whole second.
    pub bytes_per_second: u64,
}

impl Slaves {
    /// Nobody is connected.
    pub fn new(options: Options) -> Slaves {
        let options = options.checked();
        let replicated = (0..options.connections_max.max(1)).map(|_| Watermark::default()).collect();
        Slaves { options, connected: Mutex::default(), replicated, refusals: Refusals::default() }
    }

    /// What so many slaves have, at least; `None` when so many cannot be connected.
    pub fn replicated(&self, count: usize) -> Option<&Watermark> {
        self.replicated.get(count.checked_sub(1)?)
    }

    /// Whether a slave is connected that is not too far behind. Java: `DefaultHAService.isSlaveOK`.
    pub fn is_slave_ok(&self, log_end: i64) -> bool {
        self.in_sync_count(log_end) > 0
    }

    /// Slaves that are connected and not too far behind. Java: `DefaultHAService.inSyncReplicasNums`.
    pub fn in_sync_count(&self, log_end: i64) -> usize {
        let connected = self.connected.lock();
        let is_in_sync = |slave: &&Arc<Connected>| log_end - slave.acked.load(Ordering::Acquire) < self.options.gap_max;
        connected.iter().filter(is_in_sync).count()
    }

    /// Waits until every slave that is connected has everything before `log_offset`.
    pub async fn caught_up(&self, log_offset: i64) {
        let count = self.connected.lock().len();
        if let Some(replicated) = self.replicated(count) {
            // The watermarks live as long as this does.
            let _ = replicated.reached(log_offset).await;
        }
    }

    /// How far each slave is, given where the log ends.
    pub fn status(&self, log_end: i64) -> Vec<SlaveStatus> {
        let connected = self.connected.lock().clone();
        let status = |slave: Arc<Connected>| {
            let acked = slave.acked.load(Ordering::Acquire);
            SlaveStatus {
                address: slave.address,
                acked,
                sent: slave.sent.load(Ordering::Acquire),
                behind: log_end - acked,
                is_in_sync: log_end - acked < self.options.gap_max,
                bytes_per_second: slave.rate.per_second(),
            }
        };
        connected.into_iter().map(status).collect()
    }

    /// Takes in a slave that has everything up to `acked`; it counts until the value is dropped.
    pub(crate) fn add(self: &Slaves, address: SocketAddr, acked: i64) -> Seat<'_> {
        let slave = Arc::new(Connected {
            address,
            acked: AtomicI64::new(acked),
            sent: AtomicI64::new(acked),
            rate: Rate::default(),
        });
        self.connected.lock().push(slave.clone());
        self.refusals.forget(address.ip());
        Seat { slaves: self, slave }
    }

    /// Notes what a slave has, and wakes who waited for it.
    pub(crate) fn acknowledge(&self, slave: &Connected, log_offset: i64) {
        slave.acked.store(log_offset, Ordering::Release);
        let mut acked: Vec<i64> = {
            let connected = self.connected.lock();
            connected.iter().map(|slave| slave.acked.load(Ordering::Acquire)).collect()
        };
        acked.sort_unstable_by(|a, b| b.cmp(a));
        for (watermark, log_offset) in self.replicated.iter().zip(acked) {
            watermark.advance(log_offset);
        }
    }
}

/// A slave's place among the connected.
pub(crate) struct Seat<'a> {
    slaves: &'a Slaves,
    pub(crate) slave: Arc<Connected>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.slaves.connected.lock().retain(|slave| !Arc::ptr_eq(slave, &self.slave));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn slaves() -> Slaves {
        Slaves::new(Options {
            heartbeat_interval: Duration::from_secs(5),
            housekeeping_interval: Duration::from_secs(20),
            frame_bytes: 32 << 10,
            bytes_per_second_max: None,
            gap_max: 100,
            connections_max: 4,
            shared_secret: String::new(),
            is_sync_flush: false,
        })
    }

    #[test]
    fn what_n_slaves_have_is_what_the_nth_best_has() {
        let slaves = slaves();
        assert!(!slaves.is_slave_ok(0));
        let (one, two) = (slaves.add("10.0.0.1:1".parse().unwrap(), 10), slaves.add("10.0.0.2:1".parse().unwrap(), 0));
        slaves.acknowledge(&one.slave, 50);
        let values = || [1, 2, 3].map(|count| slaves.replicated(count).unwrap().value());
        assert_eq!(values(), [50, 0, 0]);
        slaves.acknowledge(&two.slave, 40);
        assert_eq!(values(), [50, 40, 0]);
        slaves.acknowledge(&two.slave, 60);
        assert_eq!(values(), [60, 50, 0]);
        assert!(slaves.replicated(0).is_none() && slaves.replicated(5).is_none());
        assert!(slaves.is_slave_ok(159) && !slaves.is_slave_ok(160));
        drop(two);
        assert_eq!(values(), [60, 50, 0], "what a slave had it has, whether it is connected or not");
        assert_eq!(slaves.status(149).len(), 1);
        assert!(slaves.status(149)[0].is_in_sync && !slaves.status(150)[0].is_in_sync);
    }
}
