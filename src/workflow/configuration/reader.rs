//! Reads keys out of TOML, and remembers where each one stood.

use super::error::{ConfigurationError, Problem};
use super::keys::spellings_of;
use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) type Span = Range<usize>;

/// The text being read, and what was found wrong with it so far. Problems are
/// collected, so that one look shows them all.
pub(super) struct Document<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Document { text, problems: RefCell::default() }
    }

    pub(super) fn parse(&self) -> Option<DeTable<'t>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table.into_inner()),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                self.problem(&span, format!("not TOML: {}", error.message()));
                None
            }
        }
    }

    pub(super) fn problem(&self, span: &Span, message: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.problems.borrow_mut().push(Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        });
    }

    pub(super) fn finish(self, file: &Path) -> Result<(), ConfigurationError> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigurationError { file: file.to_path_buf(), problems })
        }
    }
}

/// One table of the file, with the tables that speak where it is silent.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    /// As people write it, for messages: `[rclone]`.
    title: String,
    /// Where it begins.
    pub(super) span: Span,
    tables: Vec<&'d DeTable<'d>>,
}

impl<'d> Section<'d> {
    /// Checks the keys of `table`; `name` is the section in the key table.
    pub(super) fn new(
        document: &'d Document<'d>,
        title: &str,
        name: &str,
        span: Span,
        table: Option<&'d DeTable<'d>>,
    ) -> Self {
        let spellings = spellings_of(name);
        for (key, _) in table.into_iter().flatten() {
            if !spellings.iter().any(|known| *known == **key.get_ref()) {
                document.problem(&key.span(), unknown_key(key.get_ref(), title, &spellings));
            }
        }
        Section { document, title: title.to_owned(), span, tables: table.into_iter().collect() }
    }

    /// Asks `other` for what this section does not say.
    pub(super) fn or(mut self, other: &Section<'d>) -> Self {
        self.tables.extend(&other.tables);
        self
    }

    /// The table `name` inside this section itself.
    pub(super) fn subsection(&self, name: &str, title: &str, section: &str) -> Section<'d> {
        let found = self.tables.first().and_then(|table| find(table, name));
        let span = found.map_or(self.span.clone(), Spanned::span);
        let table = found.and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.document.problem(&span, format!("`{name}` must be a table: {title}"));
            }
            table
        });
        Section::new(self.document, title, section, span, table)
    }

    /// True when nothing at all is written here.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.is_empty())
    }

    pub(super) fn find(&self, name: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.tables.iter().find_map(|table| find(table, name))
    }

    /// Where `name` stands, or the section when it is not there.
    pub(super) fn span_of(&self, name: &str) -> Span {
        self.find(name).map_or(self.span.clone(), Spanned::span)
    }

    pub(super) fn problem(&self, name: &str, message: impl Into<String>) {
        self.document.problem(&self.span_of(name), message);
    }

    /// Reads a key that need not be there.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.find(name)?;
        read(value.get_ref()).map_err(|reason| self.problem(name, format!("`{name}` {reason}"))).ok()
    }

    /// Reads a key that has a default.
    pub(super) fn read<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> T {
        self.optional(name, read).unwrap_or(default)
    }

    /// Reads a key that must be there.
    pub(super) fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        if self.find(name).is_none() {
            self.problem(name, format!("`{name}` is missing in {}", self.title));
        }
        self.optional(name, read)
    }
}

fn find<'d>(table: &'d DeTable<'d>, name: &str) -> Option<&'d Spanned<DeValue<'d>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

/// "unknown key", with the nearest one that exists, and where it would belong
/// when it exists in another section.
fn unknown_key(key: &str, title: &str, spellings: &[String]) -> String {
    let place = if title.is_empty() { "at the top of the file".into() } else { format!("in {title}") };
    let nearest = spellings
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(key.len()) / 2)
        .min();
    let elsewhere = super::keys::KEYS.iter().find(|known| known.name == key).map(|known| known.section);
    match (elsewhere, nearest) {
        (Some(section), _) if !section.is_empty() => {
            let section =
                if section == "job" { "[[job]] or [defaults]".into() } else { format!("[{section}]") };
            format!("unknown key `{key}` {place}; it belongs into {section}")
        }
        (Some(_), _) => {
            format!("unknown key `{key}` {place}; it belongs to the top of the file, above the first [table]")
        }
        (None, Some((_, known))) => format!("unknown key `{key}` {place}; did you mean `{known}`?"),
        (None, None) => {
            format!("unknown key `{key}` {place}; known are {}", spellings.join(", "))
        }
    }
}
