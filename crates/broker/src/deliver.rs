//! The thread that stores messages again when it is time: delayed ones ([`schedule`](crate::schedule)), and the halves of
//! transactions whose producers have to be asked ([`transaction::check`](crate::transaction::check)).
//!
//! Its work is done in steps that look at the time, do some of what is due and say when to look again. No message has a
//! timer of its own.

use std::time::Duration;

use crate::broker::Broker;
use crate::schedule::Deliverer;
use crate::transaction::check::Checker;

/// Longest wait: the clock may be set forward meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Between two looks whether the broker is on line.
const OFFLINE_WAIT: Duration = Duration::from_millis(100);

/// The thread: works until the alarm is stopped.
pub(crate) fn run(broker: &Broker) {
    // What is due the master stores again, and then it comes from there.
    if broker.is_slave() {
        return;
    }
    // Slaves may have delivered meanwhile, and say so first.
    while !broker.members.is_online() {
        if !broker.alarm.begin() {
            return;
        }
        broker.alarm.wait(broker.now_ms(), OFFLINE_WAIT);
    }
    let mut deliverer = Deliverer::new(broker);
    let mut checker = Checker::new(broker, broker.now_ms());
    while broker.alarm.begin() {
        let now_ms = broker.now_ms();
        let next_ms = deliverer.step(broker, now_ms).min(checker.step(broker, now_ms));
        let wait_ms = next_ms.saturating_sub(broker.now_ms());
        if wait_ms > 0 {
            // Positive, as was just seen.
            broker.alarm.wait(next_ms, Duration::from_millis(wait_ms as u64).min(WAIT_MAX));
        }
    }
    checker.end(broker);
}
