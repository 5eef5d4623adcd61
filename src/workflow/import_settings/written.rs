//! TOML as a person would write it, with comments.

use super::literal::Literal;

/// A section while it is written. One without keys stays out of the file.
pub(super) struct Written {
    header: String,
    text: String,
    has_keys: bool,
}

impl Written {
    pub(super) fn top() -> Self {
        Written { header: String::new(), text: String::new(), has_keys: true }
    }

    pub(super) fn section(header: &str) -> Self {
        Written { header: format!("\n{header}\n"), text: String::new(), has_keys: false }
    }

    /// A key, and the constant that it came from, where that is to be said.
    pub(super) fn key(&mut self, name: &str, value: impl Into<toml::Value>, from: &str) {
        if !from.is_empty() {
            self.comment(from);
        }
        self.text.push_str(&format!("{name} = {}\n", value.into()));
        self.has_keys = true;
    }

    /// A list, one item a line.
    pub(super) fn list(&mut self, name: &str, items: &[String], from: &str) {
        self.comment(from);
        let items: String =
            items.iter().map(|item| format!("    {},\n", toml::Value::from(item.as_str()))).collect();
        self.text.push_str(&format!("{name} = [\n{items}]\n"));
        self.has_keys = true;
    }

    pub(super) fn comment(&mut self, text: &str) {
        self.text.push_str(&format!("# {}\n", one_line(text)));
    }

    /// Comments of a section without keys stay: they say what became of something.
    pub(super) fn text(&self) -> String {
        match (self.has_keys, self.text.is_empty()) {
            (true, _) => format!("{}{}", self.header, self.text),
            (false, true) => String::new(),
            (false, false) => format!("\n{}", self.text),
        }
    }
}

/// Fit for a comment: TOML allows no control character there.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// What kind of value something is. Never the value: it may be a secret.
pub(super) fn shown(literal: &Literal) -> &'static str {
    match literal {
        Literal::Text(_) => "text",
        Literal::Number(_) => "a number",
        Literal::Truth(_) => "True or False",
        Literal::Nothing => "None",
        Literal::List(_) => "a list",
        Literal::Table(_) => "a dict",
        Literal::Computed(_) => "computed",
    }
}
