//! Python source as text: which constants it sets at its top level, to what, and
//! what becomes of them later. Nothing is run.

use super::bindings::{Bindings, Unread, bindings};
use super::literal::{Literal, whole_value};
use super::tokens::{Token, TokenKind, tokens};

/// `NAME = value`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) name: String,
    /// From 1.
    pub(super) line: usize,
    /// Why it is no literal, in words that follow "it is".
    pub(super) value: Result<Literal, String>,
}

/// What a script says of its constants.
#[derive(Debug, Default)]
pub(super) struct Constants {
    /// Names in capitals, each once, with the value that was assigned last. What is added to a
    /// list later belongs to it. What is changed in a way that only Python can follow is not
    /// known any more, and says so.
    pub(super) found: Vec<Constant>,
    /// Set in a block only.
    inside: Vec<Constant>,
    /// Set in other ways than those that are read, and in no other.
    pub(super) elsewhere: Vec<Constant>,
    /// The last one of what may set anything.
    pub(super) unread: Option<Unread>,
    /// The same, in a definition: it may be run after all the rest.
    unread_later: Option<Unread>,
    is_in_definition: bool,
}

/// The constants of a script.
pub(super) fn constants(source: &str) -> Constants {
    let tokens = tokens(source);
    let mut constants = Constants::default();
    let (mut starts_line, mut is_behind_block) = (true, false);
    for piece in tokens.split_inclusive(is_end) {
        let statement = piece.split_last().filter(|(last, _)| is_end(last)).map_or(piece, |(_, rest)| rest);
        if starts_line {
            is_behind_block = begins_with(statement, &DEFINITIONS) || behind_colon(statement).is_some();
        }
        constants.take(statement, starts_line, is_behind_block);
        starts_line = piece.last().is_some_and(|last| last.kind == TokenKind::EndOfLine);
    }
    constants.settle();
    constants
}

fn is_end(token: &Token) -> bool {
    matches!(token.kind, TokenKind::EndOfLine | TokenKind::Semicolon)
}

impl Constants {
    /// What one statement does. `is_behind_block`: its line begins with a block or is one, and
    /// what stands behind a `;` there belongs to it.
    fn take(&mut self, statement: &[Token], starts_line: bool, is_behind_block: bool) {
        let [first, ..] = statement else { return };
        if first.at_top_level && starts_line {
            self.is_in_definition = begins_with(statement, &DEFINITIONS);
        }
        let is_conditional = is_behind_block || !first.at_top_level;
        let is_own = self.is_in_definition && !(first.at_top_level && starts_line);
        let whole = statement;
        let statement = behind_colon(whole).unwrap_or(whole);
        self.take_bindings(&whole[..whole.len() - statement.len()], is_own);
        self.take_bindings(statement, is_own);
        change(statement, is_conditional, &mut self.found);
        for constant in assignments(statement).into_iter().chain(imports(statement)) {
            self.set(constant, is_conditional);
        }
    }

    fn take_bindings(&mut self, statement: &[Token], is_in_definition: bool) {
        let Bindings { named, unread } = bindings(statement, is_in_definition);
        self.elsewhere.extend(named);
        let Some(unread) = unread else { return };
        self.found.iter_mut().for_each(|known| known.value = Err(unread.reason()));
        if is_in_definition {
            self.unread_later = Some(unread.clone());
        }
        self.unread = Some(unread);
    }

    /// What is set at several places is not known, wherever they stand: a function may be called after all.
    fn settle(&mut self) {
        let Constants { found, inside, elsewhere, .. } = self;
        inside.retain(|constant| !found.iter().any(|known| known.name == constant.name));
        found.append(inside);
        found.sort_by_key(|constant| constant.line);
        elsewhere.retain(|set| match found.iter_mut().find(|known| known.name == set.name) {
            Some(known) => {
                known.value = Err(changed(set.line));
                false
            }
            None => true,
        });
        if let Some(unread) = &self.unread_later {
            found.iter_mut().for_each(|known| known.value = Err(unread.reason()));
        }
    }

