//! Which messages a group wants. The consume queue holds a code for each message's tag, and a pull compares codes; the
//! client drops what only has the same code. Java: `filter/FilterAPI.java`, `filter/DefaultMessageFilter.java`.
//!
//! Codes are always our own, computed from the expression: some clients send wrong ones in their heartbeats.

pub(crate) mod bloom;
pub(crate) mod kept;
pub mod sql;

use raptormq_protocol::hash::java_hash;
use raptormq_protocol::heartbeat::{SUBSCRIBE_ALL, SubscriptionData};
use smallvec::SmallVec;

/// Between two tags of an expression.
const TAG_SEPARATOR: &str = "||";

/// A filter by tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagFilter {
    All,
    /// Sorted codes of the tags wanted; those of a pull that brings a few are in the pull itself.
    Codes(SmallVec<[i32; 4]>),
}

impl TagFilter {
    /// Reads an expression such as `TagA || TagB`; `None` when it has separators and no tag, which the original refuses.
    pub(crate) fn parse(expression: &str) -> Option<TagFilter> {
        if expression.is_empty() || expression == SUBSCRIBE_ALL {
            return Some(TagFilter::All);
        }
        if expression.split(TAG_SEPARATOR).all(str::is_empty) {
            return None;
        }
        let tags = expression.split(TAG_SEPARATOR).map(str::trim).filter(|tag| !tag.is_empty());
        let mut codes: SmallVec<[i32; 4]> = tags.map(java_hash).collect();
        codes.sort_unstable();
        codes.dedup();
        Some(TagFilter::Codes(codes))
    }

    /// Whether a message whose tag has that code may be wanted. Java compares the low 32 bits.
    pub(crate) fn matches(&self, tags_code: i64) -> bool {
        match self {
            TagFilter::All => true,
            TagFilter::Codes(codes) => codes.binary_search(&(tags_code as i32)).is_ok(),
        }
    }
}

/// What a group subscribes to in one topic, as its members said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) data: SubscriptionData,
    /// Of a filter by tags; those of another kind are [`kept`] for themselves.
    pub(crate) filter: TagFilter,
}

impl Subscription {
    pub(crate) fn new(data: SubscriptionData) -> Subscription {
        // Of an expression without tags the original keeps an empty set, which lets everything through.
        let filter = TagFilter::parse(&data.sub_string).unwrap_or(TagFilter::All);
        Subscription { data, filter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_matched_by_the_hash_that_java_has() {
        let filter = TagFilter::parse(" TagA ||TagC||").unwrap();
        assert!(filter.matches(2_598_919) && filter.matches(2_598_921));
        assert!(!filter.matches(2_598_920) && !filter.matches(0));
        for all in ["", "*"] {
            assert_eq!(TagFilter::parse(all), Some(TagFilter::All));
        }
        assert_eq!(TagFilter::parse("||"), None);
        assert!(!TagFilter::parse(" ").unwrap().matches(0), "a blank is no tag, and not all tags");
    }

    #[test]
    fn codes_of_the_heartbeat_do_not_count() {
        let said = SubscriptionData { sub_string: "TagA".into(), code_set: [0].into(), ..SubscriptionData::default() };
        let subscription = Subscription::new(said);
        assert!(subscription.filter.matches(2_598_919) && !subscription.filter.matches(0));
    }
}
