//! The private folder inside the folder that is restored into: what lies there has no
//! name yet.

use crate::scan::{STAGING_PREFIX, STAGING_RANDOM, is_staging_folder};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, fchmod, flock, openat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const FILES: &str = "files";
const MARK: &str = "staging folder of treeferry restore";

/// Opens without reading: enough to reach what is below.
pub(super) const REACH: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A staging folder, removed when it is dropped.
pub(super) struct Staging {
    // Removed first: the other fields only help it.
    folder: tempfile::TempDir,
    top: OwnedFd,
    files: OwnedFd,
    _mark: File,
    _reopened: Option<Reopened>,
    /// What the path of `folder` begins with, when it lies in a folder known by this only.
    _above: Option<OwnedFd>,
}

impl Staging {
    /// Makes one in a folder that is open, on the file system of that folder.
    pub(super) fn make_in_open(folder: &OwnedFd) -> std::io::Result<Self> {
        let above = folder.try_clone()?;
        let path = format!("/proc/self/fd/{}", above.as_raw_fd());
        Ok(Staging { _above: Some(above), ..Staging::make_in(Path::new(&path))? })
    }

    /// Makes one in `folder`, and removes what a killed restore left there.
    pub(super) fn make_in(folder: &Path) -> std::io::Result<Self> {
        remove_stale(folder);
        let (staging, reopened) = match temporary_in(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let reopened = Reopened::open(folder)?.ok_or(error)?;
                (temporary_in(folder)?, Some(reopened))
            }
            staging => (staging?, None),
        };
        let mark = mark(staging.path())?;
        std::fs::create_dir(staging.path().join(FILES))?;
        let open = |path: &Path| openat(CWD, path, REACH, Mode::empty());
        let (top, files) = (open(staging.path())?, open(&staging.path().join(FILES))?);
        Ok(Staging { folder: staging, top, files, _mark: mark, _reopened: reopened, _above: None })
    }

    /// The empty folder that rclone writes into: it knows paths only.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(FILES)
    }

    /// The same, open.
    pub(super) fn files(&self) -> &OwnedFd {
        &self.files
    }

    /// Where rclone does not write.
    pub(super) fn top(&self) -> &OwnedFd {
        &self.top
    }

    /// Empties it of everything, also of what never arrived.
    pub(super) fn clear(&mut self) -> std::io::Result<()> {
        let path = self.path();
        std::fs::remove_dir_all(&path)?;
        std::fs::create_dir(&path)?;
        self.files = openat(CWD, &path, REACH, Mode::empty())?;
        Ok(())
    }
}

/// Copies what is open into a new file in `folder`, as far as the disk.
pub(super) fn copy_into(folder: &OwnedFd, name: &CStr, from: OwnedFd) -> std::io::Result<OwnedFd> {
    let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut copy = File::from(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
    std::io::copy(&mut File::from(from), &mut copy)?;
    // The file system of the root is synced at the end; this is another one.
    copy.sync_all()?;
    Ok(copy.into())
}

fn temporary_in(folder: &Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(STAGING_PREFIX).rand_bytes(STAGING_RANDOM).tempdir_in(folder)
}

/// Marks the staging folder as one in use, for as long as the file is open: the
/// lock goes with the process, whatever ends it.
fn mark(folder: &Path) -> std::io::Result<File> {
    let mark = File::create(folder.join(MARK))?;
    flock(&mark, FlockOperation::NonBlockingLockExclusive)?;
    Ok(mark)
}

/// Removes folders that a killed restore left behind.
fn remove_stale(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = is_staging_folder(entry.file_name().as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let mark = entry.path().join(MARK);
        if is_ours
            && let Ok(mark) =
                openat(CWD, &mark, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            && flock(&mark, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder of ours that its own mode closes to us, opened for as long as this lives.
struct Reopened {
    folder: File,
    mode: Mode,
}

impl Reopened {
    /// `None`: it is not ours, or not its mode is what closes it.
    fn open(folder: &Path) -> std::io::Result<Option<Self>> {
        let folder = File::open(folder)?;
        let found = rustix::fs::fstat(&folder)?;
        let is_ours = found.st_uid == rustix::process::geteuid().as_raw();
        if !is_ours || found.st_mode & 0o700 == 0o700 {
            return Ok(None);
        }
        let mode = found.st_mode & 0o7777;
        fchmod(&folder, Mode::from_raw_mode(mode | 0o700))?;
        Ok(Some(Reopened { folder, mode: Mode::from_raw_mode(mode) }))
    }
}

impl Drop for Reopened {
    fn drop(&mut self) {
        // Nobody could do more about it here.
        let _ = fchmod(&self.folder, self.mode);
    }
}
