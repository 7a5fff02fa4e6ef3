//! The tree of an expression, and its makers, which refuse operands that do not fit as the original's do.
//! Java: `filter/expression/*.java`.

use std::cmp::Ordering;

use super::print::Printed;
use super::refusal::Invalid;
use super::value::Value;

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Constant),
    /// A property, by its place among the expression's names.
    Property(usize),
    Negate(Box<Node>),
    Not(Box<Node>),
    /// Whether a property is true: false, because properties are texts, or null when it is missing.
    Cast(usize),
    /// In their order; a false one ends it.
    And(Vec<Node>),
    /// In their order; a true one ends it.
    Or(Vec<Node>),
    Compare(Comparison, Box<[Node; 2]>),
    /// Value, lower and upper end; `true` for what lies outside.
    Between(bool, Box<[Node; 3]>),
    In(Box<InList>),
    Search(Box<Search>),
}

/// A value that stands in the expression.
#[derive(Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Comparison {
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
        }
    }
}

/// Whether a property is one of several texts.
#[derive(Debug)]
pub(super) struct InList {
    pub(super) property: usize,
    pub(super) is_not: bool,
    /// In the order in which they stand in the expression.
    pub(super) listed: Box<[Box<str>]>,
    /// Places in `listed`, sorted by text.
    sorted: Box<[u32]>,
}

impl InList {
    pub(super) fn has(&self, text: &str) -> bool {
        self.sorted.binary_search_by(|place| (*self.listed[*place as usize]).cmp(text)).is_ok()
    }
}

/// Whether a text has another one in it, at its start or at its end.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) place: Place,
    pub(super) is_not: bool,
    pub(super) within: Node,
    pub(super) text: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Long(value) => Value::Long(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::Text(value) => Value::Text(value),
        }
    }

    /// A whole number, with an L at its end or without.
    pub(super) fn decimal(text: &str) -> Result<Constant, Invalid> {
        let digits = text.trim_end_matches(['l', 'L']);
        let value: i64 = digits.parse().map_err(|_| Invalid::number(digits))?;
        Ok(i32::try_from(value).map_or(Constant::Long(value), Constant::Int))
    }

    /// A number with a point or an exponent. Zero is refused, as whatever is too small.
    pub(super) fn float(text: &str) -> Result<Constant, Invalid> {
        // The grammar's forms are some of those that Rust reads; what is too large becomes infinite.
        let value: f64 = text.parse().unwrap_or(f64::INFINITY);
        if value > f64::MAX {
            return Err(Invalid::operands(&format!("{text} is greater than 1.7976931348623157E308")));
        }
        if value <= 0.0 {
            return Err(Invalid::operands(&format!("{text} is less than 4.9E-324")));
        }
        Ok(Constant::Double(value))
    }

    /// A text in quotes, of which two stand for one.
    pub(super) fn text(quoted: &str) -> Box<str> {
        let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or_default();
        inner.replace("''", "'").into()
    }
}

/// Makes nodes; knows the names of the properties, which refusals print.
pub(super) struct Maker<'n> {
    pub(super) names: &'n [Box<str>],
}

