//! What every command prints, in one scenario against a name server and a broker of ours. The snapshots are compared with
//! what Java's printed by `.ci/mqadmin`, line by line; here they say what a change alters, and `docs/mqadmin.md` shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use raptormq_admin::{Invocation, Style, run_on};
use raptormq_client::{Client, Message};
use raptormq_protocol::message::record::{self, Place, RecordParts};
use raptormq_testkit::Cluster;

/// Standard output of a command: it takes some lines, and then nobody reads any more. So commands end that go on for ever.
struct Page {
    text: Vec<u8>,
    lines_max: usize,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let lines = self.text.iter().filter(|byte| **byte == b'\n').count();
        if lines < self.lines_max { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

/// Commands that go on for ever, and how many lines of them are shown.
const ENDLESS: &[(&str, usize)] = &[("clusterRT", 2), ("startMonitoring", 1)];
/// Lines of a command that ends.
const LINES_MAX: usize = 10_000;

/// A command line of the scenario.
struct Step {
    line: &'static str,
    /// Only lines that begin so are shown, of a command that prints too many, or measured ones; `…` stands for the others.
    kept: &'static [&'static str],
}

const fn all(line: &'static str) -> Step {
    Step { line, kept: &[] }
}

const fn some(line: &'static str, kept: &'static [&'static str]) -> Step {
    Step { line, kept }
}

/// Before anything is sent.
const NEW: &[Step] = &[
    all("clusterList"),
    all("updateTopic -c DefaultCluster -t Orders -r 2 -w 2"),
    all("updateTopicList -c DefaultCluster -f {folder}/topics.json"),
    all("updateSubGroup -c DefaultCluster -g readers -r 3"),
    all("updateSubGroupList -c DefaultCluster -f {folder}/groups.json"),
    all("topicList"),
    all("topicClusterList -t Orders"),
    all("topicRoute -t Orders"),
    all("haStatus -b {broker}"),
    all("getConsumerConfig -g readers"),
    some("getBrokerConfig -b {broker}", &["====", "brokerName", "brokerRole", "flushDiskType", "listenPort"]),
    some("getNamesrvConfig", &["====", "scanNotActiveBrokerInterval", "deleteTopicWithBrokerRegistration"]),
    some("brokerStatus -b {broker}", &["brokerActive", "brokerVersion", "commitLogMaxOffset", "msgPutTotalTodayNow"]),
    all("updateBrokerConfig -b {broker} -k waitTimeMillsInSendQueue -v 321"),
    all("updateNamesrvConfig -k scanNotActiveBrokerInterval -v 6000"),
    all("updateKvConfig -s Places -k office -v third-floor"),
    all("updateOrderConf -t Orders -m put -v broker-a:2"),
    all("allocateMQ -t Orders -i 10.0.0.1,10.0.0.2"),
    all("resetMasterFlushOffset -b {broker} -o 0"),
    all("setCommitLogReadAheadMode -b {broker} -m 0"),
    all("setConsumeMode -c DefaultCluster -t Orders -g readers -m PULL"),
];

/// With three messages in one queue, whose ids the scenario knows.
const SENT: &[Step] = &[
    all("topicStatus -t Orders"),
    all("queryMsgById -t Orders -i {id} -f UTF-8"),
    all("queryMsgByKey -t Orders -k order-1"),
    all("queryMsgByUniqueKey -t Orders -i {id}"),
    all("queryMsgByOffset -t Orders -b broker-a -i 0 -o 1"),
    all("queryCq -t Orders -q 0 -i 0 -c 2 -b {broker}"),
    all("printMsg -t Orders"),
    all("printMsgByQueue -t Orders -a broker-a -i 0 -f true"),
    all("consumeMessage -t Orders -b broker-a -i 0 -c 2"),
    all("dumpCompactionLog -f {folder}/00000000000000000000"),
    all("sendMessage -t Orders -p hello -c TagA -k order-4 -b broker-a -i 1 -m true"),
    all("queryMsgTraceById -i {traced}"),
    all("sendMsgStatus -b broker-a -c 2"),
    all("checkMsgSendRT -t Orders -a 3"),
    all("clusterRT -a 2 -c DefaultCluster"),
    all("resetOffsetByTime -g readers -t Orders -s 0 -b {broker} -q 0 -o 1"),
    all("cloneGroupOffset -s readers -d heirs -t Orders"),
    all("consumerProgress -g readers"),
    all("brokerConsumeStats -b {broker}"),
    all("statsAll -t Orders"),
    all("exportMetadata -b {broker} -t -f {folder}"),
    all("exportConfigs -c DefaultCluster -f {folder}"),
    all("exportMetrics -c DefaultCluster -f {folder}"),
];

/// With a producer of the group `senders` and a consumer of the group `listeners`.
const ON_LINE: &[Step] = &[
    all("producerConnection -g senders -t Orders"),
    all("producer -b {broker}"),
    all("consumerConnection -g listeners"),
    some("consumerStatus -g listeners -i {client}", &["#", "PROP_CONSUME_TYPE", "PROP_CONSUMEORDERLY"]),
    all("getConsumerStatus -g listeners -t Orders"),
    all("startMonitoring --json"),
];

/// What removes something.
const REMOVING: &[Step] = &[
    all("resetOffsetByTime -g readers -t Orders -s now"),
    all("skipAccumulatedMessage -g readers -t Orders"),
    all("updateTopicPerm -b {broker} -t Orders -p 4"),
    all("wipeWritePerm -b broker-a"),
    all("addWritePerm -b broker-a"),
    all("cleanExpiredCQ -b {broker}"),
    all("cleanUnusedTopic -b {broker}"),
    all("deleteExpiredCommitLog -b {broker}"),
    all("deleteKvConfig -s Places -k office"),
    all("deleteSubGroup -c DefaultCluster -g readers -r true"),
    all("deleteTopic -c DefaultCluster -t Orders"),
];

/// The commands that were run, with what is known of the cluster.
struct Scenario<'c> {
    cluster: &'c Cluster,
    folder: String,
    /// What stands for itself in braces.
    names: BTreeMap<&'static str, String>,
    seen: BTreeSet<String>,
}

impl Scenario<'_> {
    /// Runs a command, and returns what it printed. Nothing may be wrong.
    async fn run(&self, line: &str) -> String {
        let mut words: Vec<String> = self.filled(line).split(' ').map(str::to_owned).collect();
        words.extend(["-n".to_owned(), self.cluster.namesrv_addr().to_owned()]);
        let endless = ENDLESS.iter().find(|(name, _)| *name == words[0]);
        let lines_max = endless.map_or(LINES_MAX, |(_, lines)| *lines);
        let (done, outcome) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let (mut out, mut errors) = (Page { text: Vec::new(), lines_max }, Vec::new());
            let invocation = Invocation { style: Style::Raptormq, words, system_properties: BTreeMap::new() };
            let status = run_on(invocation, &mut out, &mut errors);
            // Nobody waits when the test has ended before.
            drop(done.send((status, out.text, errors)));
        });
        let (status, out, errors) = outcome.await.expect("a command ends");
        let errors = String::from_utf8_lossy(&errors).into_owned();
        assert!(status == 0 && (errors.is_empty() || line.starts_with("startMonitoring")), "{line}: {status} {errors}");
        String::from_utf8(out).expect("commands print text")
    }

    fn filled(&self, line: &str) -> String {
        let mut line = line.replace("{broker}", self.cluster.broker_addr()).replace("{folder}", &self.folder);
        for (name, value) in &self.names {
            line = line.replace(&format!("{{{name}}}"), value);
        }
        line
    }

    async fn play(&mut self, steps: &[Step]) {
        for step in steps {
            let mut printed = self.run(step.line).await;
            if step.line.starts_with("sendMessage") {
                let id = printed.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
                self.names.insert("traced", id);
            }
            if !step.kept.is_empty() {
                printed = shortened(&printed, step.kept);
            }
            // A prompt shows where the end of the last line is.
            let end = if printed.ends_with('\n') || printed.is_empty() { "" } else { "⏎\n" };
            let name = step.line.split(' ').next().unwrap_or_default().to_owned();
            let line = self.masked(&self.filled(step.line));
            let text = format!("$ mqadmin {line} -n 127.0.0.1:9876\n{}{end}", self.masked(&printed));
            let again = if self.seen.insert(name.clone()) { "" } else { "-again" };
            insta::assert_snapshot!(format!("{name}{again}"), text);
        }
    }

    /// Addresses, ids, times and measured values as constants of the same length.
    fn masked(&self, text: &str) -> String {
        let mut text = text.replace(self.cluster.broker_addr(), "127.0.0.1:10911").replace(&self.folder, "/data");
        text = text.replace(self.cluster.namesrv_addr(), "127.0.0.1:9876");
        text = text.replace(self.cluster.broker_addr().trim_start_matches("127.0.0.1:"), "10911");
        for (pattern, constant) in MASKS {
            let pattern = regex::Regex::new(pattern).expect("a pattern of this file");
            text = pattern.replace_all(&text, *constant).into_owned();
        }
        text
    }
}

