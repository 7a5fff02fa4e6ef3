//! The broker's part in replication: the thread `broker-ha`, on which slaves are served and a master is followed, and the
//! rules by which a synchronous master's sends wait for slaves. Java: `store/ha/DefaultHAService.java`,
//! `store/CommitLog.java` (`handleDiskFlushAndHA`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use raptormq_config::{BrokerRole, BrokerSettings, FlushDiskType};
use raptormq_protocol::body::KVTable;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::ViewMessageRequestHeader;
use raptormq_protocol::json;
use raptormq_remoting::{Client, Request};
use raptormq_replication::{self as replication, Following, Host, Options, Slaves};
use raptormq_store::{Arrival, Store};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::failure::Failure;
use crate::start::{StartError, parse_address};
use crate::{escape, hold, slave};

/// How long the master may take to show a record of its log.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// What `haMasterAddress` has at least when it is meant to be one. Java: `BrokerController.HA_ADDRESS_MIN_LENGTH`.
const ADDRESS_LEN_MIN: usize = 6;

/// How many slaves a send waits for, and what it is told without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncRule {
    /// Slaves that must have the message.
    slaves: usize,
    /// Without a slave that is nearly in step nobody waits: SLAVE_NOT_AVAILABLE.
    asks_first: bool,
}

impl SyncRule {
    /// What the settings ask for; `None` when sends wait for nobody.
    ///
    /// `inSyncReplicas` counts the master. Where it is not set, SYNC_MASTER means what it meant in 4.x: one slave has the
    /// message.
    pub(crate) fn of(settings: &BrokerSettings) -> Option<SyncRule> {
        if settings.store.broker_role != BrokerRole::SyncMaster {
            return None;
        }
        if !settings.is_in_sync_replicas_set {
            return Some(SyncRule { slaves: 1, asks_first: true });
        }
        match settings.store.in_sync_replicas as usize {
            0 | 1 => None,
            replicas => Some(SyncRule { slaves: replicas - 1, asks_first: false }),
        }
    }
}

/// How many replicas a send needs where a slave may act as master: that depends on who lives, and is asked before the
/// message is stored. Java: `CommitLog.asyncPutMessage` under `enableSlaveActingMaster`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupRule {
    /// `inSyncReplicas`.
    wanted: usize,
    /// `minInSyncReplicas`, where `enableAutoInSyncReplicas` lets fewer be enough.
    enough: Option<usize>,
}

impl GroupRule {
    pub(crate) fn of(settings: &BrokerSettings) -> Option<GroupRule> {
        let store = &settings.store;
        let is_used = settings.broker.enable_slave_acting_master
            && settings.is_in_sync_replicas_set
            && store.broker_role == BrokerRole::SyncMaster;
        is_used.then_some(GroupRule {
            wanted: store.in_sync_replicas as usize,
            enough: store.enable_auto_in_sync_replicas.then_some(store.min_in_sync_replicas as usize),
        })
    }

    /// Replicas that must have a message, the master among them, when so many are in step; `None` when those are too few.
    fn needed(self, in_sync: usize) -> Option<usize> {
        let needed = self.enough.map_or(self.wanted, |enough| self.wanted.min(in_sync).max(enough));
        (needed <= in_sync).then_some(needed)
    }
}

/// What a send waits for. Refuses it where too few replicas are in step.
pub(crate) fn rule_of_send(broker: &Broker) -> Result<Option<SyncRule>, Failure> {
    let Some(rule) = broker.identity.group_rule else { return Ok(broker.identity.sync_rule) };
    let log_end = broker.store.log_max_offset();
    let in_sync = broker.members.alive().min(1 + broker.slaves.in_sync_count(log_end));
    match rule.needed(in_sync) {
        None => Err(Failure::system("in-sync replicas not enough")),
        Some(needed) if needed > 1 => Ok(Some(SyncRule { slaves: needed - 1, asks_first: false })),
        Some(_) => Ok(None),
    }
}

/// Whether a message that ends at `log_end` has to wait for slaves, and what is said at once when it cannot.
pub(crate) fn waits_for_slaves(broker: &Broker, rule: SyncRule, log_end: i64) -> Result<bool, ResponseCode> {
    let Some(replicated) = broker.slaves.replicated(rule.slaves) else { return Ok(true) };
    if replicated.value() >= log_end {
        return Ok(false);
    }
    if rule.asks_first && !broker.slaves.is_slave_ok(log_end) {
        return Err(ResponseCode::SLAVE_NOT_AVAILABLE);
    }
    Ok(true)
}

