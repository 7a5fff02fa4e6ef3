//! Sends, and what is refused in which words.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::message::batch::{self, InnerMessage};
use raptormq_remoting::Request;
use support::*;

const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

#[tokio::test]
async fn a_message_for_an_unknown_topic_makes_it_and_comes_back() {
    let rig = Rig::new();
    let peer = rig.peer();
    let message = Message::new("Orders").queue(2).property("TAGS", "TagA").property("KEYS", "k1");
    let sent = peer.ask(message.request("hello")).await;
    assert_eq!((sent.code, sent.remark.as_deref()), (ResponseCode::SUCCESS, None));
    let header: SendMessageResponseHeader<'_> = sent.header().unwrap();
    assert_eq!((header.queue_id, header.queue_offset, header.msg_id.len()), (2, 0, 32));
    assert_eq!(header.transaction_id, Some("7F0000010001"));
    assert_eq!((sent.fields.get("MSG_REGION"), sent.fields.get("TRACE_ON")), (Some("DefaultRegion"), Some("true")));
    assert!(rig.kept("topics.json").contains("\"Orders\":{"), "the topic is kept before the answer");

    let pulled = peer.pull(Pull { queue_id: 2, ..Pull::new("Orders", 0) }).await;
    assert_eq!((pulled.code, pulled.remark.as_deref()), (ResponseCode::SUCCESS, Some("FOUND")));
    let pull_header: PullMessageResponseHeader = pulled.header().unwrap();
    assert_eq!((pull_header.next_begin_offset, pull_header.min_offset, pull_header.max_offset), (1, 0, 1));
    let message = &messages(&pulled)[0];
    assert_eq!((&message.body[..], message.tags(), message.keys()), (&b"hello"[..], Some("TagA"), Some("k1")));
    assert_eq!(message.property("CLUSTER"), Some("DefaultCluster"));
    assert_eq!(message.property("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(message.property("TRACE_ON"), Some("true"));

    let by_id = ViewMessageRequestHeader { offset: message.commit_log_offset, topic: None };
    let viewed = peer.get(RequestCode::VIEW_MESSAGE_BY_ID, &by_id).await;
    assert_eq!(bodies(&viewed), ["hello"]);
    let nothing = ViewMessageRequestHeader { offset: 77_777, topic: None };
    let refused = peer.get(RequestCode::VIEW_MESSAGE_BY_ID, &nothing).await;
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, "can not find message by the offset, 77777");
}

#[tokio::test]
async fn messages_are_found_by_their_keys() {
    let rig = Rig::new();
    let peer = rig.peer();
    for (body, keys) in [("one", "a b"), ("two", "b"), ("three", "c")] {
        let message = Message { properties: vec![("UNIQ_KEY", format!("id-{body}"))], ..Message::new("T") };
        peer.ask(message.property("KEYS", keys).request(body)).await;
    }
    let find = async |topic, key| {
        let header = QueryMessageRequestHeader { topic, key, max_num: 32, begin_timestamp: 0, end_timestamp: i64::MAX };
        peer.get(RequestCode::QUERY_MESSAGE, &header).await
    };
    for (key, expected) in [("a", &["one"][..]), ("b", &["one", "two"]), ("id-three", &["three"])] {
        let found = find("T", key).await;
        assert_eq!(bodies(&found), expected, "{key}");
        assert!(found.header::<QueryMessageResponseHeader>().unwrap().index_last_update_timestamp > 0);
    }
    for (topic, key) in [("T", "d"), ("U", "a")] {
        let remark = "can not find message, maybe time range not correct";
        assert_refused(&find(topic, key).await, ResponseCode::QUERY_NOT_FOUND, remark);
    }
}

#[tokio::test]
async fn a_message_without_id_or_queue_gets_them() {
    let rig = Rig::new();
    let peer = rig.peer();
    let message = Message { properties: vec![], ..Message::new("T").queue(-1) };
    let sent = peer.ask(message.request("x")).await;
    let header: SendMessageResponseHeader<'_> = sent.header().unwrap();
    assert!((0..4).contains(&header.queue_id));
    let key = header.transaction_id.unwrap();
    assert_eq!(key.len(), 32);
    let pulled = peer.pull(Pull { queue_id: header.queue_id, ..Pull::new("T", 0) }).await;
    assert_eq!(messages(&pulled)[0].unique_key(), Some(key));
}

#[tokio::test]
async fn old_headers_and_oneway_sends_are_stored() {
    let rig = Rig::new();
    let peer = rig.peer();
    let header = SendMessageRequestHeader {
        producer_group: "p",
        topic: "T",
        default_topic: "TBW102",
        default_topic_queue_nums: 1,
        ..SendMessageRequestHeader::default()
    };
    let request = Request::new(RequestCode::SEND_MESSAGE).header(&header);
    assert_eq!(peer.ask(request.clone().body("one")).await.code, ResponseCode::SUCCESS);
    peer.tell(request.clone().body("two")).await;
    // Whatever comes behind it on the connection is answered after it.
    assert_eq!(peer.ask(request.body("three")).await.code, ResponseCode::SUCCESS);
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_batch_is_stored_as_its_messages() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "before").await;
    let mut body = Vec::new();
    for text in ["a", "b", "c"] {
        let properties = format!("UNIQ_KEY\u{1}key-{text}\u{2}");
        let inner = InnerMessage { flag: 0, body: text.as_bytes(), properties: &properties };
        batch::encode(&inner, &mut body).unwrap();
    }
    let message = Message { properties: vec![], ..Message::new("T") };
    let header = SendMessageRequestHeaderV2 { batch: Some(true), ..message.header("WAIT\u{1}true\u{2}") };
    let request = Request::new(RequestCode::SEND_BATCH_MESSAGE).header(&header);
    let sent = peer.ask(request.clone().body(body.clone())).await;
    let answer: SendMessageResponseHeader<'_> = sent.header().unwrap();
    assert_eq!((answer.queue_offset, answer.transaction_id), (1, None));
    let ids: Vec<&str> = answer.msg_id.split(',').collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| id.len() == 32) && ids[0] < ids[1], "{ids:?}");

    let pulled = peer.pull(Pull::new("T", 0)).await;
    assert_eq!(bodies(&pulled), ["before", "a", "b", "c"]);
    assert_eq!(messages(&pulled)[2].unique_key(), Some("key-b"));
    assert_eq!(messages(&pulled)[2].property("CLUSTER"), Some("DefaultCluster"));

    body.truncate(body.len() - 1);
    let refused = peer.ask(request.body(body)).await;
    assert_refused(&refused, ResponseCode::MESSAGE_ILLEGAL, ILLEGAL);
}

