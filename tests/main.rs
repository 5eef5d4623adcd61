//! The rings of tests that need more than one room, or the real world.
//! Unit tests live beside the code.
//!
//! * `architecture`: the plan of the house, held by a test.
//! * `backup_*`: the built program, real rclones, real servers.
//! * `support`: real servers, a proxy, trees, the program; with tests of its own.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod architecture;
// waits for the rooms: mod backup_guards;
// waits for the rooms: mod backup_kills;
// waits for the rooms: mod backup_runs;
// waits for the rooms: mod backup_servers;
// waits for the rooms: mod backup_trash;
mod support;
