//! JSON headers. The usual form is read in one pass: a mask of all quotes and backslashes says where texts begin and end,
//! and texts are borrowed where they stand; only those with escapes (a message's properties) are written out into the
//! scratch buffer. Anything else goes through the tolerant reader.

use std::io::Write;
use std::ops::Range;

use smallvec::SmallVec;

use super::{Command, CommandError, FIELDS_MAX, Fields, Language, Version};
use crate::frame::Serialization;
use crate::json;

pub(super) fn decode<'a>(
    header: &'a [u8],
    body: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<Command<'a>, CommandError> {
    scratch.clear();
    let scan = std::str::from_utf8(header).ok().and_then(|text| Scan::read(text, scratch));
    match scan {
        Some(scan) => scan.command(scratch, body),
        None => decode_unusual(header, body, scratch),
    }
}

/// A text: where it stands in the header, or in the scratch buffer when it had escapes.
enum Text<'a> {
    Plain(&'a str),
    Unescaped(Range<usize>),
}

/// A half of a field.
#[derive(Clone, Copy)]
enum Part {
    Key,
    Value,
}

/// What one pass over a header of the usual form finds.
#[derive(Default)]
struct Scan<'a> {
    code: i32,
    flag: i32,
    opaque: i32,
    version: i32,
    language: Option<&'a str>,
    remark: Option<Text<'a>>,
    fields: Fields<'a>,
    /// The keys and values that had escapes, by the number of their field.
    unescaped: SmallVec<[(usize, Part, Range<usize>); 4]>,
}

