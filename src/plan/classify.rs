//! What a change asks for.

use crate::model::{Change, EntryFlags, EntryKind, LINK_ENDING, OwnedEntry, TreePath};
use std::collections::BTreeSet;

/// What the user wants to happen with what is no longer in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy<'a> {
    /// `on_delete = "keep"`: a vanished file stays on the mirror.
    pub keep_deleted: bool,
    /// `--accept excluded`: what left the scope is removed as if deleted.
    pub remove_out_of_scope: bool,
    /// Where something may lie that a damaged index has forgotten.
    pub unknown: &'a BTreeSet<TreePath>,
}

/// What happens to the object that the base knows at this path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing: there is none, or it stays, or it is replaced (see [`Upload`]).
    None,
    /// It vanished from the source: to the trash, or deleted.
    Plain,
    /// It is in the way of something of another type that goes up in this run:
    /// always to the trash, and before anything else.
    Blocking,
    /// It stays on the mirror and is known as kept from now on.
    Keep,
}

/// What happens to the object that the source has at this path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// Nothing to send.
    None,
    /// Nothing known lies at the target.
    New,
    /// An older version lies there and differs for certain: trash it, then send.
    Changed,
    /// An older version lies there under another stamp: read the file first.
    Suspect,
}

/// The two answers for one change. Both `None` for what only the index records:
/// directories, links that are recorded, FIFOs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// For the base's side.
    pub removal: Removal,
    /// For the pending side.
    pub upload: Upload,
}

impl Decision {
    const NOTHING: Decision = Decision { removal: Removal::None, upload: Upload::None };

    /// True when the remote has no part in it.
    pub fn is_local(self) -> bool {
        self == Decision::NOTHING
    }
}

/// Decides change by change, in path order; it remembers which directory on the
/// way was replaced by something of another type.
#[derive(Debug)]
pub struct Classifier<'a> {
    policy: Policy<'a>,
    /// A directory of the base at whose path an object must now go up.
    blocked: Option<TreePath>,
}

impl<'a> Classifier<'a> {
    /// A classifier for one walk.
    pub fn new(policy: Policy<'a>) -> Self {
        Classifier { policy, blocked: None }
    }

    /// Decides. Changes must come in path order.
    pub fn decide(&mut self, change: &Change) -> Decision {
        if self.blocked.as_ref().is_some_and(|blocked| !change.path.is_within(blocked)) {
            self.blocked = None;
        }
        let base = change.base.as_ref().filter(|entry| entry.is_on_mirror());
        let pending = change.pending.as_ref().filter(|entry| entry.is_on_mirror());
        let left_scope =
            change.pending.as_ref().is_some_and(|entry| entry.flags.contains(EntryFlags::OUT_OF_SCOPE));
        if left_scope {
            return match base {
                None => Decision::NOTHING,
                Some(_) if self.policy.remove_out_of_scope => Self::removal(Removal::Plain),
                Some(_) => Self::removal(Removal::Keep),
            };
        }
        let base_is_directory = change.base.as_ref().is_some_and(|entry| entry.kind == EntryKind::Directory);
        if base_is_directory && pending.is_some_and(|entry| entry.kind == EntryKind::File) {
            self.blocked = Some(change.path.clone());
        }
        match (base, pending) {
            (None, None) => Decision::NOTHING,
            (None, Some(_)) if self.is_unknown(change) => {
                // Something may lie there: treat it as an older version, which is moved away
                // first. Where nothing lies there, the move finds nothing and the file is new.
                Decision { removal: Removal::None, upload: Upload::Changed }
            }
            (None, Some(_)) => Decision { removal: Removal::None, upload: Upload::New },
            (Some(_), None) => Self::removal(self.removal_of(change)),
            (Some(base), Some(pending)) if base.kind != pending.kind => {
                // `a` and `a.rclonelink` are two objects and neither is in the other's way; but the
                // index has one entry for both, so that what it says of the old one must be
                // done before the new one is there.
                Decision { removal: Removal::Blocking, upload: Upload::New }
            }
            (Some(base), Some(pending)) => {
                Decision { removal: Removal::None, upload: compare(base, pending) }
            }
        }
    }

