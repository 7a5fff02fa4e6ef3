//! Clients as members of groups, their offsets and their locks.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::collections::BTreeSet;

use raptormq_protocol::body::*;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::heartbeat::{HeartbeatData, SubscriptionData};
use raptormq_protocol::json;
use raptormq_remoting::{Request, Response};
use support::*;

fn ids(response: &Response) -> Vec<String> {
    assert_eq!(response.code, ResponseCode::SUCCESS, "{:?}", response.remark);
    let mut ids = json::from_slice::<GetConsumerListByGroupResponseBody>(&response.body).unwrap().consumer_id_list;
    ids.sort();
    ids
}

#[tokio::test]
async fn members_are_told_when_others_come_and_go() {
    let rig = Rig::new();
    let (one, two, three) = (rig.peer(), rig.peer(), rig.peer());
    let nobody = one.consumer_ids("g").await;
    assert_refused(&nobody, ResponseCode::SYSTEM_ERROR, "no consumer for this group, g");

    let subscribed: &[(&str, &[(&str, &str)])] = &[("g", &[("T", "*")])];
    one.heartbeat("c1", subscribed).await;
    assert_eq!(one.notice().await, "g");
    two.heartbeat("c2", subscribed).await;
    assert_eq!((one.notice().await, two.notice().await), ("g".to_owned(), "g".to_owned()));
    assert_eq!(ids(&one.consumer_ids("g").await), ["c1", "c2"]);

    // A heartbeat that says nothing new is nothing to tell; leaving is.
    two.heartbeat("c2", subscribed).await;
    let leave = UnregisterClientRequestHeader { client_id: "c2", producer_group: None, consumer_group: Some("g") };
    assert_eq!(two.get(RequestCode::UNREGISTER_CLIENT, &leave).await.code, ResponseCode::SUCCESS);
    assert_eq!(one.notice().await, "g");
    assert_eq!(ids(&one.consumer_ids("g").await), ["c1"]);

    // So is a connection that ends, and a topic more.
    three.heartbeat("c3", subscribed).await;
    assert_eq!(one.notice().await, "g");
    three.disconnect();
    assert_eq!(one.notice().await, "g");
    assert_eq!(ids(&one.consumer_ids("g").await), ["c1"]);
    one.heartbeat("c1", &[("g", &[("T", "*"), ("U", "*")])]).await;
    assert_eq!(one.notice().await, "g");
}

#[tokio::test]
async fn a_member_that_says_nothing_for_too_long_is_gone() {
    let rig = Rig::with(|settings| settings.broker.channel_expired_timeout = 300);
    let (silent, lively) = (rig.peer(), rig.peer());
    silent.heartbeat("silent", &[("g", &[("T", "*")])]).await;
    lively.heartbeat("lively", &[("g", &[("T", "*")])]).await;
    while ids(&lively.consumer_ids("g").await) != ["lively"] {
        lively.heartbeat("lively", &[("g", &[("T", "*")])]).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!((lively.notice().await, lively.notice().await), ("g".to_owned(), "g".to_owned()));
}

#[tokio::test]
async fn a_group_that_does_not_want_to_know_is_not_told() {
    let rig = Rig::new();
    let (one, two) = (rig.peer(), rig.peer());
    let quiet = SubscriptionGroupConfig {
        group_name: "quiet".into(),
        notify_consumer_ids_changed_enable: false,
        ..SubscriptionGroupConfig::default()
    };
    let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
    assert_eq!(one.ask(request.body(json::to_vec(&quiet).unwrap())).await.code, ResponseCode::SUCCESS);
    one.heartbeat("c1", &[("quiet", &[("T", "*")]), ("g", &[("T", "*")])]).await;
    assert_eq!(one.notice().await, "g");
    two.heartbeat("c2", &[("quiet", &[("T", "*")]), ("g", &[("T", "*")])]).await;
    assert_eq!(one.notice().await, "g");
}

#[tokio::test]
async fn a_heartbeat_makes_the_group_and_its_retry_topic() {
    let rig = Rig::new();
    let peer = rig.peer();
    let answer = peer.heartbeat("c1", &[("g", &[("T", "TagA")])]).await;
    let fields = (answer.fields.get("IS_SUPPORT_HEART_BEAT_V2"), answer.fields.get("IS_SUB_CHANGE"));
    assert_eq!(fields, (Some("true"), Some("true")));

    let header = GetTopicConfigRequestHeader { topic: "%RETRY%g" };
    let answer = peer.get(RequestCode::GET_TOPIC_CONFIG, &header).await;
    let retry: TopicConfig = json::from_slice(&answer.body).unwrap();
    assert_eq!((retry.read_queue_nums, retry.write_queue_nums, retry.perm), (1, 1, 6));
    let header = GetSubscriptionGroupConfigRequestHeader { group: "g" };
    let answer = peer.get(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, &header).await;
    assert_eq!(json::from_slice::<SubscriptionGroupConfig>(&answer.body).unwrap().group_name, "g");

    let header = GetConsumerConnectionListRequestHeader { consumer_group: "g" };
    let answer = peer.get(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header).await;
    let connections: ConsumerConnection = json::from_slice(&answer.body).unwrap();
    assert_eq!(connections.connection_set[0].client_id, "c1");
    assert_eq!(connections.subscription_table["T"].sub_string, "TagA");
    let header = GetProducerConnectionListRequestHeader { producer_group: "producers" };
    let answer = peer.get(RequestCode::GET_PRODUCER_CONNECTION_LIST, &header).await;
    let connections: ProducerConnection = json::from_slice(&answer.body).unwrap();
    assert_eq!(connections.connection_set.len(), 1);

    let header = GetConsumerConnectionListRequestHeader { consumer_group: "h" };
    let refused = peer.get(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header).await;
    assert_refused(&refused, ResponseCode::CONSUMER_NOT_ONLINE, "the consumer group[h] not online");
    let header = GetProducerConnectionListRequestHeader { producer_group: "h" };
    let refused = peer.get(RequestCode::GET_PRODUCER_CONNECTION_LIST, &header).await;
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, "the producer group[h] not exist");
}

