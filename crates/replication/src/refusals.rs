//! Why slaves are refused, and what was said of it: each reason once for each address, however often it comes back.

use std::mem::{Discriminant, discriminant};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_store::ReadError;

/// Refusals that are remembered; of more the oldest are said again.
const SAID_MAX: usize = 1024;

/// Why a connection is not served, or not any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there are {0} connections already (haConnectionsMax)")]
    Full(usize),
    #[error("it had not said anything when others came, and there are {0} connections already (haConnectionsMax)")]
    Displaced(usize),
    #[error("it does not know haSharedSecret, or has another")]
    Unproved,
    #[error("it expects haSharedSecret here, and none is set")]
    ExpectsSecret,
    #[error("it reports the log offset {0}")]
    Negative(i64),
    #[error(
        "it has the log up to {has}, and this master only up to {max}: another past, or this master lost messages. \
         Compare them; then empty the slave's store, or make the slave the master"
    )]
    Ahead { has: i64, max: i64 },
    #[error(
        "it has the log up to {has}, but here everything before {min} was deleted: empty the slave's store, or raise \
         fileReservedTime"
    )]
    Deleted { has: i64, min: i64 },
    #[error("it reports the log offset {0}, which this master's log does not reach")]
    Beyond(i64),
    #[error("what it needs cannot be read: {0}")]
    Unreadable(ReadError),
    #[error("it has read nothing for {0:?}")]
    Deaf(Duration),
}

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Vec<(IpAddr, Discriminant<Refusal>)>>);

impl Refusals {
    /// Says why, unless it was said of this address; returns whether it is said now.
    pub(crate) fn say(&self, address: SocketAddr, refusal: &Refusal) -> bool {
        let entry = (address.ip(), discriminant(refusal));
        let mut said = self.0.lock();
        if said.contains(&entry) {
            return false;
        }
        tracing::error!(slave = %address, reason = %refusal, "a slave is refused");
        if said.len() >= SAID_MAX {
            said.remove(0);
        }
        said.push(entry);
        true
    }

    /// One that is served is said of again when it is refused later.
    pub(crate) fn forget(&self, ip: IpAddr) {
        self.0.lock().retain(|(refused, _)| *refused != ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_fills_no_log_whatever_numbers_it_says() {
        let refusals = Refusals::default();
        let said = |address: &str, refusal| refusals.say(address.parse().unwrap(), &refusal);
        assert!(said("10.0.0.1:1000", Refusal::Negative(-1)));
        assert!((0..10_000).all(|number| !said("10.0.0.1:2000", Refusal::Negative(-2 - number))));
        assert!(said("10.0.0.1:1000", Refusal::Ahead { has: 9, max: 8 }) && said("10.0.0.2:1", Refusal::Negative(-1)));
        refusals.forget("10.0.0.1".parse().unwrap());
        assert!(said("10.0.0.1:1000", Refusal::Negative(-1)) && !said("10.0.0.2:1", Refusal::Negative(-1)));
        for host in 0..5000_u32 {
            assert!(said(&format!("10.1.{}.{}:1", host / 250, host % 250), Refusal::Full(1)));
        }
        assert_eq!(refusals.0.lock().len(), SAID_MAX);
    }
}
