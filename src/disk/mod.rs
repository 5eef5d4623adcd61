//! Disk: durable verbs on files, and what the machine has left.
//!
//! Knows: files, fsync, rename, flock, /proc; the nouns of `model`, the
//! counters of `observe`.
//! Promises: a verb is named after its guarantee, and its documentation says
//! what a crash leaves. Whatever must survive a crash goes through the trait
//! [`Disk`], so that tests can crash between any two verbs ([`CrashDisk`]).
//! All `unsafe` of the house lives in `unsafe_doors.rs`.
//! Must not know: what a file means; formats; rclone; any room above.

mod crash_disk;
mod durable;
mod file_system;
mod lock_file;
mod memory;
mod process;
mod unsafe_doors;

pub use crash_disk::{CrashDisk, CrashImage};
pub use durable::{
    Disk, DiskFile, RealDisk, create_directory, free_bytes, replace_atomically, temporary_beside,
};
pub use file_system::can_be_mapped;
pub use lock_file::{LockError, LockFile, Locked};
pub use memory::available_memory_bytes;
pub use process::{ProcessStat, boot_id, describe_this_process, process_start_time, process_stat};
pub use unsafe_doors::{map_read_only, spawn_bound_to_this_thread, start_write_back};
