//! The verbs that journal and commit need to survive a crash, and no more.

use crate::observe::{Counter, Observer};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Changes to the file system whose order matters after a crash.
///
/// Nothing is durable by itself: bytes are after [`DiskFile::sync`], names
/// (created, renamed, removed) are after [`Disk::sync_directory`] of the
/// directory they lie in. Until then a crash may keep any part of them, in any
/// order, bytes torn at 512.
///
/// Reading is not part of it: it changes nothing, and goes to the files.
pub trait Disk: Sync {
    /// Creates an empty file (mode 0600) that must not exist yet.
    ///
    /// # Errors
    /// Of the operating system; `AlreadyExists` for anything of that name,
    /// symlinks included.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile + '_>>;

    /// Gives a file another name in the same directory, in place of what has
    /// that name now. After a crash it is the one or the other, never neither.
    ///
    /// # Errors
    /// Of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name. May come back after a crash.
    ///
    /// # Errors
    /// Of the operating system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes all names in a directory durable as they are now.
    ///
    /// # Errors
    /// Of the operating system.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// A file that is being written at its end.
pub trait DiskFile: Send {
    /// Adds bytes at the end. Not durable.
    ///
    /// # Errors
    /// Of the operating system. Any part of `bytes` may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes durable, and the length.
    ///
    /// # Errors
    /// Of the operating system. The kernel may then have thrown away what was
    /// not written: calling again proves nothing, the file must be given up.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine. Counts its syncs.
#[derive(Clone, Copy)]
pub struct RealDisk<'o> {
    observer: &'o dyn Observer,
}

impl<'o> RealDisk<'o> {
    /// Reports each sync to `observer`.
    pub fn new(observer: &'o dyn Observer) -> Self {
        RealDisk { observer }
    }
}

impl Disk for RealDisk<'_> {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile + '_>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(RealFile { file, observer: self.observer }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.observer.count(Counter::Syncs, 1);
        sync_directory(directory)
    }
}

struct RealFile<'o> {
    file: File,
    observer: &'o dyn Observer,
}

impl DiskFile for RealFile<'_> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.observer.count(Counter::Syncs, 1);
        self.file.sync_data()
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some network and FUSE file systems can't sync a directory and say so
        // by EINVAL. There is nothing more that could be done there.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result,
    }
}

/// Puts `bytes` in the place of the file at `path`, or creates it: temporary
/// file beside it, write, sync, rename, sync the directory.
///
/// A crash leaves the old file or the new one, whole, and perhaps the temporary
/// file, which the next call removes. When this returns, it is the new one, for good.
/// One writer per path at a time (callers hold a lock).
///
/// # Errors
/// Of the operating system. The old file is then still there, unless it was the
/// last step that failed (sync of the directory): then it may be either.
pub fn replace_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let directory = directory_of(path);
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut file = disk.create_new(&temporary)?;
        file.append(bytes)?;
        file.sync()?;
        disk.rename(&temporary, path)
    })();
    if let Err(error) = written {
        // A half-written file on a full disk only makes it fuller. If it can't
        // be removed either, the next call does it.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.sync_directory(directory)
}

/// The name of the temporary file for `path`: `.<name>.new` in the same directory.
///
/// # Errors
/// When `path` has no file name.
pub fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    Ok(path.with_file_name(temporary))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates a directory (mode 0700) and what is missing above it; the names are
/// durable on return. One that is there is left as it is.
///
/// # Errors
/// Of the operating system.
pub fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = directory_of(path);
    if parent != path {
        create_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent),
    }
}

/// What an ordinary user may still write on the file system of `path`, in bytes.
///
/// # Errors
/// Of the operating system, for example when `path` does not exist.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let file_system = rustix::fs::statvfs(path)?;
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::observe::{Recorder, Silent};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replaced_file_holds_the_new_bytes_and_cost_two_syncs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docket");
        let recorder = Recorder::default();
        let disk = RealDisk::new(&recorder);
        replace_atomically(&disk, &path, b"one").unwrap();
        assert_eq!(recorder.counted(Counter::Syncs), 2);
        replace_atomically(&disk, &path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_temporary_file_left_by_a_crash_is_no_obstacle_and_a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docket");
        let victim = directory.path().join("victim");
        std::fs::write(&victim, b"precious").unwrap();
        std::os::unix::fs::symlink(&victim, temporary_beside(&path).unwrap()).unwrap();
        replace_atomically(&RealDisk::new(&Silent), &path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file_and_no_litter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docket");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"").unwrap();
        replace_atomically(&RealDisk::new(&Silent), &path, b"new").unwrap_err();
        assert!(path.is_dir());
        assert!(!temporary_beside(&path).unwrap().exists());
    }

    #[test]
    fn directories_are_created_for_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        create_directory(&path).unwrap();
        create_directory(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(free_bytes(&path).unwrap() > 0);
    }
}
