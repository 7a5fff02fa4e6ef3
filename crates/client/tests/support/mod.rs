//! A cluster of fake brokers over real sockets: each keeps the messages of its queues in memory, answers as RocketMQ
//! does, and does what a test asks of it instead.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses its part; a failure ends the test

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raptormq_client::MessageQueue;
use raptormq_protocol::body::GetConsumerListByGroupResponseBody;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::*;
use raptormq_protocol::heartbeat::HeartbeatData;
use raptormq_protocol::json;
use raptormq_protocol::message::batch;
use raptormq_protocol::message::record::{self, Place, RecordParts};
use raptormq_protocol::route::{BrokerData, ClusterInfo, QueueData, TopicRouteData};
use raptormq_remoting::{
    Connection, Exchange, Listen, Outcome, Output, Request, Responder, Response, Server, ServerOptions, Service,
};

/// Queues of a topic on each broker.
pub const QUEUES: i32 = 2;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What all brokers of a cluster know, and what a test asks of them.
#[derive(Default)]
pub struct State {
    /// Topics that exist.
    pub topics: BTreeSet<String>,
    /// Records of each queue, from its first offset on.
    pub queues: HashMap<MessageQueue, Vec<Vec<u8>>>,
    /// First offset of queues that do not begin at 0.
    pub first_offsets: HashMap<MessageQueue, i64>,
    /// Group and queue to the committed offset.
    pub offsets: BTreeMap<(String, MessageQueue), i64>,
    /// Group to its members and their connections.
    pub members: BTreeMap<String, BTreeMap<String, Connection>>,
    /// Heartbeats that came.
    pub heartbeats: Vec<HeartbeatData>,
    /// Every request: broker name and code.
    pub requests: Vec<(String, RequestCode)>,
    /// The namespace that each request names in its fields.
    pub namespaces: Vec<(RequestCode, Option<String>)>,
    /// Answers to give instead of the usual ones, by broker name and code.
    pub answers: HashMap<(String, RequestCode), Vec<ResponseCode>>,
    /// Requests that are not answered at all.
    pub silent: BTreeSet<RequestCode>,
    /// Messages given back: log offset, delay level.
    pub given_back: Vec<(i64, i32)>,
    /// Producers and consumers that left.
    pub left: Vec<String>,
    addresses: BTreeMap<String, SocketAddr>,
    held: Vec<Held>,
    log_offset: i64,
}

/// A pull that waits for messages.
struct Held {
    queue: MessageQueue,
    offset: i64,
    responder: Responder,
}

/// A name server and brokers on one list of ports.
pub struct Cluster {
    pub state: Arc<Mutex<State>>,
    servers: Vec<Server>,
}

impl Cluster {
    /// A cluster of brokers `broker-0`, `broker-1`, …; the first is the name server, too.
    pub fn start(brokers: usize) -> Cluster {
        let state = Arc::new(Mutex::new(State::default()));
        let mut servers = Vec::new();
        for number in 0..brokers {
            let name = format!("broker-{number}");
            let listen = vec![Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), key: "listenPort" }];
            let options = ServerOptions { listen, io_threads: 1, ..ServerOptions::default() };
            let (service_state, service_name) = (state.clone(), name.clone());
            let make = move |_| Broker { name: service_name.clone(), state: service_state.clone() };
            let server = Server::start(options, make).unwrap();
            state.lock().addresses.insert(name, server.local_addrs()[0]);
            servers.push(server);
        }
        Cluster { state, servers }
    }

    /// Where clients find the cluster.
    pub fn namesrv(&self) -> String {
        self.servers[0].local_addrs()[0].to_string()
    }

    /// Makes topics.
    pub fn with_topics(self, topics: &[&str]) -> Cluster {
        self.state.lock().topics.extend(topics.iter().map(|topic| (*topic).to_owned()));
        self
    }

    /// Answers the next requests of that code to that broker with these codes.
    pub fn answer(&self, broker: usize, code: RequestCode, answers: &[ResponseCode]) {
        let answers = answers.iter().rev().copied().collect();
        self.state.lock().answers.insert((format!("broker-{broker}"), code), answers);
    }

    /// How often a code was asked for.
    pub fn count(&self, code: RequestCode) -> usize {
        self.state.lock().requests.iter().filter(|(_, seen)| *seen == code).count()
    }

    /// Puts messages into a queue of `broker-0`.
    pub fn put(&self, topic: &str, queue_id: i32, bodies: &[&str]) {
        let queue = queue(topic, queue_id);
        let mut state = self.state.lock();
        for body in bodies {
            state.append(&queue, Stored { body: body.as_bytes(), ..Stored::default() });
        }
        state.wake(&queue);
    }
}

