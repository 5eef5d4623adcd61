//! The trees of a run as the lanes see them.

use super::halt::Halt;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::diff::Equality;
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
    /// When base and pending count as equal.
    pub(super) equality: Equality,
    pub(super) observer: &'a dyn Observer,
}

/// What the index says of one path on the side of what is kept.
pub(super) enum Kept {
    /// Nothing is kept there.
    Nothing,
    /// This is.
    Held(Box<OwnedEntry>),
    /// The index is damaged there: something may be kept.
    NotKnown,
}

/// What stands against a new path on the side of what is kept.
pub(super) enum KeptConflict {
    /// Nothing.
    None,
    /// A kept file lies where a folder must be.
    FileAbove(TreePath, Box<OwnedEntry>),
    /// A kept folder lies where a file must be.
    FolderHere,
    /// The index is damaged there: a kept file may lie at one of these folders, or a kept
    /// folder where the file must be.
    NotKnown(Vec<TreePath>),
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
    pub(super) fn kept_entry(&self, path: &TreePath) -> Kept {
        match find(&self.kept(), path) {
            Ok(Some(entry)) if entry.is_on_mirror() => Kept::Held(Box::new(entry)),
            Ok(_) => Kept::Nothing,
            Err(_) => Kept::NotKnown,
        }
    }

    /// Where what is known to be kept below the folder at `path` is written down.
    pub(super) fn kept_folder(&self, path: &TreePath) -> Option<DirectoryPointer> {
        find(&self.kept(), path).ok().flatten().and_then(|entry| entry.child)
    }

    /// What is kept on the mirror where it hinders a new file at `path`.
    pub(super) fn kept_conflict(&self, path: &TreePath) -> KeptConflict {
        let mut not_known = Vec::new();
        let mut above = path.parent();
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            above = folder.parent();
            match self.kept_entry(&folder) {
                Kept::Nothing => {}
                Kept::Held(kept) => return KeptConflict::FileAbove(folder, kept),
                Kept::NotKnown => not_known.push(folder),
            }
        }
        match find(&self.kept(), path) {
            Err(_) => KeptConflict::NotKnown(not_known),
            Ok(found) if self.is_kept_folder(found.as_ref()) => KeptConflict::FolderHere,
            Ok(_) => KeptConflict::None,
        }
    }

    /// True when something below the folder at `path` is kept on the mirror, or may be: the index is
    /// damaged there.
    pub(super) fn keeps_anything_below(&self, path: &TreePath) -> bool {
        find(&self.kept(), path).map_or(true, |found| self.is_kept_folder(found.as_ref()))
    }

    fn is_kept_folder(&self, found: Option<&OwnedEntry>) -> bool {
        found.is_some_and(|entry| entry.kind == EntryKind::Directory && self.files_below_kept(entry) > 0)
    }

    fn files_below_kept(&self, folder: &OwnedEntry) -> u64 {
        let Some(pointer) = folder.child else { return 0 };
        let totals = self.kept().read_directory(&pointer, &mut Directory::default());
        // A damaged node: something may be kept there.
        totals.map_or(1, |totals| totals.files)
    }

    /// True when nothing is known to lie on the mirror at or below the folder at `path`. Where the index
    /// is damaged it may lack: to make a folder that is there costs a request and does no harm.
    pub(super) fn mirror_lacks_folder(&self, path: &TreePath) -> bool {
        let known = find(&self.base(), path).ok().flatten();
        let is_held = known
            .filter(|entry| entry.kind == EntryKind::Directory)
            .is_some_and(|folder| self.files_below(&folder) > 0);
        let kept = find(&self.kept(), path).ok().flatten();
        !is_held && !self.is_kept_folder(kept.as_ref())
    }

    /// How many files the base has below a directory of its own.
    pub(super) fn files_below(&self, folder: &OwnedEntry) -> u64 {
        let Some(pointer) = folder.child else { return 0 };
        let totals = self.base().read_directory(&pointer, &mut Directory::default());
        // A damaged node: nothing is known of it, so it is not moved as a whole.
        totals.map_or(0, |totals| totals.files)
    }
}
