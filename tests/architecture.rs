//! Holds the plan of the house: who may know whom, and where things are kept.
//! The long form is `docs/architecture.md`. Every complaint says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms it may import, and why no others.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
    because: &'static str,
}

/// The arrows. Rooms meet only in the nouns and in the recipes.
const ROOMS: &[Room] = &[
    Room {
        name: "model",
        may_use: &[],
        because: "the nouns are pure values that every room shares, so they can know none of them",
    },
    Room {
        name: "observe",
        may_use: &["model"],
        because: "events go out in the words of the model; whoever listens is not its business",
    },
    Room {
        name: "disk",
        may_use: &["model", "observe"],
        because: "it offers durable verbs on files, whatever the files mean, and counts its syncs",
    },
    Room {
        name: "scan",
        may_use: &["model", "observe", "disk"],
        because: "it sees the last tree only through model::TreeView, so that it can be tested without an index",
    },
    Room {
        name: "index",
        may_use: &["model", "observe", "disk"],
        because: "it keeps trees; where they come from and what is done with them is for others",
    },
    Room {
        name: "diff",
        may_use: &["model", "observe"],
        because: "it sees trees only through model::TreeView, so that it can be tested and fuzzed without files",
    },
    Room {
        name: "plan",
        may_use: &["model", "observe"],
        because: "it is pure: the same changes always give the same plan, and making a plan touches nothing",
    },
    Room {
        name: "transfer",
        may_use: &["model", "observe", "disk"],
        because: "it answers with one outcome per path, and what is done with the outcome is decided elsewhere",
    },
    Room {
        name: "journal",
        may_use: &["model", "observe", "disk"],
        because: "it records what was intended and confirmed, by whatever means it was sent",
    },
    Room {
        name: "commit",
        may_use: &["model", "observe", "disk"],
        because: "it makes a snapshot true by one rename, without reading what is in it",
    },
    Room {
        name: "notify",
        may_use: &["model", "observe", "disk"],
        because: "it tells people what happened; how a run works is not its business",
    },
    Room {
        name: "workflow",
        may_use: &[
            "model", "observe", "disk", "scan", "index", "diff", "plan", "transfer", "journal", "commit",
            "notify",
        ],
        because: "the recipes know all rooms, and nobody but the command line knows the recipes",
    },
];

/// What `src/cli` and `src/main.rs` may see of the library.
const CLI_MAY_USE: &[&str] = &["workflow", "model", "observe"];

/// Words that must not appear in a room, and why. `*` is the whole library.
const FORBIDDEN_WORDS: &[(&str, &str, &str)] = &[
    ("*", "println!", "the library never prints: send an event through observe, the command line renders it"),
    (
        "*",
        "eprintln!",
        "the library never prints: send an event through observe, the command line renders it",
    ),
    ("*", "print!", "the library never prints: send an event through observe, the command line renders it"),
    ("*", "eprint!", "the library never prints: send an event through observe, the command line renders it"),
    ("*", "std::env", "the library never reads the environment: src/cli does, and hands values in"),
    (
        "*",
        "process::exit",
        "the library never ends the process: return an error, src/cli knows the exit codes",
    ),
    ("*", "clap", "what was typed is known to src/cli only"),
    ("*", "indicatif", "progress bars are drawn by src/cli, from events"),
    ("*", "tokio", "there is no async here: docs/decisions/0004-no-async.md"),
    ("model", "std::fs", "a noun touches no file"),
    ("model", "std::process", "a noun starts nothing"),
    ("model", "serde", "what a value looks like on disk is the business of index and journal"),
    ("model", "rayon", "a noun has no threads"),
    ("model", "SystemTime", "a value is determined by its fields, not by the clock"),
    ("diff", "std::fs", "diff compares two TreeViews; it opens nothing"),
    ("diff", "memmap2", "diff compares two TreeViews; how they are stored is hidden from it"),
    ("diff", "std::process", "diff compares two TreeViews; it starts nothing"),
    ("plan", "std::fs", "a plan is made from changes alone; look at files before or after"),
    ("plan", "std::process", "a plan is made from changes alone; it starts nothing"),
    ("plan", "SystemTime", "a plan does not look at the clock; hand the time in"),
    ("plan", "Instant", "a plan does not look at the clock; hand the time in"),
];

/// Things that live in one file only.
const ONE_PLACE: &[(&str, &str, &str)] = &[
    (
        "unsafe",
        "src/disk/unsafe_doors.rs",
        "unsafe has one door, so that one page can be read to trust the rest",
    ),
    (
        "bincode",
        "src/index/codec.rs",
        "bincode is no longer maintained; one file knows it, so that it can be replaced",
    ),
];

