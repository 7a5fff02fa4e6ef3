//! Reads and edits files in `java.util.Properties` syntax, and remembers which line a key stands on.
//!
//! The syntax is Java's: `#` and `!` comments, `=`, `:` or a blank between key and value, escapes, continued lines,
//! ISO-8859-1. The java-properties crate reads it; this module adds the file's name, the lines and the edits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use java_properties::{LineContent, PropertiesIter};

use crate::error::ConfigError;

/// The keys of one file, in the file's order. A key that stands twice is there once, with its last value, as in Java.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Where they come from: the file, or a word such as `-D`.
    pub source: PathBuf,
    /// The keys in the order of the file.
    pub entries: Vec<Entry>,
}

/// One key of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped; blanks at its end are still there.
    pub value: String,
    /// The line where the key begins, counted from 1; 0 when it does not come from a file.
    pub line: usize,
}

impl Properties {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or has a line that is not of this syntax (a bad `\u` escape).
    pub fn load(path: &Path) -> Result<Properties, ConfigError> {
        let bytes = std::fs::read(path).map_err(|reason| ConfigError::Read { path: path.into(), reason })?;
        Properties::parse(path, &bytes)
    }

    /// Reads the bytes of a file; `source` is named in messages.
    ///
    /// # Errors
    /// A line is not of this syntax (a bad `\u` escape).
    pub fn parse(source: &Path, bytes: &[u8]) -> Result<Properties, ConfigError> {
        let mut properties = Properties { source: source.into(), entries: Vec::new() };
        let text = decode(bytes);
        for line in PropertiesIter::new_with_encoding(text.as_bytes(), encoding_rs::UTF_8) {
            let line = line.map_err(|problem| ConfigError::Syntax {
                path: source.into(),
                line: problem.line_number().unwrap_or(0),
                reason: problem.to_string().split(" (line_number").next().unwrap_or_default().to_owned(),
            })?;
            let number = line.line_number();
            if let LineContent::KVPair(key, value) = line.consume_content() {
                properties.insert(Entry { key, value, line: number });
            }
        }
        Ok(properties)
    }

    /// The same text in ASCII: files are read as ISO-8859-1, requests are UTF-8.
    pub fn escape(text: &str) -> String {
        let mut ascii = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_ascii() {
                ascii.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        ascii
    }

    /// Properties that come from elsewhere than a file, such as `-D` or a request; `source` is named in messages.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        source: &str,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Properties {
        let mut properties = Properties { source: source.into(), entries: Vec::new() };
        for (key, value) in pairs {
            properties.insert(Entry { key: key.into(), value: value.into(), line: 0 });
        }
        properties
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// File and line of an entry as messages name them.
    pub fn origin(&self, entry: &Entry) -> String {
        match entry.line {
            0 => self.source.display().to_string(),
            line => format!("{} line {line}", self.source.display()),
        }
    }

    fn insert(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// The text of a properties file with some keys changed: a line that sets a changed key gets its new value, keys
    /// that the file does not have are appended, and everything else (comments, order, line ends) stays.
    pub fn edit(original: &[u8], changes: &BTreeMap<String, String>) -> Vec<u8> {
        let mut edited = Vec::with_capacity(original.len() + 64 * changes.len());
        let mut left: BTreeMap<&String, &String> = changes.iter().collect();
        for line in logical_lines(original) {
            let key = Properties::parse(Path::new(""), line).ok().and_then(|mut one| one.entries.pop());
            match key.and_then(|entry| changes.get_key_value(&entry.key)) {
                Some((key, value)) => {
                    // A key that stands twice is set twice: the last line is the one that counts.
                    left.remove(key);
                    edited.extend_from_slice(&line_for(key, value));
                }
                None => edited.extend_from_slice(line),
            }
        }
        if !edited.is_empty() && !edited.ends_with(b"\n") && !left.is_empty() {
            edited.push(b'\n');
        }
        for (key, value) in left {
            edited.extend_from_slice(&line_for(key, value));
        }
        edited
    }
}

/// The text of a file as Java reads it, in ISO-8859-1. Escapes of surrogate pairs, which Java writes for characters
/// above U+FFFF and the parser does not take, become those characters.
fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    let mut is_escaped = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match surrogate_pair(&bytes[at..]) {
            Some(character) if byte == b'\\' && !is_escaped => {
                text.push(character);
                at += SURROGATE_PAIR_BYTES;
            }
            _ => {
                text.push(char::from(byte));
                is_escaped = byte == b'\\' && !is_escaped;
            }
        }
    }
    text
}

/// Length of `uD83D\uDE00`: a pair without its first backslash.
const SURROGATE_PAIR_BYTES: usize = 11;

fn surrogate_pair(bytes: &[u8]) -> Option<char> {
    let pair = std::str::from_utf8(bytes.get(..SURROGATE_PAIR_BYTES)?).ok()?;
    let (high, low) = pair.strip_prefix('u')?.split_once("\\u")?;
    let unit = |hex: &str| u16::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 4 && !hex.starts_with('+'));
    char::decode_utf16([unit(high)?, unit(low)?]).next()?.ok().filter(|character| character.len_utf16() == 2)
}

