//! Commit: being built.
