//! The user's function, and what it says of its messages.

use std::any::Any;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;

use crate::error::Result;
use crate::message::MessageView;

/// The broker's delay levels, in seconds: the first is level 1 (Java: `messageDelayLevel`).
const DELAY_LEVELS_S: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// Lets the broker choose the delay by how often the message came.
const LEVEL_BY_BROKER: i32 = 0;
/// Makes the message a dead letter.
const LEVEL_DEAD: i32 = -1;
/// When a message comes again whose handler took too long (Java: `ProcessQueue.cleanExpiredMsg`).
const LEVEL_AFTER_TIMEOUT: i32 = 3;

/// Why a message is to be delivered again, returned by a handler. Any error becomes one with `?`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Retry {
    /// Later: 10 s after the first time, then longer each time, up to 2 hours. Ordered consumers wait for their
    /// suspend time instead.
    #[default]
    #[doc(alias = "RECONSUME_LATER")]
    #[doc(alias = "SUSPEND_CURRENT_QUEUE_A_MOMENT")]
    Default,
    /// After this time, or the next longer one of the broker's delay levels (1 s to 2 h); for ordered consumers, after
    /// this time, but at least 10 ms and at most 30 s.
    After(Duration),
    /// Not at all: the message goes to the group's dead letters.
    DeadLetter,
    /// Of a batch, the messages from this index on, as [`Retry::Default`]; those before it are done.
    #[doc(alias = "setAckIndex")]
    From(usize),
    /// As [`Retry::Default`], because of this error.
    Error(Box<dyn StdError + Send + Sync>),
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Retry {
    fn from(error: E) -> Retry {
        Retry::Error(error.into())
    }
}

impl Retry {
    /// How many messages of a batch are done.
    pub(super) fn done(&self) -> usize {
        match self {
            Retry::From(index) => *index,
            _ => 0,
        }
    }
}

/// How a handler ended when it did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It said so.
    Said(Retry),
    /// It panicked, with this text.
    Panicked(String),
    /// It took too long.
    TimedOut,
}

impl Failure {
    /// The delay level that a message is given back with.
    pub(super) fn delay_level(&self) -> i32 {
        match self {
            Failure::Said(Retry::Default | Retry::Error(_) | Retry::From(_)) | Failure::Panicked(_) => LEVEL_BY_BROKER,
            Failure::Said(Retry::DeadLetter) => LEVEL_DEAD,
            Failure::Said(Retry::After(delay)) => {
                let fits = DELAY_LEVELS_S.iter().position(|seconds| Duration::from_secs(*seconds) >= *delay);
                fits.unwrap_or(DELAY_LEVELS_S.len() - 1) as i32 + 1
            }
            Failure::TimedOut => LEVEL_AFTER_TIMEOUT,
        }
    }

    /// What a trace calls it: Java's `ConsumeReturnType`.
    pub(super) fn trace_code(&self) -> u8 {
        match self {
            Failure::TimedOut => 1,
            Failure::Panicked(_) => 2,
            Failure::Said(_) => 4,
        }
    }

    /// How many messages of the batch are done nevertheless.
    pub(super) fn done(&self) -> usize {
        match self {
            Failure::Said(retry) => retry.done(),
            _ => 0,
        }
    }
}

/// What a handler's future comes to.
type Handling = Pin<Box<dyn Future<Output = Result<(), Retry>> + Send>>;

/// The user's function.
pub(super) struct Handler {
    function: Box<dyn Fn(Vec<MessageView>) -> Handling + Send + Sync>,
}

impl Handler {
    /// A function of one message. It is called with batches of one.
    pub(super) fn each<H, F>(handler: H) -> Handler
    where
        H: Fn(MessageView) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Retry>> + Send + 'static,
    {
        let function = move |mut messages: Vec<MessageView>| -> Handling {
            match messages.pop() {
                Some(message) => Box::pin(handler(message)),
                None => Box::pin(std::future::ready(Ok(()))),
            }
        };
        Handler { function: Box::new(function) }
    }

    pub(super) fn batch<H, F>(handler: H) -> Handler
    where
        H: Fn(Vec<MessageView>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Retry>> + Send + 'static,
    {
        Handler { function: Box::new(move |messages| Box::pin(handler(messages))) }
    }

    /// Lets the function handle messages, for at most this time.
    pub(super) async fn run(&self, messages: Vec<MessageView>, timeout: Duration) -> Result<(), Failure> {
        // Calling the function may panic as well as polling what it returned.
        let handling = AssertUnwindSafe(async { (self.function)(messages).await });
        let mut handling = pin!(handling.catch_unwind());
        // One that is done at once needs no timer.
        let at_once = poll_fn(|context| Poll::Ready(handling.as_mut().poll(context))).await;
        let outcome = match at_once {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => tokio::time::timeout(timeout, handling).await,
        };
        match outcome {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(retry))) => Err(Failure::Said(retry)),
            Ok(Err(panic)) => Err(Failure::Panicked(panic_text(&*panic).to_owned())),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_becomes_the_level_that_is_not_shorter() {
        let level = |retry| Failure::Said(retry).delay_level();
        for (delay_ms, expected) in
            [(0, 1), (1000, 1), (1001, 2), (30_000, 4), (61_000, 6), (7_200_000, 18), (9_000_000, 18)]
        {
            assert_eq!(level(Retry::After(Duration::from_millis(delay_ms))), expected, "{delay_ms} ms");
        }
        assert_eq!((level(Retry::Default), level(Retry::DeadLetter), level(Retry::From(3))), (0, -1, 0));
    }

    #[test]
    fn any_error_is_a_reason() {
        let failing = || -> Result<(), Retry> {
            "no number".parse::<i32>()?;
            Ok(())
        };
        assert!(matches!(failing(), Err(Retry::Error(_))));
        assert!(matches!(Retry::from("text"), Retry::Error(_)));
    }

    #[tokio::test]
    async fn a_handler_that_panics_or_waits_too_long_has_failed() {
        let limit = Duration::from_millis(20);
        let panicking = Handler::batch(|_| async { panic!("as asked") });
        assert!(matches!(panicking.run(Vec::new(), limit).await, Err(Failure::Panicked(text)) if text == "as asked"));
        let waiting = Handler::batch(|_| std::future::pending());
        assert!(matches!(waiting.run(Vec::new(), limit).await, Err(Failure::TimedOut)));
        let fine = Handler::batch(|_| async { Ok(()) });
        assert!(fine.run(Vec::new(), limit).await.is_ok());
    }
}
