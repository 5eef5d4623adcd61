//! An rclone that outlived its run: known again, and ended.
//!
//! Its late DELETE could hit what the next run has confirmed.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone: the kernel may have to wait for a disk.
const DYING: Duration = Duration::from_secs(5);

/// Names one process on this machine for as long as it lives: the number alone
/// is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMark {
    /// Process id; also the id of its process group.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since the machine started.
    pub start_time: u64,
}

/// Start time of a process: the 22nd field of its stat line; the second, the
/// program's name in parentheses, may hold anything.
pub(crate) fn mark_of(pid: u32) -> io::Result<ProcessMark> {
    let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, after_name) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let start_time = after_name
        .split_whitespace()
        .nth(19)
        .and_then(|field| field.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(ProcessMark { pid, start_time })
}

/// Kills the process (and its group) that an earlier run recorded, if it is
/// still the same one. Returns whether it was there; it is dead afterwards.
///
/// # Errors
/// When it cannot be killed, or does not die.
pub fn end_orphan(mark: ProcessMark) -> io::Result<bool> {
    let Some(group) = i32::try_from(mark.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let alive = || mark_of(mark.pid).is_ok_and(|found| found == mark) && !is_zombie(mark.pid);
    if !alive() {
        return Ok(false);
    }
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    let deadline = Instant::now() + DYING;
    while alive() {
        if Instant::now() > deadline {
            let text = format!("rclone of an earlier run (process {}) does not end", mark.pid);
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

/// Dead, and only not yet fetched by its parent: it sends nothing any more.
fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, after)| after.starts_with(['Z', 'X'])))
        .unwrap_or(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn an_orphan_is_ended_only_when_it_is_the_same_process() {
        use std::os::unix::process::CommandExt;
        let mut orphan = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let mark = mark_of(orphan.id()).unwrap();
        let other = ProcessMark { start_time: mark.start_time + 1, ..mark };
        assert!(!end_orphan(other).unwrap());
        assert!(orphan.try_wait().unwrap().is_none());
        assert!(end_orphan(mark).unwrap());
        assert!(!orphan.wait().unwrap().success());
        assert!(!end_orphan(mark).unwrap());
    }
}
