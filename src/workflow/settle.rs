//! From what was planned and what was confirmed to the next base.
//!
//! The committed tree is the base plus confirmed outcomes, never simply the
//! pending tree. This file is where that sentence is carried out.

use super::ledger::{Ledger, PathState};
use crate::diff::{Changes, DiffError};
use crate::index::Edit;
use crate::model::{Change, EntryFlags, EntryKind, OwnedEntry, TreePath};
use crate::plan::{Classifier, Decision, Policy, Upload};

/// The edits that turn the base into the next one, in path order: for every
/// change what is confirmed of it, and a mark where nothing is.
pub(super) fn edits<'a>(
    changes: Changes<'a>,
    policy: Policy<'a>,
    ledger: &'a Ledger,
) -> impl Iterator<Item = Result<Edit, DiffError>> + 'a {
    let mut classifier = Classifier::new(policy);
    // What still lies on the mirror where a folder is now. Whatever the index recorded below it would take
    // its place there, and nobody would move it away any more.
    let mut in_the_way: Option<TreePath> = None;
    changes.flat_map(move |change| match change {
        Err(error) => vec![Err(error)],
        Ok(change) => {
            let decision = classifier.decide(&change);
            in_the_way = in_the_way.take().filter(|above| change.path.is_within(above));
            if in_the_way.is_some() && ledger.state_of(&change.path).is_none() {
                return vec![Ok(Edit::Unconfirmed { path: change.path })];
            }
            if in_the_way.is_none() && gives_way_to_a_folder(&change, decision, ledger) {
                in_the_way = Some(change.path.clone());
            }
            edits_of(change, decision, ledger).into_iter().map(Ok).collect()
        }
    })
}

fn gives_way_to_a_folder(change: &Change, decision: Decision, ledger: &Ledger) -> bool {
    let is_folder =
        |entry: &Option<OwnedEntry>| entry.as_ref().is_some_and(|entry| entry.kind == EntryKind::Directory);
    change.base.is_some()
        && !is_folder(&change.base)
        && is_folder(&change.pending)
        && !decision.is_local()
        && ledger.state_of(&change.path).is_none()
}

fn edits_of(change: Change, decision: Decision, ledger: &Ledger) -> Vec<Edit> {
    if decision.is_local() {
        return local_edits(change);
    }
    let path = change.path.clone();
    match ledger.state_of(&path) {
        Some(PathState::Held(entry)) => vec![Edit::Put { path, entry: entry.clone() }],
        Some(PathState::Gone) if decision.upload != Upload::None => {
            // The old version is in the trash and the new one did not arrive: the mirror
            // holds nothing here, and the directory must be looked at again.
            vec![Edit::Remove { path: path.clone() }, Edit::Unconfirmed { path }]
        }
        Some(PathState::Gone) => local_edits(change),
        None => vec![Edit::Unconfirmed { path }],
    }
}

/// What only the index records: the pending side as it is.
fn local_edits(change: Change) -> Vec<Edit> {
    let Change { path, base, pending, pending_attributes, .. } = change;
    match pending.and_then(|entry| recorded(entry, base.as_ref())) {
        Some(entry) => match entry.kind {
            EntryKind::Directory => {
                let attributes =
                    pending_attributes.map(|attributes| Edit::Directory { path: path.clone(), attributes });
                marked_directory(path, entry, base.as_ref()).into_iter().chain(attributes).collect()
            }
            EntryKind::File => vec![Edit::Put { path, entry: with_known_content(entry, base.as_ref()) }],
            // Files of a folder that was here may still lie on the mirror.
            _ => vec![Edit::PutIfEmpty { path, entry }],
        },
        _ if base.as_ref().is_some_and(|entry| entry.kind == EntryKind::Directory) => {
            // Its files were settled one by one; some may have had to stay.
            vec![Edit::RemoveIfEmpty { path }]
        }
        _ => vec![Edit::Remove { path }],
    }
}

/// What the index has from now on. Of what left the scope nothing, unless something that only the index
/// records stands in its place.
fn recorded(entry: OwnedEntry, base: Option<&OwnedEntry>) -> Option<OwnedEntry> {
    let flags = entry.flags.without(EntryFlags::OUT_OF_SCOPE);
    let has_left = flags != entry.flags;
    let is_of_base = base.is_none_or(|base| (base.kind, base.flags) == (entry.kind, flags));
    (!has_left || !is_of_base).then_some(OwnedEntry { flags, ..entry })
}

/// That a directory was reached through a link stands with its name, not with what is in it.
fn marked_directory(path: TreePath, entry: OwnedEntry, base: Option<&OwnedEntry>) -> Option<Edit> {
    let before = base.filter(|base| base.kind == EntryKind::Directory).map(|base| base.flags);
    let is_known = entry.flags == before.unwrap_or(EntryFlags::NONE) || path.is_root();
    (!is_known).then_some(Edit::Put { path, entry: OwnedEntry { child: None, ..entry } })
}

/// A file whose content is proven the same keeps the base's digest under its new stamp.
fn with_known_content(entry: OwnedEntry, base: Option<&OwnedEntry>) -> OwnedEntry {
    let digest = entry.digest.or_else(|| base.and_then(|base| base.digest));
    let entry = OwnedEntry { digest, ..entry };
    match base {
        Some(base) => entry.filled_in_like(base),
        None => entry,
    }
}
