//! Exclude patterns of the script, as `.gitignore` patterns that choose the
//! same files.
//!
//! The script's rules: `tmp/` and `node_modules/**` mean a folder at any depth; a
//! pattern without `/` is compared with every name on the path; any other with the
//! whole path. Comparing is Python's `fnmatch`: `*`, `?` and `[…]` match a `/` like
//! any other character, and there is no escape.

use super::choice::Choice;

/// Pieces of an `fnmatch` pattern.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(char),
    /// `*`, however many.
    Any,
    /// `?` or `[…]`: one character.
    One(Choice),
}

/// More ways than this to put the slashes are not worth a list.
const WAYS_MAX: usize = 64;

/// What excludes the same files. Several patterns where a wildcard may also stand
/// for `/`.
///
/// # Errors
/// Why there is none.
pub(super) fn translate(pattern: &str) -> Result<Vec<String>, String> {
    if pattern.is_empty() {
        return Err("it is empty".into());
    }
    if pattern.contains('\0') {
        return Err("it holds a NUL, which no name does".into());
    }
    if pattern.contains(['\n', '\r']) {
        return Err("it holds a line break".into());
    }
    let folder = pattern.strip_suffix("/**").or_else(|| pattern.strip_suffix('/'));
    if let Some(folder) = folder {
        return folder_at_any_depth(folder);
    }
    if let Some(anywhere) = pattern.strip_prefix("**/") {
        return whole_path(anywhere).map(|ways| ways.iter().map(|way| format!("**{way}")).collect());
    }
    let anchored = pattern.strip_prefix('/').unwrap_or(pattern);
    if anchored.is_empty() {
        return Err("it names nothing".into());
    }
    if !pattern.contains('/') {
        // Compared with one name, so that no wildcard ever meets a `/`.
        return Ok(vec![name(&pieces(pattern)?)]);
    }
    whole_path(anchored)
}

fn folder_at_any_depth(folder: &str) -> Result<Vec<String>, String> {
    let folder = folder.strip_prefix("**/").unwrap_or(folder);
    let (folder, is_anchored) = match folder.strip_prefix('/') {
        Some(anchored) => (anchored, true),
        None => (folder, false),
    };
    let components: Vec<&str> = folder.split('/').collect();
    if components.iter().any(|component| component.is_empty()) {
        return Err("it names no folder".into());
    }
    let path: Result<Vec<String>, String> =
        components.iter().map(|component| Ok(name_in_path(&pieces(component)?))).collect();
    let path = path?.join("/");
    Ok(vec![match (is_anchored, components.len()) {
        (true, _) => format!("/{path}/"),
        (false, 1) => format!("{}/", at_line_start(&path)),
        (false, _) => format!("**/{path}/"),
    }])
}

/// One name, at the beginning of the line.
fn name(pieces: &[Piece]) -> String {
    at_line_start(&name_in_path(pieces))
}

/// `#` and `!` mean something at the beginning of a line.
fn at_line_start(pattern: &str) -> String {
    if pattern.starts_with(['#', '!']) { format!("\\{pattern}") } else { pattern.to_owned() }
}

fn name_in_path(pieces: &[Piece]) -> String {
    let mut text: String = pieces.iter().map(glob_of).collect();
    quote_last_blank(&mut text);
    text
}

/// Blanks at the end of a line do not count, unless they are quoted.
fn quote_last_blank(text: &mut String) {
    if let Some(blank) = text.chars().next_back().filter(|last| last.is_whitespace()) {
        text.truncate(text.len() - blank.len_utf8());
        text.push_str(&format!("{{{blank}}}"));
    }
}

/// The whole path, from the top. A wildcard may stand for `/` as well, so each
/// one is tried as both.
fn whole_path(pattern: &str) -> Result<Vec<String>, String> {
    let mut ways = vec![String::from("/")];
    for piece in pieces(pattern)? {
        let spellings: Vec<String> = match &piece {
            // Nothing, or part of a name; or the end of one, whole folders, the beginning of another.
            Piece::Any => vec!["*".into(), "*/**/*".into()],
            Piece::One(choice) if choice.fits('/') => {
                [choice.glob(), "/".into()].into_iter().filter(|way| !way.is_empty()).collect()
            }
            _ => vec![glob_of(&piece)],
        };
        ways = ways.iter().flat_map(|way| spellings.iter().map(move |more| format!("{way}{more}"))).collect();
        if ways.len() > WAYS_MAX {
            return Err("it has too many wildcards beside a `/`".into());
        }
    }
    // An empty name stands in no path, and a folder's rule must not be made of a name's.
    ways.retain(|way| !way.contains("//") && !way.ends_with('/'));
    ways.iter_mut().for_each(quote_last_blank);
    if ways.is_empty() { Err("no path looks like it".into()) } else { Ok(ways) }
}

fn glob_of(piece: &Piece) -> String {
    match piece {
        Piece::Any => "*".into(),
        Piece::One(choice) => choice.glob(),
        // In brackets, because a backslash before a `/` is taken away.
        Piece::Literal('\\') => "[\\]".into(),
        Piece::Literal(character) if "*?[]{},".contains(*character) => format!("\\{character}"),
        Piece::Literal(character) => character.to_string(),
    }
}

/// Reads a pattern as `fnmatch` does.
fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::new();
    let mut position = 0;
    while let Some(&character) = characters.get(position) {
        position += 1;
        match character {
            '*' if pieces.last() == Some(&Piece::Any) => {}
            '*' => pieces.push(Piece::Any),
            '?' => pieces.push(Piece::One(Choice::anything())),
            '[' => match end_of_set(&characters, position) {
                Some(end) => {
                    pieces.push(Piece::One(Choice::of_set(&characters[position..end])?));
                    position = end + 1;
                }
                // Never closed: an ordinary character.
                None => pieces.push(Piece::Literal('[')),
            },
            character => pieces.push(Piece::Literal(character)),
        }
    }
    Ok(pieces)
}

/// Where the `]` stands; one right at the beginning belongs to the set.
fn end_of_set(characters: &[char], start: usize) -> Option<usize> {
    let mut position = start;
    if characters.get(position) == Some(&'!') {
        position += 1;
    }
    if characters.get(position) == Some(&']') {
        position += 1;
    }
    (position..characters.len()).find(|&position| characters[position] == ']')
}
