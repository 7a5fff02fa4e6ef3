//! What a broker still knows after it was stopped and started again.

use std::collections::BTreeMap;

use raptormq_protocol::body::{SubscriptionGroupConfig, TopicConfig};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader};
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::Request;
use raptormq_testkit::peer::topic_request;
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

fn commit(group: &str, topic: &str, queue_id: i32, offset: i64) -> Request {
    Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&UpdateConsumerOffsetRequestHeader {
        consumer_group: group,
        topic,
        queue_id: Some(queue_id),
        commit_offset: Some(offset),
    })
}

/// Everything of a topic, by queue.
async fn contents(peer: &Peer, topic: &str, queues: i32) -> BTreeMap<i32, Vec<(i64, String, String)>> {
    let mut contents = BTreeMap::new();
    for queue_id in 0..queues {
        let mut messages = Vec::new();
        let mut next = 0;
        loop {
            let pulled = peer.pull(topic, queue_id, next).await;
            if pulled.code != ResponseCode::SUCCESS {
                break;
            }
            next = pulled.header.next_begin_offset;
            for message in &pulled.messages {
                let text = String::from_utf8_lossy(&message.body).into_owned();
                messages.push((message.queue_offset, message.msg_id.clone(), text));
            }
        }
        contents.insert(queue_id, messages);
    }
    contents
}

#[tokio::test]
async fn messages_topics_groups_and_offsets_survive() {
    let mut cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let topic = TopicConfig {
        topic_name: "Kept".to_owned(),
        read_queue_nums: 3,
        write_queue_nums: 2,
        ..TopicConfig::default()
    };
    peer.ok(topic_request(&topic)).await;
    let group = SubscriptionGroupConfig {
        group_name: "kept".to_owned(),
        retry_max_times: 5,
        consume_broadcast_enable: false,
        ..SubscriptionGroupConfig::default()
    };
    let body = json::to_vec(&group).unwrap();
    peer.ok(Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body)).await;
    for number in 0..60 {
        peer.send("Kept", number % 2, format!("message {number}")).await;
        peer.send("Made", number % 4, format!("message {number}")).await;
    }
    for (queue_id, offset) in [(0, 7), (1, 30)] {
        peer.ok(commit("kept", "Kept", queue_id, offset)).await;
    }
    let before = (contents(&peer, "Kept", 2).await, contents(&peer, "Made", 4).await);
    assert_eq!(before.0.values().map(Vec::len).collect::<Vec<_>>(), [30, 30]);

    for _ in 0..2 {
        cluster.restart_broker().await.unwrap();
        // The old connection has ended.
        let peer = Peer::new(cluster.broker_addr());
        let after = (contents(&peer, "Kept", 2).await, contents(&peer, "Made", 4).await);
        assert_eq!(after, before);
        let answer = peer.ok(Request::new(RequestCode::GET_TOPIC_CONFIG).field("topic", "Kept")).await;
        assert_eq!(json::from_slice::<TopicConfig>(&answer.body).unwrap(), topic);
        let answer = peer.ok(Request::new(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG).field("group", "kept")).await;
        let found: SubscriptionGroupConfig = json::from_slice(&answer.body).unwrap();
        assert_eq!((found.retry_max_times, found.consume_broadcast_enable), (5, false));
        assert_eq!(peer.consumer_offset("kept", "Kept", 0).await, Some(7));
        assert_eq!(peer.consumer_offset("kept", "Kept", 1).await, Some(30));
        let search = |timestamp, boundary_type| {
            Request::new(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP).header(&SearchOffsetRequestHeader {
                topic: "Kept",
                queue_id: 0,
                timestamp,
                boundary_type: Some(boundary_type),
            })
        };
        assert_eq!(peer.offset(search(0, "LOWER")).await, Some(0));
        assert_eq!(peer.offset(search(i64::MAX, "LOWER")).await, Some(30));
        // The name server knows both topics as before.
        let namesrv = Peer::new(cluster.namesrv_addr());
        for (topic, queues) in [("Kept", (3, 2)), ("Made", (4, 4))] {
            let answer = namesrv.ok(Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).field("topic", topic)).await;
            let route: TopicRouteData = json::from_slice(&answer.body).unwrap();
            let found = (route.queue_datas[0].read_queue_nums, route.queue_datas[0].write_queue_nums);
            assert_eq!(found, queues, "{topic}");
        }
    }
    // What comes next stands behind what there was.
    let peer = Peer::new(cluster.broker_addr());
    assert_eq!(peer.send("Kept", 1, "next").await, 30);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_group_goes_on_where_it_was_and_clients_find_the_broker_again() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let first = send_numbered(&client, "Orders", 0..40).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Orders").await;
    assert_eq!(ids_received(&inbox.take(40).await), ids_sent(&first));
    consumer.shutdown().await;
    cluster.restart_broker().await.unwrap();
    assert_consumed(&cluster, "readers", "Orders", 4).await;
    // The client's connection has ended without its doing.
    let second = send_numbered(&client, "Orders", 40..60).await;
    let consumer = inbox.consume(&client, "readers", "Orders").await;
    assert_eq!(ids_received(&inbox.take(20).await), ids_sent(&second));
    consumer.shutdown().await;
    assert_eq!(inbox.rest(), []);
    cluster.shutdown().await;
}

/// A consumer that lives through the restart gets everything, without a hand being laid on it.
#[tokio::test]
async fn a_consumer_lives_through_a_restart() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let first = send_numbered(&client, "Orders", 0..8).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Orders").await;
    assert_eq!(ids_received(&inbox.take(8).await), ids_sent(&first));
    cluster.restart_broker().await.unwrap();
    let second = send_numbered(&client, "Orders", 8..16).await;
    let mut wanted = ids_sent(&second);
    // What was not committed when the broker stopped may come again; nothing may stay away.
    while !wanted.is_empty() {
        for message in inbox.take(1).await {
            wanted.remove(message.message_id());
        }
    }
    consumer.shutdown().await;
    cluster.shutdown().await;
}