/// Waits until slaves have everything before `log_end`; what is said when they do not by then.
pub(crate) async fn replicated(
    broker: &Broker,
    rule: SyncRule,
    log_end: i64,
    deadline: Instant,
) -> Result<(), ResponseCode> {
    let reached = async {
        match broker.slaves.replicated(rule.slaves) {
            Some(replicated) if replicated.value() >= log_end => true,
            Some(replicated) => replicated.reached(log_end).await.is_ok(),
            // So many can never be connected.
            None => std::future::pending().await,
        }
    };
    match tokio::time::timeout_at(deadline, reached).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(ResponseCode::FLUSH_SLAVE_TIMEOUT),
    }
}

/// The settings of replication.
pub(crate) fn options(settings: &BrokerSettings) -> Options {
    let store = &settings.store;
    Options {
        heartbeat_interval: Duration::from_millis(store.ha_send_heartbeat_interval),
        housekeeping_interval: Duration::from_millis(store.ha_housekeeping_interval),
        frame_bytes: store.ha_transfer_batch_size as usize,
        bytes_per_second_max: store.ha_flow_control_enable.then_some(store.max_ha_transfer_byte_in_second),
        gap_max: i64::try_from(store.ha_max_gap_not_in_sync).unwrap_or(i64::MAX),
        connections_max: store.ha_connections_max as usize,
        shared_secret: store.ha_shared_secret.clone(),
        is_sync_flush: store.flush_disk_type == FlushDiskType::SyncFlush,
    }
}

