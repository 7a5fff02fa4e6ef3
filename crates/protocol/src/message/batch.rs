//! The inner form of a batch: the body of `SEND_BATCH_MESSAGE` (320) is these messages one after another.
//!
//! Per message: i32 total size, i32 magic 0, i32 CRC 0, i32 flag, i32 body length and body, i16 properties length and
//! properties (Java: `common/message/MessageDecoder.java`, `encodeMessage` and `decodeMessage`).

use super::properties;

/// Bytes of a message that has neither body nor properties.
const FIXED_BYTES: usize = 4 + 4 + 4 + 4 + 4 + 2;

/// One message of a batch: everything that it does not share with the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InnerMessage<'a> {
    /// The user's flag.
    pub flag: i32,
    /// The body; never compressed.
    pub body: &'a [u8],
    /// The message's own properties; the batch's are appended when it is stored.
    pub properties: &'a str,
}

/// Why a batch cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A length points behind the end of the batch, or the total size is not the sum of its parts.
    #[error("message {index} of the batch does not match its lengths")]
    Lengths {
        /// Number of the message within the batch.
        index: usize,
    },
    /// Property text that is not UTF-8.
    #[error("message {index} of the batch has properties that are not UTF-8")]
    NotUtf8 {
        /// Number of the message within the batch.
        index: usize,
    },
    /// Body or properties that the length fields cannot express.
    #[error("a body or properties too long for a batch")]
    TooLong,
}

/// Appends `message` to `out`.
pub fn encode(message: &InnerMessage<'_>, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let total = FIXED_BYTES + message.body.len() + message.properties.len();
    if message.properties.len() > properties::BYTES_MAX {
        return Err(BatchError::TooLong);
    }
    let total = i32::try_from(total).map_err(|_| BatchError::TooLong)?;
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&message.flag.to_be_bytes());
    // The body is shorter than the total, and the properties were checked: both casts keep the value.
    out.extend_from_slice(&(message.body.len() as i32).to_be_bytes());
    out.extend_from_slice(message.body);
    out.extend_from_slice(&(message.properties.len() as i16).to_be_bytes());
    out.extend_from_slice(message.properties.as_bytes());
    Ok(())
}

/// The messages of a batch body. After an error the iterator ends.
pub fn decode(body: &[u8]) -> Messages<'_> {
    Messages { rest: body, index: 0 }
}

/// Iterator over the messages of a batch: see [`decode`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    index: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<InnerMessage<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let index = self.index;
        self.index += 1;
        let message = match split_message(self.rest) {
            Some((message, properties, rest)) => {
                self.rest = rest;
                std::str::from_utf8(properties)
                    .map(|properties| InnerMessage { properties, ..message })
                    .map_err(|_| BatchError::NotUtf8 { index })
            }
            None => Err(BatchError::Lengths { index }),
        };
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

/// The first message, its property bytes and what follows it; `None` when the lengths contradict each other.
fn split_message(batch: &[u8]) -> Option<(InnerMessage<'_>, &[u8], &[u8])> {
    let total = usize::try_from(i32::from_be_bytes(*batch.first_chunk()?)).ok()?;
    let (message, rest) = batch.split_at_checked(total)?;
    let flag = i32::from_be_bytes(*message.get(12..)?.first_chunk()?);
    let body_len = usize::try_from(i32::from_be_bytes(*message.get(16..)?.first_chunk()?)).ok()?;
    let (body, tail) = message.get(20..)?.split_at_checked(body_len)?;
    let properties_len = usize::try_from(i16::from_be_bytes(*tail.first_chunk()?)).ok()?;
    let properties = tail.get(2..)?;
    (properties.len() == properties_len).then_some((InnerMessage { flag, body, properties: "" }, properties, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_javas() {
        let mut out = Vec::new();
        encode(&InnerMessage { flag: 7, body: b"ab", properties: "k\u{1}v\u{2}" }, &mut out).unwrap();
        let expected =
            [[0, 0, 0, 28].as_slice(), &[0; 8], &[0, 0, 0, 7], &[0, 0, 0, 2], b"ab", &[0, 4], b"k\x01v\x02"].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn a_batch_cut_at_any_length_is_refused_or_shorter() {
        let mut batch = Vec::new();
        for body in [b"first".as_slice(), b"", b"third"] {
            encode(&InnerMessage { flag: 0, body, properties: "a\u{1}b\u{2}" }, &mut batch).unwrap();
        }
        let ends: Vec<usize> = [0, 31, 57, 88].into();
        assert_eq!(batch.len(), 88);
        for cut in 0..=batch.len() {
            let whole = decode(&batch[..cut]).all(|message| message.is_ok());
            assert_eq!(whole, ends.contains(&cut), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(messages in proptest::collection::vec((any::<i32>(), any::<Vec<u8>>(), "[a-z]{0,30}"), 0..6)) {
            let mut batch = Vec::new();
            for (flag, body, properties) in &messages {
                encode(&InnerMessage { flag: *flag, body, properties }, &mut batch).unwrap();
            }
            let read: Vec<_> = decode(&batch).map(|m| m.unwrap()).map(|m| (m.flag, m.body.to_vec(), m.properties.to_owned())).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn noise_is_read_without_panic(noise in any::<Vec<u8>>()) {
            decode(&noise).for_each(drop);
        }
    }
}
