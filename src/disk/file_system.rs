//! What a file system can be trusted with.

use rustix::fs::statfs;
use std::path::Path;

/// True when files there may be read through a memory map: the bytes lie on this
/// machine. Where a server may vanish, or a process that serves them, a map that
/// cannot be filled ends the reader with SIGBUS, and `pread` answers with an error.
/// False as well when the system does not say what it is.
pub fn can_be_mapped(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| !is_served(found.f_type as u32))
}

fn is_served(magic: u32) -> bool {
    matches!(
        magic,
        // FUSE (sshfs, rclone mount, mergerfs, ntfs-3g), CIFS, SMB2, SMB
        0x6573_5546 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b
        // NFS, Ceph, 9p, AFS (two), Lustre, Coda, OCFS2, GFS2, GPFS
        | 0x6969 | 0x00c3_6400 | 0x0102_1997 | 0x5346_414f | 0x6b41_4653 | 0x0bd0_0bd0 | 0x7375_7245
        | 0x7461_636f | 0x0116_1970 | 0x4750_4653
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn local_disks_are_mapped_and_served_ones_are_not() {
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0x794c_7630] {
            assert!(!is_served(local), "{local:x}");
        }
        for served in [0x6969, 0x6573_5546, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997] {
            assert!(is_served(served), "{served:x}");
        }
        let folder = tempfile::tempdir().unwrap();
        let magic = statfs(folder.path()).unwrap().f_type as u32;
        assert_eq!(can_be_mapped(folder.path()), !is_served(magic));
        assert!(!can_be_mapped(&folder.path().join("nothing")));
    }
}
