//! Workflow: recipes that read like the flow.
//!
//! Knows: all rooms, the configuration, and what a run came to.
//! Promises: a recipe returns a value that says everything a person or a
//! monitor may ask; it prints nothing. What is confirmed is committed, whatever
//! ends a run.
//! Must not know: clap, terminals, the environment.

pub mod bench;
pub mod budget;
pub mod configuration;
pub mod differences;
pub mod doctor;
pub mod figures;
pub mod history;
pub mod notification;
pub mod options;
pub mod report;
pub mod restore;
pub mod verify;
pub mod versions;

mod adopt;
mod any_bytes;
mod backoff;
mod backup;
mod check_state;
mod checks;
mod committed;
mod compare;
mod connect;
mod first_index;
mod folder_count;
mod folders;
mod forecast;
mod guards;
mod halt;
mod hash_fill;
mod housekeeping;
mod import_settings;
mod import_snapshot;
mod job_run;
mod lanes;
mod last_run;
mod ledger;
mod left;
mod legacy_trash;
mod mounts;
mod opened;
mod owner;
mod periodic_check;
mod portable;
mod prune;
mod prune_now;
mod quarantine;
mod recover;
mod remembered;
mod remote;
mod removing;
mod scope;
mod settle;
mod source;
mod source_memory;
mod spending;
mod status;
mod surroundings;
mod take_over;
mod trashing;
mod tree_walk;
mod twins;
mod unknown;
mod uploading;
mod views;
mod way;
mod witnesses;

pub use adopt::adopt;
pub use any_bytes::{named_in_snapshot, side_files_read};
pub use backup::backup;
pub use checks::{check_rclone_flags, check_remotes};
pub use first_index::{ImportOptions, LeftOut, Named, NamesBy, TakenOver};
pub use import_settings::{ImportSettingsError, ImportedSettings, import_settings};
pub use import_snapshot::import_snapshot;
pub use prune_now::{PruneOptions, PruneReport, prune};
pub use status::status;
pub use surroundings::{Machine, Surroundings};
