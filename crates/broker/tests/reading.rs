//! Reading at the wire: what Java 5.3.3 answered to each request, and messages that are on the disk only.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::ConsumerSendMsgBackRequestHeader;
use raptormq_remoting::{Request, Response};
use raptormq_store::SystemClock;
use raptormq_store::disk::memory::MemoryDisk;
use serde_json::{Value, json};
use support::*;

/// The fields of a recorded step as a request.
fn request(code: i64, fields: &Value) -> Request {
    let request = Request::new(RequestCode(i32::try_from(code).unwrap()));
    let fields = fields.as_object().unwrap().iter();
    fields.fold(request, |request, (key, value)| request.field(key, value.as_str().unwrap()))
}

/// The answer in the recorder's form: without what cannot be the same twice.
fn answer(code: i64, response: &Response) -> Value {
    let kept = |key: &str| !(key.contains("imestamp") || code == 12 && key == "indexLastUpdatePhyoffset");
    let fields: BTreeMap<&str, &str> = response.fields.iter().filter(|(key, _)| kept(key)).collect();
    let remark = response.remark.clone().unwrap_or_default();
    let remark = match remark.split_once("127.0.0.1:") {
        Some((before, after)) => format!("{before}ADDRESS{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => remark,
    };
    let mut answer = json!({"code": response.code.0, "remark": remark, "fields": fields});
    if code == 32 {
        answer["is_minus_one"] = json!(response.fields.get("timestamp") == Some("-1"));
    }
    if response.body.is_empty() {
        return answer;
    } else if code == 321 {
        let mut body: Value = serde_json::from_slice(&response.body).unwrap();
        for unit in body["queueData"].as_array_mut().unwrap() {
            let unit = unit.as_object_mut().unwrap();
            assert!(unit.remove("physicOffset").is_some() && unit.remove("physicSize").is_some());
        }
        answer["body"] = body;
    } else {
        let found: Vec<_> = messages(response).iter().map(|found| (found.queue_id, found.queue_offset)).collect();
        answer["messages"] = json!(found);
    }
    answer
}

#[tokio::test]
async fn everything_is_answered_as_java_answers_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/vectors/reading.json");
    let Value::Array(steps) = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() else { panic!() };
    let rig = Rig::new();
    let peer = rig.peer();
    let mut differing = Vec::new();
    for step in &steps {
        if let Some(sent) = step.get("send") {
            let body = vec![b'x'; step["bytes"].as_u64().unwrap() as usize];
            for _ in 0..step["times"].as_u64().unwrap() {
                let response = peer.ask(request(10, sent).body(body.clone())).await;
                assert_eq!(response.code, ResponseCode::SUCCESS, "{:?}", response.remark);
            }
            continue;
        }
        let code = step["code"].as_i64().unwrap();
        let ours = answer(code, &peer.ask(request(code, &step["fields"])).await);
        if ours != step["answer"] {
            differing.push(format!("{code} {}\n  Java: {}\n  ours: {ours}", step["fields"], step["answer"]));
        }
    }
    assert!(steps.len() > 100 && differing.is_empty(), "{}", differing.join("\n"));
}

#[tokio::test]
async fn what_is_on_the_disk_only_is_read_as_what_is_in_memory() {
    let folder = tempfile::TempDir::new().unwrap();
    let disk = MemoryDisk::default();
    let mut settings = settings(&folder);
    settings.settle().unwrap();
    let port = settings.server.listen_port;
    let start =
        || raptormq_broker::start_with(settings.clone(), Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    let broker = start();
    let peer = Peer::new(port);
    for number in 0..20 {
        peer.ask(Message::new("T").property("KEYS", "k").request(&format!("message {number}"))).await;
    }
    let warm = peer.pull(Pull::new("T", 3)).await;
    assert_eq!(bodies(&warm).len(), 17);
    broker.shutdown().await;
    let broker = start();
    disk.set_cold(true);
    let peer = Peer::new(port);
    let cold = peer.pull(Pull::new("T", 3)).await;
    assert_eq!((cold.code, &cold.body, &cold.remark), (warm.code, &warm.body, &warm.remark));
    // A pull that may wait does so only where there is nothing.
    assert_eq!(peer.pull(Pull::new("T", 19).waiting(60_000)).await.code, ResponseCode::SUCCESS);
    let ended = peer.pull(Pull::new("T", 20).waiting(50)).await;
    assert_refused(&ended, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE");
    // Tags that nobody has: the units are on the disk, too.
    let unmatched = peer.pull(Pull { expression: "Other", ..Pull::new("T", 0) }).await;
    assert_refused(&unmatched, ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE");
    // A message that is given back is fetched, too, and one that is not there is missed in the same words.
    let back = |offset| ConsumerSendMsgBackRequestHeader {
        offset,
        group: "g",
        delay_level: -1,
        ..ConsumerSendMsgBackRequestHeader::default()
    };
    let offset = messages(&cold)[0].commit_log_offset;
    assert_eq!(peer.get(RequestCode::CONSUMER_SEND_MSG_BACK, &back(offset)).await.code, ResponseCode::SUCCESS);
    let dead = peer.pull(Pull::new("%DLQ%g", 0)).await;
    assert_eq!(bodies(&dead), ["message 3"]);
    let missed = peer.get(RequestCode::CONSUMER_SEND_MSG_BACK, &back(offset + 1)).await;
    assert_refused(&missed, ResponseCode::SYSTEM_ERROR, &format!("look message by offset failed, {}", offset + 1));
    broker.shutdown().await;
}