impl Maker<'_> {
    fn print(&self, node: &Node) -> String {
        Printed { node, names: self.names }.to_string()
    }

    /// The node as a condition.
    pub(super) fn condition(&self, node: Node) -> Result<Node, Invalid> {
        match node {
            Node::Property(name) => Ok(Node::Cast(name)),
            node if is_condition(&node) => Ok(node),
            node => Err(Invalid::no_condition(&self.print(&node))),
        }
    }

    pub(super) fn or(&self, left: Node, right: Node) -> Result<Node, Invalid> {
        let (left, right) = (self.condition(left)?, self.condition(right)?);
        Ok(match left {
            Node::Or(mut all) => {
                all.push(right);
                Node::Or(all)
            }
            left => Node::Or(vec![left, right]),
        })
    }

    pub(super) fn and(&self, left: Node, right: Node) -> Result<Node, Invalid> {
        let (left, right) = (self.condition(left)?, self.condition(right)?);
        Ok(match left {
            Node::And(mut all) => {
                all.push(right);
                Node::And(all)
            }
            left => Node::And(vec![left, right]),
        })
    }

    pub(super) fn not(&self, node: Node) -> Result<Node, Invalid> {
        Ok(Node::Not(Box::new(self.condition(node)?)))
    }

    pub(super) fn equal(&self, left: Node, right: Node) -> Result<Node, Invalid> {
        for operand in [&left, &right] {
            if matches!(operand, Node::Constant(Constant::Null)) {
                return Err(Invalid::operands(&format!("'{}' cannot be compared.", self.print(operand))));
            }
        }
        if let (Node::Constant(Constant::Bool(_)), Node::Constant(other)) = (&left, &right)
            && !matches!(other, Constant::Bool(_))
        {
            let (left, right) = (self.print(&left), self.print(&right));
            return Err(Invalid::operands(&format!("'{left}' cannot be compared with '{right}'")));
        }
        Ok(Node::Compare(Comparison::Equal, Box::new([left, right])))
    }

    /// Greater, less, or equal besides.
    pub(super) fn rank(&self, by: Comparison, left: Node, right: Node) -> Result<Node, Invalid> {
        self.check_ranked(&left)?;
        self.check_ranked(&right)?;
        Ok(Node::Compare(by, Box::new([left, right])))
    }

    fn check_ranked(&self, node: &Node) -> Result<(), Invalid> {
        let is_right = match node {
            Node::Constant(constant) => constant.value().is_number(),
            node => !is_condition(node),
        };
        match is_right {
            true => Ok(()),
            false => Err(Invalid::operands(&format!("Value '{}' cannot be compared.", self.print(node)))),
        }
    }

    pub(super) fn is_null(node: Node) -> Node {
        Node::Compare(Comparison::Equal, Box::new([node, Node::Constant(Constant::Null)]))
    }

    pub(super) fn between(&self, is_not: bool, value: Node, ends: [Node; 2]) -> Result<Node, Invalid> {
        if let (false, [Node::Constant(low), Node::Constant(high)]) = (is_not, &ends) {
            let (low_value, high_value) = (low.value(), high.value());
            if low_value == Value::Null || high_value == Value::Null {
                return Err(Invalid::operands("Illegal values of between, values can not be null!"));
            }
            let order = high_value.compare(low_value).map_err(|mismatch| mismatch.refusal())?;
            if order.is_lt() {
                return Err(Invalid::operands(&format!(
                    "Illegal values of between, left value({}) must less than or equal to right value({})",
                    self.plain(low),
                    self.plain(high)
                )));
            }
        }
        // In the order in which the original makes its two comparisons.
        let [low, high] = ends;
        for operand in [&value, &low, &value, &high] {
            self.check_ranked(operand)?;
        }
        Ok(Node::Between(is_not, Box::new([value, low, high])))
    }

    /// A value as Java's `toString` prints it.
    fn plain(&self, constant: &Constant) -> String {
        match constant {
            Constant::Text(text) => text.to_string(),
            Constant::Bool(value) => value.to_string(),
            other => Printed::constant(other),
        }
    }

    pub(super) fn in_list(&self, is_not: bool, node: Node, listed: Vec<Box<str>>) -> Result<Node, Invalid> {
        let Node::Property(property) = node else {
            let printed = self.print(&node);
            return Err(Invalid::operands(&format!("Expected a property for In expression, got: {printed}")));
        };
        let listed = listed.into_boxed_slice();
        let mut sorted: Box<[u32]> = (0..).take(listed.len()).collect();
        sorted.sort_by(|one, two| listed[*one as usize].cmp(&listed[*two as usize]));
        Ok(Node::In(Box::new(InList { property, is_not, listed, sorted })))
    }
}

/// Whether the node is true, false or null by itself.
fn is_condition(node: &Node) -> bool {
    match node {
        Node::Constant(constant) => matches!(constant, Constant::Null | Constant::Bool(_)),
        Node::Property(_) | Node::Negate(_) => false,
        Node::Not(_) | Node::Cast(_) | Node::And(_) | Node::Or(_) | Node::Compare(..) | Node::Between(..) => true,
        Node::In(_) | Node::Search(_) => true,
    }
}
