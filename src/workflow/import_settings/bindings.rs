//! Where a Python script sets a name in another way than by a plain assignment:
//! `for NAME in`, `with … as NAME`, `globals()["NAME"] = …`. What it is set to is
//! never worked out; that it may be is enough to believe no plain value.

use super::python::{Constant, in_place, is_constant, outside_brackets, splits};
use super::tokens::{Token, TokenKind};

/// A way by which anything may be set: `from module import *`, `exec(code)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unread {
    /// As the script has it, in short.
    way: String,
    /// From 1.
    pub(super) line: usize,
}

impl Unread {
    /// Why a constant that is not set below it is not known, in words that follow "it is".
    pub(super) fn reason(&self) -> String {
        let Unread { way, line } = self;
        format!("not certain: it may be set by `{way}` in line {line}, which is not read")
    }
}

/// What one statement sets beside plain assignments.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// Not only constants that the script sets plainly as well.
    pub(super) named: Vec<Constant>,
    pub(super) unread: Option<Unread>,
}

/// Of `statement`, which is no block with a colon, or the part of one up to its colon. In a definition names
/// are its own, and only what reaches out of it counts.
pub(super) fn bindings(statement: &[Token], is_in_definition: bool) -> Bindings {
    let mut found = Bindings { unread: star_import(statement), ..Bindings::default() };
    let splits: Vec<usize> = splits(statement).collect();
    let mut names: Vec<&Token> = names_of_global(statement).collect();
    if !is_in_definition {
        names.extend(behind_words(statement));
        names.extend(targets(statement, &splits));
    }
    names.extend(attributes(statement, &splits));
    found.named.extend(names.into_iter().filter_map(|token| named(word(token)?, token.line)));
    for at in 0..statement.len() {
        by_namespace(statement, at, &splits, &mut found);
    }
    found
}

fn word(token: &Token) -> Option<&str> {
    match &token.kind {
        TokenKind::Name(name) => Some(name),
        _ => None,
    }
}

fn mark(token: Option<&Token>) -> Option<char> {
    match token?.kind {
        TokenKind::Mark(mark) => Some(mark),
        _ => None,
    }
}

fn named(name: &str, line: usize) -> Option<Constant> {
    let value = Err(format!("set in line {line} in a way that only Python can follow"));
    is_constant(name).then(|| Constant { name: name.to_owned(), line, value })
}

/// `global NAME, NAME`: what a function sets, the others see, whenever it is called.
fn names_of_global(statement: &[Token]) -> impl Iterator<Item = &Token> {
    let is_global = statement.first().and_then(word) == Some("global");
    statement.iter().skip(1).filter(move |_| is_global)
}

/// `NAME :=`, `for NAME in`, `… as NAME`, `case NAME`, `import NAME`, `class NAME`, `def NAME`.
fn behind_words(statement: &[Token]) -> Vec<&Token> {
    let mut names = Vec::new();
    for (at, token) in statement.iter().enumerate() {
        let rest = &statement[at + 1..];
        if mark(rest.first()) == Some(':') && mark(rest.get(1)) == Some('=') {
            names.push(token);
        }
        if word(token) == Some("as") {
            names.extend(rest.iter().take(1));
            let is_group = matches!(mark(rest.first()), Some('(' | '['));
            names.extend(inside_brackets(rest).iter().filter(|_| is_group));
        }
    }
    let Some((first, rest)) = statement.split_first() else { return names };
    match word(first) {
        Some("for") => names.extend(rest.iter().take_while(|token| word(token) != Some("in"))),
        Some("def" | "class") => names.extend(rest.first()),
        Some("case") => {
            let is_end = |at: &usize| word(&rest[*at]) == Some("if") || mark(rest.get(*at)) == Some(':');
            let end = outside_brackets(rest).find(is_end).unwrap_or(rest.len());
            names.extend(&rest[..end]);
        }
        // `import a.b` binds `a`.
        Some("import") => {
            names.extend(rest.split(|token| mark(Some(token)) == Some(',')).filter_map(<[Token]>::first));
        }
        // Read as imports.
        Some("from") => names.clear(),
        _ => {}
    }
    names
}