/// Splits into lines with their ends; a line that ends in an odd number of backslashes goes on in the next one, but
/// not when it is a comment.
fn logical_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |found| at + found + 1);
        let text = bytes[at..end].trim_ascii_end();
        let is_comment = at == start && matches!(text.trim_ascii_start().first(), Some(b'#' | b'!'));
        let backslashes = text.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if is_comment || backslashes.is_multiple_of(2) {
            lines.push(&bytes[start..end]);
            start = end;
        }
        at = end;
    }
    if start < bytes.len() {
        lines.push(&bytes[start..]);
    }
    lines
}

/// `key=value` and a line end, escaped so that Java and we read back the same.
fn line_for(key: &str, value: &str) -> Vec<u8> {
    let mut line = String::with_capacity(key.len() + value.len() + 2);
    escape_into(&mut line, key, true);
    line.push('=');
    escape_into(&mut line, value, false);
    line.push('\n');
    line.into_bytes()
}

fn escape_into(line: &mut String, text: &str, is_key: bool) {
    for (at, unit) in text.encode_utf16().enumerate() {
        match char::from_u32(u32::from(unit)) {
            Some('\\') => line.push_str("\\\\"),
            Some('\n') => line.push_str("\\n"),
            Some('\r') => line.push_str("\\r"),
            Some('\t') => line.push_str("\\t"),
            Some(' ') if is_key || at == 0 => line.push_str("\\ "),
            Some(c @ ('=' | ':' | '#' | '!')) if is_key => {
                line.push('\\');
                line.push(c);
            }
            Some(c @ ' '..='~') => line.push(c),
            _ => line.push_str(&format!("\\u{unit:04x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Properties {
        Properties::parse(Path::new("broker.conf"), text.as_bytes()).unwrap()
    }

    #[test]
    fn reads_the_syntax_of_java_with_line_numbers() {
        let text = "# comment\n! another\nbrokerName = broker-a\nbrokerId:0\n\nlistenPort 10911\nlong=a\\\n   b\nlast=\\u4e2d\\t.\n";
        let properties = parse(text);
        let found: Vec<_> = properties.entries.iter().map(|e| (e.key.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(
            found,
            [
                ("brokerName", "broker-a", 3),
                ("brokerId", "0", 4),
                ("listenPort", "10911", 6),
                ("long", "ab", 7),
                ("last", "中\t.", 9),
            ]
        );
    }

    #[test]
    fn the_last_of_two_lines_with_one_key_counts() {
        let properties = parse("a=1\nb=2\na=3\n");
        assert_eq!(properties.get("a"), Some("3"));
        assert_eq!(properties.entries.len(), 2);
        assert_eq!(properties.origin(&properties.entries[0]), "broker.conf line 3");
    }

    #[test]
    fn bytes_above_ascii_are_latin1_as_in_java() {
        let properties = Properties::parse(Path::new("f"), b"a=\xe9\x80\nb=\\\xe9\n").unwrap();
        assert_eq!(properties.get("a"), Some("\u{e9}\u{80}"));
        assert_eq!(properties.get("b"), Some("\u{e9}"));
    }

    #[test]
    fn pairs_of_escapes_are_read_and_bad_escapes_refused_with_their_line() {
        assert_eq!(parse("a=\\uD83D\\uDE00\\\\uD83D\\\\uDE00").get("a"), Some("\u{1f600}\\uD83D\\uDE00"));
        let refused = Properties::parse(Path::new("broker.conf"), b"a=1\nb=\\u12\n").unwrap_err().to_string();
        assert!(refused.starts_with("broker.conf line 2: "), "{refused}");
    }

    #[test]
    fn an_edit_keeps_comments_and_order() {
        let original = b"# mine\nbrokerName=a\nlong=1\\\n  2\r\n#brokerId=9\nbrokerId=0";
        let changes = [("long", "3"), ("brokerId", "1"), ("new key", " x=\\\u{4e2d}")];
        let changes = changes.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let edited = String::from_utf8(Properties::edit(original, &changes)).unwrap();
        assert_eq!(edited, "# mine\nbrokerName=a\nlong=3\n#brokerId=9\nbrokerId=1\nnew\\ key=\\ x=\\\\\\u4e2d\n");
    }

    proptest! {
        #[test]
        fn what_edit_writes_parse_reads(key in "\\PC{1,20}", value in "[\\PC\\n\\r\\t\\x0c]{0,40}") {
            let changes = BTreeMap::from([(key.clone(), value.clone())]);
            let written = Properties::edit(b"x=1", &changes);
            let read = Properties::parse(Path::new(""), &written).unwrap();
            prop_assert_eq!(read.get(&key), Some(value.as_str()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if Properties::parse(Path::new(""), &bytes).is_ok() {
                Properties::edit(&bytes, &BTreeMap::from([("a".to_owned(), "b".to_owned())]));
            }
        }
    }
}
