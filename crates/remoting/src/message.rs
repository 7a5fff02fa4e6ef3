//! Requests and responses that are not tied to a buffer.

use std::fmt::Write as _;

use bytes::Bytes;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Command, Head, Language, Version};
use raptormq_protocol::header::{FieldSink, FieldValue, Header, HeaderError};

use crate::Output;

/// What an answer must know of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The requester's number for the exchange.
    pub opaque: i32,
    /// The requester wants no answer.
    pub oneway: bool,
}

impl From<&Command<'_>> for Exchange {
    fn from(request: &Command<'_>) -> Self {
        Exchange { opaque: request.opaque, oneway: request.is_oneway() }
    }
}

/// Header fields that own their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedFields {
    text: String,
    /// Where in `text` a key begins, where it ends and its value begins, where that ends.
    places: Vec<[u32; 3]>,
}

impl OwnedFields {
    /// The value of `key`; the last one, should it stand there twice.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Keys and values, in the order in which they came.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + ExactSizeIterator {
        self.places.iter().map(|[key, value, end]| {
            (&self.text[*key as usize..*value as usize], &self.text[*value as usize..*end as usize])
        })
    }

    /// Room for that many fields and bytes of text, so that filling in one by one does not move them again and again.
    fn with_capacity(fields: usize, bytes: usize) -> OwnedFields {
        OwnedFields { text: String::with_capacity(bytes), places: Vec::with_capacity(fields) }
    }

    fn push(&mut self, key: &str, write: impl FnOnce(&mut String)) {
        let start = self.text.len() as u32;
        self.text.push_str(key);
        let middle = self.text.len() as u32;
        write(&mut self.text);
        self.places.push([start, middle, self.text.len() as u32]);
    }
}

impl FieldSink for OwnedFields {
    fn field(&mut self, key: &str, value: FieldValue<'_>) {
        self.push(key, |text| match value {
            FieldValue::Text(value) => text.push_str(value),
            // Writing to a String cannot fail.
            FieldValue::Integer(number) => drop(write!(text, "{number}")),
            FieldValue::Boolean(truth) => text.push_str(if truth { "true" } else { "false" }),
        });
    }
}

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked for.
    pub code: RequestCode,
    /// The header's fields.
    pub fields: OwnedFields,
    /// What follows the header.
    pub body: Bytes,
}

impl Request {
    /// A request without fields and body.
    pub fn new(code: RequestCode) -> Request {
        Request { code, fields: OwnedFields::default(), body: Bytes::new() }
    }

    /// Adds the fields of `header`.
    pub fn header<'f>(mut self, header: &impl Header<'f>) -> Request {
        if self.fields.places.is_empty() {
            self.fields = OwnedFields::with_capacity(HEADER_FIELDS, HEADER_BYTES);
        }
        header.encode(&mut self.fields);
        self
    }

    /// Adds one field.
    pub fn field(mut self, key: &str, value: &str) -> Request {
        self.fields.field(key, FieldValue::Text(value));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Request {
        self.body = body.into();
        self
    }

    /// Upper bound of what the request takes up on the wire, escapes in its texts apart.
    pub(crate) fn size_hint(&self) -> usize {
        self.fields.text.len() + FIELD_BYTES * self.fields.places.len() + self.body.len() + HEAD_BYTES
    }
}

/// The answer to a request: received, or to be sent.
#[derive(Clone, Debug)]
pub struct Response {
    /// How it went.
    pub code: ResponseCode,
    /// What there is to say in words.
    pub remark: Option<String>,
    /// The sender's language.
    pub language: Language,
    /// The sender's release.
    pub version: Version,
    /// The header's fields.
    pub fields: OwnedFields,
    /// What follows the header.
    pub body: Bytes,
}

impl Response {
    /// An answer of our own, without remark, fields and body.
    pub fn new(code: ResponseCode) -> Response {
        let Head { language, version, .. } = Head::default();
        Response { code, remark: None, language, version, fields: OwnedFields::default(), body: Bytes::new() }
    }

    /// Says why in words.
    pub fn remark(mut self, remark: impl Into<String>) -> Response {
        self.remark = Some(remark.into());
        self
    }

