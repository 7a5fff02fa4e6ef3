//! quickstart, send, recv and bench, each against a cluster that it brings or one that runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Ended, Serving, free_port, raptormq, run, standalone};

/// Runs the binary to its end; unlike `common::run` it may print any amount.
fn run_tool(home: &Path, words: &[&str]) -> Ended {
    let output = raptormq(home).args(words).stdin(Stdio::null()).output().unwrap();
    Ended {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code(),
    }
}

fn count(text: &str, what: impl Fn(&str) -> bool) -> usize {
    text.lines().filter(|line| what(line)).count()
}

fn assert_quickstart(ended: &Ended, received: usize) {
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let text = &ended.stdout;
    assert_eq!(count(text, |line| line.starts_with("SendResult [sendStatus=SEND_OK, msgId=")), 1000);
    let is_receipt = |line: &str| {
        line.starts_with("ConsumeMessageThread_please_rename_unique_group_name_4_")
            && line.contains(" Receive New Messages: [MessageExt [brokerName=broker-a, queueId=")
            && line.ends_with("transactionId='null'}]] ")
    };
    assert_eq!(count(text, is_receipt), received);
    for line in ["sent       1000", "received   1000", "missing       0", "doubled       0"] {
        assert_eq!(count(text, |found| found.starts_with(line)), 1, "{line} in {}", &text[text.len() - 300..]);
    }
}

#[test]
fn quickstart_brings_a_cluster_and_every_message_comes_once() {
    let home = tempfile::tempdir().unwrap();
    let first = run_tool(home.path(), &["quickstart"]);
    assert_quickstart(&first, 1000);
    let data = first.stdout.lines().find_map(|line| line.strip_prefix("data      ")).unwrap();
    assert!(home.path().join(data).join("store/commitlog").is_dir(), "{data}");
    // Again in the same folder: the topic has the messages of both runs, and only the second one's count.
    assert_quickstart(&run_tool(home.path(), &["quickstart", "--data", data]), 1000);
}

