//! The writer of all three styles: a `serde` serializer, because standard ones insist on strings as keys.

use std::io::Write as _;

use serde::ser::{self, Error as _, Serialize};

use super::{DEPTH_MAX, JsonError};

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Integer and object keys stand in quotes, and what is not ASCII is escaped.
    is_strict: bool,
    /// Line breaks and tabs.
    is_pretty: bool,
}

impl Style {
    pub(super) const LOOSE: Style = Style { is_strict: false, is_pretty: false };
    pub(super) const STRICT: Style = Style { is_strict: true, is_pretty: false };
    pub(super) const PRETTY: Style = Style { is_strict: false, is_pretty: true };
}

/// Writes a value in a style.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<Vec<u8>, JsonError> {
    let mut writer = Writer { out: Vec::with_capacity(256), style, depth: 0, tabs: 0 };
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    style: Style,
    /// Open objects and lists.
    depth: usize,
    /// Open objects: how far the next line is indented.
    tabs: usize,
}

impl Writer {
    fn line(&mut self) {
        if self.style.is_pretty {
            self.out.push(b'\n');
            self.out.extend(std::iter::repeat_n(b'\t', self.tabs));
        }
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// A double as Java's `Double.toString` prints it; what is no number is null, as with fastjson.
    fn double(&mut self, number: f64) {
        if !number.is_finite() {
            self.out.extend_from_slice(b"null");
            return;
        }
        let size = number.abs();
        if size == 0.0 || (1e-3..1e7).contains(&size) {
            // Debug prints at least one digit after the point, and never an exponent in this range.
            let _infallible = write!(self.out, "{number:?}");
            return;
        }
        let text = format!("{number:E}");
        match text.split_once('E') {
            Some((digits, _)) if digits.contains('.') => self.out.extend_from_slice(text.as_bytes()),
            Some((digits, exponent)) => {
                let _infallible = write!(self.out, "{digits}.0E{exponent}");
            }
            None => self.out.extend_from_slice(text.as_bytes()),
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        for part in text.chars() {
            match part {
                '"' => self.out.extend_from_slice(b"\\\""),
                '\\' => self.out.extend_from_slice(b"\\\\"),
                '/' if self.style.is_strict => self.out.extend_from_slice(b"\\/"),
                '\u{8}' => self.out.extend_from_slice(b"\\b"),
                '\u{c}' => self.out.extend_from_slice(b"\\f"),
                '\n' => self.out.extend_from_slice(b"\\n"),
                '\r' => self.out.extend_from_slice(b"\\r"),
                '\t' => self.out.extend_from_slice(b"\\t"),
                ' '..='~' => self.out.push(part as u8),
                '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{2028}' | '\u{2029}' => self.escape(part),
                _ if self.style.is_strict => self.escape(part),
                _ => self.out.extend_from_slice(part.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        self.out.push(b'"');
    }

    fn escape(&mut self, part: char) {
        for unit in part.encode_utf16(&mut [0; 2]) {
            let _infallible = write!(self.out, "\\u{unit:04X}");
        }
    }
}

/// An open list or object.
struct Open<'a> {
    writer: &'a mut Writer,
    is_filled: bool,
    /// An object, which has a line of its own for each member; Java's sets and arrays stay on one.
    is_object: bool,
}

impl<'a> Open<'a> {
    fn new(writer: &'a mut Writer, is_object: bool) -> Result<Open<'a>, JsonError> {
        if writer.depth == DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        writer.depth += 1;
        writer.tabs += usize::from(is_object);
        writer.out.push(if is_object { b'{' } else { b'[' });
        Ok(Open { writer, is_filled: false, is_object })
    }

    fn separate(&mut self) {
        if self.is_filled {
            self.writer.out.push(b',');
        }
        self.is_filled = true;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.separate();
        value.serialize(&mut *self.writer)
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        self.separate();
        let start = self.writer.out.len();
        key.serialize(&mut *self.writer)?;
        let is_text = self.writer.out.get(start) == Some(&b'"');
        if self.writer.style.is_strict && !is_text {
            // An integer or an object as a key: its loose form becomes the text of a string.
            self.writer.out.truncate(start);
            self.writer.style.is_strict = false;
            let written = key.serialize(&mut *self.writer);
            self.writer.style.is_strict = true;
            written?;
            let key = String::from_utf8(self.writer.out.split_off(start)).map_err(JsonError::custom)?;
            self.writer.text(&key);
        } else if self.writer.style.is_pretty && is_text {
            // fastjson breaks no line before a key that is not a string.
            let key = self.writer.out.split_off(start);
            self.writer.line();
            self.writer.out.extend_from_slice(&key);
        }
        self.writer.out.push(b':');
        Ok(())
    }

    fn close(self) -> Result<(), JsonError> {
        self.writer.depth -= 1;
        if self.is_object {
            self.writer.tabs -= 1;
            if self.is_filled {
                self.writer.line();
            }
        }
        self.writer.out.push(if self.is_object { b'}' } else { b']' });
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident($number:ty),)*) => {$(
        fn $method(self, number: $number) -> Result<(), JsonError> {
            self.number(number);
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = ser::Impossible<(), JsonError>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = ser::Impossible<(), JsonError>;

    integers! {
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
    }

    fn serialize_bool(self, value: bool) -> Result<(), JsonError> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), JsonError> {
        self.double(f64::from(number));
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Result<(), JsonError> {
        self.double(number);
        Ok(())
    }

    fn serialize_char(self, part: char) -> Result<(), JsonError> {
        self.text(part.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), JsonError> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), JsonError> {
        Err(JsonError::custom("bytes have no form in a body"))
    }

    fn serialize_none(self) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JsonError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), JsonError> {
        self.text(name);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), JsonError> {
        Err(JsonError::custom(format_args!("the enum {name} holds data")))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, JsonError> {
        Open::new(self, false)
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, JsonError> {
        Open::new(self, false)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, JsonError> {
        Open::new(self, false)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, JsonError> {
        Err(JsonError::custom(format_args!("the enum {name} holds data")))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, JsonError> {
        Open::new(self, true)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, JsonError> {
        Open::new(self, true)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, JsonError> {
        Err(JsonError::custom(format_args!("the enum {name} holds data")))
    }
}

impl ser::SerializeSeq for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.element(value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close()
    }
}

impl ser::SerializeTuple for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.element(value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.element(value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close()
    }
}

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close()
    }
}

impl ser::SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), JsonError> {
        self.key(name)?;
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn loose<T: Serialize>(value: T) -> String {
        String::from_utf8(write(&value, Style::LOOSE).unwrap()).unwrap()
    }

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (0.001, "0.001"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (0.000_5, "5.0E-4"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ];
        for (number, text) in cases {
            assert_eq!(loose(number), text);
        }
    }

    #[test]
    fn pretty_breaks_lines_before_text_keys_only() {
        let table: BTreeMap<&str, BTreeMap<i32, i64>> =
            [("T@g", [(0, 5), (1, 7)].into()), ("U@g", BTreeMap::new())].into();
        let text = write(&table, Style::PRETTY).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "{\n\t\"T@g\":{0:5,1:7\n\t},\n\t\"U@g\":{}\n}");
    }
}
