//! Finding messages by key.

use std::io;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::hash;
use crate::index::Wanted;
use crate::open::Store;

/// What a query by key found.
#[derive(Clone, Debug, Default)]
pub struct QueryResult {
    /// The records, in the order of the log. Only the hashes of keys were compared: the caller compares the keys.
    pub records: Vec<Bytes>,
    /// Store timestamp of the newest key of the index, in milliseconds.
    pub index_last_update_timestamp_ms: i64,
    /// Log offset of the newest key of the index.
    pub index_last_update_log_offset: i64,
}

impl Store {
    /// Finds messages of a topic by a key or a unique key, up to `count_max` (and `maxMsgsNumBatch`) of those that were
    /// stored at those times, the newest ones.
    pub fn query(
        &self,
        topic: &str,
        key: &str,
        count_max: usize,
        stored_ms: RangeInclusive<i64>,
    ) -> io::Result<QueryResult> {
        let shared = &*self.shared;
        let java_hash = hash::extend(hash::extend(hash::extend(0, topic), "#"), key);
        let count_max = count_max.min(shared.options.query_count_max);
        let (begin_ms, end_ms) = stored_ms.into_inner();
        let mut found = shared.index.query(&Wanted { java_hash, begin_ms, end_ms, count_max })?;
        // A key that a message has twice is in the index twice.
        found.log_offsets.sort_unstable();
        found.log_offsets.dedup();
        let records = found.log_offsets.iter().filter_map(|log_offset| self.record_at(*log_offset)).collect();
        Ok(QueryResult {
            records,
            index_last_update_timestamp_ms: found.last_timestamp_ms,
            index_last_update_log_offset: found.last_log_offset,
        })
    }
}
