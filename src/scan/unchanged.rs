//! The one decision that everything rests on: is this still the content that
//! was read before?

use crate::model::{Content, Entry, EntryFlags, Permissions, Stamp, Timestamp};

/// True when a file with these fresh stat data still has the content that
/// `base` names.
///
/// The key is size, mtime, ctime and inode. mtime alone can be set by anybody
/// (`cp -p`, `tar x`, `rsync -t`); ctime cannot, and moves with every rename,
/// chmod and write. The device number is no part of it: it changes by itself.
///
/// Inode 0 on either side means "none that lasts" (FUSE, SMB, FAT, and entries
/// taken over from a list without inodes). Then inode and ctime are left out, and
/// only size and mtime count; a rewrite that keeps both goes unseen there.
///
/// An entry marked RACY is never unchanged: its stamp proves nothing.
pub(crate) fn is_unchanged(base: &Entry<'_>, stamp: &Stamp, permissions: &Permissions) -> bool {
    if base.flags.contains(EntryFlags::RACY) || base.stamp.size != stamp.size {
        return false;
    }
    if base.stamp.inode == 0 || stamp.inode == 0 {
        // An entry from a list has no mode either; one from a stat has.
        let from_a_list = base.content == Content::Unread && base.stamp.ctime == Timestamp::default();
        return same_rounded_time(base.stamp.mtime, stamp.mtime)
            && (from_a_list || base.permissions == *permissions);
    }
    base.stamp == *stamp && base.permissions == *permissions
}

/// Equal but for what is lost on the way: network file systems and lists cut
/// nanoseconds to whole seconds (then one of the two is zero), and a time that
/// went through a 64-bit float is off by up to 240 ns.
fn same_rounded_time(a: Timestamp, b: Timestamp) -> bool {
    if a.seconds == b.seconds && (a.nanoseconds == 0 || b.nanoseconds == 0) {
        return true;
    }
    let nanoseconds =
        |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    nanoseconds(a).abs_diff(nanoseconds(b)) < 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentDigest, EntryKind};

    fn entry(stamp: Stamp) -> Entry<'static> {
        Entry {
            name: b"a",
            kind: EntryKind::File,
            flags: EntryFlags::NONE,
            stamp,
            permissions: Permissions::default(),
            content: Content::Read(ContentDigest([0; 32])),
        }
    }

    fn stamp() -> Stamp {
        let time = Timestamp { seconds: 7, nanoseconds: 9_000 };
        Stamp { size: 3, mtime: time, ctime: time, inode: 5 }
    }

    #[test]
    fn each_field_of_the_key_counts() {
        let later = Timestamp { seconds: 8, nanoseconds: 0 };
        let same = Permissions::default();
        assert!(is_unchanged(&entry(stamp()), &stamp(), &same));
        for other in [
            Stamp { size: 4, ..stamp() },
            Stamp { mtime: later, ..stamp() },
            Stamp { ctime: later, ..stamp() },
            Stamp { inode: 6, ..stamp() },
        ] {
            assert!(!is_unchanged(&entry(stamp()), &other, &same), "{other:?}");
        }
    }

    #[test]
    fn a_racy_entry_is_never_unchanged() {
        let racy = Entry { flags: EntryFlags::RACY, ..entry(stamp()) };
        assert!(!is_unchanged(&racy, &stamp(), &Permissions::default()));
    }

    #[test]
    fn without_a_lasting_inode_size_and_mtime_decide() {
        let base = entry(stamp());
        let ctime = Timestamp { seconds: 100, nanoseconds: 0 };
        let now = Stamp { inode: 0, ctime, ..stamp() };
        assert!(is_unchanged(&base, &now, &Permissions::default()));
        let later = Timestamp { seconds: 7, nanoseconds: 900_000 };
        assert!(!is_unchanged(&base, &Stamp { mtime: later, ..now }, &Permissions::default()));
        let cut = Timestamp { seconds: 7, nanoseconds: 0 };
        assert!(is_unchanged(&base, &Stamp { mtime: cut, ..now }, &Permissions::default()));
    }
}
