//! The recipe `doctor`: what would go wrong, before it does. Changes nothing; asks
//! each remote for one folder.

use super::configuration::{Configuration, Job, mask_remote};
use super::connect::{check_place_beside_bucket, control_without_record};
use super::figures;
use super::halt::Halt;
use super::report::JobOutcome;
use super::status::status;
use super::surroundings::Surroundings;
use crate::disk::free_bytes;
use crate::transfer::{Gap, Rclone, Session};
use std::path::{Path, PathBuf};

/// With less than this the index may not find room to grow.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Files in which a timetable is looked for are small.
const TIMETABLE_BYTES_MAX: u64 = 1 << 20;
/// 2026-01-01: nobody ran this before it was written.
const OLDEST_NOW_SECONDS: i64 = 1_767_225_600;

/// How bad it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// As it should be.
    Good,
    /// Works, and might be better.
    Doubtful,
    /// A backup would end like this.
    Bad(JobOutcome),
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// The job; `None`: all of them.
    pub job: Option<String>,
    /// What was looked at, in a word.
    pub subject: &'static str,
    /// What was found, and what to do.
    pub finding: String,
    /// How bad it is.
    pub condition: Condition,
}

/// Looks at everything. `timetables` are files and folders in which cron lines and
/// systemd timers lie.
pub fn doctor(
    configuration: &Configuration,
    timetables: &[PathBuf],
    surroundings: &Surroundings<'_>,
) -> Vec<Diagnosis> {
    let mut all = vec![clock(surroundings)];
    all.push(folder("state_dir", &configuration.state_dir));
    all.push(folder("log_dir", &configuration.log_dir));
    let control = control_without_record();
    let rclone = surroundings.rclone(&control);
    all.extend(about_rclone(&rclone));
    let session = rclone.and_then(|rclone| {
        rclone.session(rclone.name_encoding(), &control, surroundings.observer).map_err(Halt::fatal)
    });
    for job in &configuration.jobs {
        all.push(source(job));
        // Without rclone there is nothing to be said of remotes, and that is said already.
        if let Ok(session) = &session {
            all.extend(remote(job, session));
        }
        all.push(last_run(configuration, job, surroundings));
    }
    all.push(timer(timetables));
    all
}

fn diagnosis(job: Option<&Job>, subject: &'static str, finding: String, condition: Condition) -> Diagnosis {
    Diagnosis { job: job.map(|job| job.name.clone()), subject, finding, condition }
}

fn bad(job: Option<&Job>, subject: &'static str, halt: Halt) -> Diagnosis {
    diagnosis(job, subject, halt.to_string(), Condition::Bad(JobOutcome::from(halt)))
}

fn clock(surroundings: &Surroundings<'_>) -> Diagnosis {
    let now = surroundings.now_seconds();
    let time = time::OffsetDateTime::from_unix_timestamp(now)
        .map_or_else(|_| now.to_string(), |now| now.to_string());
    if now < OLDEST_NOW_SECONDS {
        let finding = format!("it is {time} by the clock of this machine, which cannot be: set it (NTP)");
        return diagnosis(None, "clock", finding, Condition::Doubtful);
    }
    diagnosis(None, "clock", time, Condition::Good)
}

/// We write there: into the folder, or into the nearest one above it.
fn folder(subject: &'static str, path: &Path) -> Diagnosis {
    let Some(existing) = path.ancestors().find(|above| above.exists()) else {
        return bad(None, subject, Halt::Fatal(format!("{} cannot be made", path.display())));
    };
    if let Err(error) = tempfile::tempfile_in(existing) {
        let message = format!("{} cannot be written to: {error}", existing.display());
        return bad(None, subject, Halt::Fatal(message));
    }
    match free_bytes(existing) {
        Ok(free) if free < FREE_BYTES_MIN => {
            let finding = format!("{}: only {} free", path.display(), figures::bytes(free));
            diagnosis(None, subject, finding, Condition::Doubtful)
        }
        Ok(free) => {
            let finding = format!("{}: {} free", path.display(), figures::bytes(free));
            diagnosis(None, subject, finding, Condition::Good)
        }
        Err(error) => bad(None, subject, Halt::Fatal(format!("{}: {error}", existing.display()))),
    }
}

fn about_rclone(found: &Result<&Rclone, Halt>) -> Vec<Diagnosis> {
    let rclone = match found {
        Ok(rclone) => rclone,
        Err(halt) => return vec![bad(None, "rclone", halt.clone())],
    };
    let mut all = vec![diagnosis(None, "rclone", format!("version {}", rclone.version()), Condition::Good)];
    all.extend(rclone.gaps().0.iter().map(|gap: &Gap| {
        let finding = format!("older than {}: {}", gap.since, gap.consequence);
        diagnosis(None, "rclone", finding, Condition::Doubtful)
    }));
    all
}

fn source(job: &Job) -> Diagnosis {
    let shown = job.source.display();
    let stopped = |message: String| bad(Some(job), "source", Halt::Guard { guard: None, message });
    match std::fs::read_dir(&job.source).map(|mut listed| listed.next()) {
        Err(error) => stopped(format!("{shown} cannot be listed: {error}")),
        Ok(Some(Err(error))) => stopped(format!("{shown} cannot be listed: {error}")),
        Ok(None) => {
            stopped(format!("{shown} is empty; is it mounted? A backup stops there (guard source-empty)"))
        }
        Ok(Some(Ok(_))) => diagnosis(Some(job), "source", shown.to_string(), Condition::Good),
    }
}