    fn set(&mut self, constant: Constant, is_conditional: bool) {
        let known = self.found.iter_mut().find(|known| known.name == constant.name);
        match (is_conditional, known) {
            (false, _) => {
                self.found.retain(|known| known.name != constant.name);
                self.found.push(constant);
            }
            // Of its own in there.
            (true, Some(_)) if self.is_in_definition => {}
            (true, Some(known)) => known.value = Err(changed(constant.line)),
            (true, None) if self.inside.iter().any(|known| known.name == constant.name) => {}
            (true, None) => {
                let reason = "set inside a block (a class, a function, an `if`), and the script is not run";
                self.inside.push(Constant { value: Err(reason.into()), ..constant });
            }
        }
    }
}

/// What begins a block with names of its own.
const DEFINITIONS: [&str; 3] = ["def", "class", "async"];
/// What begins any other block.
const BLOCKS: [&str; 11] =
    ["if", "elif", "else", "for", "while", "try", "except", "finally", "with", "match", "case"];

fn changed(line: usize) -> String {
    format!("changed in line {line}, and the script is not run")
}

fn begins_with(statement: &[Token], words: &[&str]) -> bool {
    matches!(statement, [Token { kind: TokenKind::Name(name), .. }, ..] if words.contains(&name.as_str()))
}

/// Of `if …: statement` the statement.
fn behind_colon(statement: &[Token]) -> Option<&[Token]> {
    if !begins_with(statement, &BLOCKS) {
        return None;
    }
    let colon = outside_brackets(statement).find(|&at| statement[at].kind == TokenKind::Mark(':'))?;
    Some(&statement[colon + 1..])
}

/// Where there are tokens that stand in no brackets.
pub(super) fn outside_brackets(tokens: &[Token]) -> impl Iterator<Item = usize> {
    let mut open = 0_usize;
    tokens.iter().enumerate().filter_map(move |(at, token)| {
        let was_open = open;
        match token.kind {
            TokenKind::Mark('(' | '[' | '{') => open += 1,
            TokenKind::Mark(')' | ']' | '}') => open = open.saturating_sub(1),
            _ => {}
        }
        (was_open == 0).then_some(at)
    })
}

/// `NAME += value`, `NAME.append(value)`, `NAME[0] = value`, `del NAME` and the like.
fn change(statement: &[Token], is_conditional: bool, found: &mut [Constant]) {
    let is_deletion = begins_with(statement, &["del"]);
    let [Token { kind: TokenKind::Name(name), line, .. }, rest @ ..] = &statement[usize::from(is_deletion)..]
    else {
        return;
    };
    let Some(constant) = found.iter_mut().find(|constant| constant.name == *name) else { return };
    let (way, value) = match (is_deletion, way_of_change(rest)) {
        (true, _) => (Way::Other, Err(String::new())),
        (false, Some((way, value))) => (way, whole_value(value)),
        (false, None) => return,
    };
    let unknown = || Literal::Computed(changed(*line));
    match (&mut constant.value, way, value) {
        (Ok(Literal::List(items)), Way::Adds, Ok(value)) if !is_conditional => items.push(value),
        (Ok(Literal::List(items)), Way::AddsAll, Ok(Literal::List(more))) if !is_conditional => {
            items.extend(more);
        }
        (Ok(Literal::List(items)), Way::Adds | Way::AddsAll | Way::Inserts, _) => items.push(unknown()),
        // A method that changes the object does so to lists, sets and dicts only.
        (Ok(Literal::List(_) | Literal::Table(_)), Way::Method, _) | (Ok(_), Way::Other, _) => {
            constant.value = Err(changed(*line));
        }
        (Ok(Literal::Table(_)), Way::Adds | Way::Inserts, _) | (Ok(_), Way::AddsAll, _) => {
            constant.value = Err(changed(*line));
        }
        (Ok(_), Way::Method | Way::Adds | Way::Inserts, _) | (Err(_), _, _) => {}
    }
}

/// What becomes of a list.
#[derive(Clone, Copy)]
enum Way {
    Adds,
    AddsAll,
    Inserts,
    /// Any other method.
    Method,
    Other,
}

/// Methods that leave the object as it is, or only in another order.
const HARMLESS_METHODS: [&str; 9] =
    ["sort", "reverse", "copy", "count", "index", "items", "keys", "values", "get"];

