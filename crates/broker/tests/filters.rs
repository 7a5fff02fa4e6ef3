//! SQL92 filters against what the original makes of the same texts and messages (`golden/vectors/filters.json`).

#![allow(clippy::unwrap_used)] // tests

use std::path::Path;

use proptest::prelude::*;
use raptormq_broker::sql::Expression;
use raptormq_protocol::message::properties::{self, Properties};
use serde_json::Value;

fn vectors(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/vectors/filters.json");
    let all: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    all.into_iter().filter(|vector| vector["name"] == name).collect()
}

#[test]
fn every_expression_does_what_the_originals_does() {
    let messages = vectors("properties").into_iter().map(|vector| {
        let pairs: Vec<_> = vector["properties"].as_object().unwrap().clone().into_iter().collect();
        let texts = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        properties::encode(texts)
    });
    let messages: Vec<String> = messages.collect();
    let vectors = vectors("filter");
    assert!(vectors.len() > 1000, "{}", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let text = vector["expression"].as_str().unwrap();
        let ours = match Expression::parse(text) {
            Ok(expression) => messages.iter().map(|message| letter(&expression, message)).collect(),
            Err(refusal) => refusal.to_string(),
        };
        let theirs = vector["error"].as_str().or(vector["matches"].as_str()).unwrap();
        if ours != theirs {
            wrong.push(format!("{text:?}:\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

fn letter(expression: &Expression, message: &str) -> char {
    match expression.evaluate(Properties(message)) {
        Ok(Some(true)) => 'T',
        Ok(Some(false)) => 'F',
        Ok(None) => 'N',
        Err(_) => 'X',
    }
}

/// Values that properties and constants may have.
const VALUES: [&str; 8] = ["5", "-3", "1.5", "x", "true", "", "3000000000", " 7 "];

fn condition() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let number = prop::sample::select(vec!["5", "-3", "1.5", "3000000000", "a", "b"]);
    let operator = prop::sample::select(vec!["=", "<>", ">", ">=", "<", "<="]);
    let leaf = prop_oneof![
        (name.clone(), operator, number.clone())
            .prop_map(|(name, operator, number)| format!("{name} {operator} {number}")),
        (name.clone(), number.clone(), number).prop_map(|(name, low, high)| format!("{name} BETWEEN {low} AND {high}")),
        name.clone().prop_map(|name| format!("{name} IN ('x', '5')")),
        name.clone().prop_map(|name| format!("{name} IS NULL")),
        name.prop_map(|name| format!("{name} CONTAINS 'x'")),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} AND {two})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} OR {two})")),
            inner.prop_map(|inner| format!("NOT ({inner})")),
        ]
    })
}

fn message() -> impl Strategy<Value = String> {
    let value = || prop::option::of(prop::sample::select(VALUES.to_vec()));
    (value(), value(), value()).prop_map(|(a, b, c)| {
        let all = [("a", a), ("b", b), ("c", c)];
        properties::encode(all.into_iter().filter_map(|(name, value)| Some((name, value?))))
    })
}

/// The letter, or nothing for a text that is no condition (lower ends that are higher).
fn result(text: &str, message: &str) -> Option<char> {
    Some(letter(&Expression::parse(text).ok()?, message))
}

