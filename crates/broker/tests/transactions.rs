//! Transactions, and replies to request messages. What is expected was recorded from RocketMQ 5.3.3.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raptormq_config::BrokerSettings;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::message::{MessageExt, sys_flag};
use raptormq_remoting::Response;
use raptormq_store::disk::memory::{MemoryDisk, Plan};
use support::*;

const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const GIVEN_UP: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// A broker that asks early and often.
fn hasty() -> Rig {
    Rig::with(|settings| {
        settings.broker.transaction_check_interval = 50;
        settings.broker.transaction_time_out = 100;
    })
}

fn half(key: &str) -> Message {
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut message = Message::new("T").queue(2).property("TRAN_MSG", "true").property("PGROUP", "producers");
    message.properties[0].1 = key.into();
    Message { sys_flag: sys_flag::TRANSACTION_PREPARED, born_timestamp_ms: now_ms, ..message }
}

/// What a producer learns of its half.
struct Sent {
    queue_offset: i64,
    log_offset: i64,
}

async fn send_half(peer: &Peer, key: &str) -> Sent {
    let sent = peer.ask(half(key).request(key)).await;
    assert_eq!(sent.code, ResponseCode::SUCCESS, "{:?}", sent.remark);
    let header: SendMessageResponseHeader<'_> = sent.header().unwrap();
    assert_eq!((header.queue_id, header.transaction_id), (2, Some(key)));
    let log_offset = i64::from_str_radix(&header.msg_id[16..], 16).unwrap();
    Sent { queue_offset: header.queue_offset, log_offset }
}

fn end_of(sent: &Sent, what: i32) -> EndTransactionRequestHeader<'static> {
    EndTransactionRequestHeader {
        producer_group: "producers",
        tran_state_table_offset: sent.queue_offset,
        commit_log_offset: sent.log_offset,
        commit_or_rollback: what,
        msg_id: "k",
        ..EndTransactionRequestHeader::default()
    }
}

async fn end(peer: &Peer, sent: &Sent, what: i32) -> Response {
    peer.get(RequestCode::END_TRANSACTION, &end_of(sent, what)).await
}

async fn at(peer: &Peer, topic: &str, queue_id: i32) -> Vec<MessageExt> {
    messages(&peer.pull(Pull { queue_id, ..Pull::new(topic, 0) }).await)
}

