//! RCLONE_BIN and RCLONE_OPTS.

use super::literal::Literal;
use super::script::Script;
use super::written::Written;
use crate::workflow::configuration::Defaults;

pub(super) fn section(script: &mut Script, defaults: &Defaults) -> Written {
    let mut rclone = Written::section("[rclone]");
    if let Some(program) = script.text("RCLONE_BIN") {
        if program.contains('/') && !program.starts_with('/') {
            script.leave("RCLONE_BIN", &format!("{program:?} is neither a name nor an absolute path"));
        } else {
            script.done("RCLONE_BIN");
            rclone.key("program", program, "RCLONE_BIN");
        }
    }
    if let Some(options) = options(script) {
        flags(script, &options, defaults, &mut rclone);
    }
    rclone
}

/// Stands for a word that is not known: its flag must not go on without its value.
const UNKNOWN: &str = "\u{0}";

/// The words as rclone got them.
fn options(script: &mut Script) -> Option<Vec<String>> {
    let Some(Literal::List(items)) = script.value("RCLONE_OPTS") else {
        let texts = script.texts("RCLONE_OPTS")?;
        return Some(texts.iter().flat_map(|text| shell_words(text)).collect());
    };
    script.done("RCLONE_OPTS");
    let mut texts = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        texts.push(match item {
            Literal::Text(text) => text,
            // `"--transfers", 4` never reached rclone: Python wants text there.
            Literal::Number(number) => number,
            Literal::Computed(reason) => {
                script.leave("RCLONE_OPTS", &format!("item {}{} is {reason}", at + 1, behind(&texts)));
                UNKNOWN.into()
            }
            _ => {
                script.leave("RCLONE_OPTS", "one of its items is no text");
                UNKNOWN.into()
            }
        });
    }
    Some(words_of_list(texts))
}

/// Where the next item stands, by the name of the flag before it: its value may be a secret.
fn behind(texts: &[String]) -> String {
    let before = texts.last().and_then(|before| before.split(['=', ' ']).next());
    before.filter(|flag| flag.starts_with('-')).map_or_else(String::new, |flag| format!(" (behind {flag:?})"))
}

/// An item of a list is one word, whatever blanks it holds. Only a flag that was written into
/// one string with its value is two.
fn words_of_list(items: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for item in items {
        let is_behind_flag = words.last().is_some_and(|word| takes_next(word));
        let name = item.split('=').next().unwrap_or_default();
        if item.starts_with('-') && name.contains(char::is_whitespace) {
            words.extend(shell_words(&item));
        } else if !item.is_empty() || is_behind_flag {
            words.push(item);
        }
    }
    words
}

/// The value of this flag may stand behind it.
fn takes_next(word: &str) -> bool {
    word.starts_with("--") && !word.contains('=')
}

fn flags(script: &mut Script, words: &[String], defaults: &Defaults, rclone: &mut Written) {
    let mut taken = Vec::new();
    for flag in joined(words) {
        if flag.contains(UNKNOWN) {
            continue;
        }
        if let Some(file) = flag.strip_prefix("--config=") {
            if file.starts_with('/') {
                rclone.key("config", file, "RCLONE_OPTS, --config");
            } else {
                script.leave("RCLONE_OPTS", &format!("--config: {file:?} is no absolute path"));
            }
            continue;
        }
        match (defaults.check_rclone_flags)(std::slice::from_ref(&flag)) {
            Ok(()) => taken.push(flag),
            Err(reason) => {
                let reason = reason.trim_end_matches("; take it out of [rclone] flags");
                script.leave("RCLONE_OPTS", reason);
            }
        }
    }
    if !taken.is_empty() {
        rclone.list("flags", &taken, "RCLONE_OPTS; given to every transfer");
    }
}

/// A flag and the value that stands behind it, as one: `--transfers=4`.
fn joined(words: &[String]) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    for word in words {
        match flags.last_mut() {
            Some(flag) if !word.starts_with('-') && takes_next(flag) => {
                flag.push('=');
                flag.push_str(word);
            }
            _ => flags.push(word.clone()),
        }
    }
    flags
}

/// Splits as a shell does; the script may have used `shlex`, or written the words
/// of a flag into one string.
pub(super) fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    // A string that is one flag keeps its blanks: `--header=Name: value`.
    if text.starts_with("--")
        && text.split('=').next().is_some_and(|name| !name.contains(' '))
        && text.contains('=')
    {
        let is_several = text.split_whitespace().skip(1).any(|word| word.starts_with('-'));
        if !is_several {
            return vec![text.to_owned()];
        }
    }
    for character in text.chars() {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (_, None) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}
