//! Index: trees in an append-only node file behind a small docket.
//!
//! One record per directory, children reached by offset, length and two hashes,
//! so that every record is checked when it is read and the file is never read
//! whole. A change writes the directories from it up to the root; everything
//! else is shared, also with the past. `docs/format.md` has the bytes.
//!
//! Knows: byte layout, memory maps, the codec (`bincode` lives in `codec` alone),
//! pages of big directories, compaction, past roots.
//! Promises: what is committed never changes in place. A damaged record is an
//! error at the one directory, never a wrong or an empty one, and never a panic.
//! C does not depend on pages, history or compaction. Reading allocates nothing.
//! Must not know: where trees come from, what the remote holds, when to commit:
//! the rename that makes a docket true belongs to `commit`.

mod codec;
mod columns;
mod compact;
mod docket;
mod edit;
mod head;
mod merge;
mod names;
mod node;
mod node_file;
mod numbers;
mod pack;
mod pending;
mod pointer;
mod rewrite;
mod run_record;
mod tree;

pub use compact::{CompactError, compact, live_bytes, needs_compaction};
pub use docket::{Docket, DocketError, Facts, NameFacts};
pub use edit::{Edit, RewriteError};
pub use node_file::{MapMode, NodeFile, NodeWriter, OpenNodeFileError};
pub use pending::{PendingStore, PendingTree};
pub use pointer::{DataId, RecordPointer, Root};
pub use rewrite::rewrite;
pub use run_record::{
    MovedAway, RunCounts, RunRecord, StoredRunRecord, append_run_record, read_run_record, run_records,
};
pub use tree::{Finder, Tree, find};

#[cfg(test)]
mod tests;
