//! Header types: the fields of each request code and of its answer, declared once.
//!
//! One line declares a field: its Rust name and type, its name on the wire, and what a missing one means. The structs
//! borrow their texts from the command. They are grouped as RocketMQ's own packages are, one module a family.
//! Java: `remoting/protocol/header/**`.

mod admin;
mod client;
mod message;
mod namesrv;
mod offset;

use thiserror::Error;

pub use self::admin::*;
pub use self::client::*;
pub use self::message::*;
pub use self::namesrv::*;
pub use self::offset::*;

/// A value of a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// Text as it is.
    Text(&'a str),
    /// A number, written in decimal.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
}

/// Takes the fields of a header one by one.
pub trait FieldSink {
    /// Adds a field.
    fn field(&mut self, key: &str, value: FieldValue<'_>);

    /// Adds a field of the protocol's own: nothing in such a key needs to be escaped.
    fn known_field(&mut self, key: &'static str, value: FieldValue<'_>) {
        self.field(key, value);
    }
}

/// The fields of one request or answer.
pub trait Header<'a>: Sized {
    /// Reads the header from its fields. Java's decoder is lenient, and so is this one: fields nobody knows are passed
    /// over, a missing one or (but in `strict` headers) a number that is none has the declared default.
    fn decode(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, HeaderError>;

    /// Writes the fields that have a value.
    fn encode(&self, sink: &mut impl FieldSink);
}

/// A field of a `strict` header that does not hold what it must. Java answers these with SYSTEM_ERROR.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("header field {field} holds {value:?}, which is not {expected}")]
pub struct HeaderError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// What it holds.
    pub value: String,
    /// What it should hold.
    pub expected: &'static str,
}

/// A type that a header field can have.
trait Field<'a>: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;
    /// What a missing field means.
    fn missing() -> Self;
    /// The value of that text, if it is one.
    fn parse(text: &'a str) -> Option<Self>;
    /// What goes onto the wire; `None` for nothing.
    fn value(&self) -> Option<FieldValue<'_>>;
}

impl<'a> Field<'a> for &'a str {
    const EXPECTED: &'static str = "text";
    fn missing() -> Self {
        ""
    }
    fn parse(text: &'a str) -> Option<Self> {
        Some(text)
    }
    fn value(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Text(self))
    }
}

impl Field<'_> for i32 {
    const EXPECTED: &'static str = "a 32-bit integer";
    fn missing() -> Self {
        0
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn value(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Integer((*self).into()))
    }
}

impl Field<'_> for i64 {
    const EXPECTED: &'static str = "a 64-bit integer";
    fn missing() -> Self {
        0
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn value(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Integer(*self))
    }
}

impl Field<'_> for bool {
    const EXPECTED: &'static str = "true or false";
    fn missing() -> Self {
        false
    }
    /// As `Boolean.parseBoolean`, and `1`, which some clients send.
    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true") || text == "1")
    }
    fn value(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Boolean(*self))
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn missing() -> Self {
        None
    }
    fn parse(text: &'a str) -> Option<Self> {
        T::parse(text).map(Some)
    }
    fn value(&self) -> Option<FieldValue<'_>> {
        self.as_ref().and_then(T::value)
    }
}

