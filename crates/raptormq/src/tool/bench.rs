//! `raptormq bench`: how many messages a cluster takes, and how long each of them waits for its acknowledgement.
//!
//! Every producer has a connection of its own and keeps a number of messages on their way (closed loop). Producers are
//! dealt out over threads, each with its own runtime, so that the measuring is not the limit. What happens during the
//! warm-up is not counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raptormq_client::{Ack, Client, Message, Producer};
use serde::Serialize;
use tokio::task::LocalSet;

use super::embedded::{self, Embedded};
use crate::argv::Invocation;
use crate::logging::{self, Destination};

/// Bytes of a commit log file of an embedded cluster that is measured.
const COMMIT_LOG_FILE_BYTES: u64 = 256 << 20;
/// Pause of a producer after a message failed, so that a cluster that is down is not asked as fast as it answers.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);
/// Digits of a latency that count.
const DIGITS: u8 = 3;
/// Longest latency that is told from longer ones: 60 s, longer than any send may take.
const LATENCY_MAX_NANOS: u64 = 60_000_000_000;

/// Sends as fast as the cluster acknowledges, and prints rates and latencies.
#[derive(clap::Parser)]
struct Options {
    /// Measure this cluster instead of bringing one
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// Producers, each with a connection of its own
    #[arg(short, long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    producers: u32,
    /// Messages that each producer has on their way
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Bytes of a body
    #[arg(short, long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4 << 20))]
    size: u32,
    /// Topic to send to
    #[arg(short, long, default_value = "RaptorBench")]
    topic: String,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Seconds before that
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=3600))]
    warmup: u32,
    /// Threads that send [default: half of the processors]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Write the result as JSON to this file; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of the data of the cluster that is brought [default: one in raptormq-data, removed at the end]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// Measures.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let outcome = match &options.namesrv {
        Some(namesrv) => super::log_to_stderr().and_then(|_logging| measure(namesrv, &options)),
        None => measure_embedded(&invocation, &options),
    };
    outcome.unwrap_or_else(|error| super::fail(&invocation.program, &error))
}

fn measure_embedded(invocation: &Invocation, options: &Options) -> anyhow::Result<ExitCode> {
    let made = options.data.is_none().then(|| embedded::fresh_folder("bench"));
    let data = options.data.as_ref().or(made.as_ref()).context("one of the two is there")?;
    let _logging = logging::start(&Destination::File { folder: data.join("logs"), name: "bench" }, "info")?;
    let cluster = Embedded::start(invocation, data, COMMIT_LOG_FILE_BYTES)?;
    let outcome = measure(&cluster.namesrv, options);
    drop(cluster);
    if let Some(folder) = made {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    outcome
}

/// What all threads need to know.
struct Plan {
    namesrv: String,
    topic: String,
    body: Bytes,
    depth: usize,
    /// All threads begin at once.
    begin: Barrier,
    warmup: Duration,
    measured: Duration,
    /// Acknowledged messages, warm-up included, for the lines on the way.
    acknowledged: AtomicU64,
}

/// What one thread has measured.
struct Tally {
    /// Nanoseconds from handing a message over to its acknowledgement.
    latencies: Histogram<u64>,
    failed: u64,
    /// The first reason.
    failure: Option<String>,
}

impl Tally {
    fn new() -> anyhow::Result<Tally> {
        Ok(Tally { latencies: Histogram::new_with_bounds(1, LATENCY_MAX_NANOS, DIGITS)?, failed: 0, failure: None })
    }

    fn fail(&mut self, reason: &raptormq_client::Error) {
        self.failed += 1;
        self.failure.get_or_insert_with(|| reason.to_string());
    }
}

fn measure(namesrv: &str, options: &Options) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.map_or((cores / 2).max(1), |threads| threads as usize);
    let threads = threads.min(options.producers as usize);
    let plan = Arc::new(Plan {
        namesrv: namesrv.to_owned(),
        topic: options.topic.clone(),
        // Bytes that no compression would shorten; a producer of this tool does not compress anyway.
        body: (0..options.size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().into(),
        depth: options.depth as usize,
        begin: Barrier::new(threads + 1),
        warmup: Duration::from_secs(options.warmup.into()),
        measured: Duration::from_secs(options.seconds.into()),
        acknowledged: AtomicU64::new(0),
    });
    create_topic(&plan)?;
    eprintln!(
        "{} producers x {} on their way, {} bytes each, from {threads} thread{} to {} at {namesrv}",
        options.producers,
        options.depth,
        options.size,
        if threads == 1 { "" } else { "s" },
        options.topic
    );
    let mut workers = Vec::with_capacity(threads);
    for thread in 0..threads {
        let plan = plan.clone();
        let count = (options.producers as usize + threads - 1 - thread) / threads;
        let work = move || work(&plan, count);
        workers.push(std::thread::Builder::new().name(format!("bench-{thread}")).spawn(work)?);
    }
    let (seconds, cpu) = watch(&plan);
    let mut total = Tally::new()?;
    for worker in workers {
        let tally = worker.join().map_err(|_| anyhow::anyhow!("a thread of the benchmark panicked"))??;
        total.latencies.add(&tally.latencies)?;
        total.failed += tally.failed;
        total.failure = total.failure.or(tally.failure);
    }
    let mut report = Report::new(options, namesrv, threads, (&total, seconds));
    // With the cluster in this process it would not be the client's.
    report.client_cpu_micros_per_message =
        cpu.filter(|_| options.namesrv.is_some()).map(|cpu| cpu.as_secs_f64() * 1e6 / report.messages.max(1) as f64);
    // That nobody reads it is no reason to leave the folder behind.
    let _ = write!(std::io::stdout(), "{report}");
    if let Some(reason) = &total.failure {
        eprintln!("the first failure: {reason}");
    }
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    Ok(if total.failed == 0 && report.messages > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends one message, so that the topic is there before all producers come at once.
fn create_topic(plan: &Plan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = super::connect(&plan.namesrv).await?;
        let producer = client.producer("raptormq_bench").accept_weak_ack().start().await?;
        producer.send(Message::new(&plan.topic, plan.body.clone())).await?;
        producer.shutdown().await;
        client.shutdown().await;
        Ok(())
    })
}

/// One thread: its producers, all in one runtime.
fn work(plan: &Arc<Plan>, producers: usize) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = runtime.block_on(start_producers(plan, producers));
    // Also when this thread has nothing to do: the others wait for it.
    plan.begin.wait();
    let clients = started?;
    let tally = Rc::new(RefCell::new(Tally::new()?));
    LocalSet::new().block_on(&runtime, async {
        let begun = Instant::now();
        let begin = |(_, producer): &(Client, Producer)| {
            tokio::task::spawn_local(produce(plan.clone(), producer.clone(), begun, tally.clone()))
        };
        let sending: Vec<_> = clients.iter().map(begin).collect();
        for sends in sending {
            sends.await?;
        }
        for (client, producer) in &clients {
            producer.shutdown().await;
            client.shutdown().await;
        }
        anyhow::Ok(())
    })?;
    Ok(tally.replace(Tally::new()?))
}

