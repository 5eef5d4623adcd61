//! `treeferry status`: what is known about each job, with a code for monitors.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, one_line, to_stdout};
use super::summary::{outcome_words, timestamp, unprotected, unprotected_json};
use super::{Stopped, configuration_file, job_selection, recipes};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;
use std::time::Duration;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use treeferry::workflow::configuration::parse_duration;
use treeferry::workflow::notification::Speech;
use treeferry::workflow::report::JobStatus;

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Names of jobs; all when none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Exit with 3 when a job was last fully protected longer ago than this, as 36h or 2d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_age: Option<Duration>,
}

pub(super) fn run(command: &Status, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let configuration = configuration_file::load(global)?;
    let now = OffsetDateTime::now_utc();
    let mut worst = ExitStatus::Protected;
    for job in job_selection::select(&configuration, &command.jobs)? {
        let status = recipes::status(&configuration, job);
        let too_old = command.max_age.is_some_and(|max_age| is_too_old(&status, max_age, now));
        let of_job = ExitStatus::from(&status.outcome);
        let code = if too_old { ExitStatus::worst([of_job, ExitStatus::Unprotected]) } else { of_job };
        if output.json {
            json_line(&as_json(&status, too_old, code));
        } else {
            to_stdout(&as_text(&status, too_old, now, offset));
        }
        worst = ExitStatus::worst([worst, code]);
    }
    Ok(worst)
}

/// Old is what has no good end, or had its last good one too long ago.
fn is_too_old(status: &JobStatus, max_age: Duration, now: OffsetDateTime) -> bool {
    status.last_protected.is_none_or(|protected| now - protected > max_age)
}

fn as_text(status: &JobStatus, too_old: bool, now: OffsetDateTime, offset: UtcOffset) -> String {
    let mut text = format!("{}: {}\n", status.job, outcome_words(&status.outcome));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<14} {value}");
    };
    let when = |time: OffsetDateTime| {
        let local = time.to_offset(offset);
        let date = local.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"));
        let ago = Duration::try_from(now - time).map(|ago| format!(" ({} ago)", figures::duration(ago)));
        date.unwrap_or_default() + &ago.unwrap_or_default()
    };
    if let Some(running) = &status.running {
        line("running now", one_line(running));
    }
    if let Some(finished) = status.last_finished {
        line("last run", when(finished));
    }
    match status.last_protected {
        Some(protected) if too_old => line("protected", format!("{}: too long ago", when(protected))),
        Some(protected) => line("protected", when(protected)),
        None if too_old => line("protected", "never".into()),
        None => {}
    }
    if let Some(run_id) = status.run_id {
        line("last change", run_id.to_string());
    }
    if status.files > 0 {
        line("holds", format!("{}, {}", figures::files(status.files), figures::bytes(status.bytes)));
    }
    if let Some(last_check) = status.last_check {
        line("last check", when(last_check));
    }
    match status.next_check {
        Some(next_check) if next_check <= now => line("next check", "due, after the next backup".into()),
        Some(next_check) => line("next check", when(next_check)),
        None => {}
    }
    for note in &status.notes {
        line("note", one_line(note));
    }
    text + &unprotected(&status.unprotected, Speech::English)
}

fn as_json(status: &JobStatus, too_old: bool, code: ExitStatus) -> serde_json::Value {
    json!({
        "message_type": "summary",
        "job": status.job,
        "run_id": status.run_id.map(|id| id.to_string()),
        "last_started": status.last_started.map(timestamp),
        "last_finished": status.last_finished.map(timestamp),
        "last_protected": status.last_protected.map(timestamp),
        "too_old": too_old,
        "files": status.files,
        "bytes": status.bytes,
        "files_unprotected": status.unprotected.total,
        "files_not_reached": status.unprotected.not_reached,
        "unprotected": unprotected_json(&status.unprotected),
        "last_check": status.last_check.map(timestamp),
        "next_check": status.next_check.map(timestamp),
        "running": status.running,
        "notes": status.notes,
        "message": outcome_words(&status.outcome),
        "exit_code": code.code(),
    })
}
