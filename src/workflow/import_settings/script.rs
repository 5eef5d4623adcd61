//! The constants of the script, and what became of each.

use super::bindings::Unread;
use super::literal::Literal;
use super::python::{Constant, constants};
use super::written::shown;
use std::collections::BTreeSet;

/// Constants that mean nothing here, and why.
const NEEDLESS: &[(&str, &str)] = &[
    ("LOCK_FILE", "the state folder of each job has a lock of its own"),
    ("LOCK_PATH", "the state folder of each job has a lock of its own"),
    ("LOCK_DIR", "the state folder of each job has a lock of its own"),
];

/// The script while it is being taken over.
pub(super) struct Script {
    constants: Vec<Constant>,
    /// Set in a way that is not read, and in no other.
    elsewhere: Vec<Constant>,
    /// What may set those that are not there.
    unread: Option<Unread>,
    /// Names of those that were dealt with.
    done: Vec<String>,
    left: Vec<(usize, String)>,
    /// Names of those that are there, and whose value is not known.
    unreadable: Vec<String>,
}

impl Script {
    pub(super) fn read(source: &str) -> Self {
        let read = constants(source);
        let mut script = Script {
            constants: read.found,
            elsewhere: read.elsewhere,
            unread: read.unread,
            done: Vec::new(),
            left: Vec::new(),
            unreadable: Vec::new(),
        };
        if script.constants.is_empty() {
            script.left.push((0, "there is no constant at the top level of this file".into()));
        }
        script
    }

    /// The constant's value; what cannot be read is left behind, and `None`.
    pub(super) fn value(&mut self, name: &str) -> Option<Literal> {
        let constant = self.constants.iter().find(|constant| constant.name == name).cloned();
        let constant = constant.or_else(|| self.set_elsewhere(name))?;
        match constant.value {
            Ok(literal) => Some(literal),
            Err(reason) => {
                self.unreadable.push(name.to_owned());
                self.leave(name, &format!("it is {reason}"));
                None
            }
        }
    }

    /// A constant that the script does not set plainly, but may set all the same, or a file that it imports whole.
    fn set_elsewhere(&mut self, name: &str) -> Option<Constant> {
        let named = self.elsewhere.iter().find(|constant| constant.name == name).cloned();
        let constant = named.or_else(|| {
            let unread = self.unread.as_ref()?;
            Some(Constant { name: name.to_owned(), line: unread.line, value: Err(unread.reason()) })
        })?;
        self.constants.push(constant.clone());
        Some(constant)
    }

    pub(super) fn done(&mut self, name: &str) {
        self.done.push(name.to_owned());
    }

    /// Says that `name`, or a part of it, is not carried over.
    pub(super) fn leave(&mut self, name: &str, reason: &str) {
        let line = self.constants.iter().find(|constant| constant.name == name).map_or(0, |found| found.line);
        let sentence = format!("{name} (line {line}): {reason}");
        if !self.left.iter().any(|(_, known)| *known == sentence) {
            self.left.push((line, sentence));
        }
        self.done(name);
    }

