//! Disk: being built.
