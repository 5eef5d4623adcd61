//! Plan: what each change asks of the remote, in which order, and whether it
//! may be asked at all.
//!
//! Knows: changes, batches, the limits people set.
//! Promises: pure and deterministic; the same changes give the same decisions,
//! whatever the machine. No file is removed that did not provably vanish:
//! `scan` proves it, and what is only out of scope is never a removal.
//! Must not know: processes, disk, time, rclone.
//!
//! Move detection will live here too.

mod classify;
mod forecast;
mod limits;
mod pack;
mod tally;

pub use classify::{Classifier, Decision, Policy, Removal, Upload, mirror_path, path_of_link};
pub use forecast::{Manner, RequestCosts, forecast_requests};
pub use limits::{Limit, LimitExceeded, MINIMUM_KNOWN_FILES};
pub use pack::{Budget, Packer, SizeClass, rounds};
pub use tally::Tally;
