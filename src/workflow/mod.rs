//! Workflow: being built.
