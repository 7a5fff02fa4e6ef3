//! A broker whose disk, or whose client, does not come to an end: what waits for it is bounded, others are served, and what
//! was refused as busy was not done.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::sync::Arc;
use std::time::Duration;

use raptormq_config::BrokerSettings;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::*;
use raptormq_protocol::heartbeat::{HeartbeatData, ProducerData};
use raptormq_protocol::message::sys_flag;
use raptormq_remoting::{Client, ClientOptions, Connection, Inbound, Output, Response};
use raptormq_store::disk::memory::MemoryDisk;
use support::*;

const OVERLOAD: &str = "[OVERLOAD]system busy, start flow control for a while";
/// How long a request may wait where that is tried: longer than it takes to ask another one on a busy machine.
const WAIT_MS: u64 = 3000;
const WAITED: &str = "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: ";

/// A broker with one thread and one place for each family, whose disk can be stopped.
fn narrow(change: impl FnOnce(&mut BrokerSettings)) -> (Rig, MemoryDisk) {
    let disk = MemoryDisk::default();
    let folder = tempfile::TempDir::new().unwrap();
    let mut settings = settings(&folder);
    let broker = &mut settings.broker;
    (broker.end_transaction_thread_pool_nums, broker.end_transaction_pool_queue_capacity) = (1, 1);
    (broker.pull_message_thread_pool_nums, broker.pull_thread_pool_queue_capacity) = (1, 1);
    (broker.lite_pull_message_thread_pool_nums, broker.lite_pull_thread_pool_queue_capacity) = (1, 1);
    (broker.send_message_thread_pool_nums, broker.send_thread_pool_queue_capacity) = (1, 1);
    broker.wait_time_mills_in_transaction_queue = 60_000;
    broker.wait_time_mills_in_send_queue = 60_000;
    broker.wait_time_mills_in_pull_queue = 60_000;
    broker.wait_time_mills_in_lite_pull_queue = 60_000;
    change(&mut settings);
    (Rig::on(settings, Arc::new(disk.clone())), disk)
}

/// Waits until so many requests of a lane wait for a thread.
async fn waiting(peer: &Peer, key: &str, count: &str) {
    while peer.runtime().await[key] != count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Asks three times: the first one has the thread, the second one the place, and the third one is refused. `freed` says
/// what becomes of the second.
async fn crowd<F: Future<Output = Response>>(
    (peer, disk, key): (&Peer, &MemoryDisk, &str),
    ask: impl Fn(usize) -> F,
    free: impl Future<Output = ()>,
) -> [Response; 3] {
    peer.runtime().await;
    disk.set_cold(true);
    disk.set_stalled(true);
    let watching = async {
        let is_taken = std::cell::Cell::new(false);
        let third = async {
            while !is_taken.get() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            waiting(peer, key, "1").await;
            // Others are served on the same connection.
            let header = GetMaxOffsetRequestHeader { topic: "T", ..GetMaxOffsetRequestHeader::default() };
            assert_eq!(peer.get(RequestCode::GET_MAX_OFFSET, &header).await.code, ResponseCode::SUCCESS);
            let refused = ask(2).await;
            free.await;
            disk.set_stalled(false);
            refused
        };
        let second = async {
            // The first one was said before on the same connection, so the thread has taken it.
            waiting(peer, key, "0").await;
            is_taken.set(true);
            ask(1).await
        };
        tokio::join!(second, third)
    };
    let (first, (second, third)) = tokio::join!(ask(0), watching);
    disk.set_cold(false);
    [first, second, third]
}

async fn half(peer: &Peer, body: &str) -> EndTransactionRequestHeader<'static> {
    let message = Message::new("T").property("TRAN_MSG", "true").property("PGROUP", "producers");
    let message = Message { sys_flag: sys_flag::TRANSACTION_PREPARED, ..message };
    let sent = peer.ask(message.request(body)).await;
    let header: SendMessageResponseHeader<'_> = sent.header().unwrap();
    EndTransactionRequestHeader {
        producer_group: "producers",
        tran_state_table_offset: header.queue_offset,
        commit_log_offset: i64::from_str_radix(&header.msg_id[16..], 16).unwrap(),
        commit_or_rollback: sys_flag::TRANSACTION_COMMIT,
        msg_id: "k",
        ..EndTransactionRequestHeader::default()
    }
}

#[tokio::test]
async fn an_end_that_is_refused_has_ended_nothing() {
    let (mut rig, disk) = narrow(|_| ());
    let peer = rig.peer();
    peer.send("T", "before").await;
    let mut halves = Vec::new();
    for body in ["one", "two", "three"] {
        halves.push(half(&peer, body).await);
    }
    // What was written recently counts as being in memory.
    rig.restart().await;
    let peer = rig.peer();
    let end = |number: usize| peer.get(RequestCode::END_TRANSACTION, &halves[number]);
    let [first, second, third] = crowd((&peer, &disk, "EndTransactionQueueSize"), end, async {}).await;
    assert_eq!((first.code, second.code), (ResponseCode::SUCCESS, ResponseCode::SUCCESS));
    assert_refused(&third, ResponseCode::SYSTEM_BUSY, OVERLOAD);
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["before", "one", "two"]);
    // It is still to be ended, and once only, and what is ended survives.
    for _ in 0..2 {
        assert_eq!(end(2).await.code, ResponseCode::SUCCESS);
    }
    rig.restart().await;
    let peer = rig.peer();
    for half in &halves {
        assert_eq!(peer.get(RequestCode::END_TRANSACTION, half).await.code, ResponseCode::SUCCESS);
    }
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["before", "one", "two", "three"]);
}

