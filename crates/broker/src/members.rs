//! The brokers of this one's name, when a slave may stand in for their master (`enableSlaveActingMaster`).
//!
//! Each tells the name servers every second that it lives, and asks them who else does. A slave whose master is gone
//! follows nobody, and keeps the offsets that are committed to it; the name servers show the slave with the smallest id as
//! the master, without the permission to write. One that comes back (`totalReplicas` above 1) is not registered before it
//! has what the others have: a slave the master's log, a master the offsets that its slaves were told.
//!
//! Java: `BrokerController.java` (`syncBrokerMemberGroup`, `updateMinBroker`), `BrokerPreOnlineService.java`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_config::BrokerSettings;
use raptormq_protocol::body::{BrokerMemberGroup, GetBrokerMemberGroupResponseBody};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{
    BrokerHeartbeatRequestHeader, ExchangeHAInfoRequestHeader, ExchangeHAInfoResponseHeader,
    GetBrokerMemberGroupRequestHeader,
};
use raptormq_protocol::json;
use raptormq_remoting::{Client, Request};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::broker::Broker;
use crate::slave;

/// Broker id of a master.
const MASTER_ID: i64 = 0;
/// How long a name server or another broker has to answer. Java: `BrokerOuterAPI.java`.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a master waits for a slave to connect. Java: `HAConnectionStateNotificationService`.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(50);
/// Between two attempts to come on line. Java: `BrokerPreOnlineService.run`.
const RETRY: Duration = Duration::from_secs(1);
/// Shortest period of heartbeats and questions.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// What is known of the brokers of this one's name.
pub(crate) struct Members {
    /// A slave may act as master, so the name servers are told and asked every second.
    is_used: bool,
    own_id: i64,
    /// It has what the others have, and is registered.
    online: watch::Sender<bool>,
    /// The smallest id that lives, and where it is reached.
    smallest: Mutex<(i64, String)>,
    /// Brokers that live, this one included.
    alive: AtomicUsize,
}

/// What it means that the smallest id is another one now.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    /// Whoever had it before and is gone.
    gone: Option<String>,
    /// The master that is there now.
    master: Option<String>,
}

impl Members {
    pub(crate) fn new(settings: &BrokerSettings) -> Members {
        let (broker, replicas) = (&settings.broker, settings.store.total_replicas);
        let waits = broker.enable_slave_acting_master && replicas > 1 && !broker.skip_pre_online;
        Members {
            is_used: broker.enable_slave_acting_master,
            own_id: broker.broker_id,
            online: watch::Sender::new(!waits),
            smallest: Mutex::new((MASTER_ID, String::new())),
            alive: AtomicUsize::new(replicas as usize),
        }
    }

    /// Brokers of the group that live, this one included; before the name servers were asked, all there are.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// Whether it has what the others have.
    pub(crate) fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    /// Waits until it has.
    pub(crate) async fn online(&self) {
        let mut online = self.online.subscribe();
        // The sender lives as long as `self`.
        let _ = online.wait_for(|is_online| *is_online).await;
    }

    /// Whether this is a slave that stands in for its master.
    pub(crate) fn acts(&self) -> bool {
        self.is_used && self.is_slave() && self.is_online() && self.smallest.lock().0 == self.own_id
    }

    fn is_slave(&self) -> bool {
        self.own_id != MASTER_ID
    }

    fn count(&self, group: &BrokerMemberGroup) {
        let is_listed = group.broker_addrs.contains_key(&self.own_id);
        self.alive.store(group.broker_addrs.len() + usize::from(!is_listed), Ordering::Relaxed);
    }

    /// Notes the smallest id; what that means for a slave, if it is another one.
    fn note_smallest(&self, id: i64, addr: &str) -> Option<Change> {
        if !(self.is_used && self.is_slave() && self.is_online()) {
            return None;
        }
        let mut smallest = self.smallest.lock();
        if smallest.0 == id {
            addr.clone_into(&mut smallest.1);
            return None;
        }
        let (old_id, old_addr) = std::mem::replace(&mut *smallest, (id, addr.to_owned()));
        drop(smallest);
        tracing::warn!(
            old_id,
            old_addr,
            id,
            addr,
            acts = id == self.own_id,
            "the smallest broker id of the group changed"
        );
        Some(Change {
            gone: (id > old_id).then_some(old_addr),
            master: (id == MASTER_ID && !addr.is_empty()).then(|| addr.to_owned()),
        })
    }
}

/// Takes over what a name server says of the smallest id (905).
pub(crate) fn notified(broker: &Broker, id: i64, addr: &str, (gone, ha_address): (Option<&str>, Option<&str>)) {
    let Some(change) = broker.members.note_smallest(id, addr) else { return };
    if let Some(gone) = gone.or(change.gone.as_deref()) {
        broker.outer.forget_master(broker, gone);
    }
    if let (Some(master), Some(ha_address)) = (change.master, ha_address) {
        broker.outer.set_master(broker, &master, ha_address);
    }
}

