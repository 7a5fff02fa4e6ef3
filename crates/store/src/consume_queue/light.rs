//! Light queues (`enableLmq`): queues 0 of topics `%LMQ%name`, which have units of messages of other topics. A message names
//! them in `INNER_MULTI_DISPATCH`, separated by commas. Java: `store/LmqDispatch.java`, `store/ConsumeQueue.java`.

/// Names of light queues begin so.
const PREFIX: &str = "%LMQ%";
/// Messages of these topics are in no light queue: retries, and what brokers keep for themselves.
const OTHERS: [&str; 2] = ["%RETRY%", "rmq_sys_"];
const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Most names that one message may have: each costs an offset under the log's lock.
pub(crate) const NAMES_MAX: usize = 1024;

/// Whether a topic is a light queue.
pub(crate) fn is_light(topic: &str) -> bool {
    topic.starts_with(PREFIX)
}

/// Whether messages of a topic may be in light queues.
pub(crate) fn may_have_light(topic: &str) -> bool {
    topic != SCHEDULE_TOPIC && !OTHERS.iter().any(|prefix| topic.starts_with(prefix))
}

/// The light queues that a message has, with its offsets there.
pub(crate) fn places<'a>(names: &'a str, offsets: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
    let pairs = names.split(',').zip(offsets.split(','));
    pairs.filter(|(name, _)| is_light(name)).filter_map(|(name, offset)| Some((name, offset.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_offsets_stand_side_by_side() {
        assert_eq!(places("%LMQ%a,b,%LMQ%c", "1,,3").collect::<Vec<_>>(), [("%LMQ%a", 1), ("%LMQ%c", 3)]);
        assert!(may_have_light("T") && !may_have_light("%RETRY%g") && !may_have_light(SCHEDULE_TOPIC));
    }
}
