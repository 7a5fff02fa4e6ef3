//! `mqadmin` as a process: its environment, its statuses, its terminal, what it holds in memory, and how it is stopped.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use raptormq_client::{Admin, Client, Message};
use raptormq_protocol::body::{MessageQueue, SubscriptionGroupConfig, TopicConfig};
use raptormq_protocol::heartbeat::{
    ConsumeType, ConsumerData, EXPRESSION_TAG, HeartbeatData, MessageModel, SubscriptionData,
};
use raptormq_testkit::Peer;
use raptormq_testkit::peer::heartbeat_request;

use crate::common::{Ended, ended, memory, raptormq, script, standalone};

/// Messages in one queue, and bytes of each.
const MESSAGES: usize = 40_000;
const MESSAGE_BYTES: usize = 1_000;
/// Topics, each with a group that has its offset there, and as many groups with a retry topic.
const TOPICS: usize = 3_000;
/// Messages that a command sends one by one.
const PROBES: usize = 10_000;
/// Lines of `clusterRT`, and messages that are sent for each.
const ROUNDS: usize = 1_000;
const PROBES_A_ROUND: usize = 10;
/// How long a command may take from its start to its end, in a debug build, too, and beside other tests: the fastest of some.
const COMMAND_MAX: Duration = Duration::from_millis(250);
/// What a command may take more when it has printed a half than when it has printed a fifth.
const GROWTH_BYTES_MAX: usize = 3 << 20;
/// What a command may take at all, in a debug build, too.
const BYTES_MAX: usize = 64 << 20;

fn command(home: &Path, namesrv: &str, line: &str) -> Child {
    let mut command = raptormq(home);
    command.arg("admin").args(line.split(' ')).args(["-n", namesrv]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads half of what a command prints; it must take about the same memory then as after a fifth.
fn read_half(child: &mut Child, line: &str, lines_min: usize) -> Lines<BufReader<ChildStdout>> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What is left then is more than a pipe and the command's own buffer hold, so that it still runs.
    let (fifth, half) = (lines_min / 5, lines_min / 2);
    let peak = |at: usize, lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
        assert_eq!(lines.take(at).map(Result::unwrap).count(), at, "{line}");
        memory(child.id(), "VmHWM")
    };
    let before = peak(fifth, &mut lines);
    let after = peak(half - fifth, &mut lines);
    println!("{line}: {} KiB, then {} KiB after {half} lines", before >> 10, after >> 10);
    assert!(after < before + GROWTH_BYTES_MAX && after < BYTES_MAX, "{line}: {before} bytes, then {after}");
    lines
}

/// Runs a command to its end; see [`read_half`].
fn holds_little(home: &Path, namesrv: &str, line: &str, lines_min: usize) {
    let mut child = command(home, namesrv, line);
    let rest = read_half(&mut child, line, lines_min).map(Result::unwrap).count();
    let half = lines_min / 2;
    assert!(half + rest >= lines_min, "{line}: {half} and {rest} lines");
    let ended = ended(child);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{line}");
}

/// Runs a command that goes on for ever until it has printed half of so many lines; see [`read_half`].
fn holds_little_for_ever(home: &Path, namesrv: &str, line: &str, lines_min: usize) {
    let mut child = command(home, namesrv, line);
    // Reports on standard error must not fill its pipe.
    let mut errors = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    let rest = read_half(&mut child, line, lines_min);
    interrupt(&child);
    drop(rest);
    assert_eq!(ended(child).status, Some(130), "{line}");
    reading.join().unwrap().unwrap();
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
}

/// Runs work of a client in a runtime of its own.
fn with_client<T>(namesrv: &str, work: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(namesrv).await.unwrap();
        let done = work(client.clone()).await;
        client.shutdown().await;
        done
    })
}

/// Stores messages in a topic of one queue.
fn fill(namesrv: &str) {
    with_client(namesrv, async |client| {
        put_topics(&client.admin(), [topic("Big")].into()).await;
        let producer = client.producer("fillers").start().await.unwrap();
        let body = "x".repeat(MESSAGE_BYTES);
        let messages = (0..MESSAGES).map(|_| Message::new("Big", body.clone()).tag("TagA"));
        producer.send_batches(messages, 1_000_000).await.unwrap();
        producer.shutdown().await;
    });
}

fn topic(name: &str) -> TopicConfig {
    TopicConfig { topic_name: name.to_owned(), read_queue_nums: 1, write_queue_nums: 1, ..TopicConfig::default() }
}

