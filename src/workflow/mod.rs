//! Workflow: recipes that read like the flow.
//!
//! Knows: all rooms, the configuration, and what a run came to.
//! Promises: a recipe returns a value that says everything a person or a
//! monitor may ask; it prints nothing. What is confirmed is committed, whatever
//! ends a run.
//! Must not know: clap, terminals, the environment.

pub mod bench;
pub mod configuration;
pub mod options;
pub mod report;

mod backup;
mod checks;
mod committed;
mod compare;
mod connect;
mod forecast;
mod guards;
mod halt;
mod housekeeping;
mod job_run;
mod lanes;
mod last_run;
mod ledger;
mod opened;
mod owner;
mod prune;
mod recover;
mod remote;
mod removing;
mod settle;
mod source;
mod status;
mod surroundings;
mod trashing;
mod uploading;
mod views;

pub use backup::backup;
pub use checks::{check_rclone_flags, check_remotes};
pub use status::status;
pub use surroundings::{Machine, Surroundings};
