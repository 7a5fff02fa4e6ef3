//! The dialect's syntax into standard JSON, in one pass without recursion.
//!
//! The stack has an entry for each open level and is bounded by [`DEPTH_MAX`]. A character of the input becomes at
//! most seven of the output (a raw control character in an object key), so memory is linear. An object may stand as a
//! key, but not inside another key: that is what keeps escapes from doubling at each level.

use std::borrow::Cow;

use super::{DEPTH_MAX, JsonError};

/// Rewrites a text of the dialect as standard JSON.
pub(super) fn normalize(text: &[u8]) -> Result<Vec<u8>, JsonError> {
    // Java decodes bytes with replacement characters, so a broken character never breaks the whole text.
    let text: Cow<'_, [u8]> = match String::from_utf8_lossy(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(replaced) => Cow::Owned(replaced.into_bytes()),
    };
    let mut pass =
        Pass { text: &text, at: 0, out: Vec::with_capacity(text.len() + 64), stack: Vec::new(), key_depth: None };
    pass.run()?;
    Ok(pass.out)
}

/// An open object or list.
#[derive(Clone, Copy)]
struct Level {
    is_object: bool,
    /// Something stands in it already, so the next element needs a comma. Trailing commas vanish by this.
    is_filled: bool,
    /// Where the output stood before the newest member, and whether there were others: a member whose value is null is
    /// taken back.
    member: (usize, bool),
}

/// What may come next.
#[derive(Clone, Copy)]
enum Expect {
    Value,
    /// A value or the end of the list.
    Element,
    /// A key or the end of the object.
    Key,
    Colon,
    /// A comma or the end of what is open.
    Comma,
    /// Only blanks: the top value is complete.
    Nothing,
}

struct Pass<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    stack: Vec<Level>,
    /// The depth at which an object that serves as a key opened. While it is open everything is written escaped.
    key_depth: Option<usize>,
}

