//! What producers, consumers and tools ask, right and wrong, and what RocketMQ 5.3.3 answered
//! (`golden/recorder/serving.py`): ours answers the same, but for the differences that are named here.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use raptormq_protocol::code::RequestCode;
use raptormq_testkit::raw::{batch_of, frame};
use raptormq_testkit::{Cluster, PATIENCE};
use serde_json::{Value, json};

/// Clients of the recorder.
const CLIENTS: usize = 4;

/// How long word of a group may take.
const TOLD_MAX: Duration = Duration::from_secs(10);

/// Goes through the parts of a recorded file, each with the steps behind it; `differing` says where a part's answers differ
/// otherwise than they should.
pub(super) async fn compare(file: &str, differing: impl AsyncFn(&Value, &[Value]) -> Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/vectors").join(file);
    let Value::Array(all) = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() else { panic!("a list") };
    let mut wrong = Vec::new();
    let mut steps = 0;
    for part in all.chunk_by(|_, next| next.get("part").is_none()) {
        wrong.extend(differing(&part[0], &part[1..]).await);
        steps += part.len() - 1;
    }
    assert!(steps > 60 && wrong.is_empty(), "{} of {steps} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// What is said of a step whose answers differ.
pub(super) fn difference(part: &Value, step: &Value, java: &Value, ours: &Value) -> String {
    let mut asked = step.clone();
    asked.as_object_mut().unwrap().remove("answer");
    format!("{}: {asked:.500}\n  Java: {java}\n  ours: {ours}", part["part"])
}

/// One connection that says what was recorded.
pub(super) struct Client {
    stream: TcpStream,
    opaque: i64,
    /// Groups that it was told of.
    notices: Vec<String>,
}

impl Client {
    pub(super) fn new(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, opaque: 0, notices: Vec::new() }
    }

    /// Says a step, and reads until its answer.
    pub(super) fn ask(&mut self, step: &Value, saved: &BTreeMap<String, i64>) -> (Value, Vec<u8>) {
        self.say(step, saved);
        self.hear()
    }

    fn say(&mut self, step: &Value, saved: &BTreeMap<String, i64>) {
        self.opaque += 1;
        let fill = |value: &Value| match value.as_str().unwrap().strip_prefix('$') {
            Some(name) => json!(saved[name].to_string()),
            None => value.clone(),
        };
        let fields: BTreeMap<_, _> =
            step["fields"].as_object().unwrap().iter().map(|(key, value)| (key, fill(value))).collect();
        let head = json!({
            "code": step["code"], "language": step.get("language").unwrap_or(&json!("JAVA")),
            "version": step.get("version").unwrap_or(&json!(479)), "opaque": self.opaque, "flag": 0, "extFields": fields,
        });
        self.stream.write_all(&frame(head.to_string().as_bytes(), &body_of(step))).unwrap();
    }

    /// Reads until the answer to what was said last.
    fn hear(&mut self) -> (Value, Vec<u8>) {
        loop {
            let (head, body) = self.read();
            if head["opaque"] == self.opaque && head["flag"].as_i64().unwrap() & 1 == 1 {
                return (head, body);
            }
        }
    }

    /// The next frame; notices are noted.
    fn read(&mut self) -> (Value, Vec<u8>) {
        let mut word = || {
            let mut bytes = [0; 4];
            self.stream.read_exact(&mut bytes).unwrap();
            u32::from_be_bytes(bytes)
        };
        let (length, head_length) = (word() as usize, word() as usize & 0xff_ffff);
        let mut bytes = vec![0; length - 4];
        self.stream.read_exact(&mut bytes).unwrap();
        let body = bytes.split_off(head_length);
        let head: Value = serde_json::from_slice(&bytes).unwrap();
        if head["flag"].as_i64().unwrap() & 1 == 0 && head["code"] == RequestCode::NOTIFY_CONSUMER_IDS_CHANGED.0 {
            self.notices.push(head["extFields"]["consumerGroup"].as_str().unwrap().to_owned());
        }
        (head, body)
    }

    /// What it was told of, when that should be so many groups.
    fn told(&mut self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + TOLD_MAX;
        while self.notices.len() < count && Instant::now() < deadline {
            // A question every now and then, because a read waits for something to come.
            self.ask_nothing();
            std::thread::sleep(Duration::from_millis(1));
        }
        // What was said too much comes before the answer to the next question.
        self.ask_nothing();
        std::mem::take(&mut self.notices)
    }

    /// Waits until the broker holds a pull.
    fn wait_for_held(&mut self) {
        let info = json!({"code": RequestCode::GET_BROKER_RUNTIME_INFO.0, "fields": {}});
        let deadline = Instant::now() + PATIENCE;
        let mut is_held = false;
        while !is_held {
            assert!(Instant::now() < deadline, "no pull is held");
            let (_, body) = self.ask(&info, &BTreeMap::new());
            let body: Value = serde_json::from_slice(&body).unwrap();
            is_held = body["table"]["pullRequestsHeld"] == "1";
        }
    }

    fn ask_nothing(&mut self) {
        let code = RequestCode::GET_CONSUMER_LIST_BY_GROUP.0;
        self.ask(&json!({"code": code, "fields": {"consumerGroup": "nobody"}}), &BTreeMap::new());
    }
}

/// One of the clients says a step; others say what the step has for them while the broker holds it.
fn ask(clients: &mut [Client], step: &Value, saved: &BTreeMap<String, i64>) -> (Value, Vec<u8>) {
    let index_of = |step: &Value| step["client"].as_u64().unwrap() as usize;
    let asking = index_of(step);
    clients[asking].say(step, saved);
    if let Some(meanwhile) = step.get("meanwhile") {
        clients[index_of(&meanwhile[0])].wait_for_held();
        for other in meanwhile.as_array().unwrap() {
            let (head, _) = clients[index_of(other)].ask(other, saved);
            assert_eq!(head["code"], 0, "{other}: {head}");
        }
    }
    clients[asking].hear()
}

fn body_of(step: &Value) -> Vec<u8> {
    if let Some(body) = step.get("json") {
        return body.to_string().into_bytes();
    }
    if let Some(bodies) = step.get("inner") {
        return batch_of(bodies.as_array().unwrap().iter().map(|body| body.as_str().unwrap()));
    }
    match step.get("text") {
        Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
        None => vec![b'x'; step.get("bytes").map_or(0, |count| count.as_u64().unwrap() as usize)],
    }
}

/// A JSON body in a form in which equal content is equal: what changes is masked, sets are sorted.
pub(super) fn content(text: &[u8]) -> Value {
    fn mask(value: &mut Value) {
        match value {
            // A JSON text within.
            Value::String(text) if text.starts_with('{') => *text = without_times(text),
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    match &**name {
                        "timestamp" | "lastUpdateTimestamp" | "counter" | "stateVersion" | "physicOffset" => {
                            *member = json!(0)
                        }
                        "clientAddr" => *member = json!("ADDRESS"),
                        _ => mask(member),
                    }
                }
            }
            Value::Array(elements) => {
                elements.iter_mut().for_each(mask);
                elements.sort_by_key(Value::to_string);
            }
            _ => {}
        }
    }
    let mut value = raptormq_protocol::json::parse_value(text).unwrap();
    mask(&mut value);
    value
}

