//! Tokens: the longest one that fits, blanks and comments left out.

use winnow::ascii::digit1;
use winnow::combinator::{alt, opt, preceded, repeat};
use winnow::error::{ContextError, ErrMode};
use winnow::prelude::*;
use winnow::token::{any, one_of, take_till, take_until, take_while};

use super::refusal::{Invalid, Position};

/// What a token is; the numbers are those of the original's `SelectorParserConstants.java`, by which lists of what was
/// expected are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End = 0,
    Not = 8,
    And = 9,
    Or = 10,
    Between = 11,
    In = 12,
    True = 13,
    False = 14,
    Null = 15,
    Is = 16,
    Contains = 17,
    StartsWith = 18,
    EndsWith = 19,
    Decimal = 20,
    Float = 21,
    Text = 23,
    Name = 24,
    Equal = 25,
    NotEqual = 26,
    Greater = 27,
    GreaterEqual = 28,
    Less = 29,
    LessEqual = 30,
    Open = 31,
    Comma = 32,
    Close = 33,
    Plus = 34,
    Minus = 35,
}

const KEYWORDS: [(&str, Kind); 12] = [
    ("NOT", Kind::Not),
    ("AND", Kind::And),
    ("OR", Kind::Or),
    ("BETWEEN", Kind::Between),
    ("IN", Kind::In),
    ("TRUE", Kind::True),
    ("FALSE", Kind::False),
    ("NULL", Kind::Null),
    ("IS", Kind::Is),
    ("CONTAINS", Kind::Contains),
    ("STARTSWITH", Kind::StartsWith),
    ("ENDSWITH", Kind::EndsWith),
];

/// What tokens are called when they were expected, by number.
const IMAGES: [&str; 36] = [
    "<EOF>",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "\"NOT\"",
    "\"AND\"",
    "\"OR\"",
    "\"BETWEEN\"",
    "\"IN\"",
    "\"TRUE\"",
    "\"FALSE\"",
    "\"NULL\"",
    "\"IS\"",
    "\"CONTAINS\"",
    "\"STARTSWITH\"",
    "\"ENDSWITH\"",
    "<DECIMAL_LITERAL>",
    "<FLOATING_POINT_LITERAL>",
    "",
    "<STRING_LITERAL>",
    "<ID>",
    "\"=\"",
    "\"<>\"",
    "\">\"",
    "\">=\"",
    "\"<\"",
    "\"<=\"",
    "\"(\"",
    "\",\"",
    "\")\"",
    "\"+\"",
    "\"-\"",
];

/// What the token with that number is called when it was expected.
pub(super) fn image(number: usize) -> &'static str {
    IMAGES[number]
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u64);

impl Kinds {
    pub(super) const fn of<const N: usize>(kinds: [Kind; N]) -> Kinds {
        let mut bits = 0;
        let mut at = 0;
        while at < N {
            bits |= 1 << kinds[at] as u64;
            at += 1;
        }
        Kinds(bits)
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u64 != 0
    }

    pub(super) fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Their numbers, in order.
    pub(super) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..IMAGES.len()).filter(move |number| self.0 & 1 << number != 0)
    }
}

/// A token: what it is and where it stands, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

type Error = ErrMode<ContextError>;

/// The token at or behind `from`.
pub(super) fn next(text: &str, from: usize) -> Result<Token, Invalid> {
    let mut input = text.get(from..).unwrap_or_default();
    // Cannot fail: there may be nothing to leave out.
    let _left_out = blanks(&mut input);
    let start = text.len() - input.len();
    if input.is_empty() {
        return Ok(Token { kind: Kind::End, start, end: start });
    }
    match token(&mut input) {
        Ok(kind) => Ok(Token { kind, start, end: text.len() - input.len() }),
        Err(_) => Err(unknown(text, start)),
    }
}