impl Pass<'_> {
    fn run(&mut self) -> Result<(), JsonError> {
        let mut expect = Expect::Value;
        loop {
            self.skip_blanks()?;
            let Some(byte) = self.peek() else {
                return match expect {
                    Expect::Nothing => Ok(()),
                    _ => Err(self.error("the text ends early")),
                };
            };
            expect = match (expect, byte) {
                (Expect::Element, b']') | (Expect::Key, b'}') => self.close()?,
                (Expect::Comma, b']' | b'}') => self.close()?,
                (Expect::Value | Expect::Element, _) => self.value(byte)?,
                (Expect::Key, _) => self.key(byte)?,
                (Expect::Colon, b':') => {
                    self.at += 1;
                    self.out.push(b':');
                    Expect::Value
                }
                (Expect::Comma, b',') => {
                    self.at += 1;
                    if self.stack.last().is_some_and(|level| level.is_object) { Expect::Key } else { Expect::Element }
                }
                (Expect::Colon, _) => return Err(self.error("a colon was expected")),
                (Expect::Comma, _) => return Err(self.error("a comma or an end was expected")),
                (Expect::Nothing, _) => return Err(self.error("nothing was expected after the value")),
            };
        }
    }

    fn value(&mut self, byte: u8) -> Result<Expect, JsonError> {
        // The value of a key belongs to an object whose comma the key has written.
        if self.stack.last().is_some_and(|level| !level.is_object) {
            self.separate();
        }
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' | b'\'' => {
                self.string(byte)?;
                Ok(self.after_value())
            }
            _ => {
                self.word()?;
                Ok(self.after_value())
            }
        }
    }

    fn key(&mut self, byte: u8) -> Result<Expect, JsonError> {
        self.separate();
        match byte {
            b'"' | b'\'' => self.string(byte)?,
            b'{' => {
                if self.key_depth.is_some() {
                    return Err(self.error("an object key inside an object key"));
                }
                self.out.push(b'"');
                self.key_depth = Some(self.stack.len());
                return self.open(true);
            }
            _ => {
                let start = self.at;
                let name = self.take_word();
                if name == 0 {
                    return Err(self.error("a key was expected"));
                }
                self.quote();
                self.out.extend_from_slice(&self.text[start..start + name]);
                self.quote();
            }
        }
        Ok(Expect::Colon)
    }

    fn open(&mut self, is_object: bool) -> Result<Expect, JsonError> {
        if self.stack.len() == DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        self.stack.push(Level { is_object, is_filled: false, member: (0, false) });
        self.out.push(if is_object { b'{' } else { b'[' });
        Ok(if is_object { Expect::Key } else { Expect::Element })
    }

    fn close(&mut self) -> Result<Expect, JsonError> {
        let end = self.text[self.at];
        let Some(level) = self.stack.pop() else {
            return Err(self.error("nothing is open here"));
        };
        if level.is_object != (end == b'}') {
            return Err(self.error("the wrong bracket closes this"));
        }
        self.at += 1;
        self.out.push(end);
        if self.key_depth == Some(self.stack.len()) {
            self.key_depth = None;
            self.out.push(b'"');
            return Ok(Expect::Colon);
        }
        Ok(self.after_value())
    }

    fn after_value(&self) -> Expect {
        if self.stack.is_empty() { Expect::Nothing } else { Expect::Comma }
    }

    /// Writes the comma before an element that is not the first of its level.
    fn separate(&mut self) {
        if let Some(level) = self.stack.last_mut() {
            level.member = (self.out.len(), level.is_filled);
            if level.is_filled {
                self.out.push(b',');
            }
            level.is_filled = true;
        }
    }

    /// A number, `true`, `false`, `null`, or one of JavaScript's words for nothing.
    fn word(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let len = self.take_word();
        let word = &self.text[start..start + len];
        let standard: &[u8] = match word {
            b"" => return Err(self.error("a value was expected")),
            b"true" | b"false" => word,
            b"null" | b"NaN" | b"undefined" | b"Infinity" | b"-Infinity" => {
                self.null();
                return Ok(());
            }
            _ => {
                let number = word.strip_prefix(b"+").unwrap_or(word);
                // fastjson may mark the type of a number: 1L, 2S, 3B, 0.5F, 0.5D.
                let number = match number {
                    [digits @ .., b'L' | b'S' | b'B' | b'F' | b'D'] => digits,
                    _ => number,
                };
                let is_number = matches!(number.last(), Some(b'0'..=b'9'))
                    && number.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                if !is_number {
                    self.at = start;
                    return Err(self.error("this word is no value"));
                }
                number
            }
        };
        self.out.extend_from_slice(standard);
        Ok(())
    }

    /// Takes a member back whose value is nothing: Java leaves such a field at its default. In a list it stays.
    fn null(&mut self) {
        match self.stack.last_mut() {
            Some(level) if level.is_object => {
                let (start, was_filled) = level.member;
                level.is_filled = was_filled;
                self.out.truncate(start);
            }
            _ => self.out.extend_from_slice(b"null"),
        }
    }

    /// Steps over a bare name or number and says how long it was; nothing in it needs an escape.
    fn take_word(&mut self) -> usize {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_$.+-@%".contains(byte) || *byte >= 0x80;
        let len = self.text[self.at..].iter().take_while(|byte| is_part(byte)).count();
        self.at += len;
        len
    }

    /// A quoted string in either kind of quotes.
    fn string(&mut self, quote: u8) -> Result<(), JsonError> {
        self.at += 1;
        self.quote();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\'' | b'\\' | 0..=0x1F)).count();
            self.out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                None => return Err(self.error("the string does not end")),
                Some(b'\\') => self.escape()?,
                Some(byte) => {
                    self.at += 1;
                    match byte {
                        _ if byte == quote => break,
                        b'"' => self.escaped(b"\""),
                        b'\'' => self.out.push(b'\''),
                        control => self.unit(u16::from(control)),
                    }
                }
            }
        }
        self.quote();
        Ok(())
    }

    /// One escape sequence of fastjson, which has more of them than JSON.
    fn escape(&mut self) -> Result<(), JsonError> {
        let rest = &self.text[self.at + 1..];
        let Some(&kind) = rest.first() else {
            return Err(self.error("the string does not end"));
        };
        let taken = match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.escaped(&[kind]);
                1
            }
            b'F' => {
                self.escaped(b"f");
                1
            }
            b'\'' => {
                self.out.push(b'\'');
                1
            }
            b'v' => {
                self.unit(0x0B);
                1
            }
            b'0'..=b'7' => {
                self.unit(u16::from(kind - b'0'));
                1
            }
            b'x' => {
                let unit = hex(rest.get(1..3)).ok_or_else(|| self.error("two hex digits were expected"))?;
                self.unit(unit);
                3
            }
            b'u' => self.unicode_escape(rest)?,
            _ => return Err(self.error("an unknown escape sequence")),
        };
        self.at += 1 + taken;
        Ok(())
    }

    /// `uXXXX`, or two of them for a surrogate pair; half a pair becomes the replacement character, as in Java's UTF-8.
    fn unicode_escape(&mut self, rest: &[u8]) -> Result<usize, JsonError> {
        let first = hex(rest.get(1..5)).ok_or_else(|| self.error("four hex digits were expected"))?;
        let second = match rest.get(5..7) {
            Some(b"\\u") => hex(rest.get(7..11)),
            _ => None,
        };
        Ok(match (first, second) {
            (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) => {
                self.unit(first);
                self.unit(second);
                11
            }
            (0xD800..=0xDFFF, _) => {
                self.unit(0xFFFD);
                5
            }
            _ => {
                self.unit(first);
                5
            }
        })
    }

    /// Writes the quote that starts or ends a string.
    fn quote(&mut self) {
        if self.key_depth.is_some() {
            self.out.push(b'\\');
        }
        self.out.push(b'"');
    }

    /// Writes an escape sequence: a backslash and these bytes, both escaped once more inside an object key.
    fn escaped(&mut self, bytes: &[u8]) {
        self.out.push(b'\\');
        if self.key_depth.is_some() {
            self.out.push(b'\\');
            if matches!(bytes, b"\"" | b"\\") {
                self.out.push(b'\\');
            }
        }
        self.out.extend_from_slice(bytes);
    }

    /// Writes a UTF-16 unit as `\uXXXX`.
    fn unit(&mut self, unit: u16) {
        let digit = |shift: u16| b"0123456789abcdef"[usize::from(unit >> shift & 0xF)];
        self.escaped(&[b'u', digit(12), digit(8), digit(4), digit(0)]);
    }

    /// Steps over white space and comments.
    fn skip_blanks(&mut self) -> Result<(), JsonError> {
        loop {
            let rest = &self.text[self.at..];
            match rest {
                [b' ' | b'\t' | b'\r' | b'\n' | 0x0C | 0x08, ..] => self.at += 1,
                [b'/', b'/', ..] => self.at += rest.iter().take_while(|byte| **byte != b'\n').count(),
                [b'/', b'*', comment @ ..] => match comment.windows(2).position(|pair| pair == b"*/") {
                    Some(len) => self.at += len + 4,
                    None => return Err(self.error("the comment does not end")),
                },
                _ => return Ok(()),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn error(&self, problem: &'static str) -> JsonError {
        JsonError::Syntax { offset: self.at, problem }
    }
}

/// The number that these hex digits write.
fn hex(digits: Option<&[u8]>) -> Option<u16> {
    digits?.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard(text: &str) -> String {
        String::from_utf8(normalize(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn object_keys_become_strings_of_their_json() {
        let text = standard(r#"{{"a":"x\"y\n\\",'b':'"'}:{0:1},}"#);
        assert_eq!(text, r#"{"{\"a\":\"x\\\"y\\n\\\\\",\"b\":\"\\\"\"}":{"0":1}}"#);
        let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
        let key = tree.as_object().unwrap().keys().next().unwrap();
        let key: serde_json::Value = serde_json::from_str(key).unwrap();
        assert_eq!(key, serde_json::json!({"a": "x\"y\n\\", "b": "\""}));
    }

    #[test]
    fn an_object_key_in_an_object_key_is_refused() {
        assert!(normalize(br#"{{{"a":1}:2}:3}"#).is_err());
        assert_eq!(standard(r#"{{"a":{"b":[1]}}:{{"c":1}:2}}"#), r#"{"{\"a\":{\"b\":[1]}}":{"{\"c\":1}":2}}"#);
    }

    #[test]
    fn escapes_and_broken_characters_of_java_are_made_standard() {
        assert_eq!(standard(r"'\x41\v\0\'\ud83d\ude00\ud83d'"), r#""\u0041\u000b\u0000'\ud83d\ude00\ufffd""#);
        assert_eq!(standard("\"a\tb\""), r#""a\u0009b""#);
        assert_eq!(normalize(b"'\xFF'").unwrap(), "\"\u{FFFD}\"".as_bytes());
    }

    #[test]
    fn words_and_numbers() {
        assert_eq!(standard("[1L,+2,-3.5F,1e3,NaN,undefined,true,null]"), "[1,2,-3.5,1e3,null,null,true,null]");
        for wrong in ["[x]", "[L]", "[1,,2]", "[,]", "{:1}", "{a}", "[1}", "{a:1]", "", "1 2", "/*", "'a", "]"] {
            assert!(normalize(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn members_that_are_null_vanish() {
        assert_eq!(standard("{a:null,b:[null,1],c:null}"), r#"{"b":[null,1]}"#);
        assert_eq!(standard(r#"{{"x":null}:null,{"y":null,z:1}:2,d:NaN}"#), r#"{"{\"z\":1}":2}"#);
    }

    #[test]
    fn no_cut_of_a_text_panics() {
        let text = r#"{{"a":"\u00e9\x41",'b':['c']}:{0:1L /* c */, // d
            e:"\ud83d\ude00"},"#;
        for len in 0..text.len() {
            assert!(normalize(&text.as_bytes()[..len]).is_err());
        }
    }
}
