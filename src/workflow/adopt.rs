//! `adopt`: a mirror that exists, and of which this machine has no index, is taken
//! over by what the source and one listing of the mirror say. Sizes decide.

use super::backoff::Patience;
use super::committed::Committed;
use super::configuration::{Configuration, Job};
use super::connect::Connection;
use super::first_index::{
    ImportOptions, Looked, TakenOver, Whose, look_at_source, open_unclaimed, take_over, walk,
};
use super::halt::Halt;
use super::options::Guard;
use super::owner::{self, Owner};
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::take_over::{Claimed, Verdict, put_in_order};
use crate::model::{EntryKind, TreePath};
use crate::observe::Event;
use crate::transfer::{Likeness, NameEncoding};
use std::collections::HashSet;

mod listing;

/// Makes the first index of `job` from the source and a listing of its mirror.
/// Nothing on the mirror is changed.
///
/// Never fails: what went wrong is the outcome.
pub fn adopt(
    configuration: &Configuration,
    job: &Job,
    options: &ImportOptions,
    surroundings: &Surroundings<'_>,
) -> TakenOver {
    surroundings.observer.event(&Event::JobStarted { job: &job.name });
    let mut report = TakenOver::new(job, options.dry_run);
    if let Err(halt) = adopt_mirror(configuration, job, options, surroundings, &mut report) {
        report.outcome = JobOutcome::from(halt);
    }
    report
}

fn adopt_mirror(
    configuration: &Configuration,
    job: &Job,
    options: &ImportOptions,
    surroundings: &Surroundings<'_>,
    report: &mut TakenOver,
) -> Result<(), Halt> {
    let (opened, connector) = open_unclaimed(configuration, job, surroundings, report.dry_run)?;
    let run = Committed::of(&opened, &connector).next_run(surroundings.now_seconds());
    let connection = connector.connect(Some(NameEncoding::Default), run)?;
    let patience = Patience::at_the_door(surroundings, None);
    let owner = owner::find(&connection.session, &job.companion.to_string(), &patience)?;
    if let Some(owner) = owner
        && !options.accept.contains(&Guard::ForeignWriter)
    {
        return Err(owned(job, &owner));
    }
    let looked = look_at_source(configuration, job, surroundings, &opened, &connector, report)?;
    let (connection, mut claimed) =
        listing::read(&connector, run, connection, owner.is_some(), &looked, report)?;
    let encoding = connection.session.encoding();
    report.leave_out_folders(&put_in_order(&mut claimed));
    if !options.size_only && !connection.features.hashes.is_empty() {
        compare_by_hash(job, &connection, &looked, surroundings, &mut claimed, report)?;
    }
    let whose = Whose { encoding, owner, surplus_stays: true };
    take_over(&opened, &connector, &looked, &claimed, whose, report)
}

/// So many files are compared at a time: the memory for names is bounded, and there is a look for a signal between.
const COMPARED_AT_A_TIME: usize = 10_000;

/// Marks the files of the right size that have another content all the same.
fn compare_by_hash(
    job: &Job,
    connection: &Connection<'_>,
    looked: &Looked<'_>,
    surroundings: &Surroundings<'_>,
    claimed: &mut [Claimed],
    report: &mut TakenOver,
) -> Result<(), Halt> {
    let mut differing = HashSet::new();
    let mut compare = |paths: &mut Vec<TreePath>| -> Result<(), Halt> {
        let alike = connection
            .transfer
            .differ_by_hash(paths)
            .map_err(|failure| Halt::from_failure("comparing the mirror by hash", &failure))?;
        for (path, likeness) in paths.drain(..).zip(alike) {
            report.files_compared_by_hash += u64::from(likeness != Likeness::NotCompared);
            // What cannot be compared where all else can is not believed: the next run sends it again.
            if likeness != Likeness::Same {
                differing.insert(path);
            }
        }
        surroundings.halt_if_stopped()
    };
    let mut paths = Vec::new();
    for verdict in walk(job, looked, claimed, true) {
        if let Verdict::Held(path, entry) = verdict?
            && entry.kind == EntryKind::File
        {
            paths.push(path);
        }
        if paths.len() >= COMPARED_AT_A_TIME {
            compare(&mut paths)?;
        }
    }
    if !paths.is_empty() {
        compare(&mut paths)?;
    }
    for claim in claimed.iter_mut() {
        claim.has_other_content = differing.contains(&claim.path);
    }
    Ok(())
}

fn owned(job: &Job, owner: &Owner) -> Halt {
    let run = owner.last_run.map_or_else(|| "unknown".to_owned(), |run| run.to_string());
    Halt::Guard {
        guard: Some(Guard::ForeignWriter),
        message: format!(
            "{:?} is the mirror of a treeferry already (its last run was {run}). If that was this machine, and its \
             index is lost, or if this one is to go on in its place: --accept foreign-writer. The other one, if it \
             still runs, will stop with the same guard",
            job.remote
        ),
    }
}
