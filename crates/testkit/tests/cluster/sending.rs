//! Sends of every kind, and what becomes of the messages.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use raptormq_client::Message;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{SendMessageRequestHeaderV2, SendMessageResponseHeader, ViewMessageRequestHeader};
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::id::OffsetMessageId;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::Request;
use raptormq_testkit::peer::{field, send_header};
use raptormq_testkit::raw::batch_of;
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

#[tokio::test]
async fn what_is_sent_over_several_queues_is_consumed_exactly_once() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let receipts = send_numbered(&client, "Orders", 0..200).await;
    let queues: BTreeSet<i32> = receipts.iter().map(|receipt| receipt.queue.queue_id).collect();
    assert_eq!(queues, BTreeSet::from([0, 1, 2, 3]));

    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Orders").await;
    let received = inbox.take(200).await;
    consumer.shutdown().await;
    assert_eq!(ids_received(&received), ids_sent(&receipts));
    assert_eq!(inbox.rest(), []);
    assert_consumed(&cluster, "readers", "Orders", 4).await;
    // Whoever joins the group later gets what comes later, and nothing else.
    let later = send_numbered(&client, "Orders", 200..220).await;
    let consumer = inbox.consume(&client, "readers", "Orders").await;
    let received = inbox.take(20).await;
    consumer.shutdown().await;
    assert_eq!(ids_received(&received), ids_sent(&later));
    assert_eq!(inbox.rest(), []);
    client.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn messages_of_one_queue_keep_their_order_and_everything_that_they_carry() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let producer = client.producer("producers").start().await.unwrap();
    let text = "Grüße, 世界 🦖 \u{7f}\u{3}\"\\";
    let message = Message::new("Orders", text).tag("TagA").key("k1").key("k2").property("region", text).flag(-7);
    let receipt = producer.send(message).await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Orders").await;
    let [message] = &inbox.take(1).await[..] else { panic!("one message") };
    consumer.shutdown().await;
    assert_eq!(message.body(), text.as_bytes());
    assert_eq!((message.tag(), message.property("region")), (Some("TagA"), Some(text)));
    assert_eq!(message.keys().collect::<Vec<_>>(), ["k1", "k2"]);
    assert_eq!((message.queue_id(), message.queue_offset()), (receipt.queue.queue_id, receipt.queue_offset));
    assert_eq!(message.offset_message_id(), receipt.offset_message_id);
    assert_eq!((message.ext().flag, message.reconsume_times()), (-7, 0));
    assert_eq!(message.property("CLUSTER"), Some("DefaultCluster"));
    producer.shutdown().await;

    let peer = Peer::new(cluster.broker_addr());
    for number in 0..100 {
        assert_eq!(peer.send("Log", 2, number.to_string()).await, number);
    }
    let mut texts = Vec::new();
    while texts.len() < 100 {
        let pulled = peer.pull("Log", 2, texts.len() as i64).await;
        assert_eq!(pulled.code, ResponseCode::SUCCESS);
        texts.extend(pulled.texts());
    }
    assert_eq!(texts, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    cluster.shutdown().await;
}

#[tokio::test]
async fn an_unknown_topic_is_made_with_four_queues_and_known_to_the_name_server() {
    let cluster = Cluster::start().await.unwrap();
    let namesrv = Peer::new(cluster.namesrv_addr());
    let route_request = |topic| Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).field("topic", topic);
    let (code, remark) = namesrv.refused(route_request("Unheard")).await;
    assert_eq!(code, ResponseCode::TOPIC_NOT_EXIST);
    assert!(remark.starts_with("No topic route info in name server for the topic: Unheard"), "{remark}");

    // The answer to the send comes when the name servers have been told.
    let peer = Peer::new(cluster.broker_addr());
    peer.send("Unheard", 0, "x").await;
    let answer = namesrv.ok(route_request("Unheard")).await;
    let route: TopicRouteData = json::from_slice(&answer.body).unwrap();
    let [queues] = &route.queue_datas[..] else { panic!("one broker: {route:?}") };
    assert_eq!((queues.read_queue_nums, queues.write_queue_nums, queues.perm), (4, 4, 6));
    assert_eq!(queues.broker_name, cluster.broker_name());
    let addresses: Vec<&str> = route.broker_datas[0].broker_addrs.values().map(String::as_str).collect();
    assert_eq!(addresses, [cluster.broker_addr()]);
    // So it is with a topic that is made by request.
    peer.create_topic("Made", 7).await;
    let answer = namesrv.ok(route_request("Made")).await;
    assert_eq!(json::from_slice::<TopicRouteData>(&answer.body).unwrap().queue_datas[0].write_queue_nums, 7);
    cluster.shutdown().await;
}

