//! Hashes that are part of the wire and disk formats.

/// Java's `String.hashCode`: over UTF-16 units, `31 * hash + unit`, wrapping.
///
/// Tags codes in consume queues, `codeSet` of a subscription and the slots of index files are made of it.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_java_for_ascii_and_for_surrogate_pairs() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        // One code point, two units: 0xD83D * 31 + 0xDE00.
        assert_eq!(java_hash("\u{1F600}"), 0xD83D * 31 + 0xDE00);
    }
}
