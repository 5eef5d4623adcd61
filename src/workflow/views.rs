//! The trees of a run as the lanes see them.

use super::halt::Halt;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::diff::Equality;
use crate::index::{NodeFile, PendingTree, Root, Tree, find};
use crate::model::{Directory, DirectoryPointer, EntryKind, OwnedEntry, ReadNodeError, TreePath, TreeView};
use crate::observe::Observer;
use crate::plan::{mirror_path, path_of_link};
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
    /// Something is kept that has to leave first: a file where a folder must be, or what has on the
    /// mirror the name of the new one (a link `a` lies there as `a.rclonelink`).
    InTheWay {
        /// The path that the index has for it.
        kept: TreePath,
        /// What it is.
        entry: Box<OwnedEntry>,
        /// The path at and below which nothing can go up before.
        place: TreePath,
    },
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

    /// What the base holds on the mirror under this very name.
    pub(super) fn held_as(&self, name: &TreePath) -> Result<Option<(TreePath, OwnedEntry)>, Halt> {
        find_on_mirror(&self.base(), name).map_err(Halt::damaged_index)
    }

    /// What the source has that lies on the mirror under this very name, or is to.
    pub(super) fn wanted_as(&self, name: &TreePath) -> Result<Option<(TreePath, OwnedEntry)>, Halt> {
        find_on_mirror(self.pending, name).map_err(Halt::fatal)
    }

    /// What is kept on the mirror under this very name.
    pub(super) fn kept_as(&self, name: &TreePath) -> Result<Option<(TreePath, OwnedEntry)>, Halt> {
        find_on_mirror(&self.kept(), name).map_err(Halt::damaged_index)
    }

    /// What is kept on the mirror for exactly this path: a link lies there with rclone's ending.
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

    /// What is kept on the mirror where it hinders a new file at `path`, or a new link. What is kept
    /// for `path` itself is an older version of it, and leaves in a pair with the new one.
    pub(super) fn kept_conflict(&self, path: &TreePath, as_link: bool) -> KeptConflict {
        let mut not_known = Vec::new();
        let mut above = path.parent();
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            above = folder.parent();
            match self.kept_entry(&folder) {
                Kept::Nothing => {}
                Kept::Held(entry) => {
                    return KeptConflict::InTheWay { kept: folder.clone(), entry, place: folder };
                }
                Kept::NotKnown => not_known.push(folder.clone()),
            }
            if let Some((kept, entry)) = self.kept_under_another_path(&folder, false) {
                return KeptConflict::InTheWay { kept, entry: Box::new(entry), place: folder };
            }
        }
        if let Some((kept, entry)) = self.kept_under_another_path(path, as_link) {
            return KeptConflict::InTheWay { kept, entry: Box::new(entry), place: path.clone() };
        }
        match find(&self.kept(), path) {
            Err(_) => KeptConflict::NotKnown(not_known),
            // A link lies beside a folder of its name.
            Ok(found) if !as_link && self.is_kept_folder(found.as_ref()) => KeptConflict::FolderHere,
            Ok(_) => KeptConflict::None,
        }
    }

    /// What is kept on the mirror under the name that `path` is to have there, but for another path: a
    /// link `a` and a file `a.rclonelink` have one place. Asked of the index only where that can be.
    fn kept_under_another_path(&self, path: &TreePath, as_link: bool) -> Option<(TreePath, OwnedEntry)> {
        if !as_link && path_of_link(path).is_none() {
            return None;
        }
        let kept = self.kept_as(&mirror_path(path, as_link)).ok().flatten();
        kept.filter(|(kept, _)| kept != path)
    }

    /// True when anything is kept on the mirror, or may be: the index is damaged there.
    pub(super) fn keeps_anything(&self) -> bool {
        self.kept.is_some_and(|kept| holds_objects(&self.kept(), &kept.pointer))
    }

    /// True when something below the folder at `path` is kept on the mirror, or may be: the index is
    /// damaged there.
    pub(super) fn keeps_anything_below(&self, path: &TreePath) -> bool {
        find(&self.kept(), path).map_or(true, |found| self.is_kept_folder(found.as_ref()))
    }

    fn is_kept_folder(&self, found: Option<&OwnedEntry>) -> bool {
        let folder = found.and_then(|entry| entry.child);
        folder.is_some_and(|folder| holds_objects(&self.kept(), &folder))
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

/// What `tree` has that lies on the mirror as `name`: a file of that path, or the link whose path
/// it is with rclone's ending.
pub(super) fn find_on_mirror(
    tree: &impl TreeView,
    name: &TreePath,
) -> Result<Option<(TreePath, OwnedEntry)>, ReadNodeError> {
    if let Some(file) = find(tree, name)?.filter(|entry| entry.kind == EntryKind::File) {
        return Ok(Some((name.clone(), file)));
    }
    let Some(path) = path_of_link(name) else { return Ok(None) };
    let link = find(tree, &path)?.filter(|entry| entry.kind == EntryKind::Symlink && entry.is_on_mirror());
    Ok(link.map(|link| (path, link)))
}

/// True when something below a directory lies on the mirror, or may: a node is damaged. The sums of a
/// directory count files; links that were uploaded have to be looked for.
pub(super) fn holds_objects(tree: &(impl TreeView + ?Sized), folder: &DirectoryPointer) -> bool {
    let mut open = vec![*folder];
    let mut directory = Directory::default();
    while let Some(pointer) = open.pop() {
        directory.clear();
        match tree.read_directory(&pointer, &mut directory) {
            Ok(totals) if totals.files == 0 => {}
            Ok(_) | Err(_) => return true,
        }
        if directory.iter().any(|entry| OwnedEntry::from(&entry).is_on_mirror()) {
            return true;
        }
        open.extend(directory.iter().filter_map(|entry| entry.child()));
    }
    false
}
