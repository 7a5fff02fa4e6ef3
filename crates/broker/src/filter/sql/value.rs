//! Values and how they are compared: Java's boxed types, its conversions of texts, and its orders.

use std::cmp::Ordering;

use super::refusal::Invalid;

/// A value; texts are borrowed from the expression or from the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'v str),
}

/// Two values that cannot be compared: nothing passes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value cannot be compared with another")]
pub struct Unfit;

/// Why two values cannot be compared.
#[derive(Clone, Debug)]
pub(super) enum Mismatch<'v> {
    /// The text is no such number.
    NoNumber(&'v str),
    /// A boolean is compared with a text.
    BooleanWithText,
}

impl Mismatch<'_> {
    /// The same between two constants, which the maker of the expression finds.
    pub(super) fn refusal(&self) -> Invalid {
        match self {
            Mismatch::NoNumber(text) => Invalid::number_compared(text),
            Mismatch::BooleanWithText => Invalid::boolean_with_text(),
        }
    }
}

impl From<Mismatch<'_>> for Unfit {
    fn from(_: Mismatch<'_>) -> Unfit {
        Unfit
    }
}

impl<'v> Value<'v> {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Value::Int(_) | Value::Long(_) | Value::Double(_))
    }

    /// The order of two values that are not null. A text becomes what the other value is; what cannot become the other's
    /// type comes before it.
    pub(super) fn compare(self, other: Value<'v>) -> Result<Ordering, Mismatch<'v>> {
        use Value::{Bool, Double, Int, Long, Text};
        Ok(match (self, other) {
            (Bool(one), Bool(two)) => one.cmp(&two),
            (Bool(_), Text(_)) => return Err(Mismatch::BooleanWithText),
            (Text(text), Bool(two)) => text.eq_ignore_ascii_case("true").cmp(&two),
            (Text(one), Text(two)) => one.encode_utf16().cmp(two.encode_utf16()),
            (Int(one), Int(two)) => one.cmp(&two),
            (Int(one), Long(two)) => i64::from(one).cmp(&two),
            (Long(one), Int(two)) => one.cmp(&i64::from(two)),
            (Long(one), Long(two)) => one.cmp(&two),
            (Int(one), Double(two)) => f64::from(one).total_cmp(&two),
            (Double(one), Int(two)) => one.total_cmp(&f64::from(two)),
            // Java rounds as well.
            (Long(one), Double(two)) => (one as f64).total_cmp(&two),
            (Double(one), Long(two)) => one.total_cmp(&(two as f64)),
            (Double(one), Double(two)) => one.total_cmp(&two),
            (Int(one), Text(text)) => one.cmp(&int(text)?),
            (Text(text), Int(two)) => int(text)?.cmp(&two),
            (Long(one), Text(text)) => one.cmp(&long(text)?),
            (Text(text), Long(two)) => long(text)?.cmp(&two),
            (Double(one), Text(text)) => one.total_cmp(&double(text)?),
            (Text(text), Double(two)) => double(text)?.total_cmp(&two),
            _ => Ordering::Less,
        })
    }

    /// The order of two values for `>`, `>=`, `<` and `<=`: two texts must be numbers.
    pub(super) fn rank(self, other: Value<'v>) -> Result<Ordering, Mismatch<'v>> {
        match (self, other) {
            (Value::Text(one), Value::Text(two)) => Ok(double(one)?.total_cmp(&double(two)?)),
            _ => self.compare(other),
        }
    }
}

fn int(text: &str) -> Result<i32, Mismatch<'_>> {
    long(text)?.try_into().map_err(|_| Mismatch::NoNumber(text))
}

/// Java's `Long.valueOf`: a sign and digits, of any script that has ten of them.
fn long(text: &str) -> Result<i64, Mismatch<'_>> {
    if text.is_ascii() {
        return text.parse().map_err(|_| Mismatch::NoNumber(text));
    }
    let digits: Option<String> =
        text.chars().map(|digit| if digit.is_ascii() { Some(digit) } else { ascii(digit) }).collect();
    digits.and_then(|digits| digits.parse().ok()).ok_or(Mismatch::NoNumber(text))
}

/// The zeros of the scripts whose digits Java takes; the nine others follow each of them. Those beyond the first 65,536
/// characters are none to it.
const ZEROS: [u32; 36] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

fn ascii(digit: char) -> Option<char> {
    let number = ZEROS.iter().find_map(|zero| (digit as u32).checked_sub(*zero).filter(|number| *number < 10))?;
    char::from_digit(number, 10)
}

/// Java's `Double.valueOf`: blanks around it, a sign, `NaN`, `Infinity`, a decimal or a hexadecimal number, and a type's
/// letter behind it.
fn double(text: &str) -> Result<f64, Mismatch<'_>> {
    let trimmed = text.trim_matches(|character| character <= ' ');
    let (is_negative, size) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let size = match size {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        _ => {
            let number = size.strip_suffix(['f', 'F', 'd', 'D']);
            match size.strip_prefix("0x").or_else(|| size.strip_prefix("0X")) {
                // The letters are digits, too, but behind an exponent they are none.
                Some(_) => hexadecimal(&number.unwrap_or(size)[2..]),
                None => decimal(number.unwrap_or(size)),
            }
        }
    };
    size.map(|size| if is_negative { -size } else { size }).ok_or(Mismatch::NoNumber(trimmed))
}

fn decimal(text: &str) -> Option<f64> {
    // Rust reads the same forms and some names besides.
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let is_signed = text.starts_with(['+', '-']);
    text.parse().ok().filter(|_| is_plain && !is_signed)
}

/// What follows 0x: digits with or without a point, `p` and an exponent. Rounded to the nearest, of two to the even one.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let huge = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    let mut exponent = exponent.parse::<i64>().unwrap_or(huge).clamp(i64::MIN / 4, i64::MAX / 4);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut is_more) = (0_u64, false);
    for (place, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if place >= whole.len() { 4 } else { 0 };
        } else {
            is_more |= digit != 0;
            exponent += if place < whole.len() { 4 } else { 0 };
        }
    }
    Some(round(mantissa, exponent, is_more))
}

/// `mantissa * 2^exponent`, and a little more if `is_more`.
fn round(mantissa: u64, exponent: i64, is_more: bool) -> f64 {
    /// Of the smallest number that is not zero.
    const EXPONENT_MIN: i64 = -1074;
    const EXPONENT_MAX: i64 = 1023;
    if mantissa == 0 {
        return 0.0;
    }
    let bits = 64 - i64::from(mantissa.leading_zeros());
    // The place of the last bit that stays.
    let last = (exponent + bits - 53).max(EXPONENT_MIN);
    let dropped = last - exponent;
    let kept = match dropped {
        ..=0 => u128::from(mantissa) << (-dropped).min(64),
        1..=64 => {
            let (wide, half) = (u128::from(mantissa), 1_u128 << (dropped - 1));
            let (kept, rest) = (wide >> dropped, wide & ((half << 1) - 1));
            let is_up = rest > half || (rest == half && (is_more || kept & 1 == 1));
            kept + u128::from(is_up)
        }
        _ => 0,
    };
    let top = 127 - i64::from(kept.leading_zeros());
    if kept != 0 && last + top > EXPONENT_MAX {
        return f64::INFINITY;
    }
    // Exact: at most 53 bits, and the power of two is applied in steps that stay in range.
    let step = last.clamp(-1022, 1023);
    kept as f64 * power_of_two(step) * power_of_two((last - step).clamp(-1022, 1023))
}

fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}
