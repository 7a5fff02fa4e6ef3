//! Filters of groups other than by tags: compiled once when a heartbeat brings them, looked up by every pull, kept in
//! `config/consumerFilter.json` for a day after their group has gone. Java: `broker/filter/ConsumerFilterManager.java`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::RwLock;
use raptormq_config::BrokerConfig;
use raptormq_protocol::body::{BloomFilterData, ConsumerFilterData, ConsumerFilterTable, FilterDataMapByTopic};
use raptormq_protocol::heartbeat::{EXPRESSION_SQL92, SubscriptionData};
use raptormq_protocol::message::properties::Properties;
use raptormq_store::{BitMaps, Extension};

use super::bloom::{self, Bloom};
use super::sql::Expression;
use crate::budget::{Budget, Exhausted, Share};

/// What is taken off the time of a filter's death when it is read from the file: when the broker was stopped is not known.
const DEAD_BEFORE_START_MS: i64 = 30_000;

/// Bit maps of messages that were stored so shortly after a filter that was read from the file are not relied on: it may
/// have come into the table a moment after its birth.
const LIVE_AFTER_MS: i64 = 1000;

/// What a filter takes beside its texts and its expression, in bytes.
const FILTER_BYTES: usize = 512;

/// A group's filter on a topic.
#[derive(Debug)]
pub(crate) struct ConsumerFilter {
    pub(crate) expression: Expression,
    /// The expression as the user wrote it.
    pub(crate) text: Box<str>,
    /// Version of the subscription.
    client_version: AtomicI64,
    born_ms: i64,
    /// Since when nobody of the group is there; 0 while somebody is.
    dead_ms: AtomicI64,
    bloom: BloomFilterData,
    /// Messages that were stored until then were not asked whether they are wanted.
    live_after_ms: i64,
    /// Nor were those before that offset of the log.
    live_from: AtomicI64,
    _share: Share,
}

impl ConsumerFilter {
    pub(crate) fn client_version(&self) -> i64 {
        self.client_version.load(Ordering::Relaxed)
    }

    fn is_dead(&self) -> bool {
        self.dead_ms.load(Ordering::Relaxed) >= self.born_ms
    }

    /// Whether a message may be wanted, by its bit map. One that is not told about the filter may be.
    pub(crate) fn may_want(&self, extension: &Extension, log_offset: i64) -> bool {
        let is_asked = log_offset >= self.live_from.load(Ordering::Acquire);
        !is_asked || self.may_want_stored(extension)
    }

    /// The same for a message wherever it is in the log.
    pub(crate) fn may_want_stored(&self, extension: &Extension) -> bool {
        extension.store_timestamp_ms <= self.live_after_ms || bloom::is_set(&self.bloom, &extension.bit_map)
    }

    /// As it stands in the file.
    pub(crate) fn data(&self, group: &str, topic: &str) -> ConsumerFilterData {
        ConsumerFilterData {
            bloom_filter_data: Some(self.bloom.clone()),
            born_time: self.born_ms,
            client_version: self.client_version(),
            consumer_group: group.to_owned(),
            dead: self.is_dead(),
            dead_time: self.dead_ms.load(Ordering::Relaxed),
            expression: self.text.to_string(),
            expression_type: EXPRESSION_SQL92.to_owned(),
            topic: topic.to_owned(),
        }
    }
}

/// By topic, then by group.
type Table = HashMap<Box<str>, HashMap<Box<str>, Arc<ConsumerFilter>>>;

/// The filters of all groups.
#[derive(Debug)]
pub(crate) struct ConsumerFilters {
    table: RwLock<Table>,
    bloom: Bloom,
    budget: Budget,
    /// Messages are asked which filters want them when they are stored (`enableCalcFilterBitMap`).
    fills_bit_maps: AtomicBool,
    /// Something changed since the file was last written.
    dirty: AtomicBool,
}

