//! Which process was that? A pid alone is given out again.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// It does something: a zombie, whose parent has not fetched its exit status yet, does not.
    pub is_alive: bool,
    /// Id of its process group.
    pub group: u32,
    /// When it started, in clock ticks since boot: together with the pid and [`boot_id`] that
    /// names one process for ever.
    pub start_time: u64,
}

/// `None` when there is no such process.
pub fn process_stat(pid: u32) -> Option<ProcessStat> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// When the process started, as [`ProcessStat::start_time`]; `None` when it does nothing any more.
pub fn process_start_time(pid: u32) -> Option<u64> {
    process_stat(pid).filter(|stat| stat.is_alive).map(|stat| stat.start_time)
}

/// The command's name stands in parentheses and may hold anything, `)` and
/// spaces included: fields are counted from the last `)`.
fn parse_stat(stat: &[u8]) -> Option<ProcessStat> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    // State, process group and start time are fields 3, 5 and 22.
    let is_alive = !matches!(fields.next()?, "Z" | "X");
    let group = fields.nth(1)?.parse().ok()?;
    let start_time = fields.nth(16)?.parse().ok()?;
    Some(ProcessStat { is_alive, group, start_time })
}

/// A name for this boot of the machine: start times count from it.
pub fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// One line that says who we are, for a lock file: pid, start time, command,
/// since when (seconds since 1970, UTC).
pub fn describe_this_process(command: &str, since_seconds: i64) -> String {
    let pid = std::process::id();
    let start = process_start_time(pid).map_or_else(|| "unknown".into(), |ticks| ticks.to_string());
    let since = OffsetDateTime::from_unix_timestamp(since_seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| since_seconds.to_string());
    format!("pid {pid} (start time {start}), {command}, since {since}")
}

/// The process that described itself so is not there any more.
pub(super) fn is_gone(description: &str) -> bool {
    let named = description.strip_prefix("pid ").and_then(|rest| {
        let (pid, rest) = rest.split_once(" (start time ")?;
        let (start, _) = rest.split_once(')')?;
        Some((pid.parse::<u32>().ok()?, start.parse::<u64>().ok()?))
    });
    named.is_some_and(|(pid, start)| process_start_time(pid) != Some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_calls_itself_a_row_of_fields_fools_nobody() {
        let stat = b"12 (a) R 1 2 (b) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n";
        let found = ProcessStat { is_alive: true, group: 12, start_time: 987_654 };
        assert_eq!(parse_stat(stat), Some(found));
        let zombie = parse_stat(b"12 (x) Z 1 12 12 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 987654 1");
        assert_eq!(zombie, Some(ProcessStat { is_alive: false, ..found }));
        assert_eq!(parse_stat(b"12 (x"), None);
        assert_eq!(parse_stat(b"12 (x) R 1 2"), None);
    }

    #[test]
    fn we_ourselves_are_running() {
        assert!(process_start_time(std::process::id()).is_some());
        assert_eq!(process_start_time(u32::MAX), None);
        assert_eq!(boot_id().map(|id| id.len()), Some(36));
        let line = describe_this_process("treeferry backup", 1_795_371_300);
        assert!(line.ends_with("treeferry backup, since 2026-11-22T18:15:00Z"), "{line}");
    }

    #[test]
    fn a_description_tells_whether_its_process_is_gone() {
        let ours = describe_this_process("treeferry backup", 0);
        assert!(!is_gone(&ours), "{ours}");
        assert!(is_gone(&ours.replace("(start time ", "(start time 1")));
        assert!(!is_gone("a process that has just started"));
    }
}
