//! What administrators ask of a broker: how far groups are, offsets set from outside, clients asked through the broker,
//! statistics, and the settings.
#![allow(clippy::unwrap_used)] // tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use raptormq_protocol::body::*;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::Command;
use raptormq_protocol::header::*;
use raptormq_protocol::json;
use raptormq_protocol::message::id::OffsetMessageId;
use raptormq_remoting::{Client, ClientOptions, Connection, Inbound, Output, Request, Response};
use serde::de::DeserializeOwned;
use support::{LONG, Message, Peer, Pull, Rig, assert_refused, bodies, consumer, heartbeat_request, messages, offset};
use tokio::sync::mpsc;

fn body<T: DeserializeOwned>(response: &Response) -> T {
    assert_eq!(response.code, ResponseCode::SUCCESS, "{:?}", response.remark);
    json::from_slice(&response.body).unwrap()
}

fn queue(topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue { topic: topic.into(), broker_name: "broker-a".into(), queue_id }
}

async fn commit(peer: &Peer, group: &str, topic: &str, queue_id: i32, offset: i64) -> Response {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: group,
        topic,
        queue_id: Some(queue_id),
        commit_offset: Some(offset),
    };
    peer.get(RequestCode::UPDATE_CONSUMER_OFFSET, &header).await
}

async fn consumed(peer: &Peer, group: &str, topic: &str, queue_id: i32) -> Response {
    let header =
        QueryConsumerOffsetRequestHeader { consumer_group: group, topic, queue_id, set_zero_if_not_found: Some(false) };
    peer.get(RequestCode::QUERY_CONSUMER_OFFSET, &header).await
}

fn reset(group: &'static str, topic: &'static str, timestamp: i64) -> ResetOffsetRequestHeader<'static> {
    ResetOffsetRequestHeader { group, topic, timestamp, is_force: true, ..ResetOffsetRequestHeader::default() }
}

/// A broker with five messages in queue 0 of T, of which group g has consumed two and pulled three.
async fn rig_with_messages(rig: &Rig) -> Peer {
    let peer = rig.peer();
    for body in ["a", "b", "c", "d", "e"] {
        assert_eq!(peer.send("T", body).await.code, ResponseCode::SUCCESS);
    }
    let answer = peer.pull(Pull { count: 3, ..Pull::new("T", 0) }).await;
    assert_eq!(bodies(&answer), ["a", "b", "c"]);
    assert_eq!(commit(&peer, "g", "T", 0, 2).await.code, ResponseCode::SUCCESS);
    peer
}

#[tokio::test]
async fn tools_see_how_far_groups_are() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    let header = GetConsumeStatsRequestHeader { consumer_group: "g", ..GetConsumeStatsRequestHeader::default() };
    let stats: ConsumeStats = body(&peer.get(RequestCode::GET_CONSUME_STATS, &header).await);
    assert_eq!(stats.offset_table.len(), 4, "every queue of the topic");
    let offsets = stats.offset_table[&queue("T", 0)];
    assert_eq!((offsets.broker_offset, offsets.consumer_offset, offsets.pull_offset), (5, 2, 3));
    assert!(offsets.last_timestamp > 0);
    let named = GetConsumeStatsRequestHeader { topic_list: Some("U;TBW102"), ..header };
    let stats: ConsumeStats = body(&peer.get(RequestCode::GET_CONSUME_STATS, &named).await);
    assert_eq!(stats.offset_table.len(), 8, "the topic that there is");

    let all: ConsumeStatsList = body(
        &peer.get(RequestCode::GET_BROKER_CONSUME_STATS, &GetConsumeStatsInBrokerHeader { is_order: false }).await,
    );
    assert_eq!((all.total_diff, all.total_inflight_diff), (3, 1));
    assert!(all.consume_stats_list.iter().any(|groups| groups.get("g").is_some_and(|stats| stats.len() == 1)));

    let by_topic = QueryTopicConsumeByWhoRequestHeader { topic: "T" };
    let groups: GroupList = body(&peer.get(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &by_topic).await);
    assert_eq!(groups.group_list, ["g"]);
    let by_group = QueryTopicsByConsumerRequestHeader { group: "g" };
    let topics: TopicList = body(&peer.get(RequestCode::QUERY_TOPICS_BY_CONSUMER, &by_group).await);
    assert_eq!(topics.topic_list, ["T"]);
    let span = QueryConsumeTimeSpanRequestHeader { topic: "T", group: "g" };
    let spans: QueryConsumeTimeSpanBody = body(&peer.get(RequestCode::QUERY_CONSUME_TIME_SPAN, &span).await);
    let first = &spans.consume_time_span_set[0];
    assert!(first.min_time_stamp <= first.consume_time_stamp && first.consume_time_stamp <= first.max_time_stamp);
    assert_eq!(spans.consume_time_span_set[1].max_time_stamp, -1);
}

