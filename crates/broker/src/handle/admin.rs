//! What tools ask about the broker itself: its settings (26) and its state (28).
//! Java: `processor/AdminBrokerProcessor.java`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use raptormq_protocol::body::{DataVersion, KVTable};
use raptormq_protocol::command::Version;
use raptormq_protocol::header::FieldValue;
use raptormq_protocol::json;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::stats::Totals;

/// GET_BROKER_CONFIG (26): every key and value, as lines of a properties file.
pub(crate) fn config(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let mut pairs: BTreeMap<&str, String> = BTreeMap::new();
    // A key that two families have counts as the later one says.
    pairs.extend(broker.settings().pairs());
    let mut text = String::new();
    for (key, value) in &pairs {
        text.push_str(key);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    let version = json::to_vec(&DataVersion::default()).map_err(Failure::answer)?;
    let version = String::from_utf8_lossy(&version).into_owned();
    Ok(call.success_fields_body(|field| field("version", FieldValue::Text(&version)), text))
}

/// GET_BROKER_RUNTIME_INFO (28).
pub(crate) fn runtime_info(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let figures = broker.store.figures();
    let counters = &broker.counters;
    let totals = counters.totals(figures.appended_count);
    let now_ms = broker.now_ms();
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |key: &str, value: String| table.insert(key.to_owned(), value);
    put("bootTimestamp", figures.opened_at_ms.to_string());
    put("runtime", run_time(now_ms - figures.opened_at_ms));
    put("putMessageTimesTotal", figures.appended_count.to_string());
    put("putMessageSizeTotal", figures.appended_bytes.to_string());
    put("putMessageAverageSize", (figures.appended_bytes as f64 / figures.appended_count.max(1) as f64).to_string());
    put("putMessageFailedTimes", counters.sends_failed.load(Ordering::Relaxed).to_string());
    let rates: [(&str, Rate); 5] = [
        ("putTps", |totals| totals.messages_in),
        ("getFoundTps", |totals| totals.pulls_found),
        ("getMissTps", |totals| totals.pulls_missed),
        ("getTotalTps", |totals| totals.pulls_found + totals.pulls_missed),
        ("getTransferredTps", |totals| totals.messages_out),
    ];
    for (key, of) in rates {
        put(key, broker.history.rates(of));
    }
    let (this_morning, yesterday_morning) = broker.history.mornings();
    for (when, totals) in
        [("YesterdayMorning", yesterday_morning), ("TodayMorning", this_morning), ("TodayNow", totals)]
    {
        put(&format!("msgPutTotal{when}"), totals.messages_in.to_string());
        put(&format!("msgGetTotal{when}"), totals.messages_out.to_string());
    }
    // Requests are handled as they are read: no queue stands before a thread.
    for lane in ["send", "pull", "litePull", "query", "ack"] {
        put(&format!("{lane}ThreadPoolQueueSize"), "0".to_owned());
        put(&format!("{lane}ThreadPoolQueueHeadWaitTimeMills"), "0".to_owned());
    }
    put("commitLogMinOffset", figures.log_min_offset.to_string());
    put("commitLogMaxOffset", figures.log_max_offset.to_string());
    put("dispatchBehindBytes", (figures.log_max_offset - figures.dispatched_offset).max(0).to_string());
    put("remainHowManyDataToFlush", readable_bytes(figures.log_max_offset - figures.flushed_offset));
    if let Some(failure) = broker.store.failure() {
        put("storeFailure", format!("{failure}; nothing is accepted until the broker is restarted"));
    }
    put("earliestMessageTimeStamp", figures.earliest_ms.to_string());
    put("pageCacheLockTimeMills", "0".to_owned());
    put("brokerActive", "true".to_owned());
    put("brokerVersion", Version::CURRENT.0.to_string());
    put("brokerVersionDesc", Version::CURRENT.to_string());
    let start_ms = broker.settings().broker.start_accept_send_request_time_stamp;
    put("startAcceptSendRequestTimeStamp", start_ms.to_string());
    put("pullRequestsHeld", broker.holds.len().to_string());
    if let Ok([log, root]) = broker.store.disk_usage() {
        put("commitLogDiskRatio", log.used_ratio().to_string());
        put("consumeQueueDiskRatio", root.used_ratio().to_string());
        let total = readable_bytes(i64::try_from(log.total_bytes).unwrap_or(i64::MAX));
        let free = readable_bytes(i64::try_from(log.free_bytes).unwrap_or(i64::MAX));
        put("commitLogDirCapacity", format!("Total : {total}, Free : {free}."));
    }
    call.success_json(&KVTable { table })
}

/// What a rate is of.
type Rate = fn(&Totals) -> u64;

/// A time span as the original prints it.
fn run_time(span_ms: i64) -> String {
    let seconds = span_ms.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

/// A size as the original prints it: `0 B`, `1.5 KiB`. Java: `MixAll.humanReadableByteCount`.
fn readable_bytes(bytes: i64) -> String {
    const UNIT: f64 = 1024.0;
    if bytes.unsigned_abs() < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / UNIT;
    for prefix in ["K", "M", "G", "T", "P"] {
        if value.abs() < UNIT {
            return format!("{value:.1} {prefix}iB");
        }
        value /= UNIT;
    }
    format!("{value:.1} EiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_the_originals() {
        assert_eq!((readable_bytes(0), readable_bytes(1536)), ("0 B".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!(readable_bytes(5 << 30), "5.0 GiB");
        assert_eq!(run_time(90_061_000), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]");
    }
}
