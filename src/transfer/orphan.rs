//! An rclone that outlived its run: known again, and ended.
//!
//! Its late DELETE could hit what the next run has confirmed.

use crate::disk::process_stat;
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

/// In the environment of every rclone that we start, and so of all its children.
pub(super) const STARTED_BY_US: &str = "TREEFERRY_RCLONE";

/// The mark of a process that was just started.
///
/// # Errors
/// When it is not there.
pub(crate) fn mark_of(pid: u32) -> io::Result<ProcessMark> {
    let stat = process_stat(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(ProcessMark { pid, start_time: stat.start_time })
}

/// Kills the process (and its group) that an earlier run recorded, if it is
/// still the same one. Where `program` is a script that waits for rclone, it dies with us and rclone does
/// not: so what is left of its group counts as well. Returns whether anything was there; all of it is
/// dead afterwards.
///
/// # Errors
/// When it cannot be killed, or does not die.
pub fn end_orphan(mark: ProcessMark) -> io::Result<bool> {
    let Some(group) = i32::try_from(mark.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    if !is_anything_left(mark) {
        return Ok(false);
    }
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    let deadline = Instant::now() + DYING;
    while is_anything_left(mark) {
        if Instant::now() > deadline {
            let text = format!("rclone of an earlier run (process {}) does not end", mark.pid);
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

fn is_anything_left(mark: ProcessMark) -> bool {
    match process_stat(mark.pid) {
        Some(leader) if leader.start_time != mark.start_time => false,
        Some(leader) if leader.is_alive => true,
        _ => processes().any(|pid| is_left_of(mark, pid)),
    }
}

/// As long as one process of a group lives, nobody else gets its number; when none does, the number
/// may come again, and then the environment tells.
fn is_left_of(mark: ProcessMark, pid: u32) -> bool {
    let is_of_group = process_stat(pid)
        .is_some_and(|stat| stat.is_alive && stat.group == mark.pid && stat.start_time >= mark.start_time);
    is_of_group
        && std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            let mut variables = environment.split(|&byte| byte == 0);
            variables.any(|variable| {
                variable.strip_prefix(STARTED_BY_US.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
            })
        })
}

fn processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
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

    /// A script in the place of rclone, without `exec`: it dies with us, its child does not.
    fn left_by_a_script(variable: &str) -> (ProcessMark, u32) {
        use std::io::{BufRead, BufReader};
        use std::os::unix::process::CommandExt;
        let mut script = Command::new("/bin/sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .env(variable, "1")
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mark = mark_of(script.id()).unwrap();
        script.kill().unwrap();
        script.wait().unwrap();
        (mark, line.trim().parse().unwrap())
    }

    #[test]
    fn what_a_dead_script_left_of_its_group_is_ended_too_and_nobody_elses() {
        let (mark, child) = left_by_a_script(STARTED_BY_US);
        assert!(process_stat(child).unwrap().is_alive);
        assert!(end_orphan(mark).unwrap());
        assert!(!process_stat(child).is_some_and(|stat| stat.is_alive));
        let (mark, child) = left_by_a_script("SOMEBODY_ELSES");
        assert!(!end_orphan(mark).unwrap());
        assert!(process_stat(child).unwrap().is_alive);
        kill_process_group(Pid::from_raw(mark.pid as i32).unwrap(), Signal::KILL).unwrap();
    }
}
