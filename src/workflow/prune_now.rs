//! The recipe `prune`: expired trash is emptied now, without a backup, and the
//! snapshots that needed it are given up.

use super::committed::Committed;
use super::configuration::{Configuration, Job, mask_remote};
use super::connect::{Connector, encoding_of};
use super::halt::Halt;
use super::history::open_with_index;
use super::opened::open_to_write;
use super::options::Guard;
use super::prune::{expired_runs, is_clock_odd};
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::{guards, housekeeping, recover};
use crate::index::run_records;
use crate::model::RunId;
use crate::observe::{Event, Phase};
use crate::transfer::join;

/// How `prune` is run.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Only say what would be emptied.
    pub dry_run: bool,
    /// Guards that do not stop it; only `clock` is asked.
    pub accept: Vec<Guard>,
}

/// What `prune` did, or in a dry run would have done.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneReport {
    /// Name of the job.
    pub job: String,
    /// Nothing was removed.
    pub dry_run: bool,
    /// Runs whose trash was emptied, the oldest first.
    pub emptied: Vec<RunId>,
    /// Files that lay there.
    pub versions: u64,
    /// Snapshots of which not every version can be restored any more.
    pub snapshots_dropped: u64,
    /// What people should know.
    pub warnings: Vec<String>,
    /// How it ended.
    pub outcome: JobOutcome,
}

/// Empties the expired trash of `job`.
///
/// Never fails: what went wrong is the outcome, and what was emptied until then is
/// in the report and in the index.
pub fn prune(
    configuration: &Configuration,
    job: &Job,
    options: &PruneOptions,
    surroundings: &Surroundings<'_>,
) -> PruneReport {
    surroundings.observer.event(&Event::JobStarted { job: &job.name });
    let mut report = PruneReport {
        job: job.name.clone(),
        dry_run: options.dry_run,
        emptied: Vec::new(),
        versions: 0,
        snapshots_dropped: 0,
        warnings: Vec::new(),
        outcome: JobOutcome::Protected,
    };
    if let Err(halt) = prune_one(configuration, job, options, surroundings, &mut report) {
        report.outcome = JobOutcome::from(halt);
    }
    report
}

fn prune_one(
    configuration: &Configuration,
    job: &Job,
    options: &PruneOptions,
    surroundings: &Surroundings<'_>,
    report: &mut PruneReport,
) -> Result<(), Halt> {
    // A job that never ran gets no state directory for the asking.
    drop(open_with_index(configuration, job, surroundings)?);
    let opened = if options.dry_run {
        open_with_index(configuration, job, surroundings)?
    } else {
        open_to_write(configuration, job, surroundings)?
    };
    let connector = Connector::new(job, &opened.state, surroundings);
    let mut committed = Committed::of(&opened, &connector);
    // An empty trash at another place would pass for one that was emptied.
    guards::remote_is_the_same(job, &committed.docket.facts, &[])?;
    if !options.dry_run {
        recover::end_orphan(&opened.state)?;
        recover::fold_interrupted(&mut committed, &connector, None)?;
    }
    let now = surroundings.now_seconds();
    let (expired, trouble) = expired_runs(&committed, job, now);
    report.warnings.extend(trouble);
    if expired.is_empty() {
        return Ok(());
    }
    if is_clock_odd(&committed, now) && !options.accept.contains(&Guard::Clock) {
        return Err(Halt::Guard {
            guard: Some(Guard::Clock),
            message: format!(
                "the trash of {} runs has expired, but the clock is more than 60 days ahead of the last run, or behind it",
                expired.len()
            ),
        });
    }
    surroundings.observer.event(&Event::PhaseStarted(Phase::Prune));
    let connection = match options.dry_run {
        true => None,
        false => Some(connector.connect(encoding_of(&committed), committed.next_run(now))?),
    };
    for run in expired.into_iter().rev() {
        surroundings.halt_if_stopped()?;
        if let Some(connection) = &connection {
            let folder = join(&join(&job.companion.to_string(), "trash"), &run.to_string());
            connection.session.purge(&folder).map_err(|failure| {
                Halt::from_failure(&format!("emptying the expired trash {}", mask_remote(&folder)), &failure)
            })?;
            count_dropped(&committed, run, report);
            committed.retire_up_to(run)?;
        } else {
            count_dropped(&committed, run, report);
        }
        report.emptied.push(run);
    }
    if !options.dry_run {
        report.warnings.extend(housekeeping::compact_committed(&committed));
    }
    Ok(())
}

/// Adds what is lost with the trash of `run`: the states before it need it. Each state
/// is counted with the oldest trash that goes.
fn count_dropped(committed: &Committed<'_>, run: RunId, report: &mut PruneReport) {
    let counted_up_to = report.emptied.last().map(|emptied| emptied.sequence);
    let oldest_retained = committed.docket.facts.oldest_retained_sequence;
    let mut last_seen = None;
    for stored in run_records(committed.nodes, committed.docket.newest_record).flatten() {
        let id = stored.record.run;
        if id == run {
            report.versions += stored.moved_away_count;
        }
        let is_new = last_seen != Some(id);
        last_seen = Some(id);
        let is_retained = id.sequence + 1 >= oldest_retained;
        let is_counted = counted_up_to.is_some_and(|up_to| id.sequence < up_to);
        if is_new && id.sequence < run.sequence && is_retained && !is_counted {
            report.snapshots_dropped += 1;
        }
    }
}