/// A queue of `broker-0`.
pub fn queue(topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue { topic: topic.to_owned(), broker_name: "broker-0".to_owned(), queue_id }
}

/// What of a message is stored.
#[derive(Default)]
pub struct Stored<'a> {
    pub body: &'a [u8],
    pub properties: &'a str,
    pub sys_flag: i32,
    pub reconsume_times: i32,
}

impl State {
    /// Appends a message and returns its queue offset and log offset.
    pub fn append(&mut self, queue: &MessageQueue, message: Stored<'_>) -> (i64, i64) {
        let host = SocketAddr::from(([127, 0, 0, 1], 10911));
        let parts = RecordParts {
            topic: &queue.topic,
            queue_id: queue.queue_id,
            flag: 0,
            sys_flag: message.sys_flag,
            born_timestamp_ms: 1,
            born_host: host,
            store_host: host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: 0,
            body: message.body,
            properties: &[message.properties],
        };
        let mut bytes = Vec::new();
        record::encode(&parts, &mut bytes).unwrap();
        let first = self.first_offsets.get(queue).copied().unwrap_or(0);
        let records = self.queues.entry(queue.clone()).or_default();
        let queue_offset = first + records.len() as i64;
        let log_offset = self.log_offset;
        record::patch(&mut bytes, &Place { queue_offset, log_offset, store_timestamp_ms: 2 });
        self.log_offset += bytes.len() as i64;
        records.push(bytes);
        (queue_offset, log_offset)
    }

    /// Answers the pulls that wait for this queue.
    pub fn wake(&mut self, queue: &MessageQueue) {
        for held in self.held.extract_if(.., |held| held.queue == *queue).collect::<Vec<_>>() {
            let response = self.pull(queue, held.offset);
            held.responder.respond_with(&response);
        }
    }

    fn pull(&self, queue: &MessageQueue, offset: i64) -> Response {
        let first = self.first_offsets.get(queue).copied().unwrap_or(0);
        let empty = Vec::new();
        let records = self.queues.get(queue).unwrap_or(&empty);
        let end = first + records.len() as i64;
        let (code, next, found) = match offset {
            _ if offset < first => (ResponseCode::PULL_OFFSET_MOVED, first, &[][..]),
            _ if offset > end => (ResponseCode::PULL_OFFSET_MOVED, end, &[][..]),
            _ if offset == end => (ResponseCode::PULL_NOT_FOUND, end, &[][..]),
            _ => (ResponseCode::SUCCESS, end, &records[(offset - first) as usize..]),
        };
        let header = PullMessageResponseHeader {
            next_begin_offset: next,
            min_offset: first,
            max_offset: end,
            ..PullMessageResponseHeader::default()
        };
        Response::new(code).with_header(&header).body(found.concat())
    }

    fn route(&self, queues: i32) -> TopicRouteData {
        let broker = |(name, address): (&String, &SocketAddr)| BrokerData {
            broker_addrs: [(0, address.to_string())].into(),
            broker_name: name.clone(),
            cluster: "DefaultCluster".to_owned(),
            ..BrokerData::default()
        };
        let queue_data = |name: &String| QueueData {
            broker_name: name.clone(),
            perm: 6,
            read_queue_nums: queues,
            write_queue_nums: queues,
            topic_sys_flag: 0,
        };
        TopicRouteData {
            broker_datas: self.addresses.iter().map(broker).collect(),
            queue_datas: self.addresses.keys().map(queue_data).collect(),
            ..TopicRouteData::default()
        }
    }

