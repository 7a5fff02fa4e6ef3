//! Threads that read from the disk, so that no I/O thread waits for it.
//!
//! An I/O thread answers a pull from memory. When the messages are not there ([`raptormq_store::Store::get_cached`]) it
//! hands the pull over to the threads of [`Readers::pulls`]; so it does with messages given back and halves that end when
//! they are old. Queries, and what tools ask about queues of any age, go to threads at once. Each family has a pool, bounded
//! in threads, in what waits for them and in how long it does: who has waited too long is refused, and nothing was done.
//! Java: the executors in `broker/BrokerController.java`, `broker/latency/BrokerFastFailure.java`.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raptormq_config::BrokerConfig;
use raptormq_remoting::Responder;

use crate::broker::Broker;
use crate::dispatch::refuse_waiting;
use crate::failure::Failure;

/// A thread without work ends after that.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How often those are looked for that have waited too long while all threads are busy. Java: 10 ms.
pub(crate) const OVERDUE_INTERVAL: Duration = Duration::from_millis(100);

/// What a thread does, and then it answers.
type Work = Box<dyn FnOnce(&Broker, Responder) + Send>;

/// A request that waits for a thread.
struct Job {
    since: Instant,
    responder: Responder,
    work: Work,
}

/// For how many milliseconds a request may wait for a thread.
type WaitMax = fn(&BrokerConfig) -> u64;

/// The threads that read.
pub(crate) struct Readers {
    /// For pulls (`pullMessageThreadPoolNums`, `pullThreadPoolQueueCapacity`, `waitTimeMillsInPullQueue`).
    pub(crate) pulls: Pool,
    /// For pulls of lite consumers (`litePullMessageThreadPoolNums`, `litePullThreadPoolQueueCapacity`,
    /// `waitTimeMillsInLitePullQueue`).
    pub(crate) lite_pulls: Pool,
    /// For messages that are given back (`sendMessageThreadPoolNums`, `sendThreadPoolQueueCapacity`,
    /// `waitTimeMillsInSendQueue`).
    pub(crate) send_backs: Pool,
    /// For ends of transactions (`endTransactionThreadPoolNums`, `endTransactionPoolQueueCapacity`,
    /// `waitTimeMillsInTransactionQueue`).
    pub(crate) ends: Pool,
    /// For queries (`queryMessageThreadPoolNums`, `queryThreadPoolQueueCapacity`).
    pub(crate) queries: Pool,
    /// For what tools ask (`adminBrokerThreadPoolNums`, `adminBrokerThreadPoolQueueCapacity`,
    /// `waitTimeMillsInAdminBrokerQueue`).
    pub(crate) tools: Pool,
}

impl Readers {
    pub(crate) fn new(broker: &Weak<Broker>, config: &BrokerConfig) -> Readers {
        let pool = |name, threads_max: u32, waiting_max: u32, wait_max: Option<WaitMax>| {
            let (threads_max, waiting_max) = (threads_max.max(1) as usize, waiting_max as usize);
            let broker = broker.clone();
            Pool { shared: Arc::new(Shared { name, broker, threads_max, waiting_max, wait_max, ..Shared::default() }) }
        };
        Readers {
            pulls: pool(
                "broker-read",
                config.pull_message_thread_pool_nums,
                config.pull_thread_pool_queue_capacity,
                Some(|config| config.wait_time_mills_in_pull_queue),
            ),
            lite_pulls: pool(
                "broker-lite",
                config.lite_pull_message_thread_pool_nums,
                config.lite_pull_thread_pool_queue_capacity,
                Some(|config| config.wait_time_mills_in_lite_pull_queue),
            ),
            send_backs: pool(
                "broker-back",
                config.send_message_thread_pool_nums,
                config.send_thread_pool_queue_capacity,
                Some(|config| config.wait_time_mills_in_send_queue),
            ),
            ends: pool(
                "broker-end",
                config.end_transaction_thread_pool_nums,
                config.end_transaction_pool_queue_capacity,
                Some(|config| config.wait_time_mills_in_transaction_queue),
            ),
            queries: pool(
                "broker-query",
                config.query_message_thread_pool_nums,
                config.query_thread_pool_queue_capacity,
                None,
            ),
            tools: pool(
                "broker-tools",
                config.admin_broker_thread_pool_nums,
                config.admin_broker_thread_pool_queue_capacity,
                Some(|config| config.wait_time_mills_in_admin_broker_queue),
            ),
        }
    }

