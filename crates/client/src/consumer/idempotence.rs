//! [`Once`]: lets a handler have each message once, although the messages themselves may come more than once.

use std::collections::{HashMap, VecDeque};
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::handler::Retry;
use crate::message::MessageView;

/// When a message comes again whose twin is being handled.
const BUSY_PAUSE: Duration = Duration::from_secs(10);

/// An error of a [`KeyStore`].
pub type KeyStoreError = Box<dyn StdError + Send + Sync>;

/// What a [`KeyStore`] says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had it before; it is the caller's now.
    Mine,
    /// Somebody has it and is not done.
    Busy,
    /// What it stands for is done.
    Done,
}

/// Remembers which keys are done. [`RecentKeys`] does so in memory; a table with a unique key in the database that the
/// handler writes to does so for all members of the group, and for good.
pub trait KeyStore: Send + Sync + 'static {
    /// Takes a key if nobody has it.
    fn claim(&self, key: &str) -> impl Future<Output = Result<Claim, KeyStoreError>> + Send;

    /// What a claimed key stands for is done.
    fn done(&self, key: &str) -> impl Future<Output = Result<(), KeyStoreError>> + Send;

    /// What a claimed key stands for has failed; the key is nobody's again. Is not called when the process ends: a store
    /// that outlives it must let claims run out.
    fn release(&self, key: &str) -> impl Future<Output = Result<(), KeyStoreError>> + Send;
}

/// Remembers keys in memory, for a time and up to a number: messages that come twice to this process within that time
/// are found out.
pub struct RecentKeys {
    keys_max: usize,
    life: Duration,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    /// Key to whether it is done.
    known: HashMap<Arc<str>, bool>,
    /// Those that are done, oldest first.
    done: VecDeque<(Instant, Arc<str>)>,
}

impl RecentKeys {
    /// Remembers the last `keys_max` keys, each for `life`.
    pub fn new(keys_max: usize, life: Duration) -> RecentKeys {
        RecentKeys { keys_max, life, keys: Mutex::default() }
    }

    fn forget(&self, keys: &mut Keys) {
        let now = Instant::now();
        while let Some((since, _)) = keys.done.front() {
            if keys.done.len() <= self.keys_max && now.duration_since(*since) < self.life {
                return;
            }
            if let Some((_, key)) = keys.done.pop_front() {
                keys.known.remove(&key);
            }
        }
    }
}

impl KeyStore for RecentKeys {
    async fn claim(&self, key: &str) -> Result<Claim, KeyStoreError> {
        let mut keys = self.keys.lock();
        self.forget(&mut keys);
        Ok(match keys.known.get(key) {
            Some(true) => Claim::Done,
            Some(false) => Claim::Busy,
            None => {
                keys.known.insert(key.into(), false);
                Claim::Mine
            }
        })
    }

    async fn done(&self, key: &str) -> Result<(), KeyStoreError> {
        let mut keys = self.keys.lock();
        let key: Arc<str> = key.into();
        if keys.known.insert(key.clone(), true) != Some(true) {
            keys.done.push_back((Instant::now(), key));
        }
        self.forget(&mut keys);
        Ok(())
    }

    async fn release(&self, key: &str) -> Result<(), KeyStoreError> {
        self.keys.lock().known.remove(key);
        Ok(())
    }
}

/// Tells the key by which a message is known.
type KeyOf = Arc<dyn Fn(&MessageView) -> Option<String> + Send + Sync>;

/// Lets a handler have each message once, told apart by a key: RocketMQ delivers at least once, so a message can come
/// again after a crash, a rebalance, or a producer's second try.
///
/// A message whose key is done is passed over; one whose key is being handled comes again later. A failed handler gives
/// its key back. A message without a key is handled each time.
///
/// ```no_run
/// # async fn example() -> raptormq_client::Result<()> {
/// use std::time::Duration;
///
/// use raptormq_client::{Client, Once, RecentKeys};
///
/// let client = Client::connect("127.0.0.1:9876").await?;
/// let once = Once::by_key(RecentKeys::new(100_000, Duration::from_secs(3600)));
/// let consumer = client
///     .consumer("billing")
///     .subscribe("Orders", "*")
///     .start(once.wrap(|message| async move {
///         println!("charged for {:?}", message.keys().next());
///         Ok(())
///     }))
///     .await?;
/// # consumer.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Once<S = RecentKeys> {
    store: Arc<S>,
    key_of: KeyOf,
}

