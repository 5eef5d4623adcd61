//! A committed tree, and single names in it.

use crate::index::node::{OldPages, read_node, read_pages};
use crate::index::node_file::NodeFile;
use crate::index::pointer::Root;
use crate::model::{
    Directory, DirectoryPointer, EntryFlags, EntryKind, Name, OwnedEntry, Permissions, ReadNodeError, Stamp,
    Totals, TreePath, TreeView,
};
use crate::observe::{Counter, Observer};

/// A tree in a node file.
#[derive(Clone, Copy)]
pub struct Tree<'f> {
    file: &'f NodeFile,
    root: Option<Root>,
    observer: &'f dyn Observer,
}

impl<'f> Tree<'f> {
    /// The tree below `root`, which is of that file. `None`: nothing is known.
    pub fn new(file: &'f NodeFile, root: Option<Root>, observer: &'f dyn Observer) -> Self {
        Tree { file, root, observer }
    }

    /// Another tree of the same file.
    #[must_use]
    pub fn at(&self, root: Root) -> Self {
        Tree { root: Some(root), ..*self }
    }

    /// The root with its sums.
    pub fn root_with_totals(&self) -> Option<Root> {
        self.root
    }

    /// The file it lies in.
    pub fn file(&self) -> &'f NodeFile {
        self.file
    }

    pub(super) fn pages_of(&self, pointer: &DirectoryPointer) -> Result<OldPages, ReadNodeError> {
        read_pages(self.file, pointer)
    }
}

impl TreeView for Tree<'_> {
    fn root(&self) -> Option<DirectoryPointer> {
        self.root.map(|root| root.pointer)
    }

    fn read_directory(
        &self,
        pointer: &DirectoryPointer,
        into: &mut Directory,
    ) -> Result<Totals, ReadNodeError> {
        let (totals, records) = read_node(self.file, pointer, into)?;
        self.observer.count(Counter::NodesRead, records);
        Ok(totals)
    }
}

/// What a tree holds at `path`. The root is a directory without a name.
///
/// # Errors
/// When a directory on the way cannot be read: then nothing is known of it.
pub fn find(tree: &impl TreeView, path: &TreePath) -> Result<Option<OwnedEntry>, ReadNodeError> {
    Finder::new(tree).find(path)
}

/// As [`find`], for many paths: directories on the way to the path before are
/// not read again.
pub struct Finder<'t, V> {
    tree: &'t V,
    /// Directories that are open, from the root down, each with its name.
    open: Vec<(Vec<u8>, Directory)>,
    spare: Vec<Directory>,
}

impl<'t, V: TreeView> Finder<'t, V> {
    /// Looks into `tree`.
    pub fn new(tree: &'t V) -> Self {
        Finder { tree, open: Vec::new(), spare: Vec::new() }
    }

    /// What the tree holds at `path`. The root is a directory without a name.
    ///
    /// # Errors
    /// When a directory on the way cannot be read: then nothing is known of it.
    pub fn find(&mut self, path: &TreePath) -> Result<Option<OwnedEntry>, ReadNodeError> {
        let Some(root) = self.tree.root() else {
            return Ok(None);
        };
        let Some(name) = path.name() else {
            return Ok(Some(directory_entry(root)));
        };
        if self.open.is_empty() {
            self.enter(b"", &root)?;
        }
        let mut depth = 1;
        let parents = path.components().count() - 1;
        for component in path.components().take(parents) {
            if self.open.get(depth).is_none_or(|(open, _)| open != component) {
                while self.open.len() > depth {
                    self.leave();
                }
                match self.open[depth - 1].1.find(component).and_then(|entry| entry.child()) {
                    Some(child) => self.enter(component, &child)?,
                    None => return Ok(None),
                }
            }
            depth += 1;
        }
        Ok(self.open[depth - 1].1.find(name).as_ref().map(OwnedEntry::from))
    }

    fn enter(&mut self, name: &Name, pointer: &DirectoryPointer) -> Result<(), ReadNodeError> {
        let mut directory = self.spare.pop().unwrap_or_default();
        self.tree.read_directory(pointer, &mut directory)?;
        self.open.push((name.to_vec(), directory));
        Ok(())
    }

    fn leave(&mut self) {
        self.spare.extend(self.open.pop().map(|(_, directory)| directory));
    }
}

fn directory_entry(pointer: DirectoryPointer) -> OwnedEntry {
    OwnedEntry {
        kind: EntryKind::Directory,
        flags: EntryFlags::NONE,
        stamp: Stamp::default(),
        permissions: Permissions::default(),
        digest: None,
        target: None,
        child: Some(pointer),
    }
}
