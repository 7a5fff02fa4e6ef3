//! What `java.util.Properties` reads from a thousand texts (`properties/Record.java`) is what we read.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;

use raptormq_config::Properties;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// `None` for half a surrogate pair, which Java takes and Rust's texts cannot hold.
fn text(hex: &str) -> Option<String> {
    let units: Vec<u16> = bytes(hex).chunks(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).ok()
}

#[test]
fn every_text_is_read_as_java_reads_it() {
    let mut refused = 0;
    for (number, line) in include_str!("properties/recorded.tsv").lines().enumerate() {
        let (given, expected) = line.split_once('\t').unwrap_or((line, ""));
        let given = bytes(given);
        let read = Properties::parse(Path::new("broker.conf"), &given);
        let texts: Option<Vec<String>> = match expected {
            "refused" => None,
            "" if !line.contains('\t') => Some(Vec::new()),
            _ => expected.split('\t').map(text).collect(),
        };
        let Some(texts) = texts else {
            refused += 1;
            assert!(read.is_err(), "{number}: {given:?} {read:?}");
            continue;
        };
        let expected: Vec<(&str, &str)> = texts.chunks(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
        // A later line may have set the key again, so that the half is not among what Java has in the end.
        let mut entries = match read {
            Err(error) if error.to_string().contains("surrogate pair") => continue,
            read => read.unwrap().entries,
        };
        entries.sort_by(|one, other| one.key.encode_utf16().cmp(other.key.encode_utf16()));
        let found: Vec<(&str, &str)> = entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        assert_eq!(found, expected, "{number}: {:?}", String::from_utf8_lossy(&given));
    }
    assert!((50..500).contains(&refused), "{refused}");
}
