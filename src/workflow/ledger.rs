//! What became of the paths since the last commit.
//!
//! Bounded: the run commits a checkpoint before this grows large.

use super::committed::Aside;
use crate::index::{Edit, MovedAway, RunCounts};
use crate::model::{BatchItem, OwnedEntry, TreePath};
use std::collections::{BTreeMap, BTreeSet};

/// What is confirmed of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathState {
    /// The mirror holds this.
    Held(OwnedEntry),
    /// The mirror holds nothing here any more.
    Gone,
}

/// Confirmed outcomes, by path.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    states: BTreeMap<TreePath, PathState>,
    folders_gone: BTreeSet<TreePath>,
    kept: BTreeMap<TreePath, Option<OwnedEntry>>,
    moved_away: Vec<MovedAway>,
    /// Figures since the last commit, for the run record.
    pub(super) counts: RunCounts,
}

impl Ledger {
    /// The mirror holds `entry` at `path`.
    pub(super) fn held(&mut self, path: TreePath, entry: OwnedEntry) {
        self.states.insert(path, PathState::Held(entry));
    }

    /// The mirror holds nothing at `path` any more.
    fn gone(&mut self, path: TreePath) {
        self.states.insert(path, PathState::Gone);
    }

    /// This object has left the mirror. `known` is what the base has at its path: when that is something else (a
    /// folder that came after a broken upload), it stays known.
    pub(super) fn object_gone(&mut self, item: &BatchItem, known: Option<&OwnedEntry>) {
        if known.is_none_or(|known| known.is_object(item.as_link)) {
            self.gone(item.path.clone());
        }
    }

    /// The version that lay at this path lies in the run's trash now.
    pub(super) fn moved_to_trash(&mut self, moved: MovedAway) {
        self.moved_away.push(moved);
    }

    /// Versions that were moved away were discarded for good; `paths` as they are on the mirror.
    pub(super) fn discarded(&mut self, paths: &BTreeSet<TreePath>) {
        self.moved_away.retain(|moved| !paths.contains(&moved.path));
    }

    /// Everything at and below `path` went to the trash as one folder.
    pub(super) fn folder_gone(&mut self, path: TreePath) {
        self.folders_gone.insert(path);
    }

    /// The mirror goes on holding `entry`, which the source no longer has.
    pub(super) fn keep(&mut self, path: TreePath, entry: OwnedEntry) {
        self.states.insert(path.clone(), PathState::Gone);
        self.kept.insert(path, Some(entry));
    }

    /// What was kept at `path` is not kept any more.
    pub(super) fn unkeep(&mut self, path: TreePath) {
        self.kept.insert(path, None);
    }

    /// It came to be kept in this run.
    pub(super) fn keeps(&self, path: &TreePath) -> bool {
        matches!(self.kept.get(path), Some(Some(_)))
    }

    /// What is confirmed of `path`.
    pub(super) fn state_of(&self, path: &TreePath) -> Option<&PathState> {
        static GONE: PathState = PathState::Gone;
        self.states.get(path).or_else(|| self.folder_above(path).then_some(&GONE))
    }

    /// Folders that leave as a whole are never nested, so the nearest one before
    /// the path decides.
    fn folder_above(&self, path: &TreePath) -> bool {
        self.folders_gone.range(..=path).next_back().is_some_and(|folder| path.is_within(folder))
    }

    /// Something came to the mirror.
    pub(super) fn holds_anything(&self) -> bool {
        self.states.values().any(|state| matches!(state, PathState::Held(_)))
    }

    /// How much there is to commit.
    pub(super) fn len(&self) -> usize {
        self.states.len() + self.folders_gone.len() + self.kept.len()
    }

    /// True when there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.moved_away.is_empty()
    }

    /// The confirmed outcomes as edits of the base, in path order.
    ///
    /// What is gone from the mirror may still be in the source: its directory is
    /// marked to be listed again, or the next scan would pass it over.
    pub(super) fn base_edits(&self) -> Vec<Edit> {
        let gone = |path: &TreePath| {
            vec![Edit::Remove { path: path.clone() }, Edit::Unconfirmed { path: path.clone() }]
        };
        let removed_folders = self.folders_gone.iter().map(|path| (path, gone(path)));
        let states = self.states.iter().map(|(path, state)| match state {
            PathState::Held(entry) => (path, vec![Edit::Put { path: path.clone(), entry: entry.clone() }]),
            PathState::Gone => (path, gone(path)),
        });
        let mut edits: Vec<(&TreePath, Vec<Edit>)> = removed_folders.chain(states).collect();
        edits.sort_by_key(|(path, _)| *path);
        edits.into_iter().flat_map(|(_, edits)| edits).collect()
    }

    /// What goes into the commit beside the base: the edits of the kept tree, and
    /// what was moved away, in path order.
    pub(super) fn take_aside(&mut self) -> Aside {
        let kept_edits = std::mem::take(&mut self.kept)
            .into_iter()
            .map(|(path, entry)| match entry {
                Some(entry) => Edit::Put { path, entry },
                None => Edit::Remove { path },
            })
            .collect();
        let mut moved_away = std::mem::take(&mut self.moved_away);
        moved_away.sort_by(|a, b| a.path.cmp(&b.path));
        moved_away.dedup_by(|later, earlier| later.path == earlier.path);
        Aside { kept_edits, moved_away, counts: std::mem::take(&mut self.counts) }
    }
}
