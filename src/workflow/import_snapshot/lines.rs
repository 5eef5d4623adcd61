//! The lines `path|size|mtime` of a snapshot.
//!
//! A path may hold `|`, so a line is read from its end. Bytes, not text: names are
//! what they are.

use crate::model::TreePath;
use crate::workflow::configuration::Job;
use crate::workflow::first_index::TakenOver;
use crate::workflow::halt::Halt;
use crate::workflow::take_over::{Claimed, ClaimedTime};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Reads a snapshot, and the `.tmp` beside it, which an interrupted run left and
/// which is the newer truth. One that breaks off in the middle of a line says
/// nothing about what would have followed: then the older file speaks for the rest.
pub(super) fn read(snapshot: &Path, job: &Job, report: &mut TakenOver) -> Result<Vec<Claimed>, Halt> {
    let newer = with_ending(snapshot, ".tmp");
    let (older, newer_bytes) = (read_file(snapshot)?, read_file(&newer)?);
    let mut claimed = Vec::new();
    let breaks_off = newer_bytes.as_ref().is_some_and(|bytes| bytes.last() != Some(&b'\n'));
    match (&older, &newer_bytes) {
        (None, None) => {
            return Err(Halt::Configuration(format!("there is no snapshot {}", snapshot.display())));
        }
        (Some(older), None) => parse(older, None, job, &mut claimed, report),
        (Some(older), Some(_)) if breaks_off => parse(older, Some(snapshot), job, &mut claimed, report),
        _ => {}
    }
    if older.is_some() && (newer_bytes.is_none() || breaks_off) {
        report.from.push(snapshot.to_path_buf());
    }
    if let Some(mut bytes) = newer_bytes {
        if breaks_off {
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
            bytes.truncate(whole);
        }
        let one_of_two = older.as_ref().filter(|_| breaks_off).map(|_| newer.as_path());
        parse(&bytes, one_of_two, job, &mut claimed, report);
        report.from.push(newer);
    }
    Ok(claimed)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn read_file(path: &Path) -> Result<Option<Vec<u8>>, Halt> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Halt::Configuration(format!("reading the snapshot {}: {error}", path.display()))),
    }
}

/// Editors and Windows put it before the first line, as a sign of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// `one_of_two`: the file, where what it leaves out needs its name.
fn parse(
    bytes: &[u8],
    one_of_two: Option<&Path>,
    job: &Job,
    claimed: &mut Vec<Claimed>,
    report: &mut TakenOver,
) {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let source = job.source.as_os_str().as_bytes();
    let is_there = |path: &TreePath| path.below(&job.source).symlink_metadata().is_ok();
    let mut broken = Broken::default();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let whole_line = line;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && broken.is_empty() {
            continue;
        }
        match parse_line(line, source).map(|claim| Claimed { line: number, ..claim }) {
            Some(claim) if broken.is_empty() => claimed.push(claim),
            Some(claim) => {
                let joined = parse_line(&broken.joined(line), source);
                match joined.filter(|joined| is_there(&joined.path)) {
                    Some(joined) => claimed.push(Claimed { line: number, ..joined }),
                    None => {
                        // The end of such a name, or a line of its own: only the source can tell.
                        let is_own = is_there(&claim.path);
                        if !is_own {
                            broken.add(number, whole_line);
                        }
                        broken.give_up(one_of_two, report);
                        claimed.extend(is_own.then_some(claim));
                    }
                }
                broken = Broken::default();
            }
            None if super::last_full_check::in_line(line).is_some() => {
                report.last_check_seconds = super::last_full_check::in_line(line);
            }
            None => {
                if broken.lines.len() == BROKEN_LINES_MAX {
                    broken.give_up(one_of_two, report);
                    broken = Broken::default();
                }
                broken.add(number, whole_line);
            }
        }
    }
    broken.give_up(one_of_two, report);
}

/// So many newlines in one name are put together again.
const BROKEN_LINES_MAX: usize = 8;

/// Lines that are none by themselves: the script wrote a name with a newline in it as it is.
#[derive(Default)]
struct Broken<'b> {
    lines: Vec<(u64, &'b [u8])>,
}

impl<'b> Broken<'b> {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn add(&mut self, number: u64, line: &'b [u8]) {
        self.lines.push((number, line));
    }

    fn joined(&self, last: &[u8]) -> Vec<u8> {
        let mut joined = Vec::new();
        for (_, line) in &self.lines {
            joined.extend_from_slice(line);
            joined.push(b'\n');
        }
        joined.extend_from_slice(last);
        joined
    }

    fn give_up(&self, one_of_two: Option<&Path>, report: &mut TakenOver) {
        for (number, line) in self.lines.iter().filter(|(_, line)| !line.trim_ascii().is_empty()) {
            report.leave_out_of(one_of_two, *number, || String::from_utf8_lossy(line).into_owned());
        }
    }
}

pub(in crate::workflow) fn parse_line(line: &[u8], source: &[u8]) -> Option<Claimed> {
    let mut fields = line.rsplitn(3, |&byte| byte == b'|');
    let time = std::str::from_utf8(fields.next()?).ok()?.trim();
    let size = std::str::from_utf8(fields.next()?).ok()?.trim().parse().ok()?;
    let path = fields.next()?;
    // Below the source, or whole.
    let path = match path.strip_prefix(source) {
        Some(below) if path.starts_with(b"/") && below.starts_with(b"/") => &below[1..],
        _ => path.strip_prefix(b"./").unwrap_or(path),
    };
    let path = TreePath::from_bytes(path).ok().filter(|path| !path.is_root())?;
    let time = match time.parse::<i64>() {
        Ok(seconds) => ClaimedTime::Whole(seconds),
        Err(_) => ClaimedTime::Float(time.parse::<f64>().ok().filter(|time| time.is_finite())?),
    };
    Some(Claimed { line: 0, path, size, time, as_link: false, has_other_content: false })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_line(line: &[u8]) -> Option<(String, u64, ClaimedTime)> {
        let claim = parse_line(line, b"/volume2/photos")?;
        Some((String::from_utf8_lossy(claim.path.as_bytes()).into_owned(), claim.size, claim.time))
    }

    #[test]
    fn a_line_is_read_from_its_end() {
        let time = ClaimedTime::Float(1_700_000_000.123_456_7);
        let of = |path: &str, size| Some((path.to_owned(), size, time));
        assert_eq!(read_line(b"a/b.jpg|12|1700000000.1234567"), of("a/b.jpg", 12));
        assert_eq!(read_line(b"a|b|3|c|12|1700000000.1234567"), of("a|b|3|c", 12));
        assert_eq!(read_line("照片/图.jpg|0|1700000000.1234567".as_bytes()), of("照片/图.jpg", 0));
        assert_eq!(read_line(b"/volume2/photos/x|1|1700000000.1234567"), of("x", 1));
        assert_eq!(read_line(b"./x|1|1700000000.1234567"), of("x", 1));
        assert_eq!(read_line(b"x|1|1700000000"), Some(("x".into(), 1, ClaimedTime::Whole(1_700_000_000))));
        assert_eq!(read_line(b"x|1|1e-09"), Some(("x".into(), 1, ClaimedTime::Float(1e-9))));
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            &b"x"[..],
            b"x|1",
            b"x|1|",
            b"x|-1|2.0",
            b"x|a|2.0",
            b"x|1|nan",
            b"x|1|inf",
            b"|1|2.0",
            b"../x|1|2.0",
            b"/elsewhere/x|1|2.0",
            b"/volume2/photos2/x|1|2.0",
            b"# comment",
            b"a//b|1|2.0",
        ] {
            assert_eq!(read_line(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
