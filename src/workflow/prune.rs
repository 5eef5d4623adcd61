//! Emptying the trash of runs that are older than anybody wants.

use super::committed::Committed;
use super::configuration::Job;
use super::halt::Halt;
use super::job_run::JobRun;
use super::options::Guard;
use crate::index::run_records;
use crate::model::RunId;
use crate::observe::{Event, Phase};

/// Removing a folder whole, by a process of its own; on remotes without folders it is more.
const PURGE_REQUESTS: u64 = 8;
pub(super) const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A clock that is this far ahead of the last run is not believed.
pub(super) const CLOCK_JUMP_SECONDS: i64 = 60 * DAY_SECONDS;

/// Purges the trash folders of expired runs, oldest first. Only run ids that the
/// index knows are ever purged.
pub(super) fn expired_trash(run: &mut JobRun<'_>) -> Result<(), Halt> {
    if run.options.dry_run || !run.committed.is_claimed {
        return Ok(());
    }
    let now = run.surroundings.now_seconds();
    let (expired, trouble) = expired_runs(&run.committed, run.job, now);
    if let Some(trouble) = trouble {
        run.warn(trouble);
    }
    if expired.is_empty() {
        return Ok(());
    }
    if is_clock_odd(&run.committed, now) && !run.options.accepts(Guard::Clock) {
        run.warn(format!(
            "the trash of {} runs has expired, but the clock is more than 60 days ahead of the last run, or behind \
             it: nothing is purged. If the clock is right: --accept clock",
            expired.len()
        ));
        return Ok(());
    }
    run.observer().event(&Event::PhaseStarted(Phase::Prune));
    for expired_run in expired.into_iter().rev() {
        run.surroundings.halt_if_stopped()?;
        if run.halt_without_room_for(PURGE_REQUESTS).is_err() {
            // It is no hurry: the next run has a budget of its own.
            return Ok(());
        }
        run.keep_the_pause()?;
        run.purge(expired_run)?;
        run.options.budget.spend(0, PURGE_REQUESTS);
        run.operation_ended();
        run.committed.retire_up_to(expired_run)?;
    }
    Ok(())
}

/// True when ages can't be told by this clock.
pub(super) fn is_clock_odd(committed: &Committed<'_>, now: i64) -> bool {
    let last_run_ended = committed.docket.facts.last_run_ended_seconds;
    now < last_run_ended || now > last_run_ended + CLOCK_JUMP_SECONDS
}

/// Runs whose trash holds something and was made more than the retention ago,
/// newest first. A version is as old as its replacement: age counts from the
/// next later run. Also what is wrong with the history, for people.
pub(super) fn expired_runs(committed: &Committed<'_>, job: &Job, now: i64) -> (Vec<RunId>, Option<String>) {
    let mut expired: Vec<RunId> = Vec::new();
    let days = i64::from(job.trash_retention_days);
    if days == 0 {
        return (expired, None);
    }
    let before_seconds = now - days * DAY_SECONDS;
    let oldest = committed.docket.facts.oldest_retained_sequence;
    // A run and the time from which its versions are old: each of its checkpoints has a record.
    let mut later: Option<(RunId, i64)> = None;
    for stored in run_records(committed.nodes, committed.docket.newest_record) {
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                let trouble = format!(
                    "the history of older runs can't be read ({error}): their trash is not purged any more; what the \
                     mirror holds is not concerned"
                );
                return (expired, Some(trouble));
            }
        };
        let id = stored.record.run;
        if id.sequence < oldest {
            break;
        }
        let counted_from = match later {
            None => stored.record.finished_seconds,
            Some((run, counted_from)) if run == id => counted_from,
            // A clock that was ahead for one run makes nothing older than that younger than what came after.
            Some((run, counted_from)) => run.started_seconds.min(counted_from),
        };
        if stored.moved_away_count > 0 && counted_from < before_seconds && expired.last() != Some(&id) {
            expired.push(id);
        }
        later = Some((id, counted_from));
    }
    (expired, None)
}