    /// Adds the fields of `header`.
    pub fn with_header<'f>(mut self, header: &impl Header<'f>) -> Response {
        header.encode(&mut self.fields);
        self
    }

    /// Adds one field.
    pub fn field(mut self, key: &str, value: &str) -> Response {
        self.fields.field(key, FieldValue::Text(value));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Response {
        self.body = body.into();
        self
    }

    /// The fields as the header type that belongs to the request's code.
    pub fn header<'a, H: Header<'a>>(&'a self) -> Result<H, HeaderError> {
        H::decode(self.fields.iter())
    }

    /// Whether the code is SUCCESS.
    pub fn is_success(&self) -> bool {
        self.code == ResponseCode::SUCCESS
    }

    /// Copies what was received out of its buffer.
    pub(crate) fn of(command: &Command<'_>) -> Response {
        let bytes = command.fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        let mut fields = OwnedFields::with_capacity(command.fields.iter().len(), bytes);
        for (key, value) in command.fields.iter() {
            fields.push(key, |text| text.push_str(value));
        }
        Response {
            code: ResponseCode(command.code),
            remark: command.remark.map(str::to_owned),
            language: command.language,
            version: command.version,
            fields,
            body: Bytes::copy_from_slice(command.body),
        }
    }
}

/// Writes a request's or response's head, fields and body.
pub(crate) fn write(out: &mut Output, head: Head<'_>, fields: &OwnedFields, body: &Bytes) {
    let mut writer = out.writer(head);
    for (key, value) in fields.iter() {
        writer.field(key, FieldValue::Text(value));
    }
    if body.len() <= COPY_BYTES_MAX {
        writer.finish(body);
    } else {
        writer.finish_detached(body.len());
        out.attach(body.clone());
    }
}

/// Writes a request's head, header and body.
pub(crate) fn write_header<'f>(out: &mut Output, head: Head<'_>, header: &impl Header<'f>, body: &Bytes) {
    let writer = out.writer(head).header(header);
    if body.len() <= COPY_BYTES_MAX {
        writer.finish(body);
    } else {
        writer.finish_detached(body.len());
        out.attach(body.clone());
    }
}

/// As [`Request::size_hint`], of a header that is not encoded yet.
pub(crate) fn size_hint<'f>(header: &impl Header<'f>, body: &Bytes) -> usize {
    let mut counted = Counted(0);
    header.encode(&mut counted);
    counted.0 + body.len() + HEAD_BYTES
}

/// Bytes of fields, escapes in texts apart.
struct Counted(usize);

impl FieldSink for Counted {
    #[inline]
    fn field(&mut self, key: &str, value: FieldValue<'_>) {
        /// Digits and sign of the longest number.
        const NUMBER_BYTES: usize = 20;
        let value = match value {
            FieldValue::Text(text) => text.len(),
            FieldValue::Integer(_) => NUMBER_BYTES,
            FieldValue::Boolean(truth) => {
                if truth {
                    4
                } else {
                    5
                }
            }
        };
        self.0 += key.len() + value + FIELD_BYTES;
    }
}

/// Upper bound of what a command takes besides its fields and its body.
const HEAD_BYTES: usize = 160;
/// Upper bound of what a field takes besides its key and its value.
const FIELD_BYTES: usize = 8;

/// Fields that most headers have at most; others grow.
const HEADER_FIELDS: usize = 16;
/// Bytes of text that most headers have at most.
const HEADER_BYTES: usize = 384;

/// Bodies up to this size are copied behind their header; a slice of their own costs the kernel more than the copy.
const COPY_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_protocol::header::GetMaxOffsetRequestHeader;

    #[test]
    fn a_request_keeps_its_fields_in_order() {
        let header = GetMaxOffsetRequestHeader { topic: "T", queue_id: 3, committed: false };
        let request = Request::new(RequestCode(30)).header(&header).field("x", "").body("b");
        let fields: Vec<_> = request.fields.iter().collect();
        assert_eq!(fields, [("topic", "T"), ("queueId", "3"), ("committed", "false"), ("x", "")]);
        assert_eq!(request.fields.get("queueId"), Some("3"));
        assert_eq!(request.fields.get("nothing"), None);
    }
}
