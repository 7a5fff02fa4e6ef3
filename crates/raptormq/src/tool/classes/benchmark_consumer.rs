//! `benchmark.Consumer`: how many messages come in a second, and how long after they were made and stored.
//!
//! Java: `example/…/example/benchmark/Consumer.java`, whose options and lines these are. `-c` is the members' own
//! rebalance, which is all there is here.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::{Timestamp, Zoned};
use raptormq_admin::commons_cli::Known;
use raptormq_client::{Client, Consumer, MessageView, Retry};

use super::options::{self, Found, with_value};
use crate::argv::Invocation;
use crate::tool;

/// Seconds over which rates are computed.
const SNAPSHOTS: usize = 10;
/// The account of the original's samples (Java: `AclClient`).
const ACCESS_KEY: &str = "12345678";
/// See [`ACCESS_KEY`].
const SECRET_KEY: &str = "rocketmq2";

/// Runs it until Ctrl-C.
pub(super) fn run(invocation: Invocation) -> ExitCode {
    let found = match options::read(&invocation, "benchmarkConsumer", &known()) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let namesrv = tool::namesrv(found.text("n"), &invocation);
    let outcome = Plan::read(&found).and_then(|plan| {
        let _logging = tool::log_to_stderr()?;
        Ok(tool::run_to_end(&invocation.program, measure(&namesrv, plan)))
    });
    outcome.unwrap_or_else(|error| tool::fail(&invocation.program, &error))
}

fn known() -> Vec<Known> {
    vec![
        with_value("t", "topic", "Topic name, Default: BenchmarkTest"),
        with_value("w", "threadCount", "Thread count, Default: 20"),
        with_value("g", "group", "Consumer group name, Default: benchmark_consumer"),
        with_value("p", "group prefix enable", "Is group prefix enable, Default: false"),
        with_value("f", "filterType", "TAG, SQL92"),
        with_value("e", "expression", "filter expression content file path.ie: ./test/expr"),
        with_value("r", "fail rate", "consumer fail rate, default 0"),
        with_value("m", "msgTraceEnable", "Message Trace Enable, Default: false"),
        with_value("a", "aclEnable", "Acl Enable, Default: false"),
        with_value("ak", "accessKey", "Acl access key, Default: 12345678"),
        with_value("sk", "secretKey", "Acl secret key, Default: rocketmq2"),
        with_value("c", "clientRebalanceEnable", "Client rebalance enable, Default: true"),
        with_value("ri", "reportInterval", "The number of ms between reports, Default: 10000"),
    ]
}

/// What is asked for.
struct Plan {
    topic: String,
    threads: usize,
    group: String,
    /// Kind and text of the filter.
    filter: Option<(String, String)>,
    fail_rate: f64,
    is_traced: bool,
    account: Option<(String, String)>,
    report_interval: Duration,
}

impl Plan {
    fn read(found: &Found) -> anyhow::Result<Plan> {
        let is_true = |option: &str| found.text(option).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let topic = found.text("t").unwrap_or("BenchmarkTest");
        let threads = number(found, "w", 20)?;
        let suffix = found.text("p").unwrap_or("false");
        let mut group = found.text("g").unwrap_or("benchmark_consumer").to_owned();
        if is_true("p") {
            group = format!("{group}_{}", Timestamp::now().as_millisecond() % 100);
        }
        let (kind, file) = (found.text("f"), found.text("e"));
        let interval: u64 = number(found, "ri", 10_000)?;
        anyhow::ensure!(threads > 0 && interval > 0, "-w and -ri are numbers from 1 on");
        println!(
            "topic: {topic}, threadCount {threads}, group: {group}, suffix: {suffix}, filterType: {}, expression: {}, \
             msgTraceEnable: {}, aclEnable: {}, reportInterval: {interval}",
            kind.unwrap_or("null"),
            file.unwrap_or("null"),
            is_true("m"),
            is_true("a"),
        );
        let text = |option: &str, default: &str| found.text(option).unwrap_or(default).to_owned();
        Ok(Plan {
            topic: topic.to_owned(),
            threads,
            group,
            filter: kind.zip(file).map(|(kind, file)| read_filter(kind, file)).transpose()?,
            fail_rate: number(found, "r", 0.0)?,
            is_traced: is_true("m"),
            account: is_true("a").then(|| (text("ak", ACCESS_KEY), text("sk", SECRET_KEY))),
            report_interval: Duration::from_millis(interval),
        })
    }
}

fn number<N: std::str::FromStr>(found: &Found, option: &str, default: N) -> anyhow::Result<N> {
    match found.text(option) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| anyhow::anyhow!("-{option} {text} is not the number that it needs")),
    }
}

/// Kind and text of the filter in a file.
fn read_filter(kind: &str, file: &str) -> anyhow::Result<(String, String)> {
    anyhow::ensure!(matches!(kind, "TAG" | "SQL92"), "-f {kind}: a filter is of type TAG or SQL92");
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the filter in {file}"))?;
    println!("Expression: {text}");
    Ok((kind.to_owned(), text))
}

/// What was counted.
#[derive(Default)]
struct Stats {
    received: AtomicU64,
    failed: AtomicU64,
    since_born_ms: AtomicI64,
    since_stored_ms: AtomicI64,
    most_since_born_ms: AtomicI64,
    most_since_stored_ms: AtomicI64,
}

/// The counts at a moment.
#[derive(Clone, Copy)]
struct Snapshot {
    at_ms: i64,
    received: u64,
    failed: u64,
    since_born_ms: i64,
    since_stored_ms: i64,
}

