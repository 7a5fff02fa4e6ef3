//! JSON headers. The usual form is read in one pass: a mask of all quotes and backslashes says where texts begin and end,
//! and texts are borrowed where they stand; only those with escapes (a message's properties) are written out into the
//! scratch buffer. Anything else goes through the tolerant reader.

use std::io::Write;
use std::ops::Range;

use smallvec::SmallVec;

use super::{Command, CommandError, FIELDS_MAX, Language, Version};
use crate::json;
use crate::marks::Marks;

/// Reads `header` into a command that has no entries yet.
pub(super) fn read<'a>(
    command: &mut Command<'a>,
    header: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<(), CommandError> {
    scratch.clear();
    let mut unescaped = SmallVec::new();
    if scan(header, command, &mut unescaped, scratch).is_none() {
        command.clear();
        return read_unusual(command, header, scratch);
    }
    for (part, range) in unescaped {
        let text = utf8(&scratch[range])?;
        match part {
            Part::Remark => command.remark = Some(text),
            Part::Key(at) => command.fields.pairs[at].0 = text,
            Part::Value(at) => command.fields.pairs[at].1 = text,
        }
    }
    Ok(())
}

fn utf8(bytes: &[u8]) -> Result<&str, CommandError> {
    simdutf8::compat::from_utf8(bytes).map_err(|error| CommandError::Json(error.to_string()))
}

/// Reads a header of the usual form.
fn scan<'a>(
    header: &'a [u8],
    command: &mut Command<'a>,
    unescaped: &mut SmallVec<[(Part, Range<usize>); 4]>,
    scratch: &mut Vec<u8>,
) -> Option<()> {
    let text = simdutf8::basic::from_utf8(header).ok()?;
    let cursor = Cursor { text, at: 0, marks: Marks::new(header) };
    Scan { cursor, command, unescaped, scratch }.read()
}

/// What a text is, a key and a value by the number of their field.
#[derive(Clone, Copy)]
enum Part {
    Remark,
    Key(usize),
    Value(usize),
}

/// One pass over a header of the usual form: an object of the known keys, integers bare, texts in double quotes with
/// sound escapes, the fields an object of texts. Everything in it is `None` when the header is not of that form.
struct Scan<'s, 'a> {
    cursor: Cursor<'a>,
    command: &'s mut Command<'a>,
    /// The texts that had escapes, and where in `scratch` they stand.
    unescaped: &'s mut SmallVec<[(Part, Range<usize>); 4]>,
    scratch: &'s mut Vec<u8>,
}

impl<'a> Scan<'_, 'a> {
    fn read(mut self) -> Option<()> {
        self.cursor.take(b'{')?;
        loop {
            let key = self.cursor.plain()?;
            self.cursor.take(b':')?;
            match key {
                "code" => self.command.code = self.cursor.integer()?,
                "flag" => self.command.flag = self.cursor.integer()?,
                "opaque" => self.command.opaque = self.cursor.integer()?,
                "version" => self.command.version = Version(self.cursor.integer()?),
                "language" if self.cursor.null() => {}
                "language" => self.command.language = Language::from_name(self.cursor.plain()?),
                "remark" if self.cursor.null() => {}
                "remark" => self.command.remark = Some(self.text(Part::Remark)?),
                "serializeTypeCurrentRPC" if self.cursor.null() => {}
                "serializeTypeCurrentRPC" => drop(self.cursor.plain()?),
                "extFields" if self.cursor.null() => {}
                "extFields" => self.fields()?,
                _ => return None,
            }
            match self.cursor.next()? {
                b',' => {}
                b'}' => return self.cursor.at_end().then_some(()),
                _ => return None,
            }
        }
    }

    fn fields(&mut self) -> Option<()> {
        self.cursor.take(b'{')?;
        if self.cursor.peek()? == b'}' {
            return self.cursor.take(b'}');
        }
        loop {
            let number = self.command.fields.len();
            let escapes = self.unescaped.len();
            let key = self.text(Part::Key(number))?;
            self.cursor.take(b':')?;
            if self.cursor.null() {
                self.unescaped.truncate(escapes);
            } else {
                let value = self.text(Part::Value(number))?;
                self.command.fields.push(key, value).ok()?;
            }
            match self.cursor.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The next text, as far as it stands in the header; one with escapes is written into `scratch`.
    #[inline(always)]
    fn text(&mut self, part: Part) -> Option<&'a str> {
        let text = self.cursor.open()?;
        if self.cursor.closes() {
            return Some(text);
        }
        let range = self.cursor.unescape(text, self.scratch)?;
        self.unescaped.push((part, range));
        Some("")
    }
}

