//! A master and its slaves: what is copied, what a slave serves and refuses, and what a synchronous master says.

use std::path::Path;

use raptormq_protocol::body::{HARuntimeInfo, KVTable};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::UpdateConsumerOffsetRequestHeader;
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::peer::send_header;
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

const READS: &[(&str, &str)] = &[("slaveReadEnable", "true")];

async fn ha_status(peer: &Peer) -> HARuntimeInfo {
    json::from_slice(&peer.ok(Request::new(RequestCode::GET_BROKER_HA_STATUS)).await.body).unwrap()
}

/// Waits until a slave has the whole log of its master.
async fn in_step(master: &Peer, slave: &Peer) {
    until("the slave has everything", async || {
        let log_end = ha_status(master).await.master_commit_log_max_offset;
        ha_status(slave).await.ha_client_runtime_info.max_offset == log_end
    })
    .await;
}

/// Waits until so many slaves are in sync.
async fn in_sync(master: &Peer, count: i32) {
    until("the slaves are in sync", async || ha_status(master).await.in_sync_slave_nums == count).await;
}

/// The log files of a store, which must not be empty.
fn log_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("commitlog"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.iter().any(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)));
    files
}

async fn send_code(peer: &Peer, topic: &str, body: &'static str) -> ResponseCode {
    let header = send_header("producers", topic);
    peer.call(Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body)).await.code
}

#[tokio::test]
async fn a_slave_has_the_same_bytes_and_serves_them() {
    let mut cluster = Cluster::start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("Old", 2).await;
    for number in 0..50 {
        master.send("Old", number % 2, format!("old {number}")).await;
    }
    let mut slave = cluster.slave(1, READS).await.unwrap();
    let peer = Peer::new(slave.addr());
    in_step(&master, &peer).await;
    for number in 0..50 {
        master.send("Old", number % 2, format!("new {number}")).await;
    }
    in_step(&master, &peer).await;
    let texts = async |peer: &Peer| {
        until("the topic is known", async || peer.pull("Old", 0, 0).await.code == ResponseCode::SUCCESS).await;
        [peer.pull("Old", 0, 0).await.texts(), peer.pull("Old", 1, 0).await.texts()].concat()
    };
    let of_master = texts(&master).await;
    assert_eq!((of_master.len(), texts(&peer).await), (64, of_master));

    slave.stop().await;
    master.send("Old", 0, "while it was away").await;
    slave.start().await.unwrap();
    in_step(&master, &Peer::new(slave.addr())).await;
    slave.stop().await;
    let folder = cluster.store_folder();
    cluster.stop_broker().await;
    assert!(log_of(&folder) == log_of(&slave.store_folder()), "the logs are not the same");
}

#[tokio::test]
async fn a_slave_sends_a_reader_that_is_outside_of_a_queue_to_the_master() {
    let cluster = Cluster::start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    master.send("T", 0, "first").await;
    let at_master = master.pull("T", 0, 9).await;
    assert_eq!((at_master.code, at_master.header.next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, 1));
    let checks = [("slaveReadEnable", "true"), ("offsetCheckInSlave", "true")];
    for (id, settings, code, next_offset) in
        [(1, READS, ResponseCode::PULL_RETRY_IMMEDIATELY, 9), (2, &checks, ResponseCode::PULL_OFFSET_MOVED, 1)]
    {
        let slave = cluster.slave(id, settings).await.unwrap();
        let peer = Peer::new(slave.addr());
        in_step(&master, &peer).await;
        until("the topic is known", async || peer.pull("T", 0, 0).await.code == ResponseCode::SUCCESS).await;
        let pulled = peer.pull("T", 0, 9).await;
        assert_eq!((pulled.code, pulled.header.next_begin_offset), (code, next_offset));
        assert_eq!(pulled.header.suggest_which_broker_id, 0);
        // At the end it waits as anywhere.
        assert_eq!(peer.pull("T", 0, 1).await.header.next_begin_offset, 1);
    }
}

#[tokio::test]
async fn a_slave_copies_topics_groups_and_offsets_and_takes_no_messages() {
    let cluster = Cluster::start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    let slave = cluster.slave(3, READS).await.unwrap();
    let peer = Peer::new(slave.addr());
    master.create_topic("Orders", 3).await;
    master.send("Orders", 2, "one").await;
    master.join("client", "readers", "Orders", "*").await;
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: "readers",
        topic: "Orders",
        queue_id: Some(2),
        commit_offset: Some(1),
    };
    master.ok(Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&header)).await;
    until("offsets are copied", async || peer.consumer_offset("readers", "Orders", 2).await == Some(1)).await;
    assert_eq!(peer.pull("Orders", 2, 0).await.texts(), ["one"]);

    let header = send_header("producers", "Orders");
    let refused = peer.refused(Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body("two")).await;
    let words = "[REJECTREQUEST]system busy, start flow control for a while".to_owned();
    assert_eq!(refused, (ResponseCode::SYSTEM_BUSY, words.clone()));
    let silent = cluster.slave(4, &[]).await.unwrap();
    let pulled = Peer::new(silent.addr()).pull("Orders", 2, 0).await;
    assert_eq!((pulled.code, pulled.remark), (ResponseCode::SYSTEM_BUSY, Some(words)));
    assert_eq!(master.max_offset("Orders", 2).await, 1);
}