#[tokio::test]
async fn offsets_are_taken_over_and_compared() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    let clone = CloneGroupOffsetRequestHeader { src_group: "g", dest_group: "h", topic: Some("T"), offline: false };
    assert_eq!(peer.get(RequestCode::CLONE_GROUP_OFFSET, &clone).await.code, ResponseCode::SUCCESS);
    assert_eq!(offset(&consumed(&peer, "h", "T", 0).await), 2);
    let correct =
        |filter_groups, compare_group| QueryCorrectionOffsetHeader { filter_groups, compare_group, topic: "T" };
    let answer = peer.get(RequestCode::QUERY_CORRECTION_OFFSET, &correct(None, "h")).await;
    assert_eq!(body::<QueryCorrectionOffsetBody>(&answer).correction_offsets, [(0, 2)].into());
    let answer = peer.get(RequestCode::QUERY_CORRECTION_OFFSET, &correct(Some("g,h"), "h")).await;
    assert!(body::<QueryCorrectionOffsetBody>(&answer).correction_offsets.is_empty());
    assert_eq!(offset(&consumed(&peer, "g", "T", 0).await), 2, "groups that do not count keep their offsets");
}

#[tokio::test]
async fn an_offset_set_on_the_broker_reaches_the_group_with_its_next_pull() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    let answer = peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset("g", "T", -1)).await;
    let offsets = body::<ResetOffsetBody>(&answer).offset_table;
    assert_eq!((offsets.len(), offsets[&queue("T", 0)], offsets[&queue("T", 1)]), (4, 5, 0));
    assert_eq!(offset(&consumed(&peer, "g", "T", 0).await), 5);

    let refused = commit(&peer, "g", "T", 0, 3).await;
    assert_eq!(
        (refused.code, refused.remark.as_deref()),
        (ResponseCode::SUCCESS, Some("Offset has been previously reset"))
    );
    let told = peer.pull(Pull::new("T", 3)).await;
    assert_eq!((told.code, told.remark.as_deref()), (ResponseCode::PULL_OFFSET_MOVED, Some("OFFSET_RESET")));
    assert_eq!(told.header::<PullMessageResponseHeader>().unwrap().next_begin_offset, 5);
    assert_eq!(offset(&consumed(&peer, "g", "T", 0).await), 5);
    assert_eq!(commit(&peer, "g", "T", 0, 4).await.remark, None);
    assert_eq!(offset(&consumed(&peer, "g", "T", 0).await), 4);

    let one = ResetOffsetRequestHeader { queue_id: 0, offset: Some(1), ..reset("g", "T", 0) };
    let answer = peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &one).await;
    assert_eq!(body::<ResetOffsetBody>(&answer).offset_table, [(queue("T", 0), 1)].into());
    let refuse = |header: ResetOffsetRequestHeader<'static>| {
        let peer = &peer;
        async move { peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &header).await }
    };
    let beyond = refuse(ResetOffsetRequestHeader { offset: Some(7), ..one }).await;
    assert_refused(&beyond, ResponseCode::SYSTEM_ERROR, "Target offset 7 not in consume queue range [0-5]");
    assert_refused(&refuse(reset("g", "U", 0)).await, ResponseCode::TOPIC_NOT_EXIST, "Topic U does not exist");
    let group = refuse(reset("nobody", "T", 0)).await;
    assert_refused(&group, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "Group nobody does not exist");
}

