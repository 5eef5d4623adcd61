//! The trees of a run as the lanes see them.

use super::halt::Halt;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::index::{NodeFile, PendingTree, Root, Tree, find};
use crate::model::{Directory, DirectoryPointer, EntryKind, OwnedEntry, TreePath, TreeView};
use crate::observe::Observer;
use crate::transfer::NameEncoding;

/// Base, pending and kept tree as they were when the views were taken. A
/// checkpoint in between changes none of them: committed nodes never change.
#[derive(Clone, Copy)]
pub(super) struct Views<'a> {
    pub(super) nodes: &'a NodeFile,
    pub(super) base: Option<Root>,
    pub(super) kept: Option<Root>,
    pub(super) pending: &'a PendingTree<'a>,
    pub(super) observer: &'a dyn Observer,
}

/// What stands against a new path on the side of what is kept.
pub(super) enum KeptConflict {
    /// Nothing.
    None,
    /// A kept file lies where a folder must be.
    FileAbove(TreePath, Box<OwnedEntry>),
    /// A kept folder lies where a file must be.
    FolderHere,
}

impl<'a> Views<'a> {
    pub(super) fn base(&self) -> Tree<'a> {
        Tree::new(self.nodes, self.base, self.observer)
    }

    pub(super) fn kept(&self) -> Tree<'a> {
        Tree::new(self.nodes, self.kept, self.observer)
    }

    /// What the mirror holds at exactly this path, and the source had too.
    pub(super) fn base_entry(&self, path: &TreePath) -> Result<Option<OwnedEntry>, Halt> {
        find(&self.base(), path).map_err(Halt::damaged_index)
    }

    /// What the source has at exactly this path.
    pub(super) fn pending_entry(&self, path: &TreePath) -> Result<Option<OwnedEntry>, Halt> {
        find(self.pending, path).map_err(Halt::fatal)
    }

    /// A path of the mirror whose name depends on the way in which names are written.
    pub(super) fn first_name_that_is_encoded(&self) -> Result<Option<TreePath>, Halt> {
        let mut found = None;
        for tree in [self.base(), self.kept()] {
            walk(&tree, &Selection::new(&[]), &mut |path, visit| {
                let is_held =
                    matches!(&visit, Visit::Entry(entry) if OwnedEntry::from(*entry).is_on_mirror());
                if found.is_none() && is_held && NameEncoding::differs_by_default(path) {
                    found = Some(path.clone());
                }
                Ok(if found.is_some() { Next::Past } else { Next::Into })
            })?;
        }
        Ok(found)
    }

    /// What is kept on the mirror at exactly this path.
    pub(super) fn kept_entry(&self, path: &TreePath) -> Result<Option<OwnedEntry>, Halt> {
        if self.kept.is_none() {
            return Ok(None);
        }
        let found = find(&self.kept(), path).map_err(Halt::damaged_index)?;
        Ok(found.filter(OwnedEntry::is_on_mirror))
    }

    /// Where what is kept below the folder at `path` is written down.
    pub(super) fn kept_folder(&self, path: &TreePath) -> Result<Option<DirectoryPointer>, Halt> {
        if self.kept.is_none() {
            return Ok(None);
        }
        Ok(find(&self.kept(), path).map_err(Halt::damaged_index)?.and_then(|entry| entry.child))
    }

    /// What is kept on the mirror where it hinders a new file at `path`.
    pub(super) fn kept_conflict(&self, path: &TreePath) -> Result<KeptConflict, Halt> {
        if self.kept.is_none() {
            return Ok(KeptConflict::None);
        }
        let mut above = path.parent();
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            if let Some(kept) = self.kept_entry(&folder)? {
                return Ok(KeptConflict::FileAbove(folder, Box::new(kept)));
            }
            above = folder.parent();
        }
        Ok(if self.keeps_anything_below(path)? { KeptConflict::FolderHere } else { KeptConflict::None })
    }

    /// True when something below the folder at `path` is kept on the mirror.
    pub(super) fn keeps_anything_below(&self, path: &TreePath) -> Result<bool, Halt> {
        if self.kept.is_none() {
            return Ok(false);
        }
        let found = find(&self.kept(), path).map_err(Halt::damaged_index)?;
        Ok(found.is_some_and(|entry| entry.kind == EntryKind::Directory && self.files_below_kept(&entry) > 0))
    }

    fn files_below_kept(&self, folder: &OwnedEntry) -> u64 {
        let Some(pointer) = folder.child else { return 0 };
        let totals = self.kept().read_directory(&pointer, &mut Directory::default());
        // A damaged node: something may be kept there.
        totals.map_or(1, |totals| totals.files)
    }

    /// True when nothing is known to lie on the mirror at or below the folder at `path`.
    pub(super) fn mirror_lacks_folder(&self, path: &TreePath) -> Result<bool, Halt> {
        let known = self.base_entry(path)?.filter(|entry| entry.kind == EntryKind::Directory);
        let is_held = known.is_some_and(|folder| self.files_below(&folder) > 0);
        Ok(!is_held && !self.keeps_anything_below(path)?)
    }

    /// How many files the base has below a directory of its own.
    pub(super) fn files_below(&self, folder: &OwnedEntry) -> u64 {
        let Some(pointer) = folder.child else { return 0 };
        let totals = self.base().read_directory(&pointer, &mut Directory::default());
        // A damaged node: nothing is known of it, so it is not moved as a whole.
        totals.map_or(0, |totals| totals.files)
    }
}
