//! Reports to a message for people.

use super::words::Speech;
use super::{Announcement, as_json, is_trouble, newest};
use crate::model::TreePath;
use crate::notify::Message;
use crate::workflow::configuration::Configuration;
use crate::workflow::report::{JobOutcome, JobReport};
use crate::workflow::verify::VerifyReport;
use std::fmt::Write as _;
use std::time::Duration;

/// How many paths and warnings are named per job; the log has all.
const NAMED_MAX: usize = 10;
/// So many, where a channel has no room for that.
const NAMED_FEWER: [usize; 4] = [5, 2, 1, 0];
/// A reason is one line of a chat, not a page.
const REASON_CHARACTERS_MAX: usize = 300;
/// A few long paths must not push the other jobs out of a message that is cut.
const PATH_CHARACTERS_MAX: usize = 120;

/// How much is said of each job.
#[derive(Debug, Clone, Copy)]
enum Detail {
    /// All, with so many paths and warnings by name.
    Named(usize),
    /// How it ended, and what to do.
    WayOn,
    /// How it ended, in a few words.
    Line,
}

/// What matters first, so that a channel that cuts cuts the rest.
pub(super) fn build(announcement: &Announcement<'_>, speech: Speech) -> Message {
    let reports = announcement.reports;
    let job = names(reports, speech);
    let result = result(reports, speech);
    let with = |detail| text(announcement, detail, speech);
    let fewer = NAMED_FEWER.map(Detail::Named).into_iter().chain([Detail::WayOn, Detail::Line]);
    let mut message = Message {
        subject: format!("treeferry: {job}: {result}"),
        job,
        result,
        text: with(Detail::Named(NAMED_MAX)),
        shorter: fewer.map(with).collect(),
        cut_note: speech.cut_note(announcement.log),
        fields: fields(announcement, speech),
        json: String::new(),
    };
    message.json = as_json(announcement, &message);
    message
}

/// What `notify test` sends.
pub(super) fn test(configuration: &Configuration, host: &str, speech: Speech) -> Message {
    let jobs: Vec<&str> = configuration.jobs.iter().map(|job| job.name.as_str()).collect();
    let announcement =
        Announcement { reports: &[], summaries: Vec::new(), log: None, exit_code: 0, host, locale: "" };
    let (job, result) = (jobs.join(", "), speech.test_result().to_owned());
    let mut message = Message {
        subject: format!("treeferry: {job}: {result}"),
        job,
        result,
        text: format!("{}\n\n{}: {}\n", speech.test_text(), speech.host(), plain(host)),
        shorter: Vec::new(),
        cut_note: speech.cut_note(None),
        fields: fields(&announcement, speech),
        json: String::new(),
    };
    message.json = as_json(&announcement, &message);
    message
}

fn text(announcement: &Announcement<'_>, detail: Detail, speech: Speech) -> String {
    let mut text = String::new();
    for report in announcement.reports {
        match detail {
            Detail::Named(named_max) => {
                put_ending(&mut text, report, speech);
                put_job(&mut text, report, named_max, speech);
                text.push('\n');
            }
            Detail::WayOn => put_ending(&mut text, report, speech),
            Detail::Line => {
                let ending = speech.short(&report.outcome, report.unprotected.total);
                let _ = writeln!(text, "{}: {ending}", report.job);
            }
        }
    }
    if let Some(log) = announcement.log {
        let _ = writeln!(text, "{}: {}", speech.log(), log.display());
    }
    let _ = writeln!(text, "{}: {}", speech.host(), plain(announcement.host));
    text
}

