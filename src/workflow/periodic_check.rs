//! The check of the mirror that `check_every_days` asks for, after the backup.
//!
//! One recursive listing is merged with the index; the source is not looked at, so
//! that edits since the backup are no damage. What is wrong is named, and stays
//! named as unprotected in every run until it is sent again.

use super::backup::back_up_unchecked;
use super::budget::RunBudget;
use super::check_state::CheckState;
use super::configuration::{CheckAction, Configuration, Job};
use super::halt::Halt;
use super::last_run;
use super::opened::open_to_look;
use super::options::BackupOptions;
use super::report::{JobOutcome, JobReport};
use super::surroundings::Surroundings;
use super::verify::{self, CheckProgress};
use crate::commit::StateDir;
use crate::disk::RealDisk;
use crate::index::{Docket, Root, Tree};
use crate::model::TreePath;
use crate::observe::Event;

/// Checks the mirror when it is time to, and puts what that came to into the
/// report of the backup. In a dry run says what it would cost.
pub(super) fn run_if_due(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) {
    // A backup that did not come to its end has told why; the next one checks.
    if !matches!(report.outcome, JobOutcome::Protected | JobOutcome::Unprotected) {
        // Without a look at the source, `status` goes on with what was known before.
        if report.forecast.is_some() && !options.dry_run {
            name_beside_the_outcome(configuration, job, surroundings, report);
        }
        return;
    }
    let done = match options.dry_run {
        true => forecast(configuration, job, surroundings, report),
        false => run(configuration, job, options, surroundings, report),
    };
    report.finished = verify::now(surroundings);
    if done.is_err() && !options.dry_run {
        name_beside_the_outcome(configuration, job, surroundings, report);
    }
    match done {
        Ok(()) => {}
        // Another run is at work by now, and sees to it.
        Err(Halt::Locked { .. }) => {
            surroundings.observer.event(&Event::Detail("the check of the mirror is left to another run"));
        }
        // The next run makes it; what is not protected counts more.
        Err(Halt::BudgetSpent(_)) if report.outcome == JobOutcome::Unprotected => {}
        Err(halt) => report.outcome = JobOutcome::from(in_words(halt)),
    }
}

/// The backup is done: nobody must think that it failed.
fn in_words(halt: Halt) -> Halt {
    let told = |message: String| format!("the backup is done, but the check of the mirror is not: {message}");
    match halt {
        Halt::Authentication(message) => Halt::Authentication(told(message)),
        Halt::RemoteUnwell(message) => Halt::RemoteUnwell(told(message)),
        Halt::Rclone(message) => Halt::Rclone(told(message)),
        Halt::Fatal(message) => Halt::Fatal(told(message)),
        halt => halt,
    }
}

fn forecast(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) -> Result<(), Halt> {
    let opened = open_to_look(configuration, job, surroundings)?;
    if CheckState::load(&opened.state)?.is_due(job.check_every_days, surroundings.now_seconds()) {
        let begun = CheckProgress::load(&opened.state, surroundings.now_seconds())?;
        report.check_forecast = Some(match begun {
            Some(begun) if job.remote.local_path().is_none() => begun.requests_left(),
            _ => requests(job, &opened.docket, report.directories_scanned),
        });
    }
    Ok(())
}

/// One for each folder, and a few for rclone to begin with.
fn requests(job: &Job, docket: &Docket, folders_now: u64) -> u64 {
    if job.remote.local_path().is_some() {
        return 0;
    }
    let folders = |root: Option<Root>| root.map_or(0, |root| root.totals.directories);
    folders(docket.base).max(folders_now) + folders(docket.kept) + 3
}

fn run(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) -> Result<(), Halt> {
    let Some(state) = StateDir::open_existing(&configuration.state_dir, &job.name).map_err(Halt::fatal)?
    else {
        return Ok(());
    };
    if !CheckState::load(&state)?.is_due(job.check_every_days, report.started.unix_timestamp()) {
        return name_what_is_still_wrong(configuration, job, surroundings, report);
    }
    let may_repair = job.check_action == CheckAction::Repair;
    let checked = verify::check_mirror(configuration, job, may_repair, &options.budget, surroundings)?;
    if let Some(sent) = &checked.repair_run {
        report.run_id = sent.run_id.or(report.run_id);
        report.files_uploaded += sent.files_uploaded;
        report.bytes_uploaded += sent.bytes_uploaded;
        report.files_trashed += sent.files_trashed;
        report.files_failed += sent.files_failed;
        report.index_bytes_written += sent.index_bytes_written;
    }
    report.warnings.extend(checked.warnings.iter().cloned());
    match &checked.outcome {
        JobOutcome::Protected => {}
        // What could not be looked at is named with the findings.
        JobOutcome::Unprotected => report.outcome = JobOutcome::Unprotected,
        outcome => report.outcome = outcome.clone(),
    }
    report.check = Some(Box::new(checked));
    Ok(())
}

