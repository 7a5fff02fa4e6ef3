//! The types a key can have: how each is read from text and printed.

use std::ops::RangeInclusive;

/// A type that a configuration key can have.
pub trait Value: Sized {
    /// The type's name in the documentation.
    const TYPE: &'static str;

    /// Reads the text of a properties file, blanks at both ends removed; `None` when it is no such value.
    fn read(text: &str) -> Option<Self>;

    /// The text that [`Value::read`] takes back.
    fn print(&self) -> String;

    /// What a reader of an error message should have written.
    fn expected() -> String;

    /// The value as a number, if its type is a whole number: what a key's range is compared with.
    fn whole(&self) -> Option<i64> {
        None
    }
}

macro_rules! whole_numbers {
    ($($type:ident)*) => {$(
        impl Value for $type {
            const TYPE: &'static str = "number";

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn print(&self) -> String {
                self.to_string()
            }

            fn expected() -> String {
                expected_between(&(i64::try_from($type::MIN).unwrap_or(i64::MIN)..=i64::try_from($type::MAX).unwrap_or(i64::MAX)))
            }

            fn whole(&self) -> Option<i64> {
                i64::try_from(*self).ok()
            }
        }
    )*};
}

whole_numbers! { u16 u32 u64 i32 i64 }

/// The sentence for a whole number that must lie in `range`.
pub(crate) fn expected_between(range: &RangeInclusive<i64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

impl Value for bool {
    const TYPE: &'static str = "boolean";

    fn read(text: &str) -> Option<bool> {
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "true or false".into()
    }
}

impl Value for f64 {
    const TYPE: &'static str = "decimal";

    fn read(text: &str) -> Option<f64> {
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn print(&self) -> String {
        format!("{self:?}")
    }

    fn expected() -> String {
        "a number such as 0.8".into()
    }
}

impl Value for String {
    const TYPE: &'static str = "text";

    fn read(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }

    fn expected() -> String {
        "a text".into()
    }
}

/// Declares an enum whose words are values of a key; words are read whatever their case.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $crate::Value for $name {
            const TYPE: &'static str = "word";

            fn read(text: &str) -> Option<$name> {
                $(if text.eq_ignore_ascii_case($word) { return Some($name::$variant); })+
                None
            }

            fn print(&self) -> String {
                match self { $($name::$variant => $word.into()),+ }
            }

            fn expected() -> String {
                concat!("one of" $(, " ", $word)+).into()
            }
        }
    };
}
pub(crate) use words;