/// Declares header types. A field is `name: Type = "wireName"`, with `=> value` behind it when a missing field means
/// something other than the type's nothing ("" 0, false, None). `strict` in front of `struct` refuses numbers that are
/// none, as Java's four fast headers do; the others take the default then.
macro_rules! headers {
    ($( $(#[$meta:meta])* $(@$strict:ident)? struct $name:ident $(<$life:lifetime>)? { $($body:tt)* } )*) => { $(
        headers!(@one [$(#[$meta])*] [$($strict)?] $name [$($life)?] { $($body)* });
    )* };
    (@one [$(#[$meta:meta])*] $strict:tt $name:ident [$life:lifetime] { $($body:tt)* }) => {
        headers!(@struct [$(#[$meta])*] $strict [$name<$life>] $life { $($body)* });
    };
    (@one [$(#[$meta:meta])*] $strict:tt $name:ident [] { $($body:tt)* }) => {
        headers!(@struct [$(#[$meta])*] $strict [$name] 'a { $($body)* });
    };
    (@struct [$(#[$meta:meta])*] $strict:tt [$($type:tt)*] $life:lifetime {
        $( $(#[$field_meta:meta])* $field:ident : $field_type:ty = $key:literal $(=> $default:expr)? , )*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $($type)* { $( $(#[$field_meta])* pub $field: $field_type, )* }

        impl<$life> Default for $($type)* {
            fn default() -> Self {
                Self { $( $field: headers!(@default $field_type, $life $(, $default)?), )* }
            }
        }

        impl<$life> $crate::header::Header<$life> for $($type)* {
            #[allow(unused_mut, unused_variables)] // headers without fields
            fn decode(
                fields: impl Iterator<Item = (&$life str, &$life str)>,
            ) -> Result<Self, $crate::header::HeaderError> {
                $( let mut $field: Option<$field_type> = None; )*
                for (key, text) in fields {
                    match key {
                        $( $key => match <$field_type as $crate::header::Field<$life>>::parse(text) {
                            Some(value) => $field = Some(value),
                            None => headers!(@bad $strict $key, text, $field_type, $life),
                        }, )*
                        _ => {}
                    }
                }
                Ok(Self { $( $field: $field.unwrap_or_else(|| headers!(@default $field_type, $life $(, $default)?)), )* })
            }

            #[allow(unused_variables)] // headers without fields
            fn encode(&self, sink: &mut impl $crate::header::FieldSink) {
                $( if let Some(value) = $crate::header::Field::value(&self.$field) {
                    sink.known_field($key, value);
                } )*
            }
        }
    };
    (@default $field_type:ty, $life:lifetime) => { <$field_type as $crate::header::Field<$life>>::missing() };
    (@default $field_type:ty, $life:lifetime, $default:expr) => { $default };
    (@bad [strict] $key:literal, $text:ident, $field_type:ty, $life:lifetime) => {
        return Err($crate::header::HeaderError {
            field: $key,
            value: $text.chars().take(64).collect(),
            expected: <$field_type as $crate::header::Field<$life>>::EXPECTED,
        })
    };
    (@bad [] $key:literal, $text:ident, $field_type:ty, $life:lifetime) => { {} };
}
use headers;

#[cfg(test)]
mod tests {
    use super::*;

    struct Pairs(Vec<(String, String)>);

    impl FieldSink for Pairs {
        fn field(&mut self, key: &str, value: FieldValue<'_>) {
            let text = match value {
                FieldValue::Text(text) => text.to_owned(),
                FieldValue::Integer(number) => number.to_string(),
                FieldValue::Boolean(truth) => truth.to_string(),
            };
            self.0.push((key.to_owned(), text));
        }
    }

    #[test]
    fn missing_unknown_and_unparsable_fields_have_defaults() {
        let fields = [("topic", "T"), ("queueId", "x"), ("bname", "b")];
        let header = GetMaxOffsetRequestHeader::decode(fields.into_iter()).unwrap();
        assert_eq!(header, GetMaxOffsetRequestHeader { topic: "T", queue_id: 0, committed: true });
    }

    #[test]
    fn a_strict_header_names_the_field_that_is_wrong() {
        let error = SendMessageRequestHeaderV2::decode([("e", "zero")].into_iter()).unwrap_err();
        assert_eq!((error.field, error.value.as_str()), ("e", "zero"));
        assert_eq!(error.to_string(), "header field e holds \"zero\", which is not a 32-bit integer");
    }

    #[test]
    fn only_fields_with_a_value_are_written() {
        let mut pairs = Pairs(Vec::new());
        PullMessageResponseHeader {
            suggest_which_broker_id: 0,
            next_begin_offset: 5,
            min_offset: 1,
            max_offset: 9,
            ..Default::default()
        }
        .encode(&mut pairs);
        let keys: Vec<&str> = pairs.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["suggestWhichBrokerId", "nextBeginOffset", "minOffset", "maxOffset"]);
    }
}
