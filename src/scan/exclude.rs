//! Which names are left out: patterns in `.gitignore` syntax, and nothing else.

use crate::model::TreePath;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::collections::BTreeMap;

/// How the folder is called in which `restore` keeps files until they were checked;
/// [`STAGING_RANDOM`] letters and digits follow.
pub const STAGING_PREFIX: &str = ".treeferry-restore-";
/// How many letters and digits make the name of such a folder its own.
pub const STAGING_RANDOM: usize = 6;

/// True for the name of such a folder. Who restores into the source has one there, and keeps
/// it when the restore is killed: it is never backed up. Other names stay what they are.
pub fn is_staging_folder(name: &[u8]) -> bool {
    name.strip_prefix(STAGING_PREFIX.as_bytes())
        .is_some_and(|end| end.len() == STAGING_RANDOM && end.iter().all(u8::is_ascii_alphanumeric))
}

/// Compiled exclude rules of a job. The order counts: the last rule that
/// matches decides, and one that begins with `!` takes a name back in, but not
/// below a directory that is excluded itself (as git does it).
#[derive(Debug, Clone)]
pub struct ExcludeRules {
    matcher: Gitignore,
    /// Patterns that had to be written in other words, by those words.
    reworded: BTreeMap<String, String>,
    digest: [u8; 32],
}

/// What git knows in brackets, and the matcher does not: it takes their letters one by one.
const CLASSES: [(&str, &str); 9] = [
    ("[:alpha:]", "a-zA-Z"),
    ("[:digit:]", "0-9"),
    ("[:alnum:]", "a-zA-Z0-9"),
    ("[:upper:]", "A-Z"),
    ("[:lower:]", "a-z"),
    ("[:xdigit:]", "0-9a-fA-F"),
    ("[:blank:]", " \t"),
    ("[:space:]", " \t\n\u{b}\u{c}\r"),
    ("[:cntrl:]", "\u{1}-\u{1f}\u{7f}"),
];

/// An exclude pattern that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the exclude pattern {pattern:?} is not valid .gitignore syntax: {reason}; correct or remove it")]
pub struct ExcludeError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Default for ExcludeRules {
    fn default() -> Self {
        ExcludeRules { matcher: Gitignore::empty(), reworded: BTreeMap::new(), digest: digest_of(&[]) }
    }
}

impl ExcludeRules {
    /// Compiles the patterns, in their order.
    ///
    /// # Errors
    /// When one of them is no pattern; it is named.
    pub fn compile(patterns: &[String]) -> Result<Self, ExcludeError> {
        let mut builder = GitignoreBuilder::new(".");
        let mut reworded = BTreeMap::new();
        for pattern in patterns {
            let error = |reason: String| ExcludeError { pattern: pattern.clone(), reason };
            if pattern.contains('\n') {
                return Err(error("a pattern is one line".into()));
            }
            let words = in_words_of_the_matcher(pattern).map_err(&error)?;
            builder.add_line(None, &words).map_err(|wrong| error(wrong.to_string()))?;
            if words != *pattern {
                reworded.insert(words, pattern.clone());
            }
        }
        let matcher = builder
            .build()
            .map_err(|wrong| ExcludeError { pattern: patterns.join(", "), reason: wrong.to_string() })?;
        Ok(ExcludeRules { matcher, reworded, digest: digest_of(patterns) })
    }

    /// True when nothing can be excluded.
    pub fn is_empty(&self) -> bool {
        self.matcher.num_ignores() == 0
    }

    /// The rule that excludes this path, or `None`. The directories above must
    /// have been asked before: an excluded one is not entered.
    pub fn verdict(&self, path: &TreePath, is_directory: bool) -> Option<&str> {
        match self.matcher.matched(path.as_path(), is_directory) {
            Match::Ignore(glob) => {
                let words = glob.original();
                Some(self.reworded.get(words).map_or(words, String::as_str))
            }
            Match::Whitelist(_) | Match::None => None,
        }
    }

    /// As [`ExcludeRules::verdict`], for a path whose directories were not
    /// asked: they are asked first, from the top.
    pub fn verdict_with_parents(&self, path: &TreePath, is_directory: bool) -> Option<&str> {
        let mut walked = TreePath::root();
        let depth = path.components().count();
        path.components().enumerate().find_map(|(level, name)| {
            walked.push(name);
            self.verdict(&walked, is_directory || level + 1 < depth)
        })
    }

