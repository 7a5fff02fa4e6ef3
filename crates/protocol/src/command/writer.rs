//! Writes commands behind whatever a buffer already holds.

use super::{FLAG_ONEWAY, FLAG_RESPONSE, Language, Version};
use crate::frame::{PREFIX_BYTES, Serialization};
use crate::header::{FieldSink, FieldValue, Header};

/// Everything of a header but its fields.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Request code or response code.
    pub code: i32,
    /// [`FLAG_RESPONSE`], [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Our language.
    pub language: Language,
    /// The number of the exchange.
    pub opaque: i32,
    /// What there is to say in words.
    pub remark: Option<&'a str>,
    /// Our release.
    pub version: Version,
}

impl Default for Head<'_> {
    fn default() -> Self {
        Head { code: 0, flag: 0, language: Language::JAVA, opaque: 0, remark: None, version: Version::CURRENT }
    }
}

impl<'a> Head<'a> {
    /// The head of a request that wants an answer.
    pub fn request(code: i32, opaque: i32) -> Head<'a> {
        Head { code, opaque, ..Head::default() }
    }

    /// The head of a request that wants none.
    pub fn oneway(code: i32, opaque: i32) -> Head<'a> {
        Head { code, opaque, flag: FLAG_ONEWAY, ..Head::default() }
    }

    /// The head of the answer to the request numbered `opaque`.
    pub fn response(code: i32, opaque: i32, remark: Option<&'a str>) -> Head<'a> {
        Head { code, opaque, remark, flag: FLAG_RESPONSE, ..Head::default() }
    }
}

/// Writes one command: the head at once, fields as they are given, the rest and the lengths at the end. Keys of a JSON
/// header come in alphabetical order, as Java writes them.
pub struct CommandWriter<'o, 'h> {
    out: &'o mut Vec<u8>,
    serialization: Serialization,
    head: Head<'h>,
    start: usize,
    /// Where the length of the binary form's fields stands.
    fields_at: usize,
    has_fields: bool,
}

