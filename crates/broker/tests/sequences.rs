//! Random valid requests of several clients at once, in any order: none ends with an error that is the broker's, nothing
//! that was acknowledged is lost, and the store is without a fault when the broker has stopped.
//!
//! `RAPTORMQ_SEQUENCE_REQUESTS` says how many (20,000 if not set), `RAPTORMQ_SEQUENCE_SEED` repeats a run.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use raptormq_protocol::body::{LockBatchRequestBody, MessageQueue, SubscriptionGroupConfig};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::heartbeat::{EXPRESSION_SQL92, HeartbeatData, ProducerData, SubscriptionData};
use raptormq_protocol::json;
use raptormq_remoting::{Request, Response};
use raptormq_store::disk::read_only::ReadOnlyDisk;
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{Offline, StoreOptions};
use support::*;

/// Clients that ask at the same time.
const CLIENTS: u64 = 8;
const TOPICS: [&str; 4] = ["T0", "T1", "T2", "T3"];
/// Topics that come and go.
const PASSING: [&str; 2] = ["P0", "P1"];
const GROUPS: [&str; 4] = ["g0", "g1", "g2", "g3"];
const QUEUES: i32 = 4;

/// What a broker may answer with SYSTEM_ERROR when it is the request that does not fit its state.
const REMARKS: [&str; 10] = [
    "no consumer for this group",
    "look message by offset failed",
    "can not find message by the offset",
    "find prepared transaction message failed",
    "THe consumer group <",
    "No Any Consumer online",
    "the producer group[",
    "The broker does not support",
    "Target offset",
    "The topic[",
];

/// A number after another, the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }

    fn queue(&mut self) -> i32 {
        self.below(QUEUES as u64) as i32
    }
}

/// What all clients know together.
#[derive(Default)]
struct Known {
    /// Acknowledged messages: topic and queue, offset, body.
    stored: BTreeMap<(String, i32), BTreeMap<i64, String>>,
    /// Log offsets of some of them.
    log_offsets: Vec<i64>,
    /// Half messages: offset in their queue, log offset, transaction id.
    halves: Vec<(i64, i64, String)>,
    /// Answers that nobody should get.
    wrong: BTreeSet<String>,
    answers: BTreeMap<(RequestCode, ResponseCode), u64>,
}

