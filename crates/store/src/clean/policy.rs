//! What may be deleted when, and when the disk counts as full: no I/O, only figures.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Milliseconds of `fileReservedTime`'s unit.
const HOUR_MS: i64 = 3_600_000;

/// Settings of deletion. The names are the configuration keys; [`CleanOptions::default`] has the original's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanOptions {
    /// Time between two looks for files to delete (`cleanResourceInterval`).
    pub interval_ms: i64,
    /// Time between two deletions of log files (`deleteCommitLogFilesInterval`).
    pub segment_interval_ms: i64,
    /// Time between two batches of queues whose files are deleted (`deleteConsumeQueueFilesInterval`).
    pub queues_interval_ms: i64,
    /// Log files that one look deletes at most (`deleteFileBatchMax`).
    pub segments_max: u32,
    /// Time before a file that could not be removed is tried again (`redeleteHangedFileInterval`).
    pub retry_interval_ms: i64,
    /// How long a log file is kept after it was last written (`fileReservedTime`).
    pub reserved_ms: i64,
    /// When files that are old enough are deleted (`deleteWhen`).
    pub hours: Hours,
    /// Whether files that are not old enough are deleted when room gets scarce (`cleanFileForciblyEnable`).
    pub is_forcible: bool,
    /// Used part of the disk above which files that are old enough are deleted at any hour (`diskMaxUsedSpaceRatio`).
    pub reclaim_ratio: f64,
    /// Used part of the disk above which room is scarce (`diskSpaceCleanForciblyRatio`).
    pub forcible_ratio: f64,
    /// Used part of the disk above which nothing is accepted any more (`diskSpaceWarningLevelRatio`).
    pub full_ratio: f64,
    /// Brokers that share the disk (`replicasPerDiskPartition`). Of several each has its share, and `reclaim_ratio` counts
    /// of that.
    pub brokers_on_disk: u32,
    /// Used part of that share above which room is scarce (`logicalDiskSpaceCleanForciblyThreshold`, 0 to 1).
    pub share_forcible_ratio: f64,
}

impl Default for CleanOptions {
    fn default() -> CleanOptions {
        CleanOptions {
            interval_ms: 10_000,
            segment_interval_ms: 100,
            queues_interval_ms: 100,
            segments_max: 10,
            retry_interval_ms: 120_000,
            reserved_ms: 72 * HOUR_MS,
            hours: Hours(1 << 4),
            is_forcible: true,
            reclaim_ratio: 0.75,
            forcible_ratio: 0.85,
            full_ratio: 0.90,
            brokers_on_disk: 1,
            share_forcible_ratio: 0.8,
        }
    }
}

impl CleanOptions {
    /// Takes hours, and the three thresholds in percent, within the bounds that the original puts on them (Java:
    /// `MessageStoreConfig.getDiskMaxUsedSpaceRatio`, `DefaultMessageStore.CleanCommitLogService`).
    pub fn with_limits(self, reserved_hours: u32, reclaim: u32, forcible: u32, full: u32) -> CleanOptions {
        CleanOptions {
            reserved_ms: i64::from(reserved_hours) * HOUR_MS,
            reclaim_ratio: f64::from(reclaim.clamp(10, 95)) / 100.0,
            forcible_ratio: f64::from(forcible.clamp(30, 85)) / 100.0,
            full_ratio: f64::from(full.clamp(35, 90)) / 100.0,
            ..self
        }
    }
}

/// A set of hours of the day, local time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hours(u32);

/// A part of `deleteWhen` that is no hour.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deleteWhen: {0:?} is no hour; expected 00 to 23, several of them separated by semicolons")]
pub struct HoursError(pub String);

impl Hours {
    /// Reads hours separated by semicolons, as `04` or `04;16`.
    pub fn parse(text: &str) -> Result<Hours, HoursError> {
        let mut hours = 0;
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.parse::<u32>() {
                Ok(hour @ 0..=23) => hours |= 1 << hour,
                _ => return Err(HoursError(part.to_owned())),
            }
        }
        Ok(Hours(hours))
    }

    /// Whether a moment lies in one of them, in this time zone.
    pub(crate) fn contain(self, now_ms: i64, zone: TimeZone) -> bool {
        let hour = Timestamp::from_millisecond(now_ms).map(|now| now.to_zoned(zone).hour());
        // Only a clock thousands of years off has no hour.
        hour.is_ok_and(|hour| self.0 >> hour & 1 == 1)
    }
}

/// Used parts of the disks, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Used {
    /// Of the log's folders the emptiest: new files go there.
    pub(crate) log: f64,
    /// Of the folder of queues and index.
    pub(crate) queues: f64,
    /// Of this broker's share of the disk, when there are others on it; may be more than 1.
    pub(crate) share: Option<f64>,
}

