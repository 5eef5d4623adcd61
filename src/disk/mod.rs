//! Disk: being built.

mod unsafe_doors;

pub use unsafe_doors::spawn_bound_to_this_thread;
