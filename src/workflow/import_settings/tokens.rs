//! The tokens of Python source, as far as literals need them.

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Name(String),
    Number(String),
    /// A string with its escapes resolved.
    Text(String),
    /// A string whose value Python computes.
    Formatted,
    /// One character of punctuation.
    Mark(char),
    /// A line end outside brackets.
    EndOfLine,
    /// `;`: what follows belongs to the same block.
    Semicolon,
    /// Cannot be understood, for this reason.
    Broken(String),
}

/// A token and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// From 1.
    pub(super) line: usize,
    /// Its line is not indented.
    pub(super) at_top_level: bool,
}

/// Never fails: what cannot be understood is a token of its own.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    // As Python does, before anything else: a backslash continues a line whatever ends it.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut lexer = Lexer {
        rest: &source,
        line: 1,
        at_line_start: true,
        is_indented: false,
        depth: 0,
        tokens: Vec::new(),
    };
    while let Some(character) = lexer.rest.chars().next() {
        lexer.step(character);
    }
    lexer.tokens
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
    at_line_start: bool,
    is_indented: bool,
    /// Of open brackets.
    depth: usize,
    tokens: Vec<Token>,
}

impl<'s> Lexer<'s> {
    fn step(&mut self, character: char) {
        match character {
            '\n' => {
                self.take(1);
                if self.depth == 0 {
                    self.push(TokenKind::EndOfLine, self.line - 1);
                    self.at_line_start = true;
                    self.is_indented = false;
                }
            }
            '#' => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            }
            '\\' if self.rest[1..].starts_with('\n') => {
                let end = self.rest.find('\n').map_or(self.rest.len(), |newline| newline + 1);
                self.take(end);
            }
            // Editors put it between the parts of a file: for Python the line begins anew behind it.
            '\x0c' => {
                self.take(1);
                self.is_indented &= !self.at_line_start;
            }
            _ if character.is_whitespace() => {
                self.take(character.len_utf8());
                self.is_indented |= self.at_line_start;
            }
            '\'' | '"' => self.string(""),
            _ if character.is_alphabetic() || character == '_' => self.word(),
            _ if character.is_ascii_digit()
                || (character == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit())) =>
            {
                self.number();
            }
            ';' if self.depth == 0 => {
                self.take(1);
                self.push(TokenKind::Semicolon, self.line);
            }
            _ => {
                match character {
                    '(' | '[' | '{' => self.depth += 1,
                    ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.push(TokenKind::Mark(character), self.line);
                self.take(character.len_utf8());
            }
        }
    }

    fn take(&mut self, length: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn push(&mut self, kind: TokenKind, line: usize) {
        self.tokens.push(Token { kind, line, at_top_level: !self.is_indented });
        self.at_line_start = false;
    }

    fn word(&mut self) {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let is_prefix = word.len() <= 2 && word.chars().all(|c| "rRbBuUfFtT".contains(c));
        if is_prefix && self.rest[end..].starts_with(['\'', '"']) {
            self.take(end);
            return self.string(word);
        }
        let line = self.line;
        self.take(end);
        self.push(TokenKind::Name(word.to_owned()), line);
    }

    fn number(&mut self) {
        let mut previous = ' ';
        let end = self
            .rest
            .find(|c: char| {
                let exponent = matches!(previous, 'e' | 'E') && matches!(c, '+' | '-');
                previous = c;
                !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || exponent)
            })
            .unwrap_or(self.rest.len());
        let number = self.take(end).replace('_', "");
        self.push(TokenKind::Number(number), self.line);
    }

    /// At the opening quote.
    fn string(&mut self, prefix: &str) {
        let line = self.line;
        let quote = &self.rest[..1];
        let triple = quote.repeat(3);
        let is_triple = self.rest.starts_with(&triple);
        let close = if is_triple { triple.as_str() } else { quote };
        self.take(close.len());
        let kind = match end_of_string(self.rest, close, is_triple) {
            Some(end) => {
                let inside = self.take(end);
                self.take(close.len());
                string_kind(prefix, inside)
            }
            None => {
                // Go on behind this line: one broken string must not hide the rest.
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
                TokenKind::Broken("a string that is not closed".into())
            }
        };
        self.push(kind, line);
    }
}

fn end_of_string(text: &str, close: &str, is_triple: bool) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        if text[position..].starts_with(close) {
            return Some(position);
        }
        match character {
            '\\' => {
                characters.next();
            }
            '\n' if !is_triple => return None,
            _ => {}
        }
    }
    None
}

fn string_kind(prefix: &str, inside: &str) -> TokenKind {
    let has = |letter: char| prefix.chars().any(|c| c.eq_ignore_ascii_case(&letter));
    // An f-string that computes nothing is text.
    if has('t') || (has('f') && inside.contains(['{', '}'])) {
        TokenKind::Formatted
    } else if has('r') {
        TokenKind::Text(inside.to_owned())
    } else {
        unescape(inside).map_or_else(TokenKind::Broken, TokenKind::Text)
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        result.push_str(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some(letter) = rest.chars().next() else { break };
        let after = &rest[letter.len_utf8()..];
        let simple = match letter {
            '\n' => Some(""),
            '\\' => Some("\\"),
            '\'' => Some("'"),
            '"' => Some("\""),
            'a' => Some("\x07"),
            'b' => Some("\x08"),
            'f' => Some("\x0c"),
            'n' => Some("\n"),
            'r' => Some("\r"),
            't' => Some("\t"),
            'v' => Some("\x0b"),
            _ => None,
        };
        if let Some(simple) = simple {
            result.push_str(simple);
            rest = after;
            continue;
        }
        let (digits, length, radix) = match letter {
            'x' => (after, 2, 16),
            'u' => (after, 4, 16),
            'U' => (after, 8, 16),
            'N' => return Err("a string with \\N{…}, a character by its name".into()),
            '0'..='7' => (rest, rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count(), 8),
            // Python keeps the backslash of an escape that it does not know.
            _ => {
                result.push('\\');
                continue;
            }
        };
        let character = digits
            .get(..length)
            .filter(|digits| digits.chars().all(|c| c.is_digit(radix)))
            .and_then(|digits| char::from_u32(u32::from_str_radix(digits, radix).ok()?))
            .ok_or_else(|| format!("a string with an escape that is no character: \\{letter}"))?;
        result.push(character);
        rest = &digits[length..];
    }
    result.push_str(rest);
    Ok(result)
}
