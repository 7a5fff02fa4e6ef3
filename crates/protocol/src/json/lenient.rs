//! What Java's types forgive: a `serde` deserializer around `serde_json`'s.
//!
//! | wanted | also taken |
//! |---|---|
//! | number | the number in quotes, `true`/`false` as 1/0, a whole float, `null` and `""` as 0 |
//! | boolean | `"true"`, `"1"`, any number (not 0 is true), `null` and `""` as false |
//! | string | numbers and booleans as their text, `null` as `""` |
//! | list, map | `null` as empty |
//! | enum | its ordinal; a name or ordinal it does not have goes to its `#[serde(other)]` variant |
//! | struct as a map's key | a string that holds its JSON, which `normalize` makes of an object |
//!
//! `Option` and unknown fields pass through untouched.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// The longest object that is read as a key, in bytes of its JSON. It is the only thing that is read by way of a tree,
/// which takes many times its text; a queue with the longest names has less than a kilobyte.
const KEY_BYTES_MAX: usize = 16 << 10;

/// The lenient view of a deserializer or a seed.
pub(super) struct Lenient<D, P = Member>(D, PhantomData<P>);

impl<D> Lenient<D> {
    pub(super) fn new(inner: D) -> Self {
        Lenient(inner, PhantomData)
    }
}

/// Where a value stands. A type rather than a flag: reading an object from a string by way of a tree is compiled again for
/// each type that it may be, and only keys may.
pub(super) trait Position {
    fn table<'de, D: Deserializer<'de>, V: Visitor<'de>>(inner: D, visitor: V) -> Result<V::Value, D::Error>;
}

/// Anywhere but where the key of a map stands.
pub(super) struct Member;

/// Where the key of a map stands.
struct Key;

impl Position for Member {
    fn table<'de, D: Deserializer<'de>, V: Visitor<'de>>(inner: D, visitor: V) -> Result<V::Value, D::Error> {
        inner.deserialize_any(Asked { visitor, wanted: Wanted::Table })
    }
}

impl Position for Key {
    fn table<'de, D: Deserializer<'de>, V: Visitor<'de>>(inner: D, visitor: V) -> Result<V::Value, D::Error> {
        inner.deserialize_any(ObjectKey(visitor))
    }
}

/// The visitor of an object that is a key.
struct ObjectKey<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for ObjectKey<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    /// Text within text doubles its escapes, so this cannot nest deep.
    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        let trimmed = text.trim();
        if !trimmed.starts_with('{') || trimmed.len() > KEY_BYTES_MAX {
            return self.0.visit_str(text);
        }
        let key: serde_json::Value = serde_json::from_str(trimmed).map_err(E::custom)?;
        Lenient::new(key).deserialize_map(self.0).map_err(E::custom)
    }
}

/// A visitor together with what its type asked for.
struct Asked<V> {
    visitor: V,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    Any,
    Integer,
    Float,
    Boolean,
    Text,
    List,
    Table,
    Enumeration(&'static [&'static str]),
}

macro_rules! ask {
    ($($method:ident => $wanted:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(Asked { visitor, wanted: Wanted::$wanted })
        }
    )*};
}

impl<'de, D: Deserializer<'de>, P: Position> Deserializer<'de> for Lenient<D, P> {
    type Error = D::Error;

    ask! {
        deserialize_any => Any,
        deserialize_bool => Boolean,
        deserialize_i8 => Integer,
        deserialize_i16 => Integer,
        deserialize_i32 => Integer,
        deserialize_i64 => Integer,
        deserialize_i128 => Integer,
        deserialize_u8 => Integer,
        deserialize_u16 => Integer,
        deserialize_u32 => Integer,
        deserialize_u64 => Integer,
        deserialize_u128 => Integer,
        deserialize_f32 => Float,
        deserialize_f64 => Float,
        deserialize_char => Text,
        deserialize_str => Text,
        deserialize_string => Text,
        deserialize_bytes => Text,
        deserialize_byte_buf => Text,
        deserialize_identifier => Any,
        deserialize_unit => Any,
        deserialize_seq => List,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Asked { visitor, wanted: Wanted::Any })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        P::table(self.0, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        P::table(self.0, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Asked { visitor, wanted: Wanted::Enumeration(variants) })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }
}

