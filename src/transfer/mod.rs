//! Transfer: being built.