#[tokio::test]
async fn a_reset_ends_the_groups_pulls_that_wait() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    let other = rig.peer();
    let waiting = peer.pull(Pull::new("T", 5).waiting(60_000));
    let set = async {
        other.held(1).await;
        other.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset("g", "T", 0)).await
    };
    let (told, answer) = tokio::join!(waiting, set);
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    assert_eq!((told.code, told.remark.as_deref()), (ResponseCode::PULL_OFFSET_MOVED, Some("OFFSET_RESET")));
    // A client that is started now begins where it should, and is not told once more.
    let header = PullMessageRequestHeader { sys_flag: 5, commit_offset: 0, ..Pull::new("T", 0).header() };
    peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset("g", "T", 0)).await;
    assert_eq!(messages(&peer.get(RequestCode::PULL_MESSAGE, &header).await).len(), 5);
}

/// A consumer that answers what a broker asks of it.
struct Answering(mpsc::UnboundedSender<(i32, Vec<u8>)>);

impl Inbound for Answering {
    fn handle(&self, _server: &Connection, request: &Command<'_>, out: &mut Output) {
        let _ = self.0.send((request.code, request.body.to_vec()));
        let body = match RequestCode(request.code) {
            RequestCode::GET_CONSUMER_RUNNING_INFO => br#"{"properties":{"x":"y"}}"#.to_vec(),
            RequestCode::CONSUME_MESSAGE_DIRECTLY => {
                assert_eq!(request.fields.get("brokerName"), Some("broker-a"));
                br#"{"consumeResult":"CR_SUCCESS"}"#.to_vec()
            }
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => json::to_vec(&GetConsumerStatusBody {
                message_queue_table: [(queue("T", 0), 4)].into(),
                ..GetConsumerStatusBody::default()
            })
            .unwrap(),
            _ => return,
        };
        if let Some(writer) = out.answer(request, ResponseCode::SUCCESS, None) {
            writer.finish(&body);
        }
    }
}

/// A client of that id in group g, which subscribes to T.
async fn answering_client(rig: &Rig, client_id: &str) -> (Client, mpsc::UnboundedReceiver<(i32, Vec<u8>)>) {
    let (sender, asked) = mpsc::unbounded_channel();
    let client = Client::new(ClientOptions::default(), Arc::new(Answering(sender)));
    let data = raptormq_protocol::heartbeat::HeartbeatData {
        client_id: client_id.into(),
        consumer_data_set: vec![consumer("g", &[("T", "*")])],
        ..Default::default()
    };
    let address = format!("127.0.0.1:{}", rig.settings.server.listen_port);
    client.call(&address, heartbeat_request(&data), LONG).await.unwrap();
    (client, asked)
}

#[tokio::test]
async fn a_client_is_asked_through_the_broker() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    let (_client, _asked) = answering_client(&rig, "c1").await;
    let info = |client_id| GetConsumerRunningInfoRequestHeader { consumer_group: "g", client_id, jstack_enable: None };
    let answer = peer.get(RequestCode::GET_CONSUMER_RUNNING_INFO, &info("c1")).await;
    assert_eq!(body::<ConsumerRunningInfo>(&answer).properties["x"], "y");
    let nobody = peer.get(RequestCode::GET_CONSUMER_RUNNING_INFO, &info("c9")).await;
    assert_refused(&nobody, ResponseCode::SYSTEM_ERROR, "The Consumer <g> <c9> not online");

    let sent = peer.send("T", "direct").await;
    let id = sent.header::<SendMessageResponseHeader<'_>>().unwrap().msg_id.to_owned();
    assert!(id.parse::<OffsetMessageId>().is_ok());
    let header = ConsumeMessageDirectlyResultRequestHeader {
        consumer_group: "g",
        client_id: Some("c1"),
        msg_id: Some(&id),
        ..Default::default()
    };
    let answer = peer.get(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header).await;
    assert_eq!(body::<ConsumeMessageDirectlyResult>(&answer).consume_result, Some(CMResult::CrSuccess));

    let status = GetConsumerStatusRequestHeader { topic: "T", group: "g", client_addr: None };
    let answer = peer.get(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &status).await;
    let tables = body::<GetConsumerStatusBody>(&answer).consumer_table;
    assert_eq!(tables, BTreeMap::from([("c1".to_owned(), [(queue("T", 0), 4)].into())]));
    let nobody = GetConsumerStatusRequestHeader { group: "h", ..status };
    let refused = peer.get(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &nobody).await;
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, "No Any Consumer online in the consumer group: [h]");
}