impl<'a> Scan<'a> {
    /// `None` when the header is not of the usual form: an object of the known keys, integers bare, texts in double
    /// quotes with sound escapes, the fields an object of texts.
    fn read(header: &'a str, scratch: &mut Vec<u8>) -> Option<Scan<'a>> {
        let mut scan = Scan::default();
        let mut cursor = Cursor { text: header, at: 0, marks: Marks::new(header.as_bytes()) };
        cursor.take(b'{')?;
        loop {
            let key = cursor.plain()?;
            cursor.take(b':')?;
            match key {
                "code" => scan.code = cursor.integer()?,
                "flag" => scan.flag = cursor.integer()?,
                "opaque" => scan.opaque = cursor.integer()?,
                "version" => scan.version = cursor.integer()?,
                "language" if cursor.null() => {}
                "language" => scan.language = Some(cursor.plain()?),
                "remark" if cursor.null() => {}
                "remark" => scan.remark = Some(cursor.string(scratch)?),
                "serializeTypeCurrentRPC" if cursor.null() => {}
                "serializeTypeCurrentRPC" => drop(cursor.plain()?),
                "extFields" if cursor.null() => {}
                "extFields" => scan.read_fields(&mut cursor, scratch)?,
                _ => return None,
            }
            match cursor.next()? {
                b',' => {}
                b'}' => return cursor.at_end().then_some(scan),
                _ => return None,
            }
        }
    }

    fn read_fields(&mut self, cursor: &mut Cursor<'a>, scratch: &mut Vec<u8>) -> Option<()> {
        cursor.take(b'{')?;
        if cursor.peek()? == b'}' {
            return cursor.take(b'}');
        }
        loop {
            let key = cursor.string(scratch)?;
            cursor.take(b':')?;
            if !cursor.null() {
                let value = cursor.string(scratch)?;
                let (key, value) = (self.half(Part::Key, key), self.half(Part::Value, value));
                self.fields.push(key, value).ok()?;
            }
            match cursor.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The text of a half of the next field, as far as it stands in the header.
    fn half(&mut self, part: Part, text: Text<'a>) -> &'a str {
        match text {
            Text::Plain(text) => text,
            Text::Unescaped(range) => {
                self.unescaped.push((self.fields.len(), part, range));
                ""
            }
        }
    }

    fn command(self, scratch: &'a [u8], body: &'a [u8]) -> Result<Command<'a>, CommandError> {
        let text = |range: Range<usize>| {
            std::str::from_utf8(&scratch[range]).map_err(|error| CommandError::Json(error.to_string()))
        };
        let mut fields = self.fields;
        for (at, part, range) in self.unescaped {
            let (key, value) = &mut fields.pairs[at];
            match part {
                Part::Key => *key = text(range)?,
                Part::Value => *value = text(range)?,
            }
        }
        let remark = match self.remark {
            Some(Text::Plain(remark)) => Some(remark),
            Some(Text::Unescaped(range)) => Some(text(range)?),
            None => None,
        };
        Ok(Command {
            code: self.code,
            flag: self.flag,
            language: self.language.map_or(Language::JAVA, Language::from_name),
            opaque: self.opaque,
            version: Version(self.version),
            remark,
            serialization: Serialization::Json,
            fields,
            body,
        })
    }
}

/// Where the quotes and backslashes of a header stand, found eight bytes at a time, 64 ahead.
struct Marks<'a> {
    bytes: &'a [u8],
    /// Where the block begins that `mask` is about.
    block: usize,
    /// A bit for each mark of the block that was not given out yet.
    mask: u64,
}

impl<'a> Marks<'a> {
    const BLOCK: usize = 64;

    fn new(bytes: &'a [u8]) -> Marks<'a> {
        let mut marks = Marks { bytes, block: 0, mask: 0 };
        marks.fill();
        marks
    }

    /// The place of the next mark.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.block += Self::BLOCK;
            if self.block >= self.bytes.len() {
                return None;
            }
            self.fill();
        }
        let at = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(at)
    }

    fn fill(&mut self) {
        let rest = &self.bytes[self.block..];
        let (words, tail) = rest[..rest.len().min(Self::BLOCK)].as_chunks::<8>();
        self.mask = 0;
        for (number, word) in words.iter().enumerate() {
            self.mask |= marks_of(u64::from_le_bytes(*word)) << (number * 8);
        }
        for (number, byte) in tail.iter().enumerate() {
            self.mask |= u64::from(matches!(byte, b'"' | b'\\')) << (words.len() * 8 + number);
        }
    }
}

/// A bit for each of the eight bytes that is a quote or a backslash, the first byte's lowest.
#[inline]
fn marks_of(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const LOW: u64 = ONES * 0x7f;
    // The top bit of each byte that is not zero; exact, as no carry leaves a byte.
    let filled = |word: u64| ((word & LOW) + LOW) | word;
    let unlike = filled(word ^ (ONES * b'"' as u64)) & filled(word ^ (ONES * b'\\' as u64));
    // Gathers the eight top bits in the highest byte.
    (((!unlike & !LOW) >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// In step with `at`: the next mark is the next quote or backslash at or behind it.
    marks: Marks<'a>,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not white space, without going past it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        // Machines write no white space; only its absence is worth being quick about.
        if byte > b' ' { Some(byte) } else { self.peek_behind_space() }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(*bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        bytes.get(self.at).copied()
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

    #[inline]
    fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n') && self.text.as_bytes()[self.at..].starts_with(b"null");
        if is_null {
            self.at += 4;
        }
        is_null
    }

    /// A quote, and the mark that stands for it.
    #[inline]
    fn open(&mut self) -> Option<()> {
        self.take(b'"')?;
        (self.marks.next()? + 1 == self.at).then_some(())
    }

    /// A text in double quotes without escapes.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        self.open()?;
        let end = self.marks.next()?;
        let text = self.text.get(self.at..end)?;
        self.at = end + 1;
        (self.text.as_bytes()[end] == b'"').then_some(text)
    }

    /// A text in double quotes, its escapes sound; with escapes it is written into `scratch`.
    #[inline]
    fn string(&mut self, scratch: &mut Vec<u8>) -> Option<Text<'a>> {
        self.open()?;
        let mark = self.marks.next()?;
        if self.text.as_bytes()[mark] == b'"' {
            let text = self.text.get(self.at..mark)?;
            self.at = mark + 1;
            return Some(Text::Plain(text));
        }
        self.unescaped(mark, scratch).map(Text::Unescaped)
    }

    /// The rest of a text whose first escape is at `mark`, written into `scratch`.
    fn unescaped(&mut self, mut mark: usize, scratch: &mut Vec<u8>) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        let start = scratch.len();
        loop {
            scratch.extend_from_slice(&bytes[self.at..mark]);
            if bytes[mark] == b'"' {
                self.at = mark + 1;
                return Some(start..scratch.len());
            }
            let (character, length) = escape(&bytes[mark..])?;
            scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            self.at = mark + length;
            // The escaped character, or the escape of a second surrogate, may be a mark itself.
            mark = self.marks.next()?;
            while mark < self.at {
                mark = self.marks.next()?;
            }
        }
    }

    fn integer(&mut self) -> Option<i32> {
        self.peek()?;
        let digits = &self.text.as_bytes()[self.at..];
        let length = digits.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'-')?;
        let number = self.text.get(self.at..self.at + length)?.parse().ok();
        self.at += length;
        number
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
        check(decode(header.as_bytes(), b"body", &mut Vec::new()))
    }

    const SEND: &str = "{\"code\":310,\"extFields\":{\"a\":\"group\",\"i\":\"KEYS\\u0001k\\u0002\\u00e9\\ud83d\\ude00\"},\
                        \"flag\":0,\"language\":\"GO\",\"opaque\":7,\"serializeTypeCurrentRPC\":\"JSON\",\"version\":479}\n";

    #[test]
    fn the_usual_form_is_read_without_the_tolerant_reader() {
        assert!(Scan::read(SEND, &mut Vec::new()).is_some());
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
        assert!(Scan::read(odd, &mut Vec::new()).is_none());
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
    fn escapes_in_keys_leave_the_fields_in_their_order() {
        let header = r#"{"code":17,"extFields":{"z\u0000":"1","b":"x\"y","a\\":"2"}}"#;
        with(header, |command| {
            let fields: Vec<_> = command.unwrap().fields.iter().collect();
            assert_eq!(fields, [("z\0", "1"), ("b", "x\"y"), ("a\\", "2")]);
        });
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
