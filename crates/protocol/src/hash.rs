//! Hashes that are part of the wire and disk formats.

/// Java's `String.hashCode`: over UTF-16 units, `31 * hash + unit`, wrapping.
///
/// Tags codes in consume queues, `codeSet` of a subscription and the slots of index files are made of it.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Sorts names as Java's `HashMap` and `HashSet` hand them out when they hold these alone: who compares what two
/// implementations answer finds the same order. Names that share a bucket stay in the order in which they were.
pub fn sort_as_java_map<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    let mut buckets = JAVA_TABLE_SIZE;
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    items.sort_by_key(|item| {
        let hash = java_hash(name(item)).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    });
}

/// Buckets of a new `HashMap`; there are twice as many whenever three quarters are taken.
const JAVA_TABLE_SIZE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_javas_buckets() {
        let mut names = ["broker-a", "broker-b"];
        sort_as_java_map(&mut names, |name| name);
        assert_eq!(names, ["broker-b", "broker-a"], "as a live 5.3.3 name server answers");
    }

    #[test]
    fn equals_java_for_ascii_and_for_surrogate_pairs() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        // One code point, two units: 0xD83D * 31 + 0xDE00.
        assert_eq!(java_hash("\u{1F600}"), 0xD83D * 31 + 0xDE00);
    }
}
