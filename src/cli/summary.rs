//! What a run came to, for people and for programs.

use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, one_line, path_objects, put_path, to_stdout};
use super::restore::findings;
use super::verify;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use time::format_description::well_known::Rfc3339;
use treeferry::workflow::notification::Speech;
use treeferry::workflow::report::{Forecast, JobOutcome, JobReport, Left, Unprotected};
use treeferry::workflow::verify::VerifyReport;

/// How many paths are shown by name; the log and `--json` have the others.
const NAMES_SHOWN: usize = 20;
/// Paths of what a budget left that are shown.
const LEFT_NAMES_SHOWN: usize = 3;

/// Tells about one job.
pub(super) fn tell(report: &JobReport, log: Option<&Path>, speech: Speech, output: &Output) {
    if output.json {
        json_line(&as_json(report));
    } else if output.quiet {
        let findings = check_findings(report, speech);
        let headline = headline(report, speech);
        to_stdout(&format!("{headline}\n{findings}{}", unprotected(&report.unprotected, speech)));
    } else {
        to_stdout(&as_text(report, log, speech));
    }
}

/// Lists all jobs of a run with more than one.
pub(super) fn tell_all(reports: &[JobReport], speech: Speech, output: &Output) {
    if output.json || reports.len() < 2 {
        return;
    }
    let worst = ExitStatus::worst(reports.iter().map(|report| (&report.outcome).into())).code();
    let number = reports.len();
    let mut text = speech.either(
        format!("{number} jobs, exit code {worst}:\n"),
        format!("共 {number} 个任务，退出码 {worst}：\n"),
    );
    for report in reports {
        let code = ExitStatus::from(&report.outcome).code();
        let _ = writeln!(text, "  {:>3}  {}: {}", code, report.job, words(&report.outcome, speech));
    }
    to_stdout(&text);
}

