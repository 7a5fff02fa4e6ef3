//! Calls that wait for their answers: who is told, and until when.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::command::Command;
use raptormq_protocol::header::Header;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::{CallError, Connection, Response};

/// A request, and who takes its answer: see [`Client::begin_inquiry`](crate::Client::begin_inquiry).
pub trait Inquiry: Send + Sized + 'static {
    /// What is asked for.
    fn code(&self) -> RequestCode;

    /// The header. Runs under the connection's lock, as what it returns is written there.
    fn header(&self) -> impl Header<'_>;

    /// What follows the header.
    fn body(&self) -> &Bytes;

    /// Takes the answer where it was read, before anything else is read from its connection: must not block, nor panic,
    /// which would end the connection.
    fn answered(self: Box<Self>, answer: Result<&Command<'_>, Unanswered>);
}

/// Why a request that was sent has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Its time is up.
    Timeout,
    /// The connection has ended, for this reason.
    Lost(String),
}

impl Unanswered {
    /// As the error of a call to `address` that might take `timeout`.
    pub fn explain(self, address: impl Into<String>, code: RequestCode, timeout: Duration) -> CallError {
        let address = address.into();
        match self {
            Unanswered::Timeout => CallError::Timeout { address, code, timeout, sent: true },
            Unanswered::Lost(reason) => CallError::Lost { address, code, reason, sent: true },
        }
    }
}

/// Who takes an answer.
pub(crate) enum Taker {
    /// Somebody who waits for a future, and needs a copy of it.
    Pending(oneshot::Sender<Result<Response, Unanswered>>),
    /// Somebody who takes it where it is.
    InPlace(Box<dyn InPlace>),
}

/// An [`Inquiry`] that is sent.
pub(crate) trait InPlace: Send {
    fn take(self: Box<Self>, answer: Result<&Command<'_>, Unanswered>);
}

impl<T: Inquiry> InPlace for T {
    fn take(self: Box<Self>, answer: Result<&Command<'_>, Unanswered>) {
        self.answered(answer);
    }
}

/// A call that waits for its answer.
pub(crate) struct Waiter {
    pub(crate) deadline: Instant,
    pub(crate) taker: Taker,
}

impl Waiter {
    /// Hands the answer over. Not under a connection's lock: who takes it may use the connection.
    pub(crate) fn tell(self, answer: Result<&Command<'_>, Unanswered>) {
        match self.taker {
            // A caller that no longer waits is nobody to tell.
            Taker::Pending(sender) => drop(sender.send(answer.map(Response::of))),
            Taker::InPlace(inquiry) => inquiry.take(answer),
        }
    }
}

/// The calls of one connection.
#[derive(Default)]
pub(crate) struct Calls {
    waiters: HashMap<i32, Waiter, BuildHasherDefault<OpaqueHasher>>,
    /// The earliest deadline among `waiters`, or earlier.
    next_deadline: Option<Instant>,
    next_opaque: i32,
}

impl Calls {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// When the first of them is late, or earlier.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    /// A number for the next request. Numbers come round after 2³² requests; one that still waits is passed over.
    pub(crate) fn free_opaque(&mut self) -> i32 {
        loop {
            let opaque = self.next_opaque;
            self.next_opaque = opaque.wrapping_add(1);
            if !self.waiters.contains_key(&opaque) {
                return opaque;
            }
        }
    }

    /// Lets somebody wait for the answer with that number.
    pub(crate) fn insert(&mut self, opaque: i32, waiter: Waiter) {
        if self.next_deadline.is_none_or(|next| waiter.deadline < next) {
            self.next_deadline = Some(waiter.deadline);
        }
        self.waiters.insert(opaque, waiter);
    }

    /// Who waits for the answer with that number.
    pub(crate) fn remove(&mut self, opaque: i32) -> Option<Waiter> {
        self.waiters.remove(&opaque)
    }

    /// Those whose time is up.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<Waiter> {
        if self.next_deadline.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut next: Option<Instant> = None;
        let late = self.waiters.extract_if(|_, waiter| {
            let late = waiter.deadline <= now;
            if !late && next.is_none_or(|next| waiter.deadline < next) {
                next = Some(waiter.deadline);
            }
            late
        });
        let late = late.map(|(_, waiter)| waiter).collect();
        self.next_deadline = next;
        late
    }

    /// All of them.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        std::mem::take(&mut self.waiters).into_values()
    }
}

/// Spreads numbers that this side has given out one after another; nobody else chooses them.
#[derive(Default)]
struct OpaqueHasher(u64);

impl Hasher for OpaqueHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i32((*byte).into());
        }
    }

    fn write_i32(&mut self, number: i32) {
        /// 2⁶⁴ divided by the golden ratio: neighbours end far from each other, in the upper bits and in the lower.
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        self.0 = (self.0 ^ u64::from(number as u32)).wrapping_mul(SPREAD);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A call that was sent. Dropping it forgets the call.
pub(crate) struct Pending {
    connection: Connection,
    opaque: i32,
    receiver: oneshot::Receiver<Result<Response, Unanswered>>,
}

impl Pending {
    pub(crate) fn new(
        connection: Connection,
        opaque: i32,
        receiver: oneshot::Receiver<Result<Response, Unanswered>>,
    ) -> Pending {
        Pending { connection, opaque, receiver }
    }
}

impl Future for Pending {
    type Output = Result<Response, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is dropped unused only with the connection's last owner.
        let lost = |_| Unanswered::Lost("its owner is gone".to_owned());
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.map_err(lost).flatten())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.receiver.is_terminated() {
            self.connection.forget_call(self.opaque);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(deadline: Instant) -> Waiter {
        Waiter { deadline, taker: Taker::Pending(oneshot::channel().0) }
    }

    #[test]
    fn numbers_in_use_are_passed_over_and_late_calls_found() {
        let now = Instant::now();
        let mut calls = Calls { next_opaque: -1, ..Calls::default() };
        calls.insert(0, waiter(now + Duration::from_secs(2)));
        assert_eq!([calls.free_opaque(), calls.free_opaque()], [-1, 1]);
        calls.insert(-1, waiter(now + Duration::from_secs(1)));
        assert_eq!(calls.late(now).len(), 0);
        assert_eq!(calls.late(now + Duration::from_secs(1)).len(), 1);
        assert_eq!((calls.len(), calls.next_deadline()), (1, Some(now + Duration::from_secs(2))));
        assert!(calls.remove(-1).is_none() && calls.remove(0).is_some());
        assert_eq!(calls.take_all().count(), 0);
    }

    #[test]
    fn neighbouring_numbers_lie_apart() {
        let hash = |number: i32| {
            let mut hasher = OpaqueHasher::default();
            hasher.write_i32(number);
            hasher.finish()
        };
        for shift in [0, 57] {
            let parts: std::collections::HashSet<u64> = (-64..64).map(|number| hash(number) >> shift & 0x7F).collect();
            assert!(parts.len() > 64, "{} of 128 at bit {shift}", parts.len());
        }
    }
}
