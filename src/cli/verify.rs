//! `treeferry verify`.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::output::{Output, json_line, one_line, to_stdout};
use super::paths::job_and_paths;
use super::progress::{FanOut, LogListener};
use super::restore::findings;
use super::summary::{outcome_words, put_line, timestamp, unprotected_json};
use super::{Stopped, configuration_file, log_file, recipes, signals};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use treeferry::workflow::configuration::Job;
use treeferry::workflow::notification::Speech;
use treeferry::workflow::report::JobOutcome;
use treeferry::workflow::verify::{Subset, VerifyOptions, VerifyReport, What};

/// So many surplus files are named in the line that says it all.
const SURPLUS_NAMED_MAX: usize = 3;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Verify {
    /// The job; all when none is named
    #[arg(value_name = "JOB")]
    job: Option<String>,
    /// Files and folders, below the source or absolute; everything when none is named
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read every local file again: content that changed under an unchanged time and size is bit rot
    #[arg(long, group = "what")]
    source: bool,
    /// Compare one recursive listing of the mirror with the index: missing, other size, surplus
    #[arg(long, group = "what")]
    remote: bool,
    /// With --remote: also fetch every file and compare its content
    #[arg(long, requires = "remote", conflicts_with = "source")]
    download: bool,
    /// With --remote: send again what is missing or damaged there and unchanged in the source
    #[arg(long, requires = "remote", conflicts_with = "source")]
    repair: bool,
    /// Only a share of the files: a thirtieth (1/30), 5%, or about 10G; the longest not verified first, so that thirty runs with 1/30 cover all
    #[arg(long, value_name = "SHARE")]
    subset: Option<Subset>,
}

pub(super) fn run(command: &Verify, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let mut work: Vec<(&Job, VerifyOptions)> = Vec::new();
    let what = match (command.source, command.download) {
        (true, _) => What::Source,
        (false, false) => What::Listing,
        (false, true) => What::Download,
    };
    let options = |paths| VerifyOptions {
        what,
        paths,
        subset: command.subset.unwrap_or_default(),
        repair: command.repair,
    };
    match &command.job {
        // The job may be left out when the path tells which one is meant.
        Some(path) if configuration.job(path).is_none() && path.contains('/') => {
            let all: Vec<PathBuf> =
                std::iter::once(PathBuf::from(path)).chain(command.paths.clone()).collect();
            let (job, paths) = job_and_paths(&configuration, None, &all)?;
            work.push((job, options(paths)));
        }
        Some(name) => {
            let (job, paths) = job_and_paths(&configuration, Some(name), &command.paths)?;
            work.push((job, options(paths)));
        }
        None => work.extend(configuration.jobs.iter().map(|job| (job, options(Vec::new())))),
    }
    // Before any other thread: see `log_file::start`.
    let log = log_file::begin(&configuration, global, output);
    let stop = signals::listen()?;
    let mut statuses = Vec::new();
    for (job, options) in &work {
        if let Some(signal) = stop.signal() {
            statuses.push(ExitStatus::from_signal(signal));
            break;
        }
        let report = {
            let mut observer = FanOut::for_output(output);
            if log.is_some() {
                observer.add(LogListener::default());
            }
            recipes::verify(&configuration, job, options, &stop, &observer)
        };
        let status = ExitStatus::from(&report.outcome);
        log_file::end(&report.job, &report.outcome, &format!("verify: {}", words(&report)));
        if output.json {
            json_line(&as_json(&report));
            if status != ExitStatus::Protected {
                output.exit_error(status, &format!("{}: {}", report.job, words(&report)));
            }
        } else {
            to_stdout(&as_text(&report, super::notify::speech(&configuration)));
        }
        statuses.push(status);
    }
    Ok(ExitStatus::worst(statuses))
}

