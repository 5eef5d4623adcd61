//! The rings of tests that need more than one room, or the real world.
//! Unit tests live beside the code.
mod state_crash;
