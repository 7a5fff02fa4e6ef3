//! Members of groups: heartbeats, who is told of whom, and locks on queues.

use std::collections::BTreeSet;

use raptormq_protocol::body::{
    ConsumerConnection, GetConsumerListByGroupResponseBody, LockBatchRequestBody, LockBatchResponseBody, MessageQueue,
    ProducerConnection, SubscriptionGroupConfig, TopicConfig, UnlockBatchRequestBody,
};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::UnregisterClientRequestHeader;
use raptormq_protocol::heartbeat::{HeartbeatData, MessageModel, ProducerData};
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::peer::{consumer_data, field, heartbeat_request};
use raptormq_testkit::{Cluster, Peer};
use serde::de::DeserializeOwned;

use crate::common::*;

async fn asked<T: DeserializeOwned>(peer: &Peer, request: Request) -> T {
    json::from_slice(&peer.ok(request).await.body).unwrap()
}

fn list_request(group: &str) -> Request {
    Request::new(RequestCode::GET_CONSUMER_LIST_BY_GROUP).field("consumerGroup", group)
}

async fn members(peer: &Peer, group: &str) -> BTreeSet<String> {
    let response = peer.call(list_request(group)).await;
    if !response.is_success() {
        assert_eq!(response.remark.as_deref(), Some(&*format!("no consumer for this group, {group}")));
        return BTreeSet::new();
    }
    let list: GetConsumerListByGroupResponseBody = json::from_slice(&response.body).unwrap();
    list.consumer_id_list.into_iter().collect()
}

fn unregister(client_id: &str, group: &str) -> Request {
    Request::new(RequestCode::UNREGISTER_CLIENT).header(&UnregisterClientRequestHeader {
        client_id,
        consumer_group: Some(group),
        producer_group: Some(group),
    })
}

/// Waits for word that the members of `group` changed.
async fn told_of(peer: &Peer, group: &str) {
    let notice = peer.notice().await;
    assert_eq!((notice.code, notice.is_oneway), (RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, true));
    assert_eq!(notice.field("consumerGroup"), Some(group));
}

#[tokio::test]
async fn members_are_told_of_everybody_who_comes_and_goes() {
    let cluster = Cluster::start().await.unwrap();
    let peers: Vec<Peer> = (0..3).map(|_| Peer::new(cluster.broker_addr())).collect();
    let [first, second, third] = &peers[..] else { unreachable!("three were made") };
    let nobody = first.refused(list_request("g")).await;
    assert_eq!(nobody, (ResponseCode::SYSTEM_ERROR, "no consumer for this group, g".to_owned()));

    let answer = first.join("c1", "g", "Orders", "*").await;
    assert_eq!(field(&answer.fields, "IS_SUPPORT_HEART_BEAT_V2"), "true");
    told_of(first, "g").await;
    second.join("c2", "g", "Orders", "*").await;
    told_of(first, "g").await;
    told_of(second, "g").await;
    third.join("c3", "g", "Orders", "*").await;
    for peer in &peers {
        told_of(peer, "g").await;
    }
    assert_eq!(members(first, "g").await, BTreeSet::from(["c1", "c2", "c3"].map(str::to_owned)));
    // Saying the same again is no news.
    first.join("c1", "g", "Orders", "*").await;

    // One says that it leaves, one only closes its connection.
    second.ok(unregister("c2", "g")).await;
    told_of(first, "g").await;
    told_of(third, "g").await;
    third.leave();
    told_of(first, "g").await;
    until("the third has left", async || members(first, "g").await == BTreeSet::from(["c1".to_owned()])).await;
    assert_eq!(first.unread_notices().await, []);
    assert_eq!(second.unread_notices().await, [], "who has left is not told");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_changed_subscription_is_news_and_a_group_that_wants_none_gets_none() {
    let cluster = Cluster::start().await.unwrap();
    let (first, second) = (Peer::new(cluster.broker_addr()), Peer::new(cluster.broker_addr()));
    let quiet = SubscriptionGroupConfig {
        group_name: "quiet".to_owned(),
        notify_consumer_ids_changed_enable: false,
        ..SubscriptionGroupConfig::default()
    };
    let body = json::to_vec(&quiet).unwrap();
    first.ok(Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body)).await;
    first.join("c1", "quiet", "Orders", "*").await;
    second.join("c2", "quiet", "Orders", "*").await;
    // The first word that comes is about the other group, so there was none about this one.
    first.join("c1", "loud", "Orders", "*").await;
    told_of(&first, "loud").await;
    first.join("c1", "loud", "Payments", "*").await;
    told_of(&first, "loud").await;
    assert_eq!(first.unread_notices().await, []);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_heartbeat_makes_the_group_and_its_retry_topic() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let data = HeartbeatData {
        client_id: "c1".to_owned(),
        consumer_data_set: vec![consumer_data("readers", "Orders", "TagA || TagB")],
        producer_data_set: vec![ProducerData { group_name: "writers".to_owned() }],
        ..HeartbeatData::default()
    };
    peer.ok(heartbeat_request(&data)).await;
    let group: SubscriptionGroupConfig =
        asked(&peer, Request::new(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG).field("group", "readers")).await;
    assert_eq!((group.group_name.as_str(), group.retry_max_times, group.consume_enable), ("readers", 16, true));
    let topic: TopicConfig =
        asked(&peer, Request::new(RequestCode::GET_TOPIC_CONFIG).field("topic", "%RETRY%readers")).await;
    assert_eq!((topic.read_queue_nums, topic.write_queue_nums, topic.perm), (1, 1, 6));

    let consumers: ConsumerConnection =
        asked(&peer, Request::new(RequestCode::GET_CONSUMER_CONNECTION_LIST).field("consumerGroup", "readers")).await;
    assert_eq!(consumers.connection_set.len(), 1);
    assert_eq!(
        (&*consumers.connection_set[0].client_id, consumers.message_model),
        ("c1", Some(MessageModel::Clustering))
    );
    assert_eq!(consumers.subscription_table["Orders"].sub_string, "TagA || TagB");
    let producers = Request::new(RequestCode::GET_PRODUCER_CONNECTION_LIST).field("producerGroup", "writers");
    let found: ProducerConnection = asked(&peer, producers.clone()).await;
    assert_eq!(found.connection_set[0].client_id, "c1");

    peer.ok(unregister("c1", "writers")).await;
    let gone = peer.refused(producers).await;
    assert_eq!(gone, (ResponseCode::SYSTEM_ERROR, "the producer group[writers] not exist".to_owned()));
    assert_eq!(members(&peer, "readers").await.len(), 1, "only the producer has left");
    cluster.shutdown().await;
}

