//! Notify: being built.
