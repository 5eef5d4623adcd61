//! Files that rotted in the source: their content changed under an unchanged
//! stamp. The mirror holds the good copy; nothing may overwrite it unasked.

use super::halt::Halt;
use super::job_run::JobRun;
use super::ledger::PathState;
use crate::commit::{SideFile, StateDir};
use crate::disk::Disk;
use crate::model::{ContentDigest, Stamp, Timestamp, TreePath};
use crate::scan::Presence;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a rotten file was found to be. Neither ctime nor inode: a `chmod` or a
/// copy of it is no healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotten {
    pub(super) digest: ContentDigest,
    pub(super) size: u64,
    pub(super) mtime: Timestamp,
}

/// The rotten files of a job, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Quarantine {
    rotten: BTreeMap<TreePath, Rotten>,
    lifted: BTreeMap<TreePath, Rotten>,
}

/// What the quarantine says of a file that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not in it.
    Free,
    /// It is the rotten file still.
    Rotten,
    /// Another content under the stamp of the rotten one: back to what it was, or rotten in yet another
    /// way, as on a disk that is dying. What the index says of it tells.
    Another,
    /// Somebody wrote it since.
    Rewritten,
}

impl Quarantine {
    /// As it is kept.
    pub(super) fn load(state: &StateDir) -> Result<Self, Halt> {
        let bytes = state.read_side_file(SideFile::Quarantine).map_err(Halt::fatal)?.unwrap_or_default();
        Quarantine::decode(&bytes).ok_or_else(|| {
            Halt::Fatal(format!(
                "the file `quarantine` in {} is damaged; remove it, then run `treeferry verify --source` again",
                state.path().display()
            ))
        })
    }

    /// Keeps it, when it is not what is kept already.
    pub(super) fn save(&self, state: &StateDir, disk: &dyn Disk) -> Result<(), Halt> {
        let kept = state.read_side_file(SideFile::Quarantine).map_err(Halt::fatal)?.unwrap_or_default();
        let bytes = self.encode();
        if bytes == kept {
            return Ok(());
        }
        state.write_side_file(disk, SideFile::Quarantine, &bytes).map_err(Halt::fatal)
    }

    /// How many files there are in it.
    pub(super) fn len(&self) -> usize {
        self.rotten.len()
    }

    /// The file at `path` is not rotten any more, or goes up all the same.
    pub(super) fn lift(&mut self, path: &TreePath) {
        if let Some(rotten) = self.rotten.remove(path) {
            self.lifted.insert(path.clone(), rotten);
        }
    }

    /// Takes what was lifted out of what is kept. What a verification found
    /// meanwhile stays.
    pub(super) fn save_lifted(&mut self, state: &StateDir, disk: &dyn Disk) -> Result<(), Halt> {
        if self.lifted.is_empty() {
            return Ok(());
        }
        let mut kept = Quarantine::load(state)?;
        let lifted = std::mem::take(&mut self.lifted);
        kept.rotten.retain(|path, rotten| lifted.get(path) != Some(rotten));
        kept.save(state, disk)
    }

    /// The rotten files.
    fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.rotten.keys()
    }

    pub(super) fn add(&mut self, path: TreePath, rotten: Rotten) {
        self.rotten.insert(path, rotten);
    }

    pub(super) fn remove(&mut self, path: &TreePath) {
        self.rotten.remove(path);
    }

    /// What it says of the file at `path`, which was just read.
    pub(super) fn verdict(&self, path: &TreePath, stamp: &Stamp, digest: Option<ContentDigest>) -> Verdict {
        match self.rotten.get(path) {
            None => Verdict::Free,
            Some(rotten) if rotten.size != stamp.size || rotten.mtime != stamp.mtime => Verdict::Rewritten,
            Some(rotten) if digest.is_none_or(|digest| digest == rotten.digest) => Verdict::Rotten,
            Some(_) => Verdict::Another,
        }
    }

    /// Records ended by NUL, which no path holds: digest, size and mtime as text, then the path.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, rotten) in &self.rotten {
            let mut head = String::new();
            let Rotten { digest, size, mtime } = rotten;
            let _ = write!(head, "{digest} {size} {} {} ", mtime.seconds, mtime.nanoseconds);
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(path.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut quarantine = Quarantine::default();
        for record in bytes.split_inclusive(|&byte| byte == 0) {
            let record = record.strip_suffix(&[0])?;
            let mut fields = record.splitn(5, |&byte| byte == b' ');
            let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
            let digest = digest_from(text()?)?;
            let size = text()?.parse().ok()?;
            let mtime = Timestamp { seconds: text()?.parse().ok()?, nanoseconds: text()?.parse().ok()? };
            let path = TreePath::from_bytes(fields.next()?).ok()?;
            quarantine.add(path, Rotten { digest, size, mtime });
        }
        Some(quarantine)
    }
}

