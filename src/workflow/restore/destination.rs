//! The folder that is restored into. Everything is reached from one descriptor,
//! component by component, and no symlink is followed on the way: whatever was
//! planted in the folder cannot lead out of it.

use super::staging::{REACH, Staging, copy_into};
use crate::model::{DirectoryAttributes, Entry, Permissions, Timestamp, TreePath};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat,
    fchmod, futimens, mkdirat, openat, readlinkat, renameat, renameat_with, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// Why a name was not given. For people.
pub(super) type Refusal = String;

const NO_STAGING: &str = "there is no staging folder any more";

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
    /// `None` once all files have their names.
    staging: Option<Staging>,
    /// One more, in the folder at this path: it lies on another file system than the root.
    beside: Option<(TreePath, Staging)>,
    /// The folder was made by this run: it takes the attributes of the root.
    is_new: bool,
    owners: Owners,
    last: Option<(TreePath, OwnedFd)>,
}

/// Whose files become, and where that was refused: by the system (root without
/// the capability), or by a file system that knows no owners.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners {
    may_change: bool,
    /// Files, folders and symlinks that belong to somebody else now.
    refused: u64,
    /// The first reason; the others are alike.
    reason: Option<Errno>,
}

impl Owners {
    fn of_this_process() -> Self {
        Owners { may_change: rustix::process::geteuid().is_root(), ..Owners::default() }
    }

    /// True when what is open belongs to whom it should now. A refusal is no
    /// error: the content is what people want back.
    fn give(&mut self, open: &OwnedFd, permissions: &Permissions) -> Result<bool, Refusal> {
        if !self.may_change {
            return Ok(permissions.uid == rustix::process::geteuid().as_raw());
        }
        let (uid, gid) = owner(permissions);
        let errno = match rustix::fs::fchown(open, uid, gid) {
            Ok(()) => return Ok(true),
            Err(errno) => errno,
        };
        // Asked for what is so already, some refuse as well.
        if is_refusal(errno)
            && rustix::fs::fstat(open)
                .is_ok_and(|found| (found.st_uid, found.st_gid) == (permissions.uid, permissions.gid))
        {
            return Ok(true);
        }
        self.note(errno).map(|()| false)
    }

    /// The same for a symlink.
    fn give_link(
        &mut self,
        folder: &OwnedFd,
        name: &std::ffi::CStr,
        permissions: &Permissions,
    ) -> Result<(), Refusal> {
        if !self.may_change {
            return Ok(());
        }
        let (uid, gid) = owner(permissions);
        chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).or_else(|errno| self.note(errno))
    }

    fn note(&mut self, errno: Errno) -> Result<(), Refusal> {
        if !is_refusal(errno) {
            return Err(refused("setting its owner", errno));
        }
        self.refused += 1;
        self.reason.get_or_insert(errno);
        Ok(())
    }

    /// What people should know, if there is anything.
    pub(super) fn warning(&self) -> Option<String> {
        let reason = std::io::Error::from(self.reason?);
        Some(format!(
            "the owner of {} files, folders or symlinks could not be set: {reason}; they are there, without \
             set-user-ID and set-group-ID bits, and belong to whom the system gave them",
            self.refused
        ))
    }
}

/// How systems say that owners are not for this process, or not for this file
/// system: exFAT, CIFS, NFS with root_squash, an id that a container does not know.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)
}

impl Destination {
    /// Opens `folder`, which is made when it is not there. A symlink in its
    /// place is followed, as the user wrote it.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        let is_new = !folder.exists();
        std::fs::create_dir_all(folder)?;
        let folder = std::fs::canonicalize(folder)?;
        let root = openat(CWD, &folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let staging = Some(Staging::make_in(&folder)?);
        Ok(Destination { root, staging, beside: None, is_new, owners: Owners::of_this_process(), last: None })
    }

    /// The empty folder that rclone writes into.
    pub(super) fn staging(&self) -> Option<PathBuf> {
        self.staging.as_ref().map(Staging::path)
    }

    /// The staging folder is emptied of everything, also of what never arrived.
    pub(super) fn clear_staging(&mut self) -> std::io::Result<()> {
        self.staging.as_mut().map_or(Ok(()), Staging::clear)
    }

