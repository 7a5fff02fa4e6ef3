//! `raptormq quickstart`: the original's first example. 1,000 messages are sent and consumed, and each is counted.
//!
//! Without `-n` it brings its own cluster, in a fresh folder. `quickstart producer` and `quickstart consumer` are the
//! two programs of the original's documentation, `org.apache.rocketmq.example.quickstart.Producer` and `.Consumer`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Consumer, Message, MessageView};
use tokio::sync::Notify;

use super::embedded::{self, Embedded};
use super::printer::Printer;
use crate::argv::Invocation;
use crate::logging::{self, Destination};

/// The example's names (Java: `example/…/example/quickstart/{Producer,Consumer}.java`).
const TOPIC: &str = "TopicTest";
const TAG: &str = "TagA";
const PRODUCER_GROUP: &str = "please_rename_unique_group_name";
const CONSUMER_GROUP: &str = "please_rename_unique_group_name_4";

/// Messages that are sent.
const MESSAGES: usize = 1000;
/// Bytes of a commit log file of the cluster that is brought: the example fills a hundredth of it.
const COMMIT_LOG_FILE_BYTES: u64 = 16 << 20;
/// How long a send may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Handlers that run at once; the example's lines name their threads.
const CONSUMER_THREADS: usize = 20;
/// How long nothing may come before the rest counts as missing. A Java broker needs 20 to 40 s to let a new group in.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long is waited for messages that come twice.
const DOUBLES_WAIT: Duration = Duration::from_millis(300);

/// Sends 1,000 messages and consumes them.
#[derive(clap::Parser)]
struct Options {
    /// producer or consumer: only this half, with the cluster at NAMESRV_ADDR or 127.0.0.1:9876 unless -n names one
    half: Option<Half>,
    /// Use this cluster instead of bringing one
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// Folder of the data [default: a new one in raptormq-data]
    #[arg(short = 'd', long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Half {
    Producer,
    Consumer,
}

/// Runs the example to its end.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let program = invocation.program.as_str();
    let outcome = match (options.half, &options.namesrv) {
        (Some(half), namesrv) => run_half(program, half, &super::namesrv(namesrv.as_deref(), &invocation)),
        (None, Some(namesrv)) => super::log_to_stderr().map(|_logging| {
            let where_kept = format!("with the brokers of {namesrv}");
            super::run_to_end(program, both(namesrv, &where_kept))
        }),
        (None, None) => run_embedded(&invocation, options.data),
    };
    outcome.unwrap_or_else(|error| super::fail(program, &error))
}

fn run_embedded(invocation: &Invocation, data: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let data = data.unwrap_or_else(|| embedded::fresh_folder("quickstart"));
    let _logging = logging::start(&Destination::File { folder: data.join("logs"), name: "quickstart" }, "info")?;
    let cluster = Embedded::start(invocation, &data, COMMIT_LOG_FILE_BYTES)?;
    let where_kept = data.display().to_string();
    Ok(super::run_to_end(&invocation.program, both(&cluster.namesrv, &where_kept)))
}

fn run_half(program: &str, half: Half, namesrv: &str) -> anyhow::Result<ExitCode> {
    let _logging = super::log_to_stderr()?;
    Ok(match half {
        Half::Producer => super::run_to_end(program, producer(namesrv)),
        Half::Consumer => super::run_to_end(program, consumer(namesrv)),
    })
}