proptest! {
    #[test]
    fn logic_obeys_its_laws(one in condition(), two in condition(), message in message()) {
        let is = |text: String| result(&text, &message);
        prop_assert_eq!(is(format!("NOT ({one} AND {two})")), is(format!("NOT ({one}) OR NOT ({two})")));
        prop_assert_eq!(is(format!("NOT ({one} OR {two})")), is(format!("NOT ({one}) AND NOT ({two})")));
        prop_assert_eq!(is(one.clone()), is(format!("NOT (NOT ({one}))")));
        prop_assert_eq!(is(format!("({one}) AND TRUE")), is(one.clone()));
        prop_assert_eq!(is(format!("({one}) OR FALSE")), is(one));
    }

    #[test]
    fn between_is_two_comparisons(low in -9_i32..9, high in -9_i32..9, message in message()) {
        // A constant with a sign is none to the original, so that it does not compare the ends.
        let (low, high) = (format!("+{low}").replace("+-", "-"), format!("-{}", -high).replace("--", "+"));
        let is = |text: String| result(&text, &message);
        if let Some(between) = is(format!("a BETWEEN {low} AND {high}")) {
            prop_assert_eq!(Some(between), is(format!("a >= {low} AND a <= {high}")));
        }
        prop_assert_eq!(is(format!("a NOT BETWEEN {low} AND {high}")), is(format!("a < {low} OR a > {high}")));
    }

    #[test]
    fn any_text_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(vec![
        "a", "b", "(", ")", "NOT", "AND", "OR", "IS", "NULL", "BETWEEN", "IN", "CONTAINS", "'x'", "'", "5", "1.5", "=", "<>", ">", "<=",
        ",", "+", "-", "--", "/*", "*/", "\n", " ", "TRUE", "\u{1F600}", "#", ".",
    ]), 0..40), message in message()) {
        let text = pieces.join(" ");
        if let Ok(expression) = Expression::parse(&text) {
            let _any = expression.evaluate(Properties(&message));
        }
    }
}

#[test]
fn what_would_take_too_much_is_refused_at_once() {
    let nested = |count: usize, open: &str, close: &str| format!("{}a = 1{}", open.repeat(count), close.repeat(count));
    for (open, close) in [("(", ")"), ("NOT (", ")"), ("+(", ")"), ("-(", ")"), ("- ", ""), ("+", "")] {
        for count in [45, 10_000] {
            let begin = std::time::Instant::now();
            // Deep, but not too deep, is fine where it means something.
            let is_read = Expression::parse(&nested(count, open, close)).is_ok();
            assert_eq!(is_read, count == 45 && open != "-(", "{count} {open}");
            assert!(begin.elapsed().as_millis() < 1000, "{count} {open}: {:?}", begin.elapsed());
        }
    }
    for piece in ["a = 1 OR ", "(", "NOT ", "'", "a ", "\u{1F600}", "-- x\n", "5"] {
        let begin = std::time::Instant::now();
        let text = piece.repeat(100_000 / piece.len());
        assert!(
            Expression::parse(&text).is_err() && begin.elapsed().as_millis() < 1000,
            "{piece:?}: {:?}",
            begin.elapsed()
        );
    }
    let printed = (0..30).fold("a".to_owned(), |inner, _| format!("-({inner} BETWEEN 1 AND 2)"));
    let refusal = Expression::parse(&format!("{printed} > 1 > 1")).unwrap_err().to_string();
    assert!(refusal.len() <= 4096, "{}", refusal.len());
    let expression = Expression::parse(&format!("{printed} IS NULL")).unwrap();
    assert!(expression.matches(Properties("a\u{1}1\u{2}")), "each part is evaluated once");
    for chain in [" IS NULL", " CONTAINS 'x'", " = TRUE"] {
        assert!(Expression::parse(&format!("a = 1{}", chain.repeat(5000))).is_err(), "{chain}");
    }
    let names: Vec<String> = (0..2000).map(|number| format!("p{number} = 1")).collect();
    assert!(Expression::parse(&names.join(" OR ")).is_err());
    let expression = Expression::parse(&names[..1000].join(" OR ")).unwrap();
    assert!(expression.matches(Properties("p999\u{1}1\u{2}")) && !expression.matches(Properties("p999\u{1}2\u{2}")));
    let texts: Vec<String> = (0..5000).map(|number| format!("'t{number}'")).collect();
    let expression = Expression::parse(&format!("a IN ({})", texts.join(","))).unwrap();
    assert!(expression.matches(Properties("a\u{1}t4999\u{2}")) && !expression.matches(Properties("a\u{1}t5000\u{2}")));
}
