//! Running the handler, and giving back what it could not do.

use std::any::Any;
use std::error::Error as StdError;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use raptormq_protocol::header::ConsumerSendMsgBackRequestHeader;
use raptormq_protocol::message::properties::name;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::process_queue::{ProcessQueue, Ticket};
use super::{Shared, calls};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::MessageView;

/// When a message that could not be given back is handled again here (Java: `submitConsumeRequestLater`).
const LOCAL_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The broker's delay levels, in seconds: the first is level 1 (Java: `messageDelayLevel`).
const DELAY_LEVELS_S: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// Lets the broker choose the delay by how often the message came.
const LEVEL_BY_BROKER: i32 = 0;
/// Makes the message a dead letter.
const LEVEL_DEAD: i32 = -1;

/// Why a message is to be delivered again, returned by a handler. Any error becomes one with `?`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Retry {
    /// Later: 10 s after the first time, then longer each time, up to 2 hours.
    #[default]
    Default,
    /// After this time, or the next longer one of the broker's delay levels (1 s to 2 h).
    After(Duration),
    /// Not at all: the message goes to the group's dead letters.
    DeadLetter,
    /// As [`Retry::Default`], because of this error.
    Error(Box<dyn StdError + Send + Sync>),
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Retry {
    fn from(error: E) -> Retry {
        Retry::Error(error.into())
    }
}

impl Retry {
    fn delay_level(&self) -> i32 {
        match self {
            Retry::Default | Retry::Error(_) => LEVEL_BY_BROKER,
            Retry::DeadLetter => LEVEL_DEAD,
            Retry::After(delay) => {
                let fits = DELAY_LEVELS_S.iter().position(|seconds| Duration::from_secs(*seconds) >= *delay);
                fits.unwrap_or(DELAY_LEVELS_S.len() - 1) as i32 + 1
            }
        }
    }
}

/// A message to be handled.
pub(super) struct Work {
    pub(super) queue: Arc<ProcessQueue>,
    pub(super) ticket: Ticket,
    pub(super) message: MessageView,
}

/// Starts a handler for each message, as many at once as allowed, until the consumer stops.
pub(super) async fn dispatch(shared: Arc<Shared>, mut to_do: mpsc::UnboundedReceiver<Work>) {
    let next = async {
        while let Some(work) = to_do.recv().await {
            if !work.queue.is_wanted(work.ticket) {
                continue;
            }
            let Ok(permit) = shared.permits.clone().acquire_owned().await else { return };
            tokio::spawn(handle(shared.clone(), work, permit));
        }
    };
    tokio::select! {
        biased;
        () = shared.stopped() => {}
        () = next => {}
    }
}

/// Handles one message to its end.
async fn handle(shared: Arc<Shared>, mut work: Work, permit: OwnedSemaphorePermit) {
    let ext = work.message.ext_mut();
    if let Some(topic) = ext.property(name::RETRY_TOPIC).map(str::to_owned) {
        // The user knows the topic the message was sent to, not the one it waited in.
        ext.topic = topic;
    }
    ext.set_property(name::CONSUME_START_TIME, clock::now_ms().to_string());
    // Calling the handler may panic as well as polling what it returned.
    let message = work.message.clone();
    let handling = AssertUnwindSafe(async { (shared.handler)(message).await });
    let outcome = handling.catch_unwind().await;
    let retry = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(retry)) => Some(retry),
        Err(panic) => Some(Retry::Error(format!("the handler panicked: {}", panic_text(&*panic)).into())),
    };
    match retry {
        None => work.queue.finish(work.ticket),
        // Whoever has the queue now gets the message again in any case.
        Some(_) if !work.queue.is_wanted(work.ticket) => {}
        Some(retry) => give_back(&shared, work, retry, permit).await,
    }
}

/// Gives a message back to its broker, to be delivered again; if that fails, it is handled again here.
async fn give_back(shared: &Arc<Shared>, work: Work, retry: Retry, permit: OwnedSemaphorePermit) {
    let id = work.message.message_id();
    let group = &shared.settings.group;
    if shared.settings.broadcast {
        tracing::warn!(group, id, ?retry, "a handler failed; the message is passed over, the group is broadcasting");
        return work.queue.finish(work.ticket);
    }
    tracing::warn!(group, id, ?retry, "a handler failed; the message will be delivered again");
    match shared.send_back(&work, retry.delay_level()).await {
        Ok(()) => work.queue.finish(work.ticket),
        Err(error) => {
            tracing::warn!(group, id, %error, "a message was not taken back; it is handled again here in 5 s");
            drop(permit);
            handle_again(shared.clone(), work);
        }
    }
}

/// Puts a message behind the others in a while.
fn handle_again(shared: Arc<Shared>, mut work: Work) {
    tokio::spawn(async move {
        tokio::select! {
            () = shared.stopped() => return,
            () = work.queue.dropped() => return,
            () = tokio::time::sleep(LOCAL_RETRY_PAUSE) => {}
        }
        work.message.ext_mut().reconsume_times += 1;
        // Nobody listens any more only when the consumer has stopped; the message is unfinished and comes again.
        let _ = shared.work.send(work);
    });
}

impl Shared {
    async fn send_back(&self, work: &Work, delay_level: i32) -> Result<()> {
        let (message, queue) = (work.message.ext(), &work.queue.queue);
        let nowhere = || Error::new(ErrorKind::NoRoute, format!("{} has no master now", queue.broker_name));
        let route = self.client.known_route(&queue.topic).ok_or_else(nowhere)?;
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.commit_log_offset,
            group: &self.settings.group,
            delay_level,
            origin_msg_id: Some(&message.msg_id),
            origin_topic: Some(&message.topic),
            unit_mode: false,
            max_reconsume_times: Some(self.settings.deliveries_max),
        };
        calls::send_back(&self.client, route.master(&queue.broker_name).ok_or_else(nowhere)?, &header).await
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
        for (delay_ms, level) in
            [(0, 1), (1000, 1), (1001, 2), (30_000, 4), (61_000, 6), (7_200_000, 18), (9_000_000, 18)]
        {
            assert_eq!(Retry::After(Duration::from_millis(delay_ms)).delay_level(), level, "{delay_ms} ms");
        }
        assert_eq!((Retry::Default.delay_level(), Retry::DeadLetter.delay_level()), (0, -1));
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
}
