//! SYNC_PAIRS, and what the script did alike for all of them.

use super::literal::Literal;
use super::patterns;
use super::script::Script;
use super::written::{Written, one_line, shown};
use crate::scan::ExcludeRules;
use crate::workflow::configuration::{Configuration, Defaults, format_duration};
use std::path::Path;

/// Between the two folders of a pair that is one string. A single colon is tried last:
/// a remote's name ends with one.
const SEPARATORS: [&str; 6] = ["=>", "->", "|", "::", "\t", ":"];

/// `[defaults]`
pub(super) fn defaults(script: &mut Script) -> Written {
    let mut defaults = Written::section("[defaults]");
    deleted_files(script, &mut defaults);
    trash_retention(script, &mut defaults);
    check(script, &mut defaults);
    if let Some(pause) = script.seconds("OPERATION_INTERVAL_SECONDS").filter(|pause| !pause.is_zero()) {
        defaults.key("pause", format_duration(pause), "OPERATION_INTERVAL_SECONDS");
    }
    excludes(script, &mut defaults);
    defaults
}

/// What is not known goes the way that deletes nothing.
fn deleted_files(script: &mut Script, defaults: &mut Written) {
    let trash = script.text("REMOTE_TRASH");
    let protects = script.truth("PROTECT_MODE");
    script.done("REMOTE_TRASH");
    let (value, from) = match (protects, &trash) {
        (Some(true), _) => ("keep", "PROTECT_MODE: the mirror never loses a file"),
        (None, _) if script.is_unreadable("PROTECT_MODE") => {
            ("keep", "PROTECT_MODE could not be read, so the safe one: the mirror never loses a file")
        }
        (_, Some(_)) => ("trash", "PROTECT_MODE is off, REMOTE_TRASH is set"),
        (_, None) if script.is_unreadable("REMOTE_TRASH") => {
            ("trash", "PROTECT_MODE is off, REMOTE_TRASH could not be read, so the safe one")
        }
        (_, None) => (
            "delete",
            "PROTECT_MODE is off and there is no REMOTE_TRASH: deleted files are deleted; \"trash\" would keep them for a while",
        ),
    };
    defaults.key("on_delete", value, from);
    defaults.comment("The script overwrote changed files; here the old version goes to the trash as well, unless keep_versions = false.");
}

fn trash_retention(script: &mut Script, defaults: &mut Written) {
    if let Some(days) = script.whole_number("TRASH_RETENTION_DAYS") {
        defaults.key("trash_retention_days", i64::from(days), "TRASH_RETENTION_DAYS; 0 means for ever");
    } else if script.is_unreadable("TRASH_RETENTION_DAYS") {
        let from = "TRASH_RETENTION_DAYS could not be read, so the safe one: 0 means for ever";
        defaults.key("trash_retention_days", 0, from);
    }
}

fn check(script: &mut Script, defaults: &mut Written) {
    let is_on = script.truth("ENABLE_FULL_CHECK").unwrap_or(true);
    if let Some(days) = script.whole_number("FULL_CHECK_DAYS") {
        if is_on {
            let from = match script.has("ENABLE_FULL_CHECK") {
                true => "ENABLE_FULL_CHECK is on; FULL_CHECK_DAYS",
                false => "FULL_CHECK_DAYS",
            };
            defaults.key("check_every_days", i64::from(days), from);
        } else {
            defaults.comment(&format!(
                "ENABLE_FULL_CHECK was False; FULL_CHECK_DAYS was {days} (check_every_days)"
            ));
        }
    } else if script.has("ENABLE_FULL_CHECK") && is_on {
        script.leave(
            "ENABLE_FULL_CHECK",
            "no FULL_CHECK_DAYS that can be used stands beside it; set check_every_days",
        );
    } else if script.has("ENABLE_FULL_CHECK") {
        defaults.comment("ENABLE_FULL_CHECK was False");
    }
    if let Some(action) = script.text("FULL_CHECK_ACTION") {
        match action.to_lowercase().as_str() {
            word @ ("warn" | "repair") => {
                script.done("FULL_CHECK_ACTION");
                defaults.key("check_action", word, "FULL_CHECK_ACTION");
            }
            _ => script.leave("FULL_CHECK_ACTION", "it is neither \"warn\" nor \"repair\"; a check warns"),
        }
    }
}

