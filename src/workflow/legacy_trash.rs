//! The dated trash folders of the script that came before go on being purged.
//!
//! Only folders whose whole name is a date (and perhaps a time) are touched, and
//! only in runs that sent something: a run without changes sends no request.

use super::halt::Halt;
use super::job_run::JobRun;
use super::prune::{CLOCK_JUMP_SECONDS, DAY_SECONDS};
use crate::observe::Event;
use crate::transfer::join;
use time::{Date, Month};

/// Purges what is older than `trash_retention_days`. Trouble with it is a warning:
/// the backup is done.
///
/// # Errors
/// When somebody asked to stop.
pub(super) fn purge_expired(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let days = i64::from(run.job.trash_retention_days);
    let Some(place) = run.job.legacy_trash.as_ref().map(ToString::to_string) else { return Ok(()) };
    let Some(remote) = run.remote.as_ref().filter(|_| days > 0) else { return Ok(()) };
    let now = run.surroundings.now_seconds();
    let last_run_ended = run.committed.docket.facts.last_run_ended_seconds;
    if now < last_run_ended || now > last_run_ended + CLOCK_JUMP_SECONDS {
        return Ok(());
    }
    let session = remote.connection.session;
    let listed = match session.list_folder(&place) {
        Ok(listed) => listed.unwrap_or_default(),
        Err(failure) => {
            run.warn(format!(
                "the old trash {:?} was not looked into: {}",
                run.job.legacy_trash, failure.reason
            ));
            return Ok(());
        }
    };
    let expired = listed.iter().filter(|folder| folder.is_directory && is_expired(&folder.name, days, now));
    for folder in expired {
        run.surroundings.halt_if_stopped()?;
        match session.purge(&join(&place, &folder.name)) {
            Ok(_) => run.observer().event(&Event::Detail(&format!("expired trash {} removed", folder.name))),
            Err(failure) => {
                run.warn(format!("the old trash of {} was not emptied: {}", folder.name, failure.reason));
            }
        }
    }
    Ok(())
}

/// Made at some time of the day that it is called by: as old as the end of that
/// day, wherever on earth that was.
fn is_expired(name: &str, days: i64, now: i64) -> bool {
    let end = |date: Date| date.midnight().assume_utc().unix_timestamp() + 2 * DAY_SECONDS;
    date_of(name).is_some_and(|date| end(date) + days * DAY_SECONDS <= now)
}

/// `2026-11-22`, `20261122`, `2026_11_22`, `2026.11.22`; a time may follow, in digits
/// after one of `-_ T`.
fn date_of(name: &str) -> Option<Date> {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let fits = name.chars().all(|character| character.is_ascii_digit() || "-_. T:".contains(character));
    let is_separated = name.get(4..5).is_some_and(|four| "-_.".contains(four));
    let date_length = if is_separated { 10 } else { 8 };
    let is_apart = name[..]
        .get(date_length..)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', ' ', 'T']));
    let has_form = !is_separated || name.get(7..8) == name.get(4..5);
    if !fits || !is_apart || !has_form || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i32>().ok();
    let month = Month::try_from(u8::try_from(number(4, 6)?).ok()?).ok()?;
    Date::from_calendar_date(number(0, 4)?, month, u8::try_from(number(6, 8)?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_a_date_are_one() {
        for name in [
            "2026-11-22",
            "20261122",
            "2026_11_22",
            "2026.11.22",
            "2026-11-22_10-30-00",
            "20261122_103000",
            "20261122-1030",
            "2026-11-22T10:30:00",
        ] {
            assert_eq!(date_of(name).map(|date| date.to_string()).as_deref(), Some("2026-11-22"), "{name}");
        }
        for name in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-02-30",
            "photos",
            "2026-11-22 photos",
            "2026-11-22x",
            "202611221",
            "IMG_20261122",
            "000042-20261122T181500Z",
            "2026-1122",
            "图2026-11-22",
            "2026-11-22-1",
        ] {
            assert_eq!(date_of(name), None, "{name}");
        }
    }
}
