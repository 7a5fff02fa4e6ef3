//! The producers: in a closed loop, or at a rate.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raptormq_client::{Ack, Client, Producer, Result, SendReceipt};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::{Options, Plan, Tally};
use crate::tool;

/// Pause of a producer after a message failed, so that a cluster that is down is not asked as fast as it answers.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);
/// Messages that are due and not sent, of one producer at a rate.
const DUE_MAX: usize = 1 << 16;

/// The moments at which a producer's messages are due; none of a producer in a closed loop.
type Due = Option<mpsc::Receiver<Instant>>;

/// Starts the threads, with the producers dealt out among them.
pub(super) fn start(
    plan: &Arc<Plan>,
    options: &Options,
    threads: usize,
) -> anyhow::Result<Vec<JoinHandle<anyhow::Result<Tally>>>> {
    let mut dues: Vec<Due> = (0..options.producers).map(|_| None).collect();
    if let Some(rate) = options.rate {
        let (senders, receivers): (Vec<_>, Vec<_>) = dues.iter().map(|_| mpsc::channel(DUE_MAX)).unzip();
        dues = receivers.into_iter().map(Some).collect();
        let plan = plan.clone();
        std::thread::Builder::new().name("bench-pacer".into()).spawn(move || pace(&plan, rate, &senders))?;
    }
    let mut shares: Vec<Vec<Due>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, due) in dues.into_iter().enumerate() {
        shares[number % threads].push(due);
    }
    let start = |(thread, share): (usize, Vec<Due>)| {
        let plan = plan.clone();
        let work = move || work(&plan, share);
        Ok(std::thread::Builder::new().name(format!("bench-{thread}")).spawn(work)?)
    };
    shares.into_iter().enumerate().map(start).collect()
}

/// Tells the producers in turn when their messages are due. One that is behind holds up the others, whose messages are
/// late then, too, and count as that.
fn pace(plan: &Plan, rate: u32, producers: &[mpsc::Sender<Instant>]) {
    plan.begin();
    let (_, until) = plan.window();
    for number in 0_u64.. {
        let due = plan.begun() + Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(rate));
        if due >= until {
            return;
        }
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        if producers[number as usize % producers.len()].blocking_send(due).is_err() {
            return;
        }
    }
}

/// One thread: its producers, all in one runtime.
fn work(plan: &Arc<Plan>, dues: Vec<Due>) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = runtime.block_on(start_producers(plan, dues.len()));
    // Also when this thread has nothing to do: the others wait for it.
    plan.begin();
    let clients = started?;
    let tally = Rc::new(RefCell::new(Tally::new()?));
    LocalSet::new().block_on(&runtime, async {
        let begin = |((_, producer), due): (&(Client, Producer), Due)| {
            let one = One { plan: plan.clone(), producer: producer.clone(), tally: tally.clone() };
            tokio::task::spawn_local(async move {
                match due {
                    None => one.produce().await,
                    Some(due) => one.produce_at_rate(due).await,
                }
            })
        };
        let sending: Vec<_> = clients.iter().zip(dues).map(begin).collect();
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
        let client = tool::connect(&plan.namesrv).await?;
        let producer = client.producer("raptormq_bench").accept_weak_ack().compress_from(usize::MAX);
        started.push((client, producer.max_in_flight(plan.depth, usize::MAX).start().await?));
    }
    Ok(started)
}

/// One producer.
struct One {
    plan: Arc<Plan>,
    producer: Producer,
    tally: Rc<RefCell<Tally>>,
}

impl One {
    /// Keeps messages on their way until the time is up.
    async fn produce(self) {
        let (_, until) = self.plan.window();
        let mut on_the_way: VecDeque<(Instant, Ack)> = VecDeque::with_capacity(self.plan.depth);
        while Instant::now() < until {
            while on_the_way.len() < self.plan.depth {
                match self.hand_over(Instant::now()).await {
                    Some(sent) => on_the_way.push_back(sent),
                    None => break,
                }
            }
            // One connection's acknowledgements come in the order of its messages.
            let Some((since, ack)) = on_the_way.pop_front() else { continue };
            self.take(since, ack.await);
        }
        self.wait_for(on_the_way).await;
    }

    /// Sends when messages are due, as far as there is room on the way, until the time is up.
    async fn produce_at_rate(self, mut due: mpsc::Receiver<Instant>) {
        let (from, until) = self.plan.window();
        let mut on_the_way: VecDeque<(Instant, Ack)> = VecDeque::with_capacity(self.plan.depth);
        while Instant::now() < until {
            let has_room = on_the_way.len() < self.plan.depth;
            let first_ack = async {
                match on_the_way.front_mut() {
                    Some((since, ack)) => (*since, ack.await),
                    None => std::future::pending().await,
                }
            };
            let since = tokio::select! {
                biased;
                (since, outcome) = first_ack => {
                    on_the_way.pop_front();
                    self.take(since, outcome);
                    continue;
                }
                since = due.recv(), if has_room => since,
            };
            // The pacer has told them all.
            let Some(since) = since else { break };
            on_the_way.extend(self.hand_over(since).await);
        }
        while let Ok(since) = due.try_recv() {
            self.tally.borrow_mut().unsent += u64::from(since >= from);
        }
        self.wait_for(on_the_way).await;
    }

    /// Hands a message over whose time counts from this moment.
    async fn hand_over(&self, since: Instant) -> Option<(Instant, Ack)> {
        match self.producer.enqueue(self.plan.message(since)).await {
            Ok(ack) => Some((since, ack)),
            Err(error) => {
                self.tally.borrow_mut().fail(&error);
                tokio::time::sleep(FAILURE_PAUSE).await;
                None
            }
        }
    }

    /// Counts what became of a message.
    fn take(&self, since: Instant, outcome: Result<SendReceipt>) {
        let now = Instant::now();
        let (from, until) = self.plan.window();
        match outcome {
            Ok(_) => {
                self.plan.acknowledged.fetch_add(1, Ordering::Relaxed);
                if since >= from && now <= until {
                    self.tally.borrow_mut().latencies.saturating_record((now - since).as_nanos() as u64);
                }
            }
            Err(error) => self.tally.borrow_mut().fail(&error),
        }
    }

    /// Waits for what is on its way when the time is up.
    async fn wait_for(&self, on_the_way: VecDeque<(Instant, Ack)>) {
        for (since, ack) in on_the_way {
            self.take(since, ack.await);
        }
    }
}
