//! The JSON that RocketMQ peers speak: fastjson 1's dialect.
//!
//! Java writes tables with bare integer keys (`{0:"a"}`) and even with objects as keys (`{{"topic":"T"}:1}`), and reads
//! almost anything: single quotes, bare names, comments, trailing commas, numbers in quotes. So:
//!
//! * reading is `serde_json` on the text as it came; only when that fails for its syntax, `normalize` turns the dialect
//!   into standard JSON in one pass and `serde_json` gets a second chance. In both cases `lenient` stands between
//!   `serde_json` and the type, and takes `"1"` for 1, an ordinal for an enum name, and a struct as the key of a map. Types therefore derive `Deserialize` with `#[serde(default)]` and nothing else;
//! * writing is one `serde` serializer, `write`, in three styles: [`to_vec`] as Java writes, [`to_vec_strict`] for peers
//!   that want standard JSON, [`to_pretty`] for configuration files. Fields are written as declared (bodies declare them
//!   alphabetically, because fastjson sorts), and a field that is `None` is left out, as fastjson leaves out nulls.
//!
//! Work and memory are linear in the input, and depth ends at [`DEPTH_MAX`].

mod lenient;
mod normalize;
mod write;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How deep objects and lists may nest before a text is refused. Real bodies nest six deep.
pub const DEPTH_MAX: usize = 100;

/// Why a JSON text was not read, or a value not written.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, not even in the dialect.
    #[error("invalid JSON at byte {offset}: {problem}")]
    Syntax {
        /// Where in the text, in bytes from its start.
        offset: usize,
        /// What was wrong there.
        problem: &'static str,
    },
    /// Objects and lists nest deeper than [`DEPTH_MAX`].
    #[error("JSON nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// The text is JSON, but not of the wanted type.
    #[error("unexpected JSON: {0}")]
    Parse(#[from] serde_json::Error),
    /// The value cannot be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Unwritable(String),
}

impl serde::ser::Error for JsonError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        JsonError::Unwritable(problem.to_string())
    }
}

/// Reads a value from JSON in any form that Java would accept.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    parse(text, |standard| {
        let mut reader = serde_json::Deserializer::from_slice(standard);
        let value = T::deserialize(lenient::Lenient::new(&mut reader))?;
        reader.end()?;
        Ok(value)
    })
}

/// Reads any JSON text into a tree; object keys become strings that hold their JSON, members that are null are left out.
pub fn parse_value(text: &[u8]) -> Result<serde_json::Value, JsonError> {
    parse(text, |standard| serde_json::from_slice(standard))
}

/// Whether a text is JSON in any form that Java would accept. Takes no memory for what it holds.
pub fn check(text: &[u8]) -> Result<(), JsonError> {
    parse(text, |standard| serde_json::from_slice(standard).map(|serde::de::IgnoredAny| ()))
}

/// Reads standard JSON directly. The dialect is normalized first, and so is what speaks of null anywhere: Java gives a
/// field that is null its default, as if it were not there.
fn parse<T>(text: &[u8], read: impl Fn(&[u8]) -> Result<T, serde_json::Error>) -> Result<T, JsonError> {
    if text.windows(4).any(|word| word == b"null") {
        return Ok(read(&normalize::normalize(text)?)?);
    }
    match read(text) {
        Err(error) if error.is_syntax() || error.is_eof() => Ok(read(&normalize::normalize(text)?)?),
        read => Ok(read?),
    }
}

/// Writes a value as Java's `JSON.toJSONString` does: integer and object keys bare.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    write::write(value, write::Style::LOOSE)
}

/// Writes standard ASCII JSON, as Java does with the features `BrowserCompatible` and `QuoteFieldNames`: all keys quoted,
/// everything that is not ASCII as `\uXXXX`.
pub fn to_vec_strict<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    write::write(value, write::Style::STRICT)
}