async fn until<F: Future<Output = bool>>(what: &str, is_true: impl Fn() -> F) {
    let deadline = Instant::now() + LONG;
    while !is_true().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_half_is_seen_when_it_is_committed_and_never_when_it_is_rolled_back() {
    let rig = Rig::new();
    let peer = rig.peer();
    let (first, second) = (send_half(&peer, "one").await, send_half(&peer, "two").await);
    assert_eq!((first.queue_offset, second.queue_offset), (0, 1));
    assert!(at(&peer, "T", 2).await.is_empty());
    let stored = at(&peer, HALF, 0).await;
    let of = |message: &MessageExt, name: &str| message.property(name).unwrap_or("-").to_owned();
    for (name, value) in [("REAL_TOPIC", "T"), ("REAL_QID", "2"), ("TRAN_MSG", "true"), ("__transactionId__", "one")] {
        assert_eq!(of(&stored[0], name), value, "{name}");
    }
    assert_eq!(stored[0].sys_flag, 0);

    let ended = end(&peer, &second, sys_flag::TRANSACTION_ROLLBACK).await;
    assert_eq!((ended.code, ended.remark.as_deref()), (ResponseCode::SUCCESS, None));
    for _ in 0..2 {
        assert_eq!(end(&peer, &first, sys_flag::TRANSACTION_COMMIT).await.code, ResponseCode::SUCCESS);
    }
    let committed = at(&peer, "T", 2).await;
    assert_eq!(committed.len(), 1, "saying so twice does not deliver twice");
    let message = &committed[0];
    assert_eq!((&message.body[..], message.queue_offset), (&b"one"[..], 0));
    assert_eq!(
        (message.sys_flag, message.prepared_transaction_offset),
        (sys_flag::TRANSACTION_COMMIT, first.log_offset)
    );
    for (name, value) in [("REAL_TOPIC", "T"), ("REAL_QID", "2"), ("TRAN_MSG", "true"), ("UNIQ_KEY", "one")] {
        assert_eq!(of(message, name), value, "{name}");
    }
    let ops = at(&peer, OP, 0).await;
    let ops: Vec<_> = ops.iter().map(|op| (String::from_utf8_lossy(&op.body).into_owned(), op.tags())).collect();
    assert_eq!(ops, [("1,".to_owned(), Some("d")), ("0,".to_owned(), Some("d"))]);
}

#[tokio::test]
async fn wrong_ends_are_refused_in_the_originals_words() {
    let rig = Rig::new();
    let peer = rig.peer();
    let sent = send_half(&peer, "one").await;
    let plain = peer.send("T", "plain").await;
    let plain: SendMessageResponseHeader<'_> = plain.header().unwrap();
    let plain_offset = i64::from_str_radix(&plain.msg_id[16..], 16).unwrap();
    let right = end_of(&sent, sys_flag::TRANSACTION_COMMIT);
    let cases = [
        (EndTransactionRequestHeader { producer_group: "other", ..right.clone() }, "The producer group wrong"),
        (
            EndTransactionRequestHeader { tran_state_table_offset: 777, ..right.clone() },
            "The transaction state table offset wrong",
        ),
        (
            EndTransactionRequestHeader { commit_log_offset: 99_999_999, ..right.clone() },
            "Find prepared transaction message failed",
        ),
        (
            EndTransactionRequestHeader { commit_log_offset: sent.log_offset + 1, ..right.clone() },
            "Find prepared transaction message failed",
        ),
        (
            EndTransactionRequestHeader { commit_log_offset: plain_offset, ..right.clone() },
            "Find prepared transaction message failed",
        ),
        (EndTransactionRequestHeader { commit_or_rollback: 5, ..right.clone() }, "commitOrRollback field wrong"),
    ];
    for (header, remark) in cases {
        let refused = peer.get(RequestCode::END_TRANSACTION, &header).await;
        assert_refused(&refused, ResponseCode::SYSTEM_ERROR, remark);
    }
    assert!(at(&peer, "T", 2).await.is_empty() && at(&peer, OP, 0).await.is_empty());
}

#[tokio::test]
async fn a_producer_is_asked_for_what_it_left_open() {
    let rig = hasty();
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    let sent = send_half(&peer, "one").await;
    let asked = peer.asked().await;
    let header: CheckTransactionStateRequestHeader<'_> = asked.header().unwrap();
    assert_eq!((header.topic, header.msg_id, header.transaction_id), (HALF, Some("one"), Some("one")));
    assert_eq!((header.broker_name, header.tran_state_table_offset), (Some("broker-a"), 1));
    let id = header.offset_msg_id.unwrap();
    assert_eq!(i64::from_str_radix(&id[16..], 16).unwrap(), header.commit_log_offset);
    let (message, _) = MessageExt::decode(&asked.body, 1 << 20).unwrap();
    assert_eq!((message.topic.as_str(), message.queue_id, &message.body[..]), ("T", 2, &b"one"[..]));
    assert_eq!((message.queue_offset, message.commit_log_offset), (1, header.commit_log_offset));
    assert_eq!(message.property("TRANSACTION_CHECK_TIMES"), Some("1"));

    // An answer to the first form, which is on its way, ends the one that was asked for.
    assert_eq!(end(&peer, &sent, sys_flag::TRANSACTION_COMMIT).await.code, ResponseCode::SUCCESS);
    assert_eq!(at(&peer, "T", 2).await.len(), 1);
    let again = Sent { queue_offset: header.tran_state_table_offset, log_offset: header.commit_log_offset };
    assert_eq!(end(&peer, &again, sys_flag::TRANSACTION_COMMIT).await.code, ResponseCode::SUCCESS);
    assert_eq!(at(&peer, "T", 2).await.len(), 1);
}

#[tokio::test]
async fn who_does_not_answer_is_asked_so_often_and_then_given_up_and_others_are_not_held_up() {
    let rig = Rig::with(|settings| {
        settings.broker.transaction_check_interval = 30;
        settings.broker.transaction_time_out = 50;
        settings.broker.transaction_check_max = 2;
    });
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    // A half of a group that nobody is in, and one without a group.
    let stranger = Message { properties: vec![("UNIQ_KEY", "bad".into()), ("TRAN_MSG", "true".into())], ..half("bad") };
    assert_eq!(peer.ask(stranger.request("bad")).await.code, ResponseCode::SUCCESS);
    send_half(&peer, "one").await;
    for times in ["1", "2"] {
        let (message, _) = MessageExt::decode(&peer.asked().await.body, 1 << 20).unwrap();
        assert_eq!((message.property("TRANSACTION_CHECK_TIMES"), &message.body[..]), (Some(times), &b"one"[..]));
    }
    until("both are given up", || async { at(&peer, GIVEN_UP, 0).await.len() == 2 }).await;
    let given_up = at(&peer, GIVEN_UP, 0).await;
    assert_eq!(given_up.iter().map(|message| &message.body[..]).collect::<Vec<_>>(), [&b"bad"[..], b"one"]);
    assert!(at(&peer, "T", 2).await.is_empty());

    // An administrator may have the producer asked again, for what was given up only.
    let resume = async |id: &str| {
        let header = ResumeCheckHalfMessageRequestHeader { topic: Some(GIVEN_UP), msg_id: Some(id) };
        peer.get(RequestCode::RESUME_CHECK_HALF_MESSAGE, &header).await
    };
    let half = at(&peer, HALF, 0).await.remove(0);
    for wrong in ["x", &half.msg_id] {
        let remark = "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.";
        assert_refused(&resume(wrong).await, ResponseCode::SYSTEM_ERROR, remark);
    }
    assert_eq!(resume(&given_up[1].msg_id).await.code, ResponseCode::SUCCESS);
    let (message, _) = MessageExt::decode(&peer.asked().await.body, 1 << 20).unwrap();
    assert_eq!((message.property("TRANSACTION_CHECK_TIMES"), &message.body[..]), (Some("1"), &b"one"[..]));
    let open = Sent { queue_offset: message.queue_offset, log_offset: message.commit_log_offset };
    assert_eq!(end(&peer, &open, sys_flag::TRANSACTION_COMMIT).await.code, ResponseCode::SUCCESS);
    assert_eq!(at(&peer, "T", 2).await.len(), 1);
}

#[tokio::test]
async fn a_producers_own_time_counts() {
    let rig = hasty();
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    let message = half("one").property("CHECK_IMMUNITY_TIME_IN_SECONDS", "2");
    let started = Instant::now();
    let sent = peer.ask(message.request("one")).await;
    let header: SendMessageResponseHeader<'_> = sent.header().unwrap();
    let log_offset = i64::from_str_radix(&header.msg_id[16..], 16).unwrap();
    let sent = Sent { queue_offset: header.queue_offset, log_offset };
    let (message, _) = MessageExt::decode(&peer.asked().await.body, 1 << 20).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(1_900), "{:?}", started.elapsed());
    assert_eq!(message.property("TRAN_PREPARED_QUEUE_OFFSET"), Some("0"));
    let late = end(&peer, &sent, sys_flag::TRANSACTION_COMMIT).await;
    assert_eq!(late.code, ResponseCode::ILLEGAL_OPERATION);
}

