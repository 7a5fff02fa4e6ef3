//! A group whose slave may stand in for its master: what name servers show, what the slave is told meanwhile, and what a
//! master does that comes back. And what a synchronous master says when too few replicas live.

use std::collections::BTreeSet;

use raptormq_protocol::body::KVTable;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{SendMessageRequestHeaderV2, UpdateConsumerOffsetRequestHeader};
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::Request;
use raptormq_testkit::peer::send_header;
use raptormq_testkit::{Cluster, ClusterBuilder, Peer};

use crate::common::*;

/// Settings of each broker of such a group.
const ACTING: &[(&str, &str)] = &[
    ("enableSlaveActingMaster", "true"),
    ("totalReplicas", "2"),
    ("slaveReadEnable", "true"),
    ("syncBrokerMemberGroupPeriod", "100"),
    ("brokerHeartbeatInterval", "100"),
];

fn builder() -> ClusterBuilder {
    let acting = ACTING.iter().fold(Cluster::builder(), |builder, (key, value)| builder.set(key, value));
    acting.set_namesrv("supportActingMaster", "true").set_namesrv("notifyMinBrokerIdChanged", "true")
}

/// Who is shown as the master of the only group of a topic, and what may be done with its queues.
async fn master_of(names: &Peer, topic: &str) -> Option<(String, i32)> {
    let answer = names.call(Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).field("topic", topic)).await;
    let route: TopicRouteData = json::from_slice(&answer.body).ok()?;
    Some((route.broker_datas[0].broker_addrs.get(&0)?.clone(), route.queue_datas[0].perm))
}

async fn commit(peer: &Peer, offset: i64) {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: "readers",
        topic: "T",
        queue_id: Some(0),
        commit_offset: Some(offset),
    };
    peer.ok(Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&header)).await;
}

async fn send_code(peer: &Peer, body: &'static str) -> (ResponseCode, Option<String>) {
    let header = send_header("producers", "T");
    let answer = peer.call(Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body)).await;
    (answer.code, answer.remark)
}

#[tokio::test]
async fn a_slave_stands_in_and_the_master_that_comes_back_takes_its_offsets_over() {
    let mut cluster = builder().start().await.unwrap();
    let names = Peer::new(cluster.namesrv_addr());
    let master_addr = cluster.broker_addr().to_owned();
    let master = Peer::new(&*master_addr);
    master.create_topic("T", 1).await;
    for number in 0..5 {
        master.send("T", 0, format!("message {number}")).await;
    }
    master.join("client", "readers", "T", "*").await;
    commit(&master, 1).await;
    let slave = cluster.slave(1, ACTING).await.unwrap();
    let peer = Peer::new(slave.addr());
    until("the slave has everything", async || {
        peer.pull("T", 0, 0).await.messages.len() == 5 && peer.consumer_offset("readers", "T", 0).await == Some(1)
    })
    .await;
    assert_eq!(master_of(&names, "T").await, Some((master_addr.clone(), 6)));

    cluster.stop_broker().await;
    let shown = Some((slave.addr(), 4));
    until("the slave is shown as the master, to read from", async || master_of(&names, "T").await == shown).await;
    commit(&peer, 4).await;
    let (refused, _) = send_code(&peer, "not here").await;
    assert_eq!(refused, ResponseCode::SERVICE_NOT_AVAILABLE);

    cluster.restart_broker().await.unwrap();
    let master = Peer::new(&*master_addr);
    assert_eq!(master.consumer_offset("readers", "T", 0).await, Some(4), "it was taken over before it was registered");
    until("the master is shown again", async || master_of(&names, "T").await == Some((master_addr.clone(), 6))).await;
    master.send("T", 0, "message 5").await;
    until("the slave follows again", async || peer.pull("T", 0, 5).await.texts() == ["message 5"]).await;
    commit(&master, 6).await;
    until("offsets are copied again", async || peer.consumer_offset("readers", "T", 0).await == Some(6)).await;
}

#[tokio::test]
async fn a_message_is_refused_before_it_is_stored_when_too_few_replicas_live() {
    let cluster = builder().set("brokerRole", "SYNC_MASTER").set("inSyncReplicas", "2").start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    let refused = (ResponseCode::SYSTEM_ERROR, Some("in-sync replicas not enough".to_owned()));
    assert_eq!(send_code(&master, "alone").await, refused);
    assert_eq!(master.max_offset("T", 0).await, 0);
    let mut slave = cluster.slave(1, ACTING).await.unwrap();
    until("both live", async || send_code(&master, "together").await.0 == ResponseCode::SUCCESS).await;
    slave.stop().await;
    until("it is alone again", async || send_code(&master, "alone").await == refused).await;
}

#[tokio::test]
async fn fewer_replicas_are_enough_where_that_is_set() {
    let builder = builder().set("brokerRole", "SYNC_MASTER").set("inSyncReplicas", "2");
    let cluster = builder.set("enableAutoInSyncReplicas", "true").set("minInSyncReplicas", "1").start().await.unwrap();
    let master = Peer::new(cluster.broker_addr());
    master.create_topic("T", 1).await;
    assert_eq!(send_code(&master, "alone").await.0, ResponseCode::SUCCESS);
}

