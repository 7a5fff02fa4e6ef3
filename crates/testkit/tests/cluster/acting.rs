//! A group whose slave may stand in for its master: what name servers show, what the slave is told meanwhile, and what a
//! master does that comes back. And what a synchronous master says when too few replicas live.

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::UpdateConsumerOffsetRequestHeader;
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