/// Names left of a `=`, however deep in brackets that only group.
fn targets<'t>(statement: &'t [Token], splits: &[usize]) -> Vec<&'t Token> {
    let Some(&end) = splits.last() else { return Vec::new() };
    let (mut open, mut names) = (Vec::new(), Vec::new());
    for (at, token) in statement[..end].iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &statement[before]);
        match token.kind {
            TokenKind::Mark('(' | '[' | '{') => {
                open.push(before.is_none() || mark(before).is_some_and(|mark| "([,*=".contains(mark)));
            }
            TokenKind::Mark(')' | ']' | '}') => drop(open.pop()),
            // What follows is a type.
            TokenKind::Mark(':') if open.is_empty() => break,
            // One that stands alone is a plain assignment, and read as such.
            TokenKind::Name(_)
                if mark(before) != Some('.') && !open.is_empty() && open.iter().all(|groups| *groups) =>
            {
                names.push(token);
            }
            _ => {}
        }
    }
    // `(A, B) = …` is read as well.
    let is_nested = |at: usize| mark(statement.get(at)).is_some_and(|mark| "([".contains(mark));
    let depth = (0..end).filter(|&at| is_nested(at)).count();
    if depth > 1 || !is_nested(0) { names } else { Vec::new() }
}

/// `module.NAME = …`; what an object keeps for itself is its own.
fn attributes<'t>(statement: &'t [Token], splits: &[usize]) -> Option<&'t Token> {
    let own = matches!(statement.first().and_then(word), Some("self" | "cls"));
    splits.iter().find_map(|&end| {
        let at = end.checked_sub(2)?;
        (mark(statement.get(at)) == Some('.') && !own).then(|| &statement[at + 1])
    })
}

/// `from module import *`
fn star_import(statement: &[Token]) -> Option<Unread> {
    let at = statement.iter().position(|token| word(token) == Some("import"))?;
    if statement.first().and_then(word) != Some("from") {
        return None;
    }
    let [Token { kind: TokenKind::Mark('*'), line, .. }] = &statement[at + 1..] else { return None };
    let module: String = statement[1..at].iter().filter_map(spelled).collect();
    Some(Unread { way: format!("from {module} import *"), line: *line })
}

fn spelled(token: &Token) -> Option<String> {
    match &token.kind {
        TokenKind::Name(name) => Some(name.clone()),
        TokenKind::Mark(mark) => Some(mark.to_string()),
        _ => None,
    }
}

/// `globals()`, `exec`, `setattr` and their like: what they name, if that is plain text; else they may set anything.
fn by_namespace(statement: &[Token], at: usize, splits: &[usize], found: &mut Bindings) {
    let (token, rest) = (&statement[at], &statement[at + 1..]);
    let Some(name) = word(token) else { return };
    let owner = (at >= 2 && mark(statement.get(at - 1)) == Some('.')).then(|| word(&statement[at - 2]));
    let owner = owner.map(Option::unwrap_or_default);
    let is_builtin = owner.is_none_or(|owner| owner.trim_matches('_') == "builtins");
    let arguments = inside_brackets(rest);
    let is_read = match name {
        "exec" | "execfile" if is_builtin => match arguments {
            // An `import *` in there may set what it does not name.
            [code @ Token { kind: TokenKind::Text(text), .. }, ..] => {
                found.name_text(code);
                !text.contains('*')
            }
            _ => false,
        },
        "eval" if is_builtin => {
            arguments.iter().for_each(|argument| found.name_text(argument));
            true
        }
        "setattr" if is_builtin => by_setattr(arguments, found),
        "__setattr__" => by_setattr(arguments, found),
        "globals" | "locals" | "vars" if is_builtin => {
            let behind = (at + 3 + arguments.len()).min(statement.len());
            let is_known = by_table(statement, behind, splits, found);
            let is_use = matches!(mark(statement.get(at.wrapping_sub(1))), Some('*'))
                || at.checked_sub(1).and_then(|before| word(&statement[before])) == Some("in");
            // Whoever writes to the others by another name is beyond us; a script shows them.
            is_known.unwrap_or(is_use || name != "globals")
        }
        "__dict__" if !matches!(owner, Some("self" | "cls")) => {
            by_table(statement, at + 1, splits, found).unwrap_or(true)
        }
        _ => true,
    };
    if !is_read {
        found.unread = Some(Unread { way: name.to_owned(), line: token.line });
    }
}

