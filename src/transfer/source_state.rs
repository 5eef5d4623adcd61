//! Looks at a source file right before and right after it is sent.

use crate::model::{BatchItem, Failure, FailureClass, Outcome, Stamp, Timestamp};
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::io::Errno;
use std::path::Path;

/// `None` when the source has the very stamp under which it was read and may be
/// given to rclone; else what became of it.
///
/// A FIFO in a list hangs rclone for ever, a directory in a list ends the batch
/// of an old one.
pub(crate) fn difference(source: &Path, item: &BatchItem, follow_links: bool) -> Option<Outcome> {
    let path = item.path.below(source);
    let flags = if follow_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let found = match statx(CWD, &path, flags, StatxFlags::BASIC_STATS) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Some(Outcome::Vanished),
        Err(errno) => {
            let reason = format!("looking at it before sending: {}", std::io::Error::from(errno));
            return Some(Outcome::Failed(Failure { class: FailureClass::File, reason }));
        }
    };
    let kind = FileType::from_raw_mode(found.stx_mode.into());
    let expected = if item.as_link { FileType::Symlink } else { FileType::RegularFile };
    let stamp = stamp_of(&found);
    // Inode 0: a file system without lasting numbers.
    let inode = if item.stamp.inode == 0 { 0 } else { stamp.inode };
    let unchanged = kind == expected && Stamp { inode, ..stamp } == item.stamp;
    (!unchanged).then_some(Outcome::ChangedMeanwhile)
}

/// Something lies there that rclone would open and wait for: a pipe, a device.
pub(crate) fn is_special(source: &Path, item: &BatchItem) -> bool {
    let found = statx(CWD, item.path.below(source), AtFlags::empty(), StatxFlags::TYPE);
    let kind = found.map(|found| FileType::from_raw_mode(found.stx_mode.into()));
    matches!(kind, Ok(FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice | FileType::Socket))
}

fn stamp_of(found: &Statx) -> Stamp {
    let time = |time: StatxTimestamp| Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec };
    Stamp {
        size: found.stx_size,
        mtime: time(found.stx_mtime),
        ctime: time(found.stx_ctime),
        inode: found.stx_ino,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Permissions, TreePath};

    fn item(source: &Path, name: &str, as_link: bool) -> BatchItem {
        let path = TreePath::from_bytes(name).unwrap();
        let found =
            statx(CWD, path.below(source), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).unwrap();
        BatchItem {
            path,
            as_link,
            stamp: stamp_of(&found),
            permissions: Permissions::default(),
            digest: None,
        }
    }

    #[test]
    fn only_the_file_that_was_read_is_sent() {
        let source = tempfile::tempdir().unwrap();
        let at = |name: &str| source.path().join(name);
        std::fs::write(at("a"), "one").unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        let (a, link) = (item(source.path(), "a", false), item(source.path(), "link", true));
        assert_eq!(difference(source.path(), &a, false), None);
        assert_eq!(difference(source.path(), &link, false), None);
        let as_file = BatchItem { as_link: false, ..link };
        assert_eq!(difference(source.path(), &as_file, false), Some(Outcome::ChangedMeanwhile));

        std::fs::write(at("b"), "two").unwrap();
        std::fs::rename(at("b"), at("a")).unwrap();
        assert_eq!(difference(source.path(), &a, false), Some(Outcome::ChangedMeanwhile));
        std::fs::remove_file(at("a")).unwrap();
        assert_eq!(difference(source.path(), &a, false), Some(Outcome::Vanished));
    }
}