impl Stats {
    /// Counts a message; whether it failed is said by the caller.
    fn count(&self, message: &MessageView, is_failed: bool) {
        let now_ms = Timestamp::now().as_millisecond();
        let (born, stored) = (now_ms - message.ext().born_timestamp_ms, now_ms - message.ext().store_timestamp_ms);
        self.received.fetch_add(1, Ordering::Relaxed);
        self.since_born_ms.fetch_add(born, Ordering::Relaxed);
        self.since_stored_ms.fetch_add(stored, Ordering::Relaxed);
        self.most_since_born_ms.fetch_max(born, Ordering::Relaxed);
        self.most_since_stored_ms.fetch_max(stored, Ordering::Relaxed);
        self.failed.fetch_add(is_failed.into(), Ordering::Relaxed);
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            at_ms: Timestamp::now().as_millisecond(),
            received: self.received.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            since_born_ms: self.since_born_ms.load(Ordering::Relaxed),
            since_stored_ms: self.since_stored_ms.load(Ordering::Relaxed),
        }
    }

    /// The line of a report over the time between two snapshots.
    fn report(&self, begin: Snapshot, end: Snapshot) -> String {
        let count = end.received - begin.received;
        let rate = count as f64 / (end.at_ms - begin.at_ms).max(1) as f64 * 1000.0;
        // As Java prints what is divided by nothing.
        let mean = |sum: i64| match count {
            0 => "    NaN".to_owned(),
            count => format!("{:7.3}", sum as f64 / count as f64),
        };
        format!(
            "Current Time: {} | Consume TPS: {} | AVG(B2C) RT(ms): {} | AVG(S2C) RT(ms): {} | MAX(B2C) RT(ms): {} | \
             MAX(S2C) RT(ms): {} | Consume Fail: {}",
            Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f"),
            rate as u64,
            mean(end.since_born_ms - begin.since_born_ms),
            mean(end.since_stored_ms - begin.since_stored_ms),
            self.most_since_born_ms.swap(0, Ordering::Relaxed),
            self.most_since_stored_ms.swap(0, Ordering::Relaxed),
            end.failed - begin.failed,
        )
    }
}

async fn measure(namesrv: &str, plan: Plan) -> anyhow::Result<ExitCode> {
    let mut builder = Client::builder().namesrv(namesrv);
    if let Some((access_key, secret_key)) = &plan.account {
        builder = builder.credentials(access_key, secret_key);
    }
    let client = builder.connect().await?;
    let stats = Arc::<Stats>::default();
    let consumer = start(&client, &plan, &stats).await?;
    println!("Consumer Started.");
    tokio::select! {
        told = tool::until_told() => told?,
        () = report(&stats, plan.report_interval) => {}
    }
    consumer.shutdown().await;
    client.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

async fn start(client: &Client, plan: &Plan, stats: &Arc<Stats>) -> raptormq_client::Result<Consumer> {
    let builder = client.consumer(&plan.group).concurrency(plan.threads);
    let builder = match &plan.filter {
        None => builder.subscribe(&plan.topic, "*"),
        Some((kind, text)) if kind == "TAG" => builder.subscribe(&plan.topic, text),
        Some((_, text)) => builder.subscribe_sql(&plan.topic, text),
    };
    let builder = if plan.is_traced { builder.trace() } else { builder };
    let (stats, fail_rate, turns) = (stats.clone(), plan.fail_rate, AtomicU64::new(0));
    let handle = move |message: MessageView| {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let is_failed = fails(turn, fail_rate);
        stats.count(&message, is_failed);
        async move { if is_failed { Err(Retry::Default) } else { Ok(()) } }
    };
    builder.start(handle).await
}

/// Whether the message of this turn fails: so many of all turns, evenly spread.
fn fails(turn: u64, rate: f64) -> bool {
    ((turn + 1) as f64 * rate) as u64 > (turn as f64 * rate) as u64
}

/// Prints a line each interval, once ten seconds are known.
async fn report(stats: &Stats, interval: Duration) {
    let mut snapshots = VecDeque::with_capacity(SNAPSHOTS + 1);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut reports = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    seconds.tick().await;
    loop {
        tokio::select! {
            biased;
            _ = seconds.tick() => {
                snapshots.push_back(stats.snapshot());
                if snapshots.len() > SNAPSHOTS {
                    snapshots.pop_front();
                }
            }
            _ = reports.tick() => {
                if let (Some(begin), Some(end)) = (snapshots.front(), snapshots.back())
                    && snapshots.len() >= SNAPSHOTS
                {
                    println!("{}", stats.report(*begin, *end));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_java_s_line() {
        let stats = Stats::default();
        stats.most_since_born_ms.store(9, Ordering::Relaxed);
        let begin = Snapshot { at_ms: 0, received: 0, failed: 0, since_born_ms: 0, since_stored_ms: 0 };
        let end = Snapshot { at_ms: 9000, received: 18, failed: 3, since_born_ms: 36, since_stored_ms: 9 };
        let line = stats.report(begin, end);
        let (time, rest) = line.split_once(" | ").unwrap();
        assert!(time.starts_with("Current Time: ") && time.len() == "Current Time: 2026-11-21 12:28:33,640".len());
        assert_eq!(
            rest,
            "Consume TPS: 2 | AVG(B2C) RT(ms):   2.000 | AVG(S2C) RT(ms):   0.500 | MAX(B2C) RT(ms): 9 | MAX(S2C) \
             RT(ms): 0 | Consume Fail: 3"
        );
    }

    #[test]
    fn so_many_fail_as_are_asked_for() {
        let failed = |rate| (0..1000).filter(|turn| fails(*turn, rate)).count();
        assert_eq!((failed(0.0), failed(0.25), failed(1.0)), (0, 250, 1000));
    }
}