/// `setattr(module, "NAME", …)`, and `module.__setattr__("NAME", …)`. False: which name is not known.
fn by_setattr(arguments: &[Token], found: &mut Bindings) -> bool {
    let mut parts = arguments.split(|token| mark(Some(token)) == Some(','));
    let first = parts.next().unwrap_or_default();
    if let [Token { kind: TokenKind::Name(object), .. }] = first
        && ["self", "cls"].contains(&object.as_str())
    {
        return true;
    }
    let is_text = |part: &[Token]| matches!(part, [Token { kind: TokenKind::Text(_), .. }]);
    let name = std::iter::once(first).chain(parts).find(|part| is_text(part));
    name.into_iter().flatten().for_each(|part| found.name_text(part));
    name.is_some()
}

/// What is done with the table of all names, which what stands at `behind` follows. `Some(false)`: it is
/// changed, and how is not known; `None`: neither is what is done with it.
fn by_table(statement: &[Token], behind: usize, splits: &[usize], found: &mut Bindings) -> Option<bool> {
    match &statement[behind.min(statement.len())..] {
        rest @ [Token { kind: TokenKind::Mark('['), .. }, ..] => {
            let key = inside_brackets(rest);
            let end = behind + key.len() + 2;
            let is_target = ["for", "with", "del"].contains(&word(&statement[0]).unwrap_or_default());
            let is_set = is_target
                || splits.iter().any(|&split| split >= end)
                || statement.get(end..).is_some_and(|after| in_place(after).is_some());
            key.iter().filter(|_| is_set).for_each(|part| found.name_text(part));
            Some(!is_set || matches!(key, [Token { kind: TokenKind::Text(_), .. }]))
        }
        [
            Token { kind: TokenKind::Mark('.'), .. },
            Token { kind: TokenKind::Name(method), .. },
            rest @ ..,
        ] => {
            let is_use = ["get", "items", "keys", "values", "copy"].contains(&method.as_str());
            Some(is_use || by_arguments(inside_brackets(rest), found))
        }
        _ => None,
    }
}

/// `update(NAME=…)`, `update({"NAME": …})`, `setdefault("NAME", …)`. False: not every name is known.
fn by_arguments(arguments: &[Token], found: &mut Bindings) -> bool {
    let mut is_read = true;
    for (at, argument) in arguments.iter().enumerate() {
        let is_value = matches!(mark(arguments.get(at.wrapping_sub(1))), Some(':' | '='));
        match &argument.kind {
            TokenKind::Name(name) if mark(arguments.get(at + 1)) == Some('=') => {
                found.named.extend(named(name, argument.line));
            }
            TokenKind::Name(name) => {
                is_read &= is_value || ["True", "False", "None", "dict"].contains(&name.as_str());
            }
            TokenKind::Formatted | TokenKind::Broken(_) => is_read = false,
            _ => found.name_text(argument),
        }
    }
    is_read
}

impl Bindings {
    /// A string that is the name of a constant, or code that holds one.
    fn name_text(&mut self, token: &Token) {
        if let TokenKind::Text(text) = &token.kind {
            let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            self.named.extend(words.filter_map(|word| named(word, token.line)));
        }
    }
}

