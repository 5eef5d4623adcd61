//! Trees as the other rooms see them, whatever they are stored in.

use crate::model::{Directory, NodeDigest, Totals, TreeDigest};

/// Where a node lies. Only the tree that gave it out can say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeOffset(pub u64);

/// How to reach a directory's node, and how to know that the right bytes were
/// found there: the parent holds the child's hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryPointer {
    /// Where it lies.
    pub offset: NodeOffset,
    /// How long the stored record is, in bytes.
    pub length: u32,
    /// S: hash of the stored node.
    pub node: NodeDigest,
    /// C: hash of the content below.
    pub content: TreeDigest,
}

/// A node could not be read. The rest of the tree is not concerned: whoever
/// meets this treats the one directory as unknown, never as empty.
#[derive(Debug, thiserror::Error)]
#[error("index node at offset {offset} ({length} bytes): {reason}")]
pub struct ReadNodeError {
    /// Where the node should be.
    pub offset: u64,
    /// How long it should be, in bytes.
    pub length: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// A node could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing a directory to the index: {reason}")]
pub struct WriteNodeError {
    /// What went wrong.
    pub reason: String,
    /// The error of the operating system, where it was one.
    #[source]
    pub source: Option<std::io::Error>,
}

/// A tree that can be read directory by directory.
///
/// All that `diff` and `scan` need. Reading is by value into a caller's
/// [`Directory`], which is cleared first and keeps its memory.
pub trait TreeView: Sync {
    /// The top directory; `None` when nothing is known at all.
    fn root(&self) -> Option<DirectoryPointer>;

    /// Reads the directory behind `pointer` and checks it against the pointer's
    /// hash. Returns the sums below it.
    ///
    /// # Errors
    /// When the node is missing, damaged or not the one that was meant.
    fn read_directory(
        &self,
        pointer: &DirectoryPointer,
        into: &mut Directory,
    ) -> Result<Totals, ReadNodeError>;
}

/// Takes finished directories, children before parents.
pub trait DirectorySink: Sync {
    /// Stores `directory`, whose subdirectories were all stored before (or lie
    /// in the base). `below` are the sums over all of it.
    ///
    /// # Errors
    /// When the node cannot be stored, for example because the disk is full.
    fn write_directory(
        &self,
        directory: &Directory,
        below: Totals,
    ) -> Result<DirectoryPointer, WriteNodeError>;
}

/// The tree of which nothing is known: the base of a first run.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyTree;

impl TreeView for EmptyTree {
    fn root(&self) -> Option<DirectoryPointer> {
        None
    }

    fn read_directory(
        &self,
        pointer: &DirectoryPointer,
        _into: &mut Directory,
    ) -> Result<Totals, ReadNodeError> {
        Err(ReadNodeError {
            offset: pointer.offset.0,
            length: pointer.length,
            reason: "an empty tree has no nodes".into(),
        })
    }
}