/// Digits that an integer of the usual form has at most; with 32 bits it needs no more.
const INTEGER_DIGITS_MAX: usize = 10;

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// In step with `at`: the next mark is the next quote or backslash at or behind it.
    marks: Marks<'a, b'"', b'\\'>,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not white space, without going past it.
    #[inline(always)]
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

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Only white space is left; some clients end the header with a newline.
    fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    #[inline(always)]
    fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n') && self.text.as_bytes()[self.at..].starts_with(b"null");
        if is_null {
            self.at += 4;
        }
        is_null
    }

    /// Opens a text in double quotes and goes up to its first mark: what stands before that.
    #[inline(always)]
    fn open(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let (quote, mark) = (self.marks.next()?, self.marks.next()?);
        let text = self.text.get(quote + 1..mark)?;
        let is_quote = quote + 1 == self.at;
        self.at = mark;
        is_quote.then_some(text)
    }

    /// Whether the text ends here; if so, goes past its quote.
    #[inline(always)]
    fn closes(&mut self) -> bool {
        if self.text.as_bytes().get(self.at) != Some(&b'"') {
            return false;
        }
        self.at += 1;
        true
    }

    /// A text in double quotes without escapes.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let text = self.open()?;
        self.closes().then_some(text)
    }

    /// Goes past the rest of a text that begins with `before` and whose first escape stands here, and writes the whole
    /// into `scratch`.
    fn unescape(&mut self, before: &str, scratch: &mut Vec<u8>) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        let start = scratch.len();
        scratch.extend_from_slice(before.as_bytes());
        loop {
            let rest = &bytes[self.at..];
            // What stands between and behind properties.
            if let [b'\\', b'u', b'0', b'0', b'0', digit @ b'1'..=b'2', ..] = rest {
                scratch.push(digit - b'0');
                self.at += 6;
            } else if rest[0] == b'"' {
                self.at += 1;
                return Some(start..scratch.len());
            } else {
                let (character, length) = escape(rest)?;
                scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length;
            }
            // The escaped character, or the escape of a second surrogate, may be a mark itself.
            let mut mark = self.marks.next()?;
            while mark < self.at {
                mark = self.marks.next()?;
            }
            scratch.extend_from_slice(&bytes[self.at..mark]);
            self.at = mark;
        }
    }

    /// A number in the usual form: digits, and a minus in front. It ends with the first byte that is none of them.
    #[inline]
    fn integer(&mut self) -> Option<i32> {
        let is_negative = self.peek()? == b'-';
        let start = self.at + usize::from(is_negative);
        let digits = self.text.as_bytes().get(start..)?.iter().take(INTEGER_DIGITS_MAX + 1);
        let (mut number, mut count) = (0_i64, 0);
        for digit in digits.map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
            number = number * 10 + i64::from(digit);
            count += 1;
        }
        if count == 0 || count > INTEGER_DIGITS_MAX {
            return None;
        }
        self.at = start + count;
        i32::try_from(if is_negative { -number } else { number }).ok()
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
fn read_unusual<'a>(command: &mut Command<'a>, header: &[u8], scratch: &'a mut Vec<u8>) -> Result<(), CommandError> {
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

    let text = utf8(scratch)?;
    let mut start = 0;
    let mut pieces = ends.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]);
    command.remark = remark.and_then(|_| pieces.next());
    while let (Some(key), Some(value)) = (pieces.next(), pieces.next()) {
        command.fields.push(key, value)?;
    }
    command.code = integer("code");
    command.flag = integer("flag");
    command.language = language;
    command.opaque = integer("opaque");
    command.version = Version(integer("version"));
    Ok(())
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
        let mut scratch = Vec::new();
        let mut command = Command { body: b"body", ..Command::empty() };
        let read = read(&mut command, header.as_bytes(), &mut scratch);
        check(read.map(|()| command))
    }

    const SEND: &str = "{\"code\":310,\"extFields\":{\"a\":\"group\",\"i\":\"KEYS\\u0001k\\u0002\\u00e9\\ud83d\\ude00\"},\
                        \"flag\":0,\"language\":\"GO\",\"opaque\":7,\"serializeTypeCurrentRPC\":\"JSON\",\"version\":479}\n";

    fn is_usual(header: &str) -> bool {
        let mut command = Command::empty();
        scan(header.as_bytes(), &mut command, &mut SmallVec::new(), &mut Vec::new()).is_some()
    }

    #[test]
    fn the_usual_form_is_read_without_the_tolerant_reader() {
        assert!(is_usual(SEND));
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
        assert!(!is_usual(odd));
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