async fn start_producers(plan: &Plan, count: usize) -> anyhow::Result<Vec<(Client, Producer)>> {
    let mut started = Vec::with_capacity(count);
    for _ in 0..count {
        let client = super::connect(&plan.namesrv).await?;
        let producer = client.producer("raptormq_bench").accept_weak_ack().compress_from(usize::MAX);
        started.push((client, producer.max_in_flight(plan.depth, usize::MAX).start().await?));
    }
    Ok(started)
}

/// One producer: keeps messages on their way until the time is up.
async fn produce(plan: Arc<Plan>, producer: Producer, begun: Instant, tally: Rc<RefCell<Tally>>) {
    let (from, until) = (begun + plan.warmup, begun + plan.warmup + plan.measured);
    let message = Message::new(&plan.topic, plan.body.clone());
    let mut on_the_way: VecDeque<(Instant, Ack)> = VecDeque::with_capacity(plan.depth);
    while Instant::now() < until {
        while on_the_way.len() < plan.depth {
            let handed_over = Instant::now();
            match producer.enqueue(message.clone()).await {
                Ok(ack) => on_the_way.push_back((handed_over, ack)),
                Err(error) => {
                    tally.borrow_mut().fail(&error);
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    break;
                }
            }
        }
        // One connection's acknowledgements come in the order of its messages.
        let Some((handed_over, ack)) = on_the_way.pop_front() else { continue };
        let outcome = ack.await;
        let now = Instant::now();
        match outcome {
            Ok(_) => {
                plan.acknowledged.fetch_add(1, Ordering::Relaxed);
                if handed_over >= from && now <= until {
                    tally.borrow_mut().latencies.saturating_record((now - handed_over).as_nanos() as u64);
                }
            }
            Err(error) => tally.borrow_mut().fail(&error),
        }
    }
    for (_, ack) in on_the_way {
        if let Err(error) = ack.await {
            tally.borrow_mut().fail(&error);
        }
    }
}

