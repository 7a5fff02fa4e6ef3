//! What tools ask about the broker itself: its state (28) and its statistics (315).
//! Java: `processor/AdminBrokerProcessor.java`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use raptormq_config::BrokerConfig;
use raptormq_protocol::body::KVTable;
use raptormq_protocol::command::Version;
use raptormq_protocol::header::ViewBrokerStatsDataRequestHeader;

use crate::broker::Broker;
use crate::dispatch::{Call, Reply};
use crate::failure::Failure;
use crate::stats::Totals;

/// GET_BROKER_RUNTIME_INFO (28).
pub(crate) fn runtime_info(broker: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    let figures = broker.store.figures();
    let counters = &broker.counters;
    let totals = broker.totals();
    let now_ms = broker.now_ms();
    let settings = broker.settings();
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |key: &str, value: String| table.insert(key.to_owned(), value);
    put("bootTimestamp", figures.opened_at_ms.to_string());
    put("runtime", run_time(now_ms - figures.opened_at_ms));
    put("putMessageTimesTotal", figures.appended_count.to_string());
    put("putMessageSizeTotal", figures.appended_bytes.to_string());
    // Debug prints a point where Java does.
    let average_bytes = figures.appended_bytes as f64 / figures.appended_count.max(1) as f64;
    put("putMessageAverageSize", format!("{average_bytes:?}"));
    put("putMessageFailedTimes", counters.sends_failed.load(Ordering::Relaxed).to_string());
    let rates: [(&str, Rate); 6] = [
        ("putTps", |totals| totals.messages_in),
        ("getFoundTps", |totals| totals.pulls_found),
        ("getMissTps", |totals| totals.pulls_missed),
        ("getTotalTps", |totals| totals.pulls_found + totals.pulls_missed),
        ("getTransferredTps", |totals| totals.messages_out),
        // As 4.x spells it: its mqadmin cannot list a cluster without.
        ("getTransferedTps", |totals| totals.messages_out),
    ];
    for (key, of) in rates {
        put(key, broker.history.rates(of));
    }
    let (this_morning, yesterday_morning) = broker.history.mornings();
    for (when, totals) in
        [("YesterdayMorning", yesterday_morning), ("TodayMorning", this_morning), ("TodayNow", totals)]
    {
        // What a slave has was sent to its master.
        let sent_here = if broker.is_slave() { 0 } else { totals.user_messages_in() };
        put(&format!("msgPutTotal{when}"), sent_here.to_string());
        put(&format!("msgGetTotal{when}"), totals.user_messages_out().to_string());
    }
    put_lanes(broker, &settings.broker, &mut put);
    let put_times = &broker.stats.put_times;
    put("putMessageEntireTimeMax", put_times.max_ms().to_string());
    put("putMessageDistributeTime", put_times.distribution());
    put("putLatency99", format!("{:.2}", put_times.percentile(0.99)));
    put("putLatency999", format!("{:.2}", put_times.percentile(0.999)));
    put("getMessageEntireTimeMax", broker.stats.get_time_max_ms().to_string());
    // Queues are filled by the append itself: nothing is buffered between the log and them.
    put("dispatchMaxBuffer", "0".to_owned());
    // Without a pool of buffers of its own the original says the largest number.
    put("remainTransientStoreBufferNumbs", i32::MAX.to_string());
    for (key, value) in TIMER_AT_REST {
        put(key, (*value).to_owned());
    }
    // The original has no first offset before the first message.
    let log_min_offset = if figures.log_max_offset == 0 { -1 } else { figures.log_min_offset };
    put("commitLogMinOffset", log_min_offset.to_string());
    put("commitLogMaxOffset", figures.log_max_offset.to_string());
    put("dispatchBehindBytes", (figures.log_max_offset - figures.dispatched_offset).max(0).to_string());
    put("remainHowManyDataToFlush", readable_bytes(figures.log_max_offset - figures.flushed_offset));
    if let Some(failure) = broker.store.failure() {
        put("storeFailure", format!("{failure}; nothing is accepted until the broker is restarted"));
    }
    if let Some((path, took)) = broker.store.long_sync() {
        put("storeSyncing", format!("{} for {} ms", path.display(), took.as_millis()));
    }
    put("earliestMessageTimeStamp", figures.earliest_ms.to_string());
    put("pageCacheLockTimeMills", "0".to_owned());
    put("brokerActive", (!broker.is_slave()).to_string());
    put("brokerVersion", Version::CURRENT.0.to_string());
    put("brokerVersionDesc", Version::CURRENT.to_string());
    put("startAcceptSendRequestTimeStamp", settings.broker.start_accept_send_request_time_stamp.to_string());
    put("pullRequestsHeld", broker.holds.len().to_string());
    for (level, offset, end) in broker.schedule.progress() {
        put(&format!("scheduleMessageOffset_{level}"), format!("{offset},{end}"));
    }
    if let Ok([log, root]) = broker.store.disk_usage() {
        if !settings.store.store_path_commit_log.is_empty() {
            for (folder, usage) in broker.store.log_folder_usages().unwrap_or_default() {
                put(&format!("commitLogDiskRatio_{}", folder.display()), usage.used_ratio().to_string());
            }
        }
        put("commitLogDiskRatio", log.used_ratio().to_string());
        put("consumeQueueDiskRatio", root.used_ratio().to_string());
        let total = readable_bytes(i64::try_from(log.total_bytes).unwrap_or(i64::MAX));
        let free = readable_bytes(i64::try_from(log.free_bytes).unwrap_or(i64::MAX));
        put("commitLogDirCapacity", format!("Total : {total}, Free : {free}."));
    }
    call.success_json(&KVTable { table })
}

