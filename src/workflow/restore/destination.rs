//! The folder that is restored into. Everything is reached from one descriptor,
//! component by component, and no symlink is followed on the way: whatever was
//! planted in the folder cannot lead out of it.

use crate::model::{DirectoryAttributes, Entry, Permissions, Timestamp, TreePath};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT,
    Uid, chownat, fchmod, flock, futimens, mkdirat, openat, readlinkat, renameat, renameat_with, statat,
    symlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Why a name was not given. For people.
pub(super) type Refusal = String;

/// Where files lie until their content was checked.
const STAGING_PREFIX: &str = ".treeferry-restore-";
const STAGING_FILES: &str = "files";
const STAGING_MARK: &str = "staging folder of treeferry restore";

/// What has the name now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Nothing,
    File { bytes: u64 },
    Link,
    Folder,
    Other,
}

/// What a name gets beside its content; `None` is left as it came about here.
///
/// A version of which only the list of an `import` or `adopt` told was never looked at, nor were its
/// folders. The index has no place that says so: such a one has no ctime, which nothing that was looked at
/// lacks, and neither mode nor owner. The list may have known the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    permissions: Option<Permissions>,
    mtime: Option<Timestamp>,
}

impl Attributes {
    fn new(permissions: Permissions, mtime: Timestamp, ctime: Timestamp) -> Self {
        let was_seen = ctime != Timestamp::default() || permissions != Permissions::default();
        Attributes {
            permissions: was_seen.then_some(permissions),
            mtime: (was_seen || mtime != Timestamp::default()).then_some(mtime),
        }
    }

    /// The mode of a folder until everything is in it: for us alone, unless its own is not known. Then it
    /// is that of any new folder.
    fn first_mode(&self) -> Mode {
        if self.permissions.is_some() { Mode::RWXU } else { Mode::RWXU | Mode::RWXG | Mode::RWXO }
    }
}

impl From<&Entry<'_>> for Attributes {
    fn from(entry: &Entry<'_>) -> Self {
        Attributes::new(entry.permissions, entry.stamp.mtime, entry.stamp.ctime)
    }
}

impl From<&DirectoryAttributes> for Attributes {
    fn from(of: &DirectoryAttributes) -> Self {
        Attributes::new(of.permissions, of.mtime, of.ctime)
    }
}

/// The folder, open.
pub(super) struct Destination {
    root: OwnedFd,
    /// For rclone, which knows paths only.
    staging: tempfile::TempDir,
    staged: OwnedFd,
    _mark: File,
    /// The folder was made by this run: it takes the attributes of the root.
    is_new: bool,
    may_change_owner: bool,
    last: Option<(TreePath, OwnedFd)>,
}