/// What the room on the disks asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Files that are old enough are to be deleted, whatever the hour.
    pub(crate) reclaim: bool,
    /// Room is scarce: others as well, if that is allowed.
    pub(crate) is_scarce: bool,
}

/// Which disks are full. One that was full stays so until room is not scarce any more, so that senders are not refused
/// and let in by turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) log: bool,
    pub(crate) queues: bool,
}

impl Full {
    /// Compares what is used with the thresholds.
    pub(crate) fn judge(&mut self, used: Used, options: &CleanOptions) -> Need {
        let mut need = Need::default();
        for (full, ratio) in [(&mut self.log, used.log), (&mut self.queues, used.queues)] {
            if ratio > options.full_ratio {
                *full = true;
            } else if ratio <= options.forcible_ratio {
                *full = false;
            }
            need.is_scarce |= *full || ratio > options.forcible_ratio;
            need.reclaim |= need.is_scarce || used.share.is_none() && ratio > options.reclaim_ratio;
        }
        if let Some(share) = used.share {
            need.is_scarce |= share > options.share_forcible_ratio;
            need.reclaim |= need.is_scarce || share > options.reclaim_ratio;
        }
        need
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delete_when_is_a_list_of_hours() {
        for (text, hours) in [("04", 1 << 4), ("4; 16;", 1 << 4 | 1 << 16), ("00;23", 1 | 1 << 23), ("", 0)] {
            assert_eq!(Hours::parse(text), Ok(Hours(hours)), "{text:?}");
        }
        for wrong in ["24", "-1", "04,16", "x", "04;;noon"] {
            assert!(Hours::parse(wrong).is_err(), "{wrong:?}");
        }
        let four = Hours::parse("04").unwrap();
        let at = |text: &str| four.contain(text.parse::<Timestamp>().unwrap().as_millisecond(), TimeZone::UTC);
        let times = ["2026-11-21T03:59:59Z", "2026-11-21T04:00:00Z", "2026-11-21T04:59:59Z", "2026-11-21T05:00:00Z"];
        assert_eq!(times.map(at), [false, true, true, false]);
        assert!(!four.contain(i64::MAX, TimeZone::UTC));
    }

    #[test]
    fn thresholds_are_kept_within_the_originals_bounds() {
        let ratios = |reclaim, forcible, full| {
            let options = CleanOptions::default().with_limits(1, reclaim, forcible, full);
            (options.reserved_ms, options.reclaim_ratio, options.forcible_ratio, options.full_ratio)
        };
        assert_eq!(ratios(75, 85, 90), (HOUR_MS, 0.75, 0.85, 0.90));
        assert_eq!(ratios(0, 0, 0), (HOUR_MS, 0.10, 0.30, 0.35));
        assert_eq!(ratios(100, 100, 100), (HOUR_MS, 0.95, 0.85, 0.90));
    }

    #[test]
    fn room_decides_what_is_deleted_and_whether_anything_is_accepted() {
        const RECLAIM: Need = Need { reclaim: true, is_scarce: false };
        const SCARCE: Need = Need { reclaim: true, is_scarce: true };
        // Used by the log and by queues; full before; what is needed; full then.
        let rows = [
            (0.75, 0.75, (false, false), Need::default(), (false, false)),
            (0.76, 0.10, (false, false), RECLAIM, (false, false)),
            (0.10, 0.76, (false, false), RECLAIM, (false, false)),
            (0.85, 0.10, (true, false), RECLAIM, (false, false)),
            (0.86, 0.10, (false, false), SCARCE, (false, false)),
            (0.86, 0.10, (true, false), SCARCE, (true, false)),
            (0.90, 0.10, (false, false), SCARCE, (false, false)),
            (0.91, 0.10, (false, false), SCARCE, (true, false)),
            (0.10, 0.91, (false, false), SCARCE, (false, true)),
            (0.10, 0.86, (true, true), SCARCE, (false, true)),
            (1.00, 1.00, (false, false), SCARCE, (true, true)),
            (0.10, 0.10, (true, true), Need::default(), (false, false)),
        ];
        for (log, queues, before, need, after) in rows {
            let mut full = Full { log: before.0, queues: before.1 };
            let judged = full.judge(Used { log, queues, share: None }, &CleanOptions::default());
            assert_eq!((judged, (full.log, full.queues)), (need, after), "{log} {queues} {before:?}");
        }
        // Where other brokers use the disk as well, it is the own share that counts, until the disk itself is scarce.
        let shared = [
            (0.80, 0.75, Need::default()),
            (0.80, 0.76, RECLAIM),
            (0.10, 0.80, RECLAIM),
            (0.10, 0.81, SCARCE),
            (0.10, 2.00, SCARCE),
            (0.86, 0.00, SCARCE),
        ];
        for (disk, share, need) in shared {
            let used = Used { log: disk, queues: disk, share: Some(share) };
            assert_eq!(Full::default().judge(used, &CleanOptions::default()), need, "{disk} {share}");
        }
    }
}