    /// To be called before folders are finished: removing something from the root gives it
    /// a new time, and its mode may forbid it.
    pub(super) fn remove_staging(&mut self) {
        self.staging = None;
        self.beside = None;
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

    /// Makes the folder that something was mounted on. What is mounted there now stays as
    /// it is; of the folder below a mount nothing is known but its name.
    pub(super) fn make_mount_point(&mut self, path: &TreePath) -> Result<(), Refusal> {
        match self.existing(path)? {
            Existing::Folder => return Ok(()),
            Existing::Nothing => {}
            _ => return Err("something that is no folder is in its place".into()),
        }
        let folder =
            reach(&self.root, &mut self.last, path, Some(Mode::RWXU))?.ok_or("a folder could not be made")?;
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        openat(folder, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|open| fchmod(open, mode))
            .map_err(|errno| refused("setting its mode", errno))
    }

    /// Gives a folder its mode, owner and time, once everything is in it.
    pub(super) fn finish_folder(&mut self, path: &TreePath, attributes: Attributes) -> Result<(), Refusal> {
        if path.is_root() && !self.is_new {
            return Ok(());
        }
        let Some(folder) = reach(&self.root, &mut self.last, path, None)? else { return Ok(()) };
        let open = openat(folder, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| refused("opening the folder", errno))?;
        set_attributes(&open, attributes, &mut self.owners)
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
        let staged = self.staging.as_ref().ok_or(NO_STAGING)?.files();
        let staged_folder = descend(staged, &parent, None)
            .map_err(|(_, errno)| refused("opening the fetched file", errno))?;
        let staged_folder = staged_folder.as_ref().unwrap_or(staged);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(staged_folder, &*name, flags, Mode::empty())
            .map_err(|errno| refused("opening the fetched file", errno))?;
        let owners_before = self.owners.clone();
        set_attributes(&file, attributes, &mut self.owners)?;
        let folder = reach(&self.root, &mut self.last, &parent, Some(Mode::RWXU))?
            .ok_or("its folder could not be made")?;
        match give_name(staged_folder, &name, folder, &name, replace) {
            Err(Errno::XDEV) => {}
            given => return given.map_err(not_named),
        }
        // What counts is whether the other file system takes the owner.
        self.owners = owners_before;
        let beside = staging_beside(&mut self.beside, &parent, folder)?.files();
        let copy = copy_into(beside, &name, file)
            .map_err(|error| format!("copying it to the file system of its folder: {error}"))?;
        set_attributes(&copy, attributes, &mut self.owners)?;
        give_name(beside, &name, folder, &name, replace).map_err(not_named)
    }

    /// Sets mode, owner and time of a file that is there with the right content.
    pub(super) fn touch_up(&mut self, path: &TreePath, attributes: Attributes) -> Result<(), Refusal> {
        let (Some(parent), Some(name)) = (path.parent(), c_name(path)) else { return Ok(()) };
        let Some(folder) = reach(&self.root, &mut self.last, &parent, None)? else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(folder, &*name, flags, Mode::empty())
            .map_err(|errno| refused("opening the file", errno))?;
        set_attributes(&file, attributes, &mut self.owners)
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
        let target = CString::new(target).map_err(|_| "its target holds a NUL byte".to_owned())?;
        let owners_before = self.owners.clone();
        let staging = self.staging.as_ref().ok_or(NO_STAGING)?.top();
        make_link(staging, &target, permissions, mtime, &mut self.owners)?;
        let folder = reach(&self.root, &mut self.last, &parent, Some(Mode::RWXU))?
            .ok_or("its folder could not be made")?;
        match give_name(staging, LINK, folder, &name, replace) {
            Err(Errno::XDEV) => {}
            given => return given.map_err(not_named),
        }
        self.owners = owners_before;
        let beside = staging_beside(&mut self.beside, &parent, folder)?.top();
        make_link(beside, &target, permissions, mtime, &mut self.owners)?;
        give_name(beside, LINK, folder, &name, replace).map_err(not_named)
    }

    /// What became of the owners.
    pub(super) fn owners(&self) -> &Owners {
        &self.owners
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

/// How a symlink is called until it gets its name.
const LINK: &std::ffi::CStr = c"link";

fn make_link(
    folder: &OwnedFd,
    target: &CString,
    permissions: &Permissions,
    mtime: Timestamp,
    owners: &mut Owners,
) -> Result<(), Refusal> {
    let making = |errno| refused("making the symlink", errno);
    let _ = rustix::fs::unlinkat(folder, LINK, AtFlags::empty());
    symlinkat(&**target, folder, LINK).map_err(making)?;
    owners.give_link(folder, LINK, permissions)?;
    utimensat(folder, LINK, &times(mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(making)
}

/// The staging folder in `folder` itself, which is open and lies at `path`. Remembered for
/// the next file; the one before is removed.
fn staging_beside<'b>(
    last: &'b mut Option<(TreePath, Staging)>,
    path: &TreePath,
    folder: &OwnedFd,
) -> Result<&'b Staging, Refusal> {
    if last.as_ref().is_none_or(|(of, _)| of != path) {
        *last = None;
        let staging = Staging::make_in_open(folder)
            .map_err(|error| format!("its folder lies on another file system, and staging there: {error}"))?;
        *last = Some((path.clone(), staging));
    }
    Ok(last.as_ref().map(|(_, staging)| staging).ok_or(NO_STAGING)?)
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
) -> Result<(), Errno> {
    if replace {
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
    }
}

fn not_named(errno: Errno) -> Refusal {
    match errno {
        Errno::EXIST => "something else has this name now".into(),
        Errno::ISDIR | Errno::NOTEMPTY => "a folder is in its place".into(),
        errno => refused("giving it its name", errno),
    }
}

fn set_attributes(open: &OwnedFd, attributes: Attributes, owners: &mut Owners) -> Result<(), Refusal> {
    if let Some(permissions) = attributes.permissions {
        set_permissions(open, &permissions, owners)?;
    }
    let Some(mtime) = attributes.mtime else { return Ok(()) };
    futimens(open, &times(mtime)).map_err(|errno| refused("setting its time", errno))
}

fn set_permissions(open: &OwnedFd, permissions: &Permissions, owners: &mut Owners) -> Result<(), Refusal> {
    let mut mode = permissions.mode & 0o7777;
    if !owners.give(open, permissions)? {
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