/// Opens without reading: enough to reach what is below.
const REACH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Destination {
    /// Opens `folder`, which is made when it is not there. A symlink in its
    /// place is followed, as the user wrote it.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        let is_new = !folder.exists();
        std::fs::create_dir_all(folder)?;
        let folder = std::fs::canonicalize(folder)?;
        remove_stale_staging(&folder);
        let root = openat(CWD, &folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let staging = tempfile::Builder::new().prefix(STAGING_PREFIX).tempdir_in(&folder)?;
        let mark = mark_staging(staging.path())?;
        std::fs::create_dir(staging.path().join(STAGING_FILES))?;
        let open = |path: &Path| openat(CWD, path, REACH, Mode::empty());
        let staged = open(&staging.path().join(STAGING_FILES))?;
        let may_change_owner = rustix::process::geteuid().is_root();
        Ok(Destination { root, staging, staged, _mark: mark, is_new, may_change_owner, last: None })
    }

    /// The empty folder that rclone writes into.
    pub(super) fn staging(&self) -> PathBuf {
        self.staging.path().join(STAGING_FILES)
    }

    /// The staging folder is emptied of everything, also of what never arrived.
    pub(super) fn clear_staging(&mut self) -> std::io::Result<()> {
        let path = self.staging();
        std::fs::remove_dir_all(&path)?;
        std::fs::create_dir(&path)?;
        self.staged = openat(CWD, &path, REACH, Mode::empty())?;
        Ok(())
    }

    /// What lies at `path`; its folders need not be there.
    pub(super) fn existing(&mut self, path: &TreePath) -> Result<Existing, Refusal> {
        let (Some(parent), Some(name)) = (path.parent(), c_name(path)) else { return Ok(Existing::Folder) };
        let folder = match self.reach(&parent, None) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(Existing::Nothing),
            Err(refusal) => return Err(refusal),
        };
        look(folder, &name)
    }

    /// Makes the folder at `path`, and lets us write into it for now.
    pub(super) fn make_folder(&mut self, path: &TreePath, attributes: Attributes) -> Result<(), Refusal> {
        let folder = self.reach(path, Some(attributes.first_mode()))?.ok_or("a folder could not be made")?;
        let open =
            match openat(folder, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
                Ok(open) => open,
                // Ours, but closed to us since an earlier restore.
                Err(Errno::ACCESS) => return open_up(folder),
                Err(errno) => return Err(refused("opening the folder", errno)),
            };
        let found = rustix::fs::fstat(&open).map_err(|errno| refused("looking at the folder", errno))?;
        let ours = found.st_uid == rustix::process::geteuid().as_raw();
        if ours && found.st_mode & 0o700 != 0o700 {
            fchmod(&open, Mode::from_raw_mode((found.st_mode & 0o7777) | 0o700))
                .map_err(|errno| refused("opening the folder for writing", errno))?;
        }
        Ok(())
    }

    /// Gives a folder its mode, owner and time, once everything is in it.
    pub(super) fn finish_folder(&mut self, path: &TreePath, attributes: Attributes) -> Result<(), Refusal> {
        if path.is_root() && !self.is_new {
            return Ok(());
        }
        let may_change_owner = self.may_change_owner;
        let Some(folder) = self.reach(path, None)? else { return Ok(()) };
        let open = openat(folder, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| refused("opening the folder", errno))?;
        set_attributes(&open, attributes, may_change_owner)
    }

    /// Gives a checked file from the staging folder its mode, owner and time, and
    /// then its name.
    pub(super) fn place_file(
        &mut self,
        path: &TreePath,
        attributes: Attributes,
        replace: bool,
    ) -> Result<(), Refusal> {
        let (Some(parent), Some(name)) = (path.parent(), c_name(path)) else {
            return Err("it has no name".into());
        };
        let staged_folder = descend(&self.staged, &parent, None)
            .map_err(|(_, errno)| refused("opening the fetched file", errno))?;
        let staged_folder = staged_folder.as_ref().unwrap_or(&self.staged);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(staged_folder, &*name, flags, Mode::empty())
            .map_err(|errno| refused("opening the fetched file", errno))?;
        set_attributes(&file, attributes, self.may_change_owner)?;
        drop(file);
        let folder = reach(&self.root, &mut self.last, &parent, Some(Mode::RWXU))?
            .ok_or("its folder could not be made")?;
        give_name(staged_folder, &name, folder, &name, replace)
    }

    /// Sets mode, owner and time of a file that is there with the right content.
    pub(super) fn touch_up(&mut self, path: &TreePath, attributes: Attributes) -> Result<(), Refusal> {
        let (Some(parent), Some(name)) = (path.parent(), c_name(path)) else { return Ok(()) };
        let may_change_owner = self.may_change_owner;
        let Some(folder) = self.reach(&parent, None)? else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(folder, &*name, flags, Mode::empty())
            .map_err(|errno| refused("opening the file", errno))?;
        set_attributes(&file, attributes, may_change_owner)
    }

    /// The target of the symlink at `path`; `None` when there is none.
    pub(super) fn link_target(&mut self, path: &TreePath) -> Option<Vec<u8>> {
        let (parent, name) = (path.parent()?, c_name(path)?);
        let folder = self.reach(&parent, None).ok()??;
        Some(readlinkat(folder, &*name, Vec::new()).ok()?.into_bytes())
    }

    /// Makes a symlink. Where it leads is not looked at.
    pub(super) fn place_link(
        &mut self,
        path: &TreePath,
        target: &[u8],
        permissions: &Permissions,
        mtime: Timestamp,
        replace: bool,
    ) -> Result<(), Refusal> {
        let (Some(parent), Some(name)) = (path.parent(), c_name(path)) else {
            return Err("it has no name".into());
        };
        let making = |errno| refused("making the symlink", errno);
        let target = CString::new(target).map_err(|_| "its target holds a NUL byte".to_owned())?;
        let beside = openat(CWD, self.staging.path(), REACH, Mode::empty()).map_err(making)?;
        let _ = rustix::fs::unlinkat(&beside, c"link", AtFlags::empty());
        symlinkat(&*target, &beside, c"link").map_err(making)?;
        if self.may_change_owner {
            let (uid, gid) = owner(permissions);
            chownat(&beside, c"link", uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(making)?;
        }
        utimensat(&beside, c"link", &times(mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(making)?;
        let folder = reach(&self.root, &mut self.last, &parent, Some(Mode::RWXU))?
            .ok_or("its folder could not be made")?;
        give_name(&beside, c"link", folder, &name, replace)
    }

    /// Everything that was restored is on the disk.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        let open =
            openat(&self.root, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(rustix::fs::syncfs(open)?)
    }

    fn reach(&mut self, path: &TreePath, make: Option<Mode>) -> Result<Option<&OwnedFd>, Refusal> {
        reach(&self.root, &mut self.last, path, make)
    }
}

/// What lies at `path` below `folder`, for those who change nothing.
pub(super) fn existing_below(folder: &Path, path: &TreePath) -> Result<Existing, Refusal> {
    let root = match openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(Existing::Nothing),
        Err(errno) => return Err(refused("opening the folder to restore into", errno)),
    };
    let (Some(parent), Some(name)) = (path.parent(), c_name(path)) else { return Ok(Existing::Folder) };
    match reach(&root, &mut None, &parent, None)? {
        Some(folder) => look(folder, &name),
        None => Ok(Existing::Nothing),
    }
}

/// The folder at `path`, remembered for the next one. `None`: it is not there.
fn reach<'d>(
    root: &'d OwnedFd,
    last: &'d mut Option<(TreePath, OwnedFd)>,
    path: &TreePath,
    make: Option<Mode>,
) -> Result<Option<&'d OwnedFd>, Refusal> {
    if path.is_root() {
        return Ok(Some(root));
    }
    if last.as_ref().is_none_or(|(reached, _)| reached != path) {
        match descend(root, path, make) {
            Ok(Some(folder)) => *last = Some((path.clone(), folder)),
            Ok(None) | Err((_, Errno::NOENT)) => return Ok(None),
            Err((folder, Errno::NOTDIR | Errno::LOOP)) => {
                return Err(format!(
                    "{folder} is in the way: it is no folder, and symlinks are not followed"
                ));
            }
            Err((folder, errno)) => return Err(refused(&format!("opening {folder}"), errno)),
        }
    }
    Ok(last.as_ref().map(|(_, folder)| folder))
}