#[tokio::test]
async fn subscriptions_that_were_left_out_are_asked_for_when_they_are_not_known() {
    let rig = Rig::new();
    let peer = rig.peer();
    let full = HeartbeatData {
        client_id: "c1".into(),
        heartbeat_fingerprint: 5,
        consumer_data_set: vec![consumer("g", &[("T", "*")])],
        ..HeartbeatData::default()
    };
    let mut short = HeartbeatData { without_sub: true, ..full.clone() };
    short.consumer_data_set[0].subscription_data_set.clear();
    let changed = |response: &Response| response.fields.get("IS_SUB_CHANGE").unwrap().to_owned();

    assert_eq!(changed(&peer.ask(heartbeat_request(&short)).await), "true");
    assert_eq!(changed(&peer.ask(heartbeat_request(&full)).await), "false");
    assert_eq!(changed(&peer.ask(heartbeat_request(&short)).await), "false");
    peer.send("T", "x").await;
    let pulled = peer.pull(Pull { flags: 0, ..Pull::new("T", 0) }).await;
    assert_eq!(bodies(&pulled), ["x"], "the short form leaves the subscription as it is");
}

#[tokio::test]
async fn a_new_group_begins_at_0_unless_it_does_not_want_to() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "x").await;
    peer.heartbeat("c1", &[("g", &[("T", "*")])]).await;
    let ask = |topic, queue_id, zero| QueryConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic,
        queue_id,
        set_zero_if_not_found: zero,
    };
    for (topic, queue_id) in [("T", 0), ("T", 3)] {
        let answer = peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &ask(topic, queue_id, None)).await;
        assert_eq!(offset(&answer), 0, "{topic} {queue_id}");
    }
    let refused = peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &ask("T", 0, Some(false))).await;
    let remark = "Not found, do not set to zero, maybe this group boot first";
    assert_refused(&refused, ResponseCode::QUERY_NOT_FOUND, remark);
    let refused = peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &ask("Nothing", 0, None)).await;
    let remark = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    assert_refused(&refused, ResponseCode::QUERY_NOT_FOUND, remark);

    let update = |group, topic, commit| UpdateConsumerOffsetRequestHeader {
        consumer_group: group,
        topic,
        queue_id: Some(0),
        commit_offset: commit,
    };
    let answer = peer.get(RequestCode::UPDATE_CONSUMER_OFFSET, &update("g", "T", Some(1))).await;
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    assert_eq!(offset(&peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &ask("T", 0, None)).await), 1);
    let cases = [
        (update("absent", "T", Some(1)), 26, "Group absent not exist!"),
        (update("g", "Nothing", Some(1)), 17, "Topic Nothing not exist!"),
        (update("g", "T", None), 29, "Offset is null, topic is T"),
    ];
    for (header, code, remark) in cases {
        assert_refused(&peer.get(RequestCode::UPDATE_CONSUMER_OFFSET, &header).await, ResponseCode(code), remark);
    }

    // A pull may bring an offset along.
    let header = PullMessageRequestHeader { commit_offset: 5, ..Pull { flags: 5, ..Pull::new("T", 0) }.header() };
    peer.get(RequestCode::PULL_MESSAGE, &header).await;
    assert_eq!(offset(&peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &ask("T", 0, None)).await), 5);
    let all = peer.ask(Request::new(RequestCode::GET_ALL_CONSUMER_OFFSET)).await;
    let all: ConsumerOffsetSerializeWrapper = json::from_slice(&all.body).unwrap();
    assert_eq!(all.offset_table["T@g"][&0], 5);
}

