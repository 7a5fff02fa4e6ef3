//! Threads that read from the disk, so that no I/O thread waits for it.
//!
//! An I/O thread answers a pull from memory. When the messages are not there ([`raptormq_store::Store::get_cached`]) it
//! hands the pull over to the threads of [`Readers::pulls`]; queries, which look into index files and queues of any age,
//! go to those of [`Readers::queries`] at once. Both are bounded in threads and in what waits for them. Java: the
//! executors of `PullMessageProcessor` and `QueryMessageProcessor` in `broker/BrokerController.java`.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use raptormq_config::BrokerConfig;
use raptormq_remoting::Responder;

use crate::broker::Broker;
use crate::dispatch::refuse_waiting;
use crate::failure::Failure;

/// A thread without work ends after that.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What a thread does.
type Job = Box<dyn FnOnce(&Broker) + Send>;

/// The threads that read.
pub(crate) struct Readers {
    /// For pulls (`pullMessageThreadPoolNums`, `pullThreadPoolQueueCapacity`).
    pub(crate) pulls: Pool,
    /// For queries (`queryMessageThreadPoolNums`, `queryThreadPoolQueueCapacity`).
    pub(crate) queries: Pool,
}

impl Readers {
    pub(crate) fn new(broker: &Weak<Broker>, config: &BrokerConfig) -> Readers {
        let pool = |name, threads_max: u32, waiting_max: u32| {
            let (threads_max, waiting_max) = (threads_max.max(1) as usize, waiting_max as usize);
            Pool {
                shared: Arc::new(Shared {
                    name,
                    broker: broker.clone(),
                    threads_max,
                    waiting_max,
                    ..Shared::default()
                }),
            }
        };
        let capacity = config.pull_thread_pool_queue_capacity;
        Readers {
            pulls: pool("broker-read", config.pull_message_thread_pool_nums, capacity),
            queries: pool(
                "broker-query",
                config.query_message_thread_pool_nums,
                config.query_thread_pool_queue_capacity,
            ),
        }
    }

    /// Ends the threads as soon as each has done what it is doing. What waits is dropped.
    pub(crate) fn stop(&self) {
        self.pulls.stop();
        self.queries.stop();
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
        state.waiting.push_back(Box::new(move |broker| work(broker, responder)));
        drop(state);
        shared.wake.notify_one();
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

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            // The broker is gone when nobody uses it any more; then nobody waits for an answer.
            let Some(broker) = self.broker.upgrade() else { break };
            job(&broker);
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