/// Down from `root`, through folders only; those that are not there are made with this mode.
fn descend(
    root: &OwnedFd,
    path: &TreePath,
    make: Option<Mode>,
) -> Result<Option<OwnedFd>, (TreePath, Errno)> {
    let mut reached: Option<OwnedFd> = None;
    let mut walked = TreePath::root();
    for component in path.components() {
        walked.push(component);
        let name = CString::new(component).map_err(|_| (walked.clone(), Errno::INVAL))?;
        let from = reached.as_ref().unwrap_or(root);
        let opened = match (openat(from, &*name, REACH, Mode::empty()), make) {
            (Err(Errno::NOENT), Some(mode)) => match mkdirat(from, &*name, mode) {
                Ok(()) | Err(Errno::EXIST) => openat(from, &*name, REACH, Mode::empty()),
                Err(errno) => Err(errno),
            },
            (opened, _) => opened,
        };
        reached = Some(opened.map_err(|errno| (walked.clone(), errno))?);
    }
    Ok(reached)
}

fn look(folder: impl AsFd, name: &CString) -> Result<Existing, Refusal> {
    let found = match statat(folder, &**name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Existing::Nothing),
        Err(errno) => return Err(refused("looking at what is there", errno)),
    };
    Ok(match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Existing::File { bytes: found.st_size.try_into().unwrap_or(0) },
        FileType::Directory => Existing::Folder,
        FileType::Symlink => Existing::Link,
        _ => Existing::Other,
    })
}

