//! The wall clock, as messages and ids need it. Everything that waits uses tokio's clock, which tests can stop.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use raptormq_protocol::message::id::Month;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The month of the local time zone that a moment lies in.
pub(crate) fn month_of(moment_ms: i64) -> Month {
    local_month(moment_ms, TimeZone::system()).unwrap_or(Month { start_ms: 0, next_ms: i64::MAX })
}

fn local_month(moment_ms: i64, zone: TimeZone) -> Option<Month> {
    let moment = Timestamp::from_millisecond(moment_ms).ok()?.to_zoned(zone);
    let start = moment.first_of_month().ok()?.start_of_day().ok()?;
    let next = start.checked_add(1.month()).ok()?.start_of_day().ok()?;
    Some(Month { start_ms: start.timestamp().as_millisecond(), next_ms: next.timestamp().as_millisecond() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        // 2024-02-29T12:00:00Z, in a zone one hour ahead.
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let month = local_month(1_709_208_000_000, zone.clone()).unwrap();
        assert_eq!(month, Month { start_ms: 1_706_742_000_000, next_ms: 1_709_247_600_000 });
        assert_eq!(local_month(month.next_ms - 1, zone.clone()).unwrap(), month);
        assert_eq!(local_month(month.next_ms, zone).unwrap().start_ms, month.next_ms);
    }
}
