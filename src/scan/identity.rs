//! Which tree a source is, so that an unmounted disk is not taken for a tree
//! whose files were all deleted.

use crate::scan::{RootDirectory, ScanError};
use rustix::fs::{AtFlags, StatxFlags, fstatfs, fstatvfs, statx};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The file system a source lies on, and where it begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceIdentity {
    /// The same after a reboot; another one when another file system is mounted.
    pub file_system: u64,
    /// Inode number of the source directory.
    pub root_inode: u64,
}

/// Says which tree lies at `root`.
///
/// # Errors
/// When `root` is missing, no directory, or not readable.
pub fn identify(root: &Path) -> Result<SourceIdentity, ScanError> {
    Ok(of(&RootDirectory::open(root).map_err(|error| ScanError::of_root(root, error))?))
}

pub(crate) fn of(root: &RootDirectory) -> SourceIdentity {
    SourceIdentity { file_system: file_system_id(root), root_inode: root.inode }
}

/// The device number will not do: it is handed out in the order of discovery,
/// and for NFS, btrfs, tmpfs and the like at random. `f_fsid` will do only
/// where it is made of the UUID; XFS, f2fs and FAT make it of the device
/// number. So, in this order:
///
/// 1. ext2/3/4, btrfs, ZFS: `f_fsid`.
/// 2. a block device: its UUID, as `/dev/disk/by-uuid` names it.
/// 3. else what was mounted there, as `/proc/self/mountinfo` says:
///    `server:/export`, `//server/share`, `tmpfs`.
/// 4. `f_fsid`, whatever it is worth.
fn file_system_id(root: &RootDirectory) -> u64 {
    if let Some(id) = id_by_uuid(&root.descriptor, root.device) {
        return id;
    }
    if let Some((kind, source)) = mounted_from(&root.descriptor) {
        return id_of(&[b"mount", &kind, &source]);
    }
    id_by_fsid(&root.descriptor)
}

/// The file system of this directory, where that is told by something that is the same
/// after a reboot: 1, 2, and 3 but for devices, which are named in the order of discovery.
pub(crate) fn lasting_id(directory: impl AsFd, device: u64) -> Option<u64> {
    id_by_uuid(&directory, device).or_else(|| {
        let (kind, source) = mounted_from(&directory)?;
        (!source.starts_with(b"/dev/")).then(|| id_of(&[b"mount", &kind, &source]))
    })
}

fn id_by_uuid(directory: &impl AsFd, device: u64) -> Option<u64> {
    let (magic, fsid) = type_and_fsid(directory);
    if matches!(magic, 0xef53 | 0x9123_683e | 0x2fc1_2fc1) && fsid != 0 {
        return Some(id_by_fsid(directory));
    }
    uuid_of_device(device).map(|uuid| id_of(&[b"uuid", &uuid]))
}

fn id_by_fsid(directory: &impl AsFd) -> u64 {
    let (magic, fsid) = type_and_fsid(directory);
    id_of(&[b"fsid", &magic.to_le_bytes(), &fsid.to_le_bytes()])
}

fn type_and_fsid(directory: &impl AsFd) -> (u32, u64) {
    let magic = fstatfs(directory).map_or(0, |found| found.f_type as u32);
    (magic, fstatvfs(directory).map_or(0, |found| found.f_fsid))
}

fn id_of(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("treeferry 2026 file system identity v1");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut id = [0; 8];
    hasher.finalize_xof().fill(&mut id);
    u64::from_le_bytes(id)
}

fn uuid_of_device(device: u64) -> Option<Vec<u8>> {
    let links = std::fs::read_dir("/dev/disk/by-uuid").ok()?;
    links.flatten().find_map(|link| {
        let target = std::fs::metadata(link.path()).ok()?;
        (target.rdev() == device).then(|| link.file_name().into_encoded_bytes())
    })
}

/// Type and source of the mount that this directory lies on.
fn mounted_from(directory: impl AsFd) -> Option<(Vec<u8>, Vec<u8>)> {
    let found = statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return None;
    }
    source_of_mount(&std::fs::read("/proc/self/mountinfo").ok()?, found.stx_mnt_id)
}

/// A line is `id parent major:minor root mountpoint options [tags] - type source superoptions`.
fn source_of_mount(mountinfo: &[u8], mount: u64) -> Option<(Vec<u8>, Vec<u8>)> {
    mountinfo.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        if fields.next()? != mount.to_string().as_bytes() {
            return None;
        }
        let mut after_dash = fields.skip_while(|field| *field != b"-").skip(1);
        Some((after_dash.next()?.to_vec(), after_dash.next()?.to_vec()))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_recognised_again() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("a")).unwrap();
        let first = identify(&place.path().join("a")).unwrap();
        std::fs::write(place.path().join("a/file"), "x").unwrap();
        assert_eq!(identify(&place.path().join("a")).unwrap(), first);
        let other = identify(place.path()).unwrap();
        assert_eq!(other.file_system, first.file_system);
        assert_ne!(other.root_inode, first.root_inode);
        assert_ne!(identify(Path::new("/proc")).unwrap().file_system, first.file_system);
    }

    #[test]
    fn the_source_of_a_mount_is_found_by_its_number() {
        let info = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 22 0:31 / /mnt rw shared:5 - nfs4 nas:/export/a rw,vers=4\n";
        assert_eq!(source_of_mount(info, 36), Some((b"nfs4".to_vec(), b"nas:/export/a".to_vec())));
        assert_eq!(source_of_mount(info, 3), None);
    }

    #[test]
    fn what_is_no_source_is_named() {
        let place = tempfile::tempdir().unwrap();
        let missing = identify(&place.path().join("missing")).unwrap_err();
        assert!(matches!(missing, ScanError::SourceMissing { .. }), "{missing}");
        std::fs::write(place.path().join("file"), "x").unwrap();
        let file = identify(&place.path().join("file")).unwrap_err();
        assert!(matches!(file, ScanError::NotADirectory { .. }), "{file}");
    }
}
