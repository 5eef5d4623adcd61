//! `treeferry snapshots`: which states can be restored.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, to_stdout};
use super::summary::{outcome_words, timestamp};
use super::{Stopped, configuration_file, job_selection, recipes};
use clap::Args;
use serde_json::json;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

#[derive(Debug, Args)]
pub(super) struct Snapshots {
    /// Names of jobs; all when none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
}

pub(super) fn run(command: &Snapshots, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let configuration = configuration_file::load(global)?;
    let mut statuses = Vec::new();
    for job in job_selection::select(&configuration, &command.jobs)? {
        let snapshots = match recipes::snapshots(&configuration, job) {
            Ok(snapshots) => snapshots,
            Err(outcome) => {
                let status = ExitStatus::from(&outcome);
                output.exit_error(status, &format!("{}: {}", job.name, outcome_words(&outcome)));
                statuses.push(status);
                continue;
            }
        };
        for snapshot in snapshots {
            let finished = OffsetDateTime::from_unix_timestamp(snapshot.finished_seconds)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
            if output.json {
                json_line(&json!({
                    "message_type": "snapshot",
                    "job": job.name,
                    "id": snapshot.run.to_string(),
                    "finished": timestamp(finished),
                    "files": snapshot.files,
                    "bytes": snapshot.bytes,
                    "files_uploaded": snapshot.files_uploaded,
                    "files_trashed": snapshot.files_trashed,
                    "retained": snapshot.is_retained,
                }));
                continue;
            }
            let date = finished
                .to_offset(offset)
                .format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"))
                .unwrap_or_default();
            let expired = if snapshot.is_retained { "" } else { ", older versions are purged" };
            to_stdout(&format!(
                "{}  {}  {date}  {}, {}{expired}\n",
                job.name,
                snapshot.run,
                figures::files(snapshot.files),
                figures::bytes(snapshot.bytes)
            ));
        }
    }
    Ok(ExitStatus::worst(statuses))
}
