//! Which bits stand for a group's filter in the bit map of a message: those of a Bloom filter, which stand in
//! `config/consumerFilter.json` with the filter. Java: `filter/util/BloomFilter.java`.

use raptormq_protocol::body::BloomFilterData;

/// The shape of the filters: how many bits, and how many of them stand for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bloom {
    bits: i32,
    hashes: i32,
}

impl Bloom {
    /// For so many wrong hits in a hundred (1 to 99) with `count` groups.
    pub(crate) fn new(error_percent: u32, count: u32) -> Bloom {
        let rate = f64::from(error_percent.clamp(1, 99)) / 100.0;
        let count = f64::from(count.clamp(1, COUNT_MAX));
        // As Java computes them: quotients of natural logarithms.
        let log = |base: f64, number: f64| number.ln() / base.ln();
        let bits = (count * log(2.0, 1.0 / rate) * log(2.0, std::f64::consts::E)).ceil();
        Bloom { bits: ((bits / 8.0).ceil() * 8.0) as i32, hashes: log(0.5, rate).ceil().max(1.0) as i32 }
    }

    /// The bits of a group's filter on a topic.
    pub(crate) fn of(self, group: &str, topic: &str) -> BloomFilterData {
        self.of_text(&format!("{group}#{topic}"))
    }

    fn of_text(self, text: &str) -> BloomFilterData {
        let hash = murmur3_128_low(text.as_bytes());
        let (low, high) = (hash as i32, (hash >> 32) as i32);
        let position = |number: i32| {
            let combined = low.wrapping_add(number.wrapping_mul(high));
            (if combined < 0 { !combined } else { combined }) % self.bits
        };
        BloomFilterData { bit_num: self.bits, bit_pos: (1..=self.hashes).map(position).collect() }
    }

    /// Bytes of a bit map.
    pub(crate) fn map_bytes(self) -> usize {
        self.bits as usize / 8
    }

    /// Whether bits that were kept are of such a filter.
    pub(crate) fn is_of_this(self, data: Option<&BloomFilterData>) -> bool {
        data.is_some_and(|data| data.bit_num == self.bits && data.bit_pos.len() == self.hashes as usize)
    }
}

/// Sets the bits of a group's filter in a bit map.
pub(crate) fn set(data: &BloomFilterData, map: &mut [u8]) {
    for position in &data.bit_pos {
        if let Some(byte) = map.get_mut(*position as usize / 8) {
            *byte |= 1 << (position % 8);
        }
    }
}

/// Whether a bit map has all bits of a group's filter. One of another length says nothing, and so has them.
pub(crate) fn is_set(data: &BloomFilterData, map: &[u8]) -> bool {
    let has = |position: &i32| map.get(*position as usize / 8).is_none_or(|byte| byte & 1 << (position % 8) != 0);
    map.len() * 8 != data.bit_num as usize || data.bit_pos.iter().all(has)
}

/// A bit map as tools show it: the last bit first, a line for each eight bytes. Java: `filter/util/BitsArray.java`.
pub(crate) fn print(map: &[u8]) -> String {
    let bytes = map.iter().enumerate().rev();
    bytes.map(|(index, byte)| format!("{byte:08b}{}", if index % 8 == 0 { "\n" } else { "" })).collect()
}

/// Most groups that a filter is made for: its bits must fit a unit of the queues' extension.
const COUNT_MAX: u32 = 10_000;

/// The first half of MurmurHash3's x64 variant with 128 bits and seed 0, as Guava's `murmur3_128().asLong()`.
fn murmur3_128_low(bytes: &[u8]) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix_1 = |part: u64| part.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix_2 = |part: u64| part.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let word = |part: &[u8]| part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let (mut one, mut two) = (0_u64, 0_u64);
    let mut blocks = bytes.chunks_exact(16);
    for block in &mut blocks {
        one ^= mix_1(word(&block[..8]));
        one = one.rotate_left(27).wrapping_add(two).wrapping_mul(5).wrapping_add(0x52dc_e729);
        two ^= mix_2(word(&block[8..]));
        two = two.rotate_left(31).wrapping_add(one).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let rest = blocks.remainder();
    two ^= mix_2(word(rest.get(8..).unwrap_or_default()));
    one ^= mix_1(word(&rest[..rest.len().min(8)]));
    one ^= bytes.len() as u64;
    two ^= bytes.len() as u64;
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    finish(one).wrapping_add(finish(two))
}

fn finish(mut part: u64) -> u64 {
    part = (part ^ part >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    part = (part ^ part >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    part ^ part >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_that_java_computes() {
        let text = include_str!("../../../../golden/vectors/filters.json");
        let all: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        let vectors: Vec<_> = all.iter().filter(|vector| vector["name"] == "bloom").collect();
        assert!(vectors.len() > 20);
        for vector in vectors {
            let number = |field: &str| u32::try_from(vector[field].as_u64().unwrap()).unwrap();
            let data = Bloom::new(number("errorRate"), number("count")).of_text(vector["text"].as_str().unwrap());
            let positions: Vec<i32> = serde_json::from_value(vector["positions"].clone()).unwrap();
            assert_eq!((data.bit_num, &data.bit_pos), (number("bits") as i32, &positions), "{vector}");
        }
    }
}
