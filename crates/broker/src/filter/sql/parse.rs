//! The grammar, by recursive descent as the original's parser goes, so that both stop at the same token and expect the
//! same others there.
//!
//! ```text
//! or         = and { OR and }
//! and        = equality { AND equality }
//! equality   = comparison { "=" comparison | "<>" comparison | IS [NOT] NULL }
//! comparison = unary { (">" | ">=" | "<" | "<=") unary
//!                    | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text
//!                    | [NOT] BETWEEN unary AND unary
//!                    | [NOT] IN "(" text { "," text } ")" }
//! unary      = "+" unary | "-" unary | NOT unary | primary
//! primary    = constant | name | "(" or ")"
//! ```

use super::Expression;
use super::node::{Comparison, Constant, Maker, Node, Place, Search};
use super::refusal::{Expected, Invalid};
use super::token::{self, Kind, Kinds, Token};

/// Longest expression, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 10;

/// How deep an expression may be nested: every level takes some of the stack.
pub(super) const DEPTH_MAX: usize = 100;

/// Most properties that an expression may be about.
pub(super) const NAMES_MAX: usize = 1024;

/// What begins an operand.
const OPERAND: Kinds = Kinds::of([
    Kind::Not,
    Kind::True,
    Kind::False,
    Kind::Null,
    Kind::Decimal,
    Kind::Float,
    Kind::Text,
    Kind::Name,
    Kind::Open,
    Kind::Minus,
]);
/// What goes on behind the operand of a comparison, other than by NOT.
const COMPARING: Kinds = Kinds::of([
    Kind::Between,
    Kind::In,
    Kind::Contains,
    Kind::StartsWith,
    Kind::EndsWith,
    Kind::Greater,
    Kind::GreaterEqual,
    Kind::Less,
    Kind::LessEqual,
]);
/// What may follow NOT there.
const NEGATED: Kinds = Kinds::of([Kind::Between, Kind::In, Kind::Contains, Kind::StartsWith, Kind::EndsWith]);
const EQUATING: Kinds = Kinds::of([Kind::Is, Kind::Equal, Kind::NotEqual]);

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expression, Invalid> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Invalid::too_much(&format!(
            "an expression of {} bytes is longer than {TEXT_BYTES_MAX}",
            text.len()
        )));
    }
    let mut parser = Parser {
        text,
        tokens: Vec::new(),
        at: 0,
        names: Vec::new(),
        expected: Kinds::default(),
        depth: 0,
        is_trying: false,
    };
    let (node, _) = parser.or()?;
    let root = parser.maker().condition(node)?;
    let names = parser.names.into_boxed_slice();
    let mut sorted: Box<[u32]> = (0..).take(names.len()).collect();
    sorted.sort_by(|one, two| names[*one as usize].cmp(&names[*two as usize]));
    Ok(Expression { root, names, sorted, parts: parser.at, text_bytes: text.len() })
}

struct Parser<'t> {
    text: &'t str,
    /// Those that were looked at.
    tokens: Vec<Token>,
    /// How many of them are used.
    at: usize,
    names: Vec<Box<str>>,
    /// What might have followed the last token that was used.
    expected: Kinds,
    depth: usize,
    /// Only whether the grammar holds counts: nothing is made.
    is_trying: bool,
}

/// A node, and how many levels it has.
type Part = (Node, usize);