#[tokio::test]
async fn a_slave_signs_what_it_asks_of_a_master_with_access_control() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("conf")).unwrap();
    let accounts = "accounts:\n- accessKey: brokers\n  secretKey: 12345678\n  admin: true\n";
    std::fs::write(home.path().join("conf/plain_acl.yml"), accounts).unwrap();
    let settings = [
        ("aclEnable", "true"),
        ("rocketmqHome", home.path().to_str().unwrap()),
        ("innerClientAuthenticationCredentials", r#"{"accessKey":"brokers","secretKey":"12345678"}"#),
    ];
    let builder = settings[..2].iter().fold(Cluster::builder(), |builder, (key, value)| builder.set(key, value));
    let cluster = builder.start().await.unwrap();
    let slave = cluster.slave(1, &[settings[2]]).await.unwrap();
    let silent = cluster.slave(2, &[]).await.unwrap();
    let topics = async |slave: &raptormq_testkit::Slave| {
        let answer = Peer::new(slave.addr()).ok(Request::new(RequestCode::GET_ALL_TOPIC_CONFIG)).await;
        String::from_utf8_lossy(&answer.body).contains("MadeAtTheMaster")
    };
    let credentials = raptormq_auth::Credentials::new("brokers", "12345678");
    let request = Request::new(RequestCode::UPDATE_AND_CREATE_TOPIC)
        .field("topic", "MadeAtTheMaster")
        .field("defaultTopic", "TBW102")
        .field("readQueueNums", "1")
        .field("writeQueueNums", "1")
        .field("perm", "6")
        .field("topicFilterType", "SINGLE_TAG")
        .field("topicSysFlag", "0")
        .field("order", "false");
    let signed = credentials.sign(request.fields.iter(), &request.body);
    let request = signed.into_iter().fold(request, |request, (key, value)| request.field(key, &value));
    Peer::new(cluster.broker_addr()).ok(request).await;
    until("the topic is copied", async || topics(&slave).await).await;
    assert!(!topics(&silent).await, "who does not sign gets nothing");
}

/// What is due while the master is away goes to a broker of another name, and the master does not deliver it again. The
/// slave is told a shorter delay, so that all of it is due there and nothing at the master.
#[tokio::test]
async fn an_acting_master_sends_delayed_messages_on_to_other_brokers() {
    let mut cluster = builder().set("messageDelayLevel", "1s 1h").start().await.unwrap();
    let other = Cluster::builder().set("brokerName", "broker-b").start().await.unwrap();
    let names = format!("{};{}", cluster.namesrv_addr(), other.namesrv_addr());
    let (master, elsewhere) = (Peer::new(cluster.broker_addr()), Peer::new(other.broker_addr()));
    elsewhere.ok(Request::new(RequestCode::UPDATE_BROKER_CONFIG).body(format!("namesrvAddr={names}"))).await;
    for peer in [&master, &elsewhere] {
        peer.create_topic("T", 1).await;
    }
    let own = [("enableRemoteEscape", "true"), ("messageDelayLevel", "1s 1s")];
    let slave = cluster.slave(1, &[ACTING, &own].concat()).await.unwrap();
    let peer = Peer::new(slave.addr());
    let delayed = async |level: i32, numbers: std::ops::Range<i32>| {
        for number in numbers {
            let properties = format!("KEYS\u{1}k{number}\u{2}TAGS\u{1}A\u{2}DELAY\u{1}{level}\u{2}");
            let properties = Some(&*properties);
            let header = SendMessageRequestHeaderV2 { properties, flag: number, ..send_header("producers", "T") };
            let request = Request::new(RequestCode::SEND_MESSAGE_V2).header(&header);
            master.ok(request.body(format!("delayed {number}"))).await;
        }
    };
    delayed(1, 0..3).await;
    until("the master delivers", async || master.max_offset("T", 0).await == 3).await;
    delayed(2, 3..103).await;
    until("the slave has them, and knows what was delivered", async || {
        peer.max_offset("SCHEDULE_TOPIC_XXXX", 1).await == 100 && delivered(&peer, 1).await.as_deref() == Some("3,3")
    })
    .await;
    cluster.stop_broker().await;

    until("they come elsewhere", async || delivered(&peer, 2).await.as_deref() == Some("100,100")).await;
    let mut seen = Vec::new();
    let end = elsewhere.max_offset("T", 0).await;
    while (seen.len() as i64) < end {
        seen.extend(elsewhere.pull("T", 0, seen.len() as i64).await.messages);
    }
    let numbers: BTreeSet<i32> = seen.iter().map(|message| message.flag).collect();
    assert_eq!(numbers, (3..103).collect(), "all of them, and nothing that was delivered before");
    for message in &seen {
        let number = message.flag;
        assert_eq!(message.body, format!("delayed {number}"));
        assert_eq!(message.property("KEYS"), Some(&*format!("k{number}")));
        assert_eq!((message.property("TAGS"), message.property("DELAY")), (Some("A"), None));
    }
    cluster.restart_broker().await.unwrap();
    assert_eq!(delivered(&Peer::new(cluster.broker_addr()), 2).await.as_deref(), Some("100,100"), "it was taken over");
}

/// How far a delay level is: the first message that is not delivered, and the end.
async fn delivered(peer: &Peer, level: i32) -> Option<String> {
    let answer = peer.ok(Request::new(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
    let info: KVTable = json::from_slice(&answer.body).unwrap();
    info.table.get(&format!("scheduleMessageOffset_{level}")).cloned()
}