impl<'de, V: Visitor<'de>> Asked<V> {
    fn integer<E: Error>(self, number: i64) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Boolean => self.visitor.visit_bool(number != 0),
            Wanted::Text => self.visitor.visit_string(number.to_string()),
            Wanted::Enumeration(variants) => {
                let ordinal = usize::try_from(number).ok().and_then(|ordinal| variants.get(ordinal));
                self.variant(ordinal.map_or_else(|| number.to_string(), |name| (*name).to_owned()))
            }
            _ => self.visitor.visit_i64(number),
        }
    }

    fn variant<E: Error>(self, name: String) -> Result<V::Value, E> {
        let access: StringDeserializer<E> = name.into_deserializer();
        self.visitor.visit_enum(access)
    }

    fn text<E: Error>(self, text: &str) -> Result<V::Value, E> {
        let trimmed = text.trim();
        match self.wanted {
            Wanted::Integer if trimmed.is_empty() => self.visitor.visit_i64(0),
            Wanted::Integer => match trimmed.parse::<i64>() {
                Ok(number) => self.visitor.visit_i64(number),
                Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &"a whole number")),
            },
            Wanted::Float if trimmed.is_empty() => self.visitor.visit_f64(0.0),
            Wanted::Float => match trimmed.parse::<f64>() {
                Ok(number) => self.visitor.visit_f64(number),
                Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &"a number")),
            },
            Wanted::Boolean => match trimmed {
                "true" | "TRUE" | "True" | "1" | "Y" | "T" => self.visitor.visit_bool(true),
                "false" | "FALSE" | "False" | "0" | "N" | "F" | "" => self.visitor.visit_bool(false),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &"a boolean")),
            },
            Wanted::Enumeration(_) => self.variant(text.to_owned()),
            _ => self.visitor.visit_str(text),
        }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Asked<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Integer => self.visitor.visit_i64(i64::from(value)),
            Wanted::Text => self.visitor.visit_str(if value { "true" } else { "false" }),
            _ => self.visitor.visit_bool(value),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<V::Value, E> {
        self.integer(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.integer(number),
            Err(_) => match self.wanted {
                Wanted::Text => self.visitor.visit_string(number.to_string()),
                _ => self.visitor.visit_u64(number),
            },
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<V::Value, E> {
        // 2^53: below it every whole float is exactly one integer.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        match self.wanted {
            Wanted::Integer | Wanted::Boolean if number.trunc() == number && number.abs() <= EXACT_MAX => {
                self.integer(number as i64)
            }
            Wanted::Text => self.visitor.visit_string(number.to_string()),
            _ => self.visitor.visit_f64(number),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.text(text)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Any | Wanted::Text => self.visitor.visit_borrowed_str(text),
            _ => self.text(text),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Any => self.visitor.visit_unit(),
            Wanted::Integer => self.visitor.visit_i64(0),
            Wanted::Float => self.visitor.visit_f64(0.0),
            Wanted::Boolean => self.visitor.visit_bool(false),
            Wanted::Text => self.visitor.visit_str(""),
            Wanted::List => self.visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<u8>())),
            Wanted::Table => self.visitor.visit_map(MapDeserializer::new(std::iter::empty::<(u8, u8)>())),
            Wanted::Enumeration(_) => self.variant("null".to_owned()),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Lenient::new(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        // Derived types would take a list of their fields' values.
        if matches!(self.wanted, Wanted::Table) {
            return Err(A::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        self.visitor.visit_seq(Lenient::new(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Lenient::new(access))
    }
}

impl<'de, S: DeserializeSeed<'de>, P: Position> DeserializeSeed<'de> for Lenient<S, P> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Lenient(inner, self.1))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Lenient<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Lenient::new(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Lenient<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Lenient(seed, PhantomData::<Key>))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Lenient::new(seed))
    }
}