impl ConsumerFilters {
    /// What was kept. Nobody is there yet, so all of them are dead. Filters of which other bits were kept than would be
    /// now are forgotten, as the original does.
    pub(crate) fn new(
        config: &BrokerConfig,
        kept: ConsumerFilterTable,
        budget: Budget,
        now_ms: i64,
    ) -> ConsumerFilters {
        let bloom = Bloom::new(config.max_error_rate_of_bloom_filter, config.expect_consumer_num_use_filter);
        let all = || kept.filter_data_by_topic.values().flat_map(|topic| topic.group_filter_data.values());
        let is_other = all().any(|data| !bloom.is_of_this(data.bloom_filter_data.as_ref()));
        let mut table = Table::new();
        for data in all().filter(|_| !is_other) {
            let read = read(data, &budget, now_ms);
            let Some(filter) = read
                .map_err(|reason| {
                    let (topic, group) = (&data.topic, &data.consumer_group);
                    tracing::error!(topic, group, reason, "a filter that was kept is forgotten");
                })
                .ok()
            else {
                continue;
            };
            let of_topic = table.entry(data.topic.as_str().into()).or_default();
            of_topic.insert(data.consumer_group.as_str().into(), Arc::new(filter));
        }
        ConsumerFilters {
            table: RwLock::new(table),
            bloom,
            budget,
            fills_bit_maps: AtomicBool::new(config.enable_calc_filter_bit_map),
            dirty: AtomicBool::new(is_other),
        }
    }

    /// The group's filter on the topic.
    pub(crate) fn get(&self, topic: &str, group: &str) -> Option<Arc<ConsumerFilter>> {
        self.table.read().get(topic)?.get(group).cloned()
    }

    /// Whether messages are asked from now on which filters want them.
    pub(crate) fn fill_bit_maps(&self, fills: bool) {
        self.fills_bit_maps.store(fills, Ordering::Relaxed);
    }

    /// A member of the group says what it subscribes to. Its filters are compiled; those of the group on other topics are
    /// dead from now on. `log_end` says where the log ends.
    pub(crate) fn register(
        &self,
        group: &str,
        said: &[SubscriptionData],
        now_ms: i64,
        log_end: impl Fn() -> i64,
    ) -> Result<(), Exhausted> {
        let mut own = said.iter().filter(|data| !data.is_tag_type()).peekable();
        if own.peek().is_none() && self.table.read().is_empty() {
            return Ok(());
        }
        for data in own.filter(|data| data.expression_type == EXPRESSION_SQL92 && !data.sub_string.is_empty()) {
            self.register_one(group, data, now_ms, &log_end)?;
        }
        self.bury(group, now_ms, |topic| said.iter().all(|data| data.topic != topic));
        Ok(())
    }