    /// Equal digests mean equal patterns in equal order.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

fn in_words_of_the_matcher(pattern: &str) -> Result<String, String> {
    let mut words = pattern.to_owned();
    for (class, range) in CLASSES {
        words = words.replace(class, range);
    }
    match words.contains("[:") && words.contains(":]") {
        true => Err("of the classes in brackets only alpha, digit, alnum, upper, lower, xdigit, blank, space and cntrl are \
                     known; write its characters".into()),
        false => Ok(words),
    }
}

fn digest_of(patterns: &[String]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("treeferry 2026 exclude rules v1");
    for pattern in patterns {
        hasher.update(&(pattern.len() as u64).to_le_bytes());
        hasher.update(pattern.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> ExcludeRules {
        ExcludeRules::compile(&patterns.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn path(bytes: &[u8]) -> TreePath {
        TreePath::from_bytes(bytes).unwrap()
    }

    #[test]
    fn only_a_staging_folder_of_ours_is_one() {
        assert!(is_staging_folder(b".treeferry-restore-Ab3dE9"));
        for name in
            [&b".treeferry-restore-"[..], b".treeferry-restore-my-own", b".treeferry-restore-Ab3dE9.old"]
        {
            assert!(!is_staging_folder(name), "{name:?}");
        }
    }

    #[test]
    fn classes_in_brackets_are_those_of_git() {
        let rules = rules(&["[[:upper:]]*.log", "/[^[:digit:]_]x", "[[:space:][:xdigit:]]end"]);
        assert_eq!(rules.verdict(&path(b"a/Big.log"), false), Some("[[:upper:]]*.log"));
        assert_eq!(rules.verdict(&path(b"a/small.log"), false), None);
        assert_eq!(rules.verdict(&path(b"ax"), false), Some("/[^[:digit:]_]x"));
        assert_eq!(rules.verdict(&path(b"7x"), false), None);
        assert_eq!(rules.verdict(&path(b"_x"), false), None);
        for (name, is_excluded) in [("\tend", true), ("Fend", true), ("gend", false), (":end", false)] {
            assert_eq!(rules.verdict(&path(name.as_bytes()), false).is_some(), is_excluded, "{name:?}");
        }
        let error = ExcludeRules::compile(&["[[:punct:]]".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("\"[[:punct:]]\"") && error.to_string().contains("xdigit"),
            "{error}"
        );
    }

    #[test]
    fn patterns_mean_what_git_says() {
        let rules = rules(&["*.tmp", "/build/", "docs/*.pdf", "!keep.tmp", "**/cache/**"]);
        assert_eq!(rules.verdict(&path(b"a/b.tmp"), false), Some("*.tmp"));
        assert_eq!(rules.verdict(&path(b"a/keep.tmp"), false), None);
        assert_eq!(rules.verdict(&path(b"build"), true), Some("/build/"));
        assert_eq!(rules.verdict(&path(b"build"), false), None);
        assert_eq!(rules.verdict(&path(b"a/build"), true), None);
        assert_eq!(rules.verdict(&path(b"docs/x.pdf"), false), Some("docs/*.pdf"));
        assert_eq!(rules.verdict(&path(b"docs/deep/x.pdf"), false), None);
        assert_eq!(rules.verdict(&path(b"a/cache/x"), false), Some("**/cache/**"));
        assert_eq!(rules.verdict(&path(b".hidden"), false), None);
        assert_eq!(rules.verdict(&path(b".git"), true), None);
    }

    #[test]
    fn a_name_is_not_taken_back_below_an_excluded_directory() {
        let rules = rules(&["logs/", "!logs/keep.txt"]);
        assert_eq!(rules.verdict_with_parents(&path(b"logs/keep.txt"), false), Some("logs/"));
    }

    #[test]
    fn names_that_are_no_text_can_be_matched() {
        let rules = rules(&["*.tmp"]);
        assert_eq!(rules.verdict(&path(b"a\xff\xfe.tmp"), false), Some("*.tmp"));
        assert_eq!(rules.verdict(&path(b"a\nb.tmp"), false), Some("*.tmp"));
        assert_eq!(rules.verdict(&path(b"a\xff.txt"), false), None);
    }

    #[test]
    fn a_wrong_pattern_is_named() {
        let error = ExcludeRules::compile(&["*.o".into(), "a[".into(), "{b".into()]);
        if let Err(error) = error {
            assert!(error.to_string().contains("a[") || error.to_string().contains("{b"), "{error}");
        }
        let error = ExcludeRules::compile(&["a\nb".into()]).unwrap_err();
        assert!(error.to_string().contains("one line"), "{error}");
    }

    #[test]
    fn the_digest_depends_on_patterns_and_order() {
        assert_ne!(rules(&["a", "b"]).digest(), rules(&["b", "a"]).digest());
        assert_ne!(rules(&["ab"]).digest(), rules(&["a", "b"]).digest());
        assert_eq!(rules(&["a", "b"]).digest(), rules(&["a", "b"]).digest());
    }
}
