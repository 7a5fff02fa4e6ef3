//! JSON headers. The usual form is read in one pass that records where things stand; text is unescaped in place after
//! the pass has found nothing unusual. Anything else goes through the tolerant reader.

use std::io::Write;

use smallvec::SmallVec;

use super::{Command, CommandError, FIELDS_MAX, Fields, Language, Version};
use crate::frame::Serialization;
use crate::json;

pub(super) fn decode<'a>(
    header: &'a mut [u8],
    body: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<Command<'a>, CommandError> {
    let mut scan = Scan::default();
    if scan.read(header).is_some() && std::str::from_utf8(header).is_ok() {
        scan.unescape(header);
        scan.command(header, body)
    } else {
        decode_unusual(header, body, scratch)
    }
}

/// A piece of the header: where a text or a number stands.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
    escaped: bool,
}

impl Span {
    fn of(self, header: &[u8]) -> &[u8] {
        &header[self.start as usize..self.end as usize]
    }

    /// The text, of a header whose escapes are resolved.
    fn text(self, header: &str) -> &str {
        // A span begins and ends beside a quote or an escape, so never inside a character.
        header.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What one pass over a header of the usual form finds.
#[derive(Default)]
struct Scan {
    code: i32,
    flag: i32,
    opaque: i32,
    version: i32,
    language: Option<Span>,
    remark: Option<Span>,
    fields: SmallVec<[(Span, Span); 24]>,
}

impl Scan {
    /// `None` when the header is not of the usual form: an object of the known keys, integers bare, texts in double
    /// quotes with sound escapes, the fields an object of texts.
    fn read(&mut self, header: &[u8]) -> Option<()> {
        let mut cursor = Cursor { bytes: header, at: 0 };
        cursor.take(b'{')?;
        loop {
            let key = cursor.string()?;
            cursor.take(b':')?;
            match key.of(header) {
                b"code" => self.code = cursor.integer()?,
                b"flag" => self.flag = cursor.integer()?,
                b"opaque" => self.opaque = cursor.integer()?,
                b"version" => self.version = cursor.integer()?,
                b"language" => self.language = cursor.string_or_null()?,
                b"remark" => self.remark = cursor.string_or_null()?,
                b"serializeTypeCurrentRPC" => drop(cursor.string_or_null()?),
                b"extFields" => self.read_fields(&mut cursor)?,
                _ => return None,
            }
            match cursor.next()? {
                b',' => {}
                b'}' => return cursor.at_end().then_some(()),
                _ => return None,
            }
        }
    }

    fn read_fields(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        if cursor.null() {
            return Some(());
        }
        cursor.take(b'{')?;
        if cursor.peek()? == b'}' {
            return cursor.take(b'}');
        }
        loop {
            let key = cursor.string()?;
            cursor.take(b':')?;
            if let Some(value) = cursor.string_or_null()? {
                if self.fields.len() == FIELDS_MAX {
                    return None;
                }
                self.fields.push((key, value));
            }
            match cursor.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Resolves the escapes of every text in place.
    fn unescape(&mut self, header: &mut [u8]) {
        let spans = self.fields.iter_mut().flat_map(|(key, value)| [key, value]);
        for span in spans.chain(&mut self.language).chain(&mut self.remark).filter(|span| span.escaped) {
            let text = &mut header[span.start as usize..span.end as usize];
            let length = unescape_in_place(text);
            // What is left over would otherwise be pieces of characters.
            text[length..].fill(b' ');
            span.end = span.start + length as u32;
        }
    }

    fn command<'a>(&self, header: &'a [u8], body: &'a [u8]) -> Result<Command<'a>, CommandError> {
        let header = std::str::from_utf8(header).map_err(|error| CommandError::Json(error.to_string()))?;
        let mut fields = Fields::default();
        for (key, value) in &self.fields {
            fields.push(key.text(header), value.text(header))?;
        }
        let language = self.language.map_or(Language::JAVA, |span| Language::from_name(span.text(header)));
        Ok(Command {
            code: self.code,
            flag: self.flag,
            language,
            opaque: self.opaque,
            version: Version(self.version),
            remark: self.remark.map(|span| span.text(header)),
            serialization: Serialization::Json,
            fields,
            body,
        })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next byte that is not white space, without going past it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        // Machines write no white space; only its absence is worth being quick about.
        if byte > b' ' { Some(byte) } else { self.peek_behind_space() }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Option<u8> {
        while matches!(*self.bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Only white space is left; some clients end the header with a newline.
    fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n') && self.bytes[self.at..].starts_with(b"null");
        if is_null {
            self.at += 4;
        }
        is_null
    }

    fn string_or_null(&mut self) -> Option<Option<Span>> {
        if self.null() { Some(None) } else { self.string().map(Some) }
    }

    /// A text in double quotes, its escapes sound; the span is what stands between them.
    #[inline]
    fn string(&mut self) -> Option<Span> {
        self.take(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let text = self.bytes.get(self.at..)?;
            let run = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            self.at += run;
            if text[run] == b'"' {
                break;
            }
            escaped = true;
            self.at += escape(&text[run..])?.1;
        }
        let end = self.at;
        self.at += 1;
        Some(Span { start: start as u32, end: end as u32, escaped })
    }

    fn integer(&mut self) -> Option<i32> {
        self.peek()?;
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-') {
            self.at += 1;
        }
        std::str::from_utf8(&self.bytes[start..self.at]).ok()?.parse().ok()
    }
}

/// The value of the four hexadecimal digits behind `\u`, if `text` begins with such an escape.
fn hex_escape(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | (*digit as char).to_digit(16)?))
}

/// The character at the front of `text`, which begins with a backslash, and the bytes it is written with.
/// A surrogate without its other half becomes U+FFFD.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let plain = match *text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex_escape(text)?;
            if (0xd800..0xdc00).contains(&first)
                && let Some(second @ 0xdc00..0xe000) = hex_escape(&text[6..])
            {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Some((char::from_u32(code)?, 12));
            }
            return Some((char::from_u32(first).unwrap_or('\u{fffd}'), 6));
        }
        _ => return None,
    };
    Some((plain, 2))
}