/// Renames. Without `replace`, whatever has the name keeps it, also when it
/// came a moment ago.
fn give_name(
    from: impl AsFd,
    old: &std::ffi::CStr,
    to: impl AsFd,
    new: &std::ffi::CStr,
    replace: bool,
) -> Result<(), Refusal> {
    let renamed = if replace {
        renameat(&from, old, &to, new)
    } else {
        match renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
            // Not every file system knows how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match statat(&to, new, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => renameat(&from, old, &to, new),
                    Err(errno) => Err(errno),
                    Ok(_) => Err(Errno::EXIST),
                }
            }
            renamed => renamed,
        }
    };
    renamed.map_err(|errno| match errno {
        Errno::EXIST => "something else has this name now".into(),
        Errno::ISDIR | Errno::NOTEMPTY => "a folder is in its place".into(),
        Errno::XDEV => "its folder lies on another file system than the folder to restore into".into(),
        errno => refused("giving it its name", errno),
    })
}

fn set_attributes(open: &OwnedFd, attributes: Attributes, may_change_owner: bool) -> Result<(), Refusal> {
    if let Some(permissions) = attributes.permissions {
        set_permissions(open, &permissions, may_change_owner)?;
    }
    let Some(mtime) = attributes.mtime else { return Ok(()) };
    futimens(open, &times(mtime)).map_err(|errno| refused("setting its time", errno))
}

fn set_permissions(open: &OwnedFd, permissions: &Permissions, may_change_owner: bool) -> Result<(), Refusal> {
    let mut mode = permissions.mode & 0o7777;
    if may_change_owner {
        let (uid, gid) = owner(permissions);
        rustix::fs::fchown(open, uid, gid).map_err(|errno| refused("setting its owner", errno))?;
    } else if permissions.uid != rustix::process::geteuid().as_raw() {
        // A set-user-ID bit means the owner that it was given for.
        mode &= 0o1777;
    }
    fchmod(open, Mode::from_raw_mode(mode)).map_err(|errno| refused("setting its mode", errno))
}

/// Opens a folder of ours that its mode closes to us.
fn open_up(folder: &OwnedFd) -> Result<(), Refusal> {
    use std::os::fd::AsRawFd;
    let name = format!("/proc/self/fd/{}", folder.as_raw_fd());
    rustix::fs::chmod(name, Mode::RWXU).map_err(|errno| refused("opening the folder", errno))
}

fn owner(permissions: &Permissions) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(permissions.uid)), Some(Gid::from_raw(permissions.gid)))
}

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) },
    }
}

fn c_name(path: &TreePath) -> Option<CString> {
    CString::new(path.name()?).ok()
}

fn refused(doing: &str, errno: Errno) -> Refusal {
    format!("{doing}: {}", std::io::Error::from(errno))
}

/// Marks the staging folder as one in use, for as long as the file is open: the
/// lock goes with the process, whatever ends it.
fn mark_staging(folder: &Path) -> std::io::Result<File> {
    let mark = File::create(folder.join(STAGING_MARK))?;
    flock(&mark, FlockOperation::NonBlockingLockExclusive)?;
    Ok(mark)
}

/// Removes folders that a killed restore left behind.
fn remove_stale_staging(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let mark = entry.path().join(STAGING_MARK);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_may_read_is_told_from_one_that_nobody_looked_at() {
        let (never, once) = (Timestamp::default(), Timestamp { seconds: 7, nanoseconds: 0 });
        let closed = Permissions::default();
        let of_root = Attributes::new(closed, never, once);
        assert_eq!((of_root.permissions, of_root.mtime), (Some(closed), Some(never)));
        let listed = Attributes::new(closed, once, never);
        assert_eq!((listed.permissions, listed.mtime), (None, Some(once)));
        let folder = Attributes::from(&DirectoryAttributes::default());
        assert_eq!((folder.permissions, folder.mtime), (None, None));
    }
}
