//! Walking a committed tree, or parts of it, in path order, one directory in
//! memory per level.

use super::halt::Halt;
use crate::model::{
    Directory, DirectoryAttributes, DirectoryPointer, Entry, ReadNodeError, TreePath, TreeView,
};

/// Which paths are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection(Vec<TreePath>);

impl Selection {
    /// These paths and everything below them; everything when there are none.
    pub(super) fn new(paths: &[TreePath]) -> Self {
        Selection(if paths.is_empty() { vec![TreePath::root()] } else { paths.to_vec() })
    }

    /// True when nothing is left out.
    pub(super) fn is_all(&self) -> bool {
        self.0.iter().any(TreePath::is_root)
    }

    /// The paths that were named.
    pub(super) fn paths(&self) -> &[TreePath] {
        &self.0
    }

    /// `path` is meant.
    pub(super) fn covers(&self, path: &TreePath) -> bool {
        self.0.iter().any(|chosen| path.is_within(chosen))
    }

    /// `path` is meant, or is a folder on the way to what is meant.
    fn leads_to(&self, path: &TreePath) -> bool {
        self.0.iter().any(|chosen| path.is_within(chosen) || chosen.is_within(path))
    }
}

/// What a walk meets.
pub(super) enum Visit<'v> {
    /// A directory, before what is in it. Answer [`Next::Past`] to leave it out.
    Enter(&'v DirectoryAttributes),
    /// Anything else than a directory.
    Entry(&'v Entry<'v>),
    /// A directory, after what is in it.
    Leave(&'v DirectoryAttributes),
    /// A directory or name of which the index knows nothing for certain.
    Damaged(&'v str),
}

/// How the walk goes on after [`Visit::Enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Into the directory.
    Into,
    /// Past it.
    Past,
}

/// Walks what is selected, and the directories that lead to it.
pub(super) fn walk(
    tree: &impl TreeView,
    selection: &Selection,
    visit: &mut dyn FnMut(&TreePath, Visit<'_>) -> Result<Next, Halt>,
) -> Result<(), Halt> {
    let mut path = TreePath::root();
    let mut open: Vec<(Directory, usize)> = Vec::new();
    let mut spare: Vec<Directory> = Vec::new();
    if let Some(root) = tree.root() {
        enter(tree, &root, &path, &mut open, &mut spare, visit)?;
    }
    loop {
        let Some((directory, next)) = open.last_mut() else { return Ok(()) };
        if *next == directory.len() {
            visit(&path, Visit::Leave(&directory.attributes))?;
            spare.extend(open.pop().map(|(directory, _)| directory));
            path.pop();
            continue;
        }
        let entry = directory.get(*next);
        *next += 1;
        if !is_name(entry.name) {
            visit(&path, Visit::Damaged("it holds a name that cannot be one"))?;
            continue;
        }
        path.push(entry.name);
        let is_open = match entry.child() {
            _ if !selection.leads_to(&path) => false,
            Some(child) => enter(tree, &child, &path, &mut open, &mut spare, visit)?,
            None => {
                if selection.covers(&path) {
                    visit(&path, Visit::Entry(&entry))?;
                }
                false
            }
        };
        if !is_open {
            path.pop();
        }
    }
}

/// Nothing that leads out of the directory, whatever the index says.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}

fn enter(
    tree: &impl TreeView,
    pointer: &DirectoryPointer,
    path: &TreePath,
    open: &mut Vec<(Directory, usize)>,
    spare: &mut Vec<Directory>,
    visit: &mut dyn FnMut(&TreePath, Visit<'_>) -> Result<Next, Halt>,
) -> Result<bool, Halt> {
    let mut directory = spare.pop().unwrap_or_default();
    let read: Result<_, ReadNodeError> = tree.read_directory(pointer, &mut directory);
    if let Err(error) = read {
        visit(path, Visit::Damaged(&error.to_string()))?;
        return Ok(false);
    }
    if visit(path, Visit::Enter(&directory.attributes))? == Next::Past {
        spare.push(directory);
        return Ok(false);
    }
    open.push((directory, 0));
    Ok(true)
}