#[tokio::test]
async fn a_pull_that_waits_at_a_slave_is_answered_when_the_message_is_copied() {
    let cluster = Cluster::start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    master.send("T", 0, "first").await;
    let slave = cluster.slave(1, READS).await.unwrap();
    let peer = Peer::new(slave.addr());
    until("the topic is known", async || peer.pull("T", 0, 0).await.code == ResponseCode::SUCCESS).await;
    let header = raptormq_protocol::header::PullMessageRequestHeader {
        queue_offset: 1,
        ..raptormq_testkit::peer::held_pull_header("readers", "T", 20_000)
    };
    let waiting = peer.begin(&Request::new(RequestCode::PULL_MESSAGE).header(&header)).await;
    held(&peer, 1).await;
    master.send("T", 0, "second").await;
    let pulled = raptormq_testkit::peer::Pulled::of(waiting.await.unwrap());
    assert_eq!(pulled.texts(), ["second"]);
}

#[tokio::test]
async fn a_synchronous_master_says_whether_a_slave_has_the_message() {
    let cluster = Cluster::builder().set("brokerRole", "SYNC_MASTER").set("slaveTimeout", "300").start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    assert_eq!(send_code(&master, "T", "alone").await, ResponseCode::SLAVE_NOT_AVAILABLE);
    let mut slave = cluster.slave(1, READS).await.unwrap();
    in_sync(&master, 1).await;
    for _ in 0..20 {
        assert_eq!(send_code(&master, "T", "both have it").await, ResponseCode::SUCCESS);
        let log_end = ha_status(&master).await.master_commit_log_max_offset;
        let of_slave = ha_status(&Peer::new(slave.addr())).await.ha_client_runtime_info.max_offset;
        assert_eq!(of_slave, log_end, "it was acknowledged before the slave had it");
    }
    slave.stop().await;
    in_sync(&master, 0).await;
    assert_eq!(send_code(&master, "T", "alone again").await, ResponseCode::SLAVE_NOT_AVAILABLE);
    assert_eq!(master.max_offset("T", 0).await, 22, "messages are stored in any case");
}

#[tokio::test]
async fn with_in_sync_replicas_the_rule_is_that_of_5() {
    let builder = Cluster::builder().set("brokerRole", "SYNC_MASTER").set("slaveTimeout", "300");
    let cluster = builder.set("inSyncReplicas", "3").start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    assert_eq!(send_code(&master, "T", "m").await, ResponseCode::FLUSH_SLAVE_TIMEOUT);
    let _one = cluster.slave(1, READS).await.unwrap();
    in_sync(&master, 1).await;
    assert_eq!(send_code(&master, "T", "m").await, ResponseCode::FLUSH_SLAVE_TIMEOUT);
    let _two = cluster.slave(2, READS).await.unwrap();
    in_sync(&master, 2).await;
    assert_eq!(send_code(&master, "T", "m").await, ResponseCode::SUCCESS);
}

/// Where more was stored meanwhile than the machine keeps in memory: here anything.
#[tokio::test]
async fn a_reader_that_is_far_behind_is_sent_to_the_slave() {
    for (reads, suggested) in [("true", 1), ("false", 0)] {
        let builder = Cluster::builder().set("slaveReadEnable", reads).set("accessMessageInMemoryMaxRatio", "0");
        let cluster = builder.start().await.unwrap();
        let master = Peer::new(cluster.broker_addr());
        master.create_topic("T", 1).await;
        master.send("T", 0, "first").await;
        let pulled = master.pull("T", 0, 0).await;
        assert_eq!((pulled.texts().len(), pulled.header.suggest_which_broker_id), (1, suggested), "{reads}");
        // There is nothing that it could read from there.
        assert_eq!(master.pull("T", 0, 1).await.header.suggest_which_broker_id, 0, "{reads}");
    }
    let cluster = Cluster::builder().set("slaveReadEnable", "true").start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    master.send("T", 0, "first").await;
    assert_eq!(master.pull("T", 0, 0).await.header.suggest_which_broker_id, 0, "it is in memory");
}

/// Messages that brokers have given to consumers.
async fn given_out(peer: &Peer) -> u64 {
    let answer = peer.ok(Request::new(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
    let info: KVTable = json::from_slice(&answer.body).unwrap();
    info.table["msgGetTotalTodayNow"].parse().unwrap()
}

#[tokio::test]
async fn groups_read_on_at_the_slave_and_tell_the_master_when_it_is_back() {
    let mut cluster = Cluster::start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 2).await;
    let slave = cluster.slave(1, READS).await.unwrap();
    let peer = Peer::new(slave.addr());
    let client = client(&cluster).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "T").await;
    let first = send_numbered(&client, "T", 0..10).await;
    assert_eq!(ids_received(&inbox.take(10).await), ids_sent(&first));
    consumer.suspend();
    let second = send_numbered(&client, "T", 10..30).await;
    in_step(&master, &peer).await;
    until("the topic is known", async || peer.pull("T", 0, 0).await.code == ResponseCode::SUCCESS).await;

    cluster.stop_broker().await;
    consumer.resume();
    assert_eq!(ids_received(&inbox.take(20).await), ids_sent(&second));
    // One that begins now gets everything there.
    let before = given_out(&peer).await;
    let mut late = Inbox::new();
    let later = late.consume(&client, "late", "T").await;
    assert_eq!(ids_received(&late.take(30).await), ids_sent(&[first, second].concat()));
    assert!(given_out(&peer).await >= before + 30);

    cluster.restart_broker().await.unwrap();
    let third = send_numbered(&client, "T", 30..40).await;
    assert_eq!(ids_received(&inbox.take(10).await), ids_sent(&third));
    assert_eq!(ids_received(&late.take(10).await), ids_sent(&third));
    consumer.shutdown().await;
    later.shutdown().await;
    assert_eq!((inbox.rest(), late.rest()), (Vec::new(), Vec::new()), "nothing came again");
    assert_consumed(&cluster, "readers", "T", 2).await;
    assert_consumed(&cluster, "late", "T", 2).await;
}