/// Writes a value as Java's configuration files have it: tabs, `"key":value`, integer keys bare and without line breaks.
pub fn to_pretty<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    write::write(value, write::Style::PRETTY)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Queue {
        broker_name: String,
        queue_id: i32,
    }

    #[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
    enum Kind {
        #[default]
        First,
        Second,
        #[serde(other)]
        Unknown,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Body {
        addresses: BTreeMap<i64, String>,
        flag: bool,
        kind: Kind,
        list: Vec<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        maybe: Option<i64>,
        offsets: BTreeMap<Queue, i64>,
        rate: f64,
    }

    fn body() -> Body {
        Body {
            addresses: [(-1, "x".to_owned()), (0, "10.0.0.1:10911".to_owned())].into(),
            flag: true,
            kind: Kind::Second,
            list: vec![1, 2],
            maybe: None,
            offsets: [(Queue { broker_name: "b\"1".to_owned(), queue_id: 3 }, 7)].into(),
            rate: 0.0,
        }
    }

    #[test]
    fn writes_bare_integer_and_object_keys_and_reads_them_back() {
        let text = String::from_utf8(to_vec(&body()).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"addresses":{-1:"x",0:"10.0.0.1:10911"},"flag":true,"kind":"Second","list":[1,2],"#.to_owned()
                + r#""offsets":{{"brokerName":"b\"1","queueId":3}:7},"rate":0.0}"#
        );
        assert_eq!(from_slice::<Body>(text.as_bytes()).unwrap(), body());
    }

    #[test]
    fn the_strict_form_is_standard_json_and_equal() {
        let text = to_vec_strict(&body()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        assert_eq!(from_slice::<Body>(&text).unwrap(), body());
        assert_eq!(to_vec_strict("a/\u{e9}\u{1F600}").unwrap(), br#""a\/\u00E9\uD83D\uDE00""#);
    }

    #[test]
    fn the_pretty_form_reads_back() {
        assert_eq!(from_slice::<Body>(&to_pretty(&body()).unwrap()).unwrap(), body());
    }

    #[test]
    fn takes_what_fastjson_takes() {
        let text = br#" { /* who */ 'flag' : "1", kind:1, "addresses":{"-1":'x', 0 : "10.0.0.1:10911",}, // end
            list:["1",2.0,], "offsets":{ {"queueId":"3",'brokerName':'b"1'} :"7"}, "maybe":null, "rate":"0",
            "later":{"unknown":[{}, null, NaN]}, }
        "#;
        assert_eq!(from_slice::<Body>(text).unwrap(), body());
    }

    #[test]
    fn nulls_are_empty_and_unknown_names_are_not_errors() {
        let read: Body =
            from_slice(br#"{"list":null,"addresses":null,"flag":null,"kind":"Third","rate":null}"#).unwrap();
        assert_eq!(read, Body { kind: Kind::Unknown, ..Body::default() });
        assert_eq!(from_slice::<Body>(b"{}").unwrap(), Body::default());
        assert_eq!(from_slice::<Body>(br#"{"kind":77,"flag":"true"}"#).unwrap().kind, Kind::Unknown);
    }

    #[test]
    fn a_key_of_megabytes_is_refused_before_it_becomes_a_tree() {
        let text = format!("{{\"offsets\":{{{{\"brokerName\":\"b\",\"later\":[{}0]}}:1}}}}", "[],".repeat(1 << 20));
        assert!(from_slice::<Body>(text.as_bytes()).is_err());
        assert!(from_slice::<Body>(text.replace("[],", "").as_bytes()).is_ok());
    }

    #[test]
    fn deep_nesting_is_refused_in_every_form() {
        for piece in ["[", "{\"a\":", "{a:", "{{\"a\":", "['',"] {
            let text = piece.repeat(10_000);
            assert!(parse_value(text.as_bytes()).is_err(), "{piece}");
            assert!(from_slice::<Body>(text.as_bytes()).is_err(), "{piece}");
            let inside = format!("{{\"unknown\":{text}");
            assert!(from_slice::<Body>(inside.as_bytes()).is_err(), "{piece}");
        }
    }
}