    /// The script sets `name`, and a reader before this found no use for its value. What decides
    /// whether files are deleted must not fall back to what holds for a script without it.
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.iter().any(|known| known == name)
    }

    fn wrong(&mut self, name: &str, wanted: &str, literal: &Literal) {
        self.unreadable.push(name.to_owned());
        self.leave(name, &format!("it should be {wanted}, and is {}", shown(literal)));
    }

    /// Text that is not empty. Empty text and `None` mean "not set".
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Literal::Text(text) if !text.is_empty() => Some(text),
            Literal::Text(_) | Literal::Nothing => {
                self.done(name);
                None
            }
            other => {
                self.wrong(name, "text", &other);
                None
            }
        }
    }

    pub(super) fn absolute_path(&mut self, name: &str) -> Option<String> {
        let path = self.text(name)?;
        if path.starts_with('/') {
            self.done(name);
            return Some(path);
        }
        self.leave(name, &format!("{path:?} is no absolute path, and treeferry is started from anywhere"));
        None
    }

    pub(super) fn truth(&mut self, name: &str) -> Option<bool> {
        let value = match self.value(name)? {
            Literal::Truth(truth) => truth,
            Literal::Nothing => false,
            Literal::Number(number) if number == "0" || number == "1" => number == "1",
            other => {
                self.wrong(name, "True or False", &other);
                return None;
            }
        };
        self.done(name);
        Some(value)
    }

    pub(super) fn whole_number(&mut self, name: &str) -> Option<u32> {
        let literal = self.value(name)?;
        let number = match &literal {
            Literal::Number(number) => whole(number),
            Literal::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(_) => self.done(name),
            None => self.wrong(name, "a whole number", &literal),
        }
        number
    }

    /// Seconds, which may have a fraction.
    pub(super) fn seconds(&mut self, name: &str) -> Option<std::time::Duration> {
        let literal = self.value(name)?;
        let seconds = match &literal {
            Literal::Number(number) => number.parse::<f64>().ok(),
            Literal::Nothing => Some(0.0),
            _ => None,
        };
        let seconds = seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        match seconds {
            Some(_) => self.done(name),
            None => self.wrong(name, "a number of seconds", &literal),
        }
        seconds
    }

    /// A list of text, or one text.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let literal = self.value(name)?;
        self.done(name);
        match literal {
            Literal::Nothing => Some(Vec::new()),
            Literal::Text(text) => Some(vec![text]),
            Literal::List(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match item {
                        Literal::Text(text) => texts.push(text),
                        Literal::Computed(reason) => {
                            self.leave(name, &format!("one of its items is {reason}"))
                        }
                        other => self.wrong(name, "a list of text", &other),
                    }
                }
                Some(texts)
            }
            other => {
                self.wrong(name, "a list of text", &other);
                None
            }
        }
    }

    /// Names what nobody asked for.
    pub(super) fn leave_the_rest(&mut self) {
        let rest: Vec<String> = self
            .constants
            .iter()
            .filter(|constant| !self.done.contains(&constant.name))
            .map(|constant| constant.name.clone())
            .collect();
        for name in rest {
            let needless = NEEDLESS.iter().find(|(known, _)| *known == name);
            match needless {
                Some((_, reason)) => self.leave(&name, &format!("not needed: {reason}")),
                None => self.leave(&name, "nothing here corresponds to it"),
            }
        }
    }

    /// True when the script sets `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.constants.iter().chain(&self.elsewhere).any(|constant| constant.name == name)
    }

    /// Names what was read and of which neither the file nor a sentence speaks. Gives back the names of
    /// those that were empty or off: of these nothing is lost.
    pub(super) fn leave_unspoken(&mut self, body: &str) -> Vec<String> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let spoken: BTreeSet<&str> = body.split(|c| !is_word(c)).collect();
        let is_spoken_of = |constant: &&Constant| {
            let sentence = format!("{} (", constant.name);
            spoken.contains(constant.name.as_str())
                || self.left.iter().any(|(_, left)| left.starts_with(&sentence))
        };
        let unspoken = self.constants.iter().filter(|constant| !is_spoken_of(constant));
        let (empty, lost): (Vec<&Constant>, Vec<&Constant>) =
            unspoken.partition(|constant| constant.value.as_ref().is_ok_and(Literal::is_empty));
        let names = |constants: Vec<&Constant>| -> Vec<String> {
            constants.iter().map(|constant| constant.name.clone()).collect()
        };
        let (empty, lost) = (names(empty), names(lost));
        lost.iter().for_each(|name| self.leave(name, "nothing came of it"));
        empty
    }

    /// What was left behind, in the order of the script.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let mut left = self.left.clone();
        left.sort();
        left.into_iter().map(|(_, sentence)| sentence).collect()
    }
}

/// As Python writes whole numbers: 30, 0x1e, 0b11, and 30.0, which counts days as well.
fn whole(number: &str) -> Option<u32> {
    let lower = number.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return u32::from_str_radix(digits, radix).ok();
        }
    }
    number.parse().ok().or_else(|| {
        let value: f64 = number.parse().ok()?;
        let is_whole = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
        is_whole.then_some(value as u32)
    })
}
