//! Java's string hash, taken up where another left off: the index hashes `topic#key`, and the topic's part is the same
//! for every key.

/// The hash of the text whose hash is `hash`, followed by `text`.
pub(crate) fn extend(hash: i32, text: &str) -> i32 {
    if text.is_ascii() {
        // Four characters a step: one multiplication waits for the one before it.
        let (steps, rest) = text.as_bytes().as_chunks();
        let step = |hash: i32, [a, b, c, d]: &[u8; 4]| {
            let units = [*a, *b, *c, *d].map(i32::from);
            let added = units[0] * (31 * 31 * 31) + units[1] * (31 * 31) + units[2] * 31 + units[3];
            hash.wrapping_mul(31 * 31 * 31 * 31).wrapping_add(added)
        };
        let hash = steps.iter().fold(hash, step);
        return rest.iter().fold(hash, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(*byte)));
    }
    text.encode_utf16().fold(hash, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use raptormq_protocol::hash::java_hash;

    use super::*;

    #[test]
    fn goes_on_where_the_other_left_off() {
        for (first, second) in
            [("topic#", "key"), ("", "TagA"), ("~~~", "~~~~~~~~~~~~~~~~~~~~~~~"), ("ä\u{1F600}", "\u{1F600}x")]
        {
            assert_eq!(extend(extend(0, first), second), java_hash(&format!("{first}{second}")));
        }
    }
}
