//! What Java 5.3.3 wrote, byte for byte: `golden/vectors` of the repository, recorded by `golden/recorder`.

#![allow(clippy::unwrap_used, reason = "all of this is test code, helpers included")]

mod bodies;
mod commands;
mod cuts;
mod messages;
mod texts;

use serde_json::Value;

/// One recorded vector.
struct Vector(Value);

impl Vector {
    /// All vectors of a file.
    fn all(file: &str) -> Vec<Vector> {
        let path = format!("{}/../../golden/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let Value::Array(vectors) = serde_json::from_str(&text).unwrap() else { panic!("{path} is no list") };
        vectors.into_iter().map(Vector).collect()
    }

    /// The vectors of a file whose name is this or begins with it and a slash.
    fn named(file: &str, name: &str) -> Vec<Vector> {
        let is_named = |vector: &Vector| vector.name().split('/').next() == Some(name);
        let vectors: Vec<Vector> = Vector::all(file).into_iter().filter(is_named).collect();
        assert!(!vectors.is_empty(), "{file} has no vector {name}");
        vectors
    }

    fn name(&self) -> &str {
        self.text("name")
    }

    /// A text field; it must be there.
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {}", self.0))
    }

    /// A text field that may be null or missing.
    fn maybe(&self, field: &str) -> Option<&str> {
        self.0[field].as_str()
    }

    fn number(&self, field: &str) -> i64 {
        self.0[field].as_i64().unwrap_or_else(|| panic!("{field} is no number in {}", self.0))
    }

    fn int(&self, field: &str) -> i32 {
        i32::try_from(self.number(field)).unwrap()
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        hex(self.text(field))
    }

    /// A table of texts, sorted by name; empty when it is null. Entries that are null in Java are left out.
    fn pairs(&self, field: &str) -> Vec<(String, String)> {
        let Value::Object(table) = &self.0[field] else { return Vec::new() };
        let mut pairs: Vec<_> =
            table.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        pairs.sort();
        pairs
    }
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
