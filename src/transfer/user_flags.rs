//! Which rclone flags people may give, and why others are refused: the one table.

/// A flag that would break what treeferry relies on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rclone flag `{flag}`: {reason}; take it out of [rclone] flags")]
pub struct FlagError {
    /// As written.
    pub flag: String,
    /// Why it is refused.
    pub reason: &'static str,
}

const SELECTS: &str =
    "it selects files, which is done by `exclude` of the job (a file left out silently is unprotected)";
const COMPARES: &str =
    "it changes what rclone takes for equal; what is sent is decided from the local index alone";
const DELETES: &str =
    "it deletes or moves files on the remote; use `on_delete` and `keep_versions` of the job";
const LOGS: &str = "it changes what rclone logs, and success is read from its log; use -v or `log_dir`";
const CUTS_OFF: &str = "it cuts transfers off and can leave half a file on the remote; use --max-transfer or --max-duration of treeferry";
const DRY_RUN: &str = "it makes rclone log as if it had copied; use `treeferry plan`";
const OURS: &str = "treeferry sets it itself, and relies on it";
const ASKS: &str = "it makes rclone wait for a person, and nobody is there";
const NO_FLAG: &str =
    "it is neither a flag nor the value of one, and rclone would take it for a place to copy from";
const RENAMES: &str = "it changes names on the way, so that receipts no longer fit";
const PAST: &str = "it shows what the remote held in the past, or its bin, and not what is there; nothing can be sent to that";
const NAMES_ON_REMOTE: &str = "it changes by which bytes names lie on the remote, which never varies for a mirror; treeferry sets it itself";

/// These end as encodings of names do, and are headers of HTTP.
const HEADERS: &[&str] = &["no-gzip-encoding", "s3-sign-accept-encoding"];

/// Long flags without the dashes, and why they are refused. A trailing `*`
/// stands for all flags that begin so, one in front for all that end so.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "include*",
            "exclude*",
            "filter*",
            "files-from*",
            "max-age",
            "min-age",
            "max-size",
            "min-size",
            "max-depth",
            "metadata-include*",
            "metadata-exclude*",
            "metadata-filter*",
            "hash-filter",
            "one-file-system",
            "ignore-case",
            "skip-links",
            "links",
            "copy-links",
            "local-links",
            "local-copy-links",
            "local-skip-links",
            "local-one-file-system",
            "no-traverse",
            "dirs-only",
            "files-only",
            "recursive",
        ],
        SELECTS,
    ),
    (
        &[
            "update",
            "checksum",
            "size-only",
            "ignore-size",
            "ignore-times",
            "ignore-existing",
            "existing",
            "ignore-checksum",
            "modify-window",
            "no-check-dest",
            "no-unicode-normalization",
            "immutable",
            "compare-dest",
            "copy-dest",
            "use-server-modtime",
            "refresh-times",
            "ignore-case-sync",
            "fix-case",
            "track-renames*",
            "local-no-check-updated",
            "download",
            "one-way",
        ],
        COMPARES,
    ),
    (
        &[
            "backup-dir",
            "delete-*",
            "suffix*",
            "max-delete*",
            "rmdirs",
            "force",
            "delete",
            "leave-root",
            "create-empty-src-dirs",
            "resync*",
        ],
        DELETES,
    ),
    (
        &[
            "log-*",
            "use-json-log",
            "verbose",
            "quiet",
            "stats*",
            "progress*",
            "syslog*",
            "dump*",
            "combined",
            "differ",
            "error",
            "match",
            "missing-on-*",
            "dest-after",
            "use-mmap-log",
            "no-console",
            "rc*",
            "windows-event-log*",
        ],
        LOGS,
    ),
    (&["max-transfer", "max-duration", "cutoff-mode", "error-on-no-transfer"], CUTS_OFF),
    (&["dry-run"], DRY_RUN),
    (&["interactive", "ask-password"], ASKS),
    (&["config", "retries*", "disable"], OURS),
    (&["*-encoding"], NAMES_ON_REMOTE),
    (
        &[
            "s3-versions",
            "s3-version-at",
            "s3-version-deleted",
            "b2-versions",
            "b2-version-at",
            "imagekit-versions",
            "drive-trashed-only",
            "jottacloud-trashed-only",
            "pikpak-trashed-only",
        ],
        PAST,
    ),
    (&["name-transform*", "partial-suffix"], RENAMES),
    (&["inplace"], "it leaves half a file under the final name when it is interrupted"),
    (
        &["help", "version", "daemon*", "cpuprofile", "memprofile"],
        "it makes rclone do something else than transfer",
    ),
];

