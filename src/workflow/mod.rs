//! Workflow: recipes that read like the flow.
//!
//! Knows: all rooms, the configuration, and what a run came to.
//! Promises: a recipe returns a value that says everything a person or a
//! monitor may ask; it prints nothing.
//! Must not know: clap, terminals, the environment.

pub mod configuration;

pub mod options;

pub mod report;