    fn is_unknown(&self, change: &Change) -> bool {
        change.base_is_unknown || (change.base.is_none() && self.policy.unknown.contains(&change.path))
    }

    fn removal_of(&self, change: &Change) -> Removal {
        let becomes_directory =
            change.pending.as_ref().is_some_and(|entry| entry.kind == EntryKind::Directory);
        // A link `a` lies there as `a.rclonelink` and would hinder nobody; but the index has one entry
        // for it and the folder, on the side of what is kept as well.
        if self.blocked.is_some() || becomes_directory {
            Removal::Blocking
        } else if self.policy.keep_deleted {
            Removal::Keep
        } else {
            Removal::Plain
        }
    }

    const fn removal(removal: Removal) -> Decision {
        Decision { removal, upload: Upload::None }
    }
}

/// Both sides lie on the mirror as the same kind of object.
fn compare(base: &OwnedEntry, pending: &OwnedEntry) -> Upload {
    match base.kind {
        EntryKind::Symlink if base.target == pending.target => Upload::None,
        EntryKind::Symlink => Upload::Changed,
        _ if base.stamp.size != pending.stamp.size => Upload::Changed,
        _ if pending.digest.is_some() && pending.digest == base.digest => Upload::None,
        _ => Upload::Suspect,
    }
}

/// The path under which an entry lies on the mirror: its own, or with rclone's
/// ending for links that are uploaded.
pub fn mirror_path(path: &TreePath, as_link: bool) -> TreePath {
    if !as_link {
        return path.clone();
    }
    let mut bytes = path.as_bytes().to_vec();
    bytes.extend_from_slice(LINK_ENDING);
    TreePath::from_bytes(bytes).unwrap_or_else(|_| path.clone())
}

