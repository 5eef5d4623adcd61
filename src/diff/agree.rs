//! When two entries of the same name count as equal.

use crate::model::{Content, DirectoryPointer, Entry, EntryFlags, Stamp, Timestamp};

/// What "equal" means for a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Equality {
    /// Stat data count: a touched file is a difference. For a run, which must
    /// look at whatever is not proven unchanged.
    Stamp,
    /// The same; but from this time on no stamp proves anything, because the clock was
    /// set back to about then: what was not read again is a difference.
    StampBefore(Timestamp),
    /// Names, kinds, sizes and contents count; times and owners do not. For
    /// showing history to people.
    Content,
}

impl Equality {
    /// True when a pair of directories need not be opened.
    pub(super) fn skips(self, base: &DirectoryPointer, pending: &DirectoryPointer) -> bool {
        match self {
            Equality::Stamp | Equality::StampBefore(_) => {
                base.node == pending.node && base.content == pending.content
            }
            Equality::Content => base.content == pending.content,
        }
    }

    /// True when two entries that are no directories do not differ.
    pub(super) fn agrees(self, base: &Entry<'_>, pending: &Entry<'_>) -> bool {
        if base.kind != pending.kind {
            return false;
        }
        match self {
            Equality::Stamp | Equality::StampBefore(_) => {
                same_marks(base.flags, pending.flags)
                    && base.stamp == pending.stamp
                    && base.permissions == pending.permissions
                    && self.known_content_stands(base, pending)
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

    /// The pending side of a file that was not read in this run is `Unread`. Under
    /// an equal, settled stamp the base's content stands for it. That is also what
    /// makes a walk after a checkpoint pass over everything already confirmed.
    fn known_content_stands(self, base: &Entry<'_>, pending: &Entry<'_>) -> bool {
        match (base.content, pending.content) {
            (_, Content::Unread) if !self.trusts(&pending.stamp) => false,
            (Content::Read(_), Content::Unread) => !base.flags.contains(EntryFlags::RACY),
            (base_content, pending_content) => base_content == pending_content,
        }
    }

    fn trusts(self, stamp: &Stamp) -> bool {
        match self {
            Equality::StampBefore(time) => stamp.mtime.max(stamp.ctime) < time,
            Equality::Stamp | Equality::Content => true,
        }
    }
}

fn is_executable(entry: &Entry<'_>) -> bool {
    entry.permissions.mode & 0o111 != 0
}

fn same_marks(base: EntryFlags, pending: EntryFlags) -> bool {
    // Both say how the content was read, not what the entry is; RACY is judged with the content.
    let of_reading = EntryFlags::RACY.with(EntryFlags::FILLED_IN);
    base.without(of_reading) == pending.without(of_reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentDigest, EntryKind, Permissions};

    fn file(seconds: i64, content: Content<'static>) -> Entry<'static> {
        let time = Timestamp { seconds, nanoseconds: 0 };
        Entry {
            name: b"a",
            kind: EntryKind::File,
            flags: EntryFlags::NONE,
            stamp: Stamp { size: 3, mtime: time, ctime: Timestamp::default(), inode: 5 },
            permissions: Permissions::default(),
            content,
        }
    }

    #[test]
    fn a_stamp_of_a_time_that_comes_twice_proves_nothing() {
        let set_back_to = Equality::StampBefore(Timestamp { seconds: 10, nanoseconds: 0 });
        let read = Content::Read(ContentDigest([0; 32]));
        for (seconds, is_trusted) in [(9, true), (10, false), (11, false)] {
            let (base, pending) = (file(seconds, read), file(seconds, Content::Unread));
            assert!(Equality::Stamp.agrees(&base, &pending));
            assert_eq!(set_back_to.agrees(&base, &pending), is_trusted, "{seconds}");
            // Read in this run, or taken over by the scan.
            assert!(set_back_to.agrees(&base, &base));
        }
    }
}
