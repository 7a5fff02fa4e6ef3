//! Evaluating a tree with a message's properties.

use super::node::{Comparison, Node, Place, Search};
use super::value::{Unfit, Value};

impl Node {
    /// The value of the part; `properties` has one for each of the expression's names, if the message has it.
    pub(super) fn evaluate<'v>(&'v self, properties: &[Option<&'v str>]) -> Result<Value<'v>, Unfit> {
        let property = |place: usize| properties.get(place).copied().flatten();
        Ok(match self {
            Node::Constant(constant) => constant.value(),
            Node::Property(place) => property(*place).map_or(Value::Null, Value::Text),
            Node::Cast(place) => property(*place).map_or(Value::Null, |_| Value::Bool(false)),
            Node::Negate(node) => match node.evaluate(properties)? {
                Value::Int(value) => Value::Int(value.wrapping_neg()),
                Value::Long(value) => Value::Long(value.wrapping_neg()),
                Value::Double(value) => Value::Double(-value),
                _ => Value::Null,
            },
            Node::Not(node) => match node.evaluate(properties)? {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            },
            Node::And(nodes) => all(nodes, properties, false)?,
            Node::Or(nodes) => all(nodes, properties, true)?,
            Node::Compare(Comparison::Equal, operands) => {
                let [left, right] = &**operands;
                equal(left.evaluate(properties)?, right.evaluate(properties)?)?
            }
            Node::Compare(by, operands) => {
                let [left, right] = &**operands;
                rank(*by, left.evaluate(properties)?, right, properties)?
            }
            Node::Between(is_not, operands) => {
                let [value, low, high] = &**operands;
                let value = value.evaluate(properties)?;
                let (low_by, high_by) = match is_not {
                    true => (Comparison::Less, Comparison::Greater),
                    false => (Comparison::GreaterEqual, Comparison::LessEqual),
                };
                let above = rank(low_by, value, low, properties)?;
                match above == Value::Bool(*is_not) {
                    true => above,
                    false => combine(above, rank(high_by, value, high, properties)?, *is_not),
                }
            }
            Node::In(list) => match property(list.property) {
                Some(text) => Value::Bool(list.has(text) != list.is_not),
                None => Value::Null,
            },
            Node::Search(search) => Value::Bool(search.finds(properties)?),
        })
    }
}

impl Search {
    /// A missing property and what is no text is neither found nor not found; nor is a text of no characters.
    fn finds(&self, properties: &[Option<&str>]) -> Result<bool, Unfit> {
        if self.text.is_empty() {
            return Ok(false);
        }
        let Value::Text(within) = self.within.evaluate(properties)? else { return Ok(false) };
        let is_found = match self.place {
            Place::Anywhere => within.contains(&*self.text),
            Place::Start => within.starts_with(&*self.text),
            Place::End => within.ends_with(&*self.text),
        };
        Ok(is_found != self.is_not)
    }
}

/// Conditions one after the other: the first that is `end` ends it, else one that is null makes it null.
fn all<'v>(nodes: &'v [Node], properties: &[Option<&'v str>], end: bool) -> Result<Value<'v>, Unfit> {
    let mut result = Value::Bool(!end);
    for node in nodes {
        result = combine(result, node.evaluate(properties)?, end);
        if result == Value::Bool(end) {
            break;
        }
    }
    Ok(result)
}

fn combine<'v>(one: Value<'v>, two: Value<'v>, end: bool) -> Value<'v> {
    match (one, two) {
        (Value::Bool(one), _) | (_, Value::Bool(one)) if one == end => Value::Bool(end),
        (_, Value::Bool(two)) if two == end => Value::Bool(end),
        (Value::Bool(_), Value::Bool(_)) => Value::Bool(!end),
        _ => Value::Null,
    }
}

/// Null only when the left one alone is.
fn equal<'v>(left: Value<'v>, right: Value<'v>) -> Result<Value<'v>, Unfit> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => Value::Bool(true),
        (Value::Null, _) => Value::Null,
        (_, Value::Null) => Value::Bool(false),
        (left, right) => Value::Bool(left.compare(right)?.is_eq()),
    })
}

fn rank<'v>(
    by: Comparison,
    left: Value<'v>,
    right: &'v Node,
    properties: &[Option<&'v str>],
) -> Result<Value<'v>, Unfit> {
    if left == Value::Null {
        return Ok(Value::Null);
    }
    match right.evaluate(properties)? {
        Value::Null => Ok(Value::Null),
        right => Ok(Value::Bool(by.holds(left.rank(right)?))),
    }
}