/// Functions of more than 70 lines and files of more than 600 that are right as
/// they are, with the reason. The list may shrink; to grow it, write a sentence.
const GROWN: &[(&str, &str, &str)] = &[(
    "src/scan/survey.rs",
    "merge",
    "because it is the one merge of a listing with the base, case by case",
)];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

/// A source file, as written and without comments, strings and tests.
struct Source {
    /// Relative to the crate, with `/`.
    path: String,
    text: String,
    code: String,
}

impl Source {
    /// The room it belongs to; `None` for `lib.rs`, `main.rs` and `cli`.
    fn room(&self) -> Option<&str> {
        let room = self.path.strip_prefix("src/")?.split_once('/')?.0;
        (room != "cli").then_some(room)
    }

    fn is_binary(&self) -> bool {
        self.path == "src/main.rs" || self.path.starts_with("src/cli/")
    }

    /// How many modules deep it lies: `src/scan/mod.rs` is 1, `src/scan/walk.rs` is 2.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count() - 1;
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }
}

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    rust_files_below(&crate_root().join("src"))
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(crate_root()).unwrap().to_string_lossy().into_owned();
            let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
            let code = if is_test { String::new() } else { without_tests(&without_comments(&text)) };
            Source { path, text, code }
        })
        .collect()
}

/// Blanks comments and the insides of strings, and keeps the lines.
fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(bytes, at) {
            length
        } else if rest[0] == b'"' {
            quoted(rest, b'"')
        } else if rest[0] == b'\'' && is_char_literal(rest) {
            quoted(rest, b'\'')
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length;
    }
    String::from_utf8_lossy(&code).into_owned()
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a raw string that begins here, `r"…"` or `r#"…"#`, with a `b` or not.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && is_word(bytes[at - 1]) && bytes[at - 1] != b'b' {
        return None;
    }
    let rest = bytes[at..].strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.extend(std::iter::repeat_n(b'#', hashes));
    let body = &rest[hashes + 1..];
    let length = body.windows(end.len()).position(|window| window == end)?;
    Some(1 + hashes + 1 + length + end.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `'a'` and not the lifetime `'a`.
fn is_char_literal(rest: &[u8]) -> bool {
    rest.get(1) == Some(&b'\\')
        || rest.iter().skip(2).take(4).any(|&byte| byte == b'\'') && !is_lifetime(rest)
}

fn is_lifetime(rest: &[u8]) -> bool {
    rest.get(1).is_some_and(|&byte| is_word(byte) && byte < 0x80) && rest.get(2) != Some(&b'\'')
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Blanks items under `#[cfg(test)]`, and keeps the lines.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = match code[start..].find(['{', ';']) {
            Some(at) if code.as_bytes()[start + at] == b'{' => start + at + block_length(&code[start + at..]),
            Some(at) => start + at + 1,
            None => code.len(),
        };
        let blank: String =
            code[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
        from = end.min(code.len());
    }
    code
}

/// The length of a block that begins with `{`, to its `}`.
fn block_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Where `word` stands in `code`, as a word and not as a part of one.
fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).map(|at| code.as_bytes()[at]);
        let after = code.as_bytes().get(at + word.len()).copied();
        !before.is_some_and(is_word) && (word.ends_with('!') || !after.is_some_and(is_word))
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The first names after a path prefix such as `crate::`: one, or those of a `{…}` group.
fn heads(code: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim().bytes().take_while(|&byte| is_word(byte)).map(char::from).collect::<String>()
    };
    if !code.starts_with('{') {
        return vec![if code.starts_with('*') { "*".to_owned() } else { name(code) }];
    }
    let group = &code[1..block_length(code) - 1];
    let mut depth = 0;
    let mut heads = Vec::new();
    for item in group.split_inclusive(['{', '}', ',']) {
        if depth == 0 {
            let head = name(item);
            heads.push(if item.trim().starts_with('*') { "*".to_owned() } else { head });
        }
        depth += item.matches('{').count();
        depth -= item.matches('}').count();
    }
    heads.retain(|head| !head.is_empty() && head != "self");
    heads
}

/// Top-level modules that a file imports: (line, name), `*` for a glob of the crate.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut note = |at: usize, after: &str| {
        found.extend(heads(after).into_iter().map(|head| (line_of(&source.code, at), head)));
    };
    let own = if source.is_binary() { "treeferry" } else { "crate" };
    for at in places(&source.code, own) {
        if let Some(after) = source.code[at + own.len()..].strip_prefix("::") {
            note(at, after);
        }
    }
    // `super::super::x` from a room's file is the crate's x as well.
    let up = "super::".repeat(source.depth());
    if !source.is_binary() && !up.is_empty() {
        for at in places(&source.code, up.trim_end_matches(':')) {
            let starts_here = !source.code[..at].ends_with("super::");
            match source.code[at..].strip_prefix(&up) {
                Some(after) if starts_here && !after.starts_with("super") => note(at, after),
                _ => {}
            }
        }
    }
    found
}