fn queues(ids: impl IntoIterator<Item = i32>) -> BTreeSet<MessageQueue> {
    let queue = |queue_id| MessageQueue { topic: "Orders".to_owned(), broker_name: "broker-a".to_owned(), queue_id };
    ids.into_iter().map(queue).collect()
}

async fn lock(peer: &Peer, client_id: &str, group: &str, ids: impl IntoIterator<Item = i32>) -> Vec<i32> {
    let body = LockBatchRequestBody {
        client_id: client_id.to_owned(),
        consumer_group: group.to_owned(),
        mq_set: queues(ids),
        ..LockBatchRequestBody::default()
    };
    let request = Request::new(RequestCode::LOCK_BATCH_MQ).body(json::to_vec(&body).unwrap());
    let answer: LockBatchResponseBody = asked(peer, request).await;
    answer.lock_ok_mq_set.into_iter().map(|queue| queue.queue_id).collect()
}

async fn unlock(peer: &Peer, client_id: &str, group: &str, ids: impl IntoIterator<Item = i32>) {
    let body = UnlockBatchRequestBody {
        client_id: client_id.to_owned(),
        consumer_group: group.to_owned(),
        mq_set: queues(ids),
        ..UnlockBatchRequestBody::default()
    };
    peer.ok(Request::new(RequestCode::UNLOCK_BATCH_MQ).body(json::to_vec(&body).unwrap())).await;
}

#[tokio::test]
async fn a_queue_is_locked_for_one_client_of_a_group_at_a_time() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    assert_eq!(lock(&peer, "c1", "g", [0, 1]).await, [0, 1]);
    assert_eq!(lock(&peer, "c1", "g", [0, 1, 2]).await, [0, 1, 2], "renewed, and one more");
    assert_eq!(lock(&peer, "c2", "g", [2, 3]).await, [3]);
    assert_eq!(lock(&peer, "c2", "other", [0, 1, 2]).await, [0, 1, 2], "another group has locks of its own");
    // Nobody gives away what another has.
    unlock(&peer, "c2", "g", [0, 1]).await;
    assert_eq!(lock(&peer, "c2", "g", [0, 1]).await, [0; 0]);
    unlock(&peer, "c1", "g", [1]).await;
    assert_eq!(lock(&peer, "c2", "g", [0, 1, 2]).await, [1]);
    assert_eq!(lock(&peer, "c1", "g", [0, 1, 2]).await, [0, 2]);
    cluster.shutdown().await;
}
