//! Model: the nouns that travel between the rooms.
//!
//! Knows: bytes, their order, BLAKE3.
//! Promises: a value is fully determined by its fields; equal digests mean
//! equal canonical bytes (up to BLAKE3). Nothing here touches a file, a clock
//! or a thread.
//! Must not know: files, processes, serde, rayon, any other room. What a value
//! looks like on disk is the business of `index` and `journal`.

mod batch;
mod change;
mod digest;
mod directory;
mod entry;
mod run;
mod tree_path;
mod tree_view;

pub use batch::{Batch, BatchItem, Failure, FailureClass, LINK_ENDING, Lane, Outcome};
pub use change::{Change, OwnedEntry};
pub use digest::{ContentDigest, NodeDigest, TreeDigest, TreeHasher};
pub use directory::{Directory, DirectoryAttributes, DirectoryFlags, Totals, Unpacking};
pub use entry::{Content, Entry, EntryFlags, EntryKind, Permissions, Stamp, Timestamp};
pub use run::{RunId, RunIdError};
pub use tree_path::{Name, TreePath, TreePathError};
pub use tree_view::{
    DirectoryPointer, DirectorySink, EmptyTree, NodeOffset, ReadNodeError, TreeView, WriteNodeError,
};