fn remote(job: &Job, session: &Session<'_>) -> Vec<Diagnosis> {
    let remote = job.remote.to_string();
    let shown = mask_remote(&remote);
    let features = match session.features(&remote) {
        Ok(features) => features,
        Err(failure) => {
            let halt = Halt::from_failure(&format!("rclone can't use the remote {shown:?}"), &failure);
            return vec![bad(Some(job), "remote", halt)];
        }
    };
    let mut all = Vec::new();
    if let Err(halt) = check_place_beside_bucket(job, &features) {
        all.push(bad(Some(job), "remote", halt));
    }
    if !features.can_move_on_server() {
        let message = "it can neither move nor copy files by itself: every old version would be downloaded and uploaded again";
        all.push(bad(Some(job), "remote", Halt::Configuration(message.into())));
    }
    all.push(match session.list_folder(&remote) {
        Ok(Some(names)) => {
            let finding = format!("{shown} answers; {} names at its top", names.len());
            diagnosis(Some(job), "remote", finding, Condition::Good)
        }
        Ok(None) => {
            let finding = format!("{shown} answers, and is not there yet: the first backup makes it");
            diagnosis(Some(job), "remote", finding, Condition::Good)
        }
        Err(failure) => bad(Some(job), "remote", Halt::from_failure(&format!("listing {shown}"), &failure)),
    });
    all
}

fn last_run(configuration: &Configuration, job: &Job, surroundings: &Surroundings<'_>) -> Diagnosis {
    let status = status(configuration, job, surroundings);
    if let Some(running) = status.running {
        return diagnosis(Some(job), "last run", format!("one is under way: {running}"), Condition::Good);
    }
    let Some(finished) = status.last_finished else {
        return diagnosis(Some(job), "last run", "there was none yet".into(), Condition::Doubtful);
    };
    if finished.unix_timestamp() > surroundings.now_seconds() {
        let finding =
            format!("it ended at {finished}, which is yet to come: the clock was wrong then, or is now");
        return diagnosis(Some(job), "last run", finding, Condition::Doubtful);
    }
    match status.outcome {
        JobOutcome::Protected => {
            let finding = format!("{finished}: everything was protected");
            diagnosis(Some(job), "last run", finding, Condition::Good)
        }
        _ => {
            let finding = format!("{finished}: not all is well, see `treeferry status {}`", job.name);
            diagnosis(Some(job), "last run", finding, Condition::Doubtful)
        }
    }
}

/// Something has to start the program. What is not found may still be there.
fn timer(timetables: &[PathBuf]) -> Diagnosis {
    match timetables.iter().find_map(|place| timetable_in(place)) {
        Some(file) => diagnosis(None, "timer", format!("{} starts it", file.display()), Condition::Good),
        None => {
            let finding = "no cron line and no systemd timer that names treeferry was found: does anything start it? \
                           See docs/cron-and-systemd.md";
            diagnosis(None, "timer", finding.into(), Condition::Doubtful)
        }
    }
}

fn timetable_in(place: &Path) -> Option<PathBuf> {
    if place.is_dir() {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(place).ok()?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        return files.into_iter().filter(|file| file.is_file()).find(|file| starts_us(file));
    }
    (place.is_file() && starts_us(place)).then(|| place.to_path_buf())
}

/// A line that is no comment names us; of a systemd folder only timers count.
fn starts_us(file: &Path) -> bool {
    let is_unit = file.extension().is_some_and(|ending| ending == "service" || ending == "target");
    if is_unit || file.metadata().map_or(u64::MAX, |found| found.len()) > TIMETABLE_BYTES_MAX {
        return false;
    }
    let is_timer_of_ours = file.extension().is_some_and(|ending| ending == "timer")
        && file.file_name().is_some_and(|name| name.to_string_lossy().contains("treeferry"));
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    is_timer_of_ours
        || text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("treeferry"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_found_where_it_lies_and_a_comment_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (cron, units) = (folder.path().join("cron.d"), folder.path().join("system"));
        std::fs::create_dir(&cron).unwrap();
        std::fs::create_dir(&units).unwrap();
        let places = [cron.clone(), folder.path().join("absent"), units.clone()];
        std::fs::write(cron.join("a"), "# 0 3 * * * root treeferry backup\n").unwrap();
        std::fs::write(units.join("treeferry.service"), "ExecStart=/usr/bin/treeferry backup\n").unwrap();
        assert_eq!(timer(&places).condition, Condition::Doubtful);
        std::fs::write(units.join("treeferry.timer"), "OnCalendar=daily\n").unwrap();
        assert_eq!(timer(&places).condition, Condition::Good);
        std::fs::write(cron.join("b"), "0 3 * * * root treeferry backup\n").unwrap();
        assert!(timer(&places).finding.contains("cron.d/b"));
    }

    #[test]
    fn a_folder_is_tried_where_it_would_be_made() {
        let place = tempfile::tempdir().unwrap();
        let told = folder("state_dir", &place.path().join("not/yet"));
        assert!(!matches!(told.condition, Condition::Bad(_)), "{told:?}");
        std::fs::write(place.path().join("file"), "").unwrap();
        let told = folder("state_dir", &place.path().join("file/below"));
        assert!(matches!(told.condition, Condition::Bad(_)), "{told:?}");
    }
}
