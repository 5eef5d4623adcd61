//! When a time stamp can be trusted, and when a directory need not be listed
//! again.

use crate::model::{DirectoryAttributes, DirectoryFlags, Timestamp};
use rustix::fs::{StatFs, fstatfs};
use std::os::fd::AsFd;

/// Whether directories that are known to be the same are listed all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SkipSettled {
    /// Not listed again where the file system keeps its promises.
    #[default]
    Auto,
    /// Every directory is listed, and where one would not have been, its names must
    /// be those of the base.
    Check,
    /// Every directory is listed.
    Off,
}

/// What is to be known of the file system that a directory lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// How much older than our stat a time must be to be settled, in ns.
    pub(crate) margin_ns: u64,
    /// Inode numbers last over remounts and evictions.
    pub(crate) stable_inodes: bool,
    /// A local file system: cached attributes are the true ones.
    pub(crate) local: bool,
    /// A directory whose mtime and ctime stay has the same names.
    pub(crate) settles: bool,
    /// Where it says that a hole is, there is one.
    pub(crate) tells_holes: bool,
}

/// The times of a local file system come from our own kernel's clock, which
/// ticks every 1 to 10 ms.
const LOCAL_MARGIN_NS: u64 = 20_000_000;
/// FAT keeps two seconds; and whatever is not known is taken for no better.
const COARSE_MARGIN_NS: u64 = 3_000_000_000;
/// The times come from somebody else's clock.
const NETWORK_MARGIN_NS: u64 = 60_000_000_000;

impl FileSystem {
    pub(crate) fn of(directory: impl AsFd) -> FileSystem {
        fstatfs(directory)
            .map_or(FileSystem::UNKNOWN, |found: StatFs| FileSystem::of_type(found.f_type as u32))
    }

    const UNKNOWN: FileSystem = FileSystem {
        margin_ns: COARSE_MARGIN_NS,
        stable_inodes: true,
        local: false,
        settles: false,
        tells_holes: false,
    };

    fn of_type(magic: u32) -> FileSystem {
        let trusted = FileSystem {
            margin_ns: LOCAL_MARGIN_NS,
            stable_inodes: true,
            local: true,
            settles: true,
            tells_holes: true,
        };
        let network = FileSystem { margin_ns: NETWORK_MARGIN_NS, ..FileSystem::UNKNOWN };
        match magic {
            // ext2/3/4, XFS, btrfs, f2fs, tmpfs, bcachefs
            0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010 | 0x0102_1994 | 0xca45_1a4e => trusted,
            // ZFS: up to 2.2.1 it told holes where data had just been written
            0x2fc1_2fc1 => FileSystem { tells_holes: false, ..trusted },
            // overlayfs: times are those of the layers, but a listing is merged from several directories
            0x794c_7630 => FileSystem { settles: false, ..trusted },
            // FAT, exFAT, NTFS (ntfs3)
            0x4d44 | 0x2011_bab0 | 0x7366_746e => FileSystem { stable_inodes: false, ..FileSystem::UNKNOWN },
            // FUSE (sshfs, mergerfs, ntfs-3g), CIFS, SMB2, SMB
            0x6573_5546 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b => {
                FileSystem { stable_inodes: false, ..network }
            }
            // NFS, Ceph, 9p, AFS, Lustre
            0x6969 | 0x00c3_6400 | 0x0102_1997 | 0x5346_414f | 0x0bd0_0bd0 => network,
            _ => FileSystem::UNKNOWN,
        }
    }

    /// The racily-clean rule: both times lie so far before `seen_at`, the time
    /// of our own stat, that a later change must show.
    ///
    /// Compared with our stat and not with the time the index was written: git
    /// and jj do the latter, and miss "read, rewritten in the same tick, index
    /// written some ticks later".
    ///
    /// An mtime in the future was set by somebody (a camera or a NAS whose clock is ahead), and says
    /// nothing about when. Where the ctime is our own kernel's and part of the key, it does: every
    /// write and every setting of times moves it to the present, which lies behind one that is settled.
    /// A ctime in the future is that of a clock that was ahead itself: nothing is settled then.
    pub(crate) fn is_settled(&self, mtime: Timestamp, ctime: Timestamp, seen_at: Timestamp) -> bool {
        let is_told_by_ctime = self.keeps_ctime() && mtime > seen_at;
        let changed = if is_told_by_ctime { ctime } else { mtime.max(ctime) };
        before(changed, self.margin_ns, seen_at)
    }

    /// The ctime comes from our own kernel, and two stamps that differ in it are not the same
    /// ([`crate::scan::unchanged::is_unchanged`] leaves it out where inodes do not last).
    fn keeps_ctime(&self) -> bool {
        self.local && self.stable_inodes
    }
}