    fn notify(&self, group: &str) {
        let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: group };
        let notice = Request::new(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED).header(&header);
        for connection in self.members.get(group).into_iter().flat_map(BTreeMap::values) {
            let _ = connection.oneway(&notice); // whoever is gone needs no notice
        }
    }
}

/// One broker of the cluster.
struct Broker {
    name: String,
    state: Arc<Mutex<State>>,
}

impl Service for Broker {
    type Ticket = ();

    fn handle(&self, peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<()> {
        let code = RequestCode(request.code);
        let mut state = self.state.lock();
        state.requests.push((self.name.clone(), code));
        let namespace = request.fields.get("ns").filter(|_| request.fields.get("nsd") == Some("true"));
        state.namespaces.push((code, namespace.map(str::to_owned)));
        if state.silent.contains(&code) {
            return Outcome::Done;
        }
        let forced = state.answers.get_mut(&(self.name.clone(), code)).and_then(Vec::pop);
        let response = match forced {
            Some(code) => Some(Response::new(code).remark("as the test asked")),
            None => self.answer(&mut state, peer, request),
        };
        if let Some(response) = response {
            out.respond_with(request, &response);
        }
        Outcome::Done
    }

    fn end_turn(&self) {}

    fn finish(&self, _peer: &Connection, (): (), _out: &mut Output) {}

    fn closed(&self, _peer: &Connection) {}
}

impl Broker {
    fn answer(&self, state: &mut State, peer: &Connection, request: &Command<'_>) -> Option<Response> {
        let ok = || Response::new(ResponseCode::SUCCESS);
        Some(match RequestCode(request.code) {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => {
                let header: GetRouteInfoRequestHeader<'_> = request.header().unwrap();
                if !state.topics.contains(header.topic) {
                    return Some(Response::new(ResponseCode::TOPIC_NOT_EXIST).remark("No topic route info"));
                }
                let queues = if header.topic == "TBW102" { 8 } else { QUEUES };
                ok().body(json::to_vec(&state.route(queues)).unwrap())
            }
            RequestCode::GET_BROKER_CLUSTER_INFO => {
                let brokers =
                    state.route(1).broker_datas.into_iter().map(|broker| (broker.broker_name.clone(), broker));
                let cluster = ClusterInfo { broker_addr_table: brokers.collect(), ..ClusterInfo::default() };
                // A cluster without topics is one whose brokers have not come yet.
                let cluster = if state.topics.is_empty() { ClusterInfo::default() } else { cluster };
                ok().body(json::to_vec(&cluster).unwrap())
            }
            RequestCode::HEART_BEAT => {
                let data: HeartbeatData = json::from_slice(request.body).unwrap();
                for consumer in &data.consumer_data_set {
                    let group = state.members.entry(consumer.group_name.clone()).or_default();
                    if group.insert(data.client_id.clone(), peer.clone()).is_none() {
                        state.notify(&consumer.group_name);
                    }
                }
                state.heartbeats.push(data);
                ok()
            }
            RequestCode::UNREGISTER_CLIENT => {
                let header: UnregisterClientRequestHeader<'_> = request.header().unwrap();
                for group in header.producer_group.iter().chain(&header.consumer_group) {
                    state.left.push((*group).to_owned());
                    if let Some(members) = state.members.get_mut(*group) {
                        members.remove(header.client_id);
                        state.notify(group);
                    }
                }
                ok()
            }
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => self.send(state, request),
            RequestCode::PULL_MESSAGE => return self.pull(state, peer, request),
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
                let header: GetConsumerListByGroupRequestHeader<'_> = request.header().unwrap();
                let members = state.members.get(header.consumer_group).into_iter().flat_map(BTreeMap::keys);
                let body = GetConsumerListByGroupResponseBody { consumer_id_list: members.cloned().collect() };
                ok().body(json::to_vec(&body).unwrap())
            }
            RequestCode::QUERY_CONSUMER_OFFSET => {
                let header: QueryConsumerOffsetRequestHeader<'_> = request.header().unwrap();
                let key = (header.consumer_group.to_owned(), self.queue(header.topic, header.queue_id));
                match state.offsets.get(&key) {
                    Some(offset) => ok().with_header(&OffsetResponseHeader { offset: *offset }),
                    None => Response::new(ResponseCode::QUERY_NOT_FOUND),
                }
            }
            RequestCode::UPDATE_CONSUMER_OFFSET => {
                let header: UpdateConsumerOffsetRequestHeader<'_> = request.header().unwrap();
                let queue = self.queue(header.topic, header.queue_id.unwrap());
                state.offsets.insert((header.consumer_group.to_owned(), queue), header.commit_offset.unwrap());
                ok()
            }
            RequestCode::GET_MAX_OFFSET => {
                let header: GetMaxOffsetRequestHeader<'_> = request.header().unwrap();
                let queue = self.queue(header.topic, header.queue_id);
                let count = state.queues.get(&queue).map_or(0, Vec::len) as i64;
                let offset = count + state.first_offsets.get(&queue).copied().unwrap_or(0);
                ok().with_header(&OffsetResponseHeader { offset })
            }
            RequestCode::CONSUMER_SEND_MSG_BACK => {
                let header: ConsumerSendMsgBackRequestHeader<'_> = request.header().unwrap();
                state.given_back.push((header.offset, header.delay_level));
                ok()
            }
            code => Response::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED).remark(format!("{code}")),
        })
    }

    fn queue(&self, topic: &str, queue_id: i32) -> MessageQueue {
        MessageQueue { topic: topic.to_owned(), broker_name: self.name.clone(), queue_id }
    }

    fn send(&self, state: &mut State, request: &Command<'_>) -> Response {
        let header: SendMessageRequestHeaderV2<'_> = request.header().unwrap();
        let queue = self.queue(header.topic, header.queue_id);
        state.topics.insert(header.topic.to_owned());
        let mut places = Vec::new();
        if header.batch == Some(true) {
            for inner in batch::decode(request.body) {
                let inner = inner.unwrap();
                let stored = Stored { body: inner.body, properties: inner.properties, ..Stored::default() };
                places.push(state.append(&queue, stored));
            }
        } else {
            let properties = header.properties.unwrap_or_default();
            let stored = Stored { body: request.body, properties, sys_flag: header.sys_flag, ..Stored::default() };
            places.push(state.append(&queue, stored));
        }
        state.wake(&queue);
        let ids: Vec<String> = places.iter().map(|(_, log_offset)| format!("{log_offset:032X}")).collect();
        let header = SendMessageResponseHeader {
            msg_id: &ids.join(","),
            queue_id: queue.queue_id,
            queue_offset: places[0].0,
            ..SendMessageResponseHeader::default()
        };
        Response::new(ResponseCode::SUCCESS).with_header(&header)
    }

    fn pull(&self, state: &mut State, peer: &Connection, request: &Command<'_>) -> Option<Response> {
        let header: PullMessageRequestHeader<'_> = request.header().unwrap();
        let queue = self.queue(header.topic, header.queue_id);
        if header.sys_flag & 1 != 0 {
            state.offsets.insert((header.consumer_group.to_owned(), queue.clone()), header.commit_offset);
        }
        let response = state.pull(&queue, header.queue_offset);
        if response.code != ResponseCode::PULL_NOT_FOUND {
            return Some(response);
        }
        let responder = peer.responder(Exchange::from(request));
        state.held.push(Held { queue, offset: header.queue_offset, responder });
        None
    }
}

/// The bodies in a list, as text.
pub fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}
