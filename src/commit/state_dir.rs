//! What lies where in `<state_dir>/<job>/`, and how it changes.

use crate::disk::{Disk, LockError, LockFile, Locked, create_directory, replace_atomically};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A docket is a few hundred bytes; more than this is none.
const DOCKET_BYTES_MAX: u64 = 1 << 20;
/// Side files are small by design: they hold what is rare.
const SIDE_FILE_BYTES_MAX: u64 = 1 << 30;

/// The state directory of one job.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Small files beside the base. Each is replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideFile {
    /// Report of the last run, for `status`.
    LastRun,
    /// What is remembered of the source beside the index.
    Source,
    /// Paths whose state on the remote is not known.
    Doubts,
    /// Paths at which a version may lie that a damaged index has forgotten.
    Unknown,
    /// Where other file systems were mounted below the source.
    Mounts,
    /// Files that were found rotten, and are neither trusted nor overwritten.
    Quarantine,
    /// When what was last verified.
    Ledger,
    /// What could not be told, for `status`.
    Notification,
    /// When the mirror was last checked, and what was wrong with it.
    Check,
    /// How far a check of the mirror has come that was interrupted.
    CheckProgress,
    /// What rclone and the remote can do.
    Rclone,
}

impl SideFile {
    fn name(self) -> &'static str {
        match self {
            SideFile::LastRun => "last-run.json",
            SideFile::Source => "source.json",
            SideFile::Doubts => "doubts",
            SideFile::Unknown => "unknown",
            SideFile::Mounts => "mounts",
            SideFile::Quarantine => "quarantine",
            SideFile::Ledger => "ledger",
            SideFile::Notification => "notification.json",
            SideFile::Check => "check.json",
            SideFile::CheckProgress => "check-progress.json",
            SideFile::Rclone => "rclone",
        }
    }

    /// What to do when its seal is broken; `None` for those that have no seal,
    /// because nothing that is sent depends on them.
    fn advice(self) -> Option<&'static str> {
        match self {
            SideFile::Doubts => Some(
                "it names paths at which the mirror may hold half a file: remove it, run `treeferry backup`, then \
                 `treeferry verify --remote`",
            ),
            SideFile::Unknown => Some(
                "it names paths at which the mirror may hold versions that a damaged index has forgotten: remove it, \
                 and the next backup replaces those without a move to the trash",
            ),
            SideFile::Mounts => Some(
                "it names where disks are mounted below the source: look whether all of them are, then remove it",
            ),
            SideFile::Quarantine => Some("remove it, then run `treeferry verify --source` again"),
            SideFile::Ledger => Some("remove it: what was verified when is then forgotten"),
            SideFile::LastRun
            | SideFile::Source
            | SideFile::Notification
            | SideFile::Check
            | SideFile::CheckProgress
            | SideFile::Rclone => None,
        }
    }
}

/// A seal: BLAKE3 of everything before, at the end of a side file.
const SEAL_BYTES: usize = 32;

/// The state directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system said no.
    #[error("{doing} {path}: {source}{advice}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
        /// What to do, where we know; begins with a separator.
        advice: &'static str,
    },
    /// A job's name that would lead somewhere else.
    #[error("{0:?} can't be the name of a job: use letters, digits, `-`, `_` and `.`, not `.` first")]
    NotAJobName(String),
    /// A side file is not what was written.
    #[error("{path} is damaged: {advice}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// A file of ours is larger than it can be.
    #[error("{path} has {bytes} bytes and can't be ours: move it away to go on")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
}

impl StateError {
    pub(super) fn new(doing: &'static str, path: &Path, source: io::Error) -> StateError {
        let advice = match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                "; run as the user that owns the state directory, or give another `state_dir`"
            }
            Some(libc::EROFS) => "; the file system is read-only: give another `state_dir`",
            Some(libc::ENOSPC | libc::EDQUOT) => "; make room there, or give another `state_dir`",
            Some(libc::ENOTDIR | libc::EEXIST) => "; something that is no directory is in the way",
            _ => "",
        };
        StateError::Io { doing, path: path.to_path_buf(), source, advice }
    }
}

/// What a journal names as the base it belongs to: the BLAKE3 of the docket's
/// bytes, all zero for "no docket yet".
pub fn docket_digest(docket: Option<&[u8]>) -> [u8; 32] {
    docket.map_or([0; 32], |bytes| *blake3::hash(bytes).as_bytes())
}

impl StateDir {
    /// Opens the state directory of a job; creates it, for its owner only, when it is missing.
    ///
    /// # Errors
    /// When it cannot be created, or the name is none.
    pub fn open(state_dir: &Path, job_name: &str) -> Result<StateDir, StateError> {
        let path = path_of(state_dir, job_name)?;
        create_directory(&path)
            .map_err(|source| StateError::new("creating the state directory", &path, source))?;
        Ok(StateDir { path })
    }

