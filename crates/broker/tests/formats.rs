//! Topics with other kinds of queues, and files of the original that belong to what this broker does not do.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::message::{batch, sys_flag};
use raptormq_remoting::Request;
use support::*;

#[tokio::test]
async fn a_batch_to_a_batch_topic_is_one_record_and_stays_one() {
    let mut rig = Rig::new();
    let peer = rig.peer();
    let topic = CreateTopicRequestHeader {
        topic: "B",
        default_topic: "TBW102",
        read_queue_nums: 1,
        write_queue_nums: 1,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        attributes: Some("+queue.type=BatchCQ"),
        ..CreateTopicRequestHeader::default()
    };
    assert_eq!(peer.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &topic).await.code, ResponseCode::SUCCESS);
    let mut body = Vec::new();
    for text in [b"one".as_slice(), b"two", b"three"] {
        batch::encode(&batch::InnerMessage { flag: 0, body: text, properties: "" }, &mut body).unwrap();
    }
    let message = Message::new("B").queue(0);
    let header =
        SendMessageRequestHeaderV2 { batch: Some(true), ..message.header("UNIQ_KEY\u{1}batch\u{2}TAGS\u{1}A\u{2}") };
    for base in [0, 3] {
        let request = Request::new(RequestCode::SEND_BATCH_MESSAGE).header(&header).body(body.clone());
        let answer = peer.ask(request).await;
        assert_eq!(answer.code, ResponseCode::SUCCESS, "{:?}", answer.remark);
        let field = |name: &str| answer.fields.get(name).unwrap_or_default().to_owned();
        assert_eq!((field("queueOffset"), field("batchUniqId")), (base.to_string(), "batch".to_owned()));
        assert!(!field("msgId").contains(','), "one record has one id");
    }
    rig.restart().await;
    let found = messages(&rig.peer().pull(Pull::new("B", 1)).await);
    assert_eq!(found.iter().map(|record| record.queue_offset).collect::<Vec<_>>(), [0, 3]);
    assert_ne!(found[1].sys_flag & sys_flag::INNER_BATCH, 0);
    assert_eq!(batch::decode(&found[1].body).count(), 3);
}

#[tokio::test]
async fn a_light_queue_is_pulled_as_a_topic() {
    let rig = Rig::with(|settings| {
        settings.store.enable_lmq = true;
        settings.store.enable_multi_dispatch = true;
    });
    let peer = rig.peer();
    peer.send("T", "for all").await;
    let message = Message::new("T").queue(0).property("INNER_MULTI_DISPATCH", "%LMQ%a,%LMQ%b");
    assert_eq!(peer.ask(message.request("for two as well")).await.code, ResponseCode::SUCCESS);
    let answer = peer.pull(Pull::new("%LMQ%b", 0)).await;
    assert_eq!(bodies(&answer), ["for two as well"]);
    assert_eq!(messages(&answer)[0].property("INNER_MULTI_QUEUE_OFFSET"), Some("0,0"));
}

#[tokio::test]
async fn files_of_what_this_broker_does_not_do_stay_as_they_are() {
    let mut rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "kept").await;
    rig.stop().await;
    let folder = rig.folder.path().join("store/config");
    let names = ["consumerOrderInfo.json", "topicQueueMapping.json"];
    let others = ["lmqConsumerOffset.json", "timermetrics", "timercheck", "tools.yml"];
    let names: Vec<_> =
        names.iter().chain(&others).flat_map(|name| [name.to_string(), format!("{name}.bak")]).collect();
    for name in &names {
        std::fs::write(folder.join(name), format!("{{\n\t\"of\":\"{name}\"\n}}")).unwrap();
    }
    rig.start();
    rig.peer().send("T", "more").await;
    rig.restart().await;
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(text, format!("{{\n\t\"of\":\"{name}\"\n}}"), "{name}");
    }
}
