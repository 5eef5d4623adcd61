//! Journal: what was intended and what was confirmed, before anything relies on it.
//!
//! Knows: the nouns of `model`, the durable verbs of `disk`, its own bytes
//! (`docs/format-journal.md`).
//! Promises: an intent is durable when [`JournalWriter::append_intent`]
//! returns; outcomes are at the latest a second or 256 later, or when
//! [`JournalWriter::sync`] returns. [`replay()`] gives back what was written and nothing else: a torn tail is
//! cut, not feared; an intent without outcome is a doubt. Replaying twice gives
//! the same. Memory is bounded by one batch.
//! Must not know: rclone, the index, the docket (only the digest of the one it
//! belongs to), what an outcome leads to.

mod codec;
mod frame;
mod record;
mod replay;
mod writer;

pub use frame::Header;
pub use record::{NotDone, Settled};
pub use replay::{Replay, ReplayError, ReplayedBatch, ReplayedFolder, replay};
pub use writer::{JournalWriter, WriteError};

#[cfg(test)]
mod tests;
