//! Python source as text: which constants it sets at its top level, and to what.
//!
//! Only literals are understood. Nothing is run, so whatever Python would have
//! to compute (a call, an f-string, a sum) is named and left alone.

use super::tokens::{Token, TokenKind, tokens};

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

/// `NAME = value`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) name: String,
    /// From 1.
    pub(super) line: usize,
    /// Why it is no literal, in words that follow "it is".
    pub(super) value: Result<Literal, String>,
}

/// The constants (names in capitals) of a script, each once, with the value that
/// was assigned last. What is added to a list later belongs to it.
pub(super) fn constants(source: &str) -> Vec<Constant> {
    let tokens = tokens(source);
    let mut found: Vec<Constant> = Vec::new();
    let mut inside: Vec<Constant> = Vec::new();
    for statement in tokens.split(|token| token.kind == TokenKind::EndOfStatement) {
        change(statement, &mut found);
        let Some(constant) = assignment(statement) else { continue };
        if statement[0].at_top_level {
            found.retain(|known| known.name != constant.name);
            found.push(constant);
        } else if !inside.iter().any(|known| known.name == constant.name) {
            let reason = "set inside a block (a class, a function, an `if`), and the script is not run";
            inside.push(Constant { value: Err(reason.into()), ..constant });
        }
    }
    inside.retain(|constant| !found.iter().any(|known| known.name == constant.name));
    found.append(&mut inside);
    found.sort_by_key(|constant| constant.line);
    found
}

/// `NAME += value`, `NAME.append(value)` and the like.
fn change(statement: &[Token], found: &mut [Constant]) {
    let [Token { kind: TokenKind::Name(name), line, at_top_level }, rest @ ..] = statement else { return };
    let Some(constant) = found.iter_mut().find(|constant| constant.name == *name) else { return };
    let call = match rest {
        [Token { kind: TokenKind::Mark('+'), .. }, Token { kind: TokenKind::Mark('='), .. }, value @ ..] => {
            ("+=", whole_value(value))
        }
        [
            Token { kind: TokenKind::Mark('.'), .. },
            Token { kind: TokenKind::Name(method), .. },
            arguments @ ..,
        ] => match (method.as_str(), whole_value(arguments)) {
            ("append" | "extend" | "insert" | "remove" | "pop" | "clear" | "update", value) => {
                (method.as_str(), value)
            }
            _ => return,
        },
        _ => return,
    };
    let unknown = || Literal::Computed(format!("changed in line {line}, and the script is not run"));
    match (&mut constant.value, call) {
        (Ok(Literal::List(items)), ("append", Ok(value))) if *at_top_level => items.push(value),
        (Ok(Literal::List(items)), ("+=" | "extend", Ok(Literal::List(more)))) if *at_top_level => {
            items.extend(more);
        }
        (Ok(Literal::List(items)), ("+=" | "extend" | "append" | "insert", _)) => items.push(unknown()),
        (Ok(_), _) => {
            constant.value = Err(unknown().computed_part().unwrap_or_default().to_owned());
        }
        (Err(_), _) => {}
    }
}

fn assignment(statement: &[Token]) -> Option<Constant> {
    let [first, rest @ ..] = statement else { return None };
    let TokenKind::Name(name) = &first.kind else { return None };
    let is_constant = name.chars().any(|c| c.is_ascii_uppercase()) && !name.chars().any(char::is_lowercase);
    if !is_constant {
        return None;
    }
    // `NAME: list[str] = …` says no more than `NAME = …`.
    let value = match rest {
        [Token { kind: TokenKind::Mark('='), .. }, value @ ..] => value,
        [Token { kind: TokenKind::Mark(':'), .. }, annotated @ ..] => {
            let equals = annotated.iter().position(|token| token.kind == TokenKind::Mark('='))?;
            &annotated[equals + 1..]
        }
        _ => return None,
    };
    // `A == b` is no assignment.
    if value.first().is_some_and(|token| token.kind == TokenKind::Mark('=')) {
        return None;
    }
    Some(Constant { name: name.clone(), line: first.line, value: whole_value(value) })
}