/// The producer alone.
async fn producer(namesrv: &str) -> anyhow::Result<ExitCode> {
    let client = super::connect(namesrv).await?;
    let sent = send_all(&client, &Printer::start()?).await?;
    client.shutdown().await;
    Ok(if sent.ids.len() == MESSAGES { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The consumer alone, until Ctrl-C.
async fn consumer(namesrv: &str) -> anyhow::Result<ExitCode> {
    let client = super::connect(namesrv).await?;
    let printer = Arc::new(Printer::start()?);
    let consumer = consume(&client, &printer, Arc::new(Seen::new(&[]))).await?;
    printer.line("Consumer Started.".into());
    super::until_told().await?;
    consumer.shutdown().await;
    client.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Both halves one after the other, and the count.
async fn both(namesrv: &str, where_kept: &str) -> anyhow::Result<ExitCode> {
    let client = super::connect(namesrv).await?;
    let printer = Arc::new(Printer::start()?);
    let sent = send_all(&client, &printer).await?;
    let seen = Arc::new(Seen::new(&sent.ids));
    let started = Instant::now();
    let consumer = consume(&client, &printer, seen.clone()).await?;
    printer.line("Consumer Started.".into());
    seen.wait().await;
    let took = seen.last_new().saturating_duration_since(started);
    tokio::time::sleep(DOUBLES_WAIT).await;
    let (missing, doubled) = (seen.missing(), seen.doubled());
    consumer.shutdown().await;
    client.shutdown().await;
    let received_count = sent.ids.len() - missing;
    for line in [
        String::new(),
        format!("sent      {:>5}   {}", sent.ids.len(), rate(sent.ids.len(), sent.took)),
        format!("received  {received_count:>5}   {}", rate(received_count, took)),
        format!("missing   {missing:>5}"),
        format!("doubled   {doubled:>5}"),
        format!("data      {where_kept}"),
    ] {
        printer.line(line);
    }
    let complete = (sent.ids.len(), missing, doubled) == (MESSAGES, 0, 0);
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was sent.
struct Sent {
    ids: Vec<String>,
    /// Without the time that failed sends and their pauses took.
    took: Duration,
}

/// Sends the messages one after another, as the example does: one that fails is reported and not sent again.
async fn send_all(client: &Client, printer: &Printer) -> anyhow::Result<Sent> {
    let producer = client.producer(PRODUCER_GROUP).timeout(SEND_TIMEOUT).accept_weak_ack().start().await?;
    let mut sent = Sent { ids: Vec::with_capacity(MESSAGES), took: Duration::ZERO };
    for number in 0..MESSAGES {
        let message = Message::new(TOPIC, format!("Hello RocketMQ {number}")).tag(TAG);
        let began = Instant::now();
        match producer.send(message).await {
            Ok(receipt) => {
                sent.took += began.elapsed();
                printer.line(receipt.to_string());
                sent.ids.push(receipt.message_id);
            }
            Err(error) => {
                eprintln!("{error}");
                if sent.ids.is_empty() && !error.is_retryable() {
                    anyhow::bail!("no message can be sent");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    producer.shutdown().await;
    Ok(sent)
}

/// Starts the consumer of the example; what comes is printed and counted.
async fn consume(client: &Client, printer: &Arc<Printer>, seen: Arc<Seen>) -> anyhow::Result<Consumer> {
    let printer = printer.clone();
    let turns = AtomicUsize::new(0);
    let show = move |message: MessageView| {
        let thread = turns.fetch_add(1, Ordering::Relaxed) % CONSUMER_THREADS + 1;
        // As Java's `%s Receive New Messages: %s %n` prints a thread and a list of one.
        printer.line(format!("ConsumeMessageThread_{CONSUMER_GROUP}_{thread} Receive New Messages: [{message}] "));
        seen.count(message.message_id());
        async { Ok(()) }
    };
    let builder = client.consumer(CONSUMER_GROUP).subscribe(TOPIC, "*").from(ConsumeFrom::First);
    Ok(builder.concurrency(CONSUMER_THREADS).start(show).await?)
}

/// How often each of this run's messages came. Others, of an earlier run in the same folder, do not count.
struct Seen {
    state: Mutex<Count>,
    complete: Notify,
}

struct Count {
    times: HashMap<String, usize>,
    missing: usize,
    last_new: Instant,
}

impl Seen {
    fn new(ids: &[String]) -> Seen {
        let times = ids.iter().map(|id| (id.clone(), 0)).collect();
        let count = Count { times, missing: ids.len(), last_new: Instant::now() };
        Seen { state: Mutex::new(count), complete: Notify::new() }
    }

    fn count(&self, id: &str) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(times) = state.times.get_mut(id) else { return };
        *times += 1;
        if *times == 1 {
            state.missing -= 1;
            state.last_new = Instant::now();
        }
        let is_complete = state.missing == 0;
        drop(guard);
        if is_complete {
            self.complete.notify_one();
        }
    }

    fn missing(&self) -> usize {
        self.state.lock().missing
    }

    /// How many came more than once.
    fn doubled(&self) -> usize {
        self.state.lock().times.values().filter(|times| **times > 1).count()
    }

    /// When the last message came that had not come before.
    fn last_new(&self) -> Instant {
        self.state.lock().last_new
    }

    /// Waits until all have come, or nothing more comes.
    async fn wait(&self) {
        let mut before = usize::MAX;
        while (1..before).contains(&self.missing()) {
            before = self.missing();
            // What counts is whether anything came meanwhile.
            let _ = tokio::time::timeout(PATIENCE, self.complete.notified()).await;
        }
    }
}

/// Messages per second, and in what time.
fn rate(count: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-6);
    format!("{:.0} per second, in {:.3} s", count as f64 / seconds, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_run_s_messages_are_counted() {
        let seen = Seen::new(&["a", "b", "c"].map(str::to_owned));
        for id in ["a", "b", "b", "of an earlier run", "of an earlier run"] {
            seen.count(id);
        }
        assert_eq!((seen.missing(), seen.doubled()), (1, 1));
    }
}
