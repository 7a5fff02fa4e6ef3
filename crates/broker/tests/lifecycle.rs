//! Starting, stopping, keeping, and the name servers.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::net::TcpListener;
use std::time::Duration;

use raptormq_broker::StartError;
use raptormq_protocol::body::*;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Command, Version};
use raptormq_protocol::header::*;
use raptormq_protocol::json;
use raptormq_remoting::{Connection, Listen, Outcome, Output, Request, Server, ServerOptions, Service};
use support::*;
use tempfile::TempDir;
use tokio::sync::mpsc;

fn create_topic(name: &str) -> CreateTopicRequestHeader<'_> {
    CreateTopicRequestHeader {
        topic: name,
        default_topic: "TBW102",
        read_queue_nums: 2,
        write_queue_nums: 2,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        ..CreateTopicRequestHeader::default()
    }
}

#[tokio::test]
async fn topics_groups_offsets_and_messages_come_back_after_a_restart() {
    let mut rig = Rig::new();
    let peer = rig.peer();
    let header = CreateTopicRequestHeader { attributes: Some("+message.type=FIFO"), ..create_topic("Made") };
    assert_eq!(peer.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &header).await.code, ResponseCode::SUCCESS);
    peer.send("T", "kept").await;
    peer.heartbeat("c1", &[("g", &[("T", "*")])]).await;
    let update = UpdateConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: Some(0),
        commit_offset: Some(1),
    };
    peer.get(RequestCode::UPDATE_CONSUMER_OFFSET, &update).await;
    rig.restart().await;

    let peer = rig.peer();
    assert_eq!(bodies(&peer.pull(Pull::new("T", 0)).await), ["kept"]);
    let answer = peer.get(RequestCode::GET_TOPIC_CONFIG, &GetTopicConfigRequestHeader { topic: "Made" }).await;
    let made: TopicConfig = json::from_slice(&answer.body).unwrap();
    assert_eq!((made.read_queue_nums, made.attributes["message.type"].as_str()), (2, "FIFO"));
    let header = GetSubscriptionGroupConfigRequestHeader { group: "g" };
    let answer = peer.get(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, &header).await;
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: 0,
        set_zero_if_not_found: Some(false),
    };
    assert_eq!(offset(&peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &header).await), 1);
}

