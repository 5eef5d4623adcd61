//! Scan: being built.