/// The tokens between the bracket that `tokens` begins with and its own end.
fn inside_brackets(tokens: &[Token]) -> &[Token] {
    let mut open = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Mark('(' | '[' | '{') => open += 1,
            TokenKind::Mark(')' | ']' | '}') => open = open.saturating_sub(1),
            _ if at == 0 => return &[],
            _ => {}
        }
        if open == 0 {
            return tokens.get(1..at).unwrap_or_default();
        }
    }
    tokens.get(1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::python::constants;

    /// Whether the value of A is what stands behind its plain assignment; and whether another one's, which is set
    /// nowhere, is known to be set nowhere.
    fn is_sure(source: &str) -> (bool, bool) {
        let read = constants(source);
        let is_plain = read.found.iter().any(|known| known.name == "A" && known.value.is_ok());
        let is_elsewhere = read.elsewhere.iter().any(|set| set.name == "A");
        (is_plain && !is_elsewhere, read.unread.is_none())
    }

    #[test]
    fn a_name_that_is_set_in_another_way_than_plainly_is_not_known_before_it_or_behind_it() {
        for way in [
            "X = [A := True]",
            "if (A := f()): pass",
            "for A in (True,): pass",
            "for x, (A, y) in z:\n    pass",
            "with f() as A: pass",
            "with f() as (x, A):\n    pass",
            "try:\n    pass\nexcept E as A:\n    pass",
            "match x:\n    case A:\n        pass",
            "match x:\n    case {'k': [1, A]} if y:\n        pass",
            "import os as A",
            "import os, A.b",
            "def A(): pass",
            "class A:\n    pass",
            "x, (y, A) = f()",
            "[x, [A, y]] = f()",
            "config.A = True",
            "sys.modules[__name__].A = True",
            "def f():\n    global A\n    A = True",
            "globals().update(A=True)",
            "globals().update({'A': True})",
            "globals().update(dict(A=x))",
            "globals()['A'] = True",
            "globals()['A'], x = f()",
            "globals()['A'] |= True",
            "for globals()['A'] in (True,): pass",
            "globals().setdefault('A', True)",
            "def f():\n    globals()['A'] = True",
            "vars()['A'] = True",
            "vars(module)['A'] = True",
            "module.__dict__['A'] = True",
            "module.__dict__.update(A=True)",
            "setattr(module, 'A', True)",
            "setattr(sys.modules[__name__], 'A', True)",
            "module.__setattr__('A', True)",
            "exec('A = True')",
            "builtins.exec('x = 1; A = True')",
            "eval('globals().update(A=True)')",
        ] {
            for source in [format!("A = False\n{way}\n"), format!("{way}\nA = False\n")] {
                assert_eq!(is_sure(&source), (false, true), "{source}");
            }
            assert!(!is_sure(&format!("{way}\n")).0, "{way}");
        }
    }

    #[test]
    fn what_may_set_any_name_leaves_only_those_that_are_set_below_it() {
        for way in [
            "exec(open('local.py').read())",
            "exec(f'A = {x}')",
            "exec('from local import *')",
            "globals().update(json.load(f))",
            "globals().update(**more)",
            "globals()[name] = value",
            "for k in x: globals()[k] = 1",
            "g = globals()",
            "f(globals())",
            "setattr(module, name, value)",
        ] {
            assert_eq!(is_sure(&format!("A = False\n{way}\n")), (false, false), "{way}");
            assert_eq!(is_sure(&format!("{way}\nA = False\n")), (true, false), "{way}");
            let later = format!("def f():\n    {way}\nA = False\nf()\n");
            assert_eq!(is_sure(&later), (false, false), "{later}");
        }
    }

    #[test]
    fn a_name_that_is_only_used_keeps_its_value() {
        for use_of_it in [
            "if A: pass",
            "for x in A: pass",
            "with open(A) as f: pass",
            "f(A=A)",
            "print('A', \"A is on\", A)",
            "x = os.environ.get('A')",
            "x[A] = 1",
            "x['A'] = A",
            "x = {'A': A}",
            "x = [A for A in y]",
            "x = globals()['A']",
            "x = globals().get('A')",
            "if 'A' in globals(): pass",
            "print('%(A)s' % locals(), '{A}'.format(**globals()))",
            "class C:\n    def __init__(self):\n        self.A = A",
            "class C:\n    def f(self, **more):\n        self.__dict__.update(more)",
            "def f(A=True):\n    for A in x: pass",
            "cursor.exec(A)",
            "setattr(self, name, A)",
            "x = vars(arguments)",
            "def f():\n    case = A",
        ] {
            for source in [format!("A = False\n{use_of_it}\n"), format!("{use_of_it}\nA = False\n")] {
                assert_eq!(is_sure(&source), (true, true), "{source}");
            }
        }
    }
}
