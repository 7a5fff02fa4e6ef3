//! Which halves were ended: a bit each, from the first one on that is not done.

use std::collections::VecDeque;

/// Bits by offset. Takes an eighth of a byte for each half between the first that is open and the last that was ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Everything before it is done.
    from: i64,
    /// Offset of the first bit: `from` rounded down to a word.
    base: i64,
    words: VecDeque<u64>,
}

const WORD_BITS: i64 = u64::BITS as i64;

impl Ended {
    pub(super) fn new(from: i64) -> Ended {
        Ended { from, base: from - from.rem_euclid(WORD_BITS), words: VecDeque::new() }
    }

    fn place(&self, offset: i64) -> Option<(usize, u64)> {
        let distance = offset.checked_sub(self.base).filter(|_| offset >= self.from)?;
        Some((usize::try_from(distance / WORD_BITS).ok()?, 1 << (distance % WORD_BITS)))
    }

    /// Notes an offset; what is done already needs no bit.
    pub(super) fn insert(&mut self, offset: i64) {
        let Some((word, bit)) = self.place(offset) else { return };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    pub(super) fn contains(&self, offset: i64) -> bool {
        self.place(offset).is_some_and(|(word, bit)| self.words.get(word).is_some_and(|bits| bits & bit != 0))
    }

    /// Everything before `from` is done.
    pub(super) fn advance(&mut self, from: i64) {
        self.from = self.from.max(from);
        while self.base + WORD_BITS <= self.from {
            self.words.pop_front();
            self.base += WORD_BITS;
            if self.words.is_empty() {
                self.base = self.from - self.from.rem_euclid(WORD_BITS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set_of_what_is_not_done(from in 0_i64..200, steps in proptest::collection::vec((0_i64..600, any::<bool>()), 0..80)) {
            let mut ended = Ended::new(from);
            let (mut model, mut first) = (BTreeSet::new(), from);
            for (offset, is_insert) in steps {
                if is_insert {
                    ended.insert(offset);
                    model.insert(offset);
                } else {
                    first = first.max(offset);
                    ended.advance(offset);
                }
                for probe in 0..600 {
                    prop_assert_eq!(ended.contains(probe), probe >= first && model.contains(&probe) , "{}", probe);
                }
                prop_assert!(ended.words.len() <= 11);
                model.retain(|offset| *offset >= first);
            }
        }
    }
}
