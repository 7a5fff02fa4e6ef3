//! The text form of a message's properties: name, 0x01, value, 0x02, repeated.
//!
//! Current Java writes the last 0x02, older encoders leave it out; both are read. A piece that is shorter than three
//! characters, has no 0x01 or an empty value is skipped, as Java's `MessageDecoder.string2messageProperties` does.
//! When a name comes twice (the messages of a batch carry their own properties and the batch's), the last one counts.

use crate::marks::Marks;

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: char = '\u{1}';
/// After a value.
pub const PROPERTY_SEPARATOR: char = '\u{2}';
/// Longest property text, in bytes: its length is a 16-bit number on the wire and on disk.
pub const BYTES_MAX: usize = i16::MAX as usize;

/// Declares the names and the list of them.
macro_rules! names {
    ($($constant:ident = $name:literal,)*) => {
        $(pub const $constant: &str = $name;)*

        /// All of them: what a user may not call a property of his own.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

/// Property names that brokers and clients give a meaning to (Java: `common/message/MessageConst.java`).
#[allow(missing_docs, reason = "a table of Java's names")]
pub mod name {
    names! {
        KEYS = "KEYS",
        TAGS = "TAGS",
        WAIT = "WAIT",
        DELAY = "DELAY",
        RETRY_TOPIC = "RETRY_TOPIC",
        REAL_TOPIC = "REAL_TOPIC",
        REAL_QID = "REAL_QID",
        TRAN_MSG = "TRAN_MSG",
        PGROUP = "PGROUP",
        MIN_OFFSET = "MIN_OFFSET",
        MAX_OFFSET = "MAX_OFFSET",
        BUYER_ID = "BUYER_ID",
        ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID",
        TRANSFER_FLAG = "TRANSFER_FLAG",
        CORRECTION_FLAG = "CORRECTION_FLAG",
        MQ2_FLAG = "MQ2_FLAG",
        RECONSUME_TIME = "RECONSUME_TIME",
        MSG_REGION = "MSG_REGION",
        TRACE_ON = "TRACE_ON",
        UNIQ_KEY = "UNIQ_KEY",
        EXTEND_UNIQ_INFO = "EXTEND_UNIQ_INFO",
        MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES",
        CONSUME_START_TIME = "CONSUME_START_TIME",
        INNER_NUM = "INNER_NUM",
        INNER_BASE = "INNER_BASE",
        DUP_INFO = "DUP_INFO",
        CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS",
        TRAN_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET",
        TRANSACTION_ID = "__transactionId__",
        TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES",
        INSTANCE_ID = "INSTANCE_ID",
        CORRELATION_ID = "CORRELATION_ID",
        REPLY_TO_CLIENT = "REPLY_TO_CLIENT",
        TTL = "TTL",
        ARRIVE_TIME = "ARRIVE_TIME",
        PUSH_REPLY_TIME = "PUSH_REPLY_TIME",
        CLUSTER = "CLUSTER",
        MSG_TYPE = "MSG_TYPE",
        POP_CK = "POP_CK",
        POP_CK_OFFSET = "POP_CK_OFFSET",
        FIRST_POP_TIME = "1ST_POP_TIME",
        SHARDING_KEY = "__SHARDINGKEY",
        REDIRECT = "REDIRECT",
        INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH",
        INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET",
        TRACE_CONTEXT = "TRACE_CONTEXT",
        TIMER_DELAY_SEC = "TIMER_DELAY_SEC",
        TIMER_DELIVER_MS = "TIMER_DELIVER_MS",
        TIMER_DELAY_MS = "TIMER_DELAY_MS",
        TIMER_OUT_MS = "TIMER_OUT_MS",
        TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS",
        TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS",
        TIMER_ROLL_TIMES = "TIMER_ROLL_TIMES",
        TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY",
        CRC32 = "__CRC32#",
        DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC",
        DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID",
        BORN_HOST = "__BORNHOST",
        BORN_TIMESTAMP = "BORN_TIMESTAMP",
    }

    /// Properties whose names start so are dropped before storing.
    pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
}

/// A borrowed property text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(pub &'a str);

impl<'a> Properties<'a> {
    /// The properties in the order of the text, repeated names included.
    #[inline]
    pub fn iter(self) -> Iter<'a> {
        Iter { text: self.0, at: 0, marks: Marks::new(self.0.as_bytes()) }
    }

    /// The value of `name`: the last one when the name comes twice.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }
}

/// The properties of a text: see [`Properties::iter`].
pub struct Iter<'a> {
    text: &'a str,
    /// Where the next piece begins; behind the text's length when there is none.
    at: usize,
    marks: Marks<'a, { NAME_VALUE_SEPARATOR as u8 }, { PROPERTY_SEPARATOR as u8 }>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        while self.at < self.text.len() {
            let start = self.at;
            let mut name_end = None;
            let end = loop {
                match self.marks.next() {
                    None => break self.text.len(),
                    Some(mark) if self.text.as_bytes()[mark] == PROPERTY_SEPARATOR as u8 => break mark,
                    // A second one belongs to the value.
                    Some(mark) => name_end = name_end.or(Some(mark)),
                }
            };
            self.at = end + 1;
            if let Some(name_end) = name_end
                && end - start >= 3
                && name_end + 1 < end
            {
                return Some((&self.text[start..name_end], &self.text[name_end + 1..end]));
            }
        }
        None
    }
}