    /// Opens it without creating anything, for those who only look. `None`:
    /// the job never ran here.
    ///
    /// # Errors
    /// When something else is in its place, or it cannot be looked at.
    pub fn open_existing(state_dir: &Path, job_name: &str) -> Result<Option<StateDir>, StateError> {
        let path = path_of(state_dir, job_name)?;
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Some(StateDir { path })),
            Ok(_) => Err(StateError::new(
                "opening the state directory",
                &path,
                io::ErrorKind::NotADirectory.into(),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::new("opening the state directory", &path, source)),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's place.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The docket's place.
    pub fn docket_path(&self) -> PathBuf {
        self.path.join("docket")
    }

    /// The place of the node file with this id (hexadecimal digits).
    pub fn node_file_path(&self, id: &str) -> PathBuf {
        self.path.join(format!("nodes.{id}"))
    }

    pub(super) fn rclone_process_path(&self) -> PathBuf {
        self.path.join("rclone.pid")
    }

    /// Takes the lock of this job, or says who has it. `holder` (one line,
    /// [`crate::disk::describe_this_process`]) is what others are told. Never
    /// follows a symlink; waits for no living holder.
    ///
    /// # Errors
    /// When it is held (exit code 11), or can't be tried.
    pub fn lock(&self, holder: &str) -> Result<Locked, LockError> {
        LockFile::try_acquire(&self.path.join("lock"), holder)
    }

    /// Who holds the lock of this job now; `None` when nobody does. Does not
    /// touch the lock: a run that begins at this moment is not disturbed.
    pub fn lock_holder(&self) -> Option<String> {
        LockFile::holder_at(&self.path.join("lock"))
    }

    /// The docket's bytes; `None` when no snapshot was ever made.
    ///
    /// # Errors
    /// When there is one that can't be read: never taken for "none", which would
    /// upload everything.
    pub fn read_docket(&self) -> Result<Option<Vec<u8>>, StateError> {
        read_limited(&self.docket_path(), DOCKET_BYTES_MAX)
    }

    /// Makes a snapshot true: replaces the docket by these bytes. After a crash it is the
    /// old one or the new one; on return it is the new one, for good.
    ///
    /// The caller *must* have synced the node file that the docket names, and
    /// that file's name (see `docs/write-order.md`).
    ///
    /// # Errors
    /// When it cannot be written. If only the last sync failed it may be either: go
    /// on from what [`Self::read_docket`] says in the next run, and not before.
    pub fn promote(&self, disk: &dyn Disk, docket: &[u8]) -> Result<(), StateError> {
        let path = self.docket_path();
        replace_atomically(disk, &path, docket).map_err(|source| StateError::new("replacing", &path, source))
    }

    /// Removes the node files that no docket names any more (left by a compaction
    /// or a crash), except those with the ids in `keep`, and those that are longer than `bytes_max`.
    /// Returns how many. Who has one open or mapped keeps it.
    ///
    /// # Errors
    /// When the directory can't be listed, or one can't be removed.
    pub fn remove_stale_node_files(
        &self,
        disk: &dyn Disk,
        keep: &[&str],
        bytes_max: u64,
    ) -> Result<usize, StateError> {
        let listing = |source| StateError::new("listing", &self.path, source);
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.path).map_err(listing)? {
            let entry = entry.map_err(listing)?;
            let stale =
                entry.file_name().to_str().and_then(node_file_id).is_some_and(|id| !keep.contains(&id));
            if stale && entry.metadata().map_err(listing)?.len() <= bytes_max {
                let path = entry.path();
                disk.remove(&path).map_err(|source| StateError::new("removing", &path, source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Replaces a side file. After a crash it is the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_side_file(&self, disk: &dyn Disk, file: SideFile, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(file.name());
        let mut sealed = bytes.to_vec();
        if file.advice().is_some() {
            sealed.extend_from_slice(blake3::hash(bytes).as_bytes());
        }
        replace_atomically(disk, &path, &sealed).map_err(|source| StateError::new("replacing", &path, source))
    }

    /// Removes a side file, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_side_file(&self, disk: &dyn Disk, file: SideFile) -> Result<(), StateError> {
        let path = self.path.join(file.name());
        match disk.remove(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::new("removing", &path, source))
            }
            _ => Ok(()),
        }
    }

    /// The bytes of a side file; `None` when it was never written.
    ///
    /// # Errors
    /// When there is one that can't be read, or whose seal is broken: a cut file
    /// must not be taken for a short one.
    pub fn read_side_file(&self, file: SideFile) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(file.name());
        let Some(mut bytes) = read_limited(&path, SIDE_FILE_BYTES_MAX)? else { return Ok(None) };
        if let Some(advice) = file.advice() {
            let start = bytes.len().checked_sub(SEAL_BYTES);
            let start = start.filter(|&start| blake3::hash(&bytes[..start]).as_bytes() == &bytes[start..]);
            bytes.truncate(start.ok_or(StateError::Damaged { path, advice })?);
        }
        Ok(Some(bytes))
    }
}

fn path_of(state_dir: &Path, job_name: &str) -> Result<PathBuf, StateError> {
    let allowed = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let is_name = !job_name.is_empty() && !job_name.starts_with('.') && job_name.chars().all(allowed);
    if is_name { Ok(state_dir.join(job_name)) } else { Err(StateError::NotAJobName(job_name.to_owned())) }
}

/// Only names that we would write ourselves, 16 bytes as lower-case hexadecimal
/// digits: `nodes.backup` is somebody else's.
fn node_file_id(name: &str) -> Option<&str> {
    let id = name.strip_prefix("nodes.")?;
    (id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(id)
}

fn read_limited(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StateError> {
    let failed = |source| StateError::new("reading", path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > bytes_max {
        return Err(StateError::TooLarge { path: path.to_path_buf(), bytes });
    }
    let mut content = Vec::new();
    file.take(bytes_max).read_to_end(&mut content).map_err(failed)?;
    Ok(Some(content))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::observe::Silent;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_job_name_never_leads_out_of_the_state_directory() {
        let root = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "../x", "/etc", "a/b", "a\0", ".hidden", "a b", "／"] {
            assert!(matches!(StateDir::open(root.path(), name), Err(StateError::NotAJobName(_))), "{name:?}");
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        StateDir::open(root.path(), "photos-2_old.1").unwrap();
        StateDir::open(root.path(), "照片").unwrap();
    }

    #[test]
    fn the_directory_is_for_its_owner_only_and_looking_creates_nothing() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("state");
        assert!(StateDir::open_existing(&below, "job").unwrap().is_none());
        assert!(!below.exists());
        let state = StateDir::open(&below, "job").unwrap();
        for directory in [state.path(), &below] {
            assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert!(StateDir::open_existing(&below, "job").unwrap().is_some());
    }

    #[test]
    fn a_state_directory_that_cannot_be_made_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("job"), b"").unwrap();
        let message = StateDir::open(root.path(), "job").unwrap_err().to_string();
        assert!(message.contains("no directory is in the way"), "{message}");
        let denied = StateError::new(
            "creating the state directory",
            Path::new("/x"),
            io::Error::from_raw_os_error(libc::EACCES),
        );
        assert!(denied.to_string().contains("give another `state_dir`"));
    }

    #[test]
    fn a_docket_that_cannot_be_read_is_not_taken_for_none() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "job").unwrap();
        assert_eq!(state.read_docket().unwrap(), None);
        std::fs::create_dir(state.docket_path()).unwrap();
        assert!(matches!(state.read_docket(), Err(StateError::Io { .. })));
        std::fs::remove_dir(state.docket_path()).unwrap();
        File::create(state.docket_path()).unwrap().set_len(DOCKET_BYTES_MAX + 1).unwrap();
        assert!(matches!(state.read_docket(), Err(StateError::TooLarge { .. })));
    }

