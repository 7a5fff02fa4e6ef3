//! Expressions as the original prints them, which its refusals show.

use std::fmt::{self, Write};

use raptormq_protocol::hash::java_hash;
use raptormq_protocol::json;

use super::node::{Comparison, Constant, InList, Node, Place};

/// Longest print, in characters; more would not be shown.
const CHARACTERS_MAX: usize = 4096;

/// A node, and the names that it refers to.
pub(super) struct Printed<'n> {
    pub(super) node: &'n Node,
    pub(super) names: &'n [Box<str>],
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limited = Limited { out, left: CHARACTERS_MAX };
        // The limit ends it like an error.
        let _whole_or_not = self.print(self.node, &mut limited);
        Ok(())
    }
}

/// Ends when it is full: an operand of BETWEEN is printed twice, so that a short expression may have an endless print.
struct Limited<'o, 'f> {
    out: &'o mut fmt::Formatter<'f>,
    left: usize,
}

impl Write for Limited<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.out.write_char(character)?;
        }
        Ok(())
    }
}

impl Printed<'_> {
    /// A constant by itself.
    pub(super) fn constant(constant: &Constant) -> String {
        match constant {
            Constant::Null => "NULL".to_owned(),
            Constant::Bool(value) => value.to_string().to_uppercase(),
            Constant::Int(value) => value.to_string(),
            Constant::Long(value) => value.to_string(),
            // Only numbers are constants, and they are printed as in JSON.
            Constant::Double(value) => json::to_vec(value)
                .map_or_else(|_| value.to_string(), |printed| String::from_utf8_lossy(&printed).into_owned()),
            Constant::Text(text) => format!("'{}'", text.replace('\'', "''")),
        }
    }

    fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", |name| name)
    }

    fn print(&self, node: &Node, out: &mut Limited<'_, '_>) -> fmt::Result {
        match node {
            Node::Constant(constant) => out.write_str(&Self::constant(constant)),
            Node::Property(place) | Node::Cast(place) => out.write_str(self.name(*place)),
            Node::Negate(node) => self.prefixed("-", node, out),
            Node::Not(node) => self.prefixed("NOT", node, out),
            Node::And(nodes) => self.joined("&&", nodes, out),
            Node::Or(nodes) => self.joined("||", nodes, out),
            Node::Compare(by, operands) => self.compared(*by, [&operands[0], &operands[1]], out),
            Node::Between(is_not, operands) => {
                let [value, low, high] = &**operands;
                let (low_by, between, high_by) = match is_not {
                    true => (Comparison::Less, " || ", Comparison::Greater),
                    false => (Comparison::GreaterEqual, " && ", Comparison::LessEqual),
                };
                out.write_char('(')?;
                self.compared(low_by, [value, low], out)?;
                out.write_str(between)?;
                self.compared(high_by, [value, high], out)?;
                out.write_char(')')
            }
            Node::In(list) => {
                let symbol = if list.is_not { " NOT IN ( " } else { " IN ( " };
                out.write_str(self.name(list.property))?;
                out.write_str(symbol)?;
                for (place, text) in in_javas_order(list).into_iter().enumerate() {
                    out.write_str(if place == 0 { "" } else { ", " })?;
                    out.write_str(text)?;
                }
                out.write_str(" )")
            }
            Node::Search(search) => {
                let symbol = match (search.place, search.is_not) {
                    (Place::Anywhere, false) => "CONTAINS",
                    (Place::Anywhere, true) => "NOT CONTAINS",
                    (Place::Start, false) => "STARTSWITH",
                    (Place::Start, true) => "NOT STARTSWITH",
                    (Place::End, false) => "ENDSWITH",
                    (Place::End, true) => "NOT ENDSWITH",
                };
                self.prefixed(symbol, &search.within, out)
            }
        }
    }

    fn prefixed(&self, symbol: &str, node: &Node, out: &mut Limited<'_, '_>) -> fmt::Result {
        out.write_char('(')?;
        out.write_str(symbol)?;
        out.write_char(' ')?;
        self.print(node, out)?;
        out.write_char(')')
    }

    fn compared(&self, by: Comparison, operands: [&Node; 2], out: &mut Limited<'_, '_>) -> fmt::Result {
        out.write_char('(')?;
        self.print(operands[0], out)?;
        out.write_str(match by {
            Comparison::Equal => " == ",
            Comparison::Greater => " > ",
            Comparison::GreaterEqual => " >= ",
            Comparison::Less => " < ",
            Comparison::LessEqual => " <= ",
        })?;
        self.print(operands[1], out)?;
        out.write_char(')')
    }

    /// `((a && b) && c)`: in pairs from the left.
    fn joined(&self, symbol: &str, nodes: &[Node], out: &mut Limited<'_, '_>) -> fmt::Result {
        for _ in 1..nodes.len() {
            out.write_char('(')?;
        }
        for (place, node) in nodes.iter().enumerate() {
            if place > 0 {
                out.write_char(' ')?;
                out.write_str(symbol)?;
                out.write_char(' ')?;
            }
            self.print(node, out)?;
            if place > 0 {
                out.write_char(')')?;
            }
        }
        Ok(())
    }
}

/// Up to four texts stand as they were written; more are in a `HashSet`, which has its own order.
fn in_javas_order(list: &InList) -> Vec<&str> {
    let mut texts: Vec<&str> = list.listed.iter().map(|text| &**text).collect();
    if texts.len() < 5 {
        return texts;
    }
    let slots = (texts.len() * 4 / 3 + 1).max(16).next_power_of_two();
    let slot = |text: &str| {
        let hash = java_hash(text) as u32;
        (hash ^ hash >> 16) as usize & (slots - 1)
    };
    texts.sort_by_cached_key(|text| slot(text));
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(*text));
    texts
}