/// The addresses at which slaves are served, where clients are at `bind_ip`: those of `haBindAddress`, or else the same.
///
/// Where clients are served at every address, slaves are not: they are told `brokerIP2` and come to it, and those on this
/// machine may be told the loopback. If `brokerIP2` is a name, or belongs to something in front of this machine, nobody can
/// say at which address they arrive, and it is every one.
pub(crate) fn places(settings: &BrokerSettings, bind_ip: IpAddr) -> Result<Vec<IpAddr>, StartError> {
    let wanted = settings.store.ha_bind_address.trim();
    if !wanted.is_empty() {
        return Ok(vec![parse_address("haBindAddress", wanted)?]);
    }
    let told = settings.broker.broker_ip2.trim().trim_start_matches('[').trim_end_matches(']');
    // Only addresses of this machine can be listened on.
    let is_own = |ip: &IpAddr| TcpListener::bind((*ip, 0)).is_ok();
    let own = told.parse().ok().filter(|ip: &IpAddr| bind_ip.is_unspecified() && !ip.is_unspecified() && is_own(ip));
    let Some(own) = own else { return Ok(vec![bind_ip]) };
    let loopback = match own {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    Ok([own, loopback].into_iter().take(if own == loopback { 1 } else { 2 }).collect())
}

/// Whether the settings name the master.
pub(crate) fn names_master(settings: &BrokerSettings) -> bool {
    settings.store.ha_master_address.trim().len() >= ADDRESS_LEN_MIN
}

/// The master that the settings name.
pub(crate) fn following(settings: &BrokerSettings) -> Following {
    Following::new(names_master(settings).then(|| settings.store.ha_master_address.trim().to_owned()))
}

/// The broker as replication sees it.
struct Replica {
    broker: Arc<Broker>,
    client: Client,
}

impl Host for Replica {
    fn store(&self) -> &Store {
        &self.broker.store
    }

    fn slaves(&self) -> &Slaves {
        &self.broker.slaves
    }

    fn following(&self) -> &Following {
        &self.broker.following
    }

    fn now_ms(&self) -> i64 {
        self.broker.now_ms()
    }

    fn arrived(&self, arrivals: &[Arrival<'_>]) {
        let log_end = arrivals.last().map_or(0, |last| last.log_offset + last.record.len() as i64);
        hold::wake_for(&self.broker, arrivals.iter().copied(), log_end);
    }

    /// Compares the last record here with what the master has there: it says when and where the message came from, so two
    /// logs that agree in it agree in everything before.
    async fn same_past(&self, _ha_address: &str) -> Result<(), String> {
        let store = &self.broker.store;
        let Some(log_offset) = store.last_record_offset() else { return Ok(()) };
        let (Some(master), Some(own)) = (self.broker.outer.log_master_addr(), store.record_at(log_offset)) else {
            return Ok(());
        };
        let header = ViewMessageRequestHeader { topic: None, offset: log_offset };
        let request = Request::new(RequestCode::VIEW_MESSAGE_BY_ID).header(&header);
        match self.client.call(&master, request, ASK_TIMEOUT).await {
            Ok(theirs) if theirs.is_success() && theirs.body != own => {
                Err(format!("at log offset {log_offset} it has another message than this slave"))
            }
            Ok(theirs) if theirs.code == ResponseCode::SYSTEM_ERROR => {
                self.lacks(&master, log_offset..log_offset + own.len() as i64).await
            }
            // It is busy, or of a kind that does not answer.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Replica {
    /// Why a master has no message where this slave has its last one. That is no other past only if the master has deleted
    /// what was there.
    async fn lacks(&self, master: &str, own: Range<i64>) -> Result<(), String> {
        let request = Request::new(RequestCode::GET_BROKER_RUNTIME_INFO);
        let Ok(answer) = self.client.call(master, request, ASK_TIMEOUT).await else { return Ok(()) };
        let Ok(info) = json::from_slice::<KVTable>(&answer.body) else { return Ok(()) };
        let value = |key| info.table.get(key).and_then(|value: &String| value.parse::<i64>().ok());
        let (Some(min), Some(max)) = (value("commitLogMinOffset"), value("commitLogMaxOffset")) else { return Ok(()) };
        if own.end > max {
            return Err(format!(
                "it ends at log offset {max}, and this slave's at {}: it may have lost messages",
                own.end
            ));
        }
        if own.start >= min {
            return Err(format!("at log offset {} it has no message, and this slave has", own.start));
        }
        Ok(())
    }
}

/// The thread: serves slaves, and follows the master if this is a slave, until `stop`.
pub(crate) fn run(broker: Arc<Broker>, client: Client, listeners: Vec<TcpListener>, stop: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no event queue for replication: nothing is replicated");
            return;
        }
    };
    runtime.block_on(async {
        let replica = Arc::new(Replica { broker: Arc::clone(&broker), client: client.clone() });
        let serving = tokio::spawn(replication::serve(Arc::clone(&replica), listeners));
        let following = broker.is_slave().then(|| {
            [
                tokio::spawn(replication::follow(replica)),
                tokio::spawn(slave::run(Arc::clone(&broker), client.clone())),
                tokio::spawn(escape::run(Arc::clone(&broker), client)),
            ]
        });
        // The sender is dropped to stop.
        let _ = stop.await;
        serving.abort();
        following.into_iter().flatten().for_each(|task| task.abort());
    });
    // A read of the disk that goes on is not waited for.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests {
    use raptormq_config::Environment;

    use super::*;

    #[test]
    fn without_in_sync_replicas_one_slave_must_have_a_message() {
        let rule = |role, replicas: Option<u32>| {
            let mut settings = BrokerSettings::new(&Environment::default());
            settings.store.broker_role = role;
            settings.is_in_sync_replicas_set = replicas.is_some();
            settings.store.in_sync_replicas = replicas.unwrap_or(1);
            SyncRule::of(&settings)
        };
        assert_eq!(rule(BrokerRole::AsyncMaster, Some(2)), None);
        assert_eq!(rule(BrokerRole::SyncMaster, None), Some(SyncRule { slaves: 1, asks_first: true }));
        assert_eq!(rule(BrokerRole::SyncMaster, Some(1)), None);
        assert_eq!(rule(BrokerRole::SyncMaster, Some(3)), Some(SyncRule { slaves: 2, asks_first: false }));
    }

    #[test]
    fn where_a_slave_may_act_the_replicas_that_live_decide() {
        let strict = GroupRule { wanted: 2, enough: None };
        assert_eq!([1, 2, 3].map(|in_sync| strict.needed(in_sync)), [None, Some(2), Some(2)]);
        let lenient = GroupRule { wanted: 3, enough: Some(2) };
        assert_eq!([1, 2, 3, 4].map(|in_sync| lenient.needed(in_sync)), [None, Some(2), Some(3), Some(3)]);
        let mut settings = BrokerSettings::new(&Environment::default());
        settings.store.broker_role = BrokerRole::SyncMaster;
        settings.broker.enable_slave_acting_master = true;
        assert_eq!(GroupRule::of(&settings), None, "without inSyncReplicas one slave must have it, as ever");
        settings.is_in_sync_replicas_set = true;
        assert_eq!(GroupRule::of(&settings), Some(GroupRule { wanted: 1, enough: None }));
    }
}