fn words(outcome: &JobOutcome, speech: Speech) -> String {
    match speech {
        Speech::English => outcome_words(outcome),
        Speech::Chinese => one_line(&speech.long(outcome)),
    }
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
        // Not always before anything was sent: a source can go away while a run is under way.
        JobOutcome::GuardStopped { guard: None, message } => format!("stopped: {message}"),
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
fn headline(report: &JobReport, speech: Speech) -> String {
    let mut parts = Vec::new();
    if !(report.dry_run && report.outcome == JobOutcome::Protected) {
        parts.push(words(&report.outcome, speech));
    }
    parts.extend(work_done(report, speech));
    let plan = if report.dry_run { speech.either("plan: ", "计划：") } else { "" };
    let parts = parts.join(speech.either("; ", "；"));
    format!("{}: {plan}{parts} ({})", report.job, speech.duration(report.duration()))
}

/// What was sent, or would be; `None` where the outcome says enough.
fn work_done(report: &JobReport, speech: Speech) -> Option<String> {
    let nothing = || speech.either("nothing to send", "没有需要发送的内容").to_owned();
    match &report.forecast {
        Some(forecast) if report.dry_run && forecast.is_empty() => Some(nothing()),
        Some(forecast) if report.dry_run => {
            let much = speech.files_and_bytes(forecast.uploads, forecast.upload_bytes);
            Some(if forecast.suspects > 0 {
                speech.either(format!("would send at most {much}"), format!("最多将发送 {much}"))
            } else {
                speech.either(format!("would send {much}"), format!("将发送 {much}"))
            })
        }
        _ if report.files_uploaded > 0 => {
            let (files, bytes) = (speech.files(report.files_uploaded), figures::bytes(report.bytes_uploaded));
            Some(speech.either(format!("{files} sent, {bytes}"), format!("已发送 {files}，{bytes}")))
        }
        _ if report.files_trashed > 0 => {
            let files = speech.files(report.files_trashed);
            Some(speech.either(format!("{files} trashed"), format!("{files} 移入回收站")))
        }
        _ if report.files_removed > 0 => {
            let files = speech.files(report.files_removed);
            Some(speech.either(format!("{files} removed"), format!("已删除 {files}")))
        }
        _ if report.outcome == JobOutcome::Protected => Some(nothing()),
        _ if matches!(
            report.outcome,
            JobOutcome::Unprotected | JobOutcome::GuardStopped { guard: None, .. }
        ) =>
        {
            Some(speech.either("nothing sent", "未发送任何内容").to_owned())
        }
        _ => None,
    }
}

/// A Chinese character takes two columns.
pub(super) fn put_line(text: &mut String, name: &str, value: &str) {
    let width: usize = name.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum();
    let _ = writeln!(text, "  {name}{} {value}", " ".repeat(14_usize.saturating_sub(width)));
}

fn as_text(report: &JobReport, log: Option<&Path>, speech: Speech) -> String {
    let mut text = headline(report, speech) + "\n";
    let mut line = |name: &str, value: String| put_line(&mut text, name, &value);
    // In English the first line says it.
    if let (Speech::Chinese, Some(advice)) = (speech, speech.advice(&report.job, &report.outcome)) {
        line(speech.what_to_do(), advice);
    }
    if report.files_scanned + report.directories_scanned > 0 {
        let folders = figures::counted(report.directories_scanned, "folder", "folders");
        let chinese_folders = format!("{} 个文件夹", figures::count(report.directories_scanned));
        let parts = [
            speech.files(report.files_scanned),
            speech.either(folders, chinese_folders),
            figures::bytes(report.bytes_scanned),
        ];
        line(speech.either("scanned", "已扫描"), parts.join(speech.either(", ", "，")));
    }
    let found = [
        (report.files_new, speech.either("new", "新增")),
        (report.files_changed, speech.either("changed", "修改")),
        (report.files_moved, speech.either("moved", "移动")),
        (report.files_deleted, speech.either("deleted", "删除")),
        (
            report.files_out_of_scope,
            speech.either("out of scope, kept on the mirror", "不在备份范围，保留在远端"),
        ),
    ];
    let found: Vec<String> = found
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", figures::count(*number)))
        .collect();
    if !found.is_empty() {
        line(speech.either("found", "发现"), found.join(speech.either(", ", "，")));
    }
    if let (Some(forecast), true) = (&report.forecast, report.dry_run) {
        forecast_lines(forecast, speech, &mut line);
    }
    if report.files_uploaded > 0 {
        let much = speech.files_and_bytes(report.files_uploaded, report.bytes_uploaded);
        line(speech.went_up(), much);
    }
    for (number, name) in [
        (report.files_trashed, speech.either("trashed", "移入回收站")),
        (report.files_removed, speech.either("removed", "已删除")),
        (report.files_failed, speech.failed()),
    ] {
        if number > 0 {
            line(name, speech.files(number));
        }
    }
    what_is_to_come(report, speech, &mut line);
    for warning in &report.warnings {
        line(speech.warning(), one_line(warning));
    }
    if let Some(log) = log {
        line(speech.log(), log.display().to_string());
    }
    text + &check_findings(report, speech) + &unprotected(&report.unprotected, speech)
}

/// What was not looked at, what a budget left, and the check of the mirror.
fn what_is_to_come(report: &JobReport, speech: Speech, line: &mut impl FnMut(&str, String)) {
    if let Some(words) = speech.other_file_systems(&report.not_entered) {
        line(speech.either("not entered", "未进入"), one_line(&words));
    }
    if let Some(left) = &report.left {
        let about = if report.dry_run { speech.either("about ", "约 ") } else { "" };
        line(speech.either("left for next", "留待下次"), format!("{about}{}", left_words(left, speech)));
    }
    check_lines(report, speech, line);
}

/// About the check of the mirror, made or to be made.
fn check_lines(report: &JobReport, speech: Speech, line: &mut impl FnMut(&str, String)) {
    if let Some(check) = &report.check {
        line(speech.either("mirror check", "远端检查"), check_words(check, speech));
    }
    if let Some(requests) = report.check_forecast {
        let requests = figures::count(requests);
        line(
            speech.either("check due", "检查到期"),
            speech.either(
                format!("the mirror would be listed, about {requests} requests"),
                format!("将列出远端，约 {requests} 次请求"),
            ),
        );
    }
}

/// What the check after a backup found wrong, as an indented list.
fn check_findings(report: &JobReport, speech: Speech) -> String {
    let check = report.check.as_ref();
    check.map(|check| findings(speech.either("found", "发现"), &check.findings, speech)).unwrap_or_default()
}

/// What the check after a backup came to, in one line.
fn check_words(check: &VerifyReport, speech: Speech) -> String {
    let good = speech.files(check.files_verified);
    let mut parts = vec![speech.either(format!("{good} as they should be"), format!("{good} 完好"))];
    for (number, what) in [
        (check.files_missing, speech.either("missing", "缺失")),
        (check.files_damaged, speech.either("different", "不一致")),
        (check.files_surplus, speech.either("surplus", "多余")),
        (check.files_unverifiable, speech.either("not verifiable", "无法校验")),
        (check.files_failed, speech.either("not to be looked at", "无法查看")),
        (check.files_repaired, speech.either("sent again", "已重新发送")),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", figures::count(number)));
        }
    }
    parts.join(speech.either(", ", "，"))
}

