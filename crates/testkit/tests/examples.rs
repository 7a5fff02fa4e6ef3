//! Every example of the client crate, run as its reader runs it, against a cluster: each ends by itself and prints what it
//! is about.
#![allow(clippy::unwrap_used, reason = "all of this is test code, helpers included")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use raptormq_testkit::Cluster;

/// Longer than any example takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What each example prints among other things. A row for each file in `crates/client/examples`, but for the program that
/// the kits call.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "benchmark",
        &["sent 10000 messages of 1 KiB", "consumed 10000 messages of 1 KiB", "microseconds of processor time"],
    ),
    ("quickstart_consumer", &[": Hello RocketMQ 0", "all came"]),
    ("ordered_consumer", &["paid: the bank does not answer; its queue waits", "in order"]),
    ("broadcast_consumer", &["one: news 9", "two: news 9", "a member got 10"]),
    (
        "filter_consumer",
        &["by tag: books for 50, books for 500, food for 5", "by SQL: books for 50, books for 500", "refused: "],
    ),
    ("pull_consumer", &["subscribed: 20 messages", "assigned: 20 messages", "committed: 20; once more: 20 messages"]),
    ("retry_consumer", &["works, time 1", "works later, time 2", "a dead letter: never works"]),
    ("idempotent_consumer", &["charged for order-3", "3 charges"]),
    ("quickstart_producer", &["SendResult [sendStatus=SEND_OK"]),
    ("scheduled", &[" after "]),
    ("batch", &["100 messages from offset 0", "50000 messages in "]),
    ("transaction", &["COMMIT_MESSAGE: SendResult [", "order-1 is paid", "order-3 is paid"]),
    ("request_reply", &["HELLO"]),
    ("trace", &["Pub "]),
];

/// The one that needs a cluster with accounts.
const WITH_ACCOUNT: (&str, &[&str]) = ("access_control", &["SendResult [sendStatus=SEND_OK", "check the access key"]);

/// Not examples of how to do something, but programs for tests.
const PROGRAMS: &[&str] = &["cases"];

/// Builds the examples, and says where they are. With the whole workspace, whose tests have built them with the same
/// features.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let words = ["build", "--quiet", "--workspace", "--examples"];
    let built = Command::new(cargo).args(words).current_dir(&root).status().unwrap();
    assert!(built.success());
    // This test lies in deps, beside which the examples are.
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples")
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/examples");
    let mut names: Vec<String> = std::fs::read_dir(sources)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| !PROGRAMS.contains(&name.as_str()))
        .collect();
    let mut rows: Vec<&str> = EXAMPLES.iter().chain([&WITH_ACCOUNT]).map(|(name, _)| *name).collect();
    names.sort();
    rows.sort_unstable();
    assert_eq!(names, rows, "each example has a row");

    let folder = build();
    let cluster = Cluster::builder()
        .set("enablePropertyFilter", "true")
        .set("traceTopicEnable", "true")
        .set("transactionCheckInterval", "1000")
        .start()
        .await
        .unwrap();
    for example in EXAMPLES {
        does_what_it_says(&folder, &cluster, example).await;
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn the_example_with_an_account_does_what_it_says() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("conf")).unwrap();
    let account = "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  admin: false\n  defaultTopicPerm: PUB|SUB\n  \
                   defaultGroupPerm: PUB|SUB\n";
    std::fs::write(home.path().join("conf/plain_acl.yml"), account).unwrap();
    let folder = build();
    let home = home.path().to_string_lossy();
    let cluster = Cluster::builder().set("aclEnable", "true").set("rocketmqHome", &home).start().await.unwrap();
    does_what_it_says(&folder, &cluster, &WITH_ACCOUNT).await;
    cluster.shutdown().await;
}

async fn does_what_it_says(folder: &Path, cluster: &Cluster, (name, prints): &(&'static str, &[&str])) {
    let name = *name;
    let mut command = Command::new(folder.join(name));
    command.env("NAMESRV_ADDR", cluster.namesrv_addr()).env("HOME", cluster.folder());
    command.env("RAPTORMQ_ACCESS_KEY", "RocketMQ").env("RAPTORMQ_SECRET_KEY", "12345678");
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(run(name, command)));
    let ended = ended.await.unwrap();
    let stdout = String::from_utf8_lossy(&ended.stdout);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{name}: {stdout}{stderr}");
    for text in *prints {
        assert!(stdout.contains(text), "{name} does not print {text:?}: {stdout}{stderr}");
    }
}

/// Runs a program to its end; it prints less than a pipe takes.
fn run(name: &str, mut command: Command) -> Output {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{name} does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}