/// Resolves the escapes, which are sound, and returns the new length. A character never takes more bytes than its
/// escape did, so the text shrinks where it stands.
fn unescape_in_place(text: &mut [u8]) -> usize {
    let (mut read, mut written) = (0, 0);
    while let Some(run) = text[read..].iter().position(|byte| *byte == b'\\') {
        text.copy_within(read..read + run, written);
        read += run;
        written += run;
        let Some((character, length)) = escape(&text[read..]) else { break };
        let mut utf8 = [0; 4];
        let encoded = character.encode_utf8(&mut utf8).as_bytes();
        text[written..written + encoded.len()].copy_from_slice(encoded);
        read += length;
        written += encoded.len();
    }
    text.copy_within(read.., written);
    written + text.len() - read
}

/// Reads a header that Java's lenient reader takes and the pass above does not: numbers as texts or texts as numbers,
/// unknown keys, enum ordinals, bytes that are not UTF-8. The texts are laid out in `scratch` and borrowed from it.
fn decode_unusual<'a>(header: &[u8], body: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Command<'a>, CommandError> {
    let value = json::parse_value(header).map_err(|error| CommandError::Json(error.to_string()))?;
    let object = value.as_object().ok_or_else(|| CommandError::Json("it is not an object".into()))?;
    let integer = |key| lenient_integer(object.get(key));
    let language = match object.get("language") {
        Some(serde_json::Value::Number(ordinal)) => {
            ordinal.as_u64().and_then(|at| u8::try_from(at).ok()).map_or(Language::OTHER, Language)
        }
        Some(serde_json::Value::String(name)) => Language::from_name(name),
        _ => Language::JAVA,
    };

    scratch.clear();
    let mut ends: SmallVec<[usize; 64]> = SmallVec::new();
    let mut lay_out = |value: &serde_json::Value| {
        match value {
            serde_json::Value::String(text) => scratch.extend_from_slice(text.as_bytes()),
            // Writing to a Vec cannot fail.
            other => write!(scratch, "{other}").expect("a Vec takes every byte"),
        }
        ends.push(scratch.len());
    };
    let remark = object.get("remark").filter(|remark| !remark.is_null());
    if let Some(remark) = remark {
        lay_out(remark);
    }
    if let Some(serde_json::Value::Object(map)) = object.get("extFields") {
        if map.len() > FIELDS_MAX {
            return Err(CommandError::TooManyFields);
        }
        for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            lay_out(&serde_json::Value::String(key.clone()));
            lay_out(value);
        }
    }

    let text = std::str::from_utf8(scratch).map_err(|error| CommandError::Json(error.to_string()))?;
    let mut start = 0;
    let mut pieces = ends.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]);
    let remark = remark.and_then(|_| pieces.next());
    let mut fields = Fields::default();
    while let (Some(key), Some(value)) = (pieces.next(), pieces.next()) {
        fields.push(key, value)?;
    }
    Ok(Command {
        code: integer("code"),
        flag: integer("flag"),
        language,
        opaque: integer("opaque"),
        version: Version(integer("version")),
        remark,
        serialization: Serialization::Json,
        fields,
        body,
    })
}