fn blanks(input: &mut &str) -> Result<(), Error> {
    let blank = one_of([' ', '\t', '\n', '\r', '\u{c}']).void();
    // A line comment without an end of line is none: its first character is a minus.
    let line = ("--", take_till(0.., ['\n', '\r']), one_of(['\n', '\r'])).void();
    let block = ("/*", take_until(0.., "*/"), "*/").void();
    repeat::<_, _, (), _, _>(0.., alt((blank, line, block))).parse_next(input)
}

fn token(input: &mut &str) -> Result<Kind, Error> {
    alt((
        word,
        string.value(Kind::Text),
        float.value(Kind::Float),
        decimal.value(Kind::Decimal),
        alt((
            "<>".value(Kind::NotEqual),
            ">=".value(Kind::GreaterEqual),
            "<=".value(Kind::LessEqual),
            '='.value(Kind::Equal),
            '>'.value(Kind::Greater),
            '<'.value(Kind::Less),
        )),
        alt((
            '('.value(Kind::Open),
            ','.value(Kind::Comma),
            ')'.value(Kind::Close),
            '+'.value(Kind::Plus),
            '-'.value(Kind::Minus),
        )),
    ))
    .parse_next(input)
}

fn word(input: &mut &str) -> Result<Kind, Error> {
    let is_first = |character: char| character.is_ascii_alphabetic() || matches!(character, '_' | '$');
    let word = (
        any.verify(move |first| is_first(*first)),
        take_while(0.., move |next: char| is_first(next) || next.is_ascii_digit()),
    );
    let word = word.take().parse_next(input)?;
    let keyword = KEYWORDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(word));
    Ok(keyword.map_or(Kind::Name, |(_, kind)| *kind))
}

fn float<'t>(input: &mut &'t str) -> Result<&'t str, Error> {
    let exponent = || (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1).void();
    alt((
        (digit1, '.', opt(digit1), opt(exponent())).take(),
        ('.', digit1, opt(exponent())).take(),
        (digit1, exponent()).take(),
    ))
    .parse_next(input)
}

fn decimal<'t>(input: &mut &'t str) -> Result<&'t str, Error> {
    let long = (one_of('1'..='9'), opt(digit1), opt(one_of(['l', 'L']))).take();
    alt((long, "0")).parse_next(input)
}

/// Quotes inside a text stand twice. When the last one is missing, the text ends at the last quote that could be its end.
fn string<'t>(input: &mut &'t str) -> Result<&'t str, Error> {
    let whole: &'t str = input;
    let rest = preceded('\'', take_while(0.., |_| true)).parse_next(input)?;
    let mut at = whole.len() - rest.len();
    let mut end = None;
    while let Some(quote) = whole[at..].find('\'') {
        end = Some(at + quote + 1);
        at += quote + 1;
        if !whole[at..].starts_with('\'') {
            break;
        }
        at += 1;
    }
    let end = end.ok_or_else(|| ErrMode::Backtrack(ContextError::new()))?;
    *input = &whole[end..];
    Ok(&whole[..end])
}

/// Why nothing that starts there is a token, as the original's scanner says it.
fn unknown(text: &str, start: usize) -> Invalid {
    let rest = &text[start..];
    let mut characters = rest.chars();
    let first = characters.next();
    // A quote and a comment go on to the end, where something is missing; a point and a slash need the right successor.
    let read = match first {
        Some('\'') => rest.len(),
        Some('/') if rest.starts_with("/*") => rest.len(),
        Some('/' | '.') => 1 + characters.next().map_or(0, char::len_utf8),
        _ => first.map_or(0, char::len_utf8),
    };
    let is_unended = first == Some('\'') || rest.starts_with("/*") || rest.len() == 1;
    Invalid::unknown(text, start..start + read, is_unended)
}

/// Where a token stands. That of the end is the last character's, and that of the end of nothing is nowhere.
pub(super) fn position(text: &str, token: &Token) -> Position {
    match token.kind {
        Kind::End => Position::of_last(text),
        _ => Position::of(text, token.start),
    }
}
