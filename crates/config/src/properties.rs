//! Reads and edits files in `java.util.Properties` syntax, and remembers which line a key stands on.
//!
//! The syntax is Java's: `#` and `!` comments, `=`, `:` or a blank between key and value, escapes, continued lines,
//! ISO-8859-1. Read here and not by a crate: the one there is refuses escaped surrogate pairs, which Java writes, and
//! compiles regular expressions at every start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
        for line in logical_lines(bytes) {
            let number = line.number;
            let pair =
                line.pair().map_err(|reason| ConfigError::Syntax { path: source.into(), line: number, reason })?;
            if let Some((key, value)) = pair {
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
            match line.pair().ok().flatten().and_then(|(key, _)| changes.get_key_value(&key)) {
                Some((key, value)) => {
                    // A key that stands twice is set twice: the last line is the one that counts.
                    left.remove(key);
                    edited.extend_from_slice(&line_for(key, value));
                }
                None => edited.extend_from_slice(line.raw),
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

/// A line with those that continue it.
struct LogicalLine<'a> {
    /// Counted from 1.
    number: usize,
    /// With the ends of its lines.
    raw: &'a [u8],
    /// Without blanks in front, line ends and the backslashes before them. Empty for comments.
    content: Vec<u8>,
}

/// A line that ends in an odd number of backslashes goes on in the next one, but not when it is a comment.
fn logical_lines(bytes: &[u8]) -> impl Iterator<Item = LogicalLine<'_>> {
    let (mut at, mut lines) = (0, 0);
    std::iter::from_fn(move || {
        let (start, number) = (at, lines + 1);
        let mut content = Vec::new();
        while at < bytes.len() {
            let text = &bytes[at..];
            let text = &text[..text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len())];
            at += text.len();
            let is_last = at + 1 >= bytes.len();
            at += if bytes[at..].starts_with(b"\r\n") { 2 } else { usize::from(at < bytes.len()) };
            lines += 1;
            let text = trim_start(text);
            if content.is_empty() && matches!(text.first(), Some(b'#' | b'!')) {
                break;
            }
            content.extend_from_slice(text);
            let backslashes = content.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes.is_multiple_of(2) || is_last {
                break;
            }
            content.pop();
        }
        (at > start).then(|| LogicalLine { number, raw: &bytes[start..at], content })
    })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn trim_start(text: &[u8]) -> &[u8] {
    &text[text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len())..]
}

impl LogicalLine<'_> {
    /// Key and value; `None` for comments and empty lines.
    fn pair(&self) -> Result<Option<(String, String)>, String> {
        if self.content.is_empty() {
            return Ok(None);
        }
        let mut is_escaped = false;
        let ends_key = |byte: &u8| {
            let ends = !is_escaped && (is_blank(*byte) || matches!(byte, b'=' | b':'));
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        };
        let key_end = self.content.iter().position(ends_key).unwrap_or(self.content.len());
        let (key, rest) = self.content.split_at(key_end);
        let rest = trim_start(rest);
        let value = rest.strip_prefix(b"=").or(rest.strip_prefix(b":")).map_or(rest, trim_start);
        Ok(Some((unescape(key)?, unescape(value)?)))
    }
}

/// The text as Java reads it, in ISO-8859-1 and with escapes of UTF-16 units.
fn unescape(text: &[u8]) -> Result<String, String> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        units.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (_, Some(b'u')) => {
                let hex = rest.as_slice().get(..4).and_then(|hex| std::str::from_utf8(hex).ok());
                let unit = hex.filter(|hex| !hex.starts_with('+')).and_then(|hex| u16::from_str_radix(hex, 16).ok());
                rest.nth(3);
                unit.ok_or("\\u is not followed by four hexadecimal digits")?
            }
            (_, Some(b't')) => u16::from(b'\t'),
            (_, Some(b'n')) => u16::from(b'\n'),
            (_, Some(b'r')) => u16::from(b'\r'),
            (_, Some(b'f')) => 0x0c,
            (_, Some(&escaped)) => u16::from(escaped),
            // The last of the file.
            (b'\\', None) => continue,
            (byte, None) => u16::from(byte),
        });
    }
    String::from_utf16(&units).map_err(|_| "one half of a surrogate pair stands alone".to_owned())
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
