//! One holder at a time, and a name to blame.

use super::process::is_gone;
use fs2::FileExt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much of a lock file is read: what we write there is one line.
const HOLDER_BYTES_MAX: u64 = 4096;

/// A child of a killed holder has the lock until it runs its program: milliseconds, and on a busy
/// machine a good part of a second.
const ORPHAN_WAIT_MAX: Duration = Duration::from_secs(5);
const ORPHAN_WAIT: Duration = Duration::from_millis(10);

/// An advisory lock on a file (flock). It belongs to the open file and so dies
/// with the process: a stale lock is impossible. The content of the file is
/// for people, and means nothing unless the lock is held.
#[derive(Debug)]
pub struct LockFile;

/// The lock is ours until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct Locked {
    file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it; in the words that the holder left there.
    #[error("the lock is held by {0}")]
    HeldBy(String),
    /// It could not be tried.
    #[error("locking {path}: {source}{advice}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
        /// What to do, where we know; begins with a separator.
        advice: &'static str,
    },
}

impl LockFile {
    /// Takes the lock at `path`, or says who has it. Never follows a symlink. `holder_text` (one
    /// line, [`super::describe_this_process`]) is what others will be told. Waits only for what a
    /// holder that was killed has left behind, and not for long.
    ///
    /// # Errors
    /// [`LockError::HeldBy`] when another open file holds it, in this process
    /// or another.
    pub fn try_acquire(path: &Path, holder_text: &str) -> Result<Locked, LockError> {
        let failed = |source: io::Error| {
            let advice = advice(&source);
            LockError::Io { path: path.to_path_buf(), source, advice }
        };
        let begun = Instant::now();
        // The holder never removes the file; somebody who tidies up might, between our open and
        // our lock. Then we hold a lock that nobody else will ever see: open again.
        loop {
            let mut file = open(path).map_err(failed)?;
            match FileExt::try_lock_exclusive(&file) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                    let holder = holder(&mut file);
                    // A child that it had forked, still on its way to the program it is to become.
                    if is_gone(&holder) && begun.elapsed() < ORPHAN_WAIT_MAX {
                        std::thread::sleep(ORPHAN_WAIT);
                        continue;
                    }
                    return Err(LockError::HeldBy(holder));
                }
                Err(error) => return Err(failed(error)),
            }
            if is_still_at(&file, path).map_err(failed)? {
                // A full disk must not stop a run that may have nothing to write: the lock
                // counts, the text is for people.
                let _ = write_holder(&mut file, holder_text);
                return Ok(Locked { file });
            }
        }
    }
}

impl LockFile {
    /// Who holds the lock at `path`, without trying it: the kernel's list of
    /// locks tells. A lock that is tried, even for a moment, would turn away a
    /// run that begins just then.
    pub fn holder_at(path: &Path) -> Option<String> {
        let metadata = path.symlink_metadata().ok().filter(|metadata| metadata.is_file())?;
        let inode = format!(":{}", metadata.ino());
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        let is_held = locks.lines().any(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            words.next() == Some("FLOCK") && words.any(|word| word.ends_with(&inode))
        });
        if is_held { File::open(path).ok().map(|mut file| holder(&mut file)) } else { None }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Closing is not enough: a child that another thread has forked, and that is still on its way
        // to the program it is to become, has the same open file, and the lock with it.
        let _ = FileExt::unlock(&self.file);
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((held.dev(), held.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_holder(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(HOLDER_BYTES_MAX).read_to_end(&mut bytes);
    let text: String = String::from_utf8_lossy(&bytes)
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // Between its lock and its line, a holder is a moment without a name.
    if text.is_empty() { "a process that has just started".into() } else { text }
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ELOOP) => "; it is a symbolic link, which is never followed: remove it",
        Some(libc::EACCES | libc::EPERM) => "; check the owner and mode of the file and of its directory",
        Some(libc::EROFS) => "; the file system is read-only: give another state_dir",
        Some(libc::ENOLCK | libc::EOPNOTSUPP) => {
            "; this file system has no locks: give a state_dir on a local disk"
        }
        _ => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_given_back_though_a_child_still_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let locked = LockFile::try_acquire(&path, "one").unwrap();
        let of_the_child = locked.file.try_clone().unwrap();
        drop(locked);
        let again = LockFile::try_acquire(&path, "two").unwrap();
        drop(of_the_child);
        assert!(matches!(LockFile::try_acquire(&path, "three"), Err(LockError::HeldBy(_))));
        drop(again);
    }

    #[test]
    fn what_a_killed_holder_left_behind_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut killed = std::process::Command::new("true").spawn().unwrap();
        killed.wait().unwrap();
        let file = open(&path).unwrap();
        FileExt::lock_exclusive(&file).unwrap();
        std::fs::write(&path, format!("pid {} (start time 1), treeferry backup", killed.id())).unwrap();
        let mut orphan = std::process::Command::new("sleep").arg("0.3").stdin(file).spawn().unwrap();
        assert!(LockFile::holder_at(&path).is_some());
        let _ours = LockFile::try_acquire(&path, "ours").unwrap();
        orphan.wait().unwrap();
    }

    #[test]
    fn a_second_holder_is_told_who_the_first_is_and_gets_it_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = LockFile::try_acquire(&path, "pid 7, the first").unwrap();
        match LockFile::try_acquire(&path, "second") {
            Err(LockError::HeldBy(text)) => assert_eq!(text, "pid 7, the first"),
            other => panic!("{other:?}"),
        }
        drop(first);
        let _second = LockFile::try_acquire(&path, "second").unwrap();
    }

    #[test]
    fn a_lock_file_that_was_removed_is_locked_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        std::fs::write(&path, "left by a killed process").unwrap();
        let _first = LockFile::try_acquire(&path, "a").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
        std::fs::remove_file(&path).unwrap();
        let _other = LockFile::try_acquire(&path, "b").unwrap();
        assert!(matches!(LockFile::try_acquire(&path, "c"), Err(LockError::HeldBy(text)) if text == "b"));
    }

    #[test]
    fn a_lock_dies_with_the_process_that_held_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut other = std::process::Command::new("flock")
            .args(["--no-fork", "--exclusive"])
            .args([path.as_os_str(), "sleep".as_ref(), "600".as_ref()])
            .spawn()
            .unwrap();
        while let Ok(ours) = LockFile::try_acquire(&path, "") {
            drop(ours);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        other.kill().unwrap();
        other.wait().unwrap();
        let _ours = LockFile::try_acquire(&path, "ours").unwrap();
    }

    #[test]
    fn neither_symlinks_nor_pipes_are_locked() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, b"precious").unwrap();
        let path = directory.path().join("lock");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let message = LockFile::try_acquire(&path, "x").unwrap_err().to_string();
        assert!(message.contains("symbolic link"), "{message}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");

        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(LockFile::try_acquire(&pipe, "x"), Err(LockError::Io { .. })));
    }
}