fn words(report: &VerifyReport) -> String {
    match &report.outcome {
        JobOutcome::Protected if report.files_repaired > 0 => {
            format!("what was found is repaired{}", surplus_words(report, Speech::English))
        }
        JobOutcome::Protected => format!("nothing wrong was found{}", surplus_words(report, Speech::English)),
        JobOutcome::Unprotected => "finished, but not everything could be verified".into(),
        JobOutcome::Interrupted { signal } => format!("interrupted by signal {signal}, before its end"),
        JobOutcome::Configuration { message } => message.clone(),
        outcome => outcome_words(outcome),
    }
}

/// Files that nobody knows of are no damage, and whoever asks wants to know of them.
fn surplus_words(report: &VerifyReport, speech: Speech) -> String {
    if report.files_surplus == 0 {
        return String::new();
    }
    let files = speech.files(report.files_surplus);
    let told = speech
        .either(format!("; {files} on the remote that nobody knows of"), format!("；远端有 {files}来历不明"));
    // What was repaired is among the findings, too: then the list below tells which is which.
    if report.files_repaired > 0 {
        return told;
    }
    let named: Vec<String> =
        report.findings.named.iter().take(SURPLUS_NAMED_MAX).map(|(path, _)| path.to_string()).collect();
    let more = if report.findings.total > named.len() as u64 { ", …" } else { "" };
    one_line(&format!("{told}{}{}{more}", speech.either(": ", "："), named.join(", ")))
}

/// For people, in their language.
fn words_in(report: &VerifyReport, speech: Speech) -> String {
    let chinese = match &report.outcome {
        JobOutcome::Protected if report.files_repaired > 0 => {
            format!("发现的问题已修复{}", surplus_words(report, Speech::Chinese))
        }
        JobOutcome::Protected => format!("未发现问题{}", surplus_words(report, Speech::Chinese)),
        JobOutcome::Unprotected => "已完成，但有内容无法校验".into(),
        outcome => Speech::Chinese.long(outcome),
    };
    speech.either(words(report), chinese)
}

fn as_text(report: &VerifyReport, speech: Speech) -> String {
    let took = Duration::try_from(report.finished - report.started).unwrap_or_default();
    let told = one_line(&words_in(report, speech));
    let mut text = format!("{}: {told} ({})\n", report.job, speech.duration(took));
    let mut line = |name: &str, value: String| put_line(&mut text, name, &value);
    line(
        speech.either("verified", "已校验"),
        speech.files_and_bytes(report.files_verified, report.bytes_verified),
    );
    for (number, name) in [
        (report.files_changed, speech.either("changed since", "此后有变化")),
        (report.files_unverifiable, speech.either("not verifiable", "无法校验")),
        (report.files_damaged, speech.either("damaged", "损坏")),
        (report.files_missing, speech.either("missing", "缺失")),
        (report.files_surplus, speech.either("surplus", "多余")),
        (report.files_repaired, speech.either("repaired", "已修复")),
        (report.files_failed, speech.either("failed", "失败")),
    ] {
        if number > 0 {
            line(name, speech.files(number));
        }
    }
    for warning in &report.warnings {
        line(speech.warning(), one_line(&speech.reason(warning)));
    }
    text + &findings(speech.either("found", "发现"), &report.findings, speech)
}

pub(super) fn as_json(report: &VerifyReport) -> Value {
    json!({
        "message_type": "summary",
        "job": report.job,
        "verified": match report.what {
            What::Source => "source",
            What::Listing => "remote",
            What::Download => "remote-download",
        },
        "started": timestamp(report.started),
        "finished": timestamp(report.finished),
        "files_selected": report.files_selected,
        "files_verified": report.files_verified,
        "bytes_verified": report.bytes_verified,
        "files_changed": report.files_changed,
        "files_unverifiable": report.files_unverifiable,
        "files_damaged": report.files_damaged,
        "files_missing": report.files_missing,
        "files_surplus": report.files_surplus,
        "files_repaired": report.files_repaired,
        "files_failed": report.files_failed,
        "findings": unprotected_json(&report.findings),
        "warnings": report.warnings,
        "message": words(report),
        "exit_code": ExitStatus::from(&report.outcome).code(),
    })
}