#[tokio::test]
async fn offsets_are_set_through_clients_where_the_broker_shall_not() {
    let rig = Rig::with(|settings| settings.broker.use_server_side_reset_offset = false);
    let peer = rig_with_messages(&rig).await;
    for queue_id in 1..4 {
        commit(&peer, "g", "T", queue_id, 0).await;
    }
    let offline = peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset("g", "T", -1)).await;
    let words = "Consumer not online, so can not reset offset, Group: g Topic: T Timestamp: -1";
    assert_refused(&offline, ResponseCode::CONSUMER_NOT_ONLINE, words);
    let unknown = peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset("h", "T", -1)).await;
    assert_refused(&unknown, ResponseCode::SYSTEM_ERROR, "THe consumer group <h> not exist");

    let (_client, mut asked) = answering_client(&rig, "c1").await;
    let answer = peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset("g", "T", -1)).await;
    assert_eq!(body::<ResetOffsetBody>(&answer).offset_table[&queue("T", 0)], 5);
    let told = loop {
        let (code, body) = tokio::time::timeout(LONG, asked.recv()).await.unwrap().unwrap();
        if RequestCode(code) == RequestCode::RESET_CONSUMER_CLIENT_OFFSET {
            break body;
        }
    };
    assert_eq!(json::from_slice::<ResetOffsetBody>(&told).unwrap().offset_table[&queue("T", 0)], 5);
    let back = ResetOffsetRequestHeader { is_force: false, ..reset("g", "T", -1) };
    let answer = peer.get(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &back).await;
    assert_eq!(body::<ResetOffsetBody>(&answer).offset_table[&queue("T", 0)], 2, "not forward without force");
}

#[tokio::test]
async fn statistics_are_there_for_what_happened() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    let ask = |stats_name: &'static str, stats_key: &'static str| {
        let peer = &peer;
        async move {
            peer.get(RequestCode::VIEW_BROKER_STATS_DATA, &ViewBrokerStatsDataRequestHeader { stats_name, stats_key })
                .await
        }
    };
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "T"),
        ("TOPIC_PUT_SIZE", "T"),
        ("QUEUE_PUT_NUMS", "T@0"),
        ("GROUP_GET_NUMS", "T@g"),
        ("GROUP_GET_SIZE", "T@g"),
        ("QUEUE_GET_NUMS", "T@0@g"),
        ("BROKER_PUT_NUMS", "DefaultCluster"),
        ("TOPIC_PUT_LATENCY", "0@T"),
        ("GROUP_GET_LATENCY", "0@T@g"),
    ] {
        let data: BrokerStatsData = body(&ask(name, key).await);
        assert!(data.stats_minute.is_some() && data.stats_hour.is_some() && data.stats_day.is_some(), "{name}");
    }
    for (name, key) in [("TOPIC_PUT_NUMS", "U"), ("QUEUE_PUT_NUMS", "T@1"), ("NO_SUCH", "T"), ("GROUP_GET_NUMS", "T")] {
        let words = format!("The stats <{name}> <{key}> not exist");
        assert_refused(&ask(name, key).await, ResponseCode::SYSTEM_ERROR, &words);
    }
}

#[tokio::test]
async fn the_run_time_information_has_every_key_of_the_original() {
    let rig = Rig::new();
    let peer = rig.peer();
    let table = peer.runtime().await;
    for key in RUNTIME_KEYS {
        assert!(table.contains_key(*key), "{key}");
    }
    assert_eq!((table["sendThreadPoolQueueCapacity"].as_str(), table["timerEnqueueTps"].as_str()), ("10000", "0.0"));
}