/// What the original says of its timer while that has nothing to do. Here it is not built yet.
const TIMER_AT_REST: &[(&str, &str)] = &[
    ("timerReadBehind", "0"),
    ("timerOffsetBehind", "0"),
    ("timerCongestNum", "0"),
    ("timerEnqueueTps", "0.0"),
    ("timerDequeueTps", "0.0"),
];

/// What waits in each lane: in front of threads that read from the disk and, of sends, answers that are not given yet.
fn put_lanes(broker: &Broker, config: &BrokerConfig, put: &mut impl FnMut(&str, String) -> Option<String>) {
    let readers = &broker.readers;
    let (backs, back_wait_ms) = readers.send_backs.waiting();
    let lanes = [
        ("send", config.send_thread_pool_queue_capacity, (broker.lanes.sends.len() + backs, back_wait_ms)),
        ("pull", config.pull_thread_pool_queue_capacity, readers.pulls.waiting()),
        ("litePull", config.lite_pull_thread_pool_queue_capacity, readers.lite_pulls.waiting()),
        ("query", config.query_thread_pool_queue_capacity, readers.queries.waiting()),
        ("ack", config.ack_thread_pool_queue_capacity, (0, 0)),
    ];
    for (lane, capacity, (waiting, head_wait_ms)) in lanes {
        put(&format!("{lane}ThreadPoolQueueSize"), waiting.to_string());
        put(&format!("{lane}ThreadPoolQueueCapacity"), capacity.to_string());
        put(&format!("{lane}ThreadPoolQueueHeadWaitTimeMills"), head_wait_ms.to_string());
    }
    put("EndTransactionQueueSize", readers.ends.waiting().0.to_string());
    put("EndTransactionThreadPoolQueueCapacity", config.end_transaction_pool_queue_capacity.to_string());
}

/// VIEW_BROKER_STATS_DATA (315): minute, hour and day of one statistic.
pub(crate) fn stats(
    broker: &Broker,
    call: &mut Call<'_, '_>,
    header: ViewBrokerStatsDataRequestHeader<'_>,
) -> Result<Reply, Failure> {
    let (name, key) = (header.stats_name, header.stats_key);
    match broker.stats.view(broker, name, key) {
        Some(data) => call.success_json(&data),
        None => Err(Failure::system(format!("The stats <{name}> <{key}> not exist"))),
    }
}

/// What is asked of slaves, and which a master answers with success: RESET_MASTER_FLUSH_OFFSET (908), and
/// NOTIFY_MIN_BROKER_ID_CHANGE (905) of name servers.
pub(crate) fn nothing_to_do(_: &Broker, call: &mut Call<'_, '_>) -> Result<Reply, Failure> {
    Ok(call.success())
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