#[tokio::test]
async fn what_an_admin_changes_is_on_disk_before_the_answer() {
    let rig = Rig::new();
    let peer = rig.peer();
    let answer = peer.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &create_topic("Made")).await;
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    assert!(rig.kept("topics.json").contains("\"Made\":{"));
    let group = SubscriptionGroupConfig { group_name: "made".into(), ..SubscriptionGroupConfig::default() };
    let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
    peer.ask(request.body(json::to_vec(&group).unwrap())).await;
    assert!(rig.kept("subscriptionGroup.json").contains("\"made\":{"));

    peer.ask(Message::new("Made").request("x")).await;
    let delete = DeleteTopicRequestHeader { topic: "Made" };
    assert_eq!(peer.get(RequestCode::DELETE_TOPIC_IN_BROKER, &delete).await.code, ResponseCode::SUCCESS);
    assert!(!rig.kept("topics.json").contains("\"Made\":{"));
    assert_eq!(peer.pull(Pull::new("Made", 0)).await.code, ResponseCode::TOPIC_NOT_EXIST);
    // A topic of the same name begins anew.
    peer.send("Made", "again").await;
    assert_eq!(bodies(&peer.pull(Pull::new("Made", 0)).await), ["again"]);
    let header = DeleteSubscriptionGroupRequestHeader { group_name: "made", clean_offset: true };
    assert_eq!(peer.get(RequestCode::DELETE_SUBSCRIPTIONGROUP, &header).await.code, ResponseCode::SUCCESS);
    assert!(!rig.kept("subscriptionGroup.json").contains("\"made\":{"));
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged_and_is_tried_again() {
    let rig = Rig::with(|settings| settings.broker.flush_consumer_offset_interval = 50);
    let peer = rig.peer();
    peer.send("T", "x").await;
    let config = rig.folder.path().join("store/config");
    std::fs::remove_dir_all(&config).unwrap();
    std::fs::write(&config, "no folder").unwrap();
    let refused = [
        peer.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &create_topic("Made")).await,
        peer.ask(Message::new("New").request("x")).await,
    ];
    for refused in refused {
        let remark = refused.remark.unwrap_or_default();
        assert_eq!(refused.code, ResponseCode::SYSTEM_ERROR, "{remark}");
        assert!(remark.starts_with("cannot write ") && remark.contains("topics.json"), "{remark}");
    }
    assert_eq!(peer.send("T", "y").await.code, ResponseCode::SUCCESS, "nothing has to be kept for it");
    std::fs::remove_file(&config).unwrap();
    while !rig.kept("topics.json").contains("\"Made\":{") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn topics_that_cannot_be_made_are_refused() {
    let rig = Rig::new();
    let peer = rig.peer();
    let base = create_topic("T");
    let cases = [
        (CreateTopicRequestHeader { topic: "a b", ..base.clone() }, 29, "The specified topic contains"),
        (
            CreateTopicRequestHeader { topic: "TBW102", ..base.clone() },
            29,
            "The topic[TBW102] is conflict with system topic.",
        ),
        (CreateTopicRequestHeader { write_queue_nums: 0, ..base.clone() }, 29, "writeQueueNums is 0"),
        (CreateTopicRequestHeader { read_queue_nums: i32::MAX, ..base.clone() }, 29, "readQueueNums is 2147483647"),
        (CreateTopicRequestHeader { attributes: Some("+a=b"), ..base.clone() }, 1, "unsupported key: a"),
        (
            CreateTopicRequestHeader { attributes: Some("-message.type"), ..base.clone() },
            1,
            "only add attribute is supported",
        ),
        (
            CreateTopicRequestHeader { attributes: Some("+message.type=MIXED"), ..base },
            29,
            "MIXED message type is not supported.",
        ),
    ];
    for (header, code, begin) in cases {
        let refused = peer.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &header).await;
        let remark = refused.remark.unwrap_or_default();
        assert!(refused.code == ResponseCode(code) && remark.starts_with(begin), "{header:?}: {remark}");
    }
}

#[tokio::test]
async fn tools_see_topics_groups_settings_and_state() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "x").await;
    let answer = peer.ask(Request::new(RequestCode::GET_ALL_TOPIC_CONFIG)).await;
    let all: TopicConfigAndMappingSerializeWrapper = json::from_slice(&answer.body).unwrap();
    assert!(all.topic_config_table.contains_key("T") && all.topic_config_table.contains_key("TBW102"));
    assert_eq!(answer.fields.get("totalTopicNum"), Some(all.topic_config_table.len().to_string().as_str()));
    let page = GetAllTopicConfigRequestHeader { topic_seq: Some(0), max_topic_num: Some(3), data_version: None };
    let answer = peer.get(RequestCode::GET_ALL_TOPIC_CONFIG, &page).await;
    let page: TopicConfigAndMappingSerializeWrapper = json::from_slice(&answer.body).unwrap();
    assert_eq!(page.topic_config_table.len(), 3);

    let answer = peer.ask(Request::new(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).await;
    let groups: SubscriptionGroupWrapper = json::from_slice(&answer.body).unwrap();
    assert!(groups.subscription_group_table.contains_key("TOOLS_CONSUMER"));
    let answer = peer.ask(Request::new(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER)).await;
    let topics: TopicList = json::from_slice(&answer.body).unwrap();
    assert!(topics.topic_list.contains(&"DefaultCluster".to_owned()));

    let answer = peer.ask(Request::new(RequestCode::GET_BROKER_CONFIG)).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let port = rig.settings.server.listen_port;
    assert!(text.lines().any(|line| line == "brokerName=broker-a"), "{text}");
    assert!(text.lines().any(|line| line == format!("listenPort={port}")), "{text}");
    let runtime = peer.runtime().await;
    assert_eq!((runtime["putMessageTimesTotal"].as_str(), runtime["brokerVersionDesc"].as_str()), ("1", "V5_3_3"));
    assert_eq!((runtime["putTps"].as_str(), runtime["msgPutTotalTodayNow"].as_str()), ("0.0 0.0 0.0", "1"));
    for missing in [RequestCode::GET_TOPIC_CONFIG, RequestCode::GET_TOPIC_STATS_INFO] {
        let answer = peer.get(missing, &GetTopicConfigRequestHeader { topic: "Nothing" }).await;
        assert_eq!(answer.code, ResponseCode::TOPIC_NOT_EXIST);
    }
}

