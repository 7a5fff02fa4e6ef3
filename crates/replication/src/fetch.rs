//! The thread that reads old parts of the log from the disk, so that no other slave waits for it.

use std::io;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use raptormq_store::ReadError;
use tokio::sync::oneshot;

use crate::Host;

/// A part of the log that somebody waits for.
struct Job {
    log_offset: i64,
    len: usize,
    done: oneshot::Sender<Result<(), ReadError>>,
}

/// One thread, started when something is read for the first time; it ends when this is dropped. What waits is bounded by
/// the connections, each of which waits for one part.
pub(crate) struct Fetcher<H> {
    pub(crate) host: Arc<H>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

impl<H: Host> Fetcher<H> {
    pub(crate) fn new(host: Arc<H>) -> Fetcher<H> {
        Fetcher { host, jobs: Mutex::new(None) }
    }

    /// Brings a part of the log into memory.
    pub(crate) async fn fetch(&self, log_offset: i64, len: usize) -> Result<(), ReadError> {
        let (done, waiting) = oneshot::channel();
        self.order(Job { log_offset, len, done })?;
        waiting.await.map_err(|_| io::Error::other("the thread that reads the log has ended"))?
    }

    fn order(&self, job: Job) -> io::Result<()> {
        let mut jobs = self.jobs.lock();
        let sender = match &*jobs {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = mpsc::channel();
                let host = Arc::clone(&self.host);
                std::thread::Builder::new().name("broker-ha-read".to_owned()).spawn(move || work(&*host, &receiver))?;
                jobs.insert(sender)
            }
        };
        sender.send(job).map_err(io::Error::other)
    }
}

fn work<H: Host>(host: &H, jobs: &mpsc::Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        // Whose connection has ended does not listen any more.
        let _ = job.done.send(host.store().fetch_log(job.log_offset, job.len));
    }
}
