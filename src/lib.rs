//! treeferry backs up very large local trees to any rclone remote, from cron,
//! without ever listing the remote.
//!
//! # The plan of the house
//!
//! ```text
//!  files ─> scan ─> pending tree ─> diff(base, pending) ─> plan ─> transfer ─> journal ─> commit: base = base + confirmed outcomes
//!             ▲                                                                  │
//!             └── base index: same stamp, keep the hash     after a crash: replay ┘
//! ```
//!
//! Ground floor, known by all, knowing nobody above:
//!
//! * [`model`]: the nouns, pure values.
//! * [`observe`]: events and counters going out.
//! * [`disk`]: durable verbs on files, and the only `unsafe`.
//!
//! First floor, the verbs of the flow; no room imports a sibling:
//!
//! * [`scan`]: file system to pending tree, in parallel; which files are excluded, unchanged, readable.
//! * [`index`]: trees in an append-only node file behind a small docket.
//! * [`diff`]: two trees to the changes between them.
//! * [`plan`]: changes to actions, batches, guards and a forecast.
//! * [`transfer`]: batches to rclone, and one outcome per path back.
//! * [`journal`]: what was intended and what was confirmed, before anything relies on it.
//! * [`commit`]: the state directory, its lock, and the one rename that makes a snapshot true.
//! * [`notify`]: telling people and monitors.
//!
//! Top floor:
//!
//! * [`workflow`]: recipes that read like the flow: configuration, backup, status.
//!
//! The command line lives in the binary (`src/cli/`) and cannot be seen from here.
//! `docs/architecture.md` has the long form, `tests/architecture.rs` holds the arrows.

pub mod commit;
pub mod diff;
pub mod disk;
pub mod index;
pub mod journal;
pub mod model;
pub mod notify;
pub mod observe;
pub mod plan;
pub mod scan;
pub mod transfer;
pub mod workflow;