fn excludes(script: &mut Script, defaults: &mut Written) {
    let Some(patterns) = script.texts("EXCLUDES") else { return };
    let mut translated: Vec<String> = Vec::new();
    for pattern in patterns {
        let compiles =
            |ways: Vec<String>| ExcludeRules::compile(&ways).map(|_| ways).map_err(|error| error.reason);
        match patterns::translate(&pattern).and_then(compiles) {
            Ok(ways) => translated.extend(ways),
            Err(reason) => script.leave("EXCLUDES", &format!("the pattern {pattern:?}: {reason}")),
        }
    }
    let mut seen = std::collections::HashSet::new();
    translated.retain(|pattern| seen.insert(pattern.clone()));
    if !translated.is_empty() {
        defaults.list("exclude", &translated, "EXCLUDES, in .gitignore syntax; chooses the same files");
    }
}

/// One pair of folders as the script wrote it.
struct Pair {
    source: String,
    remote: String,
}

/// All `[[job]]` that can be used. The others are comments, with the reason.
pub(super) fn jobs(script: &mut Script, before: &str, defaults: &Defaults) -> String {
    let remote_name = script.text("REMOTE_NAME");
    script.done("REMOTE_NAME");
    let trash = script.text("REMOTE_TRASH").map(|trash| full_remote(remote_name.as_deref(), &trash));
    let mut pieces: Vec<String> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut first = None;
    for (number, pair) in pairs(script) {
        let name = fresh_name(&pair.source, &names);
        let mut job = Written::section("[[job]]");
        job.key("name", name.clone(), &format!("SYNC_PAIRS, pair {number}"));
        job.key("source", without_end(&pair.source), "");
        let remote = full_remote(remote_name.as_deref(), &pair.remote);
        job.key(
            "remote",
            remote.as_str(),
            if remote == pair.remote { "" } else { "REMOTE_NAME, and the folder of the pair" },
        );
        pieces.push(job.text());
        let checked = match remote_name {
            None if !pair.remote.contains(':') => {
                Err("its remote is not known; write the remote's name into REMOTE_NAME, as plain text".into())
            }
            _ => check_whole(before, &pieces, defaults),
        };
        if let Err(reason) = checked {
            script.leave("SYNC_PAIRS", &format!("pair {number}: {reason}"));
            let commented: String = job.text().trim().lines().map(|line| format!("# {line}\n")).collect();
            let reason = one_line(&reason);
            pieces.pop();
            pieces.push(format!("\n# Cannot be used: {reason}\n{commented}"));
        } else {
            first = first.or(Some(pieces.len() - 1));
            names.push(name);
        }
    }
    if let (Some(first), Some(trash)) = (first, trash) {
        let mut with_trash = pieces.clone();
        with_trash[first].push_str(&legacy_trash(&trash));
        match check_whole(before, &with_trash, defaults) {
            Ok(()) => pieces = with_trash,
            Err(_) => {
                let reason = format!("what lies in {trash:?} cannot be purged safely, and stays there");
                script.leave("REMOTE_TRASH", &reason);
            }
        }
    }
    pieces.concat()
}

/// Why the configuration could not be used with these jobs.
fn check_whole(before: &str, jobs: &[String], defaults: &Defaults) -> Result<(), String> {
    let text = format!("{before}{}", jobs.concat());
    Configuration::parse(&text, Path::new("c"), defaults).map(drop).map_err(|error| {
        let reasons: Vec<&str> = error.problems.iter().map(|problem| problem.message.as_str()).collect();
        reasons.join("; ")
    })
}

/// The script's own trash, which goes on being emptied.
fn legacy_trash(place: &str) -> String {
    let mut written = Written::top();
    written.key(
        "legacy_trash",
        place,
        "REMOTE_TRASH: its folders by date go on being purged; new trash lies in `companion`",
    );
    written.text()
}

