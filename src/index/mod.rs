//! Index: being built.
