//! SQL92 conditions, and the properties that they are asked about, behind a NUL.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raptormq_broker::sql::Expression;
use raptormq_protocol::message::properties::Properties;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (condition, properties) = text.split_once('\0').unwrap_or((text, "a\u{1}5\u{2}b\u{1}x\u{2}"));
    match Expression::parse(condition) {
        Ok(expression) => {
            let result = expression.evaluate(Properties(properties));
            assert_eq!(result, expression.evaluate(Properties(properties)));
        }
        Err(refusal) => assert!(refusal.to_string().len() <= 4096, "a refusal fits a header"),
    }
});
