//! `haStatus`: how far slaves are behind their master.

use raptormq_protocol::body::{HAClientRuntimeInfo, HARuntimeInfo};

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::session::{Session, line, record};
use crate::targets;
use crate::text;

/// Seconds between two times when none are given.
const INTERVAL_S: u64 = 3;
const BYTES_OF_KB: f64 = 1024.0;

pub(crate) const STATUS: Command = Command {
    name: "haStatus",
    about: "Show how far slaves are behind their master",
    kind: Kind::Shows,
    options: &[
        Opt::value("c", "clusterName", "All masters of this cluster"),
        Opt::value("b", "brokerAddr", "The broker, host:port"),
        Opt::number("i", "interval", "Show it again every so many seconds"),
    ],
    run: Run::By(|session, arguments| Box::pin(status(session, arguments))),
};

async fn status(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let interval: Option<u64> = match arguments.get("i") {
        Some("") => Some(INTERVAL_S),
        _ => arguments.number("i")?,
    };
    loop {
        match (arguments.get("b"), arguments.get("c")) {
            (Some(address), _) => print_status(session, address).await?,
            (None, Some(cluster)) => {
                for address in targets::masters(session, cluster).await? {
                    session.go_on(print_status(session, &address).await)?;
                }
            }
            (None, None) => return Err(Failure::Usage),
        }
        if !session.again(interval).await? {
            return Ok(());
        }
    }
}

async fn print_status(session: &Session<'_>, address: &str) -> Result<()> {
    let info = session.admin.ha_status(address).await?;
    record!(session, "address": address, "haStatus": info);
    match info.master {
        true => print_master(session, address, &info),
        false => print_slave(session, &info.ha_client_runtime_info),
    }
}

/// Java: `HAStatusSubCommand.printStatus`.
fn print_master(session: &Session<'_>, address: &str, info: &HARuntimeInfo) -> Result<()> {
    line!(session, "\n#MasterAddr\t{address}");
    line!(session, "#MasterCommitLogMaxOffset\t{}", info.master_commit_log_max_offset);
    line!(session, "#SlaveNum\t{}", info.ha_connection_info.len());
    line!(session, "#InSyncSlaveNum\t{}", info.in_sync_slave_nums);
    line!(
        session,
        "{:<32}  {:<16} {:>16} {:>16} {:>16} {:>16}",
        "#SlaveAddr",
        "#SlaveAckOffset",
        "#Diff",
        "#TransferSpeed(KB/s)",
        "#Status",
        "#TransferFromWhere"
    );
    for slave in &info.ha_connection_info {
        let speed = slave.transferred_byte_in_second as f64 / BYTES_OF_KB;
        let status = if slave.in_sync { "OK" } else { "Fall Behind" };
        let (acked, diff, from) = (slave.slave_ack_offset, slave.diff, slave.transfer_from_where);
        line!(session, "{:<32}  {acked:<16} {diff:>16} {speed:>16.2} {status:>16} {from:>16}", slave.addr);
    }
    Ok(())
}

fn print_slave(session: &Session<'_>, info: &HAClientRuntimeInfo) -> Result<()> {
    line!(session, "\n#MasterAddr\t{}", info.master_addr.as_deref().unwrap_or("null"));
    line!(session, "#CommitLogMaxOffset\t{}", info.max_offset);
    line!(session, "#TransferSpeed(KB/s)\t{:.2}", info.transferred_byte_in_second as f64 / BYTES_OF_KB);
    line!(session, "#LastReadTime\t{}", text::time_ms(info.last_read_timestamp));
    line!(session, "#LastWriteTime\t{}", text::time_ms(info.last_write_timestamp));
    line!(session, "#MasterFlushOffset\t{}", info.master_flush_offset);
    Ok(())
}