impl<'t> Parser<'t> {
    fn maker(&self) -> Maker<'_> {
        Maker { names: &self.names }
    }

    /// The token behind the next `ahead` ones. It is read only now: what is wrong before it counts first.
    fn peek(&mut self, ahead: usize) -> Result<Kind, Invalid> {
        while self.tokens.len() <= self.at + ahead {
            let from = self.tokens.last().map_or(0, |last| last.end);
            self.tokens.push(token::next(self.text, from)?);
        }
        Ok(self.tokens[self.at + ahead].kind)
    }

    /// Whether the next token is one of those; else they are remembered as what might have been there.
    fn is_next(&mut self, kinds: Kinds) -> Result<bool, Invalid> {
        let is_next = kinds.has(self.peek(0)?);
        if !is_next {
            self.expected = self.expected.and(kinds);
        }
        Ok(is_next)
    }

    /// Uses the next token.
    fn take(&mut self) -> Result<Token, Invalid> {
        self.peek(0)?;
        let token = self.tokens[self.at];
        self.at += 1;
        self.expected = Kinds::default();
        Ok(token)
    }

    /// Uses the next token, which must be that.
    fn expect(&mut self, kind: Kind) -> Result<Token, Invalid> {
        match self.is_next(Kinds::of([kind]))? {
            true => self.take(),
            false => Err(self.unexpected(None)),
        }
    }

    fn unexpected(&self, last: Option<Kind>) -> Invalid {
        Invalid::unexpected(self.text, &self.tokens[self.at], Expected { set: self.expected, last })
    }

    /// What a maker makes of nodes, unless the grammar alone counts.
    fn make(&self, make: impl FnOnce(&Maker<'_>) -> Result<Node, Invalid>) -> Result<Node, Invalid> {
        match self.is_trying {
            true => Ok(Node::Constant(Constant::Null)),
            false => make(&self.maker()),
        }
    }

    fn check_depth(depth: usize) -> Result<usize, Invalid> {
        match depth <= DEPTH_MAX {
            true => Ok(depth),
            false => Err(Invalid::too_much(&format!("an expression is nested deeper than {DEPTH_MAX}"))),
        }
    }

    fn or(&mut self) -> Result<Part, Invalid> {
        let (mut node, mut depth) = self.and()?;
        let mut is_joined = false;
        while self.is_next(Kinds::of([Kind::Or]))? {
            self.take()?;
            let (right, right_depth) = self.and()?;
            node = self.make(|maker| maker.or(node, right))?;
            depth = depth.max(right_depth);
            is_joined = true;
        }
        Ok((node, depth + usize::from(is_joined)))
    }

    fn and(&mut self) -> Result<Part, Invalid> {
        let (mut node, mut depth) = self.equality()?;
        let mut is_joined = false;
        while self.is_next(Kinds::of([Kind::And]))? {
            self.take()?;
            let (right, right_depth) = self.equality()?;
            node = self.make(|maker| maker.and(node, right))?;
            depth = depth.max(right_depth);
            is_joined = true;
        }
        Ok((node, depth + usize::from(is_joined)))
    }

    fn equality(&mut self) -> Result<Part, Invalid> {
        let (mut node, mut depth) = self.comparison()?;
        while self.is_next(EQUATING)? {
            let operator = self.peek(0)?;
            if operator == Kind::Is {
                // Both tokens are looked at before one is used.
                let is_not = self.peek(1)? != Kind::Null;
                self.take()?;
                if is_not && !self.is_next(Kinds::of([Kind::Not]))? {
                    return Err(self.unexpected(Some(Kind::Null)));
                }
                if is_not {
                    self.take()?;
                }
                self.expect(Kind::Null)?;
                let is_null = Maker::is_null(node);
                node = self.make(|maker| if is_not { maker.not(is_null) } else { Ok(is_null) })?;
                depth = Self::check_depth(depth + 2)?;
                continue;
            }
            self.take()?;
            let (right, right_depth) = self.comparison()?;
            node = self.make(|maker| {
                let equal = maker.equal(node, right)?;
                if operator == Kind::Equal { Ok(equal) } else { maker.not(equal) }
            })?;
            depth = Self::check_depth(depth.max(right_depth) + 2)?;
        }
        Ok((node, depth))
    }

    fn comparison(&mut self) -> Result<Part, Invalid> {
        let (mut node, mut depth) = self.unary()?;
        while self.is_next(COMPARING.and(Kinds::of([Kind::Not])))? {
            let is_not = self.peek(0)? == Kind::Not;
            if is_not {
                if !NEGATED.has(self.peek(1)?) {
                    self.expected = self.expected.and(COMPARING);
                    return Err(self.unexpected(None));
                }
                self.take()?;
            }
            let (compared, right_depth) = self.compared(node, is_not)?;
            node = compared;
            depth = Self::check_depth(depth.max(right_depth) + 1)?;
        }
        Ok((node, depth))
    }

    /// A comparison from its operator on.
    fn compared(&mut self, node: Node, is_not: bool) -> Result<Part, Invalid> {
        let by = match self.take()?.kind {
            Kind::Between => return self.between(node, is_not),
            Kind::In => return Ok((self.in_list(node, is_not)?, 0)),
            Kind::Contains => return Ok((self.search(Place::Anywhere, node, is_not)?, 0)),
            Kind::StartsWith => return Ok((self.search(Place::Start, node, is_not)?, 0)),
            Kind::EndsWith => return Ok((self.search(Place::End, node, is_not)?, 0)),
            Kind::Greater => Comparison::Greater,
            Kind::GreaterEqual => Comparison::GreaterEqual,
            Kind::Less => Comparison::Less,
            _ => Comparison::LessEqual,
        };
        let (right, depth) = self.unary()?;
        Ok((self.make(|maker| maker.rank(by, node, right))?, depth))
    }

    fn between(&mut self, node: Node, is_not: bool) -> Result<Part, Invalid> {
        let (low, low_depth) = self.unary()?;
        self.expect(Kind::And)?;
        let (high, high_depth) = self.unary()?;
        Ok((self.make(|maker| maker.between(is_not, node, [low, high]))?, low_depth.max(high_depth)))
    }

    fn in_list(&mut self, node: Node, is_not: bool) -> Result<Node, Invalid> {
        self.expect(Kind::Open)?;
        let mut listed = vec![self.quoted()?];
        while self.is_next(Kinds::of([Kind::Comma]))? {
            self.take()?;
            listed.push(self.quoted()?);
        }
        self.expect(Kind::Close)?;
        self.make(|maker| maker.in_list(is_not, node, listed))
    }

    fn search(&mut self, place: Place, within: Node, is_not: bool) -> Result<Node, Invalid> {
        let text = self.quoted()?;
        Ok(Node::Search(Box::new(Search { place, is_not, within, text })))
    }

    fn quoted(&mut self) -> Result<Box<str>, Invalid> {
        let token = self.expect(Kind::Text)?;
        Ok(Constant::text(&self.text[token.start..token.end]))
    }

    fn unary(&mut self) -> Result<Part, Invalid> {
        self.depth = Self::check_depth(self.depth + 1)?;
        let (node, depth) = self.unary_of_depth()?;
        self.depth -= 1;
        Ok((node, Self::check_depth(depth)?))
    }

    fn unary_of_depth(&mut self) -> Result<Part, Invalid> {
        match self.peek(0)? {
            Kind::Plus => {
                if !self.is_operand_behind_plus()? {
                    self.is_next(OPERAND)?;
                    return Err(self.unexpected(None));
                }
                self.take()?;
                self.unary()
            }
            Kind::Minus => {
                self.take()?;
                let (node, depth) = self.unary()?;
                Ok((Node::Negate(Box::new(node)), depth + 1))
            }
            Kind::Not => {
                self.take()?;
                let (node, depth) = self.unary()?;
                Ok((self.make(|maker| maker.not(node))?, depth + 1))
            }
            kind if OPERAND.has(kind) => self.primary(),
            _ => {
                self.is_next(OPERAND)?;
                Err(self.unexpected(Some(Kind::Plus)))
            }
        }
    }

    /// The original looks at all of the operand before it uses a plus, and blames the plus for what is wrong in it.
    fn is_operand_behind_plus(&mut self) -> Result<bool, Invalid> {
        if self.is_trying {
            return Ok(true);
        }
        let (at, expected, names) = (self.at, self.expected, self.names.len());
        self.is_trying = true;
        self.take()?;
        let depth = self.depth;
        let tried = self.unary();
        self.depth = depth;
        (self.at, self.expected, self.is_trying) = (at, expected, false);
        self.names.truncate(names);
        match tried {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is_unexpected() => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    fn primary(&mut self) -> Result<Part, Invalid> {
        let token = self.take()?;
        let text = &self.text[token.start..token.end];
        let constant = match token.kind {
            Kind::Open => {
                let (node, depth) = self.or()?;
                self.expect(Kind::Close)?;
                return Ok((node, depth));
            }
            Kind::Name => return Ok((self.name(text)?, 1)),
            Kind::Text => Constant::Text(Constant::text(text)),
            Kind::True => Constant::Bool(true),
            Kind::False => Constant::Bool(false),
            Kind::Decimal if !self.is_trying => Constant::decimal(text)?,
            Kind::Float if !self.is_trying => Constant::float(text)?,
            _ => Constant::Null,
        };
        Ok((Node::Constant(constant), 1))
    }

    fn name(&mut self, name: &str) -> Result<Node, Invalid> {
        if let Some(known) = self.names.iter().position(|known| **known == *name) {
            return Ok(Node::Property(known));
        }
        if self.names.len() == NAMES_MAX {
            return Err(Invalid::too_much(&format!("an expression is about more than {NAMES_MAX} properties")));
        }
        self.names.push(name.into());
        Ok(Node::Property(self.names.len() - 1))
    }
}