/// Nothing is silently unprotected: what the last check missed is named until it
/// is on the mirror again, or changed or gone in the source.
fn name_what_is_still_wrong(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) -> Result<(), Halt> {
    for (path, reason) in add_what_is_still_wrong(configuration, job, surroundings, report)? {
        surroundings.observer.event(&Event::Unprotected { path: &path, reason: &reason });
    }
    Ok(())
}

/// The same for a run that something ended early: only a budget is a lesser thing than a file that is not
/// protected.
fn name_beside_the_outcome(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) {
    let outcome = report.outcome.clone();
    if let Err(halt) = name_what_is_still_wrong(configuration, job, surroundings, report) {
        report.warnings.push(format!("what is still wrong on the mirror could not be looked up: {halt}"));
    }
    let gives_way = matches!(outcome, JobOutcome::Protected | JobOutcome::BudgetSpent { .. });
    if !gives_way {
        report.outcome = outcome;
    }
}

/// Counts it as unprotected in the report, and gives back the paths and why.
fn add_what_is_still_wrong(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) -> Result<Vec<(TreePath, String)>, Halt> {
    let opened = open_to_look(configuration, job, surroundings)?;
    let mut check = CheckState::load(&opened.state)?;
    if check.wrong_total == 0 {
        return Ok(Vec::new());
    }
    let tree = Tree::new(&opened.nodes, opened.docket.base, surroundings.observer);
    let mut still = Vec::new();
    for (path, wrong) in check.still_wrong(&tree)? {
        let found = wrong.found();
        let known = report.unprotected.named.iter_mut().find(|(named, _)| *named == path);
        let reason = if let Some((_, known)) = known {
            // Held back as rotten, as a rule: then the mirror's version was the good one.
            let both = format!(
                "{known}. But {found}: an older version may be in the trash (`treeferry log PATH` tells)"
            );
            known.clone_from(&both);
            both
        } else {
            let reason = wrong.reason(&job.name);
            report.unprotected.add(path.clone(), reason.clone());
            reason
        };
        still.push((path, reason));
    }
    let unnamed = check.wrong_total.saturating_sub(still.len() as u64);
    report.unprotected.total += unnamed;
    if !still.is_empty() {
        report.outcome = JobOutcome::Unprotected;
        report.was_protected = false;
    }
    check.save(&opened.state, &RealDisk::new(surroundings.observer))?;
    Ok(still)
}

/// A repair that people asked for ran a backup: `status` tells of it as of any other, and no longer
/// of what the one before could not know.
pub(super) fn remember_repair(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    sent: &mut JobReport,
) {
    let is_complete = matches!(sent.outcome, JobOutcome::Protected | JobOutcome::Unprotected);
    if is_complete {
        match add_what_is_still_wrong(configuration, job, surroundings, sent) {
            Ok(_) => {}
            // Another run is at work by now, and will be remembered.
            Err(Halt::Locked { .. }) => return,
            Err(halt) => {
                sent.warnings
                    .push(format!("what is still wrong on the mirror could not be looked up: {halt}"));
                sent.outcome = JobOutcome::from(halt);
                sent.was_protected = false;
            }
        }
    }
    last_run::write(configuration, job, sent);
}

/// What a repair runs: the ordinary lanes, with all their guards, within the budget
/// of the run that checks.
pub(super) fn send_again(
    configuration: &Configuration,
    job: &Job,
    budget: &RunBudget,
    surroundings: &Surroundings<'_>,
) -> JobReport {
    let options = BackupOptions { budget: budget.clone(), ..BackupOptions::default() };
    back_up_unchecked(configuration, job, &options, surroundings)
}