/// One-letter flags.
const REFUSED_LETTERS: &[(char, &str)] = &[
    ('n', DRY_RUN),
    ('i', ASKS),
    ('u', COMPARES),
    ('c', COMPARES),
    ('I', COMPARES),
    ('v', LOGS),
    ('q', LOGS),
    ('P', LOGS),
    ('L', SELECTS),
    ('l', SELECTS),
    ('x', SELECTS),
    ('f', SELECTS),
    ('R', SELECTS),
    ('h', "it makes rclone do something else than transfer"),
    ('V', "it makes rclone do something else than transfer"),
];

/// Refuses flags that select, compare, delete, log, cut off or only pretend, and what is
/// no flag at all.
///
/// Both `--flag=value` and `--flag value` are understood, the latter also as
/// two strings.
///
/// # Errors
/// The first flag that is refused, with the reason.
pub fn check_user_flags(flags: &[String]) -> Result<(), FlagError> {
    let mut takes_next = false;
    for word in words(flags) {
        if word == "-" || (!word.starts_with('-') && !takes_next) {
            return Err(FlagError { flag: word, reason: NO_FLAG });
        }
        takes_next = word.starts_with("--") && !word.contains('=');
        if word == "--" {
            return Err(FlagError { flag: word, reason: "it ends the flags, and treeferry's own follow" });
        }
        let reason = match word.strip_prefix("--") {
            Some(long) => refusal(&name_of(long)),
            None => word.strip_prefix('-').and_then(refusal_of_letters),
        };
        if let Some(reason) = reason {
            return Err(FlagError { flag: word, reason });
        }
    }
    Ok(())
}

/// The flags as rclone gets them: one word each.
pub(crate) fn words(flags: &[String]) -> Vec<String> {
    let mut words = Vec::with_capacity(flags.len());
    for flag in flags {
        let flag = flag.trim();
        match flag.split_once(char::is_whitespace) {
            // `--header=Name: value` keeps its blanks, `--transfers 4` is two words.
            Some((name, value)) if name.starts_with('-') && !name.contains('=') => {
                words.extend([name.to_owned(), value.trim().to_owned()]);
            }
            _ if flag.is_empty() => {}
            _ => words.push(flag.to_owned()),
        }
    }
    words
}

/// Requests a second that `--tpslimit` allows; `None`: as many as the remote takes.
/// The last one wins, as with rclone.
pub fn requests_per_second(flags: &[String]) -> Option<f64> {
    let words = words(flags);
    let mut limit = None;
    for (at, word) in words.iter().enumerate() {
        let Some(long) = word.strip_prefix("--").filter(|long| name_of(long) == "tpslimit") else { continue };
        let value = long.split_once('=').map(|(_, value)| value).or(words.get(at + 1).map(String::as_str));
        limit = value.and_then(|value| value.trim().parse::<f64>().ok());
    }
    limit.filter(|limit| limit.is_finite() && *limit > 0.0)
}

/// True when the user gave this long flag.
pub(crate) fn gives(words: &[String], name: &str) -> bool {
    words.iter().filter_map(|word| word.strip_prefix("--")).any(|long| name_of(long) == name)
}

/// rclone takes `--dry_run` for `--dry-run`.
fn name_of(long: &str) -> String {
    long.split('=').next().unwrap_or_default().replace('_', "-")
}

