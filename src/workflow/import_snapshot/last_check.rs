//! When the script last compared everything: a small file beside its snapshots.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

/// The script's `last_full_check`, of this snapshot or of all of them: the file, and the time in it.
pub(super) fn find(snapshot: &Path) -> Option<(PathBuf, OffsetDateTime)> {
    let folder = snapshot.parent()?;
    let stem = snapshot.file_stem()?.to_owned();
    let with = |before: &str, after: &str| {
        let mut name = OsString::from(before);
        name.push(&stem);
        name.push(after);
        folder.join(name)
    };
    let own = [
        with("", ".last_full_check"),
        with("", "_last_full_check"),
        with("last_full_check_", ""),
        with("last_full_check.", ""),
    ];
    let common = ["last_full_check", ".last_full_check", "last_full_check.txt"].map(|name| folder.join(name));
    own.into_iter().chain(common).find_map(|file| Some((file.clone(), read(&file)?)))
}

/// What stands in the file; else when it was written.
fn read(file: &Path) -> Option<OffsetDateTime> {
    let text = std::fs::read_to_string(file).ok()?;
    parse(text.trim()).or_else(|| Some(file.metadata().ok()?.modified().ok()?.into()))
}

/// Seconds since 1970, or a date, with or without a time of day. Without a zone it is taken for UTC: of days, hours
/// do not matter.
fn parse(text: &str) -> Option<OffsetDateTime> {
    if let Ok(seconds) = text.parse::<f64>() {
        return OffsetDateTime::from_unix_timestamp(seconds as i64).ok().filter(|_| seconds > 1e9);
    }
    let text = text.replace('T', " ").replace('/', "-");
    let to_the_second = text.get(..19).unwrap_or_default();
    let day = text.get(..10).unwrap_or_default();
    PrimitiveDateTime::parse(
        to_the_second,
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"),
    )
    .ok()
    .or_else(|| Some(Date::parse(day, format_description!("[year]-[month]-[day]")).ok()?.midnight()))
    .map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_time_is_read_as_scripts_write_it() {
        for (text, time) in [
            ("1790000000", datetime!(2026-09-21 14:13:20 UTC)),
            ("1790000000.123", datetime!(2026-09-21 14:13:20 UTC)),
            ("2026-09-21", datetime!(2026-09-21 00:00 UTC)),
            ("2026-09-21T14:13:20.5", datetime!(2026-09-21 14:13:20 UTC)),
            ("2026-09-21 14:13:20", datetime!(2026-09-21 14:13:20 UTC)),
        ] {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        assert_eq!(
            (parse(""), parse("never"), parse("7"), parse("照片照片照片照片")),
            (None, None, None, None)
        );
    }

    #[test]
    fn that_of_the_snapshot_counts_before_that_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = folder.path().join("photos.snapshot");
        assert!(find(&snapshot).is_none());
        std::fs::write(folder.path().join("last_full_check"), "").unwrap();
        assert!(find(&snapshot).unwrap().1 > datetime!(2026-01-01 00:00 UTC), "when it was written");
        std::fs::write(folder.path().join("photos.last_full_check"), "2020-01-02\n").unwrap();
        assert_eq!(find(&snapshot).unwrap().1, datetime!(2020-01-02 00:00 UTC));
    }
}