/// The path of the link that lies on the mirror as `name`, if that is the name of one.
pub fn path_of_link(name: &TreePath) -> Option<TreePath> {
    let path = TreePath::from_bytes(name.as_bytes().strip_suffix(LINK_ENDING)?).ok()?;
    (!path.is_root() && mirror_path(&path, true) == *name).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentDigest, Permissions, Stamp};

    fn entry(kind: EntryKind, size: u64, content: Option<&[u8]>) -> OwnedEntry {
        OwnedEntry {
            kind,
            flags: EntryFlags::NONE,
            stamp: Stamp { size, ..Stamp::default() },
            permissions: Permissions::default(),
            digest: content.map(ContentDigest::of),
            target: None,
            child: None,
        }
    }

    fn held(size: u64) -> Option<OwnedEntry> {
        Some(entry(EntryKind::File, size, Some(b"held")))
    }

    fn seen(size: u64) -> Option<OwnedEntry> {
        Some(entry(EntryKind::File, size, None))
    }

    fn folder() -> Option<OwnedEntry> {
        Some(entry(EntryKind::Directory, 0, None))
    }

    fn change(path: &str, base: Option<OwnedEntry>, pending: Option<OwnedEntry>) -> Change {
        Change {
            path: TreePath::from_bytes(path).unwrap_or_default(),
            base,
            pending,
            pending_attributes: None,
            base_is_unknown: false,
        }
    }

    static KNOWN: BTreeSet<TreePath> = BTreeSet::new();

    const DELETE: Policy<'static> =
        Policy { keep_deleted: false, remove_out_of_scope: false, unknown: &KNOWN };
    const KEEP: Policy<'static> = Policy { keep_deleted: true, ..DELETE };

    fn decide(policy: Policy<'_>, changes: &[Change]) -> Vec<(Removal, Upload)> {
        let mut classifier = Classifier::new(policy);
        changes.iter().map(|change| classifier.decide(change)).map(|d| (d.removal, d.upload)).collect()
    }

    #[test]
    fn the_plain_cases() {
        let changes = [
            change("new", None, seen(1)),
            change("grown", held(1), seen(2)),
            change("touched", held(1), seen(1)),
            change("gone", held(1), None),
            change("folder", folder(), folder()),
        ];
        assert_eq!(
            decide(DELETE, &changes),
            [
                (Removal::None, Upload::New),
                (Removal::None, Upload::Changed),
                (Removal::None, Upload::Suspect),
                (Removal::Plain, Upload::None),
                (Removal::None, Upload::None),
            ]
        );
        assert_eq!(decide(KEEP, &changes)[3], (Removal::Keep, Upload::None));
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_leaves_even_when_deletions_are_kept() {
        let changes = [change("a", held(1), folder()), change("a/x", None, seen(1))];
        assert_eq!(decide(KEEP, &changes), [(Removal::Blocking, Upload::None), (Removal::None, Upload::New)]);
    }

    #[test]
    fn a_file_leaves_before_a_link_of_its_name_goes_up() {
        let link = || {
            let link = entry(EntryKind::Symlink, 6, Some(b"target"));
            Some(OwnedEntry { flags: EntryFlags::UPLOADED_LINK, ..link })
        };
        let changes = [change("a", held(1), link()), change("b", link(), seen(1))];
        for policy in [KEEP, DELETE] {
            assert_eq!(decide(policy, &changes), [(Removal::Blocking, Upload::New); 2]);
        }
    }

    #[test]
    fn everything_below_a_folder_in_the_way_of_a_file_leaves_first() {
        let changes =
            [change("a", folder(), seen(1)), change("a/x", held(1), None), change("a.txt", held(1), None)];
        assert_eq!(
            decide(KEEP, &changes),
            [(Removal::None, Upload::New), (Removal::Blocking, Upload::None), (Removal::Keep, Upload::None)]
        );
    }

    #[test]
    fn a_link_makes_room_for_a_folder_of_its_name_though_it_lies_beside_it() {
        let mut link = entry(EntryKind::Symlink, 1, None);
        link.flags = EntryFlags::UPLOADED_LINK;
        let changes = [change("a", Some(link), folder()), change("a/x", None, seen(1))];
        for policy in [DELETE, KEEP] {
            assert_eq!(
                decide(policy, &changes),
                [(Removal::Blocking, Upload::None), (Removal::None, Upload::New)]
            );
        }
    }

    #[test]
    fn the_name_of_a_link_on_the_mirror_leads_back_to_its_path() {
        for path in ["a", "b/a", "a.rclonelink"] {
            let path = TreePath::from_bytes(path).unwrap_or_default();
            assert_eq!(path_of_link(&mirror_path(&path, true)), Some(path));
        }
        for name in ["a", "b/.rclonelink", ".rclonelink", "rclonelink"] {
            assert_eq!(path_of_link(&TreePath::from_bytes(name).unwrap_or_default()), None, "{name}");
        }
    }

    #[test]
    fn what_left_the_scope_is_kept_unless_somebody_accepts() {
        let mut left = held(1);
        if let Some(entry) = &mut left {
            entry.flags = EntryFlags::OUT_OF_SCOPE;
        }
        let changes = [change("a", held(1), left)];
        assert_eq!(decide(DELETE, &changes), [(Removal::Keep, Upload::None)]);
        let accepted = Policy { remove_out_of_scope: true, ..DELETE };
        assert_eq!(decide(accepted, &changes), [(Removal::Plain, Upload::None)]);
    }

    #[test]
    fn under_a_damaged_node_nothing_is_taken_for_new() {
        let mut unknown = change("a", None, seen(1));
        unknown.base_is_unknown = true;
        assert_eq!(decide(DELETE, &[unknown]), [(Removal::None, Upload::Changed)]);
    }
}
