//! Paths and times as people type them.

use super::Stopped;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};
use treeferry::model::TreePath;
use treeferry::workflow::configuration::{Configuration, Job};
use treeferry::workflow::history::At;

/// The job that is meant: the named one, the only one, or the one whose source
/// holds the absolute paths; and the paths below its source.
pub(super) fn job_and_paths<'c>(
    configuration: &'c Configuration,
    name: Option<&str>,
    paths: &[PathBuf],
) -> Result<(&'c Job, Vec<TreePath>), Stopped> {
    let job = match name {
        Some(name) => *super::job_selection::select(configuration, &[name.to_owned()])?
            .first()
            .ok_or_else(|| Stopped::usage("there is no such job"))?,
        None => only_job(configuration, paths)?,
    };
    let below = paths.iter().map(|path| below_source(job, path)).collect::<Result<_, _>>()?;
    Ok((job, below))
}

fn only_job<'c>(configuration: &'c Configuration, paths: &[PathBuf]) -> Result<&'c Job, Stopped> {
    if let [job] = configuration.jobs.as_slice() {
        return Ok(job);
    }
    let holds = |job: &&Job| !paths.is_empty() && paths.iter().all(|path| path.starts_with(&job.source));
    configuration.jobs.iter().find(holds).ok_or_else(|| {
        let names: Vec<&str> = configuration.jobs.iter().map(|job| job.name.as_str()).collect();
        Stopped::usage(format!("there are several jobs; say which one with --job: {}", names.join(", ")))
    })
}

/// Relative to the source, or absolute and below it.
fn below_source(job: &Job, path: &Path) -> Result<TreePath, Stopped> {
    let relative = path.strip_prefix(&job.source).unwrap_or(path);
    // Without doubled, leading or trailing slashes and single dots.
    let cleaned: PathBuf = relative.components().collect();
    let cleaned = cleaned.strip_prefix(".").unwrap_or(&cleaned).as_os_str().to_owned();
    if cleaned.as_bytes().starts_with(b"/") {
        return Err(Stopped::usage(format!(
            "{} does not lie below {}, the source of {}",
            path.display(),
            job.source.display(),
            job.name
        )));
    }
    TreePath::from_bytes(cleaned.into_vec()).map_err(|error| Stopped::usage(error.to_string()))
}

/// A date (the end of that day), a local time, a time with its offset, or the
/// beginning of a snapshot's id.
pub(super) fn parse_at(text: &str) -> Result<At, String> {
    if text.is_empty() {
        return Err("say a date, a time or the id of a snapshot".into());
    }
    let rfc3339 = time::format_description::well_known::Rfc3339;
    if let Ok(exact) = OffsetDateTime::parse(text, &rfc3339) {
        return Ok(At::Time(exact.unix_timestamp()));
    }
    let seconds = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let minutes = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let day = format_description!("[year]-[month]-[day]");
    let spaced = text.replacen('T', " ", 1);
    let local = PrimitiveDateTime::parse(&spaced, seconds)
        .or_else(|_| {
            let end = Time::from_hms(0, 0, 59).unwrap_or(Time::MIDNIGHT);
            PrimitiveDateTime::parse(&spaced, minutes).map(|minute| minute + (end - Time::MIDNIGHT))
        })
        .or_else(|_| Date::parse(text, day).map(|date| date.with_time(Time::MAX)));
    match local {
        Ok(local) => {
            let offset = UtcOffset::local_offset_at(local.assume_utc()).unwrap_or(UtcOffset::UTC);
            Ok(At::Time(local.assume_offset(offset).unix_timestamp()))
        }
        Err(_) if text.starts_with(|first: char| first.is_ascii_digit()) && !text.contains([' ', ':']) => {
            Ok(At::Run(text.to_owned()))
        }
        Err(_) => Err("say a date (2026-11-22), a time (2026-11-22T18:15) or the id of a snapshot".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_ids_are_told_apart() {
        let at = |text: &str| parse_at(text).unwrap();
        assert_eq!(at("2026-11-22T18:15:00Z"), At::Time(1_795_371_300));
        let (At::Time(minute), At::Time(day)) = (at("2026-11-22 18:15"), at("2026-11-22")) else {
            panic!("times are times")
        };
        assert_eq!(minute % 60, 59, "a minute is meant to its end");
        assert!(day > minute && day - minute < 24 * 3_600);
        assert_eq!(at("000042-2026"), At::Run("000042-2026".into()));
        assert_eq!(at("42"), At::Run("42".into()));
        for bad in ["", "yesterday", "2026-11-22 25:00"] {
            assert!(parse_at(bad).is_err(), "{bad}");
        }
    }
}