#[tokio::test]
async fn open_and_ended_transactions_survive_restarts() {
    let mut rig = Rig::with(|settings| {
        settings.broker.transaction_check_interval = 100;
        settings.broker.transaction_time_out = 3_000;
    });
    let peer = rig.peer();
    let mut sent = Vec::new();
    for key in ["one", "two", "three"] {
        sent.push(send_half(&peer, key).await);
    }
    end(&peer, &sent[0], sys_flag::TRANSACTION_COMMIT).await;
    end(&peer, &sent[2], sys_flag::TRANSACTION_ROLLBACK).await;
    rig.restart().await;
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    let (message, _) = MessageExt::decode(&peer.asked().await.body, 1 << 20).unwrap();
    assert_eq!(&message.body[..], b"two", "the others were ended");
    let open = Sent { queue_offset: message.queue_offset, log_offset: message.commit_log_offset };
    assert_eq!(end(&peer, &open, sys_flag::TRANSACTION_COMMIT).await.code, ResponseCode::SUCCESS);
    rig.restart().await;
    let peer = rig.peer();
    let bodies: Vec<_> = at(&peer, "T", 2).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [&b"one"[..], b"two"]);
    until("all halves are done", || async {
        rig.kept("consumerOffset.json").contains("RMQ_SYS_TRANS_HALF_TOPIC@CID_RMQ_SYS_TRANS")
    })
    .await;
}

