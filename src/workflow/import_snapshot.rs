//! `import snapshot`: the text snapshot of the Python script becomes a first
//! index, so that nothing is uploaded again.

mod last_full_check;
pub(super) mod lines;

use super::check_state::{CheckState, is_of_the_future};
use super::configuration::{Configuration, Job};
use super::first_index::{ImportOptions, TakenOver, Whose, look_at_source, open_unclaimed, take_over};
use super::halt::Halt;
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::take_over::put_in_order;
use crate::observe::Event;
use crate::transfer::NameEncoding;

/// Makes the first index of `job` from the snapshot that the script wrote.
///
/// Never fails: what went wrong is the outcome.
pub fn import_snapshot(
    configuration: &Configuration,
    job: &Job,
    snapshot: &std::path::Path,
    options: &ImportOptions,
    surroundings: &Surroundings<'_>,
) -> TakenOver {
    surroundings.observer.event(&Event::JobStarted { job: &job.name });
    let mut report = TakenOver::new(job, options.dry_run);
    if let Err(halt) = import(configuration, job, snapshot, surroundings, &mut report) {
        report.outcome = JobOutcome::from(halt);
    }
    report
}

fn import(
    configuration: &Configuration,
    job: &Job,
    snapshot: &std::path::Path,
    surroundings: &Surroundings<'_>,
    report: &mut TakenOver,
) -> Result<(), Halt> {
    let (opened, connector) = open_unclaimed(configuration, job, surroundings, report.dry_run)?;
    let mut claimed = lines::read(snapshot, job, report)?;
    report.leave_out_folders(&put_in_order(&mut claimed));
    if claimed.is_empty() {
        return Err(Halt::Configuration(format!(
            "{} names no file below {}; is it the snapshot of this job?",
            snapshot.display(),
            job.source.display()
        )));
    }
    let looked = look_at_source(configuration, job, surroundings, &opened, &connector, report)?;
    // The script deleted what the source no longer has; so what is left of it is to go.
    let whose = Whose { encoding: NameEncoding::Default, owner: None, surplus_stays: false };
    // The next check is due when the script's would have been.
    report.last_check_seconds =
        report.last_check_seconds.or_else(|| last_full_check::beside(snapshot, &job.name));
    let now_seconds = surroundings.now_seconds();
    report.last_check_seconds.take_if(|seconds| is_of_the_future(*seconds, now_seconds));
    take_over(&opened, &connector, &looked, &claimed, whose, report)?;
    if report.dry_run {
        return Ok(());
    }
    CheckState::made_at(report.last_check_seconds).save(&opened.state, &connector.disk)
}
