//! `treeferry prune`: empties expired trash without a backup.

use super::arguments::Global;
use super::backup::guard_parser;
use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, one_line, to_stdout};
use super::progress::FanOut;
use super::summary::outcome_words;
use super::{Stopped, configuration_file, job_selection, recipes, signals};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;
use treeferry::workflow::options::Guard;
use treeferry::workflow::report::JobOutcome;
use treeferry::workflow::{PruneOptions, PruneReport};

#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Names of jobs; all when none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Only say what would be emptied
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// `clock`: the clock is right although it seems to have jumped
    #[arg(long, value_name = "GUARD", value_delimiter = ',', value_parser = guard_parser(), hide_possible_values = true)]
    accept: Vec<Guard>,
}

pub(super) fn run(command: &Prune, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let options = PruneOptions { dry_run: command.dry_run, accept: command.accept.clone() };
    let stop = signals::listen()?;
    let mut statuses = Vec::new();
    for job in job_selection::select(&configuration, &command.jobs)? {
        let observer = FanOut::for_output(output);
        let report = recipes::prune(&configuration, job, &options, &stop, &observer);
        drop(observer);
        let status = ExitStatus::from(&report.outcome);
        if output.json {
            json_line(&as_json(&report, status));
        } else {
            to_stdout(&as_text(&report));
        }
        statuses.push(status);
    }
    Ok(ExitStatus::worst(statuses))
}

fn as_text(report: &PruneReport) -> String {
    let would = if report.dry_run { "would be " } else { "" };
    let mut text = format!("{}: ", report.job);
    if report.outcome != JobOutcome::Protected {
        let _ = write!(text, "{}; ", outcome_words(&report.outcome));
    }
    if report.emptied.is_empty() {
        text.push_str("no trash has expired\n");
    } else {
        let _ = writeln!(
            text,
            "the trash of {} {would}emptied, {} in it; {} {would}given up",
            figures::counted(report.emptied.len() as u64, "run", "runs"),
            figures::files(report.versions),
            figures::counted(report.snapshots_dropped, "snapshot", "snapshots"),
        );
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "  warning        {}", one_line(warning));
    }
    text
}

fn as_json(report: &PruneReport, status: ExitStatus) -> serde_json::Value {
    json!({
        "message_type": "summary",
        "job": report.job,
        "dry_run": report.dry_run,
        "emptied": report.emptied.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "files_removed": report.versions,
        "snapshots_dropped": report.snapshots_dropped,
        "warnings": report.warnings,
        "message": outcome_words(&report.outcome),
        "exit_code": status.code(),
    })
}
