//! Diff: which paths differ between two trees.
//!
//! Walks both trees in lock step, by name. A pair of directories that is known
//! to be equal is not opened: that is why a run after one edit costs the depth
//! of the tree and not its size.
//!
//! Knows: `TreeView` and the nouns of `model`.
//! Promises: changes come in path order, each path once; memory is that of the
//! directories on the current path; a damaged node of the base costs certainty
//! about that one directory, never the walk.
//! Must not know: files, mmap, rclone, what becomes of a change.
//! Uses its own stack, because a damaged index can be deeper than ours.

mod agree;
mod merge_join;

pub use agree::Equality;
pub use merge_join::{Changes, DiffError, diff};
