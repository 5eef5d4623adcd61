//! What differs between two trees at one path.

use crate::model::{
    Content, ContentDigest, DirectoryAttributes, DirectoryPointer, Entry, EntryFlags, EntryKind, Permissions,
    Stamp, TreePath,
};

/// An [`Entry`] that stands on its own, without the directory it was read from
/// and without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEntry {
    /// What it is.
    pub kind: EntryKind,
    /// Marks.
    pub flags: EntryFlags,
    /// The stat key.
    pub stamp: Stamp,
    /// Mode and owner.
    pub permissions: Permissions,
    /// Content of a file that was read.
    pub digest: Option<ContentDigest>,
    /// Target of a symlink.
    pub target: Option<Vec<u8>>,
    /// Node of a directory.
    pub child: Option<DirectoryPointer>,
}

impl OwnedEntry {
    /// The same as an entry called `name`.
    pub fn as_entry<'a>(&'a self, name: &'a [u8]) -> Entry<'a> {
        let content = match self.kind {
            EntryKind::File => self.digest.map_or(Content::Unread, Content::Read),
            EntryKind::Symlink => Content::Target(self.target.as_deref().unwrap_or_default()),
            EntryKind::Directory => self.child.map_or(Content::None, Content::Child),
            EntryKind::Special | EntryKind::Mount => Content::None,
        };
        Entry {
            name,
            kind: self.kind,
            flags: self.flags,
            stamp: self.stamp,
            permissions: self.permissions,
            content,
        }
    }

    /// A later look at the file of `base`: [`EntryFlags::FILLED_IN`] stays as long as
    /// content, size and mtime do (after a `chmod`, say).
    #[must_use]
    pub fn filled_in_like(self, base: &OwnedEntry) -> OwnedEntry {
        let stays = base.flags.contains(EntryFlags::FILLED_IN)
            && self.digest == base.digest
            && self.stamp.size == base.stamp.size
            && self.stamp.mtime == base.stamp.mtime;
        let flags = if stays { self.flags.with(EntryFlags::FILLED_IN) } else { self.flags };
        OwnedEntry { flags, ..self }
    }

    /// True for what lies on the mirror as an object of its own: files, and
    /// symlinks that were uploaded as `.rclonelink`.
    pub fn is_on_mirror(&self) -> bool {
        match self.kind {
            EntryKind::File => true,
            EntryKind::Symlink => self.flags.contains(EntryFlags::UPLOADED_LINK),
            _ => false,
        }
    }

    /// A file of the mirror, or with `as_link` a link that was uploaded: one path may be that of both.
    pub fn is_object(&self, as_link: bool) -> bool {
        self.is_on_mirror() && (self.kind == EntryKind::Symlink) == as_link
    }
}

impl From<&Entry<'_>> for OwnedEntry {
    fn from(entry: &Entry<'_>) -> Self {
        OwnedEntry {
            kind: entry.kind,
            flags: entry.flags,
            stamp: entry.stamp,
            permissions: entry.permissions,
            digest: entry.digest(),
            target: match entry.content {
                Content::Target(target) => Some(target.to_vec()),
                _ => None,
            },
            child: entry.child(),
        }
    }
}

/// One path at which `base` and `pending` differ. At least one side is there.
///
/// Changes come in [`TreePath`] order. A directory that differs is a change of
/// its own, followed by the changes below it; when it was added or removed,
/// everything below it is listed too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What the base holds there.
    pub base: Option<OwnedEntry>,
    /// What the pending tree holds there.
    pub pending: Option<OwnedEntry>,
    /// Stat data of the pending directory, where `pending` is one (and in scope).
    pub pending_attributes: Option<DirectoryAttributes>,
    /// The base's record of this directory is damaged: `base` is `None`, but
    /// something may lie on the mirror all the same.
    pub base_is_unknown: bool,
}
