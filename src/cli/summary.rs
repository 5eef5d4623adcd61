//! What a run came to, for people and for programs.

use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, one_line, put_path, to_stdout};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use time::format_description::well_known::Rfc3339;
use treeferry::workflow::report::{Forecast, JobOutcome, JobReport, Left, Unprotected};

/// How many paths are shown by name; the log and `--json` have the others.
const NAMES_SHOWN: usize = 20;
/// Paths of what a budget left that are shown.
const LEFT_NAMES_SHOWN: usize = 3;

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
            format!("stopped by the guard {guard}, nothing was sent: {message}")
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
    let mut parts = Vec::new();
    if !(report.dry_run && report.outcome == JobOutcome::Protected) {
        parts.push(outcome_words(&report.outcome));
    }
    parts.extend(work_done(report));
    let plan = if report.dry_run { "plan: " } else { "" };
    format!("{}: {plan}{} ({})", report.job, parts.join("; "), figures::duration(report.duration()))
}

/// What was sent, or would be; `None` where the outcome says enough.
fn work_done(report: &JobReport) -> Option<String> {
    match &report.forecast {
        Some(forecast) if report.dry_run && forecast.is_empty() => Some("nothing to send".into()),
        Some(forecast) if report.dry_run => Some(format!(
            "would send {}{}, {}",
            if forecast.suspects > 0 { "at most " } else { "" },
            figures::files(forecast.uploads),
            figures::bytes(forecast.upload_bytes)
        )),
        _ if report.files_uploaded > 0 => Some(format!(
            "{} sent, {}",
            figures::files(report.files_uploaded),
            figures::bytes(report.bytes_uploaded)
        )),
        _ if report.files_trashed > 0 => Some(format!("{} trashed", figures::files(report.files_trashed))),
        _ if report.files_removed > 0 => Some(format!("{} removed", figures::files(report.files_removed))),
        _ if report.outcome == JobOutcome::Protected => Some("nothing to send".into()),
        _ if report.outcome == JobOutcome::Unprotected => Some("nothing sent".into()),
        _ => None,
    }
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
    if let Some(left) = &report.left {
        let about = if report.dry_run { "about " } else { "" };
        line("left for next", format!("{about}{}", left_words(left)));
    }
    for warning in &report.warnings {
        line("warning", one_line(warning));
    }
    if let Some(log) = log {
        line("log", log.display().to_string());
    }
    text + &unprotected(&report.unprotected)
}