#[test]
fn a_store_is_checked_and_printed_without_a_broker() {
    let home = tempfile::tempdir().unwrap();
    let made = run_tool(home.path(), &["quickstart"]);
    let data = made.stdout.lines().find_map(|line| line.strip_prefix("data      ")).unwrap();
    let store = format!("{data}/store");
    let checked = run_tool(home.path(), &["store", "check", &store]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    for line in ["queues    4, 1000 units", "stopped   in order", "result    nothing wrong"] {
        assert_eq!(count(&checked.stdout, |found| found == line), 1, "{line} in {}", checked.stdout);
    }
    let words = ["store", "dump", &store, "--topic", "TopicTest", "--queue", "2", "--offset", "3", "--count", "2"];
    let printed = run_tool(home.path(), &words);
    let lines: Vec<&str> = printed.stdout.lines().collect();
    assert_eq!((printed.status, lines.len()), (Some(0), 2), "{printed:?}");
    assert!(lines[0].starts_with("TopicTest-2 3  log ") && lines[0].contains(": Hello RocketMQ "), "{lines:?}");

    // One bit of a body, and neither command changes anything.
    let log = home.path().join(&store).join("commitlog/00000000000000000000");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(14).position(|bytes| bytes == b"Hello RocketMQ").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let checked = run_tool(home.path(), &["store", "check", &store]);
    assert_eq!(checked.status, Some(1));
    let line = checked.stdout.lines().next().unwrap();
    assert!(line.contains("commitlog/00000000000000000000 at ") && line.contains("CRC"), "{line}");
    assert_eq!(std::fs::read(&log).unwrap(), bytes);

    let nowhere = run_tool(home.path(), &["store", "check", "nowhere"]);
    assert_eq!(nowhere.status, Some(2));
    assert_eq!(nowhere.stderr.lines().count(), 1, "{nowhere:?}");
}

#[test]
fn the_halves_of_quickstart_work_with_a_running_cluster() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let sent = run_tool(home.path(), &["quickstart", "producer", "-n", &namesrv]);
    assert_eq!((sent.status, count(&sent.stdout, |line| line.starts_with("SendResult ["))), (Some(0), 1000));
    let mut consumer = raptormq(home.path())
        .args(["quickstart", "consumer"])
        .env("NAMESRV_ADDR", &namesrv)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "Consumer Started.");
    assert_eq!(lines.by_ref().take(1000).filter(|line| line.contains("Receive New Messages: [")).count(), 1000);
    let told = Command::new("kill").args(["-s", "INT", &consumer.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(consumer.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_sent_is_received_in_every_format() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let run = |words: &[&str]| run_tool(home.path(), &[words, &["-n", &namesrv]].concat());
    let sent = run(&["send", "Greetings", "hello", "world", "-t", "TagA", "-k", "k1", "-p", "region=EU"]);
    assert_eq!((sent.status, count(&sent.stdout, |line| line.starts_with("SendResult ["))), (Some(0), 2));
    assert_eq!(sent.stderr, "topic Greetings did not exist; it has been created\n");
    let received = run(&["recv", "Greetings", "--from", "first", "-c", "2"]);
    let mut bodies: Vec<&str> = received.stdout.lines().collect();
    bodies.sort_unstable();
    assert_eq!((received.status, bodies), (Some(0), vec!["hello", "world"]));
    let json = run(&["recv", "Greetings", "--from", "1h", "-c", "1", "--format", "json", "-t", "TagA || TagB"]);
    let message: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&message["topic"], &message["keys"][0]), (&"Greetings".into(), &"k1".into()));
    assert_eq!(message["properties"]["region"], "EU");
    // What is there and no more; where the group is, without moving it.
    let all = run(&["recv", "Greetings", "--from", "first", "--no-follow"]);
    assert_eq!((all.status, all.stdout.lines().count()), (Some(0), 2));
    let looked = run(&["recv", "Greetings", "--from", "first", "--no-follow", "-g", "readers", "--no-commit"]);
    assert_eq!((looked.status, looked.stdout.lines().count()), (Some(0), 2));
    assert_eq!(run(&["recv", "Greetings", "--no-follow", "-g", "readers"]).status, Some(1));
    // A group remembers what was printed, and only that.
    let one = run(&["recv", "Greetings", "-g", "readers", "--from", "first", "-c", "1", "--format", "hex"]);
    let other = run(&["recv", "Greetings", "-g", "readers", "--from", "first", "-c", "1", "--format", "hex"]);
    let mut both = [one.stdout.trim(), other.stdout.trim()];
    both.sort_unstable();
    assert_eq!(both, ["68656c6c6f", "776f726c64"]);
}

#[test]
fn lines_of_stdin_and_files_are_sent() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let mut lines = raptormq(home.path())
        .args(["send", "Lines", "--quiet", "-n", &namesrv])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    lines.stdin.take().unwrap().write_all(b"one\n\ntwo\r\nthree").unwrap();
    let sent = lines.wait_with_output().unwrap();
    assert_eq!((sent.status.code(), sent.stdout), (Some(0), Vec::new()));
    std::fs::write(home.path().join("body"), "a\nb").unwrap();
    let file = run_tool(home.path(), &["send", "Lines", "-f", "body", "-c", "2", "-n", &namesrv]);
    assert_eq!(count(&file.stdout, |line| line.starts_with("SendResult [")), 2);
    let received = run_tool(home.path(), &["recv", "Lines", "--from", "first", "-c", "5", "-n", &namesrv]);
    let mut words: Vec<&str> = received.stdout.lines().collect();
    words.sort_unstable();
    assert_eq!(words, ["a", "a", "b", "b", "one", "three", "two"]);
}