impl<S: KeyStore> Once<S> {
    /// Tells messages apart by the first of the keys that the producer set.
    pub fn by_key(store: S) -> Once<S> {
        Once::by(store, |message| message.keys().next().map(str::to_owned))
    }

    /// Tells messages apart by a key of the program's own. The id of a message is none: a producer that tries again
    /// keeps it, but one that is started again does not.
    pub fn by(store: S, key_of: impl Fn(&MessageView) -> Option<String> + Send + Sync + 'static) -> Once<S> {
        Once { store: Arc::new(store), key_of: Arc::new(key_of) }
    }

    /// The handler to start a consumer with.
    pub fn wrap<H, F>(
        self,
        handler: H,
    ) -> impl Fn(MessageView) -> Pin<Box<dyn Future<Output = Result<(), Retry>> + Send>> + Send + Sync + 'static
    where
        H: Fn(MessageView) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Retry>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        move |message| {
            let (store, handler, key) = (self.store.clone(), handler.clone(), (self.key_of)(&message));
            Box::pin(async move {
                match key {
                    Some(key) => handle_once(store, key, || handler(message)).await,
                    None => handler(message).await,
                }
            })
        }
    }
}

async fn handle_once<S, F>(store: Arc<S>, key: String, handle: impl FnOnce() -> F) -> Result<(), Retry>
where
    S: KeyStore,
    F: Future<Output = Result<(), Retry>> + Send + 'static,
{
    match store.claim(&key).await? {
        Claim::Done => return Ok(()),
        Claim::Busy => return Err(Retry::After(BUSY_PAUSE)),
        Claim::Mine => {}
    }
    let mut claimed = Claimed { store: Some(store), key };
    let outcome = handle().await;
    let Some(store) = claimed.store.take() else { return outcome };
    match outcome {
        Ok(()) => store.done(&claimed.key).await?,
        Err(_) => store.release(&claimed.key).await?,
    }
    outcome
}

/// Gives a claimed key back when its handler panics or is dropped.
struct Claimed<S: KeyStore> {
    store: Option<Arc<S>>,
    key: String,
}

impl<S: KeyStore> Drop for Claimed<S> {
    fn drop(&mut self) {
        let Some(store) = self.store.take() else { return };
        let key = std::mem::take(&mut self.key);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.release(&key).await {
                    tracing::warn!(key, %error, "the key of a message whose handler failed was not given back");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn run(
        store: &Arc<RecentKeys>,
        key: &str,
        outcome: Result<(), Retry>,
        runs: &AtomicUsize,
    ) -> Result<(), Retry> {
        let handle = || {
            runs.fetch_add(1, Ordering::Relaxed);
            std::future::ready(outcome)
        };
        handle_once(store.clone(), key.to_owned(), handle).await
    }

    #[tokio::test]
    async fn a_key_is_handled_until_it_succeeds_and_then_no_more_until_it_is_forgotten() {
        let (store, runs) = (Arc::new(RecentKeys::new(2, Duration::from_secs(60))), AtomicUsize::new(0));
        assert!(run(&store, "a", Err(Retry::Default), &runs).await.is_err());
        assert!(run(&store, "a", Ok(()), &runs).await.is_ok());
        assert!(run(&store, "a", Ok(()), &runs).await.is_ok());
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        for key in ["b", "c", "a"] {
            assert!(run(&store, key, Ok(()), &runs).await.is_ok());
        }
        assert_eq!(runs.load(Ordering::Relaxed), 5, "two keys are remembered, not three");
        let forgetful = Arc::new(RecentKeys::new(2, Duration::ZERO));
        for _ in 0..2 {
            assert!(run(&forgetful, "a", Ok(()), &runs).await.is_ok());
        }
        assert_eq!(runs.load(Ordering::Relaxed), 7, "a key is remembered for its time only");
    }

    #[tokio::test]
    async fn a_key_that_is_being_handled_is_left_alone_and_given_back_when_the_handler_is_dropped() {
        let store = Arc::new(RecentKeys::new(10, Duration::from_secs(60)));
        let waiting = tokio::spawn(handle_once(store.clone(), "a".to_owned(), std::future::pending));
        while store.claim("a").await.unwrap() != Claim::Busy {
            store.release("a").await.unwrap();
            tokio::task::yield_now().await;
        }
        let second = run(&store, "a", Ok(()), &AtomicUsize::new(0)).await;
        assert!(matches!(second, Err(Retry::After(_))));
        waiting.abort();
        while store.claim("a").await.unwrap() == Claim::Busy {
            tokio::task::yield_now().await;
        }
    }
}