#[tokio::test]
async fn where_topics_are_not_made_by_themselves_a_send_is_refused() {
    let cluster = Cluster::builder().set("autoCreateTopicEnable", "false").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&send_header("p", "Unheard")).body("x");
    let (code, remark) = peer.refused(request).await;
    assert_eq!(code, ResponseCode::TOPIC_NOT_EXIST);
    assert_eq!(
        remark,
        "topic[Unheard] not exist, apply first please!\n\
         See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
    );
    peer.create_topic("Unheard", 3).await;
    assert_eq!(peer.send("Unheard", 2, "x").await, 0);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_batch_lies_in_one_queue_in_its_order() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let producer = client.producer("producers").start().await.unwrap();
    let receipt = producer.send_batch((0..50).map(|number| numbered("Batches", number))).await.unwrap();
    assert_eq!(receipt.offset_message_id.split(',').count(), 50);
    let next = producer.send_batch((50..53).map(|number| numbered("Batches", number))).await.unwrap();
    producer.shutdown().await;

    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Batches").await;
    let received = inbox.take(53).await;
    consumer.shutdown().await;
    assert_eq!(inbox.rest(), []);
    ids_received(&received);
    let mut first: Vec<_> = received.iter().filter(|message| message.queue_id() == receipt.queue.queue_id).collect();
    first.sort_by_key(|message| message.queue_offset());
    let texts: Vec<_> = first.iter().map(|message| message.body().clone()).take(50).collect();
    assert_eq!(texts, (0..50).map(|number| Bytes::from(format!("message {number}"))).collect::<Vec<_>>());
    assert_eq!(next.queue_offset, if next.queue == receipt.queue { 50 } else { 0 });
    client.shutdown().await;
    cluster.shutdown().await;
}

/// The raw form of a batch: every message has its own place, and the answer names all of them.
#[tokio::test]
async fn each_message_of_a_batch_can_be_found_by_its_id() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.send("Batches", 1, "before").await;
    let header = SendMessageRequestHeaderV2 { queue_id: 1, batch: Some(true), ..send_header("p", "Batches") };
    let request = Request::new(RequestCode::SEND_BATCH_MESSAGE).header(&header).body(batch_of(["a", "b", "c"]));
    let answer = peer.ok(request).await;
    let answer: SendMessageResponseHeader<'_> = answer.header().unwrap();
    assert_eq!((answer.queue_id, answer.queue_offset), (1, 1));
    for (number, (id, body)) in answer.msg_id.split(',').zip(["a", "b", "c"]).enumerate() {
        let id: OffsetMessageId = id.parse().unwrap();
        let header = ViewMessageRequestHeader { topic: Some("Batches"), offset: id.log_offset };
        let found = peer.ok(Request::new(RequestCode::VIEW_MESSAGE_BY_ID).header(&header)).await;
        let (found, _) = MessageExt::decode(&found.body, 1 << 20).unwrap();
        assert_eq!((found.body.as_ref(), found.queue_offset), (body.as_bytes(), 1 + number as i64));
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn one_way_messages_arrive_and_are_not_answered() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let producer = client.producer("producers").start().await.unwrap();
    producer.send(numbered("Events", 0)).await.unwrap();
    for number in 1..50 {
        producer.send_oneway(numbered("Events", number)).await.unwrap();
    }
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Events").await;
    let received = inbox.take(50).await;
    let bodies: BTreeSet<Bytes> = received.iter().map(|message| message.body().clone()).collect();
    assert_eq!(bodies.len(), 50);
    consumer.shutdown().await;
    producer.shutdown().await;

    // A one-way request that is refused is not answered either: the next answer is that of the next request.
    let peer = Peer::new(cluster.broker_addr());
    let illegal = SendMessageRequestHeaderV2 { queue_id: 99, ..send_header("p", "Events") };
    peer.oneway(&Request::new(RequestCode::SEND_MESSAGE_V2).header(&illegal).body("x")).await;
    peer.oneway(&Request::new(RequestCode(29_999))).await;
    let before = peer.max_offset("Events", 0).await;
    assert_eq!(peer.send("Events", 0, "x").await, before);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_message_of_almost_four_megabytes_goes_through_whole() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    // Bytes that do not compress, and a producer that does not try.
    let body: Bytes = raptormq_testkit::raw::noise(3_900_000).into();
    let producer = client.producer("producers").compress_from(usize::MAX).start().await.unwrap();
    for _ in 0..6 {
        // More than a segment of the log holds.
        producer.send(Message::new("Big", body.clone())).await.unwrap();
    }
    // And one that does compress.
    let zipped = client.producer("zippers").start().await.unwrap();
    let text = Bytes::from("all work and no play ".repeat(150_000));
    zipped.send(Message::new("Big", text.clone())).await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Big").await;
    let received = inbox.take(7).await;
    consumer.shutdown().await;
    ids_received(&received);
    assert_eq!(received.iter().filter(|message| message.body() == &body).count(), 6);
    assert_eq!(received.iter().filter(|message| message.body() == &text).count(), 1);
    producer.shutdown().await;
    zipped.shutdown().await;
    cluster.shutdown().await;
}

