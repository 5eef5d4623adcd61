//! Python literals.
//!
//! Only what stands in the source as it is, is understood. What Python would have to compute (a
//! call, an f-string, a sum) is named and left alone.

use super::tokens::{Token, TokenKind};

/// A value that stands in the source as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    /// As it was written, without `_`.
    Number(String),
    Truth(bool),
    Nothing,
    /// A list, a tuple or a set.
    List(Vec<Literal>),
    Table(Vec<(Literal, Literal)>),
    /// Inside a list or a table, what Python would have to work out: why, in words that follow "it is".
    Computed(String),
}

impl Literal {
    /// Nothing, off, or without content.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Literal::Text(text) => text.is_empty(),
            Literal::Number(number) => number.parse::<f64>().is_ok_and(|number| number == 0.0),
            Literal::Truth(truth) => !truth,
            Literal::Nothing => true,
            Literal::List(items) => items.is_empty(),
            Literal::Table(pairs) => pairs.is_empty(),
            Literal::Computed(_) => false,
        }
    }

    /// Why a part of it is not known.
    pub(super) fn computed_part(&self) -> Option<&str> {
        match self {
            Literal::Computed(reason) => Some(reason),
            Literal::List(items) => items.iter().find_map(Literal::computed_part),
            Literal::Table(pairs) => {
                pairs.iter().find_map(|(key, value)| key.computed_part().or_else(|| value.computed_part()))
            }
            Literal::Text(_) | Literal::Number(_) | Literal::Truth(_) | Literal::Nothing => None,
        }
    }
}

/// The value of all of `tokens`. Else why it is no literal, in words that follow "it is".
pub(super) fn whole_value(tokens: &[Token]) -> Result<Literal, String> {
    let mut reader = Reader { tokens, position: 0 };
    let first = reader.value(0)?;
    if reader.peek_mark() == Some(',') {
        // `A = "x", "y"` is a tuple.
        let mut items = vec![first];
        while reader.take_mark(',') {
            if reader.position < tokens.len() {
                items.push(reader.value(0)?);
            }
        }
        return reader.end(Literal::List(items));
    }
    let Literal::List(mut items) = first else { return reader.end(first) };
    // `["x"] + ["y"] + MORE`
    while reader.take_mark('+') {
        match reader.item(0, &['+'])? {
            Literal::List(more) => items.extend(more),
            other => items.push(other),
        }
    }
    reader.end(Literal::List(items))
}

const DEPTH_MAX: usize = 50;

struct Reader<'t> {
    tokens: &'t [Token],
    position: usize,
}