const ILLEGAL: &str = "the message is illegal, maybe msg body or properties length not matched. \
                       msg body length limit 4194304B, msg properties length limit 32KB.";

#[tokio::test]
async fn sends_are_refused_in_the_originals_words() {
    let rig = Rig::new();
    let peer = rig.peer();
    assert_eq!(peer.send("T", "x").await.code, ResponseCode::SUCCESS);
    let local = "TopicConfig [topicName=T, readQueueNums=4, writeQueueNums=4, perm=RW-, topicFilterType=SINGLE_TAG, \
                 topicSysFlag=0, order=false, attributes={}] Producer: 127.0.0.1:";
    let refused = peer.ask(Message::new("T").queue(4).request("x")).await;
    let remark = refused.remark.as_deref().unwrap();
    assert_eq!(refused.code, ResponseCode::INVALID_PARAMETER);
    assert!(remark.starts_with(&format!("request queueId[4] is illegal, {local}")), "{remark}");

    let no_template = Message { default_topic: "T", ..Message::new("New") };
    let not_there = format!("topic[New] not exist, apply first please!{FAQ}");
    let long = "t".repeat(128);
    let too_long = "The specified topic is longer than topic max length.";
    let cases = [
        (Message::new(""), "x", 29, "The specified topic is blank."),
        (
            Message::new("../T"),
            "x",
            29,
            "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$",
        ),
        (Message::new(&long), "x", 29, too_long),
        (Message::new("SELF_TEST_TOPIC"), "x", 16, "Sending message to topic[SELF_TEST_TOPIC] is forbidden."),
        (no_template, "x", 17, &not_there),
        (Message::new("T"), "", 13, ILLEGAL),
        (
            Message::new("T").property("TIMER_DELAY_SEC", "3"),
            "x",
            1,
            "timer messages are not supported by this version of RaptorMQ",
        ),
    ];
    for (message, body, code, remark) in cases {
        let refused = peer.ask(message.request(body)).await;
        assert_refused(&refused, ResponseCode(code), remark);
    }
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["x"], "nothing refused is stored");
}

#[tokio::test]
async fn too_long_messages_are_refused_and_others_of_the_turn_are_not() {
    let rig = Rig::with(|settings| settings.store.max_message_size = 1000);
    let peer = rig.peer();
    peer.send("T", "first").await;
    let (long, properties) = ("x".repeat(1001), "x".repeat(32_767));
    let wide = Message::new("T").property("wide", &properties);
    let (refused, too_wide, taken) =
        tokio::join!(peer.send("T", &long), peer.ask(wide.request("x")), peer.send("T", "second"));
    let remark = ILLEGAL.replace("4194304", "1000");
    assert_refused(&refused, ResponseCode::MESSAGE_ILLEGAL, &remark);
    assert_refused(&too_wide, ResponseCode::MESSAGE_ILLEGAL, &remark);
    assert_eq!(taken.code, ResponseCode::SUCCESS);
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["first", "second"]);
}