    fn register_one(
        &self,
        group: &str,
        data: &SubscriptionData,
        now_ms: i64,
        log_end: &dyn Fn() -> i64,
    ) -> Result<(), Exhausted> {
        let known = self.get(&data.topic, group);
        if let Some(known) = &known {
            let version = known.client_version();
            if data.sub_version < version || (data.sub_version == version && !known.is_dead()) {
                return Ok(());
            }
            if data.sub_version == version || *known.text == *data.sub_string {
                known.client_version.store(data.sub_version, Ordering::Relaxed);
                known.dead_ms.store(0, Ordering::Relaxed);
                self.dirty.store(true, Ordering::Release);
                return Ok(());
            }
        }
        let compiled = Expression::parse(&data.sub_string);
        let filter = match compiled {
            Ok(expression) => Some(Arc::new(self.make(group, data, expression, now_ms)?)),
            Err(reason) => {
                tracing::warn!(group, topic = data.topic, %reason, "a filter is not understood; the group gets nothing");
                None
            }
        };
        let mut table = self.table.write();
        match &filter {
            Some(filter) => {
                let of_topic = table.entry(data.topic.as_str().into()).or_default();
                of_topic.insert(group.into(), Arc::clone(filter));
            }
            None => drop(table.get_mut(&*data.topic).and_then(|of_topic| of_topic.remove(group))),
        }
        drop(table);
        // Whatever is appended from now on comes into its queue after the filter has come into the table.
        if let Some(filter) = filter {
            filter.live_from.store(log_end(), Ordering::Release);
        }
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    fn make(
        &self,
        group: &str,
        data: &SubscriptionData,
        expression: Expression,
        now_ms: i64,
    ) -> Result<ConsumerFilter, Exhausted> {
        let bytes = FILTER_BYTES + group.len() + data.topic.len() + data.sub_string.len() + expression.bytes();
        Ok(ConsumerFilter {
            _share: self.budget.take(bytes)?,
            expression,
            text: data.sub_string.as_str().into(),
            client_version: data.sub_version.into(),
            born_ms: now_ms,
            dead_ms: AtomicI64::new(0),
            bloom: self.bloom.of(group, &data.topic),
            live_after_ms: now_ms,
            live_from: i64::MAX.into(),
        })
    }

    /// Nobody of the group is there any more.
    pub(crate) fn unregister(&self, group: &str, now_ms: i64) {
        self.bury(group, now_ms, |_| true);
    }

    fn bury(&self, group: &str, now_ms: i64, is_gone: impl Fn(&str) -> bool) {
        let table = self.table.read();
        for (topic, of_topic) in table.iter() {
            let Some(filter) = of_topic.get(group) else { continue };
            if is_gone(topic) && !filter.is_dead() {
                filter.dead_ms.store(now_ms.max(filter.born_ms), Ordering::Relaxed);
                self.dirty.store(true, Ordering::Release);
            }
        }
    }

    /// Whether something changed since the last call. The caller writes a [`snapshot`](ConsumerFilters::snapshot) then.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// Drops filters that have been dead for so long.
    pub(crate) fn expire(&self, now_ms: i64, dead_ms_max: u64) {
        let dead_ms_max = i64::try_from(dead_ms_max).unwrap_or(i64::MAX);
        let is_expired = |filter: &ConsumerFilter| {
            filter.is_dead() && now_ms.saturating_sub(filter.dead_ms.load(Ordering::Relaxed)) >= dead_ms_max
        };
        if !self.table.read().values().flat_map(HashMap::values).any(|filter| is_expired(filter)) {
            return;
        }
        let mut table = self.table.write();
        table.values_mut().for_each(|of_topic| of_topic.retain(|_, filter| !is_expired(filter)));
        table.retain(|_, of_topic| !of_topic.is_empty());
        drop(table);
        self.dirty.store(true, Ordering::Release);
    }

    /// What is to be kept.
    pub(crate) fn snapshot(&self) -> ConsumerFilterTable {
        let table = self.table.read();
        let topics = table.iter().filter(|(_, of_topic)| !of_topic.is_empty()).map(|(topic, of_topic)| {
            let groups = of_topic.iter().map(|(group, filter)| (group.to_string(), filter.data(group, topic)));
            let group_filter_data: BTreeMap<_, _> = groups.collect();
            (topic.to_string(), FilterDataMapByTopic { group_filter_data, topic: topic.to_string() })
        });
        ConsumerFilterTable { filter_data_by_topic: topics.collect() }
    }
}

impl BitMaps for ConsumerFilters {
    /// Java: `broker/filter/CommitLogDispatcherCalcBitMap.java`.
    fn fill(&self, topic: &str, properties: &str, map: &mut Vec<u8>) {
        if !self.fills_bit_maps.load(Ordering::Relaxed) {
            return;
        }
        let table = self.table.read();
        let Some(of_topic) = table.get(topic).filter(|of_topic| !of_topic.is_empty()) else { return };
        map.resize(self.bloom.map_bytes(), 0);
        for filter in of_topic.values() {
            // Nobody waits for what takes long; the message is asked when it is pulled.
            if filter.expression.is_heavy() || filter.expression.matches(Properties(properties)) {
                bloom::set(&filter.bloom, map);
            }
        }
    }
}

/// A filter that was kept, or why it is none.
fn read(data: &ConsumerFilterData, budget: &Budget, now_ms: i64) -> Result<ConsumerFilter, String> {
    if data.expression_type != EXPRESSION_SQL92 {
        return Err(format!("its type is {}", data.expression_type));
    }
    let expression = Expression::parse(&data.expression).map_err(|error| error.to_string())?;
    let bytes = FILTER_BYTES + data.topic.len() + data.expression.len() + expression.bytes();
    let share = budget.take(bytes).map_err(|_| "there is no room; clientBytesMax can be raised".to_owned())?;
    let dead_ms = match data.dead_time {
        0 => (now_ms - DEAD_BEFORE_START_MS).max(data.born_time),
        dead_ms => dead_ms,
    };
    Ok(ConsumerFilter {
        expression,
        text: data.expression.as_str().into(),
        client_version: data.client_version.into(),
        born_ms: data.born_time,
        dead_ms: dead_ms.into(),
        bloom: data.bloom_filter_data.clone().unwrap_or_default(),
        live_after_ms: data.born_time.saturating_add(LIVE_AFTER_MS),
        live_from: 0.into(),
        _share: share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_config::{BrokerSettings, Environment};
    use raptormq_protocol::json;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn filters(kept: ConsumerFilterTable, now_ms: i64) -> ConsumerFilters {
        let mut config = BrokerSettings::new(&Environment::default()).broker;
        // What the recorder's filters are made for.
        config.expect_consumer_num_use_filter = 64;
        ConsumerFilters::new(&config, kept, Budget::new(1 << 20), now_ms)
    }

    fn said(topic: &str, expression: &str, version: i64) -> SubscriptionData {
        let data = SubscriptionData::build(topic, expression, EXPRESSION_SQL92).unwrap();
        SubscriptionData { sub_version: version, ..data }
    }

    #[test]
    fn the_file_is_javas() {
        let text = include_str!("../../../../golden/vectors/filters.json");
        let all: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        let vectors: Vec<_> = all.iter().filter(|vector| vector["name"] == "kept").collect();
        assert_eq!(vectors.len(), 2);
        let born_ms = 1_700_000_000_000;
        let made = filters(ConsumerFilterTable::default(), born_ms);
        assert_eq!(json::to_pretty(&made.snapshot()).unwrap(), vectors[0]["pretty"].as_str().unwrap().as_bytes());
        made.register("g", &[said("T", "a > 5", 7), said("U", "c BETWEEN 1 AND 9", 8)], born_ms, || 0).unwrap();
        made.register("h", &[said("T", "a = 'it''s' AND b IS NULL", born_ms)], born_ms, || 0).unwrap();
        made.unregister("h", born_ms + 1000);
        let pretty = vectors[1]["pretty"].as_str().unwrap();
        assert_eq!(String::from_utf8(json::to_pretty(&made.snapshot()).unwrap()).unwrap(), pretty);

        let read = filters(json::from_slice(pretty.as_bytes()).unwrap(), born_ms + DAY_MS);
        let table = read.snapshot().filter_data_by_topic;
        assert_eq!(table["T"].group_filter_data["h"].dead_time, born_ms + 1000);
        assert_eq!(table["T"].group_filter_data["g"].dead_time, born_ms + DAY_MS - DEAD_BEFORE_START_MS);
        assert_eq!(read.get("U", "g").unwrap().client_version(), 8);
    }

    #[test]
    fn a_newer_version_takes_the_place_of_an_older_one() {
        let filters = filters(ConsumerFilterTable::default(), 0);
        let text = || filters.get("T", "g").map(|filter| (filter.text.to_string(), filter.client_version()));
        let register =
            |expression: &str, version| filters.register("g", &[said("T", expression, version)], 10, || 0).unwrap();
        register("a > 5", 7);
        assert!(filters.take_dirty() && !filters.take_dirty());
        register("a > 6", 7);
        assert_eq!(text(), Some(("a > 5".into(), 7)), "the same version cannot be another filter");
        assert!(!filters.take_dirty());
        register("a > 5", 8);
        assert_eq!(text(), Some(("a > 5".into(), 8)));
        register("a > 6", 9);
        assert_eq!(text(), Some(("a > 6".into(), 9)));
        register("a >", 10);
        assert_eq!(text(), None, "what is not understood is not kept, so that pulls are told");
        register("a > 7", 3);
        assert_eq!(text(), Some(("a > 7".into(), 3)));
    }

    #[test]
    fn filters_die_with_their_group_and_come_back_with_it() {
        let filters = filters(ConsumerFilterTable::default(), 0);
        let all = [said("T", "a > 5", 7), said("U", "a > 5", 7)];
        filters.register("g", &all, 100, || 0).unwrap();
        filters.register("g", &all[..1], 200, || 0).unwrap();
        let dead = |topic: &str| filters.get(topic, "g").map(|filter| filter.is_dead());
        assert_eq!((dead("T"), dead("U")), (Some(false), Some(true)));
        filters.unregister("g", 300);
        assert_eq!(dead("T"), Some(true));
        filters.register("g", &all[..1], 400, || 0).unwrap();
        assert_eq!(dead("T"), Some(false));
        filters.expire(200 + DAY_MS, DAY_MS as u64);
        assert_eq!((dead("T"), dead("U")), (Some(false), None));
        // A group that filters by tags now.
        filters.register("g", &[SubscriptionData::parse("V", "*").unwrap()], 500, || 0).unwrap();
        assert_eq!(dead("T"), Some(true));
    }

    #[test]
    fn there_is_a_limit_to_what_groups_may_leave_behind() {
        let filters = filters(ConsumerFilterTable::default(), 0);
        let result = (0..10_000)
            .try_for_each(|number| filters.register(&format!("g{number}"), &[said("T", "a > 5", 7)], 100, || 0));
        assert_eq!(result, Err(Exhausted));
    }
}
