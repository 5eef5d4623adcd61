//! The only `unsafe` of the library.

#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts `command` in a process group of its own, so that the kernel kills it
/// (SIGKILL) when the calling **thread** ends. Spawn from a thread that lives as
/// long as the child may.
///
/// # Errors
/// As [`Command::spawn`]; also when the parent died between fork and exec.
pub fn spawn_bound_to_this_thread(mut command: Command) -> io::Result<Child> {
    let parent = rustix::process::getpid();
    command.process_group(0);
    // SAFETY: between fork and exec only two system calls are made, which are
    // async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // The parent may have died before the line above: then nobody would send the signal.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::from(rustix::io::Errno::SRCH));
            }
            Ok(())
        });
    }
    command.spawn()
}