/// What the next run goes on with.
fn left_words(left: &Left) -> String {
    let mut parts = Vec::new();
    if left.uploads > 0 {
        parts.push(format!(
            "{} to send, {}",
            figures::files(left.uploads),
            figures::bytes(left.upload_bytes)
        ));
    }
    if left.removals > 0 {
        parts.push(format!("{} to remove", figures::files(left.removals)));
    }
    let names: Vec<String> = left.named.iter().take(LEFT_NAMES_SHOWN).map(ToString::to_string).collect();
    if parts.is_empty() {
        return "nothing".into();
    }
    if names.is_empty() {
        return parts.join("; ");
    }
    let more = if left.uploads + left.removals > names.len() as u64 { ", …" } else { "" };
    format!("{} ({}{more})", parts.join("; "), names.join(", "))
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
    if forecast.suspects > 0 {
        let suspects = figures::files(forecast.suspects);
        line(
            "of these",
            format!("{suspects} with a new time and the old size: read first, sent only if they differ"),
        );
    }
    if !forecast.is_empty() {
        line("costs", format!("at most {}", forecast.cost_words()));
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

/// The `summary` of docs/json.md.
pub(super) fn as_json(report: &JobReport) -> Value {
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
    if let Some(left) = &report.left {
        let paths = left.named.iter().map(|path| {
            let mut item = json!({});
            put_path(&mut item, "path", path);
            item
        });
        summary["left_for_next_run"] = json!({
            "files_upload": left.uploads,
            "bytes_upload": left.upload_bytes,
            "files_remove": left.removals,
            "first": paths.collect::<Vec<_>>(),
        });
    }
    if let Some(forecast) = &report.forecast {
        summary["forecast"] = json!({
            "files_upload": forecast.uploads,
            "bytes_upload": forecast.upload_bytes,
            "files_suspect": forecast.suspects,
            "files_trash": forecast.trashed,
            "files_delete": forecast.deleted,
            "requests": forecast.requests,
            "seconds": forecast.seconds,
            "requests_per_second": forecast.requests_per_second,
            "pause_seconds": forecast.pause.as_secs_f64(),
        });
    }
    summary
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use time::macros::datetime;
    use treeferry::model::TreePath;
    use treeferry::workflow::options::Guard;

    fn report() -> JobReport {
        let mut report = JobReport::new("photos", datetime!(2026-11-22 18:15:00 UTC));
        report.finished = datetime!(2026-11-22 18:18:20 UTC);
        report
    }

    #[test]
    fn a_person_sees_what_went_up_what_was_trashed_and_what_is_not_protected() {
        let mut report = report();
        report.files_scanned = 20_000;
        report.directories_scanned = 1_400;
        report.bytes_scanned = 3 << 30;
        report.files_new = 10;
        report.files_changed = 2;
        report.files_uploaded = 12;
        report.bytes_uploaded = 3_565_158;
        report.files_trashed = 2;
        report.unprotected.add(TreePath::from_bytes("a/b\nc").unwrap(), "permission denied");
        report.outcome = JobOutcome::Unprotected;
        let expected = "\
photos: finished, but not everything is protected; 12 files sent, 3.4 MiB (3 min 20 s)
  scanned        20,000 files, 1,400 folders, 3.0 GiB
  found          10 new, 2 changed
  uploaded       12 files, 3.4 MiB
  trashed        2 files
  log            /l/backup-2026-11-22.log
  not protected  1 path:
    a/b\\nc: permission denied
";
        assert_eq!(as_text(&report, Some(Path::new("/l/backup-2026-11-22.log"))), expected);
    }

    #[test]
    fn the_headline_says_what_matters() {
        let mut unchanged = report();
        assert_eq!(headline(&unchanged), "photos: everything is protected; nothing to send (3 min 20 s)");
        unchanged.dry_run = true;
        unchanged.forecast = Some(Forecast { uploads: 3, upload_bytes: 10, ..Forecast::default() });
        assert_eq!(headline(&unchanged), "photos: plan: would send 3 files, 10 B (3 min 20 s)");
        let mut stopped = report();
        let message = "26 of 100 known files are deleted".into();
        stopped.outcome = JobOutcome::GuardStopped { guard: Some(Guard::MaxDelete), message };
        assert_eq!(
            headline(&stopped),
            "photos: stopped by the guard max-delete, nothing was sent: 26 of 100 known files are deleted (3 min 20 s)"
        );
    }

    #[test]
    fn many_unprotected_paths_are_counted_and_some_are_named() {
        let mut report = report();
        for number in 0..1_500 {
            report.unprotected.add(TreePath::from_bytes(format!("{number}")).unwrap(), "no");
        }
        let text = unprotected(&report.unprotected);
        assert!(text.starts_with("  not protected  1,500 paths:\n    0: no\n"), "{text}");
        assert!(
            text.ends_with("    19: no\n    and 1,480 more, named in the log and with --json\n"),
            "{text}"
        );
        assert_eq!(as_json(&report)["unprotected"].as_array().unwrap().len(), Unprotected::NAMED_MAX);
        assert_eq!(as_json(&report)["files_unprotected"], 1_500);
    }

    #[test]
    fn the_json_summary_has_every_promised_field() {
        let summary = as_json(&report());
        for field in "job run_id started finished duration_seconds dry_run files_scanned directories_scanned \
            bytes_scanned files_new files_changed files_moved files_deleted files_unchanged files_uploaded \
            bytes_uploaded files_trashed files_removed files_failed files_unprotected files_out_of_scope \
            content_root index_bytes_written exit_code"
            .split_whitespace()
        {
            assert!(summary.get(field).is_some(), "{field}");
        }
        assert_eq!(summary["started"], "2026-11-22T18:15:00Z");
    }
}
