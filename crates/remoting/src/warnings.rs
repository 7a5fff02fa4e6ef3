//! Keeps what hostile peers can cause from filling the log.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines allowed per period.
const LINES_MAX: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Lets a bounded number of warnings a period through and counts the others.
#[derive(Debug)]
pub(crate) struct Warnings {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl Warnings {
    pub(crate) fn new() -> Warnings {
        Warnings { state: Mutex::new(State { since: Instant::now(), lines: 0, suppressed: 0 }) }
    }

    /// Whether a line may be written now, and how many were left out since the last one.
    pub(crate) fn allow(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.since.elapsed() >= PERIOD {
            state.since = Instant::now();
            state.lines = 0;
        }
        if state.lines == LINES_MAX {
            state.suppressed += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_leaves_a_bounded_number_of_lines() {
        let warnings = Warnings::new();
        assert_eq!((0..1000).filter(|_| warnings.allow().is_some()).count(), LINES_MAX as usize);
        tokio::time::advance(PERIOD).await;
        assert_eq!(warnings.allow(), Some(1000 - u64::from(LINES_MAX)));
    }
}