#[tokio::test]
async fn a_reply_goes_to_the_client_that_waits() {
    let rig = Rig::new();
    let (asker, answerer) = (rig.peer(), rig.peer());
    asker.heartbeat("asker", &[]).await;
    let reply = async |client: Option<&str>| {
        let mut message = Message::new("DefaultCluster_REPLY_TOPIC").property("CORRELATION_ID", "c1");
        if let Some(client) = client {
            message = message.property("REPLY_TO_CLIENT", client);
        }
        let request = message.request("pong");
        answerer.ask(raptormq_remoting::Request { code: RequestCode::SEND_REPLY_MESSAGE_V2, ..request }).await
    };
    let answer = reply(Some("asker")).await;
    assert_eq!((answer.code, answer.remark.as_deref()), (ResponseCode::SUCCESS, None));
    let header: SendMessageResponseHeader<'_> = answer.header().unwrap();
    assert_eq!((header.queue_id, header.queue_offset, header.msg_id.len()), (0, 0, 32));
    let pushed = asker.asked().await;
    assert_eq!(&pushed.body[..], b"pong");
    let text = pushed.fields.get("properties").unwrap();
    let properties = raptormq_protocol::message::properties::Properties(text);
    assert_eq!((properties.get("CORRELATION_ID"), properties.get("PUSH_REPLY_TIME").is_some()), (Some("c1"), true));

    let refused = reply(Some("nobody")).await;
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, "push reply message fail, channel of <nobody> not found.");
    let refused = reply(None).await;
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, "reply message properties[REPLY_TO_CLIENT] is null");
    assert_eq!(bodies(&answerer.pull(Pull::new("DefaultCluster_REPLY_TOPIC", 0)).await), ["pong"; 3]);
}

/// Every step of two transactions, and the death of the process between any two of them.
#[tokio::test]
async fn a_transaction_survives_the_death_of_the_process_between_any_two_steps() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut settings = settings(&folder);
    settings.broker.transaction_check_interval = 20;
    settings.broker.transaction_time_out = 0;
    let disk = Arc::new(MemoryDisk::default());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut rig = Rig::on(settings.clone(), disk.clone());
    let peer = rig.peer();
    let shown = Arc::clone(&acknowledged);
    disk.record(move || shown.load(Ordering::SeqCst));
    for (key, what) in [("one", sys_flag::TRANSACTION_COMMIT), ("two", sys_flag::TRANSACTION_ROLLBACK)] {
        let sent = send_half(&peer, key).await;
        acknowledged.fetch_add(1, Ordering::SeqCst);
        assert_eq!(end(&peer, &sent, what).await.code, ResponseCode::SUCCESS);
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    let trace = disk.recorded();
    rig.stop().await;

    let mut images = Vec::new();
    let plan = Plan { kind_max: 0, drawn: 0, ..Plan::default() };
    trace.images(&plan, &mut |image| {
        if image.is_whole {
            images.push((image.stamp, image.disk()));
        }
        true
    });
    assert!(images.len() >= 5, "{}", images.len());
    for (stamp, image) in images {
        check_after_death(settings.clone(), stamp, image).await;
    }
}

/// What was acknowledged is there, and what is open is asked for; nothing is delivered twice.
async fn check_after_death(settings: BrokerSettings, stamp: u64, image: MemoryDisk) {
    let mut rig = Rig::on(settings, Arc::new(image));
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    let halves = at(&peer, HALF, 0).await;
    let ended: Vec<String> =
        at(&peer, OP, 0).await.iter().map(|op| String::from_utf8_lossy(&op.body).into_owned()).collect();
    let delivered = at(&peer, "T", 2).await.len();
    let first_halves = halves.iter().filter(|half| half.property("TRANSACTION_CHECK_TIMES").is_none()).count();
    assert!(first_halves as u64 >= stamp.div_ceil(2), "{stamp}: {first_halves} halves");
    assert!(delivered <= 1 && (delivered == 1 || stamp < 2), "{stamp}: {delivered} delivered");
    assert!(!ended.iter().any(|offsets| offsets == "0,") || delivered == 1, "{stamp}: ended without its message");
    assert!(ended.len() as u64 >= stamp / 2, "{stamp}: {ended:?}");
    // Whatever is open is asked for, and nothing else.
    let open = first_halves.saturating_sub(ended.len());
    if open > 0 {
        let (message, _) = MessageExt::decode(&peer.asked().await.body, 1 << 20).unwrap();
        let expected: &[u8] = if first_halves == 1 { b"one" } else { b"two" };
        assert_eq!(&message.body[..], expected, "{stamp}");
    } else {
        tokio::time::sleep(Duration::from_millis(80)).await;
        let again = at(&peer, HALF, 0).await.len();
        assert_eq!(again, halves.len(), "{stamp}: what was ended is asked for");
    }
    rig.stop().await;
}

