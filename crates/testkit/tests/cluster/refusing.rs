//! What brokers answer that cannot store, or cannot read, what they are asked to, and what RocketMQ 5.3.3 and 4.9.7 answered
//! then (`golden/recorder/refusing.py`): a slow, a full and a broken disk, missing replicas, files that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raptormq_store::disk::Usage;
use raptormq_store::disk::faulty::FaultyDisk;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_testkit::{Cluster, PATIENCE};
use serde_json::{Value, json};

use crate::serving::{Client, answer, compare, difference};

/// Between two attempts at a step that is to be repeated.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A sync that takes so long is not quick.
const LONG_SYNC: Duration = Duration::from_millis(100);

/// A broker in the state that a part is about.
struct Stage {
    cluster: Cluster,
    memory: MemoryDisk,
    disk: FaultyDisk,
}

impl Stage {
    async fn start(part: &Value, steps: &[Value]) -> Stage {
        let memory = MemoryDisk::default();
        let disk = FaultyDisk::new(memory.clone(), None);
        let settings = part["set"].as_object().unwrap().iter();
        let mut builder =
            settings.fold(Cluster::builder(), |builder, (key, value)| builder.set(key, value.as_str().unwrap()));
        // The others are about files, and go on a disk that has such.
        if steps.iter().any(|step| step["do"] == "hang" || step["do"] == "fill") {
            builder = builder.on(Arc::new(disk.clone()));
        }
        Stage { cluster: builder.start().await.unwrap(), memory, disk }
    }

    /// Lets syncs hang. While they were quick an I/O thread waits for them, so that the first one only takes long.
    fn slow_down(&self) {
        let (calls, address) = (self.disk.calls(), self.cluster.broker_addr().to_owned());
        self.disk.hang(true);
        let step = json!({"code": 310, "text": "x", "fields": {
            "a": "p", "b": "Slow", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "0", "h": "0", "i": "", "j": "0", "k": "false"}});
        let sending = std::thread::spawn(move || Client::new(&address).ask(&step, &BTreeMap::new()));
        while self.disk.calls() == calls {
            std::thread::yield_now();
        }
        std::thread::sleep(LONG_SYNC);
        self.disk.hang(false);
        sending.join().unwrap();
        self.disk.hang(true);
    }

    /// Makes happen what happened to Java's broker.
    async fn act(&mut self, what: &str) {
        let store = self.cluster.store_folder();
        let log = store.join("commitlog");
        match what {
            "hang" => self.slow_down(),
            "heal" => self.disk.hang(false),
            "fill" => self
                .memory
                .set_usage(&store, Usage { total_bytes: 100 << 30, used_bytes: 70 << 30, free_bytes: 30 << 30 }),
            "no_next_file" => {
                std::fs::rename(&log, store.join("commitlog.moved")).unwrap();
                std::fs::write(&log, b"").unwrap();
            }
            "remove_queue_file" => {
                self.cluster.stop_broker().await;
                std::fs::remove_file(store.join("consumequeue/Topic/0/00000000000000000600")).unwrap();
                self.cluster.restart_broker().await.unwrap();
            }
            "remove_log_file" => {
                self.cluster.stop_broker().await;
                std::fs::remove_file(log.join("00000000000003145728")).unwrap();
                let refusal = self.cluster.restart_broker().await.unwrap_err();
                assert!(format!("{refusal:#}").contains("expected the log file 00000000000003145728"), "{refusal:#}");
            }
            // There is nothing to flood.
            "flood" => {}
            _ => panic!("what is {what}?"),
        }
    }
}

/// A remark without the disks' ratios.
fn masked(remark: &str) -> String {
    let is_ratio = |text: &str| text.len() == 4 && text.parse::<f64>().is_ok();
    let words = remark.split(' ').map(|word| {
        let number = word.trim_end_matches([']', ',']);
        if is_ratio(number) { word.replace(number, "RATIO") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Asks what a part asks; returns where the answers differ otherwise than they should.
async fn differing(part: &Value, steps: &[Value]) -> Vec<String> {
    let mut stage = Stage::start(part, steps).await;
    let mut client = Client::new(stage.cluster.broker_addr());
    let (mut saved, mut differing) = (BTreeMap::new(), Vec::new());
    for step in steps {
        if let Some(what) = step.get("do") {
            stage.act(what.as_str().unwrap()).await;
            if what == "remove_log_file" {
                // Java's starts over it, and ours says what is missing: there is nobody to ask.
                break;
            }
            client = Client::new(stage.cluster.broker_addr());
            continue;
        }
        for _ in 1..step.get("times").map_or(1, |times| times.as_u64().unwrap()) {
            client.ask(step, &saved);
        }
        let java = &step["answer"];
        let differs = step.get("differs").is_some();
        let deadline = Instant::now() + PATIENCE;
        let ours = loop {
            let (head, body) = client.ask(step, &saved);
            if let Some(name) = step.get("save") {
                let id = head["extFields"]["msgId"].as_str().unwrap();
                saved.insert(name.as_str().unwrap().to_owned(), i64::from_str_radix(&id[16..], 16).unwrap());
            }
            let mut ours = answer(step["code"].as_i64().unwrap(), &head, &body);
            ours["remark"] = json!(masked(ours["remark"].as_str().unwrap()));
            if part["release"] == "4.9.7" {
                // 5.x says the unique key, too.
                ours["fields"].as_object_mut().unwrap().remove("transactionId");
            }
            if ours == *java || differs || step.get("until").is_none() || Instant::now() > deadline {
                break ours;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        if (ours != *java) != differs {
            differing.push(difference(part, step, java, &ours));
        }
    }
    stage.cluster.shutdown().await;
    differing
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_as_java_answers_it() {
    compare("refusing.json", differing).await;
}
