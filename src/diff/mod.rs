//! Diff: being built.
