//! `treeferry backup`.

use super::arguments::Global;
use super::budgets::Budgets;
use super::exit_status::ExitStatus;
use super::log_file::LogFile;
use super::output::Output;
use super::progress::{ExcludedList, FanOut, LogListener};
use super::{Stopped, configuration_file, job_selection, log_file, notify, recipes, signals, summary};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use time::OffsetDateTime;
use treeferry::workflow::configuration::Job;
use treeferry::workflow::notification::Notifier;
use treeferry::workflow::options::{BackupOptions, Guard};
use treeferry::workflow::report::{JobOutcome, JobReport};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Names of jobs; all when none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Let this guard pass, for this run of the named job; repeated or separated by commas
    #[arg(long, value_name = "GUARD", value_delimiter = ',', value_parser = guard_parser())]
    accept: Vec<Guard>,
    #[command(flatten)]
    budgets: Budgets,
}

pub(super) fn guard_parser() -> impl TypedValueParser<Value = Guard> {
    let values = Guard::ALL.iter().map(|guard| PossibleValue::new(guard.name()).help(guard.meaning()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Guard>())
}

pub(super) fn run(command: &Backup, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let options = BackupOptions {
        dry_run: command.dry_run,
        report_excluded: false,
        accept: command.accept.clone(),
        budget: command.budgets.starting_now(),
    };
    run_jobs(&command.jobs, &options, global, output)
}

/// Runs the jobs in order; one that fails does not stop the next.
pub(super) fn run_jobs(
    names: &[String],
    options: &BackupOptions,
    global: &Global,
    output: &Output,
) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let jobs = job_selection::select(&configuration, names)?;
    if !options.accept.is_empty() && names.is_empty() && jobs.len() > 1 {
        return Err(Stopped::usage(
            "--accept holds for the job that is named, and there are several: `treeferry backup JOB --accept …`",
        ));
    }
    // Before any other thread: see `log_file::start`.
    let log = if options.dry_run { None } else { log_file::begin(&configuration, global, output) };
    let stop = signals::listen()?;
    let notifier = (!options.dry_run).then(|| Notifier::begin(&configuration));
    let speech = notify::speech(&configuration);
    let mut reports = Vec::new();
    for job in jobs {
        let report = match stop.signal() {
            Some(signal) => not_started(job, options, signal),
            None => {
                let observer = observer(options, log.as_ref(), output);
                recipes::backup(&configuration, job, options, &stop, &observer)
            }
        };
        log_file::end(&job.name, &report.outcome, &summary::outcome_words(&report.outcome));
        summary::tell(&report, log.as_ref().map(|log| log.path.as_path()), speech, output);
        reports.push(report);
    }
    summary::tell_all(&reports, speech, output);
    let status = ExitStatus::worst(reports.iter().map(|report| (&report.outcome).into()));
    if let Some(notifier) = notifier {
        let log = log.as_ref().map(|log| log.path.as_path());
        notify::tell(notifier, &reports, log, status.code(), &stop, output);
    }
    if output.json && status.code() != 0 {
        output.exit_error(status, &exit_message(&reports));
    }
    Ok(status)
}

/// A job whose turn did not come before the signal.
fn not_started(job: &Job, options: &BackupOptions, signal: i32) -> JobReport {
    let mut report = JobReport::new(&job.name, OffsetDateTime::now_utc());
    report.dry_run = options.dry_run;
    report.outcome = JobOutcome::Interrupted { signal };
    report
}

fn observer(options: &BackupOptions, log: Option<&LogFile>, output: &Output) -> FanOut {
    let mut observer = FanOut::for_output(output);
    if log.is_some() {
        observer.add(LogListener::default());
    }
    if options.report_excluded {
        observer.add(ExcludedList { json: output.json });
    }
    observer
}

fn exit_message(reports: &[JobReport]) -> String {
    let told: Vec<String> = reports
        .iter()
        .filter(|report| ExitStatus::from(&report.outcome) != ExitStatus::Protected)
        .map(|report| format!("{}: {}", report.job, summary::outcome_words(&report.outcome)))
        .collect();
    told.join("; ")
}
