//! What can be done to a tree, and how it can fail.

use crate::model::{DirectoryAttributes, OwnedEntry, ReadNodeError, TreePath, WriteNodeError};

/// One confirmed outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// This is what lies at `path` now, whatever was there before. Directories
    /// on the way are made. A directory as `entry` brings its own node, which
    /// must lie in the same node file.
    Put {
        /// Where.
        path: TreePath,
        /// What.
        entry: OwnedEntry,
    },
    /// Nothing lies at `path` any more, nor below it.
    Remove {
        /// Where.
        path: TreePath,
    },
    /// The source has no directory at `path` any more: it goes, unless something
    /// below it is still known after all edits.
    RemoveIfEmpty {
        /// Where.
        path: TreePath,
    },
    /// The source has something else where a directory was: this takes its place, unless something
    /// below the directory is still known after all edits. Then it stays, to be looked at again.
    PutIfEmpty {
        /// Where.
        path: TreePath,
        /// What; no directory.
        entry: OwnedEntry,
    },
    /// A directory lies at `path`, with these attributes; what is known of its
    /// names stays.
    Directory {
        /// Where.
        path: TreePath,
        /// Its stat data and marks.
        attributes: DirectoryAttributes,
    },
    /// What the source holds at `path` is not what is known: the directory
    /// around it must be listed again by the next scan.
    Unconfirmed {
        /// Where.
        path: TreePath,
    },
}

impl Edit {
    /// Where.
    pub fn path(&self) -> &TreePath {
        match self {
            Edit::Put { path, .. }
            | Edit::Remove { path }
            | Edit::RemoveIfEmpty { path }
            | Edit::PutIfEmpty { path, .. }
            | Edit::Directory { path, .. }
            | Edit::Unconfirmed { path } => path,
        }
    }
}

/// A tree could not be rewritten. Nothing is lost: the base is untouched.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError<E> {
    /// Where the edits come from.
    #[error("reading the edits of the index: {0}")]
    Edits(E),
    /// A directory of the base that an edit goes through cannot be read. Remove
    /// it and put what is known, to go on without it.
    #[error(transparent)]
    Read(#[from] ReadNodeError),
    /// A directory cannot be written.
    #[error(transparent)]
    Write(#[from] WriteNodeError),
    /// The caller did not sort.
    #[error("edits of the index are out of order: {path} comes after {before}")]
    Unsorted {
        /// The edit that comes too late.
        path: TreePath,
        /// The one before.
        before: TreePath,
    },
    /// The root is always a directory.
    #[error("the root of a tree cannot be anything but a directory")]
    RootIsADirectory,
}