#[tokio::test]
async fn the_offsets_of_a_queue_are_told() {
    let rig = Rig::new();
    let peer = rig.peer();
    for body in ["a", "b", "c"] {
        peer.send("T", body).await;
    }
    let stored = messages(&peer.pull(Pull::new("T", 0)).await)[0].store_timestamp_ms;
    let max = GetMaxOffsetRequestHeader { topic: "T", queue_id: 0, committed: true };
    assert_eq!(offset(&peer.get(RequestCode::GET_MAX_OFFSET, &max).await), 3);
    let min = GetMinOffsetRequestHeader { topic: "T", queue_id: 0 };
    assert_eq!(offset(&peer.get(RequestCode::GET_MIN_OFFSET, &min).await), 0);
    let search =
        |timestamp, boundary_type| SearchOffsetRequestHeader { topic: "T", queue_id: 0, timestamp, boundary_type };
    for (timestamp, boundary, expected) in [
        (stored, None, 0),
        (0, Some("LOWER"), 0),
        (stored + 3_600_000, None, 3),
        (stored + 3_600_000, Some("UPPER"), 2),
    ] {
        let answer = peer.get(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &search(timestamp, boundary)).await;
        assert_eq!(offset(&answer), expected, "{timestamp} {boundary:?}");
    }
    for (queue_id, expected) in [(0, stored), (3, -1), (-1, -1)] {
        let earliest = GetEarliestMsgStoretimeRequestHeader { topic: "T", queue_id };
        let answer = peer.get(RequestCode::GET_EARLIEST_MSG_STORETIME, &earliest).await;
        assert_eq!(answer.header::<GetEarliestMsgStoretimeResponseHeader>().unwrap().timestamp, expected);
    }
    let stats = GetTopicStatsInfoRequestHeader { topic: "T" };
    let answer = peer.get(RequestCode::GET_TOPIC_STATS_INFO, &stats).await;
    let stats: TopicStatsTable = json::from_slice(&answer.body).unwrap();
    assert_eq!(stats.offset_table.len(), 4);
    assert_eq!(stats.offset_table.values().map(|offsets| offsets.max_offset).sum::<i64>(), 3);
}

#[tokio::test]
async fn a_queue_is_locked_by_one_client_at_a_time() {
    let rig = Rig::new();
    let peer = rig.peer();
    let queues = |ids: &[i32]| -> BTreeSet<MessageQueue> {
        let queue = |id: &i32| MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: *id };
        ids.iter().map(queue).collect()
    };
    let lock = async |client: &str, ids: &[i32]| {
        let body = LockBatchRequestBody {
            client_id: client.into(),
            consumer_group: "g".into(),
            mq_set: queues(ids),
            only_this_broker: false,
        };
        let request = Request::new(RequestCode::LOCK_BATCH_MQ).body(json::to_vec(&body).unwrap());
        json::from_slice::<LockBatchResponseBody>(&peer.ask(request).await.body).unwrap().lock_ok_mq_set
    };
    assert_eq!(lock("c1", &[0, 1]).await, queues(&[0, 1]));
    assert_eq!(lock("c2", &[1, 2]).await, queues(&[2]));
    let body = UnlockBatchRequestBody {
        client_id: "c1".into(),
        consumer_group: "g".into(),
        mq_set: queues(&[1]),
        only_this_broker: false,
    };
    let request = Request::new(RequestCode::UNLOCK_BATCH_MQ).body(json::to_vec(&body).unwrap());
    assert_eq!(peer.ask(request).await.code, ResponseCode::SUCCESS);
    assert_eq!(lock("c2", &[0, 1, 2]).await, queues(&[1, 2]));
}

#[tokio::test]
async fn only_filters_by_tags_are_taken() {
    let rig = Rig::new();
    let peer = rig.peer();
    let check = async |expression_type: &str| {
        let subscription = SubscriptionData::build("T", "a > 1", expression_type).unwrap();
        let body = CheckClientRequestBody { subscription_data: Some(subscription), ..Default::default() };
        peer.ask(Request::new(RequestCode::CHECK_CLIENT_CONFIG).body(json::to_vec(&body).unwrap())).await
    };
    assert_eq!(check("TAG").await.code, ResponseCode::SUCCESS);
    let remark = "The broker does not support consumer to filter message by SQL92";
    assert_refused(&check("SQL92").await, ResponseCode::SYSTEM_ERROR, remark);
}

#[tokio::test]
async fn rubbish_is_answered_and_disturbs_nobody() {
    let rig = Rig::new();
    let peer = rig.peer();
    for code in [RequestCode::HEART_BEAT, RequestCode::LOCK_BATCH_MQ, RequestCode::CHECK_CLIENT_CONFIG] {
        let nested = "[".repeat(10_000);
        for body in ["", "{", "[1,2]", "\u{0}\u{1}", nested.as_str()] {
            let answer = peer.ask(Request::new(code).body(body.to_owned())).await;
            assert_eq!(answer.code, ResponseCode::SYSTEM_ERROR, "{code} {body:.10}");
        }
    }
    let unknown = peer.ask(Request::new(RequestCode(7777))).await;
    assert_refused(&unknown, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, " request type 7777 not supported");
    let bad = peer.ask(Request::new(RequestCode::SEND_MESSAGE_V2).field("e", "zero")).await;
    assert_eq!(bad.code, ResponseCode::SYSTEM_ERROR);
    assert_eq!(peer.send("T", "x").await.code, ResponseCode::SUCCESS);
}