/// Both forms of header lead to the same place.
#[tokio::test]
async fn binary_headers_are_understood_and_answered_in_kind() {
    let cluster = Cluster::start().await.unwrap();
    let (json, binary) = (Peer::new(cluster.broker_addr()), Peer::binary(cluster.broker_addr()));
    assert_eq!(binary.send("Both", 0, "binary").await, 0);
    assert_eq!(json.send("Both", 0, "json").await, 1);
    for peer in [&json, &binary] {
        let pulled = peer.pull("Both", 0, 0).await;
        assert_eq!(pulled.texts(), ["binary", "json"]);
        assert_eq!((pulled.header.next_begin_offset, pulled.header.max_offset), (2, 2));
    }
    cluster.shutdown().await;
}

/// Code 10 has the same fields under their long names.
#[tokio::test]
async fn the_long_form_of_a_send_is_answered_with_everything_that_a_client_reads() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let fields = BTreeMap::from([
        ("producerGroup", "p"),
        ("topic", "Long"),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", "3"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "5"),
        ("properties", "UNIQ_KEY\u{1}7F00000100002A9F0000000000000001\u{2}KEYS\u{1}k\u{2}"),
        ("reconsumeTimes", "0"),
        ("unitMode", "false"),
        ("batch", "false"),
    ]);
    let request =
        fields.iter().fold(Request::new(RequestCode::SEND_MESSAGE), |request, (key, value)| request.field(key, value));
    let answer = peer.ok(request.body("hello")).await;
    assert_eq!((field(&answer.fields, "queueId"), field(&answer.fields, "queueOffset")), ("3", "0"));
    assert_eq!(field(&answer.fields, "transactionId"), "7F00000100002A9F0000000000000001");
    assert_eq!((field(&answer.fields, "MSG_REGION"), field(&answer.fields, "TRACE_ON")), ("DefaultRegion", "true"));
    let pulled = peer.pull("Long", 3, 0).await;
    let [message] = &pulled.messages[..] else { panic!("one message") };
    assert_eq!((message.body.as_ref(), message.flag, message.keys()), (&b"hello"[..], 5, Some("k")));
    assert_eq!(message.born_timestamp_ms, 1_700_000_000_000);
    assert_eq!(message.msg_id, field(&answer.fields, "msgId"));
    // A queue below 0 leaves the choice to the broker.
    let any = SendMessageRequestHeaderV2 { queue_id: -1, ..send_header("p", "Long") };
    let answer = peer.ok(Request::new(RequestCode::SEND_MESSAGE_V2).header(&any).body("x")).await;
    assert!((0..4).contains(&field(&answer.fields, "queueId").parse::<i32>().unwrap()));
    cluster.shutdown().await;
}
