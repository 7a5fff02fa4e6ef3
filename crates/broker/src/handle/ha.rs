//! How replication goes (907), and who the master is (906). Java: `processor/AdminBrokerProcessor.java`.

use raptormq_protocol::body::{HAClientRuntimeInfo, HAConnectionRuntimeInfo, HARuntimeInfo};
use raptormq_protocol::header::{
    ExchangeHAInfoRequestHeader, ExchangeHAInfoResponseHeader, NotifyMinBrokerIdChangeRequestHeader,
};
use raptormq_replication::SlaveStatus;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::members;

/// GET_BROKER_HA_STATUS (907).
pub(crate) fn status(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let log_end = broker.store.log_max_offset();
    if broker.is_slave() {
        let following = broker.following.status();
        return call.success_json(&HARuntimeInfo {
            ha_client_runtime_info: HAClientRuntimeInfo {
                last_read_timestamp: following.last_read_ms,
                last_write_timestamp: following.last_write_ms,
                master_addr: following.master,
                max_offset: log_end,
                transferred_byte_in_second: saturating(following.bytes_per_second),
                ..HAClientRuntimeInfo::default()
            },
            ..HARuntimeInfo::default()
        });
    }
    let slaves = broker.slaves.status(log_end);
    let in_sync = slaves.iter().filter(|slave| slave.is_in_sync).count();
    call.success_json(&HARuntimeInfo {
        master: true,
        master_commit_log_max_offset: log_end,
        in_sync_slave_nums: i32::try_from(in_sync).unwrap_or(i32::MAX),
        ha_connection_info: slaves.into_iter().map(connection).collect(),
        ..HARuntimeInfo::default()
    })
}

fn connection(slave: SlaveStatus) -> HAConnectionRuntimeInfo {
    HAConnectionRuntimeInfo {
        addr: slave.address.to_string(),
        diff: slave.behind,
        in_sync: slave.is_in_sync,
        slave_ack_offset: slave.acked,
        transfer_from_where: slave.sent,
        transferred_byte_in_second: saturating(slave.bytes_per_second),
    }
}

fn saturating(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// NOTIFY_MIN_BROKER_ID_CHANGE (905): a name server says that a broker of the group came or went.
pub(crate) fn smallest_id(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: NotifyMinBrokerIdChangeRequestHeader<'_>,
) -> Result<Reply, Failure> {
    if let (Some(id), Some(addr)) = (header.min_broker_id, header.min_broker_addr) {
        members::notified(broker, id, addr, (header.offline_broker_addr, header.ha_broker_addr));
    }
    Ok(call.success())
}

/// EXCHANGE_BROKER_HA_INFO (906).
pub(crate) fn exchange(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ExchangeHAInfoRequestHeader<'_>,
) -> Result<Reply, Failure> {
    if let Some(ha_address) = header.master_ha_address {
        if broker.is_slave() {
            broker.outer.set_log_master(broker, header.master_address.unwrap_or_default(), ha_address);
        }
        return Ok(call.success());
    }
    if broker.is_slave() {
        return Ok(call.success());
    }
    let answer = ExchangeHAInfoResponseHeader {
        master_ha_address: Some(broker.outer.ha_server_addr()),
        master_flush_offset: Some(broker.store.watermarks().flushed.value()),
        master_address: Some(broker.outer.broker_addr()),
    };
    Ok(call.success_with(&answer))
}