/// Makes topics on the only broker, and returns its address.
async fn put_topics(admin: &Admin, topics: Vec<TopicConfig>) -> String {
    let info = admin.cluster_info().await.unwrap();
    let address = info.broker_addr_table["broker-a"].broker_addrs[&0].clone();
    admin.put_topics(&address, topics).await.unwrap();
    address
}

#[test]
fn commands_that_read_queues_hold_one_answer_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    fill(&namesrv);
    for (line, lines) in [
        ("printMsg -t Big".to_owned(), MESSAGES),
        ("printMsgByQueue -t Big -a broker-a -i 0 -p true -d true -f true".to_owned(), MESSAGES),
        (format!("consumeMessage -t Big -b broker-a -i 0 -c {MESSAGES}"), MESSAGES),
        (format!("queryCq -t Big -q 0 -i 0 -c {MESSAGES}"), 3 * MESSAGES),
    ] {
        holds_little(home.path(), &namesrv, &line, lines);
    }
}

#[test]
fn commands_that_send_messages_hold_one_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    holds_little(home.path(), &namesrv, &format!("checkMsgSendRT -t Probed -a {PROBES}"), PROBES);
    holds_little_for_ever(home.path(), &namesrv, &format!("clusterRT -a {PROBES_A_ROUND} -i 0"), ROUNDS);
}

/// A client whose members are in all groups, and what runs it.
fn on_line(broker: &str) -> (tokio::runtime::Runtime, Peer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let member = |at| ConsumerData {
        group_name: format!("g{at}"),
        consume_type: ConsumeType::ConsumePassively,
        message_model: MessageModel::Clustering,
        subscription_data_set: vec![SubscriptionData::build(&format!("T{at}"), "*", EXPRESSION_TAG).unwrap()],
        ..ConsumerData::default()
    };
    let data = HeartbeatData {
        client_id: "everybody".to_owned(),
        consumer_data_set: (0..TOPICS).map(member).collect(),
        ..HeartbeatData::default()
    };
    let peer = runtime.block_on(async {
        let peer = Peer::new(broker);
        peer.ok(heartbeat_request(&data)).await;
        peer
    });
    (runtime, peer)
}

#[test]
fn commands_that_look_at_all_topics_and_groups_hold_one_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let broker = with_client(&namesrv, async |client| {
        let admin = client.admin();
        let names = (0..TOPICS).flat_map(|at| [format!("T{at}"), format!("%RETRY%g{at}")]);
        let address = put_topics(&admin, names.map(|name| topic(&name)).collect()).await;
        let group = |at| SubscriptionGroupConfig { group_name: format!("g{at}"), ..SubscriptionGroupConfig::default() };
        admin.put_groups(&address, (0..TOPICS).map(group).collect()).await.unwrap();
        for at in 0..TOPICS {
            let queue = MessageQueue { broker_name: "broker-a".to_owned(), queue_id: 0, topic: format!("T{at}") };
            admin.commit_offset(&address, &format!("g{at}"), &queue, 0).await.unwrap();
        }
        address
    });
    for line in ["statsAll", "consumerProgress", "topicList -c"] {
        holds_little(home.path(), &namesrv, line, TOPICS);
    }
    let _members = on_line(&broker);
    holds_little_for_ever(home.path(), &namesrv, "startMonitoring --json", TOPICS);
}

#[test]
fn a_command_takes_no_time_to_speak_of() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    for line in ["topicList", "clusterList", "consumerProgress"] {
        let took = (0..10).map(|_| {
            let begun = Instant::now();
            assert_eq!(ended(command(home.path(), &namesrv, line)).status, Some(0), "{line}");
            begun.elapsed()
        });
        let fastest = took.min().unwrap();
        println!("{line}: {fastest:?}");
        assert!(fastest < COMMAND_MAX, "{line}: {fastest:?}");
    }
}

/// Runs `mqadmin` by its script, with variables in its environment.
fn mqadmin(home: &Path, line: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = script(home, "mqadmin");
    command.args(line.split(' ')).envs(variables.iter().copied());
    ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn name_servers_are_those_of_the_option_else_of_the_property_else_of_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let property = format!("-Drocketmq.namesrv.addr={namesrv} topicList");
    for (line, variable) in [
        ("topicList", namesrv.as_str()),
        (&property, "127.0.0.1:1"),
        (&format!("topicList -n {namesrv} -Drocketmq.namesrv.addr=127.0.0.1:1"), "127.0.0.1:1"),
    ] {
        let listed = mqadmin(home.path(), line, &[("NAMESRV_ADDR", variable)]);
        assert!(listed.stdout.contains("TBW102") && listed.stderr.is_empty(), "{line}: {listed:?}");
    }
    let without = mqadmin(home.path(), "topicList", &[]);
    assert_eq!((without.stdout.as_str(), without.status, without.stderr.lines().count()), ("", Some(0), 1));
    assert!(without.stderr.contains("-n HOST:PORT or in NAMESRV_ADDR"), "{without:?}");
}