fn whole_value(tokens: &[Token]) -> Result<Literal, String> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(source: &str) -> Result<Literal, String> {
        let mut found = constants(&format!("X = {source}\n"));
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        found.remove(0).value
    }

    fn text(text: &str) -> Literal {
        Literal::Text(text.into())
    }

    #[test]
    fn literals_are_read_as_python_reads_them() {
        assert_eq!(value("'a' \"b\" # c"), Ok(text("ab")));
        assert_eq!(value("r'a\\n' '\\n\\x41\\u56fe\\101\\q\\\\'"), Ok(text("a\\n\nA图A\\q\\")));
        assert_eq!(value("\"\"\"a\n'b'\" \\\nc\"\"\""), Ok(text("a\n'b'\" c")));
        assert_eq!(value("('a'\n  # why\n  'b')"), Ok(text("ab")));
        assert_eq!(value("('a',)"), Ok(Literal::List(vec![text("a")])));
        assert_eq!(value("'a', 'b'"), Ok(Literal::List(vec![text("a"), text("b")])));
        assert_eq!(value("\\\n 'a'"), Ok(text("a")));
        assert_eq!(value("[]"), Ok(Literal::List(vec![])));
        assert_eq!(value("{}"), Ok(Literal::Table(vec![])));
        assert_eq!(value("-1_000.5"), Ok(Literal::Number("-1000.5".into())));
        assert_eq!(value("True"), Ok(Literal::Truth(true)));
        assert_eq!(value("None"), Ok(Literal::Nothing));
        assert_eq!(
            value("[('a', 'b'), {'c': 1,},]"),
            Ok(Literal::List(vec![
                Literal::List(vec![text("a"), text("b")]),
                Literal::Table(vec![(text("c"), Literal::Number("1".into()))]),
            ]))
        );
    }

    #[test]
    fn lines_end_as_python_lets_them_end() {
        let source = "A = 'a\\\nb' \\\n 'c'\nB = '''d\ne'''\n# why\nC = [1,\n2]\n";
        let unix = constants(source);
        assert_eq!(unix[0].value, Ok(text("abc")));
        for line_end in ["\r\n", "\r"] {
            assert_eq!(constants(&source.replace('\n', line_end)), unix, "{line_end:?}");
        }
    }

    #[test]
    fn what_would_have_to_be_run_is_named() {
        for (source, part) in [
            ("os.path.join('a', 'b')", "`os`"),
            ("f'{x}/y'", "f-string"),
            ("'a' + B", "`+`"),
            ("[b(), c['d', 2]]", "`b`"),
            ("['a' for a, b in c]", "`for`"),
            ("('a' + b)", "`+`"),
            ("'a' if x else 'b'", "`if`"),
            ("'a' % 3", "`%`"),
            ("[x for x in y]", "`x`"),
            ("'never closed", "not closed"),
            ("['a'", "not complete"),
            ("'\\N{DASH}'", "\\N"),
        ] {
            let reason = value(source).unwrap_err();
            assert!(reason.contains(part), "{source}: {reason}");
        }
    }

    #[test]
    fn in_a_list_only_what_is_computed_is_passed_over() {
        let computed = |reason: &str| Literal::Computed(format!("{reason}, and the script is not run"));
        for source in ["['a', b(1, [2]), 'c']", "['a'] + b(1) + ['c']", "('a', B, *C, 'c')"] {
            let Literal::List(items) = value(source).unwrap() else { panic!("{source}") };
            assert_eq!((&items[0], items.last().unwrap()), (&text("a"), &text("c")), "{source}");
            assert!(items[1].computed_part().is_some(), "{source}: {items:?}");
        }
        assert_eq!(
            value("{'a': Path('b'), 'c': d('e')}"),
            Ok(Literal::Table(vec![(text("a"), text("b")), (text("c"), computed("computed (`d`)"))]))
        );
        assert_eq!(value("['a'] + ['b', ]"), Ok(Literal::List(vec![text("a"), text("b")])));
    }

    #[test]
    fn what_is_added_to_a_list_later_belongs_to_it() {
        let found = constants("A = ['x']\nA += ['y']\nA.append('z'); A.extend(('v', 'w'))\n");
        let all = ["x", "y", "z", "v", "w"].map(text).to_vec();
        assert_eq!(found[0].value, Ok(Literal::List(all)));
        for change in ["A += b()", "A.append(b)", "if b:\n    A.append('c')"] {
            let found = constants(&format!("A = ['x']\n{change}\n"));
            let reason = found[0].value.as_ref().unwrap().computed_part().unwrap();
            assert!(reason.contains("changed in line"), "{change}: {reason}");
        }
        assert!(constants("A = ['x']\nA.remove('x')\n")[0].value.is_err());
        assert!(constants("A = 'x'\nA += 'y'\n")[0].value.is_err());
    }

    #[test]
    fn what_is_set_in_a_class_only_is_named() {
        let found = constants("class C:\n    A = 1\n    B = 2\nB = 3\n");
        assert!(found[0].value.as_ref().unwrap_err().contains("inside a block"), "{found:?}");
        assert_eq!((found.len(), &found[1].value), (2, &Ok(Literal::Number("3".into()))));
    }

    #[test]
    fn only_the_top_level_counts_and_the_last_assignment_wins() {
        let found = constants(
            "\u{feff}'''A = 1\n'''\nA = 1\nB: list = [\n'x',\n]\ndef f():\n    A = 3\nlower = 2\nA = 2 # later\nif A == 2: C = 5\nA.b = 1\nD = (1 ==\n 2); E = None\n",
        );
        let names: Vec<&str> = found.iter().map(|constant| constant.name.as_str()).collect();
        assert_eq!(names, ["B", "A", "D", "E"]);
        assert_eq!(found[1].value, Ok(Literal::Number("2".into())));
        assert_eq!((found[0].line, found[1].line), (4, 10));
    }

    #[test]
    fn no_text_makes_the_reader_fail() {
        proptest::proptest!(|(source in "[A-Z='\"\\\\(){}\\[\\],:\nxrf#0-9 +-]{0,60}")| {
            let _ = constants(&source);
        });
    }
}
