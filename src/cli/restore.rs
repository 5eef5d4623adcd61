//! `treeferry restore`.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, one_line, to_stdout};
use super::paths::{job_and_paths, parse_at};
use super::progress::{FanOut, LogListener};
use super::summary::{outcome_words, put_line, timestamp, unprotected_json};
use super::{Stopped, configuration_file, log_file, recipes, signals};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use treeferry::workflow::history::At;
use treeferry::workflow::notification::Speech;
use treeferry::workflow::report::{JobOutcome, Unprotected};
use treeferry::workflow::restore::{Overwrite, RestoreOptions, RestoreReport};

/// How many paths are shown by name; `--json` has more.
const NAMES_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Files and folders, below the source or absolute; everything when none is named
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Folder to restore into; it is made when it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The job, when there are several
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// State of that day or time (local), or of that snapshot [default: the newest]
    #[arg(long, value_name = "TIME|ID", value_parser = parse_at)]
    at: Option<At>,
    /// What becomes of files that are there with other content
    #[arg(long, value_name = "WHEN", default_value = "never")]
    overwrite: OverwriteArgument,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// As it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OverwriteArgument {
    /// They stay, and are named
    Never,
    /// They are replaced
    IfDifferent,
    /// Everything is fetched again, without a look at what is there
    Always,
}

pub(super) fn run(command: &Restore, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let (job, paths) = job_and_paths(&configuration, command.job.as_deref(), &command.paths)?;
    let options = RestoreOptions {
        paths,
        to: command.to.clone(),
        at: command.at.clone().unwrap_or_default(),
        overwrite: match command.overwrite {
            OverwriteArgument::Never => Overwrite::Never,
            OverwriteArgument::IfDifferent => Overwrite::IfDifferent,
            OverwriteArgument::Always => Overwrite::Always,
        },
        dry_run: command.dry_run,
    };
    // Before any other thread: see `log_file::start`.
    let log = if command.dry_run { None } else { log_file::begin(&configuration, global, output) };
    let stop = signals::listen()?;
    let report = {
        let mut observer = FanOut::for_output(output);
        if log.is_some() {
            observer.add(LogListener::default());
        }
        recipes::restore(&configuration, job, &options, &stop, &observer)
    };
    let status = ExitStatus::from(&report.outcome);
    log_file::end(
        &report.job,
        &report.outcome,
        &format!("restore to {}: {}", report.to.display(), words(&report)),
    );
    if output.json {
        json_line(&as_json(&report));
        if status != ExitStatus::Protected {
            output.exit_error(status, &words(&report));
        }
    } else {
        to_stdout(&as_text(&report, super::notify::speech(&configuration)));
    }
    Ok(status)
}

fn words(report: &RestoreReport) -> String {
    match &report.outcome {
        JobOutcome::Protected if report.dry_run => "this would be restored".into(),
        JobOutcome::Protected => "everything that was asked for is there".into(),
        JobOutcome::Unprotected => "finished, but not everything could be restored".into(),
        JobOutcome::Interrupted { signal } => {
            format!("interrupted by signal {signal}; the same command goes on where it stopped")
        }
        JobOutcome::Configuration { message } => message.clone(),
        outcome => outcome_words(outcome),
    }
}

/// For people, in their language.
fn words_in(report: &RestoreReport, speech: Speech) -> String {
    let chinese = match &report.outcome {
        JobOutcome::Protected if report.dry_run => "将恢复以下内容".into(),
        JobOutcome::Protected => "所要求的内容均已就位".into(),
        JobOutcome::Unprotected => "已完成，但有内容未能恢复".into(),
        JobOutcome::Interrupted { signal } => format!("被信号 {signal} 中断；再次运行同一命令即可继续"),
        outcome => Speech::Chinese.long(outcome),
    };
    speech.either(words(report), chinese)
}

fn as_text(report: &RestoreReport, speech: Speech) -> String {
    let took = Duration::try_from(report.finished - report.started).unwrap_or_default();
    let told = one_line(&words_in(report, speech));
    let mut text = format!("{}: {told} ({})\n", report.job, speech.duration(took));
    let mut line = |name: &str, value: String| put_line(&mut text, name, &value);
    if let Some(snapshot) = report.snapshot {
        line(speech.either("snapshot", "快照"), snapshot.to_string());
    }
    line(speech.either("to", "恢复到"), one_line(&report.to.to_string_lossy()));
    let fetched = match report.dry_run {
        true => speech.either("would restore", "将恢复"),
        false => speech.either("restored", "已恢复"),
    };
    line(fetched, speech.files_and_bytes(report.files_restored, report.bytes_restored));
    if report.files_unchanged > 0 {
        line(speech.either("there already", "已存在"), speech.files(report.files_unchanged));
    }
    for warning in &report.warnings {
        line(speech.warning(), one_line(&speech.reason(warning)));
    }
    text + &findings(speech.either("not restored", "未恢复"), &report.not_restored, speech)
}

/// Paths with their reasons, as an indented list; empty when there are none.
pub(super) fn findings(name: &str, found: &Unprotected, speech: Speech) -> String {
    if found.total == 0 {
        return String::new();
    }
    let mut text = String::new();
    put_line(&mut text, name, &format!("{}:", speech.paths(found.total)));
    let shown = &found.named[..found.named.len().min(NAMES_SHOWN)];
    for (path, reason) in shown {
        let _ = writeln!(text, "    {path}: {}", one_line(&speech.reason(reason)));
    }
    let others = found.total.saturating_sub(shown.len() as u64);
    if others > 0 {
        let others = figures::count(others);
        let told = speech.either(
            format!("and {others} more, named in the log, with -v and with --json"),
            format!("另有 {others} 项，见日志、-v 或 --json"),
        );
        let _ = writeln!(text, "    {told}");
    }
    text
}

fn as_json(report: &RestoreReport) -> Value {
    json!({
        "message_type": "summary",
        "job": report.job,
        "snapshot": report.snapshot.map(|run| run.to_string()),
        "to": report.to.to_string_lossy(),
        "started": timestamp(report.started),
        "finished": timestamp(report.finished),
        "dry_run": report.dry_run,
        "files_selected": report.files_selected,
        "files_restored": report.files_restored,
        "bytes_restored": report.bytes_restored,
        "files_unchanged": report.files_unchanged,
        "files_unchecked": report.files_unchecked,
        "files_damaged": report.files_damaged,
        "files_not_restored": report.not_restored.total,
        "directories": report.directories,
        "links": report.links,
        "specials_skipped": report.specials_skipped,
        "not_restored": unprotected_json(&report.not_restored),
        "warnings": report.warnings,
        "message": words(report),
        "exit_code": ExitStatus::from(&report.outcome).code(),
    })
}
