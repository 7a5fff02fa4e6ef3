//! Delayed messages, and messages that consumers give back. What is expected was recorded from RocketMQ 5.3.3.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use raptormq_protocol::body::{DelayOffsetSerializeWrapper, SubscriptionGroupConfig};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_remoting::{Request, Response};
use support::*;

/// The messages at the start of a queue, once there are so many.
async fn wait_for(peer: &Peer, topic: &str, queue_id: i32, count: usize) -> Vec<MessageExt> {
    let deadline = Instant::now() + LONG;
    loop {
        let pulled = peer.pull(Pull { queue_id, ..Pull::new(topic, 0).waiting(5_000) }).await;
        let found = messages(&pulled);
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "{topic} has {} messages", found.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn properties_of(message: &MessageExt, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| message.property(name).unwrap_or("-").to_owned()).collect()
}

async fn give_back(peer: &Peer, message: &MessageExt, group: &str, level: i32) -> Response {
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.commit_log_offset,
        group,
        delay_level: level,
        max_reconsume_times: Some(2),
        ..ConsumerSendMsgBackRequestHeader::default()
    };
    peer.get(RequestCode::CONSUMER_SEND_MSG_BACK, &header).await
}

#[tokio::test]
async fn a_delayed_message_waits_in_its_levels_queue_and_comes_on_time() {
    let rig = Rig::with(|settings| settings.store.message_delay_level = "1s 1h".into());
    let peer = rig.peer();
    for (level, kept_level, queue) in [("1", "1", 0), ("2", "2", 1), ("99", "2", 1)] {
        let message = Message::new("T").queue(1).property("TAGS", "a").property("DELAY", level);
        let sent = peer.ask(message.request(level)).await;
        let header: SendMessageResponseHeader<'_> = sent.header().unwrap();
        assert_eq!((sent.code, header.queue_id), (ResponseCode::SUCCESS, 1), "{:?}", sent.remark);
        let waiting = wait_for(&peer, "SCHEDULE_TOPIC_XXXX", queue, 1).await;
        let message = waiting.last().unwrap();
        let properties = properties_of(message, &["REAL_TOPIC", "REAL_QID", "DELAY", "TAGS"]);
        assert_eq!(properties, ["T", "1", kept_level, "a"]);
    }
    let delivered = &wait_for(&peer, "T", 1, 1).await[0];
    let waited = &wait_for(&peer, "SCHEDULE_TOPIC_XXXX", 0, 1).await[0];
    let late_ms = delivered.store_timestamp_ms - waited.store_timestamp_ms - 1_000;
    assert!((0..500).contains(&late_ms), "{late_ms} ms late");
    assert_eq!((&delivered.body[..], delivered.queue_offset), (&b"1"[..], 0));
    let properties = properties_of(delivered, &["REAL_TOPIC", "REAL_QID", "DELAY", "TAGS", "UNIQ_KEY"]);
    assert_eq!(properties, ["T", "1", "1", "a", "7F0000010001"]);
    assert_eq!(delivered.born_host, waited.born_host);
}

#[tokio::test]
async fn delays_go_on_across_restarts() {
    let mut rig = Rig::with(|settings| settings.store.message_delay_level = "1s 2s".into());
    let peer = rig.peer();
    for body in ["one", "two"] {
        assert_eq!(peer.ask(Message::new("T").property("DELAY", "1").request(body)).await.code, ResponseCode::SUCCESS);
    }
    wait_for(&peer, "T", 0, 2).await;
    assert_eq!(peer.ask(Message::new("T").property("DELAY", "2").request("three")).await.code, ResponseCode::SUCCESS);
    rig.restart().await;
    assert!(rig.kept("delayOffset.json").contains("\"offsetTable\":{1:2"), "{}", rig.kept("delayOffset.json"));
    let peer = rig.peer();
    let all = wait_for(&peer, "T", 0, 3).await;
    let bodies: Vec<_> = all.iter().map(|message| String::from_utf8_lossy(&message.body)).collect();
    assert_eq!(bodies, ["one", "two", "three"], "each once");
    assert_eq!(peer.runtime().await["scheduleMessageOffset_1"], "2,2");
    let answer = peer.ask(Request::new(RequestCode::GET_ALL_DELAY_OFFSET)).await;
    let table: DelayOffsetSerializeWrapper = json::from_slice(&answer.body).unwrap();
    assert_eq!(table.offset_table[&1], 2);
}

