//! Which flags go with which command. Pure.

use crate::transfer::user_flags::gives;
use crate::transfer::{Capability, NameEncoding, RcloneVersion};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// What a command does to the line: uploads obey the user's `--transfers`,
/// small requests may run more side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    Bytes,
    /// As `Bytes`, and none of the files is large.
    SmallFiles,
    Requests,
    /// As `Requests`, and done after a few of them, with hardly an answer to hold in memory.
    Question,
    /// Folders made ahead: many small requests, and a failure costs only the economy.
    Folders,
    /// Requests that move versions on the server. Never repeated by rclone: current ones send
    /// `Overwrite: T`, and where the answer to the first MOVE was lost, a server asked again
    /// removes the target, which is the only copy by then, before it finds no source (seen with
    /// `rclone serve webdav`). We look instead.
    Moves,
    /// As `Requests`, and rclone says which version it is. Its other debug lines are for nobody.
    Introduction,
}

impl Traffic {
    /// A try at once helps against a dropped connection, and not against a remote that says
    /// 429 or 503: those are tried again by the caller after a wait, and rclone must not multiply them. Two for
    /// small files: `rclone serve webdav` locks a folder while it answers the MKCOL that comes with each file, and
    /// a few in a batch of 10,000 get 423 for it; the wait would cost more than all of them. Three for
    /// large ones: many backends send them in chunks, and one that fails must not cost the others.
    fn tries(self) -> &'static str {
        match self {
            Traffic::Folders => "1",
            Traffic::SmallFiles => "2",
            _ => "3",
        }
    }

    fn is_upload(self) -> bool {
        matches!(self, Traffic::Bytes | Traffic::SmallFiles)
    }

    /// What the child's environment gets on top. With small files a fifth of rclone's
    /// processor time is garbage collection; fewer rounds cost some 50 MB (20,000 files to a
    /// folder: 4.3 to 3.4 s). Of a start that asks one thing it is a third (49 to 31 ms). Not for
    /// large files and listings: what they need could grow fivefold.
    pub(crate) fn more_environment(self, given: &[(OsString, OsString)]) -> Option<(OsString, OsString)> {
        let is_given = given.iter().any(|(name, _)| name == "GOGC");
        let is_small = matches!(self, Traffic::SmallFiles | Traffic::Question | Traffic::Introduction);
        (is_small && !is_given).then(|| ("GOGC".into(), "400".into()))
    }
}

/// Reads the list from standard input: nothing can be sent before we write it.
pub(crate) const LIST: &[&str] = &["--files-from-raw", "-", "--no-traverse"];
/// rclone never decides what changed.
pub(crate) const ALWAYS: &str = "--no-check-dest";

/// The flags for every command. What people gave comes in the middle: our
/// defaults before it (the last one wins), what we rely on behind it.
pub(crate) fn common_flags(
    version: RcloneVersion,
    encoding: NameEncoding,
    config: Option<&std::path::Path>,
    user: &[String],
    traffic: Traffic,
) -> Vec<OsString> {
    let mut flags: Vec<OsString> = Vec::new();
    let mut push = |words: &[&str]| flags.extend(words.iter().map(OsString::from));
    // Each attempt that fails on WebDAV costs a DELETE and a second; three tell a hiccup from trouble.
    push(&["--low-level-retries", traffic.tries(), "--contimeout", "1m"]);
    // Relays such as AList answer a PUT only when the cloud behind them has it all. Giving up
    // early means DELETE and a second PUT, while the first one still runs.
    push(&["--timeout", if traffic.is_upload() { "30m" } else { "5m" }]);
    if version.has(Capability::WebdavPacer) {
        // Never 0: then it would not slow down after errors either.
        push(&["--webdav-pacer-min-sleep", "1ms"]);
    }
    push(&user.iter().map(String::as_str).collect::<Vec<_>>());
    if !traffic.is_upload() && !gives(user, "tpslimit") && !gives(user, "checkers") {
        push(&["--transfers", "16", "--checkers", "16"]);
    }
    if traffic == Traffic::Moves {
        push(&["--low-level-retries", "1"]);
    }
    let level = if traffic == Traffic::Introduction { "DEBUG" } else { "INFO" };
    push(&["--use-json-log", "--log-level", level, "--stats", "1s", "--retries", "1"]);
    push(&["--ask-password=false", "--no-unicode-normalization"]);
    if version.has(Capability::FolderTimes) {
        push(&["--no-update-dir-modtime"]);
    }
    push(encoding.flags());
    if let Some(config) = config {
        flags.push("--config".into());
        flags.push(config.into());
    }
    flags
}