#[tokio::test]
async fn settings_close_the_door_to_sends() {
    let rig = Rig::with(|settings| settings.broker.auto_create_topic_enable = false);
    let refused = rig.peer().send("T", "x").await;
    assert_refused(&refused, ResponseCode::TOPIC_NOT_EXIST, &format!("topic[T] not exist, apply first please!{FAQ}"));

    let rig = Rig::with(|settings| settings.broker.start_accept_send_request_time_stamp = i64::MAX / 1_000_000);
    let refused = rig.peer().send("T", "x").await;
    let remark = refused.remark.unwrap();
    assert!(remark.starts_with("broker unable to service, until 2262-") && remark.contains(','), "{remark}");

    let rig = Rig::with(|settings| settings.broker.reject_transaction_message = true);
    let refused = rig.peer().ask(Message::new("T").property("TRAN_MSG", "true").request("x")).await;
    let remark = "the broker[127.0.0.1] sending transaction message is forbidden";
    assert_refused(&refused, ResponseCode::NO_PERMISSION, remark);
}

#[tokio::test]
async fn what_a_consumer_gives_up_goes_to_the_dead_letters() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.heartbeat("c1", &[("g", &[("T", "*")])]).await;
    let retry = Message {
        reconsume_times: Some(4),
        max_reconsume_times: Some(3),
        ..Message::new("%RETRY%g").property("DELAY", "6").property("RETRY_TOPIC", "T")
    };
    let sent = peer.ask(retry.request("dead")).await;
    assert_eq!(sent.code, ResponseCode::SUCCESS, "{:?}", sent.remark);
    let pulled = peer.pull(Pull::new("%DLQ%g", 0)).await;
    assert_eq!(bodies(&pulled), ["dead"]);
    let message = &messages(&pulled)[0];
    assert_eq!((message.property("RETRY_TOPIC"), message.property("DELAY")), (Some("T"), Some("-1")));
    assert_eq!(message.reconsume_times, 4);
}

#[tokio::test]
async fn with_sync_flush_an_answer_means_that_the_message_is_on_disk() {
    let rig = Rig::with(|settings| {
        settings.store.flush_disk_type = raptormq_config::FlushDiskType::SyncFlush;
        settings.store.flush_interval_commit_log = 3_600_000;
    });
    let peer = rig.peer();
    for body in ["one", "two"] {
        assert_eq!(peer.send("T", body).await.code, ResponseCode::SUCCESS);
        assert_eq!(peer.runtime().await["remainHowManyDataToFlush"], "0 B");
    }
    let hasty = Message::new("T").property("WAIT", "false");
    assert_eq!(peer.ask(hasty.request("three")).await.code, ResponseCode::SUCCESS);
    // It can be read after the flush that it has asked for.
    assert_eq!(bodies(&peer.pull(Pull::new("T", 2).waiting(60_000)).await), ["three"]);
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["one", "two", "three"]);
}

#[tokio::test]
async fn sends_are_refused_before_they_are_stored_while_too_many_answers_wait() {
    // A name server that takes connections and never answers: who makes a topic waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let rig = Rig::with(|settings| {
        settings.broker.send_thread_pool_queue_capacity = 1;
        settings.broker.namesrv_addr = address;
    });
    let peer = rig.peer();
    assert_eq!(peer.send("T", "first").await.code, ResponseCode::SUCCESS);
    let busy = (ResponseCode::SYSTEM_BUSY, Some("[OVERLOAD]system busy, start flow control for a while".to_owned()));
    let (made, (stored, refused)) = tokio::join!(peer.send("New", "waits"), async {
        let mut stored = 1;
        loop {
            let answer = peer.send("T", "more").await;
            if answer.code != ResponseCode::SUCCESS {
                return (stored, (answer.code, answer.remark));
            }
            stored += 1;
        }
    });
    assert_eq!((made.code, refused), (ResponseCode::SUCCESS, busy));
    assert_eq!(peer.send("T", "last").await.code, ResponseCode::SUCCESS);
    let mut found = Vec::new();
    for queue_id in 0..4 {
        found.extend(bodies(&peer.pull(Pull { queue_id, count: 32, ..Pull::new("T", 0) }).await));
    }
    assert!(found.len() <= stored + 1, "nothing that was refused is stored: {found:?}");
}
