//! The properties of a message that somebody holds.

use std::fmt;

use smallvec::SmallVec;

use super::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, Properties};

/// Properties that most messages have, those that a consumer adds included.
const USUAL: usize = 12;
/// Bytes that a consumer adds to what a message has: where its queue begins and ends, and when it is consumed.
const ADDED_BYTES: usize = 112;

/// Names and values in one text, in their order; each name once. A consumer holds many messages, and a text for each name
/// and value would cost more than everything else of a message.
#[derive(Clone, Default)]
pub struct PropertyList {
    /// As in a record; what was replaced is there still.
    text: String,
    /// Where in `text` a name begins, where it ends in front of its separator, and where its value ends.
    places: SmallVec<[[u32; 3]; USUAL]>,
}

impl PropertyList {
    /// The properties of a text. Where a name comes twice, the last value counts, in the first one's place.
    pub fn of(text: &str) -> PropertyList {
        let mut list = PropertyList { text: String::with_capacity(text.len() + ADDED_BYTES), places: SmallVec::new() };
        list.text.push_str(text);
        for (name, value) in Properties(text).iter() {
            // Both are slices of `text`.
            let start = name.as_ptr().addr() - text.as_ptr().addr();
            let place = [start, start + name.len(), start + name.len() + 1 + value.len()].map(|at| at as u32);
            match list.position(name) {
                Some(known) => list.places[known] = place,
                None => list.places.push(place),
            }
        }
        list
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Sets a value: a name that is new comes last.
    pub fn set(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() && !self.text.ends_with(PROPERTY_SEPARATOR) {
            self.text.push(PROPERTY_SEPARATOR);
        }
        let start = self.text.len();
        self.text.push_str(name);
        self.text.push(NAME_VALUE_SEPARATOR);
        self.text.push_str(value);
        let place = [start, start + name.len(), self.text.len()].map(|at| at as u32);
        self.text.push(PROPERTY_SEPARATOR);
        match self.position(name) {
            Some(known) => self.places[known] = place,
            None => self.places.push(place),
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.places.iter().map(|[name, separator, end]| {
            (&self.text[*name as usize..*separator as usize], &self.text[*separator as usize + 1..*end as usize])
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.iter().position(|(known, _)| known == name)
    }
}

impl PartialEq for PropertyList {
    fn eq(&self, other: &PropertyList) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for PropertyList {}

impl fmt::Debug for PropertyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_has_one_value_and_keeps_its_place() {
        let mut list = PropertyList::of("A\u{1}1\u{2}B\u{1}2\u{2}A\u{1}three\u{2}x\u{2}C\u{1}");
        assert_eq!(list.iter().collect::<Vec<_>>(), [("A", "three"), ("B", "2")]);
        list.set("B", "");
        list.set("D", "4\u{1}5");
        assert_eq!(list.iter().collect::<Vec<_>>(), [("A", "three"), ("B", ""), ("D", "4\u{1}5")]);
        assert_eq!((list.get("B"), list.get("C"), list.len()), (Some(""), None, 3));
        assert_eq!(format!("{list:?}"), r#"{"A": "three", "B": "", "D": "4\u{1}5"}"#);
        assert!(PropertyList::of("").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_the_borrowed_form_reads_it(text in "[AB\u{1}\u{2}é]{0,40}") {
            let mut expected: Vec<(&str, &str)> = Vec::new();
            for (name, value) in Properties(&text).iter() {
                match expected.iter_mut().find(|(known, _)| *known == name) {
                    Some(known) => known.1 = value,
                    None => expected.push((name, value)),
                }
            }
            let list = PropertyList::of(&text);
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), expected);
        }
    }
}