#[track_caller]
fn assert_no_complaints(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n\n{}\n\nSee docs/architecture.md.\n", complaints.join("\n\n"));
}

#[test]
fn the_arrows_between_the_rooms_hold() {
    let mut complaints = Vec::new();
    for source in sources() {
        let room = ROOMS.iter().find(|room| Some(room.name) == source.room());
        for (line, used) in imports(&source) {
            let place = format!("{}:{line}", source.path);
            if source.is_binary() {
                if ROOMS.iter().any(|room| room.name == used) && !CLI_MAY_USE.contains(&used.as_str()) {
                    complaints.push(format!(
                        "{place} uses treeferry::{used}. The command line knows only workflow and the nouns, so that \
                         nothing is decided in two places. Let a recipe in workflow hand it out."
                    ));
                }
                continue;
            }
            if used == "*" {
                complaints.push(format!(
                    "{place} imports everything of the crate. That hides which rooms it knows; name what is used."
                ));
                continue;
            }
            let Some(room) = room else { continue };
            if ROOMS.iter().any(|other| other.name == used)
                && used != room.name
                && !room.may_use.contains(&used.as_str())
            {
                complaints.push(format!(
                    "{place} uses crate::{used}. {} may use {}: {}.",
                    room.name,
                    if room.may_use.is_empty() { "nothing".to_owned() } else { room.may_use.join(", ") },
                    room.because
                ));
            }
        }
    }
    assert_no_complaints(&complaints);
}

#[test]
fn words_that_belong_elsewhere_stay_out() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !source.is_binary()) {
        for (room, word, because) in FORBIDDEN_WORDS {
            if *room != "*" && Some(*room) != source.room() {
                continue;
            }
            for at in places(&source.code, word) {
                complaints.push(format!(
                    "{}:{} says {word}: {because}.",
                    source.path,
                    line_of(&source.code, at)
                ));
            }
        }
    }
    assert_no_complaints(&complaints);
}

#[test]
fn what_has_one_place_stays_there() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (word, place, because) in ONE_PLACE.iter().filter(|(_, place, _)| *place != source.path) {
            for at in places(&source.code, word) {
                let line = line_of(&source.code, at);
                complaints.push(format!(
                    "{}:{line} says {word}, which lives in {place} only: {because}.",
                    source.path
                ));
            }
        }
    }
    assert_no_complaints(&complaints);
}

#[test]
fn every_room_has_its_card() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.path.ends_with("/mod.rs")) {
        if source.depth() != 1 || source.room().is_none() {
            continue;
        }
        let card: String = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let is_empty_room = source.code.trim().is_empty() && card.contains("being built");
        for line in ["Knows:", "Promises:", "Must not know:"] {
            if !is_empty_room && !card.contains(line) {
                complaints.push(format!(
                    "{} has no «{line}» in its opening //! card. A newcomer reads the card instead of the room.",
                    source.path
                ));
            }
        }
    }
    assert_no_complaints(&complaints);
}

#[test]
fn the_plan_in_lib_rs_names_every_room_and_no_other() {
    let plan = fs::read_to_string(crate_root().join("src/lib.rs")).unwrap();
    let named: BTreeSet<String> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("//! * [`"))
        .filter_map(|line| line.split_once('`').map(|(name, _)| name.to_owned()))
        .collect();
    let declared: BTreeSet<String> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")))
        .filter_map(|line| line.strip_suffix(';').map(str::to_owned))
        .collect();
    let folders: BTreeSet<String> = fs::read_dir(crate_root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir() && entry.file_name() != "cli")
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let arrows: BTreeSet<String> = ROOMS.iter().map(|room| room.name.to_owned()).collect();
    assert_eq!(named, declared, "the plan at the top of src/lib.rs and its `mod` lines name different rooms");
    assert_eq!(named, folders, "the plan at the top of src/lib.rs and the folders in src/ differ");
    assert_eq!(named, arrows, "the plan at the top of src/lib.rs and ROOMS in tests/architecture.rs differ");
}

/// Files that `docs/architecture.md` names in a quiz or a card, as `room/file.rs`.
#[test]
fn the_files_that_the_guide_names_exist() {
    let guide = fs::read_to_string(crate_root().join("docs/architecture.md")).unwrap();
    let mut complaints = Vec::new();
    for path in guide.split('`').skip(1).step_by(2).filter(|text| is_file_name(text)) {
        let (room, _) = path.split_once('/').unwrap_or(("", path));
        let folder = crate_root().join("src").join(room);
        let is_empty_room =
            fs::read_to_string(folder.join("mod.rs")).is_ok_and(|card| card.contains("being built"));
        let is_missing_cli = room == "cli" && !folder.is_dir();
        let grown_to_a_folder = path.replace(".rs", "/mod.rs");
        let exists = [format!("src/{path}"), format!("src/{grown_to_a_folder}"), path.to_owned()]
            .iter()
            .any(|path| crate_root().join(path).exists());
        if !exists && !is_empty_room && !is_missing_cli {
            complaints.push(format!("docs/architecture.md sends people to {path}, which does not exist."));
        }
    }
    for room in ROOMS.iter().filter(|room| !guide.contains(&format!("`{}`", room.name))) {
        complaints.push(format!("docs/architecture.md does not say what the room `{}` is for.", room.name));
    }
    assert_no_complaints(&complaints);
}

