//! Why a text is no condition, in the original's words: what JavaCC's scanner and parser say, and what the makers of
//! expressions do, each with the class of its exception in front. Java: `filter/parser/ParseException.java`,
//! `filter/parser/TokenMgrError.java`.

use std::fmt::{self, Write};
use std::ops::Range;

use super::token::{self, Kinds, Token};

/// Longest text that a refusal says, in bytes: it travels in a header.
const TEXT_BYTES_MAX: usize = 4096;

/// A text that is no condition. [`Display`](fmt::Display) says what the original's broker answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Invalid {
    text: Box<str>,
    /// Another token was expected.
    is_unexpected: bool,
}

impl Invalid {
    fn new(class: &str, text: &str) -> Invalid {
        let mut whole = format!("{class}: {text}");
        whole.truncate(whole.floor_char_boundary(TEXT_BYTES_MAX));
        Invalid { text: whole.into(), is_unexpected: false }
    }

    /// The expression is too much for this broker: nothing the original would say.
    pub(super) fn too_much(what: &str) -> Invalid {
        Invalid { text: what.into(), is_unexpected: false }
    }

    /// Operands that do not fit.
    pub(super) fn operands(text: &str) -> Invalid {
        Invalid::new("java.lang.RuntimeException", text)
    }

    /// A text that is no number.
    pub(super) fn number(text: &str) -> Invalid {
        Invalid::new("java.lang.NumberFormatException", &format!("For input string: \"{text}\""))
    }

    /// A text that is compared with a number and is none.
    pub(super) fn number_compared(text: &str) -> Invalid {
        let reason = match text.is_empty() {
            true => "empty String".to_owned(),
            false => format!("For input string: \"{text}\""),
        };
        Invalid::operands(&format!("java.lang.NumberFormatException: {reason}"))
    }

    /// A boolean that is compared with a text.
    pub(super) fn boolean_with_text() -> Invalid {
        let words = "class java.lang.Boolean cannot be cast to class java.lang.String (java.lang.Boolean and \
                     java.lang.String are in module java.base of loader 'bootstrap')";
        Invalid::new("java.lang.ClassCastException", words)
    }

    /// An expression that is no condition.
    pub(super) fn no_condition(printed: &str) -> Invalid {
        let text = format!("Expression will not result in a boolean value: {printed}");
        Invalid::new("org.apache.rocketmq.filter.parser.ParseException", &text)
    }

    /// Another token than one of those.
    pub(super) fn unexpected(text: &str, found: &Token, expected: Expected) -> Invalid {
        let mut words = String::from("Encountered \"");
        let image = token::image(found.kind as usize);
        if found.kind as usize == 0 {
            words.push_str(image);
        } else {
            words.push_str(&format!(" {image} \"{} \"", Escaped(&text[found.start..found.end])));
        }
        let at = token::position(text, found);
        words.push_str(&format!("\" at line {}, column {}.\nWas expecting", at.line, at.column));
        let numbers: Vec<usize> = expected.numbers().collect();
        words.push_str(if numbers.len() == 1 { ":\n    " } else { " one of:\n    " });
        for number in numbers {
            words.push_str(&format!("{} ...\n    ", token::image(number)));
        }
        Invalid { is_unexpected: true, ..Invalid::new("org.apache.rocketmq.filter.parser.ParseException", &words) }
    }

    /// Whether another token was expected.
    pub(super) fn is_unexpected(&self) -> bool {
        self.is_unexpected
    }

    /// Nothing that could be a token: `read` was looked at, and its last character does not belong there, unless it is
    /// right and the text ends too early (`is_unended`).
    pub(super) fn unknown(text: &str, read: Range<usize>, is_unended: bool) -> Invalid {
        let last = text[..read.end].chars().next_back().unwrap_or_default();
        let mut units = [0; 2];
        let unit = last.encode_utf16(&mut units)[0];
        let is_single = text[read.clone()].encode_utf16().nth(1).is_none();
        let mut at = Position::of(text, read.end - last.len_utf8());
        // The second unit of the last character comes behind the first, which does not belong there.
        let ends = is_unended || (read.end == text.len() && last.len_utf16() == 1);
        let mut after = text[read.start..read.end - last.len_utf8()].to_owned();
        let encountered = if ends {
            at = match last {
                '\n' | '\r' => Position { line: at.line + 1, column: 0 },
                _ => Position { line: at.line, column: at.column + last.len_utf16() },
            };
            after.push(last);
            "<EOF> ".to_owned()
        } else {
            format!("\"{}\" ({unit}), ", EscapedUnits(&[unit]))
        };
        if is_single {
            after.clear();
        }
        let words = format!(
            "Lexical error at line {}, column {}.  Encountered: {encountered}after : \"{}\"",
            at.line,
            at.column,
            Escaped(&after)
        );
        Invalid::new("org.apache.rocketmq.filter.parser.TokenMgrError", &words)
    }
}

/// What may stand where something else was found: a set, and what comes behind the set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    pub(super) set: Kinds,
    pub(super) last: Option<token::Kind>,
}

impl Expected {
    fn numbers(self) -> impl Iterator<Item = usize> {
        let last = self.last.filter(|last| !self.set.has(*last)).map(|last| last as usize);
        self.set.numbers().chain(last)
    }
}

/// Line and column of a character, from 1 on, as the original's scanner counts them: a tab ends at the next multiple of
/// eight, and each of two UTF-16 units has a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    /// Of the character at a byte offset.
    pub(super) fn of(text: &str, offset: usize) -> Position {
        let end = offset + text[offset..].chars().next().map_or(0, char::len_utf8);
        let mut at = Position { line: 1, column: 0 };
        let mut last = None;
        for (start, character) in text[..end].char_indices() {
            at.column += 1;
            if last == Some('\n') || (last == Some('\r') && character != '\n') {
                at = Position { line: at.line + 1, column: 1 };
            }
            if character == '\t' {
                at.column = (at.column - 1) / 8 * 8 + 8;
            }
            // The second unit of a character counts only when something comes behind it.
            if character.len_utf16() == 2 && start != offset {
                at.column += 1;
            }
            last = Some(character);
        }
        at
    }

    /// Of the last character; line and column 0 when there is none.
    pub(super) fn of_last(text: &str) -> Position {
        let Some((start, last)) = text.char_indices().next_back() else { return Position { line: 0, column: 0 } };
        let at = Position::of(text, start);
        Position { column: at.column + last.len_utf16() - 1, ..at }
    }
}

/// Text with escapes, as JavaCC prints it.
struct Escaped<'t>(&'t str);

/// The same of UTF-16 units.
struct EscapedUnits<'t>(&'t [u16]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.encode_utf16().take(TEXT_BYTES_MAX).try_for_each(|unit| escape(unit, out))
    }
}

impl fmt::Display for EscapedUnits<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|unit| escape(*unit, out))
    }
}

fn escape(unit: u16, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match u8::try_from(unit) {
        Ok(0) => Ok(()),
        Ok(8) => out.write_str("\\b"),
        Ok(b'\t') => out.write_str("\\t"),
        Ok(b'\n') => out.write_str("\\n"),
        Ok(12) => out.write_str("\\f"),
        Ok(b'\r') => out.write_str("\\r"),
        Ok(plain @ (b'"' | b'\'' | b'\\')) => write!(out, "\\{}", plain as char),
        Ok(plain @ b' '..=b'~') => out.write_char(plain as char),
        _ => write!(out, "\\u{unit:04x}"),
    }
}
