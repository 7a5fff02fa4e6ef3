//! A broker of its own for each test, and a client that says exactly what a test wants.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use raptormq_broker::RunningBroker;
use raptormq_config::{BrokerSettings, Environment};
use raptormq_protocol::body::KVTable;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::*;
use raptormq_protocol::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData,
};
use raptormq_protocol::json;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::properties;
use raptormq_remoting::{Client, ClientOptions, Connection, Inbound, Output, Request, Response};
use raptormq_store::SystemClock;
use raptormq_store::disk::Disk;
use raptormq_store::disk::real::RealDisk;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longer than anything takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);
/// A pull's flags: it may wait, and brings its own subscription.
pub const SUSPEND: i32 = 2;
pub const SUBSCRIPTION: i32 = 4;

pub struct Rig {
    broker: Option<RunningBroker>,
    pub settings: BrokerSettings,
    pub folder: TempDir,
    disk: Arc<dyn Disk>,
}

impl Rig {
    pub fn new() -> Rig {
        Rig::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut BrokerSettings)) -> Rig {
        let folder = TempDir::new().unwrap();
        let mut settings = settings(&folder);
        change(&mut settings);
        let mut rig = Rig { broker: None, settings, folder, disk: Arc::new(RealDisk) };
        rig.start();
        rig
    }

    /// A broker on a disk of the test's.
    pub fn on(settings: BrokerSettings, disk: Arc<dyn Disk>) -> Rig {
        let mut rig = Rig { broker: None, settings, folder: TempDir::new().unwrap(), disk };
        rig.start();
        rig
    }

    pub fn start(&mut self) {
        self.settings.settle().unwrap();
        // Somebody else may take a port between its choice and its use.
        for _ in 0..20 {
            match raptormq_broker::start_with(self.settings.clone(), self.disk.clone(), Arc::new(SystemClock)) {
                Ok(broker) => return self.broker = Some(broker),
                Err(raptormq_broker::StartError::Server(_)) => {
                    self.settings.server.listen_port = free_port();
                    self.settings.store.ha_listen_port = self.settings.server.listen_port + 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no free port");
    }

    pub async fn stop(&mut self) {
        self.broker.take().unwrap().shutdown().await;
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start();
    }

    pub fn broker(&self) -> &RunningBroker {
        self.broker.as_ref().unwrap()
    }

    pub fn peer(&self) -> Peer {
        Peer::new(self.settings.server.listen_port)
    }

    pub fn vip_peer(&self) -> Peer {
        Peer::new(self.settings.server.listen_port - 2)
    }

    /// A file that the broker keeps.
    pub fn kept(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("store/config").join(name)).unwrap_or_default()
    }
}

pub fn settings(folder: &TempDir) -> BrokerSettings {
    let mut settings = BrokerSettings::new(&Environment::default());
    settings.server.listen_port = free_port();
    settings.server.io_threads = 2;
    settings.broker.broker_name = "broker-a".into();
    settings.store.store_path_root_dir = folder.path().join("store").to_str().unwrap().into();
    settings.store.mapped_file_size_commit_log = 16 << 20;
    settings.store.max_hash_slot_num = 1000;
    settings.store.max_index_num = 4000;
    settings
}

/// A port that is free, and so are the VIP port below it and the slaves' port above.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port > 2 && [port - 2, port + 1].into_iter().all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok()) {
            return port;
        }
    }
}

/// A client with one connection.
pub struct Peer {
    client: Client,
    address: String,
    /// Groups that the broker said have changed.
    notices: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    /// What the broker asked or handed over.
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<Response>>,
}

struct Notices(mpsc::UnboundedSender<String>, mpsc::UnboundedSender<Response>);

impl Inbound for Notices {
    fn handle(&self, _server: &Connection, request: &Command<'_>, out: &mut Output) {
        match RequestCode(request.code) {
            RequestCode::CHECK_TRANSACTION_STATE => {
                assert!(request.is_oneway());
                return drop(self.1.send(copied(request)));
            }
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => {
                out.respond(request, ResponseCode::SUCCESS, None);
                return drop(self.1.send(copied(request)));
            }
            code => assert_eq!(code, RequestCode::NOTIFY_CONSUMER_IDS_CHANGED),
        }
        assert!(request.is_oneway());
        let _ = self.0.send(request.fields.get("consumerGroup").unwrap().to_owned());
    }
}