#[test]
fn what_keeps_a_message_from_being_sent_is_said_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let alone = format!("127.0.0.1:{port}");
    let said = |ended: Ended, parts: &[&str]| {
        assert_eq!((ended.status, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
        parts.iter().for_each(|part| assert!(ended.stderr.contains(part), "{part} in {ended:?}"));
    };
    for tool in [&["send", "T", "x"][..], &["recv", "T"], &["quickstart"]] {
        said(run(home.path(), &[tool, &["-n", &alone]].concat()), &[&alone, "start a name server there"]);
    }
    std::fs::write(home.path().join("namesrv.conf"), format!("listenPort={port}\n")).unwrap();
    let mut command = raptormq(home.path());
    command.args(["namesrv", "-c", "namesrv.conf"]);
    let _names = Serving::start(command);
    let ended = run(home.path(), &["send", "T", "x", "-n", &alone]);
    said(ended, &["No route info of this topic: T.", "No broker is registered with the name server"]);
}

#[test]
fn a_topic_that_nobody_creates_is_told_with_the_one_that_may_be_meant() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    assert_eq!(run_tool(home.path(), &["send", "Orders", "x", "-n", &namesrv]).status, Some(0));
    drop(_serving);
    std::fs::write(home.path().join("off.conf"), "autoCreateTopicEnable=false\n").unwrap();
    let offset = free_port() - 10_911;
    let mut command = raptormq(home.path());
    command.args(["standalone", "-o", &offset.to_string(), "-c", "off.conf"]);
    let _serving = Serving::start(command);
    let ended = run(home.path(), &["send", "Odrers", "x", "-n", &format!("127.0.0.1:{}", 9_876 + offset)]);
    assert_eq!(ended.status, Some(1));
    for part in ["topic[Odrers] not exist, apply first please!", " (did you mean Orders?)"] {
        assert!(ended.stderr.contains(part), "{part} in {ended:?}");
    }
}

#[test]
fn a_command_line_that_is_no_use_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for words in
        [&["send"][..], &["recv", "T", "--from", "yesterday"], &["bench", "--depth", "0"], &["send", "T", "-p", "x"]]
    {
        let ended = run(home.path(), words);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    }
    let help = run(home.path(), &["recv", "--help"]);
    assert!(help.stdout.contains("Usage: raptormq recv [OPTIONS] <TOPIC>"), "{help:?}");
}