/// The environment of the child: no `RCLONE_*` but its configuration and what
/// people named, because `RCLONE_DRY_RUN=1` logs as if it had copied.
pub(crate) fn environment(
    inherited: &[(OsString, OsString)],
    let_through: &[String],
) -> Vec<(OsString, OsString)> {
    inherited
        .iter()
        .filter(|(name, _)| {
            let name = name.to_string_lossy();
            !name.starts_with("RCLONE_")
                || name.starts_with("RCLONE_CONFIG")
                || let_through.iter().any(|allowed| *allowed == name)
        })
        .cloned()
        .collect()
}

/// List lines, one a line.
pub(crate) fn list_of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut list = Vec::new();
    for line in lines {
        list.extend_from_slice(line);
        list.push(b'\n');
    }
    list
}

/// A remote path with encoded bytes below it: they need not be UTF-8.
pub(crate) fn below(remote: &str, line: &[u8]) -> OsString {
    let mut bytes = crate::transfer::join(remote, "x").into_bytes();
    bytes.pop();
    bytes.extend_from_slice(line);
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: RcloneVersion = RcloneVersion { major: 1, minor: 75, patch: 2 };
    const OLD: RcloneVersion = RcloneVersion { major: 1, minor: 60, patch: 1 };

    fn flags(version: RcloneVersion, user: &[&str], traffic: Traffic) -> Vec<String> {
        let user: Vec<String> = user.iter().map(|&flag| flag.to_owned()).collect();
        common_flags(version, NameEncoding::Raw, None, &user, traffic)
            .into_iter()
            .map(|flag| flag.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn uploads_keep_the_transfers_that_people_gave() {
        let upload = flags(NEW, &["--transfers=2"], Traffic::Bytes);
        assert!(!upload.contains(&"--transfers".to_owned()) && upload.contains(&"--transfers=2".to_owned()));
        assert!(flags(NEW, &["--transfers=2"], Traffic::Requests).contains(&"--transfers".to_owned()));
        assert!(!flags(NEW, &["--tpslimit", "2"], Traffic::Requests).contains(&"--transfers".to_owned()));
    }

    #[test]
    fn rclone_repeats_little_that_is_tried_again_after_a_wait() {
        let tries = |traffic, user: &[&str]| {
            let flags = flags(NEW, user, traffic);
            let last = flags.iter().rposition(|flag| flag.starts_with("--low-level-retries")).unwrap_or(0);
            flags[last..].iter().take(2).cloned().collect::<Vec<_>>().join("=")
        };
        for traffic in [Traffic::Folders, Traffic::Moves] {
            assert_eq!(tries(traffic, &[]), "--low-level-retries=1");
        }
        assert_eq!(tries(Traffic::SmallFiles, &[]), "--low-level-retries=2");
        assert_eq!(tries(Traffic::Bytes, &[]), "--low-level-retries=3");
        assert!(tries(Traffic::SmallFiles, &["--low-level-retries=7"]).starts_with("--low-level-retries=7"));
    }

    #[test]
    fn an_old_rclone_gets_no_flag_it_does_not_know() {
        for flag in ["--webdav-pacer-min-sleep", "--no-update-dir-modtime"] {
            assert!(!flags(OLD, &[], Traffic::Bytes).contains(&flag.to_owned()));
            assert!(flags(NEW, &[], Traffic::Bytes).contains(&flag.to_owned()));
        }
    }

    #[test]
    fn rclone_variables_that_are_not_named_do_not_reach_it() {
        let given: Vec<(OsString, OsString)> =
            ["PATH", "RCLONE_DRY_RUN", "RCLONE_CONFIG_PASS", "RCLONE_CONFIG_X_TYPE", "RCLONE_BWLIMIT"]
                .map(|name| (name.into(), "1".into()))
                .to_vec();
        let names: Vec<_> =
            environment(&given, &["RCLONE_BWLIMIT".into()]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "RCLONE_CONFIG_PASS", "RCLONE_CONFIG_X_TYPE", "RCLONE_BWLIMIT"]);
    }
}
