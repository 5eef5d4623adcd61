//! What a run came to, for people and for programs.

use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, one_line, put_path, to_stdout};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use time::format_description::well_known::Rfc3339;
use treeferry::workflow::report::{Forecast, JobOutcome, JobReport, Unprotected};

/// How many paths are shown by name; the log and `--json` have the others.
const NAMES_SHOWN: usize = 20;

/// Tells about one job.
pub(super) fn tell(report: &JobReport, log: Option<&Path>, output: &Output) {
    if output.json {
        json_line(&as_json(report));
    } else if output.quiet {
        to_stdout(&format!("{}\n{}", headline(report), unprotected(&report.unprotected)));
    } else {
        to_stdout(&as_text(report, log));
    }
}

/// Lists all jobs of a run with more than one.
pub(super) fn tell_all(reports: &[JobReport], output: &Output) {
    if output.json || reports.len() < 2 {
        return;
    }
    let worst = ExitStatus::worst(reports.iter().map(|report| (&report.outcome).into()));
    let mut text = format!("{} jobs, exit code {}:\n", reports.len(), worst.code());
    for report in reports {
        let code = ExitStatus::from(&report.outcome).code();
        let _ = writeln!(text, "  {:>3}  {}: {}", code, report.job, outcome_words(&report.outcome));
    }
    to_stdout(&text);
}

/// What an outcome means, in a few words.
pub(super) fn outcome_words(outcome: &JobOutcome) -> String {
    let words = match outcome {
        JobOutcome::Protected => "everything is protected".into(),
        JobOutcome::Unprotected => "finished, but not everything is protected".into(),
        JobOutcome::BudgetSpent { budget } => format!("stopped by a budget ({budget}); the next run goes on"),
        JobOutcome::RemoteUnwell { reason } => format!("the remote is unwell: {reason}"),
        JobOutcome::NoIndex => "there is no index yet; run `treeferry backup`".into(),
        JobOutcome::LockHeld { holder } => format!("another run holds the lock: {holder}"),
        JobOutcome::Authentication { reason } => format!("the remote does not let us in: {reason}"),
        JobOutcome::GuardStopped { guard: Some(guard), message } => {
            format!(
                "stopped by the guard {guard}, nothing was sent: {message}; if this is meant: --accept {guard}"
            )
        }
        JobOutcome::GuardStopped { guard: None, message } => format!("stopped, nothing was sent: {message}"),
        JobOutcome::RemoteFull { reason } => format!("the remote is full: {reason}"),
        JobOutcome::Damaged { message } => format!("damage was found: {message}"),
        JobOutcome::Skipped { reason } => format!("skipped by a hook: {reason}"),
        JobOutcome::Interrupted { signal } => {
            format!("interrupted by signal {signal}; the state is saved and the next run goes on")
        }
        JobOutcome::Configuration { message } => format!("the configuration cannot be used: {message}"),
        JobOutcome::Fatal { message } => message.clone(),
    };
    one_line(&words)
}

/// The one line that says it all.
fn headline(report: &JobReport) -> String {
    let took = figures::duration(report.duration());
    let verb = if report.dry_run { "plan: " } else { "" };
    let did = match (&report.forecast, report.dry_run) {
        (Some(forecast), true) if forecast.is_empty() => "nothing to send".into(),
        (Some(forecast), true) => {
            format!(
                "would send {}, {}",
                figures::files(forecast.uploads),
                figures::bytes(forecast.upload_bytes)
            )
        }
        _ if report.files_uploaded + report.files_trashed + report.files_removed == 0 => {
            "nothing sent".into()
        }
        _ => format!(
            "{} sent, {}",
            figures::files(report.files_uploaded),
            figures::bytes(report.bytes_uploaded)
        ),
    };
    let end = match (&report.outcome, report.dry_run) {
        (JobOutcome::Protected, true) => String::new(),
        (outcome, _) => outcome_words(outcome) + "; ",
    };
    format!("{}: {verb}{end}{did} ({took})", report.job)
}