/// What the next run goes on with.
fn left_words(left: &Left, speech: Speech) -> String {
    let mut parts = Vec::new();
    if left.uploads > 0 {
        let much = speech.files_and_bytes(left.uploads, left.upload_bytes);
        parts.push(speech.either(format!("{much} to send"), format!("{much} 待发送")));
    }
    if left.removals > 0 {
        let files = speech.files(left.removals);
        parts.push(speech.either(format!("{files} to remove"), format!("{files} 待移除")));
    }
    let names: Vec<String> = left.named.iter().take(LEFT_NAMES_SHOWN).map(ToString::to_string).collect();
    if parts.is_empty() {
        return speech.either("nothing", "无").into();
    }
    if names.is_empty() {
        return parts.join("; ");
    }
    let more = if left.uploads + left.removals > names.len() as u64 { ", …" } else { "" };
    format!("{} ({}{more})", parts.join("; "), names.join(", "))
}

fn forecast_lines(forecast: &Forecast, speech: Speech, line: &mut impl FnMut(&str, String)) {
    if forecast.uploads > 0 {
        let much = speech.files_and_bytes(forecast.uploads, forecast.upload_bytes);
        line(speech.either("would upload", "将上传"), much);
    }
    for (number, name) in [
        (forecast.trashed, speech.either("would trash", "将移入回收站")),
        (forecast.deleted, speech.either("would delete", "将删除")),
    ] {
        if number > 0 {
            line(name, speech.files(number));
        }
    }
    if forecast.suspects > 0 {
        let suspects = speech.files(forecast.suspects);
        line(
            speech.either("of these", "其中"),
            speech.either(
                format!("{suspects} with a new time and the old size: read first, sent only if they differ"),
                format!("{suspects} 仅时间改变而大小不变：先读取，内容不同才发送"),
            ),
        );
    }
    if !forecast.is_empty() {
        let number = figures::count(forecast.requests);
        let seconds =
            forecast.seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        let time = seconds.map(|seconds| format!("，约 {}", speech.duration(seconds))).unwrap_or_default();
        line(
            speech.either("costs", "代价"),
            speech
                .either(format!("at most {}", forecast.cost_words()), format!("最多 {number} 次请求{time}")),
        );
    }
}