fn refusal(name: &str) -> Option<&'static str> {
    // `--no-dry-run` does not exist in rclone, but `--use-json-log=false` does: values do not matter.
    let fits = |pattern: &str| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(beginning), _) => name.starts_with(beginning),
        (None, Some(end)) => name.ends_with(end) && !HEADERS.contains(&name),
        (None, None) => name == pattern,
    };
    REFUSED.iter().find(|(names, _)| names.iter().any(|pattern| fits(pattern))).map(|&(_, reason)| reason)
}

fn refusal_of_letters(letters: &str) -> Option<&'static str> {
    // `-1` is a value, as in `--bwlimit -1`.
    letters
        .chars()
        .take_while(|letter| letter.is_ascii_alphabetic())
        .find_map(|letter| REFUSED_LETTERS.iter().find(|(refused, _)| *refused == letter))
        .map(|&(_, reason)| reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(flags: &[&str]) -> Result<(), FlagError> {
        check_user_flags(&flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_of_speed_and_of_backends_are_let_through() {
        check(&[
            "--transfers=4",
            "--bwlimit 10M",
            "--tpslimit",
            "2",
            "--timeout=1h",
            "--drive-chunk-size=64M",
        ])
        .unwrap();
        check(&[
            "--header=X-A: -n",
            "--checkers",
            "8",
            "--fast-list",
            "--s3-no-head",
            "--s3-list-version=2",
            "--onedrive-no-versions",
            "--no-gzip-encoding",
            "--bwlimit",
            "-1",
            "-M",
        ])
        .unwrap();
    }

    #[test]
    fn the_rate_is_read_however_it_is_written() {
        let rate = |flags: &[&str]| {
            requests_per_second(&flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(rate(&["--transfers=4", "--tpslimit=0.5"]), Some(0.5));
        assert_eq!(rate(&["--tpslimit 2"]), Some(2.0));
        assert_eq!(rate(&["--tpslimit", "3", "--tpslimit=4"]), Some(4.0));
        assert_eq!(rate(&["--tpslimit=0"]), None);
        assert_eq!(rate(&["--tpslimit-burst=5"]), None);
    }

    #[test]
    fn flags_that_break_a_promise_are_refused_however_they_are_written() {
        for flag in [
            "--dry-run",
            "--dry_run",
            "-n",
            "-vn",
            "--max-age=1d",
            "--max-age 1d",
            "--update",
            "-u",
            "--log-file=/tmp/x",
            "--log-level",
            "--delete-after",
            "--backup-dir=x",
            "--exclude-from",
            "-vv",
            "--cutoff-mode=HARD",
            "--max-transfer=1G",
            "--size-only",
            "--interactive",
            "--",
            "--retries=5",
            "--suffix=.bak",
            "--stats 10s",
            "--use-json-log=false",
            "--files-from=x",
            "--local-encoding=None",
            "--webdav-encoding=None",
            "--s3-encoding None",
            "--onedrive_encoding=Slash",
            "--s3-versions",
            "--s3-version-at=2026-01-01",
            "--b2-versions",
            "--ignore-errors-x=1",
        ] {
            let refused = check(&["--transfers=4", flag]);
            assert_eq!(refused.is_err(), flag != "--ignore-errors-x=1", "{flag}");
        }
    }

    #[test]
    fn a_word_that_belongs_to_no_flag_is_refused() {
        for flags in [
            &["10M"][..],
            &["--bwlimit=08:00,512k", "12:00,10M"],
            &["--user-agent", "Mozilla/5.0", "(X11;"],
            &["-M", "x"],
        ] {
            let error = check(flags).unwrap_err();
            assert_eq!((error.flag.as_str(), error.reason), (*flags.last().unwrap(), NO_FLAG));
        }
        check(&["--bwlimit", "08:00,512k 12:00,10M", "--user-agent=a b", "--tpslimit 2"]).unwrap();
    }

    #[test]
    fn the_message_says_which_flag_and_why() {
        let error = check(&["--max-age 1d"]).unwrap_err().to_string();
        assert!(error.contains("--max-age") && error.contains("`exclude`"), "{error}");
    }
}