/// As recorded from a Java broker 5.3.3.
const RUNTIME_KEYS: &[&str] = &[
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
    "ackThreadPoolQueueCapacity",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize",
    "bootTimestamp",
    "brokerActive",
    "brokerVersion",
    "brokerVersionDesc",
    "commitLogDirCapacity",
    "commitLogDiskRatio",
    "commitLogMaxOffset",
    "commitLogMinOffset",
    "consumeQueueDiskRatio",
    "dispatchBehindBytes",
    "dispatchMaxBuffer",
    "earliestMessageTimeStamp",
    "getFoundTps",
    "getMessageEntireTimeMax",
    "getMissTps",
    "getTotalTps",
    "getTransferredTps",
    "litePullThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgPutTotalYesterdayMorning",
    "pageCacheLockTimeMills",
    "pullThreadPoolQueueCapacity",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueSize",
    "putLatency99",
    "putLatency999",
    "putMessageAverageSize",
    "putMessageDistributeTime",
    "putMessageEntireTimeMax",
    "putMessageFailedTimes",
    "putMessageSizeTotal",
    "putMessageTimesTotal",
    "putTps",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "remainHowManyDataToFlush",
    "remainTransientStoreBufferNumbs",
    "runtime",
    "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "sendThreadPoolQueueSize",
    "startAcceptSendRequestTimeStamp",
    "timerCongestNum",
    "timerDequeueTps",
    "timerEnqueueTps",
    "timerOffsetBehind",
    "timerReadBehind",
];

#[tokio::test]
async fn topics_and_groups_come_in_lists_all_or_none() {
    let rig = Rig::new();
    let peer = rig.peer();
    let topic = |name: &str| TopicConfig { topic_name: name.into(), ..TopicConfig::default() };
    let make = |names: &'static [&'static str]| {
        let peer = &peer;
        async move {
            let topic_config_list = names.iter().map(|name| topic(name)).collect();
            let body = json::to_vec(&CreateTopicListRequestBody { topic_config_list }).unwrap();
            peer.ask(Request::new(RequestCode::UPDATE_AND_CREATE_TOPIC_LIST).body(body)).await
        }
    };
    assert_eq!(make(&["L1", "L2"]).await.code, ResponseCode::SUCCESS);
    assert!(rig.kept("topics.json").contains("\"L2\""));
    assert_eq!(make(&["L3", "TBW102"]).await.code, ResponseCode::INVALID_PARAMETER);
    assert!(!rig.kept("topics.json").contains("\"L3\""));

    let groups = SubscriptionGroupList {
        group_config_list: ["G1", "G2"]
            .map(|name| SubscriptionGroupConfig { group_name: name.into(), ..Default::default() })
            .to_vec(),
    };
    let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST);
    let answer = peer.ask(request.body(json::to_vec(&groups).unwrap())).await;
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    assert!(rig.kept("subscriptionGroup.json").contains("\"G2\""));
}

#[tokio::test]
async fn a_group_is_kept_from_a_topic() {
    let rig = Rig::new();
    let peer = rig_with_messages(&rig).await;
    peer.heartbeat("c", &[("g", &[("T", "*")])]).await;
    let forbid = |readable| UpdateGroupForbiddenRequestHeader { group: "g", topic: "T", readable };
    let answer = peer.get(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &forbid(Some(false))).await;
    assert_eq!(body::<GroupForbidden>(&answer).readable, Some(false));
    let refused = peer.pull(Pull { flags: 0, ..Pull::new("T", 0) }).await;
    assert_refused(&refused, ResponseCode::NO_PERMISSION, "the consumer group[g] is forbidden for topic[T]");
    assert_eq!(refused.fields.get("forbiddenType"), Some("5"));
    peer.get(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &forbid(Some(true))).await;
    let answer = peer.get(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &forbid(None)).await;
    assert_eq!(body::<GroupForbidden>(&answer).readable, Some(true));
    assert_eq!(peer.pull(Pull { flags: 0, ..Pull::new("T", 0) }).await.code, ResponseCode::SUCCESS);
}

