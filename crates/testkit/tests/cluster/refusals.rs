//! What a broker refuses, with the codes and in the words that clients, tests and operators know from the original.

use std::collections::BTreeMap;

use raptormq_protocol::body::{SubscriptionGroupConfig, TopicConfig};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::{
    PullMessageRequestHeader, QueryConsumerOffsetRequestHeader, SendMessageRequestHeaderV2,
};
use raptormq_protocol::heartbeat::{ConsumerData, HeartbeatData, MessageModel};
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::peer::{consumer_data, heartbeat_request, pull_header, send_header, topic_request};
use raptormq_testkit::raw::batch_of;
use raptormq_testkit::{Cluster, Peer};

/// The line that the original adds where its FAQ helps.
const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

const ILLEGAL_MESSAGE: &str = "the message is illegal, maybe msg body or properties length not matched. \
                               msg body length limit 4194304B, msg properties length limit 32KB.";

type Refusal = (ResponseCode, String);

fn refusal(code: ResponseCode, remark: impl Into<String>) -> Refusal {
    (code, remark.into())
}

fn send(header: &SendMessageRequestHeaderV2<'_>, body: &[u8]) -> Request {
    Request::new(RequestCode::SEND_MESSAGE_V2).header(header).body(body.to_vec())
}

fn pull(header: &PullMessageRequestHeader<'_>) -> Request {
    Request::new(RequestCode::PULL_MESSAGE).header(header)
}

async fn make_topic(peer: &Peer, name: &str, perm: i32) {
    let config = TopicConfig {
        topic_name: name.to_owned(),
        perm,
        read_queue_nums: 4,
        write_queue_nums: 4,
        ..TopicConfig::default()
    };
    peer.ok(topic_request(&config)).await;
}

async fn make_group(peer: &Peer, config: SubscriptionGroupConfig) {
    let body = json::to_vec(&config).unwrap();
    peer.ok(Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body)).await;
}

