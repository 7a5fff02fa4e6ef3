//! Escapes, doubles, hashes, subscriptions, and the unusual JSON that Java takes.

use raptormq_protocol::body::TopicConfig;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::hash::java_hash;
use raptormq_protocol::heartbeat::{ConsumerData, SubscriptionData};
use raptormq_protocol::json;
use raptormq_protocol::route::BrokerData;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Vector;

#[test]
fn every_character_is_escaped_as_java_escapes_it() {
    for vector in Vector::named("texts.json", "characters") {
        let text = vector.text("text");
        assert_eq!(String::from_utf8(json::to_vec(text).unwrap()).unwrap(), vector.text("loose"));
        assert_eq!(String::from_utf8(json::to_vec_strict(text).unwrap()).unwrap(), vector.text("strict"));
        for form in ["loose", "strict"] {
            assert_eq!(json::from_slice::<String>(vector.text(form).as_bytes()).unwrap(), text);
        }
    }
}

#[test]
fn doubles_are_printed_as_java_prints_them() {
    for vector in Vector::named("texts.json", "double") {
        let number = f64::from_bits(vector.text("bits").parse::<i64>().unwrap().cast_unsigned());
        assert_eq!(String::from_utf8(json::to_vec(&number).unwrap()).unwrap(), vector.text("loose"));
    }
}

#[test]
fn hashes_are_javas() {
    for vector in Vector::named("texts.json", "hash") {
        assert_eq!(java_hash(vector.text("text")), vector.int("hash"));
    }
}

#[test]
fn codes_have_javas_names() {
    for vector in Vector::named("texts.json", "request-code") {
        assert_eq!(RequestCode(vector.int("code")).name(), Some(vector.text("text")));
    }
    for vector in Vector::named("texts.json", "response-code") {
        assert_eq!(ResponseCode(vector.int("code")).name(), Some(vector.text("text")));
    }
}

#[test]
fn subscriptions_are_what_java_makes_of_an_expression() {
    for vector in Vector::named("texts.json", "subscription") {
        let expression = vector.text("expression");
        match (SubscriptionData::parse("T", expression), vector.maybe("loose")) {
            (Ok(ours), Some(java)) => {
                assert_eq!(ours, json::from_slice(java.as_bytes()).unwrap(), "{expression:?}");
                // Java's sets have no order; these happen to be sorted.
                assert_eq!(String::from_utf8(json::to_vec(&ours).unwrap()).unwrap(), java);
            }
            (Err(error), None) => assert_eq!(error.to_string(), vector.text("error"), "{expression:?}"),
            (ours, java) => panic!("{expression:?}: {ours:?}, {java:?}"),
        }
    }
}

/// What Java takes and we do not: of a field that stands there twice it takes the last, and a text that is nothing, or
/// a list, is no object to it.
const REFUSED: [&str; 3] = [r#"{"topicName":"T","topicName":"U"}"#, "[]", ""];

/// What we take differently: an empty text for a number is 0, where Java takes the field's default.
const DIFFERENT: [&str; 1] = [r#"{"topicName":"T","perm":""}"#];

#[test]
fn unusual_json_means_what_it_means_to_java() {
    for vector in Vector::named("texts.json", "lenient") {
        let text = vector.text("text");
        let ours = match vector.text("type") {
            "TopicConfig" => rewrite::<TopicConfig>(text),
            "BrokerData" => rewrite::<BrokerData>(text),
            "ConsumerData" => rewrite::<ConsumerData>(text),
            other => panic!("{other}"),
        };
        match ours {
            _ if DIFFERENT.contains(&text) => {}
            Err(_) => assert!(vector.maybe("error").is_some() || REFUSED.contains(&text), "{text}"),
            // Names of brokers and topics that are missing are "" here and null in Java; tables of ours are sorted.
            Ok(ours) => {
                let java = vector.maybe("loose").unwrap_or_else(|| panic!("Java does not take {text}"));
                let content = |text: &str| json::parse_value(text.replace(r#""cluster":"","#, "").as_bytes()).unwrap();
                assert_eq!(content(&ours), content(java), "{text}");
            }
        }
    }
}

fn rewrite<T: DeserializeOwned + Serialize>(text: &str) -> Result<String, json::JsonError> {
    let read: T = json::from_slice(text.as_bytes())?;
    Ok(String::from_utf8(json::to_vec(&read)?).unwrap())
}
