//! `benchmark.Consumer`: how many messages come in a second, and how long after they were made and stored.
//!
//! Java: `example/…/example/benchmark/Consumer.java`, whose options and lines these are. `-c` is the members' own
//! rebalance, which is all there is here.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use raptormq_client::{Client, Consumer, MessageView, Retry};

use super::{COMMON, Found, Row, client, now, read, until_signal, watch};
use crate::argv::Invocation;
use crate::tool::classes::run_with;

const OPTIONS: &[Row] = &[
    ("w", "threadCount", "Thread count, Default: 20"),
    ("g", "group", "Consumer group name, Default: benchmark_consumer"),
    ("p", "group prefix enable", "Is group prefix enable, Default: false"),
    ("f", "filterType", "TAG, SQL92"),
    ("e", "expression", "filter expression content file path.ie: ./test/expr"),
    ("r", "fail rate", "consumer fail rate, default 0"),
    ("c", "clientRebalanceEnable", "Client rebalance enable, Default: true"),
];

/// Runs it until Ctrl-C.
pub(super) fn run(invocation: Invocation) -> ExitCode {
    match read(&invocation, "benchmarkConsumer", &[COMMON, OPTIONS]) {
        Ok(found) => run_with(&invocation, client(&found, &invocation), async |client| measure(&client, &found).await),
        Err(status) => status,
    }
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
    report_interval: Duration,
}

impl Plan {
    fn read(found: &Found) -> anyhow::Result<Plan> {
        let topic = super::topic(found);
        let threads = found.number("w", 20)?;
        let suffix = found.text("p").unwrap_or("false");
        let mut group = found.text("g").unwrap_or("benchmark_consumer").to_owned();
        if found.is_true("p") {
            group = format!("{group}_{}", Timestamp::now().as_millisecond() % 100);
        }
        let (kind, file) = (found.text("f"), found.text("e"));
        let report_interval = super::report_interval(found)?;
        anyhow::ensure!(threads > 0, "-w is a number from 1 on");
        say!(
            "topic: {topic}, threadCount {threads}, group: {group}, suffix: {suffix}, filterType: {}, expression: {}, \
             msgTraceEnable: {}, aclEnable: {}, reportInterval: {}",
            kind.unwrap_or("null"),
            file.unwrap_or("null"),
            found.is_true("m"),
            found.is_true("a"),
            report_interval.as_millis(),
        );
        Ok(Plan {
            topic,
            threads,
            group,
            filter: kind.zip(file).map(|(kind, file)| read_filter(kind, file)).transpose()?,
            fail_rate: found.number("r", 0.0)?,
            is_traced: found.is_true("m"),
            report_interval,
        })
    }
}

/// Kind and text of the filter in a file.
fn read_filter(kind: &str, file: &str) -> anyhow::Result<(String, String)> {
    anyhow::ensure!(matches!(kind, "TAG" | "SQL92"), "-f {kind}: a filter is of type TAG or SQL92");
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the filter in {file}"))?;
    say!("Expression: {text}");
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
            now(),
            rate as u64,
            mean(end.since_born_ms - begin.since_born_ms),
            mean(end.since_stored_ms - begin.since_stored_ms),
            self.most_since_born_ms.swap(0, Ordering::Relaxed),
            self.most_since_stored_ms.swap(0, Ordering::Relaxed),
            end.failed - begin.failed,
        )
    }
}

async fn measure(client: &Client, found: &Found) -> anyhow::Result<ExitCode> {
    let plan = Plan::read(found)?;
    let stats = Arc::<Stats>::default();
    let consumer = start(client, &plan, &stats).await?;
    say!("Consumer Started.");
    let line = |begin, end| stats.report(begin, end);
    watch(plan.report_interval, || stats.snapshot(), line, until_signal(std::future::pending())).await;
    consumer.shutdown().await;
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
