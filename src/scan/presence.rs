//! The second look: is a path really gone? Asked right before a trash list is
//! written.

use crate::model::{EntryKind, Permissions, Stamp, TreePath};
use crate::scan::open::{Entering, open_directory, stat_directory, stat_name, stat_open};
use crate::scan::{Mounts, RootDirectory};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::CString;

/// What is at a path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Something is there.
    Present {
        /// What it is; a directory is never told to be a mount here.
        kind: EntryKind,
        /// Its stat key.
        stamp: Stamp,
        /// Mode and owner.
        permissions: Permissions,
    },
    /// Proven: the nearest directory above that exists was reached without error
    /// on the source's own file system, and the name below it does not exist.
    Absent,
    /// Neither can be said, with the reason for people. No deletion may follow.
    Unknown(String),
}

/// How the second look is made.
#[derive(Debug, Clone, Copy)]
pub struct SecondLook<'a> {
    /// The source.
    pub root: &'a RootDirectory,
    /// Symlinks are followed, as the job does.
    pub follow: bool,
    /// Other file systems are entered. If not, a directory above that is a mount point now
    /// makes the answer [`Presence::Unknown`].
    pub cross_mounts: bool,
    /// Where something must be mounted: if it is not, the answer is [`Presence::Unknown`] there.
    pub mounts: &'a Mounts,
}

/// Looks whether `path` is there. A symlink in the place of a directory above means that
/// the path is gone, unless symlinks are followed.
pub fn presence(look: &SecondLook<'_>, path: &TreePath) -> Presence {
    let seen = presence_on_any_disk(look, path);
    let levels = look.mounts.depth_on_the_way_to(path);
    // After the look: a disk that was unmounted just before it is still not there.
    if levels > 0 && !is_mounted(look, path, levels) {
        return Presence::Unknown("a disk on the way to it is not mounted now".into());
    }
    seen
}

/// Something is mounted at the first `levels` names of the path.
fn is_mounted(look: &SecondLook<'_>, path: &TreePath, levels: usize) -> bool {
    let entering = if look.follow { Entering::Following } else { Entering::AnyMount };
    let names = path.components().take(levels).map(|name| (name, entering));
    let opened = look.root.open_components(names);
    let found = opened.and_then(|directory| stat_directory(&directory, &look.root.file_system));
    found.is_ok_and(|found| found.is_mount_root.unwrap_or(found.metadata.device != look.root.device))
}

fn presence_on_any_disk(look: &SecondLook<'_>, path: &TreePath) -> Presence {
    let SecondLook { root, follow, cross_mounts, .. } = *look;
    let mut reached: Option<OwnedFd> = None;
    let depth = path.components().count();
    if depth == 0 {
        return match stat_open(&root.descriptor, &root.file_system) {
            Ok(found) => Presence::Present {
                kind: EntryKind::Directory,
                stamp: found.stamp,
                permissions: found.permissions,
            },
            Err(errno) => unknown("the source itself", errno),
        };
    }
    for (level, name) in path.components().enumerate() {
        let above = reached.as_ref().unwrap_or(&root.descriptor);
        let Ok(c_name) = CString::new(name) else {
            return Presence::Unknown("its name holds a NUL byte".into());
        };
        if level + 1 == depth {
            return last(root, above, &c_name, follow);
        }
        let entering = match (follow, cross_mounts) {
            (true, _) => Entering::Following,
            (false, true) => Entering::AnyMount,
            (false, false) => Entering::SameMount,
        };
        match open_directory(above, &*c_name, entering) {
            Ok(below) => {
                let device = stat_open(&below, &root.file_system).map(|found| found.device);
                match device {
                    Ok(device) if device == root.device || follow || cross_mounts => reached = Some(below),
                    Ok(_) => {
                        return Presence::Unknown(
                            "a directory above it lies on another file system now".into(),
                        );
                    }
                    Err(errno) => return unknown("a directory above it", errno),
                }
            }
            Err(Errno::XDEV) => {
                return Presence::Unknown("a directory above it lies on another file system now".into());
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return above_it(root, above, &c_name, follow),
            Err(errno) => return unknown("a directory above it", errno),
        }
    }
    Presence::Unknown("it has no name".into())
}

/// The path's own name, in a directory that was reached.
fn last(root: &RootDirectory, above: impl AsFd, name: &CString, follow: bool) -> Presence {
    let found = match stat_name(above.as_fd(), &**name, &root.file_system, false) {
        Ok(found) if found.file_type == FileType::Symlink && follow => {
            match stat_name(above.as_fd(), &**name, &root.file_system, true) {
                Ok(target) => target,
                // The link is there; where it leads may only be unmounted.
                Err(errno) => return unknown("what the symlink points to", errno),
            }
        }
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Presence::Absent,
        Err(errno) => return unknown("it", errno),
    };
    let kind = match found.file_type {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Special,
    };
    Presence::Present { kind, stamp: found.stamp, permissions: found.permissions }
}

/// A directory above the path did not open as one. Gone, or another kind of
/// thing now: then the path is gone as well.
fn above_it(root: &RootDirectory, above: impl AsFd, name: &CString, follow: bool) -> Presence {
    match stat_name(above.as_fd(), &**name, &root.file_system, false) {
        Err(Errno::NOENT | Errno::NOTDIR) => Presence::Absent,
        Err(errno) => unknown("a directory above it", errno),
        Ok(found) => match found.file_type {
            FileType::Directory => Presence::Unknown("a directory above it is changing".into()),
            FileType::Symlink if follow => Presence::Unknown("a symlink above it leads nowhere now".into()),
            _ => Presence::Absent,
        },
    }
}

fn unknown(what: &str, errno: Errno) -> Presence {
    Presence::Unknown(format!("{what} cannot be looked at: {}", std::io::Error::from(errno)))
}
