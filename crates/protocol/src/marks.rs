//! Finds two bytes in a text, 64 bytes at a time: what JSON headers and property texts are cut at.

use wide::u8x16;

/// The places of the bytes `A` and `B`, neither of which may be 0, in their order.
pub(crate) struct Marks<'a, const A: u8, const B: u8> {
    bytes: &'a [u8],
    /// Where the block begins that `mask` is about.
    block: usize,
    /// A bit for each mark of the block that was not given out yet.
    mask: u64,
}

const BLOCK_BYTES: usize = 64;

impl<'a, const A: u8, const B: u8> Marks<'a, A, B> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut marks = Marks { bytes, block: 0, mask: 0 };
        if !bytes.is_empty() {
            marks.fill();
        }
        marks
    }

    #[inline]
    fn fill(&mut self) {
        let rest = &self.bytes[self.block..];
        self.mask = match rest.first_chunk() {
            Some(block) => mask::<A, B>(block),
            None => {
                let mut block = [0; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                mask::<A, B>(&block)
            }
        };
    }
}

impl<const A: u8, const B: u8> Iterator for Marks<'_, A, B> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.block += BLOCK_BYTES;
            if self.block >= self.bytes.len() {
                // Asked again, it says so again.
                self.block = self.bytes.len();
                return None;
            }
            self.fill();
        }
        let at = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(at)
    }
}

/// A bit for each byte of the block that is `A` or `B`, the first byte's lowest.
#[inline]
fn mask<const A: u8, const B: u8>(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (lanes, _) = block.as_chunks::<16>();
    let marks_of = |lane: &[u8; 16]| {
        let lane = u8x16::new(*lane);
        (lane.simd_eq(u8x16::splat(A)) | lane.simd_eq(u8x16::splat(B))).to_bitmask()
    };
    let masks = lanes.iter().enumerate().map(|(number, lane)| u64::from(marks_of(lane)) << (number * 16));
    masks.fold(0, |mask, bits| mask | bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_mark_is_found_and_nothing_else(bytes in proptest::collection::vec(0u8..5, 0..300)) {
            let expected = bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, 1 | 2)).map(|(at, _)| at);
            let mut marks = Marks::<1, 2>::new(&bytes);
            prop_assert_eq!(marks.by_ref().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            prop_assert_eq!(marks.next(), None);
        }
    }
}