#[test]
fn the_status_is_the_original_s_unless_a_strict_one_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let strict = [("NAMESRV_ADDR", namesrv.as_str()), ("MQADMIN_STRICT_EXIT", "1")];
    for (line, lenient, is_wrong, ours) in [
        ("topicRoute -t TBW102", 0, 0, 0),
        ("topicRoute -t noSuchTopic", 0, 1, 1),
        ("topicRoute", 1, 1, 2),
        ("noSuchCommand", 0, 1, 2),
        ("electMaster -a x -b 1 -bn B -c C", 1, 1, 1),
    ] {
        let status = |line: &str, variables: &[(&str, &str)]| mqadmin(home.path(), line, variables).status;
        let by_option = status(&format!("{line} --strict-exit"), &strict[..1]);
        let found = [status(line, &strict[..1]), by_option, status(line, &strict)];
        assert_eq!(found, [Some(lenient), Some(is_wrong), Some(is_wrong)], "{line}");
        let words: Vec<&str> = ["admin"].into_iter().chain(line.split(' ')).collect();
        let mut command = raptormq(home.path());
        command.args(words).env("NAMESRV_ADDR", &namesrv).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(ours), "{line}");
    }
}

/// What a command line prints on a terminal, standard output elsewhere; `None` on a machine that has no `script`.
fn on_a_terminal(home: &Path, namesrv: &str, line: &str) -> Option<String> {
    let binary = env!("CARGO_BIN_EXE_raptormq");
    let line = format!("{binary} admin {line} -n {namesrv} > {}", home.join("out").display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null());
    let output = command.output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_terminal_shows_how_far_a_command_is_and_complaints_in_red() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    fill(&namesrv);
    let Some(shown) = on_a_terminal(home.path(), &namesrv, "printMsg -t Big") else {
        println!("skipped: this machine has no script(1)");
        return;
    };
    assert!(shown.contains("queue 1 of 1: offset ") && shown.contains(" messages"), "{shown}");
    let printed = std::fs::read_to_string(home.path().join("out")).unwrap();
    assert_eq!(printed.lines().filter(|line| line.starts_with("MSGID: ")).count(), MESSAGES);
    let shown = on_a_terminal(home.path(), &namesrv, "topicRoute -t noSuchTopic").unwrap();
    assert!(shown.contains("\u{1b}[31mmqadmin topicRoute\u{1b}[0m: No topic route"), "{shown}");
}

#[test]
fn watch_shows_it_again_and_again() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let mut child = command(home.path(), &namesrv, "topicList --watch 1");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let shown: Vec<String> = lines.filter(|line| line == "TBW102").take(3).collect();
    assert_eq!(shown.len(), 3);
    interrupt(&child);
    assert_eq!(ended(child).status, Some(130));
}

#[test]
fn ctrl_c_ends_what_goes_on_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    for (line, shows_errors) in [
        ("clusterRT -a 2", false),
        ("checkMsgSendRT -t Probed -a 100000000", false),
        ("clusterList -i 1", false),
        ("haStatus -c DefaultCluster -i 1", false),
        // Its reports are on standard error.
        ("startMonitoring", true),
    ] {
        let mut child = command(home.path(), &namesrv, line);
        let (mut out, mut errors) =
            (BufReader::new(child.stdout.take().unwrap()), BufReader::new(child.stderr.take().unwrap()));
        let mut first = String::new();
        if shows_errors { errors.read_line(&mut first) } else { out.read_line(&mut first) }.unwrap();
        assert!(!first.is_empty(), "{line}");
        interrupt(&child);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert!(rest.is_empty() || rest.ends_with('\n'), "{line}: only whole lines");
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert!(said.lines().all(|said| said.contains("[MONITOR]")), "{line}: {said}");
        assert_eq!(ended(child).status, Some(130), "{line}");
    }
}

#[test]
fn ctrl_c_ends_a_command_with_what_it_printed() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    fill(&namesrv);
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let mut child = command(home.path(), &namesrv, "printMsg -t Big");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        assert!(first.starts_with("minOffset=0, maxOffset="), "{first}");
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with('\n') && rest.lines().count() < MESSAGES, "{} lines", rest.lines().count());
        assert!(rest.lines().all(|line| line.starts_with("MSGID: ")), "only whole lines");
        let ended = ended(child);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(status), ""));
    }
}
