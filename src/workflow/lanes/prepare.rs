//! Reading files right before they are sent, so that rclone finds them in the
//! page cache.

use crate::model::{BatchItem, Change, ContentDigest, EntryFlags, EntryKind, OwnedEntry, TreePath};
use crate::observe::Observer;
use crate::scan::{FileReader, ReadFileError, RootDirectory, read_each};
use crate::workflow::trashing::removal_item;

/// A path on its way to the remote.
#[derive(Debug, Clone)]
pub(in crate::workflow) struct Candidate {
    pub(in crate::workflow) path: TreePath,
    /// What the source has; after reading, with digest and the stamp it was read under.
    pub(in crate::workflow) pending: OwnedEntry,
    /// What the mirror holds at the same place.
    pub(in crate::workflow) base: Option<OwnedEntry>,
}

/// What reading a candidate came to.
#[derive(Debug)]
pub(in crate::workflow) enum Prepared {
    /// Read under a stable stamp.
    Ready(Box<Candidate>),
    /// Gone since the scan: the next run will see to it.
    Vanished,
    /// Not readable: unprotected, for this reason.
    Refused(TreePath, String),
}

impl Candidate {
    /// Takes over a change that has something to send.
    pub(in crate::workflow) fn from_change(change: Change) -> Option<Self> {
        Some(Candidate {
            path: change.path,
            pending: change.pending?,
            base: change.base.filter(OwnedEntry::is_on_mirror),
        })
    }

    /// True when the mirror already holds this very content.
    pub(in crate::workflow) fn is_same_content(&self) -> bool {
        self.base.as_ref().filter(|base| base.kind == self.pending.kind).is_some_and(|base| match base.kind {
            EntryKind::Symlink => base.target == self.pending.target,
            _ => base.digest.is_some() && base.digest == self.pending.digest,
        })
    }

    /// True when only reading can tell whether the mirror holds this content.
    fn may_be_same_content(&self) -> bool {
        self.base
            .as_ref()
            .is_some_and(|base| base.kind == self.pending.kind && base.stamp.size == self.pending.stamp.size)
    }

    /// What is asked of the remote for the new version.
    pub(in crate::workflow) fn upload_item(&self) -> BatchItem {
        BatchItem {
            path: self.path.clone(),
            as_link: self.pending.kind == EntryKind::Symlink,
            stamp: self.pending.stamp,
            permissions: self.pending.permissions,
            digest: self.pending.digest,
        }
    }

    /// What is asked of the remote for the old version.
    pub(in crate::workflow) fn trash_item(&self) -> BatchItem {
        let old = self.base.as_ref().unwrap_or(&self.pending);
        removal_item(self.path.clone(), old)
    }
}

/// Reads all candidates, in parallel. Files of more than `read_bytes_max` are
/// left unread when they go up in any case: they are hashed beside their upload.
pub(in crate::workflow) fn read_all(
    source: &RootDirectory,
    candidates: Vec<Candidate>,
    read_bytes_max: u64,
    observer: &dyn Observer,
) -> Vec<Prepared> {
    read_while(&|| true, source, candidates, read_bytes_max, observer)
}

/// As [`read_all`], until nobody wants it any more; what is given back then is not all.
pub(in crate::workflow) fn read_while(
    is_wanted: &(dyn Fn() -> bool + Sync),
    source: &RootDirectory,
    candidates: Vec<Candidate>,
    read_bytes_max: u64,
    observer: &dyn Observer,
) -> Vec<Prepared> {
    let is_left = |candidate: &Candidate| {
        candidate.pending.stamp.size > read_bytes_max && !candidate.may_be_same_content()
    };
    let read = read_each(
        source,
        candidates,
        |candidate| candidate.pending.stamp.size,
        |reader, candidate| {
            is_wanted().then(|| {
                if is_left(&candidate) {
                    return Prepared::Ready(Box::new(candidate));
                }
                read_one(reader, candidate, observer)
            })
        },
    );
    read.into_iter().flatten().collect()
}

/// Reads one candidate under a stable stamp.
pub(in crate::workflow) fn read_one(
    source: &mut FileReader<'_>,
    mut candidate: Candidate,
    observer: &dyn Observer,
) -> Prepared {
    if let Some(target) = &candidate.pending.target {
        candidate.pending.digest = Some(ContentDigest::of(target));
        return Prepared::Ready(Box::new(candidate));
    }
    let follow = candidate.pending.flags.contains(EntryFlags::FOLLOWED);
    match source.read(&candidate.path, follow, observer) {
        Ok(read) => {
            let flags = candidate.pending.flags.without(EntryFlags::RACY);
            candidate.pending.flags = if read.settled { flags } else { flags.with(EntryFlags::RACY) };
            candidate.pending.stamp = read.stamp;
            candidate.pending.permissions = read.permissions;
            candidate.pending.digest = Some(read.digest);
            Prepared::Ready(Box::new(candidate))
        }
        Err(ReadFileError::Vanished { .. }) => Prepared::Vanished,
        Err(error) => Prepared::Refused(candidate.path, error.to_string()),
    }
}
