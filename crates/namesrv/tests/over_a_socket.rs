//! A name server as its peers meet it: over TCP, through the remoting client.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use raptormq_config::{Environment, NamesrvSettings};
use raptormq_namesrv::{RunningNamesrv, StartError, start};
use raptormq_protocol::body::{RegisterBrokerBody, TopicConfig, TopicList};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{
    NotifyMinBrokerIdChangeRequestHeader, RegisterBrokerRequestHeader, RegisterBrokerResponseHeader,
};
use raptormq_protocol::json;
use raptormq_protocol::route::TopicRouteData;
use raptormq_remoting::{
    Client, ClientOptions, Connection, Inbound, Listen, Outcome, Output, Request, Response, Server, ServerOptions,
    Service,
};
use tokio::sync::mpsc;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Settings whose files lie in `folder` and whose port the system chooses.
fn settings(folder: &Path) -> NamesrvSettings {
    let home = folder.to_str().unwrap().to_owned();
    let mut settings = NamesrvSettings::new(&Environment { home, ..Environment::default() });
    settings.server.listen_port = 0;
    settings.server.bind_address = "127.0.0.1".to_owned();
    settings.server.io_threads = 2;
    settings
}

fn run(settings: NamesrvSettings) -> RunningNamesrv {
    start(settings, Arc::new(|| 0)).unwrap()
}

/// A client of one name server.
struct Peer {
    client: Client,
    namesrv: String,
}

impl Peer {
    fn new(namesrv: &RunningNamesrv) -> Peer {
        Peer::with_inbound(namesrv, Arc::new(()))
    }

    fn with_inbound(namesrv: &RunningNamesrv, inbound: Arc<dyn Inbound>) -> Peer {
        Peer { client: Client::new(ClientOptions::default(), inbound), namesrv: namesrv.local_addr().to_string() }
    }

    async fn ask(&self, request: Request) -> Response {
        self.client.call(&self.namesrv, request, TIMEOUT).await.unwrap()
    }

    async fn ok(&self, request: Request) -> Response {
        let response = self.ask(request).await;
        assert!(response.is_success(), "{:?} {:?}", response.code, response.remark);
        response
    }

    async fn register(&self, id: i64, addr: &str) -> Response {
        self.ok(registration(id, addr)).await
    }

    async fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let request = Request::new(RequestCode::GET_ROUTEINFO_BY_TOPIC).field("topic", topic);
        let response = self.ask(request).await;
        response.is_success().then(|| json::from_slice(&response.body).unwrap())
    }
}

/// Broker `broker-a` of cluster C with the topics A and B.
fn registration(id: i64, addr: &str) -> Request {
    let header = RegisterBrokerRequestHeader {
        broker_name: "broker-a",
        broker_addr: addr,
        cluster_name: "C",
        ha_server_addr: "ha:1",
        broker_id: id,
        heartbeat_timeout_millis: Some(1_000),
        ..Default::default()
    };
    let mut body = RegisterBrokerBody::default();
    for name in ["A", "B"] {
        let topic = TopicConfig { topic_name: name.to_owned(), ..Default::default() };
        body.topic_config_serialize_wrapper.topic_config_table.insert(name.to_owned(), topic);
    }
    Request::new(RequestCode::REGISTER_BROKER).header(&header).body(body.encode().unwrap())
}

fn kv(code: RequestCode, key: &str) -> Request {
    Request::new(code).field("namespace", "N").field("key", key)
}

/// Tells when the name server closed the connection.
struct Closed(mpsc::UnboundedSender<()>);

