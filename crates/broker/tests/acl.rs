//! Access control at the wire: what a Java broker answered to the same requests, what is asked for beyond, and accounts that
//! change while the broker runs.
#![allow(clippy::unwrap_used)] // tests

mod support;

use std::time::Instant;

use raptormq_auth::Credentials;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_remoting::{Request, Response};
use support::{LONG, Peer, Rig};
use tempfile::TempDir;

/// Written by `org.apache.rocketmq.acl.common.AclClientRPCHook`'s signatures and a live broker.
const RECORDED: &str = include_str!("golden/acl-4.9.7.txt");
/// The accounts of the recording.
const ACCOUNTS: &str = include_str!("golden/plain_acl.yml");

/// What is answered otherwise than by Java, and why.
const DIFFERENT: &[(&str, i32, &str)] = &[
    // Java shows all secrets to every account.
    ("RocketMQ 12345678 54 x=1", 1, "Need admin permission for request code=54, but accessKey=RocketMQ is not"),
];

/// A broker with access control, and the folder of its accounts.
fn rig() -> (Rig, TempDir) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("conf")).unwrap();
    std::fs::write(home.path().join("conf/plain_acl.yml"), ACCOUNTS).unwrap();
    let rig = Rig::with(|settings| {
        settings.broker.acl_enable = true;
        settings.broker.trace_topic_enable = true;
        settings.broker.rocketmq_home = home.path().to_string_lossy().into_owned();
    });
    (rig, home)
}

/// `access key, secret, code, fields` as a request.
fn request(text: &str) -> Request {
    let mut words = text.split(' ');
    let (access_key, secret) = (words.next().unwrap(), words.next().unwrap());
    let mut request = Request::new(RequestCode(words.next().unwrap().parse().unwrap()));
    for word in words {
        request = match word.split_once('=').unwrap() {
            ("body", body) => request.body(body.as_bytes().to_vec()),
            (key, value) => request.field(key, value),
        };
    }
    if access_key == "-" {
        return request;
    }
    let signed = Credentials::new(access_key, secret).sign(request.fields.iter(), &request.body);
    signed.into_iter().fold(request, |request, (key, value)| request.field(key, &value))
}

fn remark(response: &Response) -> &str {
    let remark = response.remark.as_deref().unwrap_or_default();
    remark.strip_prefix("org.apache.rocketmq.acl.common.AclException: ").unwrap_or(remark)
}

async fn ask(peer: &Peer, text: &str) -> (i32, String) {
    let response = peer.ask(request(text)).await;
    (response.code.0, remark(&response).to_owned())
}

#[tokio::test]
async fn answers_are_those_of_java() {
    let (rig, _home) = rig();
    let peer = rig.peer();
    let mut count = 0;
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let (asked, answer) = line.split_once(" => ").unwrap();
        let (answer, body) = answer.split_once(" body ").unwrap_or((answer, ""));
        let (code, words) = answer.split_once(' ').unwrap();
        let response = peer.ask(request(asked)).await;
        count += 1;
        if let Some((_, code, words)) = DIFFERENT.iter().find(|(known, ..)| *known == asked) {
            assert_eq!((response.code.0, remark(&response)), (*code, *words), "{asked}");
            continue;
        }
        let said = response.remark.clone().unwrap_or_default().replace('\n', "\\n");
        assert_eq!((response.code.0.to_string(), said.as_str()), (code.to_owned(), words), "{asked}");
        if !body.is_empty() {
            assert_eq!(std::str::from_utf8(&response.body).unwrap(), body, "{asked}");
        }
    }
    assert_eq!(count, 32);
}

#[tokio::test]
async fn more_is_asked_for_than_by_java_where_java_leaves_a_way_around() {
    let (rig, _home) = rig();
    let peer = rig.peer();
    let topic_a = (1, "No default permission for topic:topicA".to_owned());
    let group_a = (1, "No default permission for group:groupA".to_owned());
    let admin =
        |code: i32| (1, format!("Need admin permission for request code={code}, but accessKey=RocketMQ is not"));
    let cases = [
        ("320 a=g b=topicA m=true body=x", topic_a.clone()),
        ("361 topic=topicA consumerGroup=groupB", topic_a.clone()),
        ("361 topic=topicB consumerGroup=groupA", group_a.clone()),
        ("222 topic=topicA group=groupB timestamp=0 isForce=true", topic_a.clone()),
        ("314 srcGroup=x destGroup=groupA topic=topicB", group_a),
        ("10 producerGroup=g topic=%RETRY%groupA body=x", (1, "No default permission for group:groupA".to_owned())),
        ("50 accessKey=RocketMQ secretKey=12345678 admin=true", admin(50)),
        ("51 accessKey=rocketmq2", admin(51)),
        ("53 globalWhiteAddrs=*", admin(53)),
        ("54 x=1", admin(54)),
        ("306 x=1", admin(306)),
        ("316 x=1", admin(316)),
        ("329 x=1", admin(329)),
    ];
    for (text, expected) in cases {
        assert_eq!(ask(&peer, &format!("RocketMQ 12345678 {text}")).await, expected, "{text}");
    }
}

#[tokio::test]
async fn every_request_needs_a_signature_whether_there_is_a_row_for_it_or_not() {
    let (rig, _home) = rig();
    let peer = rig.peer();
    for (code, name) in RequestCode::NAMED {
        let refused = ask(&peer, &format!("- - {} topic=T consumerGroup=g", code.0)).await;
        assert_eq!(refused, (1, "No accessKey is configured".to_owned()), "{name}");
        let refused = ask(&peer, &format!("RocketMQ wrong-secret {} topic=T consumerGroup=g", code.0)).await;
        assert_eq!(refused, (1, "Check signature failed for accessKey=RocketMQ".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn changed_files_count() {
    let (rig, home) = rig();
    let peer = rig.peer();
    let path = home.path().join("conf/plain_acl.yml");
    let asked = "rocketmq3 another_secret 25 x=1";
    let until = |expected: &'static str| {
        let peer = &peer;
        async move {
            let begun = Instant::now();
            loop {
                let said = ask(peer, asked).await.1;
                if said == expected {
                    return;
                }
                assert!(begun.elapsed() < LONG, "{said} instead of {expected}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    };
    until("No acl config for rocketmq3").await;
    std::fs::write(&path, "accounts:\n- accessKey: rocketmq3\n  secretKey: another_secret\n").unwrap();
    until("Need admin permission for request code=25, but accessKey=rocketmq3 is not").await;
    std::fs::write(&path, "globalWhiteRemoteAddresses:\n- 127.0.0.1\n").unwrap();
    let begun = Instant::now();
    while ask(&peer, "- - 28 x=1").await.0 != 0 {
        assert!(begun.elapsed() < LONG);
    }
}

#[tokio::test]
async fn without_access_control_everybody_is_served_and_nobody_answers_for_accounts() {
    let rig = Rig::new();
    let peer = rig.peer();
    for code in 50..=54 {
        let expected = (ResponseCode::REQUEST_CODE_NOT_SUPPORTED.0, format!(" request type {code} not supported"));
        assert_eq!(ask(&peer, &format!("- - {code} accessKey=a")).await, expected);
    }
    assert_eq!(peer.send("T", "x").await.code, ResponseCode::SUCCESS);
}