impl<'o, 'h> CommandWriter<'o, 'h> {
    /// Begins a command at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, serialization: Serialization, head: Head<'h>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        match serialization {
            Serialization::Json => {
                out.extend_from_slice(b"{\"code\":");
                push_integer(out, head.code.into());
            }
            Serialization::Rocketmq => {
                // Codes of more than 16 bits are cut, as Java cuts them: they travel in JSON headers only.
                out.extend_from_slice(&(head.code as i16).to_be_bytes());
                out.push(head.language.0);
                out.extend_from_slice(&(head.version.0 as i16).to_be_bytes());
                out.extend_from_slice(&head.opaque.to_be_bytes());
                out.extend_from_slice(&head.flag.to_be_bytes());
                let remark = head.remark.unwrap_or_default();
                out.extend_from_slice(&(remark.len() as u32).to_be_bytes());
                out.extend_from_slice(remark.as_bytes());
            }
        }
        let fields_at = out.len();
        if serialization == Serialization::Rocketmq {
            out.extend_from_slice(&[0; 4]);
        }
        CommandWriter { out, serialization, head, start, fields_at, has_fields: false }
    }

    /// Adds the fields of `header`.
    pub fn header<'f>(mut self, header: &impl Header<'f>) -> Self {
        header.encode(&mut self);
        self
    }

    /// Ends the command with its body.
    pub fn finish(self, body: &[u8]) {
        let out = self.end(body.len());
        out.extend_from_slice(body);
    }

    /// Ends the command's header; the caller sends the `body_len` bytes of the body behind it.
    pub fn finish_detached(self, body_len: usize) {
        self.end(body_len);
    }

    fn end(self, body_len: usize) -> &'o mut Vec<u8> {
        let CommandWriter { out, head, start, fields_at, .. } = self;
        match self.serialization {
            Serialization::Json => {
                out.extend_from_slice(if self.has_fields { b"},\"flag\":" } else { b",\"flag\":" });
                push_integer(out, head.flag.into());
                out.extend_from_slice(b",\"language\":\"");
                out.extend_from_slice(head.language.name().as_bytes());
                out.extend_from_slice(b"\",\"opaque\":");
                push_integer(out, head.opaque.into());
                if let Some(remark) = head.remark {
                    out.extend_from_slice(b",\"remark\":\"");
                    push_escaped(out, remark);
                    out.push(b'"');
                }
                out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
                push_integer(out, head.version.0.into());
                out.push(b'}');
            }
            Serialization::Rocketmq => {
                let length = (out.len() - fields_at - 4) as u32;
                out[fields_at..fields_at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        let header = (out.len() - start - PREFIX_BYTES) as u32;
        let total = (out.len() - start - 4 + body_len) as u32;
        out[start..start + 4].copy_from_slice(&total.to_be_bytes());
        let mark = u32::from(self.serialization.number()) << 24 | header;
        out[start + 4..start + 8].copy_from_slice(&mark.to_be_bytes());
        out
    }
}

impl FieldSink for CommandWriter<'_, '_> {
    fn field(&mut self, key: &str, value: FieldValue<'_>) {
        match self.serialization {
            Serialization::Json => {
                self.out.extend_from_slice(self.field_start());
                push_escaped(self.out, key);
                self.json_value(value);
            }
            Serialization::Rocketmq => self.binary_field(key, value),
        }
        self.has_fields = true;
    }

    #[inline]
    fn known_field(&mut self, key: &'static str, value: FieldValue<'_>) {
        match self.serialization {
            Serialization::Json => {
                self.out.extend_from_slice(self.field_start());
                self.out.extend_from_slice(key.as_bytes());
                self.json_value(value);
            }
            Serialization::Rocketmq => self.binary_field(key, value),
        }
        self.has_fields = true;
    }
}

impl CommandWriter<'_, '_> {
    fn field_start(&self) -> &'static [u8] {
        if self.has_fields { b",\"" } else { b",\"extFields\":{\"" }
    }

    /// The rest of a JSON field, behind its key.
    fn json_value(&mut self, value: FieldValue<'_>) {
        self.out.extend_from_slice(b"\":\"");
        match value {
            FieldValue::Text(text) => push_escaped(self.out, text),
            FieldValue::Integer(number) => push_integer(self.out, number),
            FieldValue::Boolean(truth) => self.out.extend_from_slice(boolean(truth)),
        }
        self.out.push(b'"');
    }

    fn binary_field(&mut self, key: &str, value: FieldValue<'_>) {
        self.out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        self.out.extend_from_slice(key.as_bytes());
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        match value {
            FieldValue::Text(text) => self.out.extend_from_slice(text.as_bytes()),
            FieldValue::Integer(number) => push_integer(self.out, number),
            FieldValue::Boolean(truth) => self.out.extend_from_slice(boolean(truth)),
        }
        let length = (self.out.len() - at - 4) as u32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn boolean(truth: bool) -> &'static [u8] {
    if truth { b"true" } else { b"false" }
}

fn push_integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Escapes text for a JSON string the way fastjson does: short forms where JSON has one, `\u00XX` for the other control
/// characters, everything else as it is.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // Without an early end, so that it runs over many bytes at a time; nearly all texts are clean.
    let is_clean = bytes.iter().fold(true, |clean, byte| clean & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\'));
    if is_clean {
        return out.extend_from_slice(bytes);
    }
    let mut clean = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..at]);
        clean = at + 1;
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out.extend_from_slice(&bytes[clean..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::frame;

    #[test]
    fn a_json_answer_has_its_keys_in_java_s_order() {
        let mut out = b"before".to_vec();
        let mut writer = CommandWriter::new(&mut out, Serialization::Json, Head::response(17, 5, Some("no \"such\"")));
        writer.field("queueId", FieldValue::Integer(3));
        writer.field("ok", FieldValue::Boolean(true));
        writer.finish(b"xyz");
        let text = String::from_utf8(out[14..].to_vec()).unwrap();
        assert_eq!(
            text,
            "{\"code\":17,\"extFields\":{\"queueId\":\"3\",\"ok\":\"true\"},\"flag\":1,\"language\":\"JAVA\",\
             \"opaque\":5,\"remark\":\"no \\\"such\\\"\",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":479}xyz"
        );
    }

    #[test]
    fn every_character_survives_both_serializations() {
        let text: String = (1..0x250).filter_map(char::from_u32).chain(['😀', '\u{2028}']).collect();
        for serialization in [Serialization::Json, Serialization::Rocketmq] {
            let mut out = Vec::new();
            let head = Head { remark: Some(&text), ..Head::request(310, -1) };
            let mut writer = CommandWriter::new(&mut out, serialization, head);
            writer.field("i", FieldValue::Text(&text));
            writer.finish_detached(4);
            out.extend_from_slice(b"body");
            let frame = frame::split(&out, frame::FRAME_BYTES_MAX).unwrap().unwrap();
            let mut scratch = Vec::new();
            let command = Command::decode(&out, &frame, &mut scratch).unwrap();
            assert_eq!((command.code, command.opaque, command.body), (310, -1, &b"body"[..]));
            assert_eq!((command.remark, command.fields.get("i")), (Some(&text[..]), Some(&text[..])));
        }
    }
}