struct Client {
    number: u64,
    peer: Peer,
    random: Random,
    known: Arc<Mutex<Known>>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn any_sequence_of_valid_requests_is_answered_and_leaves_a_store_without_a_fault() {
    let count = setting("RAPTORMQ_SEQUENCE_REQUESTS", 20_000);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = setting("RAPTORMQ_SEQUENCE_SEED", now.as_nanos() as u64);
    println!("RAPTORMQ_SEQUENCE_SEED={seed} RAPTORMQ_SEQUENCE_REQUESTS={count}");
    let mut rig = Rig::with(|settings| {
        settings.broker.enable_property_filter = true;
        settings.broker.transaction_check_interval = 1000;
    });
    let known: Arc<Mutex<Known>> = Arc::default();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let random = Random(seed.wrapping_add(number));
        let mut client = Client { number, peer: rig.peer(), random, known: Arc::clone(&known) };
        clients.spawn(async move {
            for step in 0..count / CLIENTS {
                client.step(step).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let known = std::mem::take(&mut *known.lock());
    assert!(known.wrong.is_empty(), "{:#?}", known.wrong);
    assert!(known.answers.len() > 40, "requests and answers are of many kinds: {:?}", known.answers);
    verify(&rig, &known).await;
    rig.restart().await;
    verify(&rig, &known).await;
    rig.stop().await;
    check_store(&rig);
}

/// Everything that was acknowledged stands where the answer said.
async fn verify(rig: &Rig, known: &Known) {
    let peer = rig.peer();
    for ((topic, queue_id), expected) in &known.stored {
        let mut found = BTreeMap::new();
        let mut offset = 0;
        loop {
            let pulled = peer.pull(Pull { queue_id: *queue_id, group: "reader", ..Pull::new(topic, offset) }).await;
            if pulled.code != ResponseCode::SUCCESS {
                break;
            }
            let messages = messages(&pulled).into_iter();
            found.extend(
                messages.map(|message| (message.queue_offset, String::from_utf8_lossy(&message.body).into_owned())),
            );
            offset = pulled.header::<PullMessageResponseHeader>().unwrap().next_begin_offset;
        }
        for (offset, body) in expected {
            assert_eq!(found.get(offset), Some(body), "{topic}-{queue_id} {offset}");
        }
        assert!(found.keys().copied().eq(0..found.len() as i64), "{topic}-{queue_id} has no gap");
    }
}

fn check_store(rig: &Rig) {
    let settings = &rig.settings.store;
    let mut options = StoreOptions::new(&settings.store_path_root_dir);
    options.segment_bytes = settings.mapped_file_size_commit_log;
    options.index_slots = settings.max_hash_slot_num;
    options.index_entries = settings.max_index_num;
    let store = Offline::open(options, Arc::new(ReadOnlyDisk(RealDisk))).unwrap();
    let mut findings = Vec::new();
    store.check(&mut |finding| findings.push(finding.to_string())).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

impl Client {
    async fn step(&mut self, step: u64) {
        let body = format!("{}-{step}", self.number);
        match self.random.below(32) {
            0..=9 => self.send(&body).await,
            10 => self.half(&body).await,
            11 => self.end_half().await,
            12..=15 => self.pull().await,
            16..=17 => self.heartbeat().await,
            18 => self.send_back().await,
            19..=22 => self.offsets().await,
            23 => self.lock().await,
            24..=27 => self.look().await,
            28..=29 => self.administer().await,
            _ => self.topics_and_groups().await,
        }
    }

    async fn ask(&mut self, code: RequestCode, request: Request) -> Response {
        let answer = self.peer.ask(request).await;
        let mut known = self.known.lock();
        *known.answers.entry((code, answer.code)).or_default() += 1;
        let remark = answer.remark.as_deref().unwrap_or_default();
        let is_fault = match answer.code {
            ResponseCode::SYSTEM_ERROR => !REMARKS.iter().any(|known| remark.contains(known)),
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED | ResponseCode::SYSTEM_BUSY => true,
            _ => false,
        };
        if is_fault {
            known.wrong.insert(format!("{code:?}: {:?} {remark}", answer.code));
        }
        answer
    }

    async fn get<'h>(&mut self, code: RequestCode, header: &impl Header<'h>) -> Response {
        self.ask(code, Request::new(code).header(header)).await
    }

    fn message(&mut self) -> Message {
        let topic = self.random.one_of(&TOPICS);
        let (number, kind) = (self.random.below(20).to_string(), self.random.one_of(&["TagA", "TagB", "TagC"]));
        let key = format!("key{}", self.random.below(100));
        let queue = self.random.queue();
        Message::new(topic).queue(queue).property("TAGS", kind).property("KEYS", &key).property("number", &number)
    }

    async fn send(&mut self, body: &str) {
        let mut message = self.message();
        if self.random.below(16) == 0 {
            // Delivered while the test runs; where it goes is not known.
            message = message.property("DELAY", "1");
            self.ask(RequestCode::SEND_MESSAGE_V2, message.request(body)).await;
            return;
        }
        let answer = self.ask(RequestCode::SEND_MESSAGE_V2, message.request(body)).await;
        if answer.code != ResponseCode::SUCCESS {
            return;
        }
        let header: SendMessageResponseHeader<'_> = answer.header().unwrap();
        let log_offset = i64::from_str_radix(&header.msg_id[header.msg_id.len() - 16..], 16).unwrap();
        let mut known = self.known.lock();
        let of_queue = known.stored.entry((message.topic, header.queue_id)).or_default();
        let before = of_queue.insert(header.queue_offset, body.to_owned());
        assert_eq!(before, None, "an offset is given out once");
        known.log_offsets.push(log_offset);
    }

    async fn half(&mut self, body: &str) {
        let id = format!("{:032X}", self.random.next());
        let mut message = self.message().property("TRAN_MSG", "true").property("PGROUP", "producers");
        message.properties[0].1 = id.clone();
        message.sys_flag = 4;
        let answer = self.ask(RequestCode::SEND_MESSAGE_V2, message.request(body)).await;
        if answer.code == ResponseCode::SUCCESS {
            let header: SendMessageResponseHeader<'_> = answer.header().unwrap();
            let log_offset = i64::from_str_radix(&header.msg_id[header.msg_id.len() - 16..], 16).unwrap();
            self.known.lock().halves.push((header.queue_offset, log_offset, id));
        }
    }

    async fn end_half(&mut self) {
        let place = self.random.next() as usize;
        let half = {
            let mut known = self.known.lock();
            let count = known.halves.len();
            if count == 0 { None } else { Some(known.halves.swap_remove(place % count)) }
        };
        let Some((queue_offset, log_offset, id)) = half else { return };
        let header = EndTransactionRequestHeader {
            producer_group: "producers",
            tran_state_table_offset: queue_offset,
            commit_log_offset: log_offset,
            // Commit or rollback.
            commit_or_rollback: if self.random.below(2) == 0 { 8 } else { 12 },
            msg_id: &id,
            transaction_id: Some(&id),
            ..EndTransactionRequestHeader::default()
        };
        self.get(RequestCode::END_TRANSACTION, &header).await;
    }

    async fn pull(&mut self) {
        let (topic, group) = (self.random.one_of(&TOPICS), self.random.one_of(&GROUPS));
        let expression = self.random.one_of(&[
            "*",
            "TagA",
            "TagA || TagB",
            "number > 10",
            "number BETWEEN 3 AND 5 OR TAGS = 'TagC'",
        ]);
        let pull = Pull {
            group,
            queue_id: self.random.queue(),
            expression,
            flags: if self.random.below(3) == 0 { 0 } else { SUBSCRIPTION },
            suspend_ms: 0,
            ..Pull::new(topic, self.random.below(400) as i64)
        };
        let kind = if expression.contains("number") { "SQL92" } else { "TAG" };
        let pull = if self.random.below(50) == 0 { pull.waiting(20) } else { pull };
        let header = PullMessageRequestHeader { expression_type: Some(kind), ..pull.header() };
        self.get(RequestCode::PULL_MESSAGE, &header).await;
    }

    async fn heartbeat(&mut self) {
        let group = self.random.one_of(&GROUPS);
        if self.random.below(4) == 0 {
            let id = format!("client{}", self.number);
            let header =
                UnregisterClientRequestHeader { client_id: &id, consumer_group: Some(group), producer_group: None };
            self.get(RequestCode::UNREGISTER_CLIENT, &header).await;
            return;
        }
        let mut consumer = consumer(group, &[(self.random.one_of(&TOPICS), "*")]);
        let (topic, condition) =
            (self.random.one_of(&TOPICS), self.random.one_of(&["number > 3", "number <", "TAGS IS NULL"]));
        let data = SubscriptionData::build(topic, condition, EXPRESSION_SQL92).unwrap();
        let sub_version = self.random.below(1000) as i64;
        consumer.subscription_data_set.push(SubscriptionData { sub_version, ..data });
        let data = HeartbeatData {
            client_id: format!("client{}", self.number),
            consumer_data_set: vec![consumer],
            producer_data_set: vec![ProducerData { group_name: "producers".into() }],
            ..HeartbeatData::default()
        };
        self.ask(RequestCode::HEART_BEAT, heartbeat_request(&data)).await;
    }

    async fn send_back(&mut self) {
        let Some(offset) = self.some_log_offset() else { return };
        let header = ConsumerSendMsgBackRequestHeader {
            offset,
            group: self.random.one_of(&GROUPS),
            delay_level: self.random.below(3) as i32 - 1,
            ..ConsumerSendMsgBackRequestHeader::default()
        };
        self.get(RequestCode::CONSUMER_SEND_MSG_BACK, &header).await;
    }

    fn some_log_offset(&mut self) -> Option<i64> {
        let place = self.random.next() as usize;
        let known = self.known.lock();
        known.log_offsets.get(place % known.log_offsets.len().max(1)).copied()
    }

    async fn offsets(&mut self) {
        let (topic, consumer_group, queue_id) =
            (self.random.one_of(&TOPICS), self.random.one_of(&GROUPS), self.random.queue());
        match self.random.below(6) {
            0 => {
                let commit_offset = Some(self.random.below(300) as i64);
                let queue_id = Some(queue_id);
                let header = UpdateConsumerOffsetRequestHeader { consumer_group, topic, queue_id, commit_offset };
                self.get(RequestCode::UPDATE_CONSUMER_OFFSET, &header).await
            }
            1 => {
                let header =
                    QueryConsumerOffsetRequestHeader { consumer_group, topic, queue_id, set_zero_if_not_found: None };
                self.get(RequestCode::QUERY_CONSUMER_OFFSET, &header).await
            }
            2 => {
                let header = GetMaxOffsetRequestHeader { topic, queue_id, committed: true };
                self.get(RequestCode::GET_MAX_OFFSET, &header).await
            }
            3 => self.get(RequestCode::GET_MIN_OFFSET, &GetMinOffsetRequestHeader { topic, queue_id }).await,
            4 => {
                let timestamp = self.random.below(u64::MAX >> 20) as i64;
                let header = SearchOffsetRequestHeader { topic, queue_id, timestamp, boundary_type: None };
                self.get(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
            }
            _ => {
                let header = GetEarliestMsgStoretimeRequestHeader { topic, queue_id };
                self.get(RequestCode::GET_EARLIEST_MSG_STORETIME, &header).await
            }
        };
    }

    async fn lock(&mut self) {
        let queue = MessageQueue {
            broker_name: "broker-a".into(),
            queue_id: self.random.queue(),
            topic: self.random.one_of(&TOPICS).into(),
        };
        let body = LockBatchRequestBody {
            client_id: format!("client{}", self.number),
            consumer_group: self.random.one_of(&GROUPS).into(),
            mq_set: [queue].into(),
            ..LockBatchRequestBody::default()
        };
        let codes = [RequestCode::LOCK_BATCH_MQ, RequestCode::UNLOCK_BATCH_MQ];
        let code = codes[self.random.below(2) as usize];
        self.ask(code, Request::new(code).body(json::to_vec(&body).unwrap())).await;
    }

    /// Questions for messages and for what goes on.
    async fn look(&mut self) {
        let (topic, group) = (self.random.one_of(&TOPICS), self.random.one_of(&GROUPS));
        match self.random.below(8) {
            0 => {
                let key = format!("key{}", self.random.below(120));
                let header = QueryMessageRequestHeader {
                    topic,
                    key: &key,
                    max_num: 8,
                    begin_timestamp: 0,
                    end_timestamp: i64::MAX,
                };
                self.get(RequestCode::QUERY_MESSAGE, &header).await
            }
            1 => {
                let offset = self.some_log_offset().unwrap_or(0);
                self.get(RequestCode::VIEW_MESSAGE_BY_ID, &ViewMessageRequestHeader { topic: None, offset }).await
            }
            2 => {
                let header = QueryConsumeQueueRequestHeader {
                    topic: Some(topic),
                    queue_id: Some(self.random.queue()),
                    index: Some(self.random.below(50) as i64),
                    count: Some(10),
                    consumer_group: Some(group),
                };
                self.get(RequestCode::QUERY_CONSUME_QUEUE, &header).await
            }
            3 => self.get(RequestCode::GET_TOPIC_STATS_INFO, &GetTopicStatsInfoRequestHeader { topic }).await,
            4 => {
                let header =
                    GetConsumeStatsRequestHeader { consumer_group: group, topic: Some(topic), ..Default::default() };
                self.get(RequestCode::GET_CONSUME_STATS, &header).await
            }
            5 => {
                let header = GetConsumerListByGroupRequestHeader { consumer_group: group };
                self.get(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header).await
            }
            6 => {
                let header = QueryConsumeTimeSpanRequestHeader { topic, group };
                self.get(RequestCode::QUERY_CONSUME_TIME_SPAN, &header).await
            }
            _ => {
                let header = GetConsumerConnectionListRequestHeader { consumer_group: group };
                self.get(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header).await
            }
        };
    }

    async fn administer(&mut self) {
        let (topic, group) = (self.random.one_of(&TOPICS), self.random.one_of(&GROUPS));
        match self.random.below(8) {
            0 => {
                let header = ResetOffsetRequestHeader {
                    topic,
                    group,
                    timestamp: self.random.below(2) as i64 - 1,
                    is_force: self.random.below(2) == 0,
                    ..ResetOffsetRequestHeader::default()
                };
                self.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &header).await
            }
            1 => {
                let dest_group = self.random.one_of(&GROUPS);
                let header =
                    CloneGroupOffsetRequestHeader { src_group: group, dest_group, topic: Some(topic), offline: true };
                self.get(RequestCode::CLONE_GROUP_OFFSET, &header).await
            }
            2 => {
                let header = QueryTopicConsumeByWhoRequestHeader { topic };
                self.get(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &header).await
            }
            3 => self.get(RequestCode::QUERY_TOPICS_BY_CONSUMER, &QueryTopicsByConsumerRequestHeader { group }).await,
            4 => {
                let readable = Some(self.random.below(4) > 0);
                let header = UpdateGroupForbiddenRequestHeader { group, topic, readable };
                self.get(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &header).await
            }
            number => {
                let codes = [
                    RequestCode::GET_BROKER_RUNTIME_INFO,
                    RequestCode::GET_ALL_CONSUMER_OFFSET,
                    RequestCode::GET_ALL_DELAY_OFFSET,
                    RequestCode::GET_BROKER_CONFIG,
                    RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE,
                    RequestCode::GET_ALL_PRODUCER_INFO,
                ];
                let code = codes[(number as usize + self.random.below(2) as usize) % codes.len()];
                self.ask(code, Request::new(code)).await
            }
        };
    }

    async fn topics_and_groups(&mut self) {
        let (topic, group) = (self.random.one_of(&PASSING), self.random.one_of(&["passing", "another"]));
        match self.random.below(8) {
            0 => {
                let header = CreateTopicRequestHeader {
                    topic,
                    default_topic: "TBW102",
                    read_queue_nums: QUEUES,
                    write_queue_nums: QUEUES,
                    perm: 6,
                    topic_filter_type: "SINGLE_TAG",
                    ..CreateTopicRequestHeader::default()
                };
                self.get(RequestCode::UPDATE_AND_CREATE_TOPIC, &header).await
            }
            1 => self.get(RequestCode::DELETE_TOPIC_IN_BROKER, &DeleteTopicRequestHeader { topic }).await,
            2..=5 => {
                let queue = self.random.queue();
                self.ask(RequestCode::SEND_MESSAGE_V2, Message::new(topic).queue(queue).request("passing")).await
            }
            6 => {
                let config = SubscriptionGroupConfig { group_name: group.into(), ..SubscriptionGroupConfig::default() };
                let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
                self.ask(code, Request::new(code).body(json::to_vec(&config).unwrap())).await
            }
            _ => {
                let header =
                    DeleteSubscriptionGroupRequestHeader { group_name: group, clean_offset: self.random.below(2) == 0 };
                self.get(RequestCode::DELETE_SUBSCRIPTIONGROUP, &header).await
            }
        };
    }
}