fn names(reports: &[JobReport], speech: Speech) -> String {
    match reports {
        reports if reports.len() > 3 => speech.jobs(reports.len()),
        reports => reports.iter().map(|report| report.job.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn result(reports: &[JobReport], speech: Speech) -> String {
    let troubled: Vec<&JobReport> = reports.iter().filter(|report| is_trouble(&report.outcome)).collect();
    match (troubled.as_slice(), reports) {
        ([], [only]) => speech.short(&only.outcome, only.unprotected.total),
        ([], _) => speech.all_well().to_owned(),
        ([one], [_]) => speech.short(&one.outcome, one.unprotected.total),
        (troubled, reports) => speech.some_troubled(troubled.len(), reports.len()),
    }
}

fn put_ending(text: &mut String, report: &JobReport, speech: Speech) {
    let _ = writeln!(text, "{}: {}", report.job, plain(&speech.long(&report.outcome)));
    if let Some(advice) = speech.advice(&report.job, &report.outcome) {
        let _ = writeln!(text, "  {}: {advice}", speech.what_to_do());
    }
}

fn put_job(text: &mut String, report: &JobReport, named_max: usize, speech: Speech) {
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label}: {value}");
    };
    if report.files_uploaded > 0 {
        line(speech.went_up(), speech.files_and_bytes(report.files_uploaded, report.bytes_uploaded));
    }
    for (label, number) in [
        (speech.moved(), report.files_moved),
        (speech.trashed(), report.files_trashed),
        (speech.deleted(), report.files_removed),
        (speech.failed(), report.files_failed),
    ] {
        if number > 0 {
            line(label, speech.files(number));
        }
    }
    if report.files_uploaded + report.files_trashed + report.files_removed + report.files_failed == 0 {
        // A run that stopped before it looked does not know whether there was anything.
        let has_looked = matches!(
            report.outcome,
            JobOutcome::Protected | JobOutcome::Unprotected | JobOutcome::Damaged { .. }
        );
        let nothing = if has_looked { speech.nothing() } else { speech.nothing_went_up() };
        line(speech.went_up(), nothing.to_owned());
    }
    line(speech.time_taken(), speech.duration(report.duration()));
    if report.unprotected.total > 0 {
        line(speech.not_protected(), speech.paths(report.unprotected.total));
    }
    let named = &report.unprotected.named[..report.unprotected.named.len().min(named_max)];
    for (path, reason) in named {
        let _ = writeln!(text, "    {}: {}", shortened(path), plain(&speech.reason(reason)));
    }
    put_others(text, report.unprotected.total.saturating_sub(named.len() as u64), speech);
    if let Some(check) = &report.check {
        put_check(text, check, named_max, speech);
    }
    for warning in report.warnings.iter().take(named_max) {
        let _ = writeln!(text, "  {}: {}", speech.warning(), plain(&speech.reason(warning)));
    }
    put_others(text, report.warnings.len().saturating_sub(named_max) as u64, speech);
}

fn put_check(text: &mut String, check: &VerifyReport, named_max: usize, speech: Speech) {
    let figures = [
        (speech.check_good(), check.files_verified),
        (speech.check_missing(), check.files_missing),
        (speech.check_different(), check.files_damaged),
        (speech.check_surplus(), check.files_surplus),
        (speech.check_failed(), check.files_failed),
        (speech.check_sent_again(), check.files_repaired),
    ];
    let told: Vec<String> = figures
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(what, number)| format!("{what} {}", speech.files(*number)))
        .collect();
    let _ = writeln!(text, "  {}: {}", speech.mirror_check(), told.join("; "));
    let named = &check.findings.named[..check.findings.named.len().min(named_max)];
    for (path, reason) in named {
        let _ = writeln!(text, "    {}: {}", shortened(path), plain(&speech.reason(reason)));
    }
    put_others(text, check.findings.total.saturating_sub(named.len() as u64), speech);
}

fn put_others(text: &mut String, others: u64, speech: Speech) {
    if others > 0 {
        let _ = writeln!(text, "    {}", speech.and_more(others));
    }
}

/// One line of bounded length.
fn plain(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(REASON_CHARACTERS_MAX)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.chars().nth(REASON_CHARACTERS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// Of a long path the beginning and the end: they tell most about where and what it is.
fn shortened(path: &TreePath) -> String {
    let characters: Vec<char> = path.to_string().chars().collect();
    if characters.len() <= PATH_CHARACTERS_MAX {
        return characters.into_iter().collect();
    }
    let beginning = PATH_CHARACTERS_MAX / 2;
    let end = characters.len() - (PATH_CHARACTERS_MAX - beginning - 1);
    characters[..beginning].iter().chain(&['…']).chain(&characters[end..]).collect()
}

/// The sums over all jobs, for templates.
fn fields(announcement: &Announcement<'_>, speech: Speech) -> Vec<(&'static str, String)> {
    let reports = announcement.reports;
    let sum = |figure: fn(&JobReport) -> u64| reports.iter().map(figure).sum::<u64>().to_string();
    let began = reports.iter().map(|report| report.started).min();
    let took = began.and_then(|began| Duration::try_from(newest(reports) - began).ok()).unwrap_or_default();
    vec![
        ("host", announcement.host.to_owned()),
        ("log", announcement.log.map(|log| log.display().to_string()).unwrap_or_default()),
        ("exit_code", announcement.exit_code.to_string()),
        ("duration", speech.duration(took)),
        ("duration_seconds", took.as_secs().to_string()),
        ("files_uploaded", sum(|report| report.files_uploaded)),
        ("bytes_uploaded", sum(|report| report.bytes_uploaded)),
        ("files_trashed", sum(|report| report.files_trashed)),
        ("files_removed", sum(|report| report.files_removed)),
        ("files_failed", sum(|report| report.files_failed)),
        ("files_unprotected", sum(|report| report.unprotected.total)),
    ]
}
