//! When two entries of the same name count as equal.

use crate::model::{Content, DirectoryPointer, Entry, EntryFlags};

/// What "equal" means for a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Equality {
    /// Stat data count: a touched file is a difference. For a run, which must
    /// look at whatever is not proven unchanged.
    Stamp,
    /// Names, kinds, sizes and contents count; times and owners do not. For
    /// showing history to people.
    Content,
}

impl Equality {
    /// True when a pair of directories need not be opened.
    pub(super) fn skips(self, base: &DirectoryPointer, pending: &DirectoryPointer) -> bool {
        match self {
            Equality::Stamp => base.node == pending.node && base.content == pending.content,
            Equality::Content => base.content == pending.content,
        }
    }

    /// True when two entries that are no directories do not differ.
    pub(super) fn agrees(self, base: &Entry<'_>, pending: &Entry<'_>) -> bool {
        if base.kind != pending.kind {
            return false;
        }
        match self {
            Equality::Stamp => {
                same_marks(base.flags, pending.flags)
                    && base.stamp == pending.stamp
                    && base.permissions == pending.permissions
                    && known_content_stands(base, pending)
            }
            Equality::Content => match (base.content, pending.content) {
                (Content::Read(base_digest), Content::Read(pending_digest)) => {
                    base_digest == pending_digest && is_executable(base) == is_executable(pending)
                }
                // A hash that was filled in is no change of the content.
                (Content::Unread | Content::Read(_), Content::Unread | Content::Read(_)) => {
                    base.stamp.size == pending.stamp.size && base.stamp.mtime == pending.stamp.mtime
                }
                (base_content, pending_content) => base_content == pending_content,
            },
        }
    }
}

fn is_executable(entry: &Entry<'_>) -> bool {
    entry.permissions.mode & 0o111 != 0
}

fn same_marks(base: EntryFlags, pending: EntryFlags) -> bool {
    // RACY says how the content was read, not what the entry is; it is judged with the content.
    base.without(EntryFlags::RACY) == pending.without(EntryFlags::RACY)
}

/// The pending side of a file that was not read in this run is `Unread`. Under
/// an equal, settled stamp the base's content stands for it. That is also what
/// makes a walk after a checkpoint pass over everything already confirmed.
fn known_content_stands(base: &Entry<'_>, pending: &Entry<'_>) -> bool {
    match (base.content, pending.content) {
        (Content::Read(_), Content::Unread) => !base.flags.contains(EntryFlags::RACY),
        (base_content, pending_content) => base_content == pending_content,
    }
}
