//! The benchmarks: RocketMQ's options and output lines. Java: `example/…/example/benchmark/**`, as of 5.3.3.
//!
//! [`producer`] has those that send, one by one and in batches, [`transaction`] the one with transactions, [`timer`] those
//! of timer messages, [`consumer`] the one that receives. As many messages are on their way as there are threads in the
//! original. Every second a snapshot is taken; every ten seconds, or how often `-ri` says, a line tells the rates over the
//! last ten.

pub(super) mod consumer;
pub(super) mod producer;
pub(super) mod timer;
pub(super) mod transaction;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raptormq_admin::commons_cli::Known;
use raptormq_client::{Client, ClientBuilder, Error};

use super::Class;
use super::options::{self, Found, with_value};
use crate::argv::Invocation;
use crate::tool;

/// The classes.
pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "benchmark.Producer",
        about: "sends until stopped and prints rates: benchmark/producer.sh",
        run: producer::single,
    },
    Class {
        name: "benchmark.BatchProducer",
        about: "the same in batches: benchmark/batchproducer.sh",
        run: producer::batch,
    },
    Class {
        name: "benchmark.TransactionProducer",
        about: "the same in transactions: benchmark/tproducer.sh",
        run: transaction::run,
    },
    Class {
        name: "benchmark.Consumer",
        about: "consumes BenchmarkTest and prints rates and times: benchmark/consumer.sh",
        run: consumer::run,
    },
    Class {
        name: "benchmark.timer.TimerProducer",
        about: "sends timer messages to BenchmarkTest, due from two minutes on",
        run: timer::produce,
    },
    Class {
        name: "benchmark.timer.TimerConsumer",
        about: "consumes them and prints how late they come",
        run: timer::consume,
    },
];

/// The account of the original's benchmarks (Java: `benchmark/AclClient.java`).
const ACCESS_KEY: &str = "rocketmq2";
const SECRET_KEY: &str = "12345678";

/// Snapshots that a line is made of, one a second.
const SNAPSHOTS: usize = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Pause after a message failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(3);

/// An option of a benchmark: short and long name, and what it is for.
type Row = (&'static str, &'static str, &'static str);

/// What all but the timers' have. The texts are the original's, which confound the two defaults of the account.
const COMMON: &[Row] = &[
    ("t", "topic", "Topic name, Default: BenchmarkTest"),
    ("m", "msgTraceEnable", "Message Trace Enable, Default: false"),
    ("a", "aclEnable", "Acl Enable, Default: false"),
    ("ak", "accessKey", "Acl access key, Default: 12345678"),
    ("sk", "secretKey", "Acl secret key, Default: rocketmq2"),
    ("ri", "reportInterval", "The number of ms between reports, Default: 10000"),
];

/// Reads options; an `Err` is the status to end with, everything being said.
fn read(invocation: &Invocation, usage: &str, rows: &[&[Row]]) -> Result<Found, ExitCode> {
    let known = |(short, long, about): &Row| with_value(short, long, about);
    let all: Vec<Known> = rows.iter().copied().flatten().map(known).collect();
    options::read(invocation, usage, &all)
}

/// The topic that is asked for.
fn topic(found: &Found) -> String {
    found.text("t").unwrap_or("BenchmarkTest").to_owned()
}

/// How often a line is printed.
fn report_interval(found: &Found) -> anyhow::Result<Duration> {
    let interval_ms: u64 = found.number("ri", 10_000)?;
    anyhow::ensure!(interval_ms > 0, "-ri is a number of milliseconds from 1 on");
    Ok(Duration::from_millis(interval_ms))
}

/// The client that is asked for.
fn client(found: &Found, invocation: &Invocation) -> ClientBuilder {
    let builder = Client::builder().namesrv(tool::namesrv(found.text("n"), invocation));
    if !found.is_true("a") {
        return builder;
    }
    builder.credentials(found.text("ak").unwrap_or(ACCESS_KEY), found.text("sk").unwrap_or(SECRET_KEY))
}

/// What has been counted so far.
#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    failed: AtomicU64,
    response_failed: AtomicU64,
    messages: AtomicU64,
    messages_failed: AtomicU64,
    /// Microseconds that successful requests took together.
    micros: AtomicU64,
    /// The longest of them, in milliseconds.
    max_ms: AtomicI64,
    /// Questions for transactions: all, those that should not come, those that came twice.
    checks: [AtomicU64; 3],
}