fn as_text(report: &JobReport, log: Option<&Path>) -> String {
    let mut text = headline(report) + "\n";
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<14} {value}");
    };
    if report.files_scanned + report.directories_scanned > 0 {
        line(
            "scanned",
            format!(
                "{}, {}, {}",
                figures::files(report.files_scanned),
                figures::counted(report.directories_scanned, "folder", "folders"),
                figures::bytes(report.bytes_scanned)
            ),
        );
    }
    let found = [
        (report.files_new, "new"),
        (report.files_changed, "changed"),
        (report.files_moved, "moved"),
        (report.files_deleted, "deleted"),
        (report.files_out_of_scope, "out of scope, kept on the mirror"),
    ];
    let found: Vec<String> = found
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", figures::count(*number)))
        .collect();
    if !found.is_empty() {
        line("found", found.join(", "));
    }
    if let (Some(forecast), true) = (&report.forecast, report.dry_run) {
        forecast_lines(forecast, &mut line);
    }
    for (number, name) in [
        (report.files_uploaded, "uploaded"),
        (report.files_trashed, "trashed"),
        (report.files_removed, "removed"),
        (report.files_failed, "failed"),
    ] {
        if number > 0 {
            let bytes = format!(", {}", figures::bytes(report.bytes_uploaded));
            line(name, figures::files(number) + if name == "uploaded" { &bytes } else { "" });
        }
    }
    for warning in &report.warnings {
        line("warning", one_line(warning));
    }
    if let Some(log) = log {
        line("log", log.display().to_string());
    }
    text + &unprotected(&report.unprotected)
}

fn forecast_lines(forecast: &Forecast, line: &mut impl FnMut(&str, String)) {
    for (number, name) in [
        (forecast.uploads, "would upload"),
        (forecast.trashed, "would trash"),
        (forecast.deleted, "would delete"),
    ] {
        if number > 0 {
            let bytes = format!(", {}", figures::bytes(forecast.upload_bytes));
            line(name, figures::files(number) + if name == "would upload" { &bytes } else { "" });
        }
    }
    if !forecast.is_empty() {
        let seconds =
            forecast.seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        let time = seconds.map(|seconds| format!(", about {}", figures::duration(seconds)));
        line(
            "requests",
            format!("at most {}{}", figures::count(forecast.requests), time.unwrap_or_default()),
        );
    }
}

/// The paths that are not protected, as an indented list; empty when there are none.
pub(super) fn unprotected(unprotected: &Unprotected) -> String {
    let mut text = String::new();
    if unprotected.total > 0 {
        let _ = writeln!(text, "  not protected  {}:", figures::counted(unprotected.total, "path", "paths"));
    }
    let shown = &unprotected.named[..unprotected.named.len().min(NAMES_SHOWN)];
    for (path, reason) in shown {
        let _ = writeln!(text, "    {path}: {}", one_line(reason));
    }
    let others = unprotected.total.saturating_sub(shown.len() as u64);
    if others > 0 {
        let _ = writeln!(text, "    and {} more, named in the log and with --json", figures::count(others));
    }
    text
}

pub(super) fn unprotected_json(unprotected: &Unprotected) -> Vec<Value> {
    let item = |(path, reason): &(treeferry::model::TreePath, String)| {
        let mut item = json!({"reason": reason});
        put_path(&mut item, "path", path);
        item
    };
    unprotected.named.iter().map(item).collect()
}

/// RFC 3339, UTC.
pub(super) fn timestamp(time: time::OffsetDateTime) -> Value {
    time.format(&Rfc3339).map_or(Value::Null, Value::from)
}

fn as_json(report: &JobReport) -> Value {
    let code = ExitStatus::from(&report.outcome).code();
    let mut summary = json!({
        "message_type": "summary",
        "job": report.job,
        "run_id": report.run_id.map(|id| id.to_string()),
        "started": timestamp(report.started),
        "finished": timestamp(report.finished),
        "duration_seconds": report.duration().as_secs_f64(),
        "dry_run": report.dry_run,
        "files_scanned": report.files_scanned,
        "directories_scanned": report.directories_scanned,
        "bytes_scanned": report.bytes_scanned,
        "files_new": report.files_new,
        "files_changed": report.files_changed,
        "files_moved": report.files_moved,
        "files_deleted": report.files_deleted,
        "files_unchanged": report.files_unchanged,
        "files_uploaded": report.files_uploaded,
        "bytes_uploaded": report.bytes_uploaded,
        "files_trashed": report.files_trashed,
        "files_removed": report.files_removed,
        "files_failed": report.files_failed,
        "files_unprotected": report.unprotected.total,
        "files_out_of_scope": report.files_out_of_scope,
        "content_root": report.content_root.map(|root| root.to_string()),
        "index_bytes_written": report.index_bytes_written,
        "exit_code": code,
        "message": outcome_words(&report.outcome),
        "unprotected": unprotected_json(&report.unprotected),
        "warnings": report.warnings,
    });
    if let JobOutcome::GuardStopped { guard: Some(guard), .. } = &report.outcome {
        summary["guard"] = json!(guard.name());
    }
    if let Some(forecast) = &report.forecast {
        summary["forecast"] = json!({
            "files_upload": forecast.uploads,
            "bytes_upload": forecast.upload_bytes,
            "files_trash": forecast.trashed,
            "files_delete": forecast.deleted,
            "requests": forecast.requests,
            "seconds": forecast.seconds,
        });
    }
    summary
}