/// Appends a property to a text, closing a text whose last 0x02 was left out.
///
/// Neither `name` nor `value` may hold 0x01 or 0x02: whoever takes them from a user checks that first.
pub fn append(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() && !text.ends_with(PROPERTY_SEPARATOR) {
        text.push(PROPERTY_SEPARATOR);
    }
    text.push_str(name);
    text.push(NAME_VALUE_SEPARATOR);
    text.push_str(value);
    text.push(PROPERTY_SEPARATOR);
}

/// The text of `pairs` in their order.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        append(&mut text, name, value);
    }
    text
}

/// The text without the properties of that name; everything else stays byte for byte.
pub fn without(text: &str, name: &str) -> String {
    let named = |piece: &str| piece.split_once(NAME_VALUE_SEPARATOR).is_some_and(|(found, _)| found == name);
    text.split_inclusive(PROPERTY_SEPARATOR).filter(|piece| !named(piece)).collect()
}

/// The text with other values: each name of `changes` is taken out, and put at the end where it has a value. Neither may
/// hold 0x01 or 0x02.
pub fn changed(text: &str, changes: &[(&str, Option<&str>)]) -> String {
    let named = |piece: &str| {
        let name = piece.split_once(NAME_VALUE_SEPARATOR).map(|(name, _)| name);
        name.is_some_and(|name| changes.iter().any(|(changed, _)| *changed == name))
    };
    let mut kept: String = text.split_inclusive(PROPERTY_SEPARATOR).filter(|piece| !named(piece)).collect();
    for (name, value) in changes {
        if let Some(value) = value {
            append(&mut kept, name, value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_text_with_and_without_the_last_separator() {
        for text in ["KEYS\u{1}k1 k2\u{2}TAGS\u{1}TagA\u{2}", "KEYS\u{1}k1 k2\u{2}TAGS\u{1}TagA"] {
            let pairs: Vec<_> = Properties(text).iter().collect();
            assert_eq!(pairs, [("KEYS", "k1 k2"), ("TAGS", "TagA")]);
        }
    }

    #[test]
    fn skips_pieces_that_java_skips() {
        let text = "\u{2}x\u{2}a\u{1}\u{2}longer\u{1}\u{2}no separator\u{2}b\u{1}1\u{2}";
        assert_eq!(Properties(text).iter().collect::<Vec<_>>(), [("b", "1")]);
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        assert_eq!(Properties("a\u{1}1\u{2}a\u{1}2\u{2}").get("a"), Some("2"));
    }

    #[test]
    fn append_closes_an_open_text() {
        let mut text = "a\u{1}1".to_owned();
        append(&mut text, "b", "2");
        assert_eq!(text, "a\u{1}1\u{2}b\u{1}2\u{2}");
    }

    #[test]
    fn without_takes_out_every_occurrence() {
        assert_eq!(without("a\u{1}1\u{2}b\u{1}2\u{2}a\u{1}3", "a"), "b\u{1}2\u{2}");
    }

    #[test]
    fn changed_sets_and_takes_out() {
        let text = "a\u{1}1\u{2}b\u{1}2\u{2}c\u{1}3";
        assert_eq!(changed(text, &[("a", Some("9")), ("b", None)]), "c\u{1}3\u{2}a\u{1}9\u{2}");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(pairs in proptest::collection::vec(("[a-zA-Z_#%]{1,20}", "[^\u{1}\u{2}]{1,20}"), 0..10)) {
            // A name and a value of one ASCII character each make three bytes, the shortest piece that counts.
            let text = encode(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let read: Vec<_> = Properties(&text).iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            Properties(&text).iter().for_each(drop);
        }
    }
}