/// Shows how it goes; returns the rate of each measured second, and the processor time that they took together.
fn watch(plan: &Plan) -> (Vec<u64>, Option<Duration>) {
    plan.begin.wait();
    let begun = Instant::now();
    let (warmup, measured) = (plan.warmup.as_secs(), plan.measured.as_secs());
    let bar = progress_bar(warmup + measured);
    let mut seconds = Vec::new();
    let mut before = 0;
    let mut cpu_before = (warmup == 0).then(process_cpu).flatten();
    for second in 1..=warmup + measured {
        std::thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        let now = plan.acknowledged.load(Ordering::Relaxed);
        let rate = now - before;
        before = now;
        bar.set_position(second);
        if second == warmup {
            cpu_before = process_cpu();
        }
        if second <= warmup {
            say(&bar, &format!("{second:>5} s {rate:>10} messages/s   warm-up"));
        } else {
            seconds.push(rate);
            say(&bar, &format!("{second:>5} s {rate:>10} messages/s"));
        }
    }
    let cpu = process_cpu().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    bar.finish_and_clear();
    (seconds, cpu)
}

/// The processor time of this process so far, in steps of 10 ms; `None` where the system does not tell.
fn process_cpu() -> Option<Duration> {
    /// Fields between the name of the program and the time in user mode.
    const FIELDS_BEFORE: usize = 11;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(FIELDS_BEFORE);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(seconds: u64) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(seconds), target);
    let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} s");
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// A line above the bar, or on stderr when there is none.
fn say(bar: &ProgressBar, line: &str) {
    match bar.is_hidden() {
        // That nobody reads it is no reason to end.
        true => drop(writeln!(std::io::stderr(), "{line}")),
        false => bar.println(line),
    }
}

/// The result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    namesrv: String,
    topic: String,
    producers: u32,
    depth: u32,
    body_bytes: u32,
    threads: usize,
    cores: usize,
    warmup_seconds: u32,
    measured_seconds: u32,
    messages: u64,
    failed: u64,
    messages_per_second: f64,
    bytes_per_second: f64,
    latency_micros: Latencies,
    per_second: Vec<u64>,
    /// Of this process, where the cluster is another one.
    client_cpu_micros_per_message: Option<f64>,
}

/// Latencies in microseconds.
#[derive(Serialize)]
struct Latencies {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Report {
    fn new(options: &Options, namesrv: &str, threads: usize, (total, per_second): (&Tally, Vec<u64>)) -> Report {
        let latencies = &total.latencies;
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let quantile = |quantile: f64| micros(latencies.value_at_quantile(quantile));
        let per_second_mean = latencies.len() as f64 / f64::from(options.seconds);
        Report {
            version: env!("CARGO_PKG_VERSION"),
            namesrv: namesrv.to_owned(),
            topic: options.topic.clone(),
            producers: options.producers,
            depth: options.depth,
            body_bytes: options.size,
            threads,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            warmup_seconds: options.warmup,
            measured_seconds: options.seconds,
            messages: latencies.len(),
            failed: total.failed,
            messages_per_second: per_second_mean,
            bytes_per_second: per_second_mean * f64::from(options.size),
            latency_micros: Latencies {
                mean: latencies.mean() / 1000.0,
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: micros(latencies.max()),
            },
            per_second,
            client_cpu_micros_per_message: None,
        }
    }

    fn write(&self, file: &std::path::Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        if file.as_os_str() == "-" {
            return Ok(writeln!(std::io::stdout(), "{text}")?);
        }
        std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latencies { mean, p50, p90, p99, p999, max } = self.latency_micros;
        let mebibytes = self.bytes_per_second / f64::from(1 << 20);
        writeln!(f, "messages   {:>12}   acknowledged in {} s", self.messages, self.measured_seconds)?;
        writeln!(f, "rate       {:>12.0}   messages/s, {mebibytes:.1} MiB/s", self.messages_per_second)?;
        for (name, micros) in [("mean", mean), ("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)]
        {
            writeln!(f, "{name:<10} {:>12.3}   ms", micros / 1000.0)?;
        }
        if let Some(micros) = self.client_cpu_micros_per_message {
            writeln!(f, "client CPU {micros:>12.2}   us a message")?;
        }
        writeln!(f, "failed     {:>12}", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn a_report_has_rates_and_percentiles() {
        let options = Options::parse_from(["bench", "--seconds", "2", "--size", "1000"]);
        let mut tally = Tally::new().unwrap();
        for micros in 1..=100 {
            tally.latencies.record(micros * 1000).unwrap();
        }
        let report = Report::new(&options, "a:1", 1, (&tally, vec![60, 40]));
        assert_eq!((report.messages_per_second, report.bytes_per_second), (50.0, 50_000.0));
        assert!(
            (49.0..52.0).contains(&report.latency_micros.p50) && (99.0..102.0).contains(&report.latency_micros.max)
        );
        let text = report.to_string();
        assert!(text.starts_with("messages            100   acknowledged in 2 s\n"), "{text}");
        assert!(text.contains("p99.9             0.1"), "{text}");
    }
}
