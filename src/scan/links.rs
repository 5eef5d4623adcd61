//! What a symlink is taken for.

use crate::model::{Content, Entry, EntryFlags, EntryKind, Stamp};
use crate::scan::LinkPolicy;
use crate::scan::compare::Merge;
use crate::scan::open::{Metadata, stat_name};
use rustix::fs::{FileType, readlinkat};
use rustix::io::Errno;
use std::ffi::CStr;

impl Merge<'_> {
    /// A symlink that is itself recorded, or uploaded.
    pub(crate) fn link(
        &mut self,
        name: &CStr,
        found: &Metadata,
        base: Option<&Entry<'_>>,
        known: Option<usize>,
        at: usize,
    ) {
        let flags = match self.options.links {
            LinkPolicy::Upload => EntryFlags::UPLOADED_LINK,
            LinkPolicy::Record | LinkPolicy::Follow => EntryFlags::NONE,
        };
        if let (Some(base), Some(known)) = (base, known) {
            let (was_followed, was_uploaded) =
                (base.flags.contains(EntryFlags::FOLLOWED), base.flags.contains(EntryFlags::UPLOADED_LINK));
            // On the mirror because of another `links`: kept, not deleted. Where the link itself goes up,
            // a file that it led to is its older version, and has to leave: there is one entry for both.
            let left_by_policy = match self.options.links {
                LinkPolicy::Upload => was_followed && base.kind == EntryKind::Directory,
                LinkPolicy::Record | LinkPolicy::Follow => was_followed || was_uploaded,
            };
            if left_by_policy {
                if flags.contains(EntryFlags::UPLOADED_LINK) {
                    let reason = "was followed, and is to be uploaded as a link now: what it led to is kept on the \
                                  mirror, and the next run sends the link";
                    self.note(name, reason.into());
                }
                return match readlinkat(self.descriptor, name, Vec::new()) {
                    Ok(target) if flags == EntryFlags::NONE => {
                        let target = Content::Target(target.as_bytes());
                        self.out_of_scope_replaced_by(known, EntryKind::Symlink, found, target);
                    }
                    _ => self.out_of_scope(known),
                };
            }
            // The size of a link can lie (fscrypt), its target never changes in place.
            let same_stamp = Stamp { size: base.stamp.size, ..found.stamp } == base.stamp;
            if base.kind == EntryKind::Symlink && base.flags == flags && same_stamp && found.stamp.inode != 0
            {
                return self.same(at);
            }
        }
        match readlinkat(self.descriptor, name, Vec::new()) {
            Ok(target) => {
                let target = Content::Target(target.as_bytes());
                let unchanged = base.is_some_and(|base| {
                    base.content == target && base.flags == flags && found.stamp.inode == 0
                });
                if unchanged {
                    return self.same(at);
                }
                self.replace(name, EntryKind::Symlink, flags, Some(found), target, known, at);
            }
            Err(Errno::NOENT | Errno::INVAL) => self.not_statted(name, known, Errno::NOENT),
            Err(errno) => self.unreadable(name, known, errno, "is a symlink that cannot be read"),
        }
    }

    /// A symlink under `links = "follow"`: what it points to, under its name.
    pub(crate) fn followed_link(
        &mut self,
        name: &CStr,
        found: &Metadata,
        base: Option<&Entry<'_>>,
        known: Option<usize>,
        at: usize,
    ) {
        let target = stat_name(self.descriptor, name, &self.file_system, true);
        let is_directory = target.as_ref().is_ok_and(|target| target.file_type == FileType::Directory);
        if self.is_excluded(name, is_directory, base, known, at) {
            return;
        }
        self.into.names_statted += 1;
        match target {
            Ok(target) => match target.file_type {
                FileType::Directory => self.directory(name, true, base, known, at),
                FileType::RegularFile => self.file(name, &target, EntryFlags::FOLLOWED, base, known, at),
                _ => match (base, known) {
                    (Some(base), Some(known)) if base.flags.contains(EntryFlags::UPLOADED_LINK) => {
                        self.into.specials += 1;
                        let target = Metadata { stamp: Stamp::default(), ..target };
                        self.out_of_scope_replaced_by(known, EntryKind::Special, &target, Content::None);
                    }
                    _ => self.special(name, &target, base, known, at),
                },
            },
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {
                self.note(name, "is a symlink to nothing, and symlinks are followed".into());
                // What it led to before may only be unmounted: absence is not proven.
                match (base, known) {
                    (Some(base), Some(known)) if base.flags.contains(EntryFlags::FOLLOWED) => {
                        self.into.incomplete = true;
                        self.same(known);
                    }
                    _ => self.link(name, found, base, known, at),
                }
            }
            Err(errno) => {
                self.unreadable(name, known, errno, "is a symlink whose target cannot be looked at")
            }
        }
    }
}
