//! The rings of tests that need more than one room, or the real world.
//! Unit tests live beside the code.
//!
//! * `architecture`: the plan of the house, held by a test.
//! * `format_document`: the document of the format, by a reader that was written from it.
//! * `fuzz_corpora`: the bodies of the fuzzer over what it once found.
//! * `index`: what the index promises, over whole files.
//! * `cli_wiring`: messages, exit codes, generated documents.
//! * `state_*`: crashes at any moment, and damage to any byte, of the state directory.
//! * `backup_*`: the built program, real rclones, real servers.
//! * `transfer_*`: the contract with rclone, on the real binaries, old and new.
//! * `support`: real servers, a proxy, trees, the program; with tests of its own.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod architecture;
mod backup_budgets;
mod backup_clock;
mod backup_edges;
mod backup_endings;
mod backup_faults;
mod backup_guards;
mod backup_junk;
mod backup_kills;
mod backup_lies;
mod backup_links;
mod backup_messages;
mod backup_mounts;
mod backup_places;
mod backup_refusals;
mod backup_requests;
mod backup_runs;
mod backup_servers;
mod backup_trash;
mod cli_wiring;
mod format_document;
mod fuzz_corpora;
mod history_commands;
mod import_adopt;
mod import_guides;
mod import_script_life;
mod import_settings;
mod import_snapshot;
mod index;
mod names;
mod notifications;
mod periodic_check;
mod restore_files;
mod state_crash;
mod state_damage;
mod support;
mod transfer_conformance;
mod transfer_facts;
mod verify_remote;
mod verify_source;
mod verify_unreadable;
