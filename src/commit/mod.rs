//! Commit: the state directory of a job, its lock, and the one rename that
//! makes a snapshot true.
//!
//! Knows: the names of the files in the state directory, the durable verbs of `disk`.
//! Promises: the base changes by exactly one rename ([`StateDir::promote`]); after any crash it is
//! the old docket or the new one. What is not ours is never removed.
//! Must not know: what stands in the docket, the node files, the journal or
//! the side files; rclone, beyond the number of its process.

mod rclone_process;
mod state_dir;

pub use rclone_process::RcloneProcess;
pub use state_dir::{SideFile, StateDir, StateError, docket_digest};