#[tokio::test]
async fn a_message_that_is_given_back_comes_again_until_it_is_dead() {
    let rig = Rig::with(|settings| settings.store.message_delay_level = "1s 1s 1s 1s".into());
    let peer = rig.peer();
    peer.heartbeat("c1", &[("g", &[("T", "*")])]).await;
    peer.ask(Message::new("T").property("TAGS", "a").request("x")).await;
    let first = wait_for(&peer, "T", 0, 1).await.remove(0);
    let back = give_back(&peer, &first, "g", 0).await;
    assert_eq!((back.code, back.remark.as_deref()), (ResponseCode::SUCCESS, None));

    let names = ["RETRY_TOPIC", "ORIGIN_MESSAGE_ID", "DELAY", "WAIT", "TAGS", "REAL_TOPIC", "REAL_QID"];
    let again = wait_for(&peer, "%RETRY%g", 0, 1).await.remove(0);
    assert_eq!(again.reconsume_times, 1);
    assert_eq!(properties_of(&again, &names), ["T", &first.msg_id, "3", "false", "a", "%RETRY%g", "0"]);

    give_back(&peer, &again, "g", 1).await;
    let again = wait_for(&peer, "%RETRY%g", 0, 2).await.remove(1);
    assert_eq!(properties_of(&again, &names), ["T", &first.msg_id, "1", "false", "a", "%RETRY%g", "0"]);
    give_back(&peer, &again, "g", 1).await;
    let dead = wait_for(&peer, "%DLQ%g", 0, 1).await.remove(0);
    assert_eq!((dead.reconsume_times, dead.born_timestamp_ms), (3, first.born_timestamp_ms));
    assert_eq!(properties_of(&dead, &names), ["T", &first.msg_id, "0", "false", "a", "%RETRY%g", "0"]);

    give_back(&peer, &first, "g", -1).await;
    let dead = wait_for(&peer, "%DLQ%g", 0, 2).await.remove(1);
    assert_eq!((dead.reconsume_times, dead.queue_offset), (1, 1));

    // Counted for the topic that it came from first.
    for (stats_key, code) in [("T@g", ResponseCode::SUCCESS), ("%RETRY%g@g", ResponseCode::SYSTEM_ERROR)] {
        let header = ViewBrokerStatsDataRequestHeader { stats_name: "SNDBCK_PUT_NUMS", stats_key };
        let answer = peer.get(RequestCode::VIEW_BROKER_STATS_DATA, &header).await;
        assert_eq!(answer.code, code, "{stats_key}: {:?}", answer.remark);
    }
}

#[tokio::test]
async fn what_cannot_be_given_back_is_refused_in_the_originals_words() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "x").await;
    let message = wait_for(&peer, "T", 0, 1).await.remove(0);
    for offset in [99_999_999, -5] {
        let other = MessageExt { commit_log_offset: offset, ..message.clone() };
        let refused = give_back(&peer, &other, "g", 0).await;
        assert_refused(&refused, ResponseCode::SYSTEM_ERROR, &format!("look message by offset failed, {offset}"));
    }
    // A group without retries gives nothing back, and the client is content.
    let group = SubscriptionGroupConfig {
        group_name: "none".into(),
        retry_queue_nums: 0,
        ..SubscriptionGroupConfig::default()
    };
    let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(json::to_vec(&group).unwrap());
    assert_eq!(peer.ask(request).await.code, ResponseCode::SUCCESS);
    assert_eq!(give_back(&peer, &message, "none", -1).await.code, ResponseCode::SUCCESS);
    assert_eq!(peer.pull(Pull::new("%DLQ%none", 0)).await.code, ResponseCode::TOPIC_NOT_EXIST);

    let rig = Rig::with(|settings| settings.broker.auto_create_subscription_group = false);
    let peer = rig.peer();
    peer.send("T", "x").await;
    let refused = give_back(&peer, &message, "nobody", 0).await;
    assert_eq!(refused.code, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    assert!(refused.remark.as_ref().unwrap().starts_with("subscription group not exist, nobody \nSee "), "{refused:?}");
    let sent = peer.ask(Message::new("%RETRY%nobody").request("x")).await;
    assert_eq!(sent.code, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[tokio::test]
async fn timer_messages_are_refused() {
    let rig = Rig::with(|settings| settings.store.timer_wheel_enable = false);
    let refused = rig.peer().ask(Message::new("T").property("TIMER_DELAY_SEC", "3").request("x")).await;
    let remark = "accurate timer message is not enabled, timerWheelEnable is false";
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, remark);
}