impl JobRun<'_> {
    /// A rotten file that was deleted, or renamed, takes its good version out of the mirror; and what
    /// is rotten goes up under the new name, where nobody knows it. The deletion is as good as any
    /// other, but it is said while there is a way back.
    pub(super) fn let_go_of_deleted_rot(&mut self) {
        let is_gone = |path: &&TreePath| matches!(self.ledger.state_of(path), Some(PathState::Gone));
        let gone: Vec<TreePath> = self.quarantine.paths().filter(is_gone).cloned().collect();
        for path in gone {
            if self.ledger.keeps(&path) {
                self.tell_of_kept_version(&path);
                continue;
            }
            let way_back = match (self.trashes_deleted(), self.committed.docket.facts.last_run) {
                (true, Some(run)) => format!(
                    "went to the trash with it (`treeferry restore {path} --job {} --at {run} --to DIR` gets it back \
                     while it is kept there)",
                    self.job.name
                ),
                (true, None) => "went to the trash with it".to_owned(),
                (false, _) => "was deleted from the mirror with it".to_owned(),
            };
            self.warn(format!(
                "{path}: it was rotten, and is gone from the source: its good version {way_back}. If it was renamed, it \
                 is the rotten content that is backed up under the new name"
            ));
            self.quarantine.lift(&path);
        }
    }

    /// The mirror has the good version still: the file stays in quarantine for the day it comes back.
    fn tell_of_kept_version(&mut self, path: &TreePath) {
        if !matches!(self.presence(path), Presence::Present { .. }) {
            self.warn(format!(
                "{path}: it was rotten, and is gone from the source: its good version stays on the mirror. If it was \
                 renamed, it is the rotten content that is backed up under the new name"
            ));
        }
    }
}

fn digest_from(text: &str) -> Option<ContentDigest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(ContentDigest(digest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rotten() -> Rotten {
        Rotten {
            digest: ContentDigest([0xab; 32]),
            size: 7,
            mtime: Timestamp { seconds: -5, nanoseconds: 999_999_999 },
        }
    }

    #[test]
    fn what_is_kept_reads_back_and_what_is_not_ours_is_refused() {
        let mut quarantine = Quarantine::default();
        for name in ["a b/c", "line\nfeed", " "] {
            quarantine.add(TreePath::from_bytes(name).unwrap(), rotten());
        }
        quarantine.add(TreePath::from_bytes(b"\xff".to_vec()).unwrap(), rotten());
        let bytes = quarantine.encode();
        assert_eq!(Quarantine::decode(&bytes), Some(quarantine));
        assert_eq!(Quarantine::decode(b""), Some(Quarantine::default()));
        for end in 1..bytes.len() {
            let whole_records = bytes[..end].ends_with(&[0]);
            assert_eq!(Quarantine::decode(&bytes[..end]).is_some(), whole_records, "{end}");
        }
    }

    #[test]
    fn a_new_ctime_is_no_healing_and_a_new_mtime_is() {
        let mut quarantine = Quarantine::default();
        let path = TreePath::from_bytes("a").unwrap();
        quarantine.add(path.clone(), rotten());
        let stamp = Stamp { size: 7, mtime: rotten().mtime, ..Stamp::default() };
        let verdict = |stamp: &Stamp, digest| quarantine.verdict(&path, stamp, Some(digest));
        assert_eq!(verdict(&stamp, rotten().digest), Verdict::Rotten);
        let touched = Stamp { ctime: Timestamp { seconds: 9, nanoseconds: 0 }, inode: 8, ..stamp };
        assert_eq!(verdict(&touched, rotten().digest), Verdict::Rotten);
        assert_eq!(verdict(&touched, ContentDigest([1; 32])), Verdict::Another);
        assert_eq!(verdict(&Stamp { size: 8, ..stamp }, rotten().digest), Verdict::Rewritten);
        assert_eq!(
            verdict(&Stamp { mtime: Timestamp::default(), ..stamp }, rotten().digest),
            Verdict::Rewritten
        );
    }
}
