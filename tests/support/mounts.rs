//! Commands that see mounts of their own.

use super::program::Finished;
use std::process::Command;

/// A command as a shell reads it.
pub fn in_shell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}' ", word.to_str().unwrap())).collect()
}

/// Runs `script` where its mounts are its own. `None`: nothing can be mounted here, and
/// the test is to end.
#[allow(clippy::print_stderr, reason = "says what is not tested")]
pub fn with_mounts(script: &str) -> Option<Finished> {
    let unshared = |script: &str| Command::new("unshare").args(["--mount", "sh", "-ec", script]).output();
    if !unshared("mount -t tmpfs none /mnt").is_ok_and(|output| output.status.success()) {
        eprintln!("NOT TESTED: nothing can be mounted here; run the tests as root");
        return None;
    }
    Some(unshared(script).unwrap().into())
}