/// Code, fields and body of a request.
type Asked = (RequestCode, Vec<(String, String)>, Vec<u8>);

/// A name server that tells what it is asked.
struct NameServer(mpsc::UnboundedSender<Asked>);

impl Service for NameServer {
    type Ticket = ();

    fn handle(&self, _peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<()> {
        let fields = request.fields.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let _ = self.0.send((RequestCode(request.code), fields, request.body.to_vec()));
        out.respond(request, ResponseCode::SUCCESS, None);
        Outcome::Done
    }

    fn end_turn(&self) {}
    fn finish(&self, _peer: &Connection, _ticket: (), _out: &mut Output) {}
    fn closed(&self, _peer: &Connection) {}
}

#[tokio::test]
async fn the_broker_is_registered_with_every_name_server_and_leaves_them() {
    let (sender, mut asked) = mpsc::unbounded_channel();
    let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), key: "listenPort" };
    let options = ServerOptions { listen: vec![listen], io_threads: 1, ..ServerOptions::default() };
    let name_server = Server::start(options, move |_| NameServer(sender.clone())).unwrap();
    // One that takes connections and says nothing must not delay the other.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = format!("{};{}", dead.local_addr().unwrap(), name_server.local_addrs()[0]);
    let mut rig = Rig::with(|settings| settings.broker.namesrv_addr = addresses);

    let mut next = async || tokio::time::timeout(LONG, asked.recv()).await.unwrap().unwrap();
    let (code, fields, body) = next().await;
    assert_eq!(code, RequestCode::REGISTER_BROKER);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).unwrap().1.clone();
    let port = rig.settings.server.listen_port;
    assert_eq!((field("brokerName"), field("brokerId")), ("broker-a".to_owned(), "0".to_owned()));
    assert_eq!(field("brokerAddr"), format!("127.0.0.1:{port}"));
    assert_eq!(field("haServerAddr"), format!("127.0.0.1:{}", port + 1));
    let registered = RegisterBrokerBody::decode(&body, Version::CURRENT).unwrap().topic_config_serialize_wrapper;
    assert!(registered.topic_config_table.contains_key("TBW102"));

    // A new topic is told at once, with a new version.
    rig.peer().send("T", "x").await;
    let (code, _, body) = next().await;
    assert_eq!(code, RequestCode::REGISTER_BROKER);
    let again = RegisterBrokerBody::decode(&body, Version::CURRENT).unwrap().topic_config_serialize_wrapper;
    assert!(again.topic_config_table.contains_key("T"));
    assert!(again.data_version.counter > registered.data_version.counter);

    tokio::time::timeout(LONG, rig.stop()).await.unwrap();
    assert_eq!(next().await.0, RequestCode::UNREGISTER_BROKER);
    name_server.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_cannot_start_says_why_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let error = |change: &dyn Fn(&mut raptormq_config::BrokerSettings)| {
        let folder = TempDir::new().unwrap();
        let mut settings = settings(&folder);
        change(&mut settings);
        let error = raptormq_broker::start(settings.clone()).map(|_| ()).unwrap_err();
        (error, settings, folder)
    };
    let taken = rig.settings.server.listen_port;
    let (refused, mut settings, _folder) = error(&|settings| settings.server.listen_port = taken);
    assert!(matches!(refused, StartError::Server(_)));
    assert!(refused.to_string().contains(&format!("cannot listen on 0.0.0.0:{taken}")), "{refused}");
    // The store was given back: with a free port it starts.
    settings.server.listen_port = free_port();
    raptormq_broker::start(settings).unwrap().shutdown().await;

    let root = rig.settings.store.store_path_root_dir.clone();
    let (refused, ..) = error(&|settings| settings.store.store_path_root_dir.clone_from(&root));
    assert!(refused.to_string().starts_with("Lock failed,MQ already started"), "{refused}");
    let (refused, ..) = error(&|settings| settings.broker.broker_ip1 = "no such host".into());
    assert!(refused.to_string().starts_with("brokerIP1=no such host is no address"), "{refused}");
    let (refused, ..) = error(&|settings| settings.server.bind_address = "everywhere".into());
    assert!(refused.to_string().starts_with("bindAddress=everywhere is no IP address"), "{refused}");
    let (refused, ..) = error(&|settings| settings.store.ha_bind_address = "localhost".into());
    assert!(refused.to_string().starts_with("haBindAddress=localhost is no IP address"), "{refused}");
    let (refused, ..) = error(&|settings| {
        let config = format!("{}/config", settings.store.store_path_root_dir);
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(format!("{config}/subscriptionGroup.json"), "{\"subscription").unwrap();
    });
    assert!(refused.to_string().contains("subscriptionGroup.json is damaged"), "{refused}");
    assert_eq!(rig.peer().send("T", "x").await.code, ResponseCode::SUCCESS);
}

