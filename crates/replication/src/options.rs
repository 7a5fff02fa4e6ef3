//! What master and slave are told at the start. The names in the comments are the configuration keys.

use std::time::Duration;

/// Smallest and largest frame. Java's slave has room for 4 MiB.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 1024..=(2 << 20);
/// Shortest interval and timeout: below, connections would do nothing else.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Settings of both sides.
#[derive(Clone, Debug)]
pub struct Options {
    /// After so long without anything else an empty frame or a report is sent (`haSendHeartbeatInterval`).
    pub heartbeat_interval: Duration,
    /// A connection of which nothing is heard for so long is closed (`haHousekeepingInterval`).
    pub housekeeping_interval: Duration,
    /// Most bytes of a frame (`haTransferBatchSize`).
    pub frame_bytes: usize,
    /// Most bytes a second to all slaves (`haFlowControlEnable`, `maxHaTransferByteInSecond`).
    pub bytes_per_second_max: Option<u64>,
    /// Bytes that a slave may be behind and still count as in sync (`haMaxGapNotInSync`).
    pub gap_max: i64,
    /// Most connections at a time (`haConnectionsMax`).
    pub connections_max: usize,
    /// What both sides must know; empty for nothing, as a Java peer needs it (`haSharedSecret`).
    pub shared_secret: String,
    /// A master sends, and a slave reports, only what is on its disk (`flushDiskType` is `SYNC_FLUSH`).
    pub is_sync_flush: bool,
}

impl Options {
    /// Within the bounds that the protocol and common sense set.
    pub(crate) fn checked(mut self) -> Options {
        self.frame_bytes = self.frame_bytes.clamp(*FRAME_BYTES.start(), *FRAME_BYTES.end());
        self.heartbeat_interval = self.heartbeat_interval.max(INTERVAL_MIN);
        self.housekeeping_interval = self.housekeeping_interval.max(INTERVAL_MIN);
        self
    }
}
