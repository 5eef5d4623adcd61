//! The script's matcher, plainly, beside ours: both choose the same files.

#![allow(clippy::unwrap_used)]

use super::patterns::translate;
use crate::model::TreePath;
use crate::scan::ExcludeRules;
use proptest::prelude::*;

/// Python's `fnmatch.fnmatchcase`.
fn fnmatch(name: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|skipped| fnmatch(&name[skipped..], rest)),
        ['?', rest @ ..] => !name.is_empty() && fnmatch(&name[1..], rest),
        ['[', rest @ ..] => {
            let is_negated = rest.first() == Some(&'!');
            let start = usize::from(is_negated);
            let first = start + usize::from(rest.get(start) == Some(&']'));
            let Some(end) = (first..rest.len()).find(|&at| rest[at] == ']') else {
                return name.first() == Some(&'[') && fnmatch(&name[1..], rest);
            };
            let Some(character) = name.first() else { return false };
            let (members, mut fits, mut at) = (&rest[start..end], false, 0);
            while at < members.len() {
                if members.get(at + 1) == Some(&'-') && at + 2 < members.len() {
                    fits |= (members[at]..=members[at + 2]).contains(character);
                    at += 3;
                } else {
                    fits |= members[at] == *character;
                    at += 1;
                }
            }
            fits != is_negated && fnmatch(&name[1..], &rest[end + 1..])
        }
        [character, rest @ ..] => name.first() == Some(character) && fnmatch(&name[1..], rest),
    }
}

fn fits(name: &str, pattern: &str) -> bool {
    fnmatch(&name.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())
}

/// Whether the script leaves a file out.
fn script_excludes(path: &str, pattern: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    let folders = &names[..names.len() - 1];
    if let Some(folder) = pattern.strip_suffix("/**").or_else(|| pattern.strip_suffix('/')) {
        let folder = folder.strip_prefix("**/").unwrap_or(folder);
        let wanted: Vec<&str> = folder.split('/').collect();
        return folders
            .windows(wanted.len())
            .any(|run| run.iter().zip(&wanted).all(|(name, pattern)| fits(name, pattern)));
    }
    if !pattern.contains('/') {
        return names.iter().any(|name| fits(name, pattern));
    }
    // At any depth, the top included.
    let (pattern, anywhere) = match pattern.strip_prefix("**/") {
        Some(rest) => (rest, Some(format!("*/{rest}"))),
        None => (pattern, None),
    };
    let fits_path =
        |path: &str| fits(path, pattern) || anywhere.as_ref().is_some_and(|more| fits(path, more));
    // The path itself, or that of a folder around it: such a folder is not entered.
    (1..=names.len()).any(|length| fits_path(&names[..length].join("/")))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab.x]{1,3}",
        2 => "[ab图é#!\\[\\]{},^\\\\ -]{1,3}",
        1 => Just("tmp".to_owned()),
        1 => Just("node_modules".to_owned()),
    ]
    .prop_filter("no name", |name| name != "." && name != "..")
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(name(), 1..5).prop_map(|names| names.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ab.x]{1,2}",
        2 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[!a]".to_owned()),
        1 => Just("[]^a-b!-]".to_owned()),
        1 => Just("[图b]".to_owned()),
        1 => "[图é#!\\[\\]{},^\\\\ -]{1,2}",
        1 => "\\[[!ab\\]^-]{1,3}\\]",
    ];
    let component = proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    let end = prop_oneof![4 => Just(""), 1 => Just("/"), 1 => Just("/**")];
    (proptest::collection::vec(component, 1..4), end).prop_map(|(names, end)| names.join("/") + end)
}

fn check(pattern: &str, paths: &[String]) -> Result<(), String> {
    let Ok(ways) = translate(pattern) else { return Ok(()) };
    let rules = ExcludeRules::compile(&ways).map_err(|error| format!("{pattern:?}: {error}"))?;
    for path in paths {
        let ours = rules.verdict_with_parents(&TreePath::from_bytes(path.as_str()).unwrap(), false);
        let theirs = script_excludes(path, pattern);
        if ours.is_some() != theirs {
            return Err(format!("pattern {pattern:?} as {ways:?}, path {path:?}: the script says {theirs}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn ignore_rules_choose_the_same_files(pattern in pattern(), tree in proptest::collection::vec(path(), 1..20)) {
        prop_assert_eq!(check(&pattern, &tree), Ok(()));
    }

    /// Random paths seldom fit a pattern: here each is made from it.
    #[test]
    fn ignore_rules_choose_the_same_files_near_the_pattern(
        pattern in pattern(),
        fillers in proptest::collection::vec(prop_oneof![Just(""), Just("a"), Just("b"), Just("/"), Just("a/b"), Just("图"), Just("é"), Just("x/图/b")], 12),
        before in path(),
        after in path(),
    ) {
        let mut fillers = fillers.iter();
        let filled: String = pattern
            .strip_suffix("/**")
            .unwrap_or(&pattern)
            .chars()
            .map(|character| match character {
                '*' | '?' | '[' => fillers.next().copied().unwrap_or("a").to_owned(),
                other => other.to_string(),
            })
            .collect();
        let paths = [filled.clone(), format!("{filled}/{after}"), format!("{before}/{filled}"), format!("{before}/{filled}/{after}")]
            .iter()
            .map(|path| path.split('/').filter(|name| !matches!(*name, "" | "." | "..")).collect::<Vec<_>>().join("/"))
            .filter(|path| !path.is_empty())
            .collect::<Vec<_>>();
        prop_assert_eq!(check(&pattern, &paths), Ok(()));
    }
}

#[test]
fn patterns_that_people_write_stay_readable() {
    for (pattern, ways) in [
        ("*.tmp", &["*.tmp"][..]),
        ("tmp/", &["tmp/"]),
        ("node_modules/**", &["node_modules/"]),
        ("#recycle/", &["\\#recycle/"]),
        ("#recycle", &["\\#recycle"]),
        ("!odd", &["\\!odd"]),
        ("@eaDir/**", &["@eaDir/"]),
        ("a/b/", &["**/a/b/"]),
        ("docs/draft.txt", &["/docs/draft.txt"]),
        ("docs/*.pdf", &["/docs/*.pdf", "/docs/*/**/*.pdf"]),
        ("**/cache/x", &["**/cache/x"]),
        ("~$*", &["~$*"]),
        (".DS_Store", &[".DS_Store"]),
        ("{a}", &["\\{a\\}"]),
        ("图片[1-3].jpg", &["图片[1-3].jpg"]),
    ] {
        assert_eq!(translate(pattern).unwrap(), ways, "{pattern}");
    }
    for pattern in ["", "/", "//", "a\nb", "[!图]", "a*/*/*/*/*/*/*/*b", "[b-a]"] {
        assert!(translate(pattern).is_err(), "{pattern}: {:?}", translate(pattern));
    }
}