/// A number, a text that is one, or 0.
fn lenient_integer(value: Option<&serde_json::Value>) -> i32 {
    match value {
        Some(serde_json::Value::Number(number)) => number.as_i64().map_or(0, |wide| wide as i32),
        Some(serde_json::Value::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(header: &str, check: impl FnOnce(Result<Command<'_>, CommandError>) -> T) -> T {
        let mut bytes = header.as_bytes().to_vec();
        check(decode(&mut bytes, b"body", &mut Vec::new()))
    }

    const SEND: &str = "{\"code\":310,\"extFields\":{\"a\":\"group\",\"i\":\"KEYS\\u0001k\\u0002\\u00e9\\ud83d\\ude00\"},\
                        \"flag\":0,\"language\":\"GO\",\"opaque\":7,\"serializeTypeCurrentRPC\":\"JSON\",\"version\":479}\n";

    #[test]
    fn the_usual_form_is_read_without_the_tolerant_reader() {
        assert!(Scan::default().read(SEND.as_bytes()).is_some());
        with(SEND, |command| {
            let command = command.unwrap();
            assert_eq!((command.code, command.opaque, command.language.0), (310, 7, 9));
            assert_eq!(command.fields.get("a"), Some("group"));
            assert_eq!(command.fields.get("i"), Some("KEYS\u{1}k\u{2}é😀"));
            assert_eq!(command.body, b"body");
        });
    }

    #[test]
    fn unusual_forms_are_read_by_the_tolerant_reader() {
        let odd = "{\"code\":\"11\",\"language\":3,\"flag\":null,\"unknown\":[1],\"opaque\":5,\
                   \"extFields\":{\"queueId\":4,\"order\":true,\"none\":null},\"remark\":\"r\"}";
        assert!(Scan::default().read(odd.as_bytes()).is_none());
        with(odd, |command| {
            let command = command.unwrap();
            assert_eq!((command.code, command.opaque, command.language.0), (11, 5, 3));
            assert_eq!(command.fields.get("queueId"), Some("4"));
            assert_eq!(command.fields.get("order"), Some("true"));
            assert_eq!((command.fields.get("none"), command.remark), (None, Some("r")));
        });
    }

    #[test]
    fn a_header_cut_anywhere_is_an_error_and_not_a_panic() {
        for cut in 0..SEND.len() - 2 {
            with(&SEND[..cut], |command| assert!(command.is_err(), "{cut} bytes"));
        }
    }

    #[test]
    fn half_surrogates_and_unsound_escapes() {
        with(r#"{"code":1,"remark":"a\ud83dz"}"#, |command| assert_eq!(command.unwrap().remark, Some("a\u{fffd}z")));
        with(r#"{"code":1,"remark":"a\x"}"#, |command| assert!(command.is_err()));
        with(r#"{"code":1,"remark":"a\u12"}"#, |command| assert!(command.is_err()));
    }

    #[test]
    fn nesting_and_floods_of_fields_are_refused() {
        with(&"[".repeat(100_000), |command| assert!(command.is_err()));
        with(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)), |command| assert!(command.is_err()));
        let fields: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":\"v\"")).collect();
        with(&format!("{{\"code\":1,\"extFields\":{{{}}}}}", fields.join(",")), |command| {
            assert_eq!(command.unwrap_err(), CommandError::TooManyFields);
        });
    }
}