/// Those that could be read, with the place of each in the script, from 1.
fn pairs(script: &mut Script) -> Vec<(usize, Pair)> {
    let Some(value) = script.value("SYNC_PAIRS") else {
        script.leave("SYNC_PAIRS", "no pair could be read");
        return Vec::new();
    };
    script.done("SYNC_PAIRS");
    let items = match value {
        Literal::List(items) if is_plain_pair(&items) => vec![Literal::List(items)],
        Literal::List(items) => items,
        // `{"/local": "remote"}`
        Literal::Table(pairs) => pairs.into_iter().map(|(a, b)| Literal::List(vec![a, b])).collect(),
        one => vec![one],
    };
    let mut pairs = Vec::new();
    for (number, item) in (1..).zip(&items) {
        match pair(item) {
            Some(pair) => {
                if let Some(more) = more_than_a_pair(item) {
                    let reason = format!("pair {number} holds more than two folders: {more} is left out");
                    script.leave("SYNC_PAIRS", &reason);
                }
                pairs.push((number, pair));
            }
            None => {
                let reason = match item.computed_part() {
                    Some(reason) => format!("pair {number} is {reason}"),
                    None => format!("pair {number} is no local folder and remote folder"),
                };
                script.leave("SYNC_PAIRS", &reason);
            }
        }
    }
    pairs
}

/// `("/local", "remote")` alone, and not two strings that are a pair each.
fn is_plain_pair(items: &[Literal]) -> bool {
    match items {
        [Literal::Text(source), Literal::Text(remote)] => split(source).is_none() || !remote.starts_with('/'),
        _ => false,
    }
}

/// Under which names a dict may hold its two folders.
const LOCAL_NAMES: [&str; 7] = ["local", "source", "src", "local_dir", "local_path", "from", "path"];
const REMOTE_NAMES: [&str; 8] =
    ["remote", "target", "dst", "dest", "destination", "remote_dir", "remote_path", "to"];

fn pair(item: &Literal) -> Option<Pair> {
    match item {
        Literal::Text(text) => split(text),
        Literal::List(items) => match &items[..] {
            [Literal::Text(source), Literal::Text(remote), ..] => {
                Some(Pair { source: source.clone(), remote: remote.clone() })
            }
            _ => None,
        },
        Literal::Table(fields) => {
            let field = |names: &[&str]| {
                fields.iter().find_map(|(key, value)| match (key, value) {
                    (Literal::Text(key), Literal::Text(value))
                        if names.contains(&key.to_lowercase().as_str()) =>
                    {
                        Some(value.clone())
                    }
                    _ => None,
                })
            };
            Some(Pair { source: field(&LOCAL_NAMES)?, remote: field(&REMOTE_NAMES)? })
        }
        _ => None,
    }
}

/// What stands beside the two folders, for people.
fn more_than_a_pair(item: &Literal) -> Option<String> {
    match item {
        Literal::List(items) => match items.get(2)? {
            Literal::Text(text) => Some(format!("{text:?}")),
            other => Some(shown(other).into()),
        },
        Literal::Table(fields) => fields.iter().find_map(|(key, _)| match key {
            Literal::Text(key)
                if !LOCAL_NAMES.contains(&key.to_lowercase().as_str())
                    && !REMOTE_NAMES.contains(&key.to_lowercase().as_str()) =>
            {
                Some(format!("`{key}`"))
            }
            _ => None,
        }),
        _ => None,
    }
}

fn split(text: &str) -> Option<Pair> {
    let (source, remote) = SEPARATORS.iter().find_map(|separator| text.split_once(separator))?;
    Some(Pair { source: source.trim().to_owned(), remote: remote.trim().to_owned() })
}

/// The remote's name stands in a constant of its own, unless the folder has one.
fn full_remote(name: Option<&str>, folder: &str) -> String {
    let has_name = folder.find(':').is_some_and(|colon| !folder[..colon].contains('/'));
    match name {
        Some(name) if !has_name => match name.split_once(':') {
            // `REMOTE_NAME = "alist:115"`
            Some((_, path)) if !path.is_empty() => {
                format!("{}/{}", name.trim_end_matches('/'), folder.trim_start_matches('/'))
            }
            Some(_) => format!("{name}{folder}"),
            None => format!("{name}:{folder}"),
        },
        _ => folder.to_owned(),
    }
}

fn without_end(source: &str) -> String {
    match source.trim_end_matches('/') {
        "" => source.to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// The last part of the source, with a number if that is taken.
fn fresh_name(source: &str, taken: &[String]) -> String {
    let last = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let fitting: String = last
        .chars()
        .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .take(60)
        .collect();
    let fitting = fitting.trim_start_matches('.');
    let first = if fitting.is_empty() { "root" } else { fitting };
    let candidates = std::iter::once(first.to_owned()).chain((2..).map(|number| format!("{first}-{number}")));
    candidates.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}
