//! The only `unsafe` of the house: three doors, each with the reason why it is sound.
#![expect(
    unsafe_code,
    reason = "mmap, pre_exec and sync_file_range have no safe form here; nothing else may live here"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Maps the first `length` bytes of `file` for reading.
///
/// Only for files of our own state directory that are never shortened nor
/// rewritten while they can be mapped (node files are append-only and are removed by
/// unlinking). Never for files of the user: one that is truncated by its owner
/// would kill us with SIGBUS.
///
/// # Errors
/// Of the operating system; `UnexpectedEof` when the file is shorter than `length`.
pub fn map_read_only(file: &File, length: usize) -> io::Result<memmap2::Mmap> {
    if file.metadata()?.len() < length as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: the map is private to us and read-only. That nobody changes the bytes behind it is
    // the caller's promise above; every node is checked against its hash before it is believed.
    unsafe { memmap2::MmapOptions::new().len(length).map(file) }
}

/// Has the kernel start writing what is dirty of `file`, and does not wait for it.
///
/// Pages that are being written are write-protected: the next store through a memory
/// map, by whomever, is a page fault again, and gives the file a new mtime.
///
/// # Errors
/// Of the operating system, where the file system knows no such thing.
pub fn start_write_back(file: impl AsFd) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: a system call on an open descriptor and three numbers; it touches no memory of ours.
    match unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Starts `command` so that it can't outlive us: it gets SIGKILL when **the
/// thread that calls this** ends, for whatever reason, `kill -9` of our process included.
///
/// The signal is bound to the thread, not to the process: call it from one that lives as long as
/// the child may. A thread of a pool that is wound up takes its children along.
///
/// The child runs in a process group of its own, so that a Ctrl-C in the
/// terminal reaches only us; SIGPIPE, SIGINT, SIGTERM and SIGHUP have their
/// default meaning in it, and no signal is blocked. A child that execs a
/// set-user-id program loses the death signal.
///
/// # Errors
/// Of the operating system; `ESRCH` when we died between fork and exec.
pub fn spawn_bound_to_this_thread(mut command: Command) -> io::Result<Child> {
    let parent = libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?;
    // SAFETY: between fork and exec only async-signal-safe calls are made (prctl, getppid, getpgrp,
    // getpid, setpgid, signal, sigemptyset, sigprocmask); nothing is allocated, no lock is taken:
    // errors are bare error numbers.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0 {
                return Err(io::Error::last_os_error());
            }
            // A parent that died before prctl sends nothing any more.
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            if libc::getpgrp() != libc::getpid() && libc::setpgid(0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                if libc::signal(signal, libc::SIG_DFL) == libc::SIG_ERR {
                    return Err(io::Error::last_os_error());
                }
            }
            let mut none = std::mem::zeroed::<libc::sigset_t>();
            if libc::sigemptyset(&raw mut none) != 0
                || libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    #[test]
    fn a_map_shows_the_bytes_and_not_more_than_there_are() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"nodes and a torn tail").unwrap();
        assert_eq!(&map_read_only(&file, 5).unwrap()[..], b"nodes");
        assert_eq!(map_read_only(&file, 99).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut child =
            std::thread::spawn(move || spawn_bound_to_this_thread(command).unwrap()).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn a_child_has_its_own_group_and_no_signal_blocked_or_ignored() {
        let mut command = Command::new("cat");
        command.arg("/proc/self/stat").arg("/proc/self/status").stdout(Stdio::piped());
        let mut child = spawn_bound_to_this_thread(command).unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let stat = text.lines().next().unwrap();
        assert_eq!(stat.split(' ').nth(4), Some(child.id().to_string().as_str()), "{stat}");
        let mask = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(mask("SigBlk:"), 0);
        let restored = [libc::SIGPIPE, libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        assert!(restored.iter().all(|signal| mask("SigIgn:") & (1 << (signal - 1)) == 0));
    }
}