impl Reader<'_> {
    fn end(self, literal: Literal) -> Result<Literal, String> {
        match self.tokens.get(self.position) {
            None => Ok(literal),
            Some(token) => Err(computed(token)),
        }
    }

    fn peek_mark(&self) -> Option<char> {
        match self.tokens.get(self.position)?.kind {
            TokenKind::Mark(mark) => Some(mark),
            _ => None,
        }
    }

    fn take_mark(&mut self, wanted: char) -> bool {
        let found = self.peek_mark() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        if depth > DEPTH_MAX {
            return Err("nested too deeply".into());
        }
        let token = self.tokens.get(self.position).ok_or("not complete")?;
        self.position += 1;
        match &token.kind {
            TokenKind::Text(text) => {
                let mut text = text.clone();
                // Strings that stand side by side are one.
                while let Some(Token { kind: TokenKind::Text(more), .. }) = self.tokens.get(self.position) {
                    text.push_str(more);
                    self.position += 1;
                }
                Ok(Literal::Text(text))
            }
            TokenKind::Number(number) => Ok(Literal::Number(number.clone())),
            TokenKind::Mark(sign @ ('-' | '+')) => match self.value(depth + 1)? {
                Literal::Number(number) if *sign == '-' => Ok(Literal::Number(format!("-{number}"))),
                Literal::Number(number) => Ok(Literal::Number(number)),
                _ => Err(computed(token)),
            },
            TokenKind::Name(name) => match name.as_str() {
                "True" => Ok(Literal::Truth(true)),
                "False" => Ok(Literal::Truth(false)),
                "None" => Ok(Literal::Nothing),
                // A path in Python's own wrapping.
                "Path" if self.take_mark('(') => match self.value(depth + 1)? {
                    path @ Literal::Text(_) if self.take_mark(')') => Ok(path),
                    _ => Err(computed(token)),
                },
                _ => Err(computed(token)),
            },
            TokenKind::Mark('[') => self.items(']', depth).map(|(items, _)| Literal::List(items)),
            TokenKind::Mark('(') => self.items(')', depth).map(|(mut items, has_comma)| {
                // Parentheses around one value make no tuple, a comma does.
                if items.len() == 1 && !has_comma { items.remove(0) } else { Literal::List(items) }
            }),
            TokenKind::Mark('{') => self.table_or_set(depth),
            _ => Err(computed(token)),
        }
    }

    /// One value of several, which ends before one of `ends`. What is no plain value is passed over, and
    /// says why it is none.
    fn item(&mut self, depth: usize, ends: &[char]) -> Result<Literal, String> {
        let start = self.position;
        let read = self.value(depth + 1);
        let ended = self.peek_mark().is_some_and(|mark| ends.contains(&mark));
        let reason = match (read, self.tokens.get(self.position)) {
            (Ok(literal), None) => return Ok(literal),
            (Ok(literal), Some(_)) if ended => return Ok(literal),
            (Ok(_), Some(token)) => computed(token),
            (Err(reason), _) => reason,
        };
        self.position = start;
        let mut open = 0_usize;
        while let Some(token) = self.tokens.get(self.position) {
            match token.kind {
                TokenKind::Mark(mark) if open == 0 && ends.contains(&mark) => {
                    return Ok(Literal::Computed(reason));
                }
                TokenKind::Mark('(' | '[' | '{') => open += 1,
                TokenKind::Mark(')' | ']' | '}') => open = open.saturating_sub(1),
                _ => {}
            }
            self.position += 1;
        }
        Err(reason)
    }

    /// The items up to `close`, and whether there was a comma.
    fn items(&mut self, close: char, depth: usize) -> Result<(Vec<Literal>, bool), String> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        while !self.take_mark(close) {
            items.push(self.item(depth, &[',', close])?);
            let comma = self.take_mark(',');
            has_comma |= comma;
            if !comma && self.peek_mark() != Some(close) {
                return Err("not complete".into());
            }
        }
        // Nothing but what would have to be computed: a comprehension, or a sum in parentheses.
        match items.iter().find(|item| !matches!(item, Literal::Computed(_))) {
            None if !items.is_empty() => Err(items[0].computed_part().unwrap_or_default().to_owned()),
            _ => Ok((items, has_comma)),
        }
    }

    fn table_or_set(&mut self, depth: usize) -> Result<Literal, String> {
        let (mut pairs, mut items) = (Vec::new(), Vec::new());
        while !self.take_mark('}') {
            let key = self.item(depth, &[':', ',', '}'])?;
            if self.take_mark(':') {
                pairs.push((key, self.item(depth, &[',', '}'])?));
            } else {
                items.push(key);
            }
            if !self.take_mark(',') && self.peek_mark() != Some('}') {
                return Err("not complete".into());
            }
        }
        match (pairs.is_empty(), items.is_empty()) {
            (_, true) => Ok(Literal::Table(pairs)),
            (true, false) => Ok(Literal::List(items)),
            (false, false) => Err("neither a dict nor a set".into()),
        }
    }
}

/// What Python would have to work out, by the token at which a literal ended.
fn computed(token: &Token) -> String {
    match &token.kind {
        TokenKind::Formatted => "an f-string, and the script is not run".into(),
        TokenKind::Broken(reason) => reason.clone(),
        TokenKind::Name(name) => format!("computed (`{name}`), and the script is not run"),
        TokenKind::Mark(mark) => format!("computed (`{mark}`), and the script is not run"),
        _ => "no plain value, and the script is not run".into(),
    }
}