/// What the checks store again survives, too: one half that is asked for and then committed, one that is given up.
#[tokio::test]
async fn halves_that_are_asked_for_survive_the_death_of_the_process_between_any_two_steps() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut settings = settings(&folder);
    settings.broker.transaction_check_interval = 20;
    settings.broker.transaction_time_out = 0;
    settings.broker.transaction_check_max = 2;
    let disk = Arc::new(MemoryDisk::default());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut rig = Rig::on(settings.clone(), disk.clone());
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    let shown = Arc::clone(&acknowledged);
    disk.record(move || shown.load(Ordering::SeqCst));
    for key in ["one", "two"] {
        send_half(&peer, key).await;
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    commit_when_asked(&peer, b"one", LONG).await;
    acknowledged.fetch_add(1, Ordering::SeqCst);
    until("the other is given up", || async { has(&peer, GIVEN_UP, b"two").await }).await;
    let trace = disk.recorded();
    rig.stop().await;

    let mut images = Vec::new();
    trace.images(&Plan { kind_max: 0, drawn: 0, ..Plan::default() }, &mut |image| {
        if image.is_whole {
            images.push((image.stamp, image.disk()));
        }
        true
    });
    assert!(images.len() >= 8, "{}", images.len());
    for (stamp, image) in images {
        check_asked_after_death(settings.clone(), stamp, image).await;
    }
}

async fn has(peer: &Peer, topic: &str, body: &[u8]) -> bool {
    at(peer, topic, 0).await.iter().any(|message| &message.body[..] == body)
}

/// Answers the next questions for that half with a commit; `false` when none comes in that time.
async fn commit_when_asked(peer: &Peer, body: &[u8], within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let Ok(asked) = tokio::time::timeout(left, peer.asked()).await else { return false };
        let header: CheckTransactionStateRequestHeader<'_> = asked.header().unwrap();
        let (message, _) = MessageExt::decode(&asked.body, 1 << 20).unwrap();
        if &message.body[..] == body {
            let open = Sent { queue_offset: header.tran_state_table_offset, log_offset: header.commit_log_offset };
            assert_eq!(end(peer, &open, sys_flag::TRANSACTION_COMMIT).await.code, ResponseCode::SUCCESS);
            return true;
        }
    }
    false
}

/// The committed half is delivered once, the other one given up, if they were stored at all. Only a message whose end was
/// not noted any more may come twice, as from the original.
async fn check_asked_after_death(settings: BrokerSettings, stamp: u64, image: MemoryDisk) {
    let mut rig = Rig::on(settings, Arc::new(image));
    let peer = rig.peer();
    // Before the first half is acknowledged, the topic may not be kept yet.
    assert_eq!(peer.send("T", "plain").await.code, ResponseCode::SUCCESS);
    let (has_one, has_two) = (has(&peer, HALF, b"one").await, has(&peer, HALF, b"two").await);
    assert!((has_one || stamp < 1) && (has_two || stamp < 2), "{stamp}: an acknowledged half is lost");
    let delivered = at(&peer, "T", 2).await.len();
    assert!(delivered <= 1 && (delivered == 1 || stamp < 3), "{stamp}: {delivered} delivered");
    let is_noted = !at(&peer, OP, 0).await.is_empty();
    assert!(is_noted || stamp < 3, "{stamp}: an acknowledged end is lost");
    peer.heartbeat("p1", &[]).await;
    if has_one && delivered == 0 {
        assert!(commit_when_asked(&peer, b"one", LONG).await, "{stamp}: nobody asks");
    }
    if has_two {
        until("it is given up", || async { has(&peer, GIVEN_UP, b"two").await }).await;
    }
    // Questions that were on their way are answered again; that delivers nothing.
    while commit_when_asked(&peer, b"one", Duration::from_millis(80)).await {}
    let in_the_end = at(&peer, "T", 2).await.len();
    let may_repeat = delivered == 1 && !is_noted;
    assert!(in_the_end == usize::from(has_one) || (may_repeat && in_the_end == 2), "{stamp}: {in_the_end} delivered");
    rig.stop().await;
}