/// The paths that are not protected, as an indented list; empty when there are none.
pub(super) fn unprotected(unprotected: &Unprotected, speech: Speech) -> String {
    let mut text = String::new();
    if unprotected.total > 0 {
        put_line(&mut text, speech.not_protected(), &format!("{}:", speech.paths(unprotected.total)));
    }
    let shown = &unprotected.named[..unprotected.named.len().min(NAMES_SHOWN)];
    for (path, reason) in shown {
        let _ = writeln!(text, "    {path}: {}", one_line(&speech.reason(reason)));
    }
    let others = unprotected.with_reason().saturating_sub(shown.len() as u64);
    if others > 0 {
        let others = figures::count(others);
        let _ = writeln!(
            text,
            "    {}",
            speech.either(
                format!("and {others} more, named in the log and with --json"),
                format!("另有 {others} 项，见日志或 --json")
            )
        );
    }
    if unprotected.not_reached > 0 {
        let files = speech.files(unprotected.not_reached);
        let words = speech.either(
            format!("{files} that the run did not come to, counted and not named"),
            format!("{files}本次运行未处理到，仅计数"),
        );
        let _ = writeln!(text, "    {words}");
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
        "files_not_reached": report.unprotected.not_reached,
        "files_out_of_scope": report.files_out_of_scope,
        "content_root": report.content_root.map(|root| root.to_string()),
        "index_bytes_written": report.index_bytes_written,
        "exit_code": code,
        "message": outcome_words(&report.outcome),
        "unprotected": unprotected_json(&report.unprotected),
        "warnings": report.warnings,
        "mounts_not_entered": report.not_entered.total,
        "not_entered": path_objects(&report.not_entered.named),
    });
    if let JobOutcome::GuardStopped { guard: Some(guard), .. } = &report.outcome {
        summary["guard"] = json!(guard.name());
    }
    if let Some(left) = &report.left {
        summary["left_for_next_run"] = json!({
            "files_upload": left.uploads,
            "bytes_upload": left.upload_bytes,
            "files_remove": left.removals,
            "first": path_objects(&left.named),
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
    if let Some(check) = &report.check {
        summary["check"] = verify::as_json(check);
    }
    if let Some(requests) = report.check_forecast {
        summary["check_forecast"] = json!({"requests": requests});
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
        assert_eq!(as_text(&report, Some(Path::new("/l/backup-2026-11-22.log")), Speech::English), expected);
    }

    #[test]
    fn the_summary_speaks_chinese_too() {
        let mut report = report();
        report.files_scanned = 20_000;
        report.directories_scanned = 1_400;
        report.bytes_scanned = 3 << 30;
        report.files_new = 12;
        report.files_uploaded = 12;
        report.bytes_uploaded = 3_565_158;
        report.files_trashed = 2;
        report.unprotected.add(TreePath::from_bytes("a/b\nc").unwrap(), "permission denied");
        report.outcome = JobOutcome::Unprotected;
        let expected = "\
photos: 已完成，但有内容未受保护；已发送 12 个文件，3.4 MiB (3 分 20 秒)
  如何处理       请查看下列原因；下次运行会重试
  已扫描         20,000 个文件，1,400 个文件夹，3.0 GiB
  发现           12 新增
  已上传         12 个文件，3.4 MiB
  移入回收站     2 个文件
  未受保护       1 项:
    a/b\\nc: permission denied
";
        assert_eq!(as_text(&report, None, Speech::Chinese), expected);
        let mut plan = JobReport::new("photos", datetime!(2026-11-22 18:15:00 UTC));
        plan.dry_run = true;
        plan.forecast = Some(Forecast { uploads: 3, requests: 7, ..Forecast::default() });
        let text = as_text(&plan, None, Speech::Chinese);
        assert!(text.contains("计划：将发送 3 个文件，0 B") && text.contains("最多 7 次"), "{text}");
        assert!(
            !text.chars().any(|character| character.is_ascii_alphabetic() && !"photosB".contains(character))
        );
    }

    #[test]
    fn the_headline_says_what_matters() {
        let mut unchanged = report();
        assert_eq!(
            headline(&unchanged, Speech::English),
            "photos: everything is protected; nothing to send (3 min 20 s)"
        );
        unchanged.dry_run = true;
        unchanged.forecast = Some(Forecast { uploads: 3, upload_bytes: 10, ..Forecast::default() });
        assert_eq!(
            headline(&unchanged, Speech::English),
            "photos: plan: would send 3 files, 10 B (3 min 20 s)"
        );
        let mut stopped = report();
        let message = "26 of 100 known files are deleted".into();
        stopped.outcome = JobOutcome::GuardStopped { guard: Some(Guard::MaxDelete), message };
        assert_eq!(
            headline(&stopped, Speech::English),
            "photos: stopped by the guard max-delete, nothing was sent: 26 of 100 known files are deleted (3 min 20 s)"
        );
    }

    #[test]
    fn a_source_that_goes_away_under_way_does_not_unsend_what_was_sent() {
        let mut stopped = report();
        stopped.outcome = JobOutcome::GuardStopped { guard: None, message: "/s was unmounted".into() };
        let of = |stopped: &JobReport| {
            [Speech::English, Speech::Chinese].map(|speech| headline(stopped, speech)).join("\n")
        };
        let nothing = "photos: stopped: /s was unmounted; nothing sent (3 min 20 s)\n\
                       photos: 已停止：/s was unmounted；未发送任何内容 (3 分 20 秒)";
        assert_eq!(of(&stopped), nothing);
        stopped.files_uploaded = 4;
        let some = "photos: stopped: /s was unmounted; 4 files sent, 0 B (3 min 20 s)\n\
                    photos: 已停止：/s was unmounted；已发送 4 个文件，0 B (3 分 20 秒)";
        assert_eq!(of(&stopped), some);
    }

    #[test]
    fn many_unprotected_paths_are_counted_and_some_are_named() {
        let mut report = report();
        for number in 0..1_500 {
            report.unprotected.add(TreePath::from_bytes(format!("{number}")).unwrap(), "no");
        }
        let text = unprotected(&report.unprotected, Speech::English);
        assert!(text.starts_with("  not protected  1,500 paths:\n    0: no\n"), "{text}");
        assert!(
            text.ends_with("    19: no\n    and 1,480 more, named in the log and with --json\n"),
            "{text}"
        );
        assert_eq!(as_json(&report)["unprotected"].as_array().unwrap().len(), Unprotected::NAMED_MAX);
        assert_eq!(as_json(&report)["files_unprotected"], 1_500);
    }

    #[test]
    fn what_a_run_did_not_come_to_is_counted_and_not_named() {
        let mut report = report();
        report.unprotected.add(TreePath::from_bytes("full").unwrap(), "507");
        report.unprotected.add_not_reached(156_377);
        let text = unprotected(&report.unprotected, Speech::English);
        assert_eq!(
            text,
            "  not protected  156,378 paths:\n    full: 507\n    156,377 files that the run did not come to, counted and not named\n"
        );
        assert_eq!(as_json(&report)["files_unprotected"], 156_378);
        assert_eq!(as_json(&report)["files_not_reached"], 156_377);
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