/// The counters at a moment.
#[derive(Clone, Copy)]
struct Snapshot {
    at: Instant,
    requests: u64,
    failed: u64,
    response_failed: u64,
    messages: u64,
    messages_failed: u64,
    micros: u64,
    checks: [u64; 3],
}

impl Counters {
    fn succeeded(&self, began: Instant, messages: u64) {
        let took = began.elapsed();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.max_ms.fetch_max(took.as_millis() as i64, Ordering::Relaxed);
    }

    /// A broker's refusal is counted apart from everything else.
    fn failed(&self, error: &Error, messages: u64) {
        let counter = if error.code().is_some() { &self.response_failed } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.messages_failed.fetch_add(messages, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            at: Instant::now(),
            requests: get(&self.requests),
            failed: get(&self.failed),
            response_failed: get(&self.response_failed),
            messages: get(&self.messages),
            messages_failed: get(&self.messages_failed),
            micros: get(&self.micros),
            checks: self.checks.each_ref().map(get),
        }
    }
}

impl Snapshot {
    /// How much of it came a second since `begin`.
    fn rate(&self, begin: &Snapshot, of: impl Fn(&Snapshot) -> u64) -> u64 {
        let seconds = (self.at - begin.at).as_secs_f64().max(1e-3);
        ((of(self) - of(begin)) as f64 / seconds) as u64
    }

    /// Milliseconds a request or message on average since `begin`.
    fn average_ms(&self, begin: &Snapshot, of: impl Fn(&Snapshot) -> u64) -> f64 {
        let count = of(self) - of(begin);
        if count == 0 { 0.0 } else { (self.micros - begin.micros) as f64 / 1000.0 / count as f64 }
    }
}

/// The time, as the lines tell it.
fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

/// Takes a snapshot each second, and prints a line over the first and the last of ten each `interval`, until `work` ends;
/// the last snapshots then.
async fn watch<S: Copy>(
    interval: Duration,
    take: impl Fn() -> S,
    line: impl Fn(S, S) -> String,
    work: impl Future<Output = ()>,
) -> VecDeque<S> {
    let mut snapshots = VecDeque::with_capacity(SNAPSHOTS + 1);
    let mut seconds = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
    let mut reports = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            () = &mut work => return snapshots,
            _ = seconds.tick() => {
                snapshots.push_back(take());
                if snapshots.len() > SNAPSHOTS {
                    snapshots.pop_front();
                }
            }
            _ = reports.tick() => {
                if let (Some(begin), Some(end)) = (snapshots.front(), snapshots.back())
                    && snapshots.len() >= SNAPSHOTS
                {
                    say!("{}", line(*begin, *end));
                }
            }
        }
    }
}

/// Ends with `work` or with a signal.
async fn until_signal(work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = tool::until_told() => {}
    }
}

/// Numbers that need not be good (splitmix64), begun differently each time.
struct Random(u64);

impl Random {
    fn new() -> Random {
        use std::hash::{BuildHasher as _, Hasher as _};
        Random(std::collections::hash_map::RandomState::new().build_hasher().finish())
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_several_letters_and_their_defaults() {
        let words = ["-ri", "4", "-ak", "me", "-m", "true", "-t", "T"].map(str::to_owned).to_vec();
        let found = read(&Invocation::new("x", words), "x", &[COMMON]).ok().unwrap();
        assert_eq!((report_interval(&found).unwrap(), found.text("ak")), (Duration::from_millis(4), Some("me")));
        assert_eq!((topic(&found), found.is_true("m"), found.is_true("a")), ("T".to_owned(), true, false));
        assert_eq!(found.number("s", 128).unwrap(), 128);
        assert!(found.number::<u8>("ak", 1).is_err());
    }
}