    fn all(&self) -> [&Pool; 6] {
        [&self.pulls, &self.lite_pulls, &self.send_backs, &self.ends, &self.queries, &self.tools]
    }

    /// Ends the threads as soon as each has done what it is doing. What waits is dropped.
    pub(crate) fn stop(&self) {
        self.all().into_iter().for_each(Pool::stop);
    }

    /// Refuses what has waited too long.
    pub(crate) fn refuse_overdue(&self, config: &BrokerConfig) {
        for pool in self.all() {
            pool.shared.refuse_overdue(config);
        }
    }
}

/// A bounded number of threads, started when there is work for them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    name: &'static str,
    broker: Weak<Broker>,
    threads_max: usize,
    waiting_max: usize,
    wait_max: Option<WaitMax>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    is_stopped: bool,
}

impl Pool {
    /// Does `work` on one of the threads. When too much waits already, the requester is told that the broker is busy.
    pub(crate) fn run(&self, responder: Responder, work: impl FnOnce(&Broker, Responder) + Send + 'static) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        let has_room = state.waiting.len() < shared.waiting_max.max(1) && !state.is_stopped;
        if state.idle <= state.waiting.len() && state.threads < shared.threads_max && has_room {
            // A thread that cannot be had is missed only when there is no other.
            state.threads += usize::from(start(shared));
        }
        if !has_room || state.threads == 0 {
            drop(state);
            return refuse_waiting(responder, &Failure::overload());
        }
        state.waiting.push_back(Job { since: Instant::now(), responder, work: Box::new(work) });
        drop(state);
        shared.wake.notify_one();
    }

    /// How many requests wait for a thread, and for how many milliseconds the first of them does.
    pub(crate) fn waiting(&self) -> (usize, u128) {
        let state = self.shared.state.lock();
        (state.waiting.len(), state.waiting.front().map_or(0, |job| job.since.elapsed().as_millis()))
    }

    fn stop(&self) {
        let mut state = self.shared.state.lock();
        state.is_stopped = true;
        let dropped = std::mem::take(&mut state.waiting);
        drop(state);
        self.shared.wake.notify_all();
        drop(dropped);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a thread; returns whether there is one.
fn start(shared: &Arc<Shared>) -> bool {
    let own = Arc::clone(shared);
    let started = std::thread::Builder::new().name(shared.name.to_owned()).spawn(move || own.work());
    if let Err(error) = &started {
        tracing::warn!(name = shared.name, %error, "a thread that reads cannot be started");
    }
    started.is_ok()
}

/// Refuses a request that has waited too long; nothing of it was done. `left` requests wait behind it.
fn refuse(job: Job, left: usize) {
    refuse_waiting(job.responder, &Failure::waited_too_long(job.since.elapsed(), left));
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            // The broker is gone when nobody uses it any more; then nobody waits for an answer.
            let Some(broker) = self.broker.upgrade() else { break };
            match self.wait_max(&broker.settings().broker).filter(|wait_max| job.since.elapsed() > *wait_max) {
                Some(_) => refuse(job, self.state.lock().waiting.len()),
                None => (job.work)(&broker, job.responder),
            }
        }
    }

    /// How long a request may wait, if there is a limit.
    fn wait_max(&self, config: &BrokerConfig) -> Option<Duration> {
        self.wait_max
            .filter(|_| config.broker_fast_failure_enable)
            .map(|wait_max| Duration::from_millis(wait_max(config)))
    }

    fn refuse_overdue(&self, config: &BrokerConfig) {
        let Some(wait_max) = self.wait_max(config) else { return };
        loop {
            let mut state = self.state.lock();
            let Some(job) = state.waiting.pop_front_if(|job| job.since.elapsed() > wait_max) else { return };
            let left = state.waiting.len();
            drop(state);
            refuse(job, left);
        }
    }

    /// The next job; `None` when the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.is_stopped {
                break;
            }
            state.idle += 1;
            let is_late = self.wake.wait_for(&mut state, IDLE_MAX).timed_out();
            state.idle -= 1;
            if is_late && state.waiting.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }
}
