//! `raptormq bench`: how many messages a cluster takes, and how long each of them waits for its acknowledgement; how many are
//! consumed, and how long each of them is on its way from producer to consumer.
//!
//! Every producer has a connection of its own. It keeps a number of messages on their way (closed loop), or sends at a rate
//! whatever the cluster does (open loop): then the time of a message begins when it was due, so that what waits because the
//! cluster is slow counts as slow. Producers are dealt out over threads, each with its own runtime, so that the measuring is
//! not the limit. What happens during the warm-up is not counted.
//!
//! [`produce`] has the producers, [`consume`] the consumers, [`report`] what is printed.

mod consume;
mod produce;
mod report;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raptormq_client::Message;

use self::consume::Consuming;
use self::report::Report;
use super::embedded::{self, Embedded};
use crate::argv::Invocation;
use crate::logging::{self, Destination};

/// Bytes of a commit log file of an embedded cluster that is measured.
const COMMIT_LOG_FILE_BYTES: u64 = 256 << 20;
/// Digits of a latency that count.
const DIGITS: u8 = 3;
/// Longest latency that is told from longer ones: 60 s, longer than any send may take.
const LATENCY_MAX_NANOS: u64 = 60_000_000_000;

/// Bytes at the front of a body that say which run sent it and when, where there are consumers.
const STAMP_BYTES: usize = 16;

/// Sends as fast as the cluster acknowledges, or at a rate, and consumes; prints rates and latencies.
#[derive(clap::Parser)]
struct Options {
    /// Measure this cluster instead of bringing one
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// Producers, each with a connection of its own; 0 to consume only, from the first message of the topic on
    #[arg(short, long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    producers: u32,
    /// Consumers, the members of one new group, each with a connection of its own
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    consumers: u32,
    /// Send so many messages a second, all producers together, however fast they are acknowledged
    #[arg(short, long, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Messages that each producer has on their way, at most
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
    /// Threads that send, and that consume [default: half of the processors]
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
    /// Whether messages tell when they were sent.
    is_stamped: bool,
    /// Tells this run's messages from those of others.
    run: u64,
    /// All threads begin at once.
    begin: Barrier,
    /// When that was.
    begun: OnceLock<Instant>,
    warmup: Duration,
    measured: Duration,
    /// Acknowledged messages, warm-up included, for the lines on the way.
    acknowledged: AtomicU64,
    /// The same of consumed ones.
    consumed: AtomicU64,
}

impl Plan {
    /// Waits until all threads are here; answers with the moment.
    fn begin(&self) -> Instant {
        self.begin.wait();
        self.begun()
    }

    fn begun(&self) -> Instant {
        *self.begun.get_or_init(Instant::now)
    }

    /// What is measured lies between these moments.
    fn window(&self) -> (Instant, Instant) {
        let from = self.begun() + self.warmup;
        (from, from + self.measured)
    }

    /// A message that is sent now, or was due at this moment.
    fn message(&self, due: Instant) -> Message {
        if !self.is_stamped {
            return Message::new(&self.topic, self.body.clone());
        }
        let mut body = BytesMut::from(&*self.body);
        body[..8].copy_from_slice(&self.run.to_be_bytes());
        let since = due.saturating_duration_since(self.begun()).as_nanos() as u64;
        body[8..STAMP_BYTES].copy_from_slice(&since.to_be_bytes());
        Message::new(&self.topic, body.freeze())
    }

    /// When a message of this run was sent, or due.
    fn sent_at(&self, body: &[u8]) -> Option<Instant> {
        let number = |at: usize| body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let (run, since) = (number(0)?, number(8)?);
        (run == self.run).then(|| self.begun() + Duration::from_nanos(since))
    }
}

/// A histogram of nanoseconds.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_NANOS, DIGITS)?)
}

/// What one thread has measured.
struct Tally {
    /// Nanoseconds from handing a message over, or from when it was due, to its acknowledgement.
    latencies: Histogram<u64>,
    failed: u64,
    /// Messages that were due and not sent when the time was up.
    unsent: u64,
    /// The first reason.
    failure: Option<String>,
}

impl Tally {
    fn new() -> anyhow::Result<Tally> {
        Ok(Tally { latencies: histogram()?, failed: 0, unsent: 0, failure: None })
    }

    fn fail(&mut self, reason: &raptormq_client::Error) {
        self.failed += 1;
        self.failure.get_or_insert_with(|| reason.to_string());
    }

    fn add(&mut self, other: Tally) -> anyhow::Result<()> {
        self.latencies.add(&other.latencies)?;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.failure = self.failure.take().or(other.failure);
        Ok(())
    }
}