#[tokio::test]
async fn who_produces_is_told() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.heartbeat("p1", &[]).await;
    let all: ProducerTableInfo = body(&peer.ask(Request::new(RequestCode::GET_ALL_PRODUCER_INFO)).await);
    assert_eq!(all.data["producers"][0].client_id, "p1");
    assert!(all.data["producers"][0].last_update_timestamp > 0);
    let sent = peer.ask(Message::new("T").request("x")).await;
    assert_eq!(sent.code, ResponseCode::SUCCESS);
    let later = peer.ask(Request::new(RequestCode::POP_MESSAGE)).await;
    let words = " request type 200050 not supported: this version of RaptorMQ has no pop consumers";
    assert_refused(&later, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, words);
}

#[tokio::test]
async fn settings_change_all_or_none_in_the_file_and_in_effect() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.conf");
    std::fs::write(&file, "# mine\nautoCreateTopicEnable=true\n").unwrap();
    let rig = Rig::with(|settings| settings.broker.broker_config_path = file.to_str().unwrap().into());
    let peer = rig.peer();
    let update = |text: &'static str| {
        let peer = &peer;
        async move { peer.ask(Request::new(RequestCode::UPDATE_BROKER_CONFIG).body(text)).await }
    };
    let shown = || async {
        let answer = peer.ask(Request::new(RequestCode::GET_BROKER_CONFIG)).await;
        let version: DataVersion = json::from_slice(answer.fields.get("version").unwrap().as_bytes()).unwrap();
        (String::from_utf8(answer.body.to_vec()).unwrap(), version.counter)
    };
    for (text, code) in [
        ("autoCreateTopicEnable=false\nbrokerConfigPath=/x", ResponseCode::NO_PERMISSION),
        ("autoCreateTopicEnable=false\nnoSuchKey=1", ResponseCode::INVALID_PARAMETER),
        ("autoCreateTopicEnable=false\nbrokerPermission=99", ResponseCode::INVALID_PARAMETER),
        ("autoCreateTopicEnable=false\nbrokerRole=SLAVE", ResponseCode::INVALID_PARAMETER),
        ("autoCreateTopicEnable=false\nstorePathRootDir=/x", ResponseCode::INVALID_PARAMETER),
    ] {
        assert_eq!(update(text).await.code, code, "{text}");
    }
    assert!(shown().await.0.contains("autoCreateTopicEnable=true\n"));
    assert_eq!(peer.send("Made", "x").await.code, ResponseCode::SUCCESS);

    let text =
        "autoCreateTopicEnable=false\nregionId=moon\nautoCreateSubscriptionGroup=false\nflushConsumerOffsetInterval=10";
    assert_eq!(update(text).await.code, ResponseCode::SUCCESS);
    let (config, version) = shown().await;
    assert!(config.contains("autoCreateTopicEnable=false\n") && config.contains("regionId=moon\n") && version == 1);
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(
        saved.starts_with("# mine\nautoCreateTopicEnable=false\n") && saved.contains("\nregionId=moon\n"),
        "{saved}"
    );
    assert_eq!(peer.send("Other", "x").await.code, ResponseCode::TOPIC_NOT_EXIST);
    assert_eq!(
        peer.pull(Pull { group: "h", ..Pull::new("Made", 0) }).await.code,
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST
    );
    peer.send("Made", "y").await;
    let found = messages(&peer.pull(Pull { group: "TOOLS_CONSUMER", ..Pull::new("Made", 1) }).await);
    assert_eq!(found[0].property("MSG_REGION"), Some("moon"));

    assert_eq!(update("brokerPermission=4").await.code, ResponseCode::SUCCESS);
    assert_eq!(update("traceTopicEnable=true").await.code, ResponseCode::SUCCESS);
    let header = GetTopicConfigRequestHeader { topic: "RMQ_SYS_TRACE_TOPIC" };
    assert_eq!(peer.get(RequestCode::GET_TOPIC_CONFIG, &header).await.code, ResponseCode::SUCCESS);
    assert_eq!(update("").await.code, ResponseCode::SUCCESS);
}
