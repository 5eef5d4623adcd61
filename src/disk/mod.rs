//! Disk: being built.

mod unsafe_doors;

pub use unsafe_doors::map_read_only;
