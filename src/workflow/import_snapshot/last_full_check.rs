//! When the script last checked the whole remote. Its snapshots do not say; a file
//! beside them, or a line of its own, does.

use std::path::Path;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

const NAME: &str = "last_full_check";
/// A time, not a page.
const BYTES_MAX: u64 = 64 * 1024;

/// Seconds since 1970 UTC, as a file beside `snapshot` says it. One that names the
/// snapshot or the job goes before one for all.
pub(super) fn beside(snapshot: &Path, job: &str) -> Option<i64> {
    let folder = match snapshot.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let stem = snapshot.file_stem()?.to_string_lossy().into_owned();
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(NAME))
        .collect();
    found.sort();
    let is_own = |name: &&String| {
        let rest = name.replacen(NAME, "", 1);
        let rest = rest.trim_end_matches(".txt").trim_end_matches(".json").trim_matches(['.', '_', '-']);
        !rest.is_empty() && (rest == stem || rest == job || stem.trim_matches('.') == rest)
    };
    let is_of_all = |name: &&String| {
        let rest = name.replacen(NAME, "", 1);
        matches!(rest.trim_matches('.'), "" | "txt" | "json")
    };
    let name = found.iter().find(is_own).or_else(|| found.iter().find(is_of_all))?;
    let path = folder.join(name);
    let metadata = path.metadata().ok().filter(|metadata| metadata.len() <= BYTES_MAX)?;
    let text = String::from_utf8_lossy(&std::fs::read(&path).ok()?).into_owned();
    // An empty file tells by its own time.
    if text.trim().is_empty() {
        return OffsetDateTime::from(metadata.modified().ok()?).unix_timestamp().into();
    }
    seconds_in(&text, &stem).or_else(|| seconds_in(&text, job))
}

/// A line `last_full_check|…` or `# last_full_check=…` of a snapshot.
pub(super) fn in_line(line: &[u8]) -> Option<i64> {
    let line = std::str::from_utf8(line).ok()?.trim_start_matches(['#', ' ', '_']);
    let rest = line.strip_prefix(NAME)?.trim_start_matches('_');
    time_in(rest.trim_start_matches(['|', '=', ':', ' ']).split('|').next()?)
}

/// A bare time, or JSON that holds one: under the name of the pair, under
/// `last_full_check`, or alone.
fn seconds_in(text: &str, key: &str) -> Option<i64> {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(text) {
        let inner = json.get(key).or_else(|| json.get(NAME)).unwrap_or(&json);
        let inner = inner.get(NAME).or_else(|| inner.get(key)).unwrap_or(inner);
        return match inner {
            serde_json::Value::Number(number) => number.as_f64().map(|seconds| seconds as i64),
            serde_json::Value::String(text) => time_in(text),
            _ => None,
        };
    }
    time_in(text.lines().map(str::trim).find(|line| !line.is_empty())?)
}

fn time_in(text: &str) -> Option<i64> {
    let text = text.trim().trim_matches(['"', '\'']);
    if let Ok(seconds) = text.parse::<f64>() {
        // Between 2001 and 2286: anything else is no time in seconds.
        return (1e9..1e10).contains(&seconds).then_some(seconds as i64);
    }
    // Python writes local time without saying so; a day more or less does not matter here.
    let (date, time) = text.split_at_checked(10)?;
    let date = Date::parse(date, format_description!("[year]-[month]-[day]")).ok()?;
    let clock = time.trim_start_matches(['T', ' ', '_']).get(..8).unwrap_or("00:00:00");
    let clock = time::Time::parse(clock, format_description!("[hour]:[minute]:[second]")).ok()?;
    Some(PrimitiveDateTime::new(date, clock).assume_utc().unix_timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_however_python_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = folder.path().join("photos.snapshot");
        let read = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            let seconds = beside(&snapshot, "job");
            std::fs::remove_file(file).unwrap();
            seconds
        };
        assert_eq!(beside(&snapshot, "job"), None);
        for name in ["last_full_check", ".last_full_check", "last_full_check.txt", "photos.last_full_check"] {
            assert_eq!(read(name, "1790000000.123\n"), Some(1_790_000_000), "{name}");
        }
        assert_eq!(read("photos_last_full_check", "2026-09-21T14:13:20.5"), Some(1_790_000_000));
        assert_eq!(read("last_full_check_job.txt", "2026-09-21 14:13:20"), Some(1_790_000_000));
        assert_eq!(read("last_full_check", "2026-09-21"), Some(1_789_948_800));
        assert_eq!(
            read("last_full_check.json", "{\"photos\": 1790000000.5, \"docs\": 1}"),
            Some(1_790_000_000)
        );
        assert_eq!(read("last_full_check.json", "{\"last_full_check\": 1790000000}"), Some(1_790_000_000));
        assert_eq!(read("docs.last_full_check", "1790000000"), None, "another pair's");
        assert_eq!(read("last_full_check", "never"), None);
        assert!(read("last_full_check", "").is_some(), "by the time of the file");
    }

    #[test]
    fn a_line_of_the_snapshot_may_tell() {
        assert_eq!(in_line(b"last_full_check|1790000000.5"), Some(1_790_000_000));
        assert_eq!(in_line(b"# last_full_check=2026-09-21 14:13:20"), Some(1_790_000_000));
        assert_eq!(in_line(b"__last_full_check__|0|1790000000"), None);
        assert_eq!(in_line(b"last_full_check/photo.jpg|12|1790000000"), None);
    }
}