impl Inbound for Closed {
    fn closed(&self, _: &str, _: &str) {
        // The test may be over.
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_broker_is_found_until_its_connection_closes() {
    let folder = tempfile::tempdir().unwrap();
    let namesrv = run(settings(folder.path()));
    let (broker, client) = (Peer::new(&namesrv), Peer::new(&namesrv));
    assert_eq!(client.route("A").await, None);
    broker.register(0, "127.0.0.1:1").await;
    let slave = broker.register(1, "127.0.0.1:2").await;
    let told: RegisterBrokerResponseHeader<'_> = slave.header().unwrap();
    assert_eq!((told.master_addr, told.ha_server_addr), (Some("127.0.0.1:1"), Some("ha:1")));
    assert_eq!(client.route("A").await.unwrap().broker_datas[0].broker_addrs.len(), 2);
    let list = client.ok(Request::new(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await;
    assert_eq!(json::from_slice::<TopicList>(&list.body).unwrap().topic_list, ["A", "B"]);

    broker.client.close();
    // The name server learns of the end when it reads it, and nobody tells us: ask until it shows.
    while client.route("A").await.is_some() {
        tokio::task::yield_now().await;
    }
    namesrv.shutdown().await;
}

#[tokio::test]
async fn a_silent_broker_is_removed_and_its_connection_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.namesrv.scan_not_active_broker_interval = 5;
    let clock = Arc::new(AtomicI64::new(0));
    let reading = clock.clone();
    let namesrv = start(settings, Arc::new(move || reading.load(Ordering::Relaxed))).unwrap();
    let (sender, mut closed) = mpsc::unbounded_channel();
    let broker = Peer::with_inbound(&namesrv, Arc::new(Closed(sender)));
    broker.register(0, "127.0.0.1:1").await;
    assert!(broker.route("A").await.is_some());
    clock.store(1_001, Ordering::Relaxed);
    tokio::time::timeout(TIMEOUT, closed.recv()).await.expect("the connection is closed").unwrap();
    assert_eq!(Peer::new(&namesrv).route("A").await, None);
    namesrv.shutdown().await;
}

#[tokio::test]
async fn kv_configuration_and_changed_settings_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let namesrv = run(settings(folder.path()));
    let peer = Peer::new(&namesrv);
    peer.ok(kv(RequestCode::PUT_KV_CONFIG, "k").field("value", "v")).await;
    peer.ok(Request::new(RequestCode::UPDATE_NAMESRV_CONFIG).body("orderMessageEnable=true\n")).await;
    let refused = peer.ask(Request::new(RequestCode::UPDATE_NAMESRV_CONFIG).body("kvConfigPath=/x\n")).await;
    assert_eq!(refused.code, ResponseCode::NO_PERMISSION);
    namesrv.shutdown().await;

    let namesrv = run(settings(folder.path()));
    let peer = Peer::new(&namesrv);
    let found = peer.ok(kv(RequestCode::GET_KV_CONFIG, "k")).await;
    assert_eq!(found.fields.get("value"), Some("v"));
    let missing = peer.ask(kv(RequestCode::GET_KV_CONFIG, "x")).await;
    assert_eq!(missing.code, ResponseCode::QUERY_NOT_FOUND);
    let saved = std::fs::read_to_string(folder.path().join("namesrv/namesrv.properties")).unwrap();
    assert_eq!(saved, "orderMessageEnable=true\n");
    namesrv.shutdown().await;
}

/// A broker that hands on the notices it gets.
struct NoticeTaker(mpsc::UnboundedSender<(i64, String, Option<String>)>);

impl Service for NoticeTaker {
    type Ticket = ();

    fn handle(&self, _: &Connection, request: &Command<'_>, _: &mut Output) -> Outcome<()> {
        assert_eq!(request.code, RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE.0);
        assert!(request.is_oneway());
        let header: NotifyMinBrokerIdChangeRequestHeader<'_> = request.header().unwrap();
        let offline = header.offline_broker_addr.map(str::to_owned);
        // The test may be over.
        let _ = self.0.send((header.min_broker_id.unwrap(), header.min_broker_addr.unwrap().to_owned(), offline));
        Outcome::Done
    }

    fn end_turn(&self) {}

    fn finish(&self, _: &Connection, (): (), _: &mut Output) {}

    fn closed(&self, _: &Connection) {}
}

#[tokio::test]
async fn a_group_is_told_when_its_smallest_id_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.namesrv.notify_min_broker_id_changed = true;
    let namesrv = run(settings);
    let (sender, mut notices) = mpsc::unbounded_channel();
    let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), key: "listenPort" };
    let options = ServerOptions { listen: vec![listen], io_threads: 1, ..ServerOptions::default() };
    let slave = Server::start(options, move |_| NoticeTaker(sender.clone())).unwrap();
    let slave_addr = slave.local_addrs()[0].to_string();

    let master = Peer::new(&namesrv);
    let of_slave = Peer::new(&namesrv);
    of_slave.register(1, &slave_addr).await;
    master.register(0, "127.0.0.1:1").await;
    let notice = tokio::time::timeout(TIMEOUT, notices.recv()).await.unwrap().unwrap();
    assert_eq!(notice, (0, "127.0.0.1:1".to_owned(), None));
    master.client.close();
    let notice = tokio::time::timeout(TIMEOUT, notices.recv()).await.unwrap().unwrap();
    assert_eq!(notice, (1, slave_addr, Some("127.0.0.1:1".to_owned())));
    slave.shutdown().await;
    namesrv.shutdown().await;
}

#[tokio::test]
async fn noise_on_one_connection_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let namesrv = run(settings(folder.path()));
    let peer = Peer::new(&namesrv);
    peer.register(0, "127.0.0.1:1").await;
    let address: SocketAddr = namesrv.local_addr();
    for noise in [vec![0xA5; 1 << 20], vec![0x7F, 0xFF, 0xFF, 0xFF], vec![0; 64]] {
        // The name server may close the connection while we still send.
        let _ = TcpStream::connect(address).unwrap().write_all(&noise);
    }
    let nested = Request::new(RequestCode::REGISTER_BROKER)
        .field("brokerName", "b")
        .field("brokerAddr", "b:1")
        .field("clusterName", "C")
        .body("{\"a\":".repeat(10_000));
    assert_eq!(peer.ask(nested).await.code, ResponseCode::SYSTEM_ERROR);
    let unknown = peer.ask(Request::new(RequestCode(4711))).await;
    assert_eq!(unknown.code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(unknown.remark.as_deref(), Some(" request type 4711 not supported"));
    assert!(peer.route("A").await.is_some());
    namesrv.shutdown().await;
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(settings(folder.path()));
    let mut taken = settings(folder.path());
    taken.server.listen_port = first.local_addr().port();
    let refusal = start(taken, Arc::new(|| 0)).err().unwrap();
    assert!(matches!(refusal, StartError::Remoting(_)));
    assert!(refusal.to_string().contains("another process listens there; stop it or set listenPort"), "{refusal}");
    first.shutdown().await;

    let mut nowhere = settings(folder.path());
    nowhere.server.bind_address = "not an address".to_owned();
    let refusal = start(nowhere, Arc::new(|| 0)).err().unwrap().to_string();
    assert!(refusal.starts_with("bindAddress=not an address: "), "{refusal}");

    let path = folder.path().join("namesrv/kvConfig.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "{").unwrap();
    let refusal = start(settings(folder.path()), Arc::new(|| 0)).err().unwrap().to_string();
    assert!(refusal.contains("kvConfig.json is damaged"), "{refusal}");
}
