//! Looks at what lies on the remote.

use super::servers::Rclone;
use super::trees::files_below;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// In seconds, for `timeout`: many times what the slowest look took.
const LOOK_SECONDS_MAX: &str = "90";

/// Asserts that a mirror that is a local folder holds exactly the regular files
/// of the source, byte for byte, and nothing else.
#[track_caller]
pub fn assert_same(source: &Path, mirror: &Path) {
    let differences = differences(source, mirror);
    assert!(
        differences.is_empty(),
        "source and mirror differ in {} places:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// What differs, a line each, at most forty.
pub fn differences(source: &Path, mirror: &Path) -> Vec<String> {
    let wanted = files_below(source);
    let held = if mirror.exists() { files_below(mirror) } else { Vec::new() };
    let mut lines = Vec::new();
    for path in &wanted {
        if held.binary_search(path).is_err() {
            lines.push(format!("missing on the mirror: {path:?}"));
        } else if std::fs::read(source.join(path)).unwrap() != std::fs::read(mirror.join(path)).unwrap() {
            lines.push(format!("other content on the mirror: {path:?}"));
        }
    }
    for path in held.iter().filter(|path| wanted.binary_search(path).is_err()) {
        lines.push(format!("only on the mirror: {path:?}"));
    }
    lines.truncate(40);
    lines
}

/// A remote as rclone sees it.
pub struct Remote<'a> {
    /// With which rclone to look.
    pub rclone: Rclone,
    /// With which configuration.
    pub configuration: &'a Path,
    /// `name:folder`.
    pub address: &'a str,
}

impl Remote<'_> {
    /// The flags that decide how names travel; the same for looking as for sending.
    fn encoding_flags(&self) -> Vec<&'static str> {
        let mut flags = vec!["--no-unicode-normalization"];
        if self.rclone == Rclone::Current {
            flags.push("--local-encoding=Raw");
        }
        flags.push("--webdav-encoding=Slash,Ctl,Del,InvalidUtf8,Dot");
        flags.push("--s3-encoding=Slash,Ctl,Del,InvalidUtf8,Dot");
        flags
    }

    /// Asserts, by reading every byte back, that source and remote are equal.
    #[track_caller]
    pub fn assert_same(&self, source: &Path) {
        let differences = self.differences(source);
        assert!(
            differences.is_empty(),
            "{} and the source differ in {} places:\n{}",
            self.address,
            differences.len(),
            differences.join("\n")
        );
        assert_eq!(
            self.file_count(),
            files_below(source).len(),
            "{} lists another number of files",
            self.address
        );
    }

    /// One call of rclone, with a limit of time: `rclone check` 1.60.1 was seen to hang
    /// for ever against `rclone serve s3` on a busy machine. That is the test's tool and not
    /// what is tested, so it is asked once more, and loudly.
    #[allow(clippy::print_stderr, reason = "who reads the log must see it")]
    fn ask(&self, complete: impl Fn(&mut Command)) -> Output {
        for attempt in 1..=3 {
            let mut command = Command::new("timeout");
            command.args(["--kill-after=5", LOOK_SECONDS_MAX]).arg(self.rclone.program());
            command.arg("--config").arg(self.configuration);
            command.env_remove("AWS_CA_BUNDLE").stdin(Stdio::null());
            complete(&mut command);
            let output = command.output().unwrap();
            // 124: it had to be ended; 137: even that was not enough.
            if !matches!(output.status.code(), Some(124 | 137) | None) {
                return output;
            }
            eprintln!(
                "THE TEST'S OWN rclone HUNG for {LOOK_SECONDS_MAX} s, attempt {attempt} of 3: {command:?}\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        panic!("the test's own rclone hung three times while looking at {}", self.address);
    }

    /// What `rclone check --download` finds different.
    pub fn differences(&self, source: &Path) -> Vec<String> {
        let output = self.ask(|command| {
            command
                .args(["check", "--download", "--combined=-", "--skip-links"])
                .args(self.encoding_flags())
                .args([source.as_os_str(), self.address.as_ref()]);
        });
        let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.starts_with("= "))
            .map(str::to_owned)
            .collect();
        if !output.status.success() && lines.is_empty() {
            lines.push(format!("rclone check failed: {}", String::from_utf8_lossy(&output.stderr)));
        }
        lines
    }

    /// How many files the remote lists.
    pub fn file_count(&self) -> usize {
        let output = self.ask(|command| {
            command.args(["lsf", "-R", "--files-only"]).args(self.encoding_flags()).arg(self.address);
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout.iter().filter(|&&byte| byte == b'\n').count()
    }
}

/// The trash of a companion that is a local folder: path and content of every
/// version, by run id.
pub fn trash(companion: &Path) -> BTreeMap<String, BTreeMap<PathBuf, Vec<u8>>> {
    let Ok(runs) = std::fs::read_dir(companion.join("trash")) else { return BTreeMap::new() };
    runs.map(|run| {
        let run = run.unwrap();
        let files = files_below(&run.path())
            .into_iter()
            .map(|path| {
                let bytes = std::fs::read(run.path().join(&path)).unwrap();
                (path, bytes)
            })
            .collect();
        (run.file_name().into_string().unwrap(), files)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::scratch;
    use crate::support::trees::Plan;

    #[test]
    fn every_kind_of_difference_is_seen() {
        let scratch = scratch();
        let (source, mirror) = (scratch.path().join("source"), scratch.path().join("mirror"));
        Plan::plain(20, 1).plant(&source);
        Plan::plain(20, 1).plant(&mirror);
        assert_same(&source, &mirror);
        let files = files_below(&mirror);
        std::fs::write(mirror.join(&files[0]), "torn").unwrap();
        std::fs::remove_file(mirror.join(&files[1])).unwrap();
        std::fs::write(mirror.join("junk"), "").unwrap();
        assert_eq!(differences(&source, &mirror).len(), 3);
    }

    #[test]
    fn rclone_check_sees_a_byte_that_changed() {
        let scratch = scratch();
        let (source, mirror) = (scratch.path().join("source"), scratch.path().join("mirror"));
        Plan::odd(20, 1).plant(&source);
        Plan::odd(20, 1).plant(&mirror);
        let configuration = crate::support::servers::RcloneConfiguration::new(scratch.path());
        let address = format!("local:{}", mirror.display());
        let remote =
            Remote { rclone: Rclone::Current, configuration: &configuration.path, address: &address };
        remote.assert_same(&source);
        let changed = mirror.join("odd files/pipe|");
        let mut bytes = std::fs::read(&changed).unwrap();
        bytes.push(0);
        std::fs::write(&changed, bytes).unwrap();
        assert_eq!(remote.differences(&source).len(), 1);
    }
}
