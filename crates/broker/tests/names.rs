//! Names that could be paths, are too long, or are none: whatever request carries them, nothing outside the store is
//! touched, no file is named by them, and no table takes them.
#![allow(clippy::unwrap_used)] // tests

mod support;

use std::path::{Path, PathBuf};

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_remoting::{Request, Response};
use support::{Message, Peer, Rig};

/// Names that must not become a topic, a group or a file.
fn hostile_names() -> Vec<String> {
    let names = [
        "../../sentinel",
        "..",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "x\0y",
        "tab\tname",
        "%RETRY%../../sentinel",
        "ü",
        "a b",
    ];
    let long = ["t".repeat(256), format!("%RETRY%{}", "g".repeat(300)), "g".repeat(4000)];
    names.into_iter().map(str::to_owned).chain(long).collect()
}

/// Header fields that name topics, groups, files or folders.
const FIELDS: &[&str] = &[
    "topic",
    "b",
    "group",
    "a",
    "consumerGroup",
    "producerGroup",
    "groupName",
    "srcGroup",
    "destGroup",
    "originTopic",
    "groupList",
    "filterGroups",
    "compareGroup",
    "subscriptionGroup",
    "defaultTopic",
    "key",
    "lmqTopic",
    "topicName",
    "statsName",
    "statsKey",
    "clientId",
    "aclFileFullPath",
    "brokerName",
    "attributes",
];

/// The request with the name in every place.
fn request(code: RequestCode, name: &str, body: &str) -> Request {
    let numbers = [
        ("queueId", "0"),
        ("e", "0"),
        ("queueOffset", "0"),
        ("commitOffset", "1"),
        ("offset", "0"),
        ("maxMsgNums", "1"),
        ("sysFlag", "0"),
        ("perm", "6"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("timestamp", "0"),
        ("isForce", "true"),
        ("cleanOffset", "true"),
        ("readable", "false"),
        ("delayLevel", "1"),
        ("count", "1"),
        // Without it the original answers nothing, and so do we.
        ("commitOrRollback", "8"),
    ];
    let request = FIELDS.iter().fold(Request::new(code), |request, field| request.field(field, name));
    let request = numbers.iter().fold(request, |request, (key, value)| request.field(key, value));
    request.body(body.as_bytes().to_vec())
}

/// Bodies that carry the name where requests have it in their body.
fn bodies(name: &str) -> [String; 2] {
    let name = serde_json::to_string(name).unwrap();
    [
        String::new(),
        format!(
            r#"{{"clientID":"c","clientId":"c","consumerGroup":{name},"group":{name},"groupName":{name},"topic":{name},
            "topicName":{name},"readQueueNums":1,"writeQueueNums":1,"perm":6,"strategyName":"AVG","mode":"PULL",
            "consumerDataSet":[{{"groupName":{name},"subscriptionDataSet":[{{"topic":{name},"subString":"*"}}]}}],
            "producerDataSet":[{{"groupName":{name}}}],"mqSet":[{{"topic":{name},"brokerName":"broker-a","queueId":0}}],
            "topicConfigList":[{{"topicName":{name},"readQueueNums":1,"writeQueueNums":1,"perm":6}}],
            "groupConfigList":[{{"groupName":{name}}}]}}"#
        ),
    ]
}

/// Every file and folder below.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.extend(tree(&entry));
        }
        all.push(entry);
    }
    all
}

fn answered(response: &Response) -> &str {
    let remark = response.remark.as_deref().unwrap_or_default();
    assert!(!remark.contains("panic"), "{remark}");
    remark
}

async fn try_every_request(peer: &Peer, names: &[String]) {
    for (code, _) in RequestCode::NAMED {
        for name in names {
            for body in bodies(name) {
                answered(&peer.ask(request(*code, name, &body)).await);
            }
        }
    }
}

#[tokio::test]
async fn a_name_is_never_a_path_and_never_taken_when_it_is_none() {
    let mut rig = Rig::new();
    let home = rig.folder.path().to_path_buf();
    std::fs::create_dir_all(home.join("sentinel/0")).unwrap();
    std::fs::write(home.join("sentinel/0/00000000000000000000"), b"kept").unwrap();
    let peer = rig.peer();
    let names = hostile_names();
    try_every_request(&peer, &names).await;
    assert_eq!(peer.send("T", "still served").await.code, ResponseCode::SUCCESS);
    rig.stop().await;
    assert_eq!(std::fs::read(home.join("sentinel/0/00000000000000000000")).unwrap(), b"kept");
    for path in tree(&home) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!names.contains(&name) && name.len() < 256, "{path:?}");
        assert!(path.starts_with(home.join("store")) || path.starts_with(home.join("sentinel")), "{path:?}");
    }
    let config = std::fs::read_dir(home.join("store/config")).unwrap();
    for path in config.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).unwrap();
        for name in &names {
            let quoted = serde_json::to_string(name).unwrap();
            assert!(!text.contains(&quoted), "{path:?} holds {quoted:.60}");
        }
    }
}

#[tokio::test]
async fn what_is_said_to_a_name_that_is_none() {
    let rig = Rig::new();
    let peer = rig.peer();
    let chars = "contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$";
    let long = "t".repeat(128);
    let cases: [(Request, i32, String); 5] = [
        (Message::new("a/b").request("x"), 29, format!("The specified topic {chars}")),
        (Message::new(" ").request("x"), 29, "The specified topic is blank.".to_owned()),
        (Message::new(&long).request("x"), 29, "The specified topic is longer than topic max length.".to_owned()),
        (
            request(RequestCode::UPDATE_AND_CREATE_TOPIC, "../x", "").field("topicFilterType", "SINGLE_TAG"),
            29,
            format!("The specified topic {chars}"),
        ),
        (
            request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, "../x", &bodies("../x")[1]),
            29,
            format!("The specified group {chars}"),
        ),
    ];
    for (request, code, remark) in cases {
        let response = peer.ask(request).await;
        assert_eq!((response.code.0, answered(&response)), (code, remark.as_str()));
    }
}
