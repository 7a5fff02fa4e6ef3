//! What a send says in its properties.

use std::borrow::Cow;

use raptormq_protocol::message::properties::{self, Properties, name};

/// The level that the original gives to dead letters.
const DEAD_LEVEL: &str = "-1";

/// What a send must know of the properties that came with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given<'a> {
    pub(super) unique_key: Option<&'a str>,
    pub(super) keys: Option<&'a str>,
    pub(super) is_transactional: bool,
    /// Level of the delay; 0 and below for none.
    pub(super) delay_level: i32,
    pub(super) is_timed: bool,
    /// The sender waits until the message is on disk, if this broker does so.
    pub(super) waits: bool,
    /// It says when its time was: it need not wait for one.
    pub(super) was_timed: bool,
    /// Properties that the broker does not store as they came.
    is_unclean: bool,
}

impl<'a> Given<'a> {
    pub(super) fn read(text: &'a str) -> Given<'a> {
        let mut given = Given { waits: true, ..Given::default() };
        for (name, value) in Properties(text).iter() {
            match name {
                name::UNIQ_KEY => given.unique_key = Some(value),
                name::KEYS => given.keys = Some(value),
                name::WAIT => given.waits = !value.eq_ignore_ascii_case("false"),
                name::TRAN_MSG => given.is_transactional = value.eq_ignore_ascii_case("true"),
                name::DELAY => given.delay_level = value.parse().unwrap_or(0),
                name::TIMER_DELAY_MS | name::TIMER_DELAY_SEC | name::TIMER_DELIVER_MS => given.is_timed = true,
                name::TIMER_OUT_MS => given.was_timed = true,
                name::CLUSTER | name::MSG_REGION | name::TRACE_ON | name::POP_CK => given.is_unclean = true,
                name if name.starts_with(name::TRANSIENT_PREFIX) => given.is_unclean = true,
                _ => {}
            }
        }
        given
    }

    /// The properties as they are stored: without what only this way of the message is about.
    pub(super) fn stored(&self, text: &'a str, is_dead: bool) -> Cow<'a, str> {
        // A level counts more than a time.
        let without_times = self.is_timed && (is_dead || self.delay_level > 0);
        if !(self.is_unclean || without_times || is_dead) {
            return Cow::Borrowed(text);
        }
        let is_kept = |name: &str| match name {
            name::CLUSTER | name::MSG_REGION | name::TRACE_ON | name::POP_CK => false,
            name::TIMER_DELAY_MS | name::TIMER_DELAY_SEC | name::TIMER_DELIVER_MS => !without_times,
            name::DELAY => !is_dead,
            name => !name.starts_with(name::TRANSIENT_PREFIX),
        };
        let mut kept = properties::encode(Properties(text).iter().filter(|(name, _)| is_kept(name)));
        if is_dead {
            properties::append(&mut kept, name::DELAY, DEAD_LEVEL);
        }
        Cow::Owned(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_stored_as_they_came_unless_they_must_not_be() {
        let text = "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}u\u{2}WAIT\u{1}false\u{2}DELAY\u{1}0\u{2}";
        let given = Given::read(text);
        assert_eq!((given.unique_key, given.keys), (Some("u"), Some("k")));
        assert!(!given.waits && given.delay_level == 0 && !given.is_unclean);
        assert!(matches!(given.stored(text, false), Cow::Borrowed(_)));

        let text = "CLUSTER\u{1}other\u{2}a\u{1}b\u{2}__RMQ.TRANSIENT.x\u{1}1\u{2}POP_CK\u{1}1\u{2}DELAY\u{1}3";
        let given = Given::read(text);
        assert!(given.delay_level == 3 && given.is_unclean);
        assert_eq!(given.stored(text, false), "a\u{1}b\u{2}DELAY\u{1}3\u{2}");
        assert_eq!(given.stored(text, true), "a\u{1}b\u{2}DELAY\u{1}-1\u{2}");
    }
}
