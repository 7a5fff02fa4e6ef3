//! The consumers: members of one group, in threads of their own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Consumer, MessageView};
use tokio::sync::watch;

use super::{Plan, histogram};
use crate::tool;

/// How long the members may take to share the queues: a Java broker needs 20 to 40 s to let a new group in.
const SHARING_PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may come before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked whether it is so.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the members have measured together.
pub(super) struct EndToEnd {
    /// Nanoseconds from when a message was sent, or due, until its handler had it.
    pub(super) latencies: Histogram<u64>,
    /// Messages of this run that came.
    pub(super) received: u64,
}

/// Consumers at work, dealt out over threads.
pub(super) struct Consuming {
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
    seen: Vec<Arc<Seen>>,
    /// Becomes true when nothing more is to come.
    done: watch::Sender<bool>,
}

/// What one member has measured.
struct Seen {
    latencies: Mutex<Histogram<u64>>,
    received: AtomicU64,
}

/// What the threads tell each other: the queues of the topic that each of them has.
type Shares = Arc<[AtomicUsize]>;

impl Consuming {
    /// Starts so many, and waits until they share all queues of the topic.
    pub(super) fn start(plan: &Arc<Plan>, consumers: usize, threads: usize) -> anyhow::Result<Consuming> {
        let threads = threads.min(consumers);
        let one = || anyhow::Ok(Arc::new(Seen { latencies: Mutex::new(histogram()?), received: AtomicU64::new(0) }));
        let seen: Vec<Arc<Seen>> = (0..consumers).map(|_| one()).collect::<anyhow::Result<_>>()?;
        let shares: Shares = (0..threads).map(|_| AtomicUsize::new(0)).collect();
        let (done, _) = watch::channel(false);
        let (ready, readiness) = mpsc::channel();
        let start = |thread: usize| {
            let mine: Vec<Arc<Seen>> = seen.iter().skip(thread).step_by(threads).cloned().collect();
            let (plan, shares, ready, done) = (plan.clone(), shares.clone(), ready.clone(), done.subscribe());
            let work = move || work(&plan, mine, (&shares, thread), (ready, done));
            anyhow::Ok(std::thread::Builder::new().name(format!("bench-c-{thread}")).spawn(work)?)
        };
        let handles = (0..threads).map(start).collect::<anyhow::Result<_>>()?;
        drop(ready);
        let consuming = Consuming { threads: handles, seen, done };
        match readiness.iter().take(threads).all(|is_ready| is_ready) {
            true => Ok(consuming),
            // The one that is not says why at its end.
            false => Err(consuming.end().err().unwrap_or_else(|| anyhow::anyhow!("the consumers did not start"))),
        }
    }

    fn received(&self) -> u64 {
        self.seen.iter().map(|one| one.received.load(Ordering::Relaxed)).sum()
    }

    /// Waits for what was sent and did not come yet, and ends the members.
    pub(super) fn finish(self, plan: &Plan) -> anyhow::Result<EndToEnd> {
        let (mut last, mut since) = (self.received(), Instant::now());
        while last < plan.acknowledged.load(Ordering::Relaxed) && since.elapsed() < PATIENCE {
            std::thread::sleep(LOOK_AGAIN);
            if self.received() > last {
                (last, since) = (self.received(), Instant::now());
            }
        }
        let seen = self.end()?;
        let mut all = EndToEnd { latencies: histogram()?, received: 0 };
        for one in seen {
            all.latencies.add(&*one.latencies.lock())?;
            all.received += one.received.load(Ordering::Relaxed);
        }
        Ok(all)
    }

    /// Lets the threads end.
    fn end(self) -> anyhow::Result<Vec<Arc<Seen>>> {
        self.done.send_replace(true);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the benchmark panicked"))??;
        }
        Ok(self.seen)
    }
}

/// One thread: its members, all in one runtime, until `done`.
fn work(
    plan: &Arc<Plan>,
    seen: Vec<Arc<Seen>>,
    (shares, thread): (&Shares, usize),
    (ready, mut done): (mpsc::Sender<bool>, watch::Receiver<bool>),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let started = async {
            let mut members = Vec::with_capacity(seen.len());
            for one in seen {
                members.push(start_one(plan, one).await?);
            }
            wait_for_shares(plan, &members, (shares, thread), &done).await?;
            anyhow::Ok(members)
        };
        let started = started.await;
        // Nobody listens any more only when another thread could not start.
        let _ = ready.send(started.is_ok());
        let members = started?;
        // Ends with the sender, too.
        let _ = done.wait_for(|done| *done).await;
        for (client, consumer) in &members {
            consumer.shutdown().await;
            client.shutdown().await;
        }
        Ok(())
    })
}

/// A member. Where nothing is sent it begins at the first message of the topic.
async fn start_one(plan: &Arc<Plan>, seen: Arc<Seen>) -> anyhow::Result<(Client, Consumer)> {
    let client = tool::connect(&plan.namesrv).await?;
    let from = if plan.is_stamped { ConsumeFrom::Last } else { ConsumeFrom::First };
    let counted = plan.clone();
    let handle = move |message: MessageView| {
        counted.consumed.fetch_add(1, Ordering::Relaxed);
        if counted.is_stamped {
            seen.count(&counted, message.body());
        }
        async { Ok(()) }
    };
    let group = format!("raptormq_bench_{}", plan.run);
    let consumer = client.consumer(group).subscribe(&plan.topic, "*").from(from).start(handle).await?;
    Ok((client, consumer))
}

impl Seen {
    /// Counts a message, if it is one of this run.
    fn count(&self, plan: &Plan, body: &[u8]) {
        let Some(sent) = plan.sent_at(body) else { return };
        self.received.fetch_add(1, Ordering::Relaxed);
        let (from, until) = plan.window();
        if (from..=until).contains(&sent) {
            self.latencies.lock().saturating_record(sent.elapsed().as_nanos() as u64);
        }
    }
}

/// Waits until each queue of the topic is some member's, of this thread or another.
async fn wait_for_shares(
    plan: &Plan,
    members: &[(Client, Consumer)],
    (shares, thread): (&Shares, usize),
    done: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let Some((client, _)) = members.first() else { return Ok(()) };
    let all = client.admin().subscribe_queues(&plan.topic).await?.len();
    let began = Instant::now();
    loop {
        let queues = members.iter().flat_map(|(_, consumer)| consumer.queues());
        shares[thread].store(queues.filter(|queue| queue.topic == plan.topic).count(), Ordering::Relaxed);
        let held: usize = shares.iter().map(|share| share.load(Ordering::Relaxed)).sum();
        if held == all || *done.borrow() {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < SHARING_PATIENCE, "the consumers have {held} of the {all} queues only");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