/// `room/file.rs`, and not a pattern or a bare `mod.rs`.
fn is_file_name(text: &str) -> bool {
    text.ends_with(".rs") && text.contains('/') && !text.contains([' ', '*', '<'])
}

#[test]
fn no_test_file_is_forgotten() {
    let main = fs::read_to_string(crate_root().join("tests/main.rs")).unwrap();
    let declared: BTreeSet<&str> = main
        .lines()
        .filter_map(|line| line.trim_start_matches("// waits for the rooms: ").strip_prefix("mod "))
        .filter_map(|line| line.strip_suffix(';'))
        .collect();
    for entry in fs::read_dir(crate_root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_module =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("mod.rs").exists();
        assert!(
            !is_module || name == "main" || declared.contains(name.as_str()),
            "tests/{name} is never run: add `mod {name};` to tests/main.rs"
        );
    }
}

#[test]
fn what_has_grown_has_a_reason() {
    let mut grown = Vec::new();
    for source in sources() {
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > FILE_LINES_MAX {
            grown.push((source.path.clone(), String::new(), lines));
        }
        for (name, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX {
                grown.push((source.path.clone(), name, lines));
            }
        }
    }
    let mut complaints = Vec::new();
    for (path, name, lines) in &grown {
        if !GROWN.iter().any(|(known, function, _)| known == path && function == name) {
            let what = if name.is_empty() { "the file".to_owned() } else { format!("fn {name}") };
            complaints.push(format!(
                "{path}: {what} has {lines} lines. Is it still about one thing? If it is, add it to GROWN in \
                 tests/architecture.rs with a sentence; if not, split it."
            ));
        }
    }
    for (path, name, _) in GROWN {
        if !grown.iter().any(|(known, function, _)| known == path && function == name) {
            complaints
                .push(format!("{path} {name} has become small: take it off GROWN in tests/architecture.rs."));
        }
    }
    assert_no_complaints(&complaints);
}

/// Every function with a body, and its length in lines.
fn functions(code: &str) -> Vec<(String, usize)> {
    places(code, "fn")
        .filter_map(|at| {
            let name = heads(code[at + 2..].trim_start()).remove(0);
            let body = code[at..].find(['{', ';']).map(|offset| at + offset)?;
            if name.is_empty() || code.as_bytes()[body] == b';' {
                return None;
            }
            let end = body + block_length(&code[body..]);
            Some((name, line_of(code, end) - line_of(code, at) + 1))
        })
        .collect()
}

mod the_reader {
    //! The reader of sources is small, so it is tested on what fools such readers.

    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: without_tests(&without_comments(text)) }
    }

    fn used(path: &str, text: &str) -> Vec<String> {
        imports(&source(path, text)).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn comments_strings_and_tests_are_not_code() {
        let code = source(
            "src/diff/walk.rs",
            r##"// crate::index
/* crate::index /* nested */ still */
const A: &str = "crate::index \" "; const B: &str = r#"crate::index "quoted" "#; const C: char = '"';
fn life<'a>(x: &'a str) -> &'a str { x }
#[cfg(test)]
mod tests { use crate::index; fn f() { {} } }
use crate::model;
"##,
        );
        assert_eq!(imports(&code), [(7, "model".to_owned())]);
    }

    #[test]
    fn groups_supers_and_globs_are_seen() {
        assert_eq!(
            used("src/diff/mod.rs", "use crate::{index::{a, b}, model::*, plan};"),
            ["index", "model", "plan"]
        );
        assert_eq!(used("src/diff/mod.rs", "use super::index;"), ["index"]);
        assert_eq!(used("src/diff/walk.rs", "use super::index; use super::super::scan::x;"), ["scan"]);
        assert_eq!(used("src/diff/walk.rs", "use crate::*;"), ["*"]);
        assert_eq!(used("src/cli/backup.rs", "use treeferry::index::Docket; use crate::args;"), ["index"]);
    }

    #[test]
    fn functions_are_measured_from_their_first_to_their_last_line() {
        let code =
            "fn short() {}\ntrait T { fn none(&self); }\nfn long<T>(a: T) -> u8\nwhere T: Copy {\n  1\n}\n";
        assert_eq!(functions(code), [("short".to_owned(), 1), ("long".to_owned(), 4)]);
    }
}