/// Comes on line, and from then on tells and asks name servers, for as long as this is polled.
pub(crate) async fn run(broker: Arc<Broker>, client: Client) {
    let members = &broker.members;
    if !members.is_used {
        return;
    }
    while !members.is_online() {
        match prepare(&broker, &client).await {
            Ok(smallest) => {
                tracing::info!(smallest = smallest.0, addr = smallest.1, "on line");
                *members.smallest.lock() = smallest;
                members.online.send_replace(true);
            }
            Err(reason) => {
                tracing::warn!(reason, "not on line yet; trying on");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    tokio::join!(tell(&broker, &client), ask(&broker, &client));
}

/// Tells every name server that the broker lives, again and again.
async fn tell(broker: &Broker, client: &Client) {
    let period = Duration::from_millis(broker.settings().broker.broker_heartbeat_interval).max(PERIOD_MIN);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let request = {
            let identity = &broker.settings().broker;
            Request::new(RequestCode::BROKER_HEARTBEAT).header(&BrokerHeartbeatRequestHeader {
                cluster_name: &identity.broker_cluster_name,
                broker_addr: broker.outer.broker_addr(),
                broker_name: &identity.broker_name,
                ..BrokerHeartbeatRequestHeader::default()
            })
        };
        let names = broker.outer.names();
        let mut tasks = tokio::task::JoinSet::new();
        for name in names {
            let (client, request) = (client.clone(), request.clone());
            // Whoever is not reached now is told again soon, and registration says that it is gone.
            tasks.spawn(async move { drop(tokio::time::timeout(period, client.oneway(&name, &request)).await) });
        }
        drop(tasks.join_all().await);
    }
}

/// Asks who is there, again and again.
async fn ask(broker: &Arc<Broker>, client: &Client) {
    let period = Duration::from_millis(broker.settings().broker.sync_broker_member_group_period).max(PERIOD_MIN);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Name servers that are away, or do not know the group any more, say nothing of it.
        let Ok(group) = members_of(broker, client).await else { continue };
        let Some((id, addr)) = group.broker_addrs.first_key_value() else { continue };
        broker.members.count(&group);
        let Some(change) = broker.members.note_smallest(*id, addr) else { continue };
        if let Some(gone) = change.gone {
            broker.outer.forget_master(broker, &gone);
        }
        if let Some(master) = change.master {
            match ha_address_of(client, &master).await {
                Ok(ha_address) => broker.outer.set_master(broker, &master, &ha_address),
                Err(reason) => tracing::warn!(master, reason, "the master does not say where its log is"),
            }
        }
    }
}

/// The group, as the first name server says that answers.
async fn members_of(broker: &Broker, client: &Client) -> Result<BrokerMemberGroup, String> {
    let request = {
        let identity = &broker.settings().broker;
        Request::new(RequestCode::GET_BROKER_MEMBER_GROUP).header(&GetBrokerMemberGroupRequestHeader {
            cluster_name: &identity.broker_cluster_name,
            broker_name: &identity.broker_name,
        })
    };
    let mut problem = "no name server is set".to_owned();
    for name in broker.outer.names() {
        match client.call(&name, request.clone(), TIMEOUT).await {
            Ok(response) if response.is_success() => {
                let body: GetBrokerMemberGroupResponseBody =
                    json::from_slice(&response.body).map_err(|error| format!("{name}: {error}"))?;
                return Ok(body.broker_member_group.unwrap_or_default());
            }
            Ok(response) => problem = format!("{name}: {}", response.remark.unwrap_or_default()),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

/// Where a master's log is had (906).
async fn ha_address_of(client: &Client, master: &str) -> Result<String, String> {
    let request = Request::new(RequestCode::EXCHANGE_BROKER_HA_INFO).header(&ExchangeHAInfoRequestHeader::default());
    let response = client.call(master, request, TIMEOUT).await.map_err(|error| error.to_string())?;
    let header = response.header::<ExchangeHAInfoResponseHeader<'_>>().map_err(|error| error.to_string())?;
    let ha_address = header.master_ha_address.filter(|_| response.is_success());
    ha_address.map(str::to_owned).ok_or_else(|| "it names none".to_owned())
}

/// Gets what the others have; then the smallest id of the group, and where it is reached.
async fn prepare(broker: &Arc<Broker>, client: &Client) -> Result<(i64, String), String> {
    let own_id = broker.members.own_id;
    let mut group = match broker.outer.names().is_empty() {
        true => BrokerMemberGroup::default(),
        false => members_of(broker, client).await?,
    };
    broker.members.count(&group);
    // What an earlier run registered does not count.
    group.broker_addrs.remove(&own_id);
    let others = group.broker_addrs;
    match (own_id, others.first_key_value()) {
        (MASTER_ID, _) => {
            for addr in others.values() {
                take_back(broker, client, addr).await.map_err(|reason| format!("{addr}: {reason}"))?;
            }
            Ok((MASTER_ID, broker.outer.broker_addr().to_owned()))
        }
        (_, Some((&MASTER_ID, master))) => {
            let ha_address = ha_address_of(client, master).await.map_err(|reason| format!("{master}: {reason}"))?;
            broker.outer.set_master(broker, master, &ha_address);
            connected(|| broker.following.status().is_connected).await?;
            Ok((MASTER_ID, master.clone()))
        }
        (_, Some((id, addr))) if *id < own_id => Ok((*id, addr.clone())),
        (_, _) => Ok((own_id, broker.outer.broker_addr().to_owned())),
    }
}

/// A master that comes back: a slave gets its log from here again, and says how far groups are meanwhile.
async fn take_back(broker: &Arc<Broker>, client: &Client, slave: &str) -> Result<(), String> {
    let request = Request::new(RequestCode::EXCHANGE_BROKER_HA_INFO).header(&ExchangeHAInfoRequestHeader {
        master_ha_address: Some(broker.outer.ha_server_addr()),
        master_flush_offset: Some(broker.store.log_max_offset()),
        master_address: Some(broker.outer.broker_addr()),
    });
    let response = client.call(slave, request, TIMEOUT).await.map_err(|error| error.to_string())?;
    if !response.is_success() {
        return Err(response.remark.unwrap_or_default());
    }
    let ips: Vec<_> =
        tokio::net::lookup_host(slave).await.map_err(|error| error.to_string())?.map(|it| it.ip()).collect();
    connected(|| broker.slaves.status(0).iter().any(|connected| ips.contains(&connected.address.ip()))).await?;
    slave::take_back(broker, client, slave).await
}

async fn connected(mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(CONNECT_MAX, looking).await.map_err(|_| format!("no replication within {CONNECT_MAX:?}"))
}

#[cfg(test)]
mod tests {
    use raptormq_config::Environment;

    use super::*;

    fn members(id: i64, change: impl FnOnce(&mut BrokerSettings)) -> Members {
        let mut settings = BrokerSettings::new(&Environment::default());
        settings.broker.broker_id = id;
        settings.broker.enable_slave_acting_master = true;
        change(&mut settings);
        Members::new(&settings)
    }

    #[test]
    fn a_slave_notes_that_the_master_went_and_that_it_came_back() {
        let slave = members(1, |_| ());
        assert_eq!(slave.note_smallest(0, "a:0"), None, "it is assumed that there is one");
        let gone = Change { gone: Some("a:0".to_owned()), master: None };
        assert!(!slave.acts());
        assert_eq!(slave.note_smallest(1, "a:1"), Some(gone));
        assert!(slave.acts());
        assert_eq!(slave.note_smallest(1, "a:1"), None);
        let back = Change { gone: None, master: Some("a:0".to_owned()) };
        assert_eq!(slave.note_smallest(0, "a:0"), Some(back));
        assert!(!slave.acts());
        assert_eq!(members(0, |_| ()).note_smallest(1, "a:1"), None, "a master does not care");
        let off = members(1, |settings| settings.broker.enable_slave_acting_master = false);
        assert_eq!(off.note_smallest(1, "a:1"), None);
    }

    #[test]
    fn a_broker_that_lists_itself_is_counted_once() {
        let slave = members(1, |settings| settings.store.total_replicas = 3);
        assert_eq!(slave.alive(), 3, "before anybody was asked");
        let group = |ids: &[i64]| BrokerMemberGroup {
            broker_addrs: ids.iter().map(|id| (*id, format!("a:{id}"))).collect(),
            ..BrokerMemberGroup::default()
        };
        slave.count(&group(&[0]));
        assert_eq!(slave.alive(), 2);
        slave.count(&group(&[0, 1]));
        assert_eq!(slave.alive(), 2);
    }

    #[test]
    fn only_one_of_several_replicas_waits_before_it_comes_on_line() {
        assert!(members(1, |_| ()).is_online());
        let several = |settings: &mut BrokerSettings| settings.store.total_replicas = 2;
        assert!(!members(1, several).is_online());
        assert!(
            members(1, |settings| {
                several(settings);
                settings.broker.skip_pre_online = true;
            })
            .is_online()
        );
        let off = |settings: &mut BrokerSettings| {
            several(settings);
            settings.broker.enable_slave_acting_master = false;
        };
        assert!(members(1, off).is_online());
    }
}