#[tokio::test]
async fn what_has_waited_too_long_is_refused_and_not_done() {
    let (mut rig, disk) = narrow(|settings| settings.broker.wait_time_mills_in_transaction_queue = WAIT_MS);
    let peer = rig.peer();
    peer.send("T", "before").await;
    let halves = [half(&peer, "one").await, half(&peer, "two").await, half(&peer, "three").await];
    rig.restart().await;
    let peer = rig.peer();
    let end = |number: usize| peer.get(RequestCode::END_TRANSACTION, &halves[number]);
    let key = "EndTransactionQueueSize";
    // The thread is busy all the time that the second one waits.
    let [first, second, third] = crowd((&peer, &disk, key), end, waiting(&peer, key, "0")).await;
    assert_eq!((first.code, third.code), (ResponseCode::SUCCESS, ResponseCode::SYSTEM_BUSY));
    assert_eq!(second.code, ResponseCode::SYSTEM_BUSY);
    let remark = second.remark.unwrap();
    let (period, left) = remark.strip_prefix(WAITED).unwrap().split_once("ms, size of queue: ").unwrap();
    assert!(period.parse::<u64>().unwrap() >= WAIT_MS && left == "0", "{remark}");
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["before", "one"]);
}

#[tokio::test]
async fn a_message_given_back_that_is_refused_is_not_stored() {
    let (mut rig, disk) = narrow(|_| ());
    let peer = rig.peer();
    for body in ["one", "two", "three"] {
        peer.send("T", body).await;
    }
    let offsets: Vec<i64> =
        messages(&peer.pull(Pull::new("T", 0)).await).iter().map(|message| message.commit_log_offset).collect();
    rig.restart().await;
    let peer = rig.peer();
    let back = |number: usize| {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: offsets[number],
            group: "g",
            delay_level: -1,
            ..ConsumerSendMsgBackRequestHeader::default()
        };
        let peer = &peer;
        async move { peer.get(RequestCode::CONSUMER_SEND_MSG_BACK, &header).await }
    };
    let [first, second, third] = crowd((&peer, &disk, "sendThreadPoolQueueSize"), back, async {}).await;
    assert_eq!((first.code, second.code), (ResponseCode::SUCCESS, ResponseCode::SUCCESS));
    assert_refused(&third, ResponseCode::SYSTEM_BUSY, OVERLOAD);
    assert_eq!(bodies(&peer.pull(Pull::new("%DLQ%g", 0)).await), ["one", "two"]);
}

#[tokio::test]
async fn pulls_of_both_kinds_wait_apart() {
    let (mut rig, disk) = narrow(|settings| settings.broker.wait_time_mills_in_pull_queue = WAIT_MS);
    let peer = rig.peer();
    peer.send("T", "one").await;
    rig.restart().await;
    let peer = rig.peer();
    let pull = |_| peer.pull(Pull::new("T", 0));
    let [first, second, third] =
        crowd((&peer, &disk, "pullThreadPoolQueueSize"), pull, waiting(&peer, "pullThreadPoolQueueSize", "0")).await;
    assert_eq!(bodies(&first), ["one"]);
    assert!(second.remark.unwrap().starts_with(WAITED));
    assert_refused(&third, ResponseCode::SYSTEM_BUSY, OVERLOAD);
    let header = Pull::new("T", 0).header();
    let lite = |_| peer.get(RequestCode::LITE_PULL_MESSAGE, &header);
    let plain = async { assert_eq!(peer.runtime().await["pullThreadPoolQueueSize"], "0") };
    let [first, second, third] = crowd((&peer, &disk, "litePullThreadPoolQueueSize"), lite, plain).await;
    assert_eq!((bodies(&first), bodies(&second)), (vec!["one".to_owned()], vec!["one".to_owned()]));
    assert_refused(&third, ResponseCode::SYSTEM_BUSY, OVERLOAD);
}

/// A client that takes what is handed over, and never says so.
struct Silent;

impl Inbound for Silent {
    fn handle(&self, _server: &Connection, _request: &Command<'_>, _out: &mut Output) {}
}

#[tokio::test]
async fn a_reply_that_is_refused_is_neither_stored_nor_handed_over() {
    let rig = Rig::with(|settings| settings.broker.reply_thread_pool_queue_capacity = 1);
    let (peer, silent) = (rig.peer(), Client::new(ClientOptions::default(), Arc::new(Silent)));
    let address = format!("127.0.0.1:{}", rig.settings.server.listen_port);
    let data = HeartbeatData {
        client_id: "asker".into(),
        producer_data_set: vec![ProducerData { group_name: "askers".into() }],
        ..HeartbeatData::default()
    };
    silent.call(&address, heartbeat_request(&data), LONG).await.unwrap();
    let reply = |body: &'static str| {
        let message = Message::new("Replies").property("REPLY_TO_CLIENT", "asker");
        let mut request = message.request(body);
        request.code = RequestCode::SEND_REPLY_MESSAGE_V2;
        peer.ask(request)
    };
    let (first, ()) = tokio::join!(reply("one"), async {
        // The first one waits for the client.
        let end = GetMaxOffsetRequestHeader { topic: "Replies", ..GetMaxOffsetRequestHeader::default() };
        while offset(&peer.get(RequestCode::GET_MAX_OFFSET, &end).await) < 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_refused(&reply("two").await, ResponseCode::SYSTEM_BUSY, OVERLOAD);
        silent.disconnect(&address);
    });
    assert_eq!(first.remark.as_deref(), Some("push reply message to askerfail."));
    assert_eq!(bodies(&peer.pull(Pull::new("Replies", 0)).await), ["one"]);
}