/// Slaves are served where they are told to come, and on this machine; clients everywhere.
#[tokio::test]
async fn the_port_for_slaves_is_open_at_the_broker_s_own_address() {
    let open_at = |ip2: &'static str, bind: &'static str, ha_bind: &'static str| {
        let rig = Rig::with(|settings| {
            settings.broker.broker_ip2 = ip2.into();
            settings.server.bind_address = bind.into();
            settings.store.ha_bind_address = ha_bind.into();
        });
        let is_open = |host: &str, port| std::net::TcpStream::connect((host, port)).is_ok();
        let of_slaves = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        let of_slaves = of_slaves.map(|host| is_open(host, rig.settings.store.ha_listen_port));
        (of_slaves, is_open("127.0.0.3", rig.settings.server.listen_port))
    };
    assert_eq!(open_at("127.0.0.2", "0.0.0.0", ""), ([true, true, false], true));
    assert_eq!(open_at("127.0.0.1", "0.0.0.0", ""), ([true, false, false], true));
    // An address that this machine does not have is that of something in front of it, and a name says nothing.
    for elsewhere in ["192.0.2.1", "broker.example", "0.0.0.0", ""] {
        assert_eq!(open_at(elsewhere, "0.0.0.0", ""), ([true, true, true], true), "{elsewhere}");
    }
    assert_eq!(open_at("127.0.0.2", "127.0.0.3", ""), ([false, false, true], true), "where clients are");
    assert_eq!(open_at("127.0.0.2", "0.0.0.0", "127.0.0.3"), ([false, false, true], true));
    assert_eq!(open_at("127.0.0.2", "127.0.0.3", "0.0.0.0"), ([true, true, true], true));
}

#[tokio::test]
async fn a_stop_is_quick_also_while_pulls_are_held() {
    let mut rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "x").await;
    let other = rig.peer();
    let held = tokio::spawn(async move { other.ask_or_lose(Pull::new("T", 1).waiting(60_000).request()).await });
    peer.held(1).await;
    tokio::time::timeout(Duration::from_secs(20), rig.stop()).await.unwrap();
    assert!(held.await.unwrap().is_err(), "its connection is closed");
}
