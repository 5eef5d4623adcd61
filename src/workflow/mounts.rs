//! Where other file systems are mounted below the source, remembered from run to run:
//! a disk that is not mounted must not look like a folder whose files were all deleted.
//!
//! Written before anything of a new disk is sent, and shortened when the base no longer
//! knows what stood there. A job without such disks has no such file.

use super::committed::Committed;
use super::halt::Halt;
use super::job_run::JobRun;
use crate::commit::{SideFile, StateDir};
use crate::model::{EntryKind, TreePath};
use crate::scan::{Mounts, Presence, ScanReport};
use std::collections::BTreeSet;

/// What the file begins with. Then, for each mount point, the id of its file system (8 bytes,
/// little-endian; 0: not known), its path and a NUL byte.
const HEADER: &[u8] = b"treeferry mounts 1\n";

/// What is known of the mount points in one run.
#[derive(Debug, Default)]
pub(super) struct MountMemory {
    /// As the file has them.
    written: Mounts,
    /// Those that must be there.
    before: Mounts,
    /// Those that this scan entered.
    entered: Mounts,
    /// The same, and those of before that were not given up.
    there: Mounts,
}

impl MountMemory {
    /// `is_forgotten`: a person said that what was mounted may be gone.
    pub(super) fn read(state: &StateDir, is_forgotten: bool) -> Result<MountMemory, Halt> {
        let bytes = state.read_side_file(SideFile::Mounts).map_err(Halt::fatal)?;
        let written = bytes.map_or(Ok(Mounts::default()), |bytes| {
            parse(&bytes).ok_or_else(|| {
                let path = state.path().display();
                Halt::Fatal(format!(
                    "{path}/mounts was written by another version of treeferry: use that one"
                ))
            })
        })?;
        let before = if is_forgotten { Mounts::default() } else { written.clone() };
        Ok(MountMemory { written, before, ..MountMemory::default() })
    }

    /// For the scan.
    pub(super) fn before(&self) -> &Mounts {
        &self.before
    }

    /// Where something is mounted, or what stands there is left alone.
    pub(super) fn there(&self) -> &Mounts {
        &self.there
    }

    /// Takes over what the scan saw.
    pub(super) fn learn(&mut self, scanned: &ScanReport) {
        let given_up: BTreeSet<&TreePath> = scanned.mounts_given_up.iter().collect();
        self.there = self.before.clone();
        self.there.0.retain(|path, _| !given_up.contains(path));
        self.entered = scanned.mounts.clone();
        self.there.0.extend(self.entered.0.clone());
    }

    /// Adds to the file what was entered: it must be there before anything of it is in the base.
    pub(super) fn write_all(&mut self, committed: &Committed<'_>) -> Result<(), Halt> {
        let mut all = self.written.clone();
        all.0.extend(self.entered.0.clone());
        write(committed, &self.written, &all)?;
        self.written = all;
        Ok(())
    }
}

impl JobRun<'_> {
    /// Names disks that the scan entered and that are not there any more: files of theirs that vanished
    /// on the way up were not deleted.
    pub(super) fn name_lost_mounts(&mut self) {
        let mounts = self.mounts;
        for path in mounts.entered.0.keys() {
            if matches!(self.presence(path), Presence::Unknown(_)) {
                self.unprotected(
                    path,
                    "a disk was unmounted here while the backup ran; what was not sent before is not protected",
                );
            }
        }
    }

    /// Leaves those out that are not entered any more and of which the base holds nothing. To be
    /// called when the base is what it will be.
    pub(super) fn forget_mounts(&self) -> Result<(), Halt> {
        if self.options.dry_run || self.mounts.written == self.mounts.entered {
            return Ok(());
        }
        let views = self.views();
        let mut left = self.mounts.there.clone();
        left.0.retain(|path, _| {
            let is_held = || match views.base_entry(path) {
                Ok(entry) => entry.is_some_and(|entry| entry.kind == EntryKind::Directory),
                Err(_) => true,
            };
            self.mounts.entered.0.contains_key(path) || is_held()
        });
        write(&self.committed, &self.mounts.written, &left)
    }
}

fn write(committed: &Committed<'_>, written: &Mounts, mounts: &Mounts) -> Result<(), Halt> {
    if written == mounts {
        return Ok(());
    }
    let (state, disk) = (committed.state, committed.disk());
    if mounts.0.is_empty() {
        return state.remove_side_file(disk, SideFile::Mounts).map_err(Halt::fatal);
    }
    let mut bytes = HEADER.to_vec();
    for (path, file_system) in &mounts.0 {
        bytes.extend_from_slice(&file_system.to_le_bytes());
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
    }
    state.write_side_file(disk, SideFile::Mounts, &bytes).map_err(Halt::fatal)
}

/// `None` for bytes of another version.
fn parse(bytes: &[u8]) -> Option<Mounts> {
    let mut rest = bytes.strip_prefix(HEADER)?;
    let mut mounts = Mounts::default();
    while !rest.is_empty() {
        let (file_system, after) = rest.split_first_chunk()?;
        let end = after.iter().position(|&byte| byte == 0)?;
        let path = TreePath::from_bytes(&after[..end]).ok().filter(|path| !path.is_root())?;
        mounts.0.insert(path, u64::from_le_bytes(*file_system));
        rest = &after[end + 1..];
    }
    Some(mounts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_file_is_not_taken_for_an_empty_one() {
        let entry = b"\x07\0\0\0\0\0\0\0disk\xff\0";
        let mounts = parse(&[HEADER, entry].concat()).unwrap();
        assert_eq!(mounts.0, [(TreePath::from_bytes(*b"disk\xff").unwrap(), 7)].into());
        assert_eq!(parse(HEADER), Some(Mounts::default()));
        for damaged in [&b""[..], b"treeferry mounts 2\n", &[HEADER, b"short"].concat()] {
            assert_eq!(parse(damaged), None);
        }
        for end in HEADER.len() + 1..HEADER.len() + entry.len() {
            assert_eq!(parse(&[HEADER, entry].concat()[..end]), None, "{end}");
        }
        assert_eq!(parse(&[HEADER, &[0; 9]].concat()), None, "the source is no mount point below itself");
    }
}