fn group(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

#[tokio::test]
async fn sends_to_topics_that_take_none() {
    let cluster = Cluster::builder().set("autoCreateSubscriptionGroup", "false").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let long = "T".repeat(128);
    let retry = format!("%RETRY%{}", "g".repeat(250));
    use ResponseCode as Code;
    let cases: [(SendMessageRequestHeaderV2<'_>, Refusal); 7] = [
        (send_header("p", " "), refusal(Code::INVALID_PARAMETER, "The specified topic is blank.")),
        (
            send_header("p", "Bad Topic!"),
            refusal(
                Code::INVALID_PARAMETER,
                "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$",
            ),
        ),
        (
            send_header("p", &long),
            refusal(Code::INVALID_PARAMETER, "The specified topic is longer than topic max length."),
        ),
        (
            send_header("p", &retry),
            refusal(Code::INVALID_PARAMETER, "The specified topic is longer than topic max length."),
        ),
        (
            send_header("p", "SCHEDULE_TOPIC_XXXX"),
            refusal(Code::NO_PERMISSION, "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden."),
        ),
        (
            SendMessageRequestHeaderV2 { default_topic: "NoTemplate", ..send_header("p", "Unheard") },
            refusal(Code::TOPIC_NOT_EXIST, format!("topic[Unheard] not exist, apply first please!{FAQ}")),
        ),
        (
            send_header("p", "%RETRY%nobody"),
            refusal(Code::SUBSCRIPTION_GROUP_NOT_EXIST, format!("subscription group not exist, nobody {FAQ}")),
        ),
    ];
    for (header, expected) in cases {
        assert_eq!(peer.refused(send(&header, b"x")).await, expected, "{}", header.topic);
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_send_to_a_queue_that_the_topic_has_not() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    make_topic(&peer, "Orders", 6).await;
    let header = SendMessageRequestHeaderV2 { queue_id: 4, ..send_header("p", "Orders") };
    let (code, remark) = peer.refused(send(&header, b"x")).await;
    assert_eq!(code, ResponseCode::INVALID_PARAMETER);
    let (start, producer) = remark.rsplit_once(' ').unwrap();
    assert_eq!(
        start,
        "request queueId[4] is illegal, TopicConfig [topicName=Orders, readQueueNums=4, writeQueueNums=4, perm=RW-, \
         topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}] Producer:"
    );
    assert!(producer.starts_with("127.0.0.1:"), "{remark}");
    cluster.shutdown().await;
}

#[tokio::test]
async fn messages_that_are_none() {
    let cluster = Cluster::builder().set("rejectTransactionMessage", "true").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    make_topic(&peer, "Orders", 6).await;
    make_group(&peer, group("g")).await;
    let illegal = refusal(ResponseCode::MESSAGE_ILLEGAL, ILLEGAL_MESSAGE);
    let header = send_header("p", "Orders");
    assert_eq!(peer.refused(send(&header, b"")).await, illegal, "no body");
    assert_eq!(peer.refused(send(&header, &vec![b'x'; (4 << 20) + 1])).await, illegal, "a body above the limit");
    let properties = format!("K\u{1}{}\u{2}", "v".repeat(40_000));
    let long = SendMessageRequestHeaderV2 { properties: Some(&properties), ..header.clone() };
    assert_eq!(peer.refused(send(&long, b"x")).await, illegal, "40 kB of properties");

    let half = SendMessageRequestHeaderV2 { properties: Some("TRAN_MSG\u{1}true\u{2}"), ..header.clone() };
    let forbidden = "the broker[127.0.0.1] sending transaction message is forbidden";
    assert_eq!(peer.refused(send(&half, b"x")).await, refusal(ResponseCode::NO_PERMISSION, forbidden));

    let batch = |header: &SendMessageRequestHeaderV2<'_>, body: Vec<u8>| {
        Request::new(RequestCode::SEND_BATCH_MESSAGE).header(header).body(body)
    };
    for retry in ["%RETRY%g", "%RETRY%nobody"] {
        let request = batch(&send_header("p", retry), batch_of(["x"]));
        let remark = format!("batch request does not support retry group {retry}");
        assert_eq!(peer.refused(request).await, refusal(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    assert_eq!(peer.refused(batch(&header, Vec::new())).await, illegal, "a batch of nothing");
    let whole = batch_of(["first", "second"]);
    for cut in 1..whole.len() {
        if cut != batch_of(["first"]).len() {
            assert_eq!(peer.refused(batch(&header, whole[..cut].to_vec())).await, illegal, "a batch cut at {cut}");
        }
    }
    assert_eq!(peer.max_offset("Orders", 0).await, 0, "nothing of all that is stored");
    cluster.shutdown().await;
}

#[tokio::test]
async fn sends_to_a_broker_that_takes_none() {
    let builder = Cluster::builder().set("brokerPermission", "4").set("startAcceptSendRequestTimeStamp", "0");
    let cluster = builder.start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let ordered = TopicConfig { topic_name: "Ordered".to_owned(), order: true, ..TopicConfig::default() };
    peer.ok(topic_request(&ordered)).await;
    let remark = "the broker[127.0.0.1] sending message is forbidden";
    let refused = peer.refused(send(&send_header("p", "Ordered"), b"x")).await;
    assert_eq!(refused, refusal(ResponseCode::NO_PERMISSION, remark));
    cluster.shutdown().await;

    // 2100-01-01, noon in UTC: the date is that of the machine's time zone.
    let cluster = Cluster::builder().set("startAcceptSendRequestTimeStamp", "4102488000000").start().await.unwrap();
    let (code, remark) = Peer::new(cluster.broker_addr()).refused(send(&send_header("p", "Orders"), b"x")).await;
    assert_eq!(code, ResponseCode::SYSTEM_ERROR);
    assert!(remark.starts_with("broker unable to service, until 2100-01-0"), "{remark}");
    assert!(remark.ends_with(":00,000"), "{remark}");
    cluster.shutdown().await;
}

#[tokio::test]
async fn pulls_by_groups_and_from_topics_that_may_not() {
    let cluster = Cluster::builder().set("autoCreateSubscriptionGroup", "false").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    make_topic(&peer, "Orders", 6).await;
    make_topic(&peer, "WriteOnly", 2).await;
    make_group(&peer, group("g")).await;
    make_group(&peer, SubscriptionGroupConfig { consume_enable: false, ..group("stopped") }).await;
    use ResponseCode as Code;
    let own = |group, topic| pull_header(group, topic);
    let cases = [
        (
            own("nobody", "Orders"),
            Code::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group [nobody] does not exist, {FAQ}"),
            None,
        ),
        (own("stopped", "Orders"), Code::NO_PERMISSION, "subscription group no permission, stopped".into(), Some("2")),
        (
            own("g", "Unheard"),
            Code::TOPIC_NOT_EXIST,
            format!("topic[Unheard] not exist, apply first please! {FAQ}"),
            None,
        ),
        (
            own("g", "WriteOnly"),
            Code::NO_PERMISSION,
            "the topic[WriteOnly] pulling message is forbidden".into(),
            Some("3"),
        ),
        (
            PullMessageRequestHeader { subscription: Some("||"), ..own("g", "Orders") },
            Code::SUBSCRIPTION_PARSE_FAILED,
            "parse the consumer's subscription failed".into(),
            None,
        ),
        (
            PullMessageRequestHeader {
                subscription: Some("a > 1"),
                expression_type: Some("SQL92"),
                ..own("g", "Orders")
            },
            Code::SYSTEM_ERROR,
            "The broker does not support consumer to filter message by SQL92".into(),
            None,
        ),
    ];
    for (header, code, remark, forbidden) in cases {
        let response = peer.call(pull(&header)).await;
        assert_eq!((response.code, response.remark), (code, Some(remark)));
        assert_eq!(response.fields.get("forbiddenType"), forbidden);
    }
    for queue_id in [4, -1, i32::MAX] {
        let header = PullMessageRequestHeader { queue_id, ..own("g", "Orders") };
        let (code, remark) = peer.refused(pull(&header)).await;
        let expected = format!(
            "queueId[{queue_id}] is illegal, topic:[Orders] topicConfig.readQueueNums:[4] consumer:[/127.0.0.1:"
        );
        assert_eq!(code, Code::INVALID_PARAMETER);
        assert!(remark.starts_with(&expected), "{remark}");
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn pulls_that_lean_on_a_subscription_that_is_not_there() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    make_topic(&peer, "Orders", 6).await;
    make_topic(&peer, "Payments", 6).await;
    make_group(&peer, SubscriptionGroupConfig { consume_broadcast_enable: false, ..group("shy") }).await;
    let leaning = |consumer_group, topic| PullMessageRequestHeader {
        sys_flag: 0,
        subscription: None,
        ..pull_header(consumer_group, topic)
    };
    use ResponseCode as Code;
    let offline = refusal(Code::SUBSCRIPTION_NOT_EXIST, format!("the consumer's group info not exist{FAQ}"));
    assert_eq!(peer.refused(pull(&leaning("g", "Orders"))).await, offline);

    peer.join("c", "g", "Orders", "*").await;
    assert_eq!(peer.call(pull(&leaning("g", "Orders"))).await.code, Code::PULL_NOT_FOUND);
    let other = refusal(Code::SUBSCRIPTION_NOT_EXIST, format!("the consumer's subscription not exist{FAQ}"));
    assert_eq!(peer.refused(pull(&leaning("g", "Payments"))).await, other);
    let newer = PullMessageRequestHeader { sub_version: 1, ..leaning("g", "Orders") };
    let old = refusal(Code::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest");
    assert_eq!(peer.refused(pull(&newer)).await, old);

    let consumer = ConsumerData { message_model: MessageModel::Broadcasting, ..consumer_data("shy", "Orders", "*") };
    let heartbeat =
        HeartbeatData { client_id: "c".to_owned(), consumer_data_set: vec![consumer], ..HeartbeatData::default() };
    peer.ok(heartbeat_request(&heartbeat)).await;
    let response = peer.call(pull(&leaning("shy", "Orders"))).await;
    assert_eq!(response.code, Code::NO_PERMISSION);
    assert_eq!(response.remark.as_deref(), Some("the consumer group[shy] can not consume by broadcast way"));
    assert_eq!(response.fields.get("forbiddenType"), Some("4"));
    cluster.shutdown().await;
}

#[tokio::test]
async fn pulls_from_a_broker_that_gives_none() {
    let cluster = Cluster::builder().set("brokerPermission", "2").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.send("Orders", 0, "x").await;
    let response = peer.call(pull(&pull_header("g", "Orders"))).await;
    assert_eq!(response.code, ResponseCode::NO_PERMISSION);
    assert_eq!(response.remark.as_deref(), Some("the broker[127.0.0.1] pulling message is forbidden"));
    assert_eq!(response.fields.get("forbiddenType"), Some("1"));
    cluster.shutdown().await;

    let cluster = Cluster::builder().set("litePullMessageEnable", "false").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.send("Orders", 0, "x").await;
    let lite = Request::new(RequestCode::LITE_PULL_MESSAGE).header(&pull_header("g", "Orders"));
    let remark = "the broker[127.0.0.1] for lite pull consumer is forbidden";
    assert_eq!(peer.refused(lite).await, refusal(ResponseCode::NO_PERMISSION, remark));
    assert_eq!(peer.pull("Orders", 0, 0).await.texts(), ["x"]);
    cluster.shutdown().await;
}

#[tokio::test]
async fn offsets_of_groups_and_topics_that_are_not_there() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    make_topic(&peer, "Orders", 6).await;
    make_group(&peer, group("g")).await;
    let update = |fields: BTreeMap<&str, &str>| {
        fields
            .iter()
            .fold(Request::new(RequestCode::UPDATE_CONSUMER_OFFSET), |request, (key, value)| request.field(key, value))
    };
    let all = BTreeMap::from([("consumerGroup", "g"), ("topic", "Orders"), ("queueId", "0"), ("commitOffset", "7")]);
    let with = |key, value| all.iter().map(|(name, text)| (*name, if *name == key { value } else { *text })).collect();
    let without = |key: &str| all.clone().into_iter().filter(|(name, _)| *name != key).collect();
    use ResponseCode as Code;
    for (fields, expected) in [
        (with("consumerGroup", "h"), refusal(Code::SUBSCRIPTION_GROUP_NOT_EXIST, "Group h not exist!")),
        (with("topic", "Unheard"), refusal(Code::TOPIC_NOT_EXIST, "Topic Unheard not exist!")),
        (without("queueId"), refusal(Code::INVALID_PARAMETER, "QueueId is null, topic is Orders")),
        (without("commitOffset"), refusal(Code::INVALID_PARAMETER, "Offset is null, topic is Orders")),
    ] {
        assert_eq!(peer.refused(update(fields)).await, expected);
    }
    assert_eq!(peer.consumer_offset("g", "Orders", 0).await, None);
    peer.ok(update(all.clone())).await;
    assert_eq!(peer.consumer_offset("g", "Orders", 0).await, Some(7));
    // Going back is allowed.
    peer.ok(update(with("commitOffset", "3"))).await;
    assert_eq!(peer.consumer_offset("g", "Orders", 0).await, Some(3));

    let query = |group, topic, set_zero_if_not_found| {
        Request::new(RequestCode::QUERY_CONSUMER_OFFSET).header(&QueryConsumerOffsetRequestHeader {
            consumer_group: group,
            topic,
            queue_id: 1,
            set_zero_if_not_found,
        })
    };
    let unset = "Not found, do not set to zero, maybe this group boot first";
    assert_eq!(peer.refused(query("g", "Orders", Some(false))).await, refusal(Code::QUERY_NOT_FOUND, unset));
    let unknown = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    assert_eq!(peer.refused(query("g", "Unheard", None)).await, refusal(Code::QUERY_NOT_FOUND, unknown));
    // A queue whose first message is still in memory, or that has none yet, begins at 0.
    assert_eq!(peer.offset(query("g", "Orders", None)).await, Some(0));
    peer.send("Orders", 1, "x").await;
    assert_eq!(peer.offset(query("g", "Orders", None)).await, Some(0));
    cluster.shutdown().await;
}

#[tokio::test]
async fn topics_and_groups_that_must_not_be_made() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    let topic = |name: &str| topic_request(&TopicConfig { topic_name: name.to_owned(), ..TopicConfig::default() });
    use ResponseCode as Code;
    for system in ["TBW102", "SCHEDULE_TOPIC_XXXX", "DefaultCluster", "broker-a", "rmq_sys_mine"] {
        let remark = format!("The topic[{system}] is conflict with system topic.");
        assert_eq!(peer.refused(topic(system)).await, refusal(Code::INVALID_PARAMETER, &*remark));
        let delete = Request::new(RequestCode::DELETE_TOPIC_IN_BROKER).field("topic", system);
        assert_eq!(peer.refused(delete).await, refusal(Code::INVALID_PARAMETER, remark));
    }
    let illegal =
        |what: &str| format!("The specified {what} contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$");
    for name in ["../../etc/passwd", "a b", "Topíc", "x\u{0}y"] {
        let refused = peer.refused(topic(name)).await;
        assert_eq!(refused, refusal(Code::INVALID_PARAMETER, illegal("topic")));
        let body = json::to_vec(&group(name)).unwrap();
        let refused = peer.refused(Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body)).await;
        assert_eq!(refused, refusal(Code::INVALID_PARAMETER, illegal("group")));
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn requests_that_nobody_knows() {
    let cluster = Cluster::start().await.unwrap();
    for address in [cluster.broker_addr(), cluster.namesrv_addr()] {
        let peer = Peer::new(address);
        for code in [29_999, -1, 0, i32::MAX, i32::MIN] {
            let remark = format!(" request type {code} not supported");
            let refused = peer.refused(Request::new(RequestCode(code))).await;
            assert_eq!(refused, refusal(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark), "{address}");
        }
    }
    cluster.shutdown().await;
}

/// Requests whose fields are missing, or are no numbers, are answered, and the connection goes on.
#[tokio::test]
async fn requests_with_fields_that_are_none() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.send("Orders", 0, "x").await;
    let wrong = |code| {
        let request = Request::new(RequestCode(code));
        let fields =
            request.clone().field("queueId", "zero").field("e", "zero").field("offset", "99999999999999999999");
        [request, fields]
    };
    for code in [10, 11, 14, 15, 17, 38, 200, 202, 203, 204, 215, 310, 320, 351, 352, 361] {
        for request in wrong(code) {
            let (_, remark) = peer.refused(request).await;
            assert!(!remark.is_empty(), "{code} is refused without a word");
        }
    }
    // Java takes defaults for what is missing here. Whatever the answer: there is one.
    for code in [29, 30, 31, 32, 33, 35, 207] {
        for request in wrong(code) {
            peer.call(request).await;
        }
    }
    for code in [34, 41, 42, 46, 200] {
        for body in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"clientID\":{}}"] {
            peer.call(Request::new(RequestCode(code)).body(body)).await;
        }
    }
    assert_eq!(peer.max_offset("Orders", 0).await, 1);
    cluster.shutdown().await;
}
