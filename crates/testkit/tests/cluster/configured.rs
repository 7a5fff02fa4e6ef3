//! What brokers answer that are set otherwise than by default, and what RocketMQ 5.3.3 answered with the same settings
//! (`golden/recorder/configured.py`): conditions of groups and their bit maps, slaves, missing replicas, light queues,
//! groups that are behind, messages with a time of their own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use raptormq_testkit::Cluster;
use serde_json::Value;

use crate::serving::{Client, answer, compare, content, difference};

/// Clients of the recorder.
const CLIENTS: usize = 2;

/// What is said to messages with a time of their own by default, and where they are switched off, which a test cannot do:
/// `timerWheelEnable` has no effect yet but for these words.
const NOT_BUILT: &str = "timer messages are not supported by this version of RaptorMQ";
const SWITCHED_OFF: &str = "accurate timer message is not enabled, timerWheelEnable is false";

/// Waits until the clock shows another millisecond: what was stored since is younger than what was made before.
fn next_millisecond() {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2) {
        std::thread::yield_now();
    }
}

/// Asks what a part asks; returns where the answers differ otherwise than they should.
async fn differing(part: &Value, steps: &[Value]) -> Vec<String> {
    let settings = part["set"].as_object().unwrap().iter();
    let builder = settings.fold(Cluster::builder(), |builder, (key, value)| builder.set(key, value.as_str().unwrap()));
    let cluster = builder.start().await.unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(cluster.broker_addr())).collect();
    let mut differing = Vec::new();
    for step in steps {
        if step.get("wait").is_some() {
            next_millisecond();
        }
        let mut java = step["answer"].clone();
        if let Some(body) = java.get("body") {
            java["body"] = content(body.as_str().unwrap().as_bytes());
        }
        let client = step["client"].as_u64().unwrap() as usize;
        let (head, body) = clients[client].ask(step, &BTreeMap::new());
        let mut ours = answer(step["code"].as_i64().unwrap(), &head, &body);
        if ours["remark"] == NOT_BUILT {
            ours["remark"] = SWITCHED_OFF.into();
        }
        if java["remark"].as_str().unwrap().starts_with("Cannot invoke") {
            assert_eq!(java["code"], ours["code"]);
            continue;
        }
        if (ours != java) != step.get("differs").is_some() {
            differing.push(difference(part, step, &java, &ours));
        }
    }
    cluster.shutdown().await;
    differing
}

#[tokio::test]
async fn everything_is_answered_as_java_answers_it_with_these_settings() {
    compare("configured.json", differing).await;
}