fn measure(namesrv: &str, options: &Options) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.map_or((cores / 2).max(1), |threads| threads as usize);
    let producing = threads.min(options.producers as usize);
    anyhow::ensure!(
        options.producers > 0 || options.consumers > 0,
        "there is nothing to do without producers and consumers"
    );
    anyhow::ensure!(options.producers > 0 || options.rate.is_none(), "--rate needs producers");
    let is_stamped = options.producers > 0 && options.consumers > 0;
    let size = if is_stamped { (options.size as usize).max(STAMP_BYTES) } else { options.size as usize };
    let pacers = usize::from(options.rate.is_some());
    let plan = Arc::new(Plan {
        namesrv: namesrv.to_owned(),
        topic: options.topic.clone(),
        // Bytes that no compression would shorten; a producer of this tool does not compress anyway.
        body: (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().into(),
        depth: options.depth as usize,
        is_stamped,
        run: jiff::Timestamp::now().as_nanosecond() as u64,
        begin: Barrier::new(producing + pacers + 1),
        begun: OnceLock::new(),
        warmup: Duration::from_secs(options.warmup.into()),
        measured: Duration::from_secs(options.seconds.into()),
        acknowledged: AtomicU64::new(0),
        consumed: AtomicU64::new(0),
    });
    if options.producers > 0 {
        create_topic(&plan)?;
    }
    eprintln!("{}", what_is_done(options, namesrv, producing));
    let consuming = match options.consumers {
        0 => None,
        consumers => Some(Consuming::start(&plan, consumers as usize, threads)?),
    };
    let workers = produce::start(&plan, options, producing)?;
    let watched = watch(&plan, options.producers == 0);
    let mut total = Tally::new()?;
    for worker in workers {
        total.add(worker.join().map_err(|_| anyhow::anyhow!("a thread of the benchmark panicked"))??)?;
    }
    let end_to_end = consuming.map(|consuming| consuming.finish(&plan)).transpose()?;
    let cpu = watched.cpu;
    let mut report = Report::new(options, namesrv, threads, (&total, watched.seconds));
    report.consumed(&plan, end_to_end.as_ref());
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

fn what_is_done(options: &Options, namesrv: &str, threads: usize) -> String {
    let consumers = match options.consumers {
        0 => String::new(),
        1 => "1 consumer".to_owned(),
        more => format!("{more} consumers"),
    };
    if options.producers == 0 {
        return format!("{consumers} of {} at {namesrv}", options.topic);
    }
    let rate = options.rate.map(|rate| format!(", {rate} a second")).unwrap_or_default();
    let beside = if consumers.is_empty() { consumers } else { format!(", {consumers} beside them") };
    format!(
        "{} producers x {} on their way, {} bytes each{rate}, from {threads} thread{} to {} at {namesrv}{beside}",
        options.producers,
        options.depth,
        options.size,
        if threads == 1 { "" } else { "s" },
        options.topic
    )
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

/// What was seen from outside.
struct Watched {
    /// Messages of each measured second.
    seconds: Vec<u64>,
    /// The processor time that these seconds took together.
    cpu: Option<Duration>,
}

/// Shows how it goes. Where only is consumed it ends with the messages.
fn watch(plan: &Plan, only_consumes: bool) -> Watched {
    let begun = plan.begin();
    let (warmup, measured) = (plan.warmup.as_secs(), plan.measured.as_secs());
    let bar = progress_bar(warmup + measured);
    let counter = if only_consumes { &plan.consumed } else { &plan.acknowledged };
    let mut seconds = Vec::new();
    // What was consumed while the members shared the queues belongs to the first second.
    let mut before = 0;
    let mut cpu_before = (warmup == 0).then(process_cpu).flatten();
    for second in 1..=warmup + measured {
        std::thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        let now = counter.load(Ordering::Relaxed);
        let rate = now - before;
        before = now;
        bar.set_position(second);
        if second == warmup {
            cpu_before = process_cpu();
        }
        if second <= warmup {
            say(&bar, &format!("{second:>5} s {rate:>10} messages/s   warm-up"));
            continue;
        }
        say(&bar, &format!("{second:>5} s {rate:>10} messages/s"));
        if only_consumes && rate == 0 {
            break;
        }
        seconds.push(rate);
    }
    let cpu = process_cpu().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    bar.finish_and_clear();
    Watched { seconds, cpu }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_when_it_was_due_to_the_run_that_sent_it() {
        let plan = |run| Plan {
            namesrv: String::new(),
            topic: "T".to_owned(),
            body: Bytes::from_static(&[7; 20]),
            depth: 1,
            is_stamped: true,
            run,
            begin: Barrier::new(1),
            begun: OnceLock::new(),
            warmup: Duration::from_secs(1),
            measured: Duration::from_secs(2),
            acknowledged: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
        };
        let (mine, other) = (plan(1), plan(2));
        let due = mine.begin() + Duration::from_nanos(1_234_567_890);
        let message = mine.message(due);
        assert_eq!((message.body().len(), &message.body()[STAMP_BYTES..]), (20, &[7; 4][..]));
        assert_eq!((mine.sent_at(message.body()), other.sent_at(message.body())), (Some(due), None));
        assert_eq!(mine.sent_at(&message.body()[..12]), None);
        assert_eq!(mine.window().1, mine.begun() + Duration::from_secs(3));
    }
}
