//! Conditions over a message's properties in a part of SQL92: `a > 5 AND (b IN ('x', 'y') OR c IS NULL)`.
//!
//! A text is cut into tokens ([`token`]), read by the original's grammar ([`parse`]) into a tree whose nodes check their
//! operands as they are made ([`node`]), and evaluated on borrowed property texts ([`evaluate`], [`value`]) without
//! allocating. What is refused is refused with the words that the original's parser has ([`refusal`], [`print`]): clients
//! show them to their users. Values are texts, numbers or booleans; null is what a missing property is, and every
//! comparison with it is null. A message passes only when the whole is true. An evaluation that fails, because a text is
//! compared with a number that it is not, lets nothing pass, however the rest would be.
//!
//! Java: `filter/parser/SelectorParser.jj`, `filter/expression/*`. Unlike there, nesting and length have limits.

use raptormq_protocol::message::properties::Properties;
use smallvec::SmallVec;

mod evaluate;
mod node;
mod parse;
mod print;
mod refusal;
mod token;
mod value;

pub use refusal::Invalid;
pub use value::Unfit;

use node::Node;
use value::Value;

/// Properties of an expression that are looked up without allocating.
const NAMES_INLINE: usize = 8;

/// Parts of an expression up to which it costs less than everything else that a message costs.
const PARTS_LIGHT: usize = 64;

/// A condition, ready to be evaluated.
#[derive(Debug)]
pub struct Expression {
    root: Node,
    /// The properties that it is about; a node names one by its place here.
    names: Box<[Box<str>]>,
    /// Places in `names`, sorted by name.
    sorted: Box<[u32]>,
    parts: usize,
    text_bytes: usize,
}

impl Expression {
    /// Reads a condition. What comes behind a whole one is not looked at, apart from the first token.
    pub fn parse(text: &str) -> Result<Expression, Invalid> {
        parse::parse(text)
    }

    /// Whether a message with these properties passes.
    pub fn matches(&self, properties: Properties<'_>) -> bool {
        self.evaluate(properties) == Ok(Some(true))
    }

    /// What the condition is for a message with these properties; `None` for null.
    pub fn evaluate(&self, properties: Properties<'_>) -> Result<Option<bool>, Unfit> {
        let mut values: SmallVec<[Option<&str>; NAMES_INLINE]> = SmallVec::new();
        values.resize(self.names.len(), None);
        for (name, value) in properties.iter() {
            let place = match self.names.len() {
                0..=NAMES_INLINE => self.names.iter().position(|wanted| **wanted == *name),
                _ => self.sorted_place(name),
            };
            if let Some(place) = place {
                values[place] = Some(value);
            }
        }
        match self.root.evaluate(&values)? {
            Value::Bool(result) => Ok(Some(result)),
            _ => Ok(None),
        }
    }

    fn sorted_place(&self, name: &str) -> Option<usize> {
        let found = self.sorted.binary_search_by(|place| (*self.names[*place as usize]).cmp(name));
        found.ok().map(|at| self.sorted[at] as usize)
    }

    /// Whether an evaluation may take so long that it should not happen on an I/O thread.
    pub(crate) fn is_heavy(&self) -> bool {
        self.parts > PARTS_LIGHT
    }

    /// About the bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.parts * size_of::<Node>() + 2 * self.text_bytes
    }
}