/// What differs from run to run: a pattern, and what is shown for it.
const MASKS: &[(&str, &str)] = &[
    (r"127\.0\.0\.1:[2-6]\d{4}", "127.0.0.1:40000"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "2026-11-21 12:28:33,640"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-21 12:28:33"),
    (r"\b20\d{15}\b", "20261121122833640"),
    (r"\b1[6-9]\d{11}\b", "1795264113640"),
    (r"\b7F000001\w{24}\b", "7F00000100002A9F0000000000000000"),
    (r"\b[0-9A-F]{32}\b", "C0000202330030946E0969AC7E2F0000"),
    (r"\b[0-9.]+@reporter", "10.0.0.7@reporter"),
    (r"\b0\.\d{4}\b", "0.1600"),
    (r"rt=\d+ms", "rt=1ms"),
    (r"(?m)(true {17,})\d+$", "${1}1"),
    (r"(?m)(Avg RT: )\d+\.\d\d", "${1}0.42"),
    (r"(?m)^(DefaultCluster +broker-a +)\d\.\d\d( +2)", "${1}0.42$2"),
    (r"\b\d+ms +(success)", "1ms        $1"),
    (r"(?m)^(Orders .* )\d\.\d\d( +0\.00 +)\d( +0)$", "${1}0.20${2}5$3"),
    (r"(Consume TPS: )\d+\.\d\d", "${1}0.00"),
    (r"(Topic Put TPS: )\S+", "${1}0.0"),
    (r#"("undoneMsgsDelayTimeMills":)\d+"#, "${1}0"),
];

/// The lines that begin with one of some words; `…` for those between them.
fn shortened(text: &str, kept: &[&str]) -> String {
    let mut short: Vec<&str> = Vec::new();
    for line in text.lines() {
        if kept.iter().any(|start| line.starts_with(start)) {
            short.push(line);
        } else if short.last() != Some(&"…") {
            short.push("…");
        }
    }
    short.join("\n") + "\n"
}

/// A file of a compacted topic: the price of two things.
fn compacted() -> Vec<u8> {
    let mut file = Vec::new();
    for (at, key) in ["bread", "milk"].into_iter().enumerate() {
        let begin = file.len();
        let properties = format!("KEYS\u{1}{key}\u{2}WAIT\u{1}true\u{2}");
        let parts = RecordParts {
            topic: "Prices",
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: 1_795_264_112_177,
            born_host: ([127, 0, 0, 1], 36036).into(),
            store_host: ([127, 0, 0, 1], 10911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"7",
            properties: &[&properties],
        };
        record::encode(&parts, &mut file).expect("it is short enough");
        let (queue_offset, log_offset) = (at as i64, begin as i64);
        record::patch(&mut file[begin..], &Place { queue_offset, log_offset, store_timestamp_ms: 1_795_264_112_662 });
    }
    // Brokers make such files longer than what is in them.
    file.extend([0; 1000]);
    file
}

#[tokio::test]
async fn every_command_prints_what_it_printed() {
    let cluster = Cluster::builder().set("traceTopicEnable", "true").start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lists = [
        ("topics.json", r#"[{"topicName":"Bills","readQueueNums":1,"writeQueueNums":1,"perm":6}]"#),
        ("groups.json", r#"[{"groupName":"heirs"},{"groupName":"payers","retryMaxTimes":3}]"#),
    ];
    for (name, text) in lists {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("00000000000000000000"), compacted()).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let mut scenario = Scenario { cluster: &cluster, folder: path, names: BTreeMap::new(), seen: BTreeSet::new() };
    scenario.play(NEW).await;

    for at in 1..=3 {
        let sent =
            scenario.run(&format!("sendMessage -t Orders -p order -c TagA -k order-{at} -b broker-a -i 0")).await;
        let id = sent.trim_end().rsplit(' ').next().unwrap().to_owned();
        scenario.names.insert("id", id);
    }
    scenario.play(SENT).await;

    let client = Client::builder().namesrv(cluster.namesrv_addr()).instance_name("reporter").connect().await.unwrap();
    let producer = client.producer("senders").start().await.unwrap();
    // One for each queue, whichever comes first.
    for _ in 0..2 {
        producer.send(Message::new("Orders", "hello")).await.unwrap();
    }
    let consumer = client.consumer("listeners").subscribe("Orders", "TagA").start(|_| async { Ok(()) }).await.unwrap();
    scenario.names.insert("client", client.id().to_owned());
    // A group's retry topic is known some time after its first member came, then it has both queues, then its offsets are
    // known.
    let is_there = async {
        while !scenario.run("topicList").await.contains("%RETRY%listeners")
            || scenario.run("getConsumerStatus -g listeners -t Orders").await.lines().count() < 4
            || scenario.run("consumerProgress -g listeners").await.lines().count() < 7
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), is_there).await.expect("the group is on line");
    scenario.play(ON_LINE).await;
    consumer.shutdown().await;
    producer.shutdown().await;
    client.shutdown().await;
    scenario.play(REMOVING).await;

    let declared: BTreeSet<String> = raptormq_admin::working_commands().into_iter().map(str::to_owned).collect();
    assert_eq!(scenario.seen, declared, "every command has its snapshot");
    cluster.shutdown().await;
}