/// What stands behind the name, if it is a change; and what is added.
fn way_of_change(rest: &[Token]) -> Option<(Way, &[Token])> {
    if let Some((operator, value)) = in_place(rest) {
        return Some((if matches!(operator, '+' | '|') { Way::AddsAll } else { Way::Other }, value));
    }
    match rest {
        [
            Token { kind: TokenKind::Mark('.'), .. },
            Token { kind: TokenKind::Name(method), .. },
            arguments @ ..,
        ] => match method.as_str() {
            "append" | "add" => Some((Way::Adds, arguments)),
            "extend" | "update" => Some((Way::AddsAll, arguments)),
            "insert" => Some((Way::Inserts, arguments)),
            harmless if HARMLESS_METHODS.contains(&harmless) => None,
            _ => Some((Way::Method, arguments)),
        },
        [Token { kind: TokenKind::Mark('['), .. }, ..] => {
            let close = outside_brackets(rest).nth(1).unwrap_or(rest.len());
            let behind = &rest[close..];
            let is_set = in_place(behind).is_some() || splits(behind).next().is_some();
            is_set.then_some((Way::Other, &[]))
        }
        _ => None,
    }
}

/// `+= value` and the like, as the operator and the value.
pub(super) fn in_place(tokens: &[Token]) -> Option<(char, &[Token])> {
    match tokens {
        [
            Token {
                kind: TokenKind::Mark(operator @ ('+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '@')),
                ..
            },
            Token { kind: TokenKind::Mark('='), .. },
            value @ ..,
        ] => Some((*operator, value)),
        // `**=`, `//=`, `<<=`, `>>=`
        [
            Token { kind: TokenKind::Mark(operator @ ('*' | '/' | '<' | '>')), .. },
            Token { kind: TokenKind::Mark(second), .. },
            Token { kind: TokenKind::Mark('='), .. },
            value @ ..,
        ] if operator == second => Some((*operator, value)),
        _ => None,
    }
}

/// Where there is a `=` that assigns: not in brackets, and no part of `==`, `+=` or `:=`.
pub(super) fn splits(statement: &[Token]) -> impl Iterator<Item = usize> {
    let mark = |at: Option<usize>| match statement.get(at?)?.kind {
        TokenKind::Mark(mark) => Some(mark),
        _ => None,
    };
    let is_lambda = |token: &Token| token.kind == TokenKind::Name("lambda".into());
    let end = statement.iter().position(is_lambda).unwrap_or(statement.len());
    outside_brackets(statement).take_while(move |&at| at < end).filter(move |&at| {
        mark(Some(at)) == Some('=')
            && mark(Some(at + 1)) != Some('=')
            && !mark(at.checked_sub(1)).is_some_and(|before| "=!<>+-*/%&|^@:".contains(before))
    })
}

/// `NAME = value`, `NAME: type = value`, `A = B = value`, `A, B = value, value`.
fn assignments(statement: &[Token]) -> Vec<Constant> {
    let mut constants = Vec::new();
    let ends: Vec<usize> = splits(statement).collect();
    let Some(last) = ends.last() else { return constants };
    let value = whole_value(&statement[last + 1..]);
    let mut start = 0;
    for end in ends {
        assign(&statement[start..end], &value, &mut constants);
        start = end + 1;
    }
    constants
}

/// `from module import NAME, other as NAME`, in brackets or not.
fn imports(statement: &[Token]) -> Vec<Constant> {
    let is_import = |token: &Token| token.kind == TokenKind::Name("import".into());
    let (true, Some(at)) = (begins_with(statement, &["from"]), statement.iter().position(is_import)) else {
        return Vec::new();
    };
    let names = statement[at + 1..].split(|token| matches!(token.kind, TokenKind::Mark(',' | '(' | ')')));
    let reason = || "imported from another file, which is not read";
    names.filter_map(|name| constant(&name[name.len().saturating_sub(1)..], Err(reason().into()))).collect()
}

/// What becomes of the names in `target`, which stands left of a `=`.
fn assign(target: &[Token], value: &Result<Literal, String>, constants: &mut Vec<Constant>) {
    // `NAME: list[str] = …` says no more than `NAME = …`.
    let target = match target {
        [name, Token { kind: TokenKind::Mark(':'), .. }, ..] => std::slice::from_ref(name),
        // `(A, B) = …`
        [
            Token { kind: TokenKind::Mark('(' | '['), .. },
            inner @ ..,
            Token { kind: TokenKind::Mark(')' | ']'), .. },
        ] => inner,
        target => target,
    };
    let commas: Vec<usize> =
        outside_brackets(target).filter(|&at| target[at].kind == TokenKind::Mark(',')).collect();
    if commas.is_empty() {
        constants.extend(constant(target, value.clone()));
        return;
    }
    let names: Vec<&[Token]> = target.split(|token| token.kind == TokenKind::Mark(',')).collect();
    for (at, name) in names.iter().enumerate() {
        let own = match value {
            Ok(Literal::List(items)) if items.len() == names.len() => match &items[at] {
                Literal::Computed(reason) => Err(reason.clone()),
                item => Ok(item.clone()),
            },
            Ok(_) => Err("set together with others, and the script is not run".to_owned()),
            Err(reason) => Err(reason.clone()),
        };
        match name {
            [Token { kind: TokenKind::Mark('*'), .. }, name @ ..] => {
                let reason = "what is left of a list, and the script is not run";
                constants.extend(constant(name, Err(reason.into())));
            }
            name => constants.extend(constant(name, own)),
        }
    }
}

/// A single name in capitals.
fn constant(target: &[Token], value: Result<Literal, String>) -> Option<Constant> {
    let [Token { kind: TokenKind::Name(name), line, .. }] = target else { return None };
    is_constant(name).then(|| Constant { name: name.clone(), line: *line, value })
}

/// In capitals.
pub(super) fn is_constant(name: &str) -> bool {
    name.chars().any(|c| c.is_ascii_uppercase()) && !name.chars().any(char::is_lowercase)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn constants(source: &str) -> Vec<Constant> {
        super::constants(source).found
    }

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
        let found = constants("A = {'x'}\nA |= {'y'}\nA.add('z')\nA.update(['v'])\nA.sort()\n");
        assert_eq!(found[0].value, Ok(Literal::List(["x", "y", "z", "v"].map(text).to_vec())));
        assert!(constants("A = ['x']\nA.remove('x')\n")[0].value.is_err());
        assert!(constants("A = 'x'\nA += 'y'\n")[0].value.is_err());
    }

    #[test]
    fn what_only_python_can_follow_makes_a_value_unknown() {
        for change in [
            "if x:\n    A = ['y']",
            "if x: A = ['y']",
            "if x:\n    y = 1\n    A = B = ['y']",
            "try:\n    pass\nexcept OSError: A, C = ['y'], 1",
            "A[len(A):] = ['y']",
            "A[0] += 'y'",
            "A -= {'x'}",
            "A *= 2",
            "A &= {'y'}",
            "A.discard('x')",
            "del A[0]",
            "def f():\n    A.clear()",
            "def f():\n    global B, A\n    A = ['y']",
        ] {
            let found = constants(&format!("A = ['x']\n{change}\n"));
            let reason = found[0].value.as_ref().unwrap_err();
            assert!(reason.contains("changed in line"), "{change}: {reason}");
        }
        for same in [
            "def f():\n    A = ['y']",
            "class C:\n    def f(self):\n        A = ['y']",
            "A == ['y']",
            "print(A[0])",
            "A[0]",
            "if A == ['y']: pass",
            "f(A=['y'])",
            "b = lambda A=1: A",
        ] {
            let found = constants(&format!("A = ['x']\n{same}\n"));
            assert_eq!(found[0].value, Ok(Literal::List(vec![text("x")])), "{same}");
        }
        assert!(constants("A = 'x'\nA.mkdir()\n")[0].value.is_ok(), "a path is not changed by its methods");
        assert!(constants("A = 1\nif x:\n    A = 2\nA = 3\n")[0].value.is_ok(), "the last one holds");
    }

    #[test]
    fn names_that_are_set_together_are_all_set() {
        let values = |source: &str| -> Vec<(String, Result<Literal, String>)> {
            constants(source).into_iter().map(|constant| (constant.name, constant.value)).collect()
        };
        let both = vec![("A".to_owned(), Ok(text("a"))), ("B".to_owned(), Ok(text("b")))];
        assert_eq!(values("A, B = 'a', 'b'\n"), both);
        assert_eq!(values("(A, B) = ('a', 'b')\n"), both);
        assert_eq!(values("A = B = 'a'\nB = 'b'\n"), both);
        for source in
            ["A, B = f()\n", "A, *B = ['a']\n", "A = B = f()\n", "A, B = B, A\n", "A = B = 'a' == x\n"]
        {
            let found = values(source);
            assert_eq!(found.len(), 2, "{source}");
            assert!(found.iter().all(|(_, value)| value.is_err()), "{source}: {found:?}");
        }
    }

    #[test]
    fn what_comes_from_another_file_is_named() {
        for source in
            ["from conf import A\n", "from conf import (b, c as A,\n)\n", "A = 1\nfrom .conf import b, A\n"]
        {
            let found = constants(source);
            assert_eq!(found.len(), 1, "{source}: {found:?}");
            assert!(found[0].value.as_ref().unwrap_err().contains("imported"), "{found:?}");
        }
        assert_eq!(constants("from conf import A\nA = 1\n")[0].value, Ok(Literal::Number("1".into())));
        let found = constants("A = 1\ntry:\n    from conf import A\nexcept ImportError:\n    pass\n");
        assert!(found[0].value.as_ref().unwrap_err().contains("changed in line"), "{found:?}");
        assert!(constants("import os, A\nfrom a import b\n").is_empty());
    }

    #[test]
    fn what_another_file_may_set_is_known_only_if_it_is_set_below() {
        for import in [
            "from local_settings import *",
            "try:\n    from local_settings import *\nexcept ImportError:\n    pass",
            "if x: y = 1; from local_settings import *",
        ] {
            let read = super::constants(&format!("A = 1\nB = 2\n{import}\nB = 3\n"));
            let reason = read.found[0].value.as_ref().unwrap_err();
            assert!(reason.contains("may be set by `from local_settings import *` in line "), "{reason}");
            assert_eq!(read.found[1].value, Ok(Literal::Number("3".into())), "{import}");
            assert!(read.unread.is_some());
        }
        let unread = super::constants("from .conf.local import *\n").unread.unwrap();
        assert!(unread.reason().contains("`from .conf.local import *` in line 1"), "{unread:?}");
        assert_eq!(super::constants("from conf import A\nB = 2 * 3\n").unread, None);
    }

    #[test]
    fn what_stands_behind_a_semicolon_belongs_to_the_block_of_its_line() {
        for block in ["if x: y = 1; A = 2", "for x in y: pass; A = 2", "else: pass; z = 1; A = 2"] {
            let found = constants(&format!("A = 1\n{block}\n"));
            assert!(found[0].value.as_ref().unwrap_err().contains("changed in line 2"), "{block}: {found:?}");
            let found = constants(&format!("{block}\n"));
            assert!(found[0].value.as_ref().unwrap_err().contains("inside a block"), "{block}: {found:?}");
        }
        let found = constants("A = 1\ndef f(): y = 1; A = 2\nclass C: y = 1; A = 3\nB = 1; A = 4\n");
        assert_eq!(found.iter().map(|constant| constant.value.is_ok()).collect::<Vec<_>>(), [true, true]);
        let found = constants("A = 1\ndef f(): y = 1; A = 2\n");
        assert_eq!(found[0].value, Ok(Literal::Number("1".into())));
    }

    #[test]
    fn what_is_set_in_a_class_only_is_named() {
        let found = constants("class C:\n    A = 1\n    B = 2\nB = 3\n");
        assert!(found[0].value.as_ref().unwrap_err().contains("inside a block"), "{found:?}");
        assert_eq!((found.len(), &found[1].value), (2, &Ok(Literal::Number("3".into()))));
    }

    #[test]
    fn behind_a_form_feed_a_line_begins_anew() {
        let found = constants("\x0cA = 1\n  \x0cB = 2\nif A:\n\x0c    C = 3\n    D =\x0c4\n");
        let good: Vec<bool> = found.iter().map(|constant| constant.value.is_ok()).collect();
        assert_eq!(good, [true, true, false, false], "{found:?}");
    }

    #[test]
    fn only_the_top_level_counts_and_the_last_assignment_wins() {
        let found = constants(
            "\u{feff}'''A = 1\n'''\nA = 1\nB: list = [\n'x',\n]\ndef f():\n    A = 3\nlower = 2\nA = 2 # later\nif A == 2: C = 5\nA.b = 1\nD = (1 ==\n 2); E = None\n",
        );
        let names: Vec<&str> = found.iter().map(|constant| constant.name.as_str()).collect();
        assert_eq!(names, ["B", "A", "C", "D", "E"]);
        assert!(found[2].value.is_err(), "set behind an `if`");
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