/// A JSON text in which all times are 0.
fn without_times(text: &str) -> String {
    let mut masked = text.to_owned();
    for name in ["\"msgStoreTime\":", "\"bornTime\":", "\"deadTime\":"] {
        if let Some((before, after)) = masked.split_once(name) {
            masked = format!("{before}{name}0{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    }
    masked
}

/// An answer in the recorder's form.
pub(super) fn answer(code: i64, head: &Value, body: &[u8]) -> Value {
    let mut fields = BTreeMap::new();
    for (key, value) in head["extFields"].as_object().into_iter().flatten().filter(|(key, _)| !key.contains("imestamp"))
    {
        let is_id = key == "msgId" || value.as_str().is_some_and(|value| value.len() >= 32);
        fields.insert(key, if is_id { json!("ID") } else { value.clone() });
    }
    let remark = head["remark"].as_str().unwrap_or_default();
    let remark = match remark.split_once("127.0.0.1:") {
        Some((before, after)) => format!("{before}ADDRESS{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => remark.to_owned(),
    };
    let mut answer = json!({"code": head["code"], "remark": remark, "fields": fields});
    let is_pull =
        [RequestCode::PULL_MESSAGE, RequestCode::LITE_PULL_MESSAGE].iter().any(|pull| i64::from(pull.0) == code);
    if is_pull && !body.is_empty() {
        let found = raptormq_protocol::message::MessageExt::decode_all(body, 8 << 20).unwrap();
        let found: Vec<_> = found.iter().map(|message| (message.queue_id, message.queue_offset)).collect();
        answer["messages"] = json!(found);
    } else if !body.is_empty() {
        answer["body"] = content(body);
    }
    answer
}

#[tokio::test]
async fn everything_is_answered_as_java_answers_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/vectors/serving.json");
    let Value::Array(steps) = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() else { panic!("a list") };
    let cluster = Cluster::start().await.unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(cluster.broker_addr())).collect();
    let (mut saved, mut part, mut differing) = (BTreeMap::new(), String::new(), Vec::new());
    for step in &steps {
        if let Some(name) = step.get("part") {
            part = name.as_str().unwrap().to_owned();
            continue;
        }
        let code = step["code"].as_i64().unwrap();
        let mut java = step["answer"].clone();
        if let Some(body) = java.get("body") {
            java["body"] = content(body.as_str().unwrap().as_bytes());
        }
        let deadline = Instant::now() + PATIENCE;
        let mut ours;
        loop {
            let (head, body) = ask(&mut clients, step, &saved);
            if let Some(name) = step.get("save") {
                let id = head["extFields"]["msgId"].as_str().unwrap();
                saved.insert(name.as_str().unwrap().to_owned(), i64::from_str_radix(&id[16..], 16).unwrap());
            }
            ours = answer(code, &head, &body);
            if ours == java || step.get("until").is_none() || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(changed) = step.get("changed") {
            let changed = changed.as_object().unwrap();
            java["changed"] = json!(changed);
            let told = |(client, groups): (&String, &Value)| {
                let count = if step.get("differs").is_some() { 0 } else { groups.as_array().unwrap().len() };
                let told = clients[client.parse::<usize>().unwrap()].told(count);
                (client.clone(), told)
            };
            ours["changed"] = json!(changed.iter().map(told).collect::<BTreeMap<_, _>>());
        }
        let is_other = ours != java;
        // Where Java answers an exception, what it fell over is no question that a client asks.
        let remark = java["remark"].as_str().unwrap();
        if ["Exception", "Cannot invoke", "Index "].iter().any(|fall| remark.contains(fall)) {
            assert_ne!(java["code"], 0);
            continue;
        }
        if is_other != step.get("differs").is_some() {
            let mut asked = step.clone();
            asked.as_object_mut().unwrap().remove("answer");
            differing.push(format!("{part}: {asked:.600}\n  Java: {java}\n  ours: {ours}"));
        }
    }
    assert!(steps.len() > 500 && differing.is_empty(), "{} differ\n{}", differing.len(), differing.join("\n"));
    cluster.shutdown().await;
}