#[test]
fn bench_measures_a_cluster_of_its_own_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let ended =
        run_tool(home.path(), &["bench", "--seconds", "1", "--warmup", "0", "-p", "2", "-d", "4", "--json", "-"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let json = &ended.stdout[ended.stdout.find('{').unwrap()..];
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert!(report["messages"].as_u64().unwrap() > 0);
    assert!(report["latencyMicros"]["p99"].as_f64().unwrap() >= report["latencyMicros"]["p50"].as_f64().unwrap());
    assert_eq!(std::fs::read_dir(home.path().join("raptormq-data")).unwrap().count(), 0);
}

#[test]
fn bench_measures_the_way_from_producers_to_consumers_and_keeps_a_rate() {
    let home = tempfile::tempdir().unwrap();
    let words = ["bench", "--seconds", "2", "--warmup", "0", "-p", "2", "-d", "64", "-s", "1", "-c", "3", "-r", "500"];
    let ended = run_tool(home.path(), &[&words[..], &["--json", "-"]].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("2 producers x 64 on their way, 1 bytes each, 500 a second, "), "{ended:?}");
    let json = &ended.stdout[ended.stdout.find('{').unwrap()..];
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    let messages = report["messages"].as_u64().unwrap();
    assert!((900..=1000).contains(&messages), "{report}");
    assert!(report["consumed"].as_u64().unwrap() >= messages, "{report}");
    assert!(report["endToEndMicros"]["p50"].as_f64().unwrap() > 0.0, "{report}");
    assert!(ended.stdout.contains("ms from producer to consumer"), "{ended:?}");
}

#[test]
fn bench_consumes_what_is_there_and_ends_with_it() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    let sent = run_tool(home.path(), &["send", "Backlog", "body", "-q", "--count", "5000", "-n", &namesrv]);
    assert_eq!(sent.status, Some(0), "{sent:?}");
    let words = ["bench", "-n", &namesrv, "-p", "0", "-c", "1", "-t", "Backlog", "--warmup", "0", "--seconds", "60"];
    let ended = run_tool(home.path(), &[&words[..], &["--json", "-"]].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let json = &ended.stdout[ended.stdout.find('{').unwrap()..];
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((report["consumed"].as_u64(), report["messages"].as_u64()), (Some(5000), Some(5000)), "{report}");
    assert!(report["latencyMicros"].is_null() && report["measuredSeconds"].as_u64().unwrap() < 60, "{report}");
    let nothing = run_tool(home.path(), &["bench", "-n", &namesrv, "-p", "0"]);
    assert!(nothing.stderr.contains("there is nothing to do"), "{nothing:?}");
}

/// Runs a class until it has printed so many lines that fit, and ends it as Ctrl-C does. Answers with those lines.
fn class_lines(home: &Path, namesrv: &str, words: &[&str], (count, fits): (usize, fn(&str) -> bool)) -> Vec<String> {
    let mut class =
        raptormq(home).arg("tools").args(words).env("NAMESRV_ADDR", namesrv).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(class.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<String> = lines.filter(|line| fits(line)).take(count).collect();
    let told = Command::new("kill").args(["-s", "INT", &class.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(class.wait().unwrap().code(), Some(0), "{words:?}: {lines:?}");
    lines
}

#[test]
fn the_classes_that_receive_print_what_the_original_s_do() {
    let home = tempfile::tempdir().unwrap();
    let (_serving, namesrv) = standalone(home.path());
    for (topic, tag) in [("TopicTest", "TagA"), ("TopicTest", "TagC"), ("TagFilterTest", "TagA"), ("TestTopic", "x")] {
        let sent = run_tool(home.path(), &["send", topic, "one", "-t", tag, "--count", "30", "-n", &namesrv]);
        assert_eq!(sent.status, Some(0), "{sent:?}");
    }
    let lines = |words: &[&str], count, fits| class_lines(home.path(), &namesrv, words, (count, fits));
    let receives: fn(&str) -> bool = |line| line.contains(" Receive New Messages: [MessageExt [brokerName=");
    for (class, group) in [
        ("simple.PushConsumer", "CID_JODIE_1"),
        ("org.apache.rocketmq.example.ordermessage.Consumer", "please_rename_unique_group_name_3"),
        ("broadcast.PushConsumer", "please_rename_unique_group_name_1"),
        ("tracemessage.TracePushConsumer", "ProducerGroupName"),
    ] {
        let lines = lines(&[class], 60, receives);
        let thread = format!("ConsumeMessageThread_{group}_");
        assert!(lines.len() == 60 && lines.iter().all(|line| line.starts_with(&thread)), "{class}: {lines:?}");
    }
    let polled: fn(&str) -> bool = |line| line.starts_with("[MessageExt [brokerName=");
    assert!(!lines(&["simple.LitePullConsumerSubscribe"], 1, polled).is_empty());
    let words = ["operation.Consumer", "-g", "operators", "-t", "TopicTest", "-s", "TagA", "-f", "false"];
    assert_eq!(lines(&words, 1, |line| line == "Consumer Started."), ["Consumer Started."]);
    let words = ["benchmark.Consumer", "-t", "TopicTest", "-w", "4", "-ri", "500", "-g", "measurers"];
    let reports = lines(&words, 4, |_| true);
    assert_eq!(
        reports[0],
        "topic: TopicTest, threadCount 4, group: measurers, suffix: false, filterType: null, expression: null, \
         msgTraceEnable: false, aclEnable: false, reportInterval: 500"
    );
    assert_eq!(reports[1], "Consumer Started.");
    assert!(reports[2].starts_with("Current Time: ") && reports[2].contains(" | Consume TPS: "), "{reports:?}");
    let wrong = run_tool(home.path(), &["tools", "operation.Consumer", "-t", "x"]);
    assert_eq!((wrong.status, wrong.stderr.lines().next()), (Some(1), Some("Missing required options: g, f")));
}
