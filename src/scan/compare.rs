//! One directory: what is there now, merged with what the base knows.

use crate::model::{
    Content, Directory, DirectoryPointer, Entry, EntryFlags, EntryKind, NodeDigest, NodeOffset, Stamp,
    Timestamp, TreeDigest, TreePath,
};
use crate::scan::ahead::{Ahead, Look};
use crate::scan::listing::Names;
use crate::scan::node::LinkEntry;
use crate::scan::open::{Metadata, stat_name};
use crate::scan::settled::FileSystem;
use crate::scan::unchanged::is_unchanged;
use crate::scan::{LinkPolicy, ScanOptions};
use rustix::fd::BorrowedFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::cmp::Ordering;
use std::ffi::CStr;

/// Stands in the place of a child's pointer until the child is finished.
pub(crate) const NOT_YET: DirectoryPointer = DirectoryPointer {
    offset: NodeOffset(0),
    length: 0,
    node: NodeDigest([0; 16]),
    content: TreeDigest([0; 32]),
};

fn is_all_but_the_inode(base: &Stamp, found: &Stamp) -> bool {
    let both_have_one = base.inode != 0 && found.inode != 0;
    both_have_one && base != found && Stamp { inode: base.inode, ..*found } == *base
}

/// A subdirectory to be visited.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: Box<CStr>,
    /// Where its entry stands in the directory being made.
    pub(crate) position: u32,
    /// The base's node of it.
    pub(crate) base: Option<DirectoryPointer>,
    /// It is reached through a symlink.
    pub(crate) followed: bool,
    /// What the base says stands there, if it is a link that was uploaded.
    pub(crate) uploaded_link: Option<Box<LinkEntry>>,
    /// What the base says stands there is of another kind (or nothing).
    pub(crate) is_new: bool,
}

/// Something to be told once the directory's listing has proved stable.
#[derive(Debug)]
pub(crate) enum Note {
    Unprotected(TreePath, String),
    Excluded(TreePath, String),
}

/// The memory of one worker, used again for every directory.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) base: Directory,
    pub(crate) names: Names,
    pub(crate) result: Merged,
    /// For nodes that are looked at beside the directory being merged.
    pub(crate) spare: Directory,
}

impl Scratch {
    /// Gives memory back after a very large directory.
    pub(crate) fn shrink(&mut self, names_max: usize) {
        self.names.shrink(names_max);
        for directory in [&mut self.base, &mut self.spare, &mut self.result.pending] {
            if directory.len() > names_max {
                *directory = Directory::default();
            }
        }
    }
}

/// What came of merging one directory.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// The new entries. Only filled when `differs`; until then the base's own
    /// entries stand for themselves.
    pub(crate) pending: Directory,
    pub(crate) differs: bool,
    /// Names were added or are gone, against the base.
    pub(crate) names_differ: bool,
    /// Something was left out because of an error: the next scan must list again.
    pub(crate) incomplete: bool,
    /// A base name that should be there is not (only when not listed).
    pub(crate) must_list: bool,
    pub(crate) children: Vec<Child>,
    pub(crate) notes: Vec<Note>,
    /// Base entries of directories that went out of scope.
    pub(crate) directories_out_of_scope: Vec<DirectoryPointer>,
    pub(crate) files_out_of_scope: u64,
    pub(crate) excluded: u64,
    pub(crate) specials: u64,
    /// Files of which nothing but the inode number is another.
    pub(crate) inodes_changed: u64,
    pub(crate) names_statted: u64,
    pub(crate) names_matched: u64,
    ahead: Ahead,
}

impl Merged {
    fn clear(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut children = std::mem::take(&mut self.children);
        let mut ahead = std::mem::take(&mut self.ahead);
        pending.clear();
        children.clear();
        ahead.clear();
        *self = Merged { pending, children, ahead, ..Merged::default() };
    }
}

/// One directory that is being merged.
pub(crate) struct Merge<'a> {
    pub(crate) descriptor: BorrowedFd<'a>,
    pub(crate) file_system: FileSystem,
    pub(crate) options: &'a ScanOptions,
    /// Everything the base says of this directory; empty when it says nothing.
    pub(crate) base: &'a Directory,
    /// The path of this directory, made only when it is needed.
    pub(crate) path: &'a dyn Fn() -> TreePath,
    /// The listing would not hold still: nothing counts as gone.
    pub(crate) keep_missing: bool,
    /// The clock was set back since the base was made: what was written from here on
    /// may have been written twice at one time.
    pub(crate) distrusted_from: Option<Timestamp>,
    pub(crate) into: &'a mut Merged,
}