    #[test]
    fn only_node_files_that_nobody_names_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "job").unwrap();
        let disk = RealDisk::new(&Silent);
        state.promote(&disk, b"docket").unwrap();
        let [one, two, three] = ["1", "2", "f"].map(|digit| digit.repeat(32));
        for name in ["nodes.backup", "nodes.1", "nodes.", "journal", &format!("nodes.{}", "F".repeat(32))] {
            std::fs::write(state.path().join(name), b"").unwrap();
        }
        for id in [&one, &two, &three] {
            std::fs::write(state.node_file_path(id), b"").unwrap();
        }
        std::fs::write(state.node_file_path(&three), b"four").unwrap();
        assert_eq!(state.remove_stale_node_files(&disk, &[&two], 3).unwrap(), 1, "the third is longer");
        assert_eq!(state.remove_stale_node_files(&disk, &[&two], 4).unwrap(), 1);
        assert!(state.node_file_path(&two).exists() && !state.node_file_path(&one).exists());
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 7);
        assert_eq!(state.read_docket().unwrap().unwrap(), b"docket");
    }

    #[test]
    fn no_flipped_or_missing_byte_of_a_sealed_side_file_goes_unnoticed() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "job").unwrap();
        for file in [SideFile::Doubts, SideFile::Unknown, SideFile::Mounts, SideFile::Quarantine] {
            state.write_side_file(&RealDisk::new(&Silent), file, b"a path\0another\0").unwrap();
            let path = state.path().join(file.name());
            let bytes = std::fs::read(&path).unwrap();
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 0x20;
                for damaged in [&flipped[..], &bytes[..at]] {
                    std::fs::write(&path, damaged).unwrap();
                    assert!(
                        matches!(state.read_side_file(file), Err(StateError::Damaged { .. })),
                        "byte {at}"
                    );
                }
            }
        }
    }

    #[test]
    fn side_files_read_back() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "job").unwrap();
        for file in
            [SideFile::LastRun, SideFile::Doubts, SideFile::Quarantine, SideFile::Ledger, SideFile::Check]
        {
            assert_eq!(state.read_side_file(file).unwrap(), None);
            state.write_side_file(&RealDisk::new(&Silent), file, file.name().as_bytes()).unwrap();
            assert_eq!(state.read_side_file(file).unwrap().unwrap(), file.name().as_bytes());
        }
    }
}