/// A store into a memory-mapped page that is already dirty changes no time
/// stamp until the kernel writes the page back (30 s by default). A file that was
/// written this short before it is read is written back first, so that every later
/// store shows. (tmpfs never writes back: there, a second store leaves no trace.)
pub(crate) const MAPPED_WRITES_NS: u64 = 60_000_000_000;

/// True when `time` lies more than `margin_ns` before `seen_at`.
pub(crate) fn before(time: Timestamp, margin_ns: u64, seen_at: Timestamp) -> bool {
    let nanoseconds =
        |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    nanoseconds(time) + i128::from(margin_ns) < nanoseconds(seen_at)
}

/// `margin_ns` before `time`, or some time more.
pub(crate) fn earlier(time: Timestamp, margin_ns: u64) -> Timestamp {
    let seconds = (margin_ns / 1_000_000_000 + 1) as i64;
    Timestamp { seconds: time.seconds.saturating_sub(seconds), nanoseconds: time.nanoseconds }
}

/// What to do with a directory that the base knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// It must be listed.
    Needed,
    /// The base's names are all there is: look at each of them instead.
    Skip,
    /// As `Skip`, but this one is listed to see whether the rule holds here.
    Probe,
}

/// One of this many settled directories is listed all the same.
const PROBE_ONE_IN: u64 = 64;

/// Decides whether a directory is listed, from what the base and a fresh stat
/// say of it. `seed` varies from run to run, so that other directories are probed.
pub(crate) fn listing(base: &DirectoryAttributes, now: &DirectoryAttributes, seed: u64) -> Listing {
    let same = base.mtime == now.mtime && base.ctime == now.ctime && base.inode == now.inode;
    if !same || !base.flags.contains(DirectoryFlags::SETTLED) {
        return Listing::Needed;
    }
    // SplitMix64: neighbouring inode numbers must not be probed together.
    let mut mixed = (now.inode ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    if (mixed ^ (mixed >> 31)).is_multiple_of(PROBE_ONE_IN) { Listing::Probe } else { Listing::Skip }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanoseconds: u32) -> Timestamp {
        Timestamp { seconds, nanoseconds }
    }

    #[test]
    fn the_later_of_mtime_and_ctime_must_be_older_than_the_margin() {
        let ext4 = FileSystem::of_type(0xef53);
        assert!(ext4.is_settled(at(5, 0), at(9, 979_999_999), at(10, 0)));
        assert!(!ext4.is_settled(at(5, 0), at(9, 980_000_000), at(10, 0)));
        let fat = FileSystem::of_type(0x4d44);
        assert!(!fat.is_settled(at(7, 0), at(7, 0), at(10, 0)));
        assert!(fat.is_settled(at(6, 0), at(6, 0), at(10, 0)));
    }

    #[test]
    fn an_mtime_in_the_future_is_settled_by_a_ctime_that_can_be_trusted() {
        let ext4 = FileSystem::of_type(0xef53);
        assert!(ext4.is_settled(at(99, 0), at(9, 979_999_999), at(10, 0)));
        assert!(!ext4.is_settled(at(99, 0), at(9, 980_000_000), at(10, 0)), "set or written just now");
        assert!(!ext4.is_settled(at(99, 0), at(99, 0), at(10, 0)), "the clock itself was ahead");
        assert!(!ext4.is_settled(at(5, 0), at(99, 0), at(10, 0)));
        assert!(!ext4.is_settled(at(10, 0), at(5, 0), at(10, 0)), "it may come now");
        // FAT, FUSE, SMB, NFS, unknown; and one whose inodes, and with them the ctime, are left out.
        for other in [0x4d44, 0x6573_5546, 0xfe53_4d42, 0x6969, 1].map(FileSystem::of_type) {
            assert!(!other.is_settled(at(9_999, 0), at(5, 0), at(1_000, 0)), "{other:?}");
        }
        let loose = FileSystem { stable_inodes: false, ..ext4 };
        assert!(!loose.is_settled(at(99, 0), at(5, 0), at(10, 0)));
    }

    #[test]
    fn only_a_settled_directory_with_the_same_times_is_skipped() {
        let settled = DirectoryAttributes { inode: 7, flags: DirectoryFlags::SETTLED, ..Default::default() };
        let now = DirectoryAttributes { inode: 7, ..Default::default() };
        let skipped = (0..6400).filter(|&seed| listing(&settled, &now, seed) == Listing::Skip).count();
        let probed = (0..6400).filter(|&seed| listing(&settled, &now, seed) == Listing::Probe).count();
        assert_eq!(skipped + probed, 6400);
        assert!((50..150).contains(&probed), "{probed} of 6400 are probed");
        assert_eq!(listing(&now, &now, 0), Listing::Needed);
        let moved = DirectoryAttributes { ctime: at(1, 0), ..now };
        assert_eq!(listing(&settled, &moved, 0), Listing::Needed);
    }
}
