//! The `config!` macro and what its expansion calls.

use crate::error::BadValue;
use crate::key::Key;
use crate::value::{Value, expected_between};

/// Declares a family of keys.
///
/// ```text
/// config! {
///     /// What the family is for.
///     pub struct BrokerConfig {
///         /// Doc sentence, with the unit.
///         pub listen_port: u16 = "listenPort" [1..=65535] (environment) => default, important, no_effect;
///     }
/// }
/// ```
///
/// The range and the name for the [`Environment`](crate::Environment) are optional, and so are the flags, which are
/// the builders of [`Flags`](crate::Flags). Out of it come the struct with public fields, `new`, `Default`, `KEYS`,
/// `set`, `get` and the implementation of [`Family`](crate::Family).
macro_rules! config {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                #[doc = $first_line:literal]
                $(#[doc = $more_lines:literal])*
                pub $field:ident: $type:ident = $key:literal $([$min:literal..=$max:literal])? $(($environment:ident))?
                    => $default:expr $(, $flag:ident)*;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(
                #[doc = $first_line]
                $(#[doc = $more_lines])*
                pub $field: $type,
            )+
        }

        impl $crate::Family for $name {
            const NAME: &'static str = stringify!($name);

            const KEYS: &'static [$crate::Key] = &[$($crate::Key {
                name: $key,
                field: stringify!($field),
                kind: <$type as $crate::Value>::TYPE,
                doc: concat!($first_line $(, $more_lines)*),
                default_from: config!(@from $(($environment))? $default),
                flags: $crate::Flags::NONE $(.$flag())*,
            }),+];

            #[allow(unused_variables)] // families whose defaults do not depend on the machine
            fn new(environment: &$crate::Environment) -> $name {
                $name { $($field: config!(@default environment $(($environment))? $type, $default)),+ }
            }

            fn set(&mut self, key: &str, text: &str) -> Result<bool, $crate::BadValue> {
                match key {
                    $($key => self.$field = $crate::macros::read(<Self as $crate::Family>::key($key), text, config!(@range $($min..=$max)?))?,)+
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn get(&self, key: &str) -> Option<String> {
                match key {
                    $($key => Some($crate::Value::print(&self.$field)),)+
                    _ => None,
                }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                <$name as $crate::Family>::new(&$crate::Environment::default())
            }
        }
    };
    (@default $given:ident ($environment:ident) $type:ident, $default:expr) => {{
        let $environment = $given;
        config!(@typed $type, $default)
    }};
    (@default $given:ident $type:ident, $default:expr) => { config!(@typed $type, $default) };
    (@typed String, $default:expr) => { String::from($default) };
    (@typed $type:ident, $default:expr) => { $default };
    (@from ($environment:ident) $default:expr) => { stringify!($default) };
    (@from $default:expr) => { "" };
    (@range $min:literal..=$max:literal) => { Some($min..=$max) };
    (@range) => { None };
}
pub(crate) use config;

/// Reads the text of one key: type, range and the checks that its flags ask for.
pub(crate) fn read<T: Value>(
    key: Option<&'static Key>,
    text: &str,
    range: Option<std::ops::RangeInclusive<i64>>,
) -> Result<T, BadValue> {
    let key = key.expect("the expansion of config! names a key of its own table");
    let text = text.trim();
    let bad = |expected: String| BadValue { key: key.name.into(), value: text.into(), expected };
    if key.flags.is_address && text.contains(|c: char| c.is_whitespace() || c == '#') {
        return Err(bad("an address without blanks (a comment needs a line of its own)".into()));
    }
    let expected = || match (&range, text.contains('#')) {
        (Some(range), false) => expected_between(range),
        (Some(range), true) => format!("{} (a comment needs a line of its own)", expected_between(range)),
        (None, false) => T::expected(),
        (None, true) => format!("{} (a comment needs a line of its own)", T::expected()),
    };
    let value = T::read(text).ok_or_else(|| bad(expected()))?;
    match (&range, value.whole()) {
        (Some(range), Some(number)) if !range.contains(&number) => Err(bad(expected())),
        _ => Ok(value),
    }
}
