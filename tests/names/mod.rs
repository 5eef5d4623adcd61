//! Names: every one in scope is on the mirror byte for byte, or named, whatever
//! happens to the tree.
//!
//! The long form (`TREEFERRY_LONG=1`) takes 20,000 random names for each server and
//! each rclone, a million for a local remote and for the encoder, and longer lives.

#![allow(clippy::print_stderr, reason = "says what the long form does more")]

mod encoder;
mod ordinary_user;
mod random_life;
mod random_names;
mod there_and_back;
mod twins;
