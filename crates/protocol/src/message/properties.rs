//! The text form of a message's properties: name, 0x01, value, 0x02, repeated.
//!
//! Current Java writes the last 0x02, older encoders leave it out; both are read. A piece that is shorter than three
//! characters, has no 0x01 or an empty value is skipped, as Java's `MessageDecoder.string2messageProperties` does.
//! When a name comes twice (the messages of a batch carry their own properties and the batch's), the last one counts.

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: char = '\u{1}';
/// After a value.
pub const PROPERTY_SEPARATOR: char = '\u{2}';
/// Longest property text, in bytes: its length is a 16-bit number on the wire and on disk.
pub const BYTES_MAX: usize = i16::MAX as usize;

/// Property names that brokers and clients give a meaning to (Java: `common/message/MessageConst.java`).
#[allow(missing_docs, reason = "a table of Java's names")]
pub mod name {
    pub const KEYS: &str = "KEYS";
    pub const TAGS: &str = "TAGS";
    pub const WAIT: &str = "WAIT";
    pub const DELAY: &str = "DELAY";
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    pub const REAL_QID: &str = "REAL_QID";
    pub const TRAN_MSG: &str = "TRAN_MSG";
    pub const PGROUP: &str = "PGROUP";
    pub const MIN_OFFSET: &str = "MIN_OFFSET";
    pub const MAX_OFFSET: &str = "MAX_OFFSET";
    pub const BUYER_ID: &str = "BUYER_ID";
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    pub const TRANSFER_FLAG: &str = "TRANSFER_FLAG";
    pub const CORRECTION_FLAG: &str = "CORRECTION_FLAG";
    pub const MQ2_FLAG: &str = "MQ2_FLAG";
    pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
    pub const MSG_REGION: &str = "MSG_REGION";
    pub const TRACE_ON: &str = "TRACE_ON";
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    pub const EXTEND_UNIQ_INFO: &str = "EXTEND_UNIQ_INFO";
    pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
    pub const INNER_NUM: &str = "INNER_NUM";
    pub const INNER_BASE: &str = "INNER_BASE";
    pub const DUP_INFO: &str = "DUP_INFO";
    pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
    pub const TRAN_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
    pub const TRANSACTION_ID: &str = "__transactionId__";
    pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
    pub const INSTANCE_ID: &str = "INSTANCE_ID";
    pub const CORRELATION_ID: &str = "CORRELATION_ID";
    pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
    pub const TTL: &str = "TTL";
    pub const ARRIVE_TIME: &str = "ARRIVE_TIME";
    pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
    pub const CLUSTER: &str = "CLUSTER";
    pub const MSG_TYPE: &str = "MSG_TYPE";
    pub const POP_CK: &str = "POP_CK";
    pub const POP_CK_OFFSET: &str = "POP_CK_OFFSET";
    pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    pub const REDIRECT: &str = "REDIRECT";
    pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
    pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
    pub const TRACE_CONTEXT: &str = "TRACE_CONTEXT";
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
    pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
    pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
    pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
    pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
    pub const CRC32: &str = "__CRC32#";
    pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
    pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
    pub const BORN_HOST: &str = "__BORNHOST";
    pub const BORN_TIMESTAMP: &str = "BORN_TIMESTAMP";
    /// Properties whose names start so are dropped before storing.
    pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
}

/// A borrowed property text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(pub &'a str);

impl<'a> Properties<'a> {
    /// The properties in the order of the text, repeated names included.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.split(PROPERTY_SEPARATOR).filter_map(|piece| {
            let (name, value) = piece.split_once(NAME_VALUE_SEPARATOR)?;
            (piece.len() >= 3 && !value.is_empty()).then_some((name, value))
        })
    }

    /// The value of `name`: the last one when the name comes twice.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
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
