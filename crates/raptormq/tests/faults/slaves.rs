//! A synchronous master and its slave, each killed under load: what was acknowledged is at whoever is left.

use std::path::Path;
use std::sync::Arc;

use raptormq_protocol::body::HARuntimeInfo;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::Peer;

use crate::common::{Serving, free_port};
use crate::kill::{Goal, Places, TOPIC, everything, send_until_lost};
use crate::{BROKER, start, start_on, until};

/// How replication goes, if the broker says it.
async fn ha_status(peer: &Peer) -> Option<HARuntimeInfo> {
    let answer = peer.try_call(Request::new(RequestCode::GET_BROKER_HA_STATUS)).await.ok()?;
    json::from_slice(&answer.body).ok()
}

async fn in_sync(master: &Peer) {
    let is_so = async || ha_status(master).await.is_some_and(|status| status.in_sync_slave_nums == 1);
    until("the slave is in sync", is_so).await;
}

fn slave(home: &Path, port: u16, settings: &str) -> Serving {
    start_on(home, "broker", port, settings)
}

#[tokio::test]
async fn what_both_have_acknowledged_is_at_the_one_that_is_left() {
    let homes = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_names, names_addr) = start(homes[0].path(), "namesrv", "");
    let common = format!("{}brokerIP2=127.0.0.1\nnamesrvAddr={names_addr}\n", BROKER.replace("8388608", "1048576"));
    let (master_port, slave_port) = (free_port(), free_port());
    let of_master = format!("{common}brokerRole=SYNC_MASTER\ninSyncReplicas=2\nslaveTimeout=30000\n");
    let of_slave = format!("{common}brokerRole=SLAVE\nbrokerId=1\nslaveReadEnable=true\n");
    let master = start_on(homes[1].path(), "broker", master_port, &of_master);
    let first = slave(homes[2].path(), slave_port, &of_slave);
    let address = format!("127.0.0.1:{master_port}");
    let peer = Peer::new(address.clone());
    in_sync(&peer).await;
    let slave_peer = || Peer::new(format!("127.0.0.1:{slave_port}"));

    let goal = Arc::new(Goal::new(300));
    let mut senders = tokio::task::JoinSet::new();
    for lane in 0..16 {
        let peer = Arc::new(Peer::new(address.clone()));
        senders.spawn(send_until_lost(peer, format!("lane {lane}"), Arc::clone(&goal)));
    }
    goal.reached().await;
    // The slave dies in the middle of it; sends wait until it is back.
    first.stop("KILL");
    let second = slave(homes[2].path(), slave_port, &of_slave);
    in_sync(&peer).await;
    let from = ha_status(&peer).await.unwrap().master_commit_log_max_offset;
    until("sends go on", async || {
        ha_status(&peer).await.is_some_and(|status| status.master_commit_log_max_offset > from + 2_000_000)
    })
    .await;
    let knows_topic = async || slave_peer().pull(TOPIC, 0, 0).await.code == ResponseCode::SUCCESS;
    until("the slave knows the topic", knows_topic).await;
    master.stop("KILL");
    let mut acknowledged = Places::new();
    while let Some(sent) = senders.join_next().await {
        acknowledged.extend(sent.unwrap());
    }
    let left = everything(&slave_peer()).await;
    let lost: Vec<_> = acknowledged.iter().filter(|(body, place)| left.get(*body) != Some(place)).collect();
    assert!(lost.is_empty(), "{} of {} lost, among them {:?}", lost.len(), acknowledged.len(), lost.first());
    assert!(acknowledged.len() > 500, "{}", acknowledged.len());

    // The master comes back with more than was acknowledged, and both agree again.
    let master = start_on(homes[1].path(), "broker", master_port, &of_master);
    let peer = Peer::new(address);
    in_sync(&peer).await;
    until("both have the same", async || everything(&peer).await == everything(&slave_peer()).await).await;
    assert_eq!(second.stop("TERM").status, Some(0));
    assert_eq!(master.stop("TERM").status, Some(0));
}
