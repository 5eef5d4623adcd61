//! What is known of one name in a directory.

use crate::model::{ContentDigest, DirectoryPointer, Name};

/// A point in time as the file system keeps it: seconds since 1970 (may be
/// negative, may lie beyond 2262) and nanoseconds below 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// The rest, in nanoseconds, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// The stat key: if all four are equal (and were settled), the content is the
/// one that was read before. Never the device number: it changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last content change; anybody can set it.
    pub mtime: Timestamp,
    /// Time of the last change of inode; nobody can set it.
    pub ctime: Timestamp,
    /// Inode number; 0 where the file system has none that last.
    pub inode: u64,
}

/// Permission bits and owner; kept because restore needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions {
    /// The lower twelve bits of `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What kind of thing has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file: content is held by the mirror.
    File,
    /// A directory on the same file system.
    Directory,
    /// A symbolic link, recorded with its target.
    Symlink,
    /// FIFO, socket or device: recorded, never opened.
    Special,
    /// A directory on another file system: recorded, not entered.
    Mount,
}

/// Marks of an entry, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EntryFlags(pub u8);

impl EntryFlags {
    /// No mark.
    pub const NONE: EntryFlags = EntryFlags(0);
    /// The stamp was not settled when the content was read (it could have
    /// changed again without a trace): read once more before trusting it.
    pub const RACY: EntryFlags = EntryFlags(1);
    /// A symlink that lies on the mirror as a `.rclonelink` file.
    pub const UPLOADED_LINK: EntryFlags = EntryFlags(2);
    /// Only in pending trees: the name is no longer in scope (excluded, on
    /// another mount, behind a symlink that is no longer followed). What the base
    /// has there must not be taken for present, nor for deleted. The entry is the
    /// base's own, or what only the index records in its place (the symlink itself).
    pub const OUT_OF_SCOPE: EntryFlags = EntryFlags(4);
    /// Reached through a symlink that is followed (`links = "follow"`).
    pub const FOLLOWED: EntryFlags = EntryFlags(8);
    /// Taken over without a hash, and read since under the stamp it was taken over with:
    /// it counts in C as before, by size and time, so that filling in the hash is no change.
    pub const FILLED_IN: EntryFlags = EntryFlags(16);

    /// True when all marks of `other` are set.
    pub const fn contains(self, other: EntryFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These marks and those of `other`.
    #[must_use]
    pub const fn with(self, other: EntryFlags) -> EntryFlags {
        EntryFlags(self.0 | other.0)
    }

    /// These marks without those of `other`.
    #[must_use]
    pub const fn without(self, other: EntryFlags) -> EntryFlags {
        EntryFlags(self.0 & !other.0)
    }
}

/// What stands behind a name. Which variant goes with which [`EntryKind`] is
/// fixed: `Read`/`Unread` with `File`, `Target` with `Symlink`, `Child` with
/// `Directory`, `None` with `Special` and `Mount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A file with this content.
    Read(ContentDigest),
    /// A file that was seen but not read: weak.
    Unread,
    /// The target of a symlink, as bytes.
    Target(&'a [u8]),
    /// Where the directory's own node lies.
    Child(DirectoryPointer),
    /// Nothing to be read.
    None,
}

/// One name in a directory, borrowed from a [`crate::model::Directory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name, as bytes.
    pub name: &'a Name,
    /// What it is.
    pub kind: EntryKind,
    /// Marks.
    pub flags: EntryFlags,
    /// The stat key. For directories only in the directory's own node: here it
    /// is all zero, so that a touched directory does not change its parent.
    pub stamp: Stamp,
    /// Mode and owner. All zero for directories, as above.
    pub permissions: Permissions,
    /// What stands behind it.
    pub content: Content<'a>,
}

impl Entry<'_> {
    /// The digest, when this is a file that was read.
    pub fn digest(&self) -> Option<ContentDigest> {
        match self.content {
            Content::Read(digest) => Some(digest),
            _ => None,
        }
    }

    /// The pointer, when this is a directory.
    pub fn child(&self) -> Option<DirectoryPointer> {
        match self.content {
            Content::Child(pointer) => Some(pointer),
            _ => None,
        }
    }
}