/// A request as a response: what a test looks at is the same.
fn copied(request: &Command<'_>) -> Response {
    let copy = Response::new(ResponseCode(request.code)).body(request.body.to_vec());
    request.fields.iter().fold(copy, |copy, (key, value)| copy.field(key, value))
}

impl Peer {
    pub fn new(port: u16) -> Peer {
        let (notice, notices) = mpsc::unbounded_channel();
        let (ask, asked) = mpsc::unbounded_channel();
        let client = Client::new(ClientOptions::default(), Arc::new(Notices(notice, ask)));
        let address = format!("127.0.0.1:{port}");
        Peer { client, address, notices: tokio::sync::Mutex::new(notices), asked: tokio::sync::Mutex::new(asked) }
    }

    pub async fn ask(&self, request: Request) -> Response {
        self.client.call(&self.address, request, LONG).await.unwrap()
    }

    /// As [`Peer::ask`], of a broker that may go away.
    pub async fn ask_or_lose(&self, request: Request) -> Result<Response, raptormq_remoting::CallError> {
        self.client.call(&self.address, request, LONG).await
    }

    pub async fn tell(&self, request: Request) {
        self.client.oneway(&self.address, &request).await.unwrap();
    }

    pub async fn get<'h>(&self, code: RequestCode, header: &impl Header<'h>) -> Response {
        self.ask(Request::new(code).header(header)).await
    }

    pub fn disconnect(&self) {
        self.client.disconnect(&self.address);
    }

    /// The next group that the broker says has changed.
    pub async fn notice(&self) -> String {
        tokio::time::timeout(LONG, self.notices.lock().await.recv()).await.unwrap().unwrap()
    }

    /// The next thing that the broker asks or hands over, in the form of a response.
    pub async fn asked(&self) -> Response {
        tokio::time::timeout(LONG, self.asked.lock().await.recv()).await.unwrap().unwrap()
    }

    pub async fn send(&self, topic: &str, body: &str) -> Response {
        self.ask(Message::new(topic).request(body)).await
    }

    /// Sends so many messages over one connection, none of which waits for another's answer.
    pub async fn send_together(&self, topic: &str, count: usize) -> Vec<Response> {
        let mut sends = tokio::task::JoinSet::new();
        for number in 0..count {
            let (client, address) = (self.client.clone(), self.address.clone());
            let request = Message::new(topic).request(&number.to_string());
            sends.spawn(async move { client.call(&address, request, LONG).await.unwrap() });
        }
        sends.join_all().await
    }

    pub async fn pull(&self, pull: Pull<'_>) -> Response {
        self.ask(pull.request()).await
    }

    pub async fn heartbeat(&self, client_id: &str, groups: &[(&str, &[(&str, &str)])]) -> Response {
        let consumers = groups.iter().map(|(group, topics)| consumer(group, topics)).collect();
        let data = HeartbeatData {
            client_id: client_id.into(),
            consumer_data_set: consumers,
            producer_data_set: vec![ProducerData { group_name: "producers".into() }],
            ..HeartbeatData::default()
        };
        self.ask(heartbeat_request(&data)).await
    }

    pub async fn consumer_ids(&self, group: &str) -> Response {
        let header = GetConsumerListByGroupRequestHeader { consumer_group: group };
        self.get(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header).await
    }

    /// What the broker says of its state.
    pub async fn runtime(&self) -> BTreeMap<String, String> {
        let response = self.ask(Request::new(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
        json::from_slice::<KVTable>(&response.body).unwrap().table
    }

    /// Waits until so many pulls are held.
    pub async fn held(&self, count: usize) {
        while self.runtime().await["pullRequestsHeld"] != count.to_string() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub fn heartbeat_request(data: &HeartbeatData) -> Request {
    Request::new(RequestCode::HEART_BEAT).body(json::to_vec(data).unwrap())
}

pub fn consumer(group: &str, topics: &[(&str, &str)]) -> ConsumerData {
    ConsumerData {
        group_name: group.into(),
        consume_type: ConsumeType::ConsumePassively,
        message_model: MessageModel::Clustering,
        consume_from_where: ConsumeFromWhere::ConsumeFromFirstOffset,
        unit_mode: false,
        subscription_data_set: topics
            .iter()
            .map(|(topic, expression)| SubscriptionData {
                sub_version: 7,
                ..SubscriptionData::parse(topic, expression).unwrap()
            })
            .collect(),
    }
}

/// A send as the Java client makes it.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub queue_id: i32,
    pub properties: Vec<(&'static str, String)>,
    pub default_topic: &'static str,
    pub queues: i32,
    pub sys_flag: i32,
    pub born_timestamp_ms: i64,
    pub reconsume_times: Option<i32>,
    pub max_reconsume_times: Option<i32>,
}

impl Message {
    pub fn new(topic: &str) -> Message {
        Message {
            topic: topic.into(),
            queue_id: 0,
            properties: vec![("UNIQ_KEY", "7F0000010001".into())],
            default_topic: "TBW102",
            queues: 4,
            sys_flag: 0,
            born_timestamp_ms: 1_700_000_000_000,
            reconsume_times: None,
            max_reconsume_times: None,
        }
    }

    pub fn queue(self, queue_id: i32) -> Message {
        Message { queue_id, ..self }
    }

    pub fn property(mut self, name: &'static str, value: &str) -> Message {
        self.properties.push((name, value.into()));
        self
    }

    pub fn request(&self, body: &str) -> Request {
        let text = properties::encode(self.properties.iter().map(|(name, value)| (*name, value.as_str())));
        let header = self.header(&text);
        Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body(body.to_owned())
    }

    pub fn header<'a>(&'a self, properties: &'a str) -> SendMessageRequestHeaderV2<'a> {
        SendMessageRequestHeaderV2 {
            producer_group: "producers",
            topic: &self.topic,
            default_topic: self.default_topic,
            default_topic_queue_nums: self.queues,
            queue_id: self.queue_id,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp_ms,
            properties: Some(properties),
            reconsume_times: self.reconsume_times,
            max_reconsume_times: self.max_reconsume_times,
            ..SendMessageRequestHeaderV2::default()
        }
    }
}

/// A pull with its own subscription.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
    pub offset: i64,
    pub flags: i32,
    pub expression: &'a str,
    pub suspend_ms: i64,
    pub sub_version: i64,
    pub count: i32,
}

impl<'a> Pull<'a> {
    pub fn new(topic: &'a str, offset: i64) -> Pull<'a> {
        Pull {
            group: "g",
            topic,
            queue_id: 0,
            offset,
            flags: SUBSCRIPTION,
            expression: "*",
            suspend_ms: 0,
            sub_version: 0,
            count: 32,
        }
    }

    pub fn waiting(self, suspend_ms: i64) -> Pull<'a> {
        Pull { suspend_ms, flags: self.flags | SUSPEND, ..self }
    }

    pub fn header(&self) -> PullMessageRequestHeader<'a> {
        PullMessageRequestHeader {
            consumer_group: self.group,
            topic: self.topic,
            queue_id: self.queue_id,
            queue_offset: self.offset,
            max_msg_nums: self.count,
            sys_flag: self.flags,
            suspend_timeout_millis: self.suspend_ms,
            subscription: Some(self.expression),
            sub_version: self.sub_version,
            ..PullMessageRequestHeader::default()
        }
    }

    pub fn request(&self) -> Request {
        Request::new(RequestCode::PULL_MESSAGE).header(&self.header())
    }
}

pub fn messages(response: &Response) -> Vec<MessageExt> {
    MessageExt::decode_all(&response.body, 8 << 20).unwrap()
}

pub fn bodies(response: &Response) -> Vec<String> {
    messages(response).iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

/// The offset in an answer.
pub fn offset(response: &Response) -> i64 {
    assert_eq!(response.code, ResponseCode::SUCCESS, "{:?}", response.remark);
    response.header::<OffsetResponseHeader>().unwrap().offset
}

#[track_caller]
pub fn assert_refused(response: &Response, code: ResponseCode, remark: &str) {
    assert_eq!((response.code, response.remark.as_deref().unwrap_or_default()), (code, remark));
}
