//! A watermark: an offset on the log that only grows, and those who wait until it reaches theirs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// An offset that only grows. Waiters are ordered by the offset they wait for, so an advance touches only those it
/// releases, and wakes them after its lock is let go.
#[derive(Debug, Default)]
pub struct Watermark {
    value: AtomicI64,
    stopped: AtomicBool,
    /// How many wait: an advance that finds 0 takes no lock.
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

/// Bounded by whoever waits: one entry for each reply that is held back.
#[derive(Debug, Default)]
struct Waiters {
    by_offset: BTreeMap<(i64, u64), Waker>,
    next_number: u64,
}

/// The watermark will not move any more: the store closed, or its disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not go on")]
pub struct Stopped;

impl Watermark {
    /// A watermark at `value`.
    pub fn new(value: i64) -> Watermark {
        Watermark { value: AtomicI64::new(value), ..Watermark::default() }
    }

    /// Where it stands.
    pub fn value(&self) -> i64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves it to `value` unless it is there or beyond, and wakes who waited for it.
    pub fn advance(&self, value: i64) {
        if self.value.fetch_max(value, Ordering::SeqCst) < value && self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_up_to(value);
        }
    }

    /// Ends all waiting: who waits for more than the present value gets [`Stopped`], now and from now on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake_up_to(i64::MAX);
    }

    /// Waits until the watermark is at `offset` or beyond.
    pub fn reached(&self, offset: i64) -> Reached<'_> {
        Reached { watermark: self, offset, number: None }
    }

    fn wake_up_to(&self, value: i64) {
        let released = {
            let mut waiters = self.waiters.lock();
            let later = value.checked_add(1).map(|next| waiters.by_offset.split_off(&(next, 0))).unwrap_or_default();
            let released = std::mem::replace(&mut waiters.by_offset, later);
            self.waiting.store(waiters.by_offset.len(), Ordering::SeqCst);
            released
        };
        released.into_values().for_each(Waker::wake);
    }

    fn poll_reached(&self, offset: i64, number: &mut Option<u64>, context: &Context<'_>) -> Poll<Result<(), Stopped>> {
        let now = || match self.value() >= offset {
            true => Some(Ok(())),
            false => self.stopped.load(Ordering::SeqCst).then_some(Err(Stopped)),
        };
        if let Some(result) = now() {
            return Poll::Ready(result);
        }
        let mut waiters = self.waiters.lock();
        let number = *number.get_or_insert_with(|| {
            waiters.next_number += 1;
            waiters.next_number
        });
        waiters.by_offset.insert((offset, number), context.waker().clone());
        self.waiting.store(waiters.by_offset.len(), Ordering::SeqCst);
        // An advance that ran before `waiting` was set did not see us; one that runs after it waits for the lock.
        match now() {
            Some(result) => {
                waiters.by_offset.remove(&(offset, number));
                self.waiting.store(waiters.by_offset.len(), Ordering::SeqCst);
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

/// Resolves when the watermark has reached an offset: see [`Watermark::reached`].
#[derive(Debug)]
pub struct Reached<'a> {
    watermark: &'a Watermark,
    offset: i64,
    number: Option<u64>,
}

impl Future for Reached<'_> {
    type Output = Result<(), Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let this = &mut *self;
        this.watermark.poll_reached(this.offset, &mut this.number, context)
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut waiters = self.watermark.waiters.lock();
            if waiters.by_offset.remove(&(self.offset, number)).is_some() {
                self.watermark.waiting.store(waiters.by_offset.len(), Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct CountingWaker(AtomicU32);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(reached: &mut Reached<'_>, waker: &Arc<CountingWaker>) -> Poll<Result<(), Stopped>> {
        Pin::new(reached).poll(&mut Context::from_waker(&waker.clone().into()))
    }

    #[test]
    fn an_advance_wakes_only_those_it_reaches() {
        let watermark = Watermark::new(10);
        let (near, far) = (Arc::new(CountingWaker::default()), Arc::new(CountingWaker::default()));
        let mut first = watermark.reached(20);
        let mut second = watermark.reached(30);
        assert_eq!(poll(&mut first, &near), Poll::Pending);
        assert_eq!(poll(&mut second, &far), Poll::Pending);
        watermark.advance(20);
        assert_eq!((near.0.load(Ordering::SeqCst), far.0.load(Ordering::SeqCst)), (1, 0));
        assert_eq!(poll(&mut first, &near), Poll::Ready(Ok(())));
        watermark.advance(15);
        assert_eq!(watermark.value(), 20);
        drop(second);
        watermark.advance(40);
        assert_eq!(far.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_stop_ends_the_waiting_but_not_what_was_reached() {
        let watermark = Watermark::new(10);
        let waker = Arc::new(CountingWaker::default());
        let mut waiting = watermark.reached(11);
        assert_eq!(poll(&mut waiting, &waker), Poll::Pending);
        watermark.stop();
        assert_eq!(poll(&mut waiting, &waker), Poll::Ready(Err(Stopped)));
        assert_eq!(poll(&mut watermark.reached(12), &waker), Poll::Ready(Err(Stopped)));
        assert_eq!(poll(&mut watermark.reached(10), &waker), Poll::Ready(Ok(())));
    }
}
