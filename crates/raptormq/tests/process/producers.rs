//! The sample and benchmark producers, called by the names of RocketMQ's classes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{script, standalone};

/// `tools.sh CLASS …`, the class without its package, with the name server in the environment.
fn class(home: &Path, namesrv: &str, words: &[&str]) -> Command {
    let mut command = script(home, "tools.sh");
    let class = format!("org.apache.rocketmq.example.{}", words[0]);
    command.arg(class).args(&words[1..]).env("NAMESRV_ADDR", namesrv).stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_samples_send_what_the_original_s_send() {
    let home = tempfile::tempdir().unwrap();
    let (_cluster, namesrv) = standalone(home.path());
    let of = |name: &str| output(class(home.path(), &namesrv, &[name]));
    let receipts = |text: &str| text.lines().filter(|line| line.starts_with("SendResult [sendStatus=SEND_OK")).count();
    for (name, count) in [
        ("simple.Producer", 128),
        ("ordermessage.Producer", 100),
        ("batch.SimpleBatchProducer", 1),
        ("filter.TagFilterProducer", 60),
        ("filter.SqlFilterProducer", 10),
        ("schedule.ScheduledMessageProducer", 100),
        ("tracemessage.TraceProducer", 128),
        ("lmq.LMQProducer", 128),
    ] {
        assert_eq!(receipts(&of(name)), count, "{name}");
    }
    assert!(receipts(&of("batch.SplitBatchProducer")) > 3);
    let lines = of("namespace.ProducerWithNamespace");
    let is_sent = |line: &&str| line.starts_with("Topic:NAMESPACE_TOPIC send success, misId is:");
    assert_eq!(lines.lines().filter(is_sent).count(), 100);
    let lines = of("namespace.PullConsumerWithNamespace");
    assert_eq!(lines.lines().filter(|line| line.starts_with("Topic is:NAMESPACE_TOPIC, msgId is:")).count(), 100);
    assert_eq!(lines.matches("PullResult [pullStatus=NO_NEW_MSG, nextBeginOffset=").count(), 4, "{lines}");
    let lines = of("simple.AsyncProducer");
    assert_eq!(lines.lines().filter(|line| line.contains(" OK ")).count(), 100);
    assert_eq!(of("simple.OnewayProducer"), "");
    let words =
        ["operation.Producer", "-g", "g", "-t", "Operated", "-a", "TagX", "-k", "KeyX", "-c", "3", "-n", &namesrv];
    let lines = output(class(home.path(), "", &words));
    assert!(lines.lines().enumerate().all(|(at, line)| line.starts_with(&format!("{at:<8} SendResult ["))), "{lines}");
}

#[test]
fn transactions_stay_open_until_the_program_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let (_cluster, namesrv) = standalone(home.path());
    let mut command = class(home.path(), &namesrv, &["transaction.TransactionProducer"]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(running.stdout.take().unwrap()).lines().take(10);
    assert_eq!(lines.map_while(Result::ok).filter(|line| line.starts_with("SendResult [")).count(), 10);
    let pid = running.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

#[test]
fn the_benchmarks_have_the_original_s_options_and_lines() {
    let home = tempfile::tempdir().unwrap();
    let (_cluster, namesrv) = standalone(home.path());
    let words =
        ["benchmark.Producer", "-n", &namesrv, "-t", "Bench", "-w", "4", "-s", "100", "-q", "203", "-k", "true"];
    for is_async in ["false", "true"] {
        let text = output(class(home.path(), "", &[&words[..], &["-y", is_async]].concat()));
        assert!(text.starts_with("topic: Bench, threadCount: "), "{text}");
        assert!(text.contains(&format!("messageSize: 100, keyEnable: true, propertySize: 0, tagCount: 0, traceEnable: false, aclEnable: false, messageQuantity: 203, delayEnable: false, delayLevel: 1, asyncEnable: {is_async}\n")), "{text}");
        assert!(text.contains("\n compressEnable: false, reportInterval: 10000\n"), "{text}");
        // With more to say when it took two seconds or more.
        let complete = text.lines().find(|line| line.starts_with("[Complete] Send Total: 203 ")).unwrap();
        let failed = ["Send Failed: 0 Response Failed: 0", "Send Failed: 0 | Response Failed: 0"];
        assert!(failed.iter().any(|failed| complete.ends_with(failed)), "{text}");
    }
    let help = output(class(home.path(), &namesrv, &["benchmark.TransactionProducer", "-h"]));
    assert!(help.contains("-sr,--send rollback rate <arg>"), "{help}");
}

#[test]
fn a_benchmark_in_the_background_ends_when_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    let (_cluster, namesrv) = standalone(home.path());
    let mut command = class(home.path(), &namesrv, &["benchmark.TransactionProducer", "-w", "1", "-ri", "200"]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    // It goes on although nobody reads what it prints.
    let first = BufReader::new(running.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(first.starts_with("Current Time: ") && first.contains(" | Check: 0 | UnexpectedCheck: 0 | "), "{first}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../distribution/benchmark/shutdown.sh");
    let text = output({
        let mut command = Command::new("sh");
        command.args([script.as_os_str(), "tproducer".as_ref()]);
        command
    });
    assert!(text.contains(&format!("transaction producer({}) is running...", running.id())), "{text}");
    assert_eq!(running.wait().unwrap().code(), Some(0));
    let wrong = Command::new("sh").arg(script).arg("everything").output().unwrap();
    assert_eq!(wrong.stdout, b"Usage: shutdown producer | consumer | tproducer | bproducer\n");
}

/// A requester and who replies, as two programs.
#[test]
fn a_request_is_replied_to() {
    let home = tempfile::tempdir().unwrap();
    let (_cluster, namesrv) = standalone(home.path());
    let mut command = class(home.path(), &namesrv, &["rpc.ResponseConsumer"]);
    let mut replier = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(replier.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().unwrap(), "Consumer Started.");
    // The first ones make the topic, which the replier has to notice.
    let replied = (0..20).find_map(|_| {
        let ended = class(home.path(), &namesrv, &["rpc.RequestProducer"]).output().unwrap();
        ended.status.success().then(|| String::from_utf8(ended.stdout).unwrap())
    });
    let replied = replied.unwrap();
    assert!(
        replied.starts_with("request to <RequestTopic> cost: ") && replied.contains(" replyMessage: "),
        "{replied}"
    );
    let reply_line = lines.find(|line| line.starts_with("reply to ")).unwrap();
    assert!(reply_line.contains(" , SendResult [sendStatus=SEND_OK"), "{reply_line}");
    assert!(Command::new("kill").args(["-TERM", &replier.id().to_string()]).status().unwrap().success());
    assert_eq!(replier.wait().unwrap().code(), Some(0));
}

#[test]
fn an_unknown_class_is_answered_with_the_list() {
    let home = tempfile::tempdir().unwrap();
    let ended = class(home.path(), "", &["quickstart.Produzer"]).output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    for words in ["did you mean quickstart.Producer?", "benchmark.BatchProducer", "quickstart.Consumer"] {
        assert!(errors.contains(words), "{words} in {errors}");
    }
    // What the original has and we have not is said in a line.
    let ended = class(home.path(), "", &["simple.PopConsumer"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "org.apache.rocketmq.example.simple.PopConsumer: there is no pop yet; simple.PushConsumer consumes the same topic\n"
    );
}