impl Merge<'_> {
    /// Merges the base with a listing.
    pub(crate) fn with_listing(mut self, names: &Names) {
        self.into.clear();
        let base = self.base;
        let (mut known, mut listed) = (0, 0);
        while known < base.len() || listed < names.len() {
            let order = match (known < base.len(), listed < names.len()) {
                (true, true) if base.name(known) == names.bytes(listed) => Ordering::Equal,
                (true, true) => base.name(known).cmp(names.bytes(listed)),
                (true, false) => Ordering::Less,
                _ => Ordering::Greater,
            };
            match order {
                Ordering::Less => self.missing(known),
                Ordering::Equal => self.name_of_listing(names, listed, Some(known), known),
                Ordering::Greater => self.name_of_listing(names, listed, None, known),
            }
            known += usize::from(order != Ordering::Greater);
            listed += usize::from(order != Ordering::Less);
        }
    }

    fn name_of_listing(&mut self, names: &Names, listed: usize, known: Option<usize>, at: usize) {
        let look = self.into.ahead.take(
            (self.descriptor, &self.file_system),
            (listed, names.len()),
            |index| names.get(index).0,
            |index| names.inode_to_look_at(index),
        );
        let (name, file_type) = names.get(listed);
        self.listed(name, file_type, look, known, at);
    }

    /// Takes the base's names for the listing: the directory is settled.
    pub(crate) fn without_listing(mut self) {
        self.into.clear();
        let base = self.base;
        for known in 0..base.len() {
            let file_type = match base.kind(known) {
                (EntryKind::Directory, flags) if !flags.contains(EntryFlags::FOLLOWED) => FileType::Directory,
                (EntryKind::Mount, _) => FileType::Directory,
                _ => FileType::Unknown,
            };
            let look = self.into.ahead.take(
                (self.descriptor, &self.file_system),
                (known, base.len()),
                |index| base.c_name(index),
                |index| base.inode_of_file(index),
            );
            self.listed(base.c_name(known), file_type, look, Some(known), known);
            if self.into.must_list {
                return;
            }
        }
    }

    /// A name of the base that the listing does not show. Gone only if the file
    /// system says so when asked for this very name.
    fn missing(&mut self, known: usize) {
        let base = self.base;
        let name = base.c_name(known);
        self.into.names_statted += 1;
        match stat_name(self.descriptor, name, &self.file_system, false) {
            Ok(metadata) => self.listed(name, metadata.file_type, None, Some(known), known),
            Err(Errno::NOENT) if self.led_to_a_mount(known) => self.visit_lost_mount(known),
            Err(Errno::NOENT) if !self.keep_missing => self.gone(known),
            Err(Errno::NOENT) => {
                self.into.incomplete = true;
                self.same(known);
            }
            Err(errno) => {
                self.unreadable(name, Some(known), errno, "is not listed, and looking at it failed")
            }
        }
    }

    fn gone(&mut self, known: usize) {
        self.differ(known);
        self.into.names_differ = true;
    }

    /// A name that is there, looked at before its turn or not. `at` is how many base
    /// entries came before it.
    fn listed(
        &mut self,
        name: &CStr,
        file_type: FileType,
        look: Option<Look>,
        known: Option<usize>,
        at: usize,
    ) {
        if file_type == FileType::Directory {
            let base = known.map(|known| self.base.get(known));
            if !self.is_excluded(name, true, base.as_ref(), known, at) {
                self.directory(name, false, base.as_ref(), known, at);
            }
            return;
        }
        self.into.names_statted += 1;
        match look.unwrap_or_else(|| stat_name(self.descriptor, name, &self.file_system, false)) {
            Ok(found) if self.is_same_file(&found, known) => self.same(at),
            Ok(found) => self.statted(name, &found, known, at),
            Err(errno) => self.not_statted(name, known, errno),
        }
    }

    /// What nearly every name comes to, without making an entry of it: in scope
    /// before, and with exactly the stat data that the base has.
    #[inline]
    fn is_same_file(&self, found: &Metadata, known: Option<usize>) -> bool {
        let Some(known) = known else { return false };
        let in_scope = self.options.same_rules_as_base || self.options.exclude.is_empty();
        in_scope
            && found.file_type == FileType::RegularFile
            && self.is_trusted(&found.stamp)
            && self.base.is_plain_file(known, &found.stamp, &found.permissions)
    }

    fn is_trusted(&self, stamp: &Stamp) -> bool {
        self.distrusted_from.is_none_or(|from| stamp.mtime.max(stamp.ctime) < from)
    }

    fn statted(&mut self, name: &CStr, found: &Metadata, known: Option<usize>, at: usize) {
        if let Some(known) = known
            && found.file_type != FileType::Directory
            && self.led_to_a_mount(known)
        {
            return self.visit_lost_mount(known);
        }
        let base = known.map(|known| self.base.get(known));
        let followed = self.options.links == LinkPolicy::Follow;
        if followed && found.file_type == FileType::Symlink {
            return self.followed_link(name, found, base.as_ref(), known, at);
        }
        let is_directory = found.file_type == FileType::Directory;
        if self.is_excluded(name, is_directory, base.as_ref(), known, at) {
            return;
        }
        match found.file_type {
            FileType::Directory => self.directory(name, false, base.as_ref(), known, at),
            FileType::RegularFile => self.file(name, found, EntryFlags::NONE, base.as_ref(), known, at),
            FileType::Symlink => self.link(name, found, base.as_ref(), known, at),
            _ => self.special(name, found, base.as_ref(), known, at),
        }
    }

    /// A listed name of which stat says nothing good.
    pub(crate) fn not_statted(&mut self, name: &CStr, known: Option<usize>, errno: Errno) {
        match (errno, known) {
            (Errno::NOENT, Some(known)) if self.led_to_a_mount(known) => self.visit_lost_mount(known),
            (Errno::NOENT, Some(known)) if self.keep_missing => {
                self.into.incomplete = true;
                self.same(known);
            }
            (Errno::NOENT, Some(known)) => {
                self.into.must_list = true;
                self.gone(known);
            }
            // Came and went.
            (Errno::NOENT, None) => {}
            (errno, known) => self.unreadable(name, known, errno, "cannot be looked at"),
        }
    }

    /// Asks the exclude rules, and deals with the name if they leave it out.
    pub(crate) fn is_excluded(
        &mut self,
        name: &CStr,
        is_directory: bool,
        base: Option<&Entry<'_>>,
        known: Option<usize>,
        at: usize,
    ) -> bool {
        if self.options.exclude.is_empty() {
            return false;
        }
        let was_directory = |entry: &Entry<'_>| matches!(entry.kind, EntryKind::Directory | EntryKind::Mount);
        if self.options.same_rules_as_base && base.is_some_and(|entry| was_directory(entry) == is_directory) {
            return false;
        }
        self.into.names_matched += 1;
        let mut path = (self.path)();
        path.push(name.to_bytes());
        let Some(rule) = self.options.exclude.verdict(&path, is_directory) else { return false };
        self.into.excluded += 1;
        if self.options.report_excluded {
            self.into.notes.push(Note::Excluded(path, rule.to_owned()));
        }
        match known {
            Some(known) => self.out_of_scope(known),
            None => debug_assert!(at <= self.base.len()),
        }
        true
    }

    /// The base's own entry, marked: neither present nor gone.
    pub(crate) fn out_of_scope(&mut self, known: usize) {
        let entry = self.base.get(known);
        self.leave_scope(known, entry);
    }

    /// As [`Merge::out_of_scope`], and this is recorded in its place: the next scan finds it known.
    pub(crate) fn out_of_scope_replaced_by(
        &mut self,
        known: usize,
        kind: EntryKind,
        found: &Metadata,
        content: Content<'_>,
    ) {
        let name = self.base.name(known);
        let &Metadata { stamp, permissions, .. } = found;
        self.leave_scope(known, Entry { name, kind, flags: EntryFlags::NONE, stamp, permissions, content });
    }

    fn leave_scope(&mut self, known: usize, pending: Entry<'_>) {
        let entry = self.base.get(known);
        self.differ(known);
        // The next base drops the entry, and may then find something else under its name.
        self.into.incomplete = true;
        match entry.content {
            Content::Child(pointer) => self.into.directories_out_of_scope.push(pointer),
            _ => self.into.files_out_of_scope += u64::from(entry.kind == EntryKind::File),
        }
        let flags = pending.flags.with(EntryFlags::OUT_OF_SCOPE);
        self.into.pending.push(Entry { flags, ..pending });
    }

    pub(crate) fn directory(
        &mut self,
        name: &CStr,
        followed: bool,
        base: Option<&Entry<'_>>,
        known: Option<usize>,
        at: usize,
    ) {
        let flags = if followed { EntryFlags::FOLLOWED } else { EntryFlags::NONE };
        let same_kind = base.is_some_and(|entry| {
            entry.kind == EntryKind::Mount || (entry.child().is_some() && entry.flags == flags)
        });
        let position = if same_kind {
            let position = self.position(at);
            self.same(at);
            position
        } else {
            self.differ(at);
            self.into.names_differ |= known.is_none();
            let position = self.position(at);
            self.push(name, EntryKind::Directory, flags, None, Content::Child(NOT_YET));
            position
        };
        self.into.children.push(Child {
            name: name.into(),
            position,
            base: base.and_then(Entry::child),
            followed,
            uploaded_link: base.filter(|_| followed).and_then(LinkEntry::of_uploaded).map(Box::new),
            is_new: !same_kind,
        });
    }

    pub(crate) fn file(
        &mut self,
        name: &CStr,
        found: &Metadata,
        flags: EntryFlags,
        base: Option<&Entry<'_>>,
        known: Option<usize>,
        at: usize,
    ) {
        if let Some(base) = base
            && base.kind == EntryKind::File
            && base.flags.without(EntryFlags::FILLED_IN) == flags
            && self.is_trusted(&found.stamp)
            && is_unchanged(base, &found.stamp, &found.permissions)
        {
            return self.same(at);
        }
        if base.is_some_and(|base| is_all_but_the_inode(&base.stamp, &found.stamp)) {
            self.into.inodes_changed += 1;
        }
        self.replace(name, EntryKind::File, flags, Some(found), Content::Unread, known, at);
    }

    pub(crate) fn special(
        &mut self,
        name: &CStr,
        found: &Metadata,
        base: Option<&Entry<'_>>,
        known: Option<usize>,
        at: usize,
    ) {
        if base.is_some_and(|base| base.kind == EntryKind::Special && base.permissions == found.permissions) {
            return self.same(at);
        }
        self.into.specials += 1;
        // Without a stamp: a FIFO's times move whenever it is used.
        let found = Metadata { stamp: Stamp::default(), ..*found };
        self.replace(name, EntryKind::Special, EntryFlags::NONE, Some(&found), Content::None, known, at);
    }

    /// An error is never a deletion: what the base knows stays, and is named.
    pub(crate) fn unreadable(&mut self, name: &CStr, known: Option<usize>, errno: Errno, what: &str) {
        self.note(name, format!("{what}: {}", std::io::Error::from(errno)));
        self.into.incomplete = true;
        if let Some(known) = known {
            self.same(known);
        }
    }

    pub(crate) fn note(&mut self, name: &CStr, reason: String) {
        let mut path = (self.path)();
        path.push(name.to_bytes());
        self.into.notes.push(Note::Unprotected(path, reason));
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn replace(
        &mut self,
        name: &CStr,
        kind: EntryKind,
        flags: EntryFlags,
        found: Option<&Metadata>,
        content: Content<'_>,
        known: Option<usize>,
        at: usize,
    ) {
        self.differ(at);
        self.into.names_differ |= known.is_none();
        self.push(name, kind, flags, found, content);
    }

    fn push(
        &mut self,
        name: &CStr,
        kind: EntryKind,
        flags: EntryFlags,
        found: Option<&Metadata>,
        content: Content<'_>,
    ) {
        self.into.pending.push(Entry {
            name: name.to_bytes(),
            kind,
            flags,
            stamp: found.map_or_else(Stamp::default, |found| found.stamp),
            permissions: found.map_or_else(Default::default, |found| found.permissions),
            content,
        });
    }

    /// The base's entry at `known` stays as it is.
    pub(crate) fn same(&mut self, known: usize) {
        if self.into.differs {
            self.into.pending.push(self.base.get(known));
        }
    }

    /// From here on the result is a directory of its own: what was the same so
    /// far is copied.
    fn differ(&mut self, at: usize) {
        if !self.into.differs {
            self.into.differs = true;
            for known in 0..at {
                self.into.pending.push(self.base.get(known));
            }
        }
    }

    /// Where the next entry will stand, in the base or in the new directory.
    fn position(&self, at: usize) -> u32 {
        (if self.into.differs { self.into.pending.len() } else { at }) as u32
    }
}
