//! `adopt`: a mirror that exists, and of which this machine has no index, is taken
//! over by what the source and one listing of the mirror say. Sizes decide.

use super::backoff::Patience;
use super::committed::Committed;
use super::configuration::{Configuration, Job, Links};
use super::connect::Connection;
use super::first_index::{
    ImportOptions, Looked, TakenOver, Whose, look_at_source, open_unclaimed, take_over, walk,
};
use super::halt::Halt;
use super::options::Guard;
use super::owner::{self, Owner};
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::take_over::{Claimed, ClaimedTime, Verdict, put_in_order};
use crate::diff::{Equality, diff};
use crate::index::find;
use crate::model::{EntryFlags, EntryKind, TreePath};
use crate::observe::Event;
use crate::plan::path_of_link;
use crate::transfer::{Likeness, ListedFile, NameEncoding};
use std::collections::{HashMap, HashSet};

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
    // A mirror of our own has names as we write them, any other one as rclone does.
    let (encoding, connection) = match owner {
        Some(_) => {
            let connection = connector.connect(None, run)?;
            (connection.session.encoding(), connection)
        }
        None => (NameEncoding::Default, connection),
    };
    let looked = look_at_source(configuration, job, surroundings, &opened, &connector, report)?;
    let mut claimed = list_mirror(job, &connection, encoding, &looked, report)?;
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

/// Everything on the mirror.
fn list_mirror(
    job: &Job,
    connection: &Connection<'_>,
    encoding: NameEncoding,
    looked: &Looked<'_>,
    report: &mut TakenOver,
) -> Result<Vec<Claimed>, Halt> {
    let mirror = job.remote.to_string();
    let no_text = names_that_are_no_text(looked, encoding)?;
    let mut claimed = Vec::new();
    let mut take = |file: ListedFile| {
        let path = file.path().or_else(|| no_text.get(&file.line).cloned());
        match (path, file.size) {
            (Some(path), Some(size)) => claimed.push(claim(job, looked, path, size)),
            _ => report.leave_out(0, || file.line),
        }
    };
    let found = connection
        .session
        .list_all(&mirror, "", &mut take)
        .map_err(|failure| Halt::from_failure(&format!("listing {:?}", job.remote), &failure))?;
    if !found || claimed.is_empty() {
        return Err(Halt::Configuration(format!(
            "{:?} holds no file, as far as the remote says: there is nothing to adopt. `treeferry backup {}` begins a \
             new mirror",
            job.remote, job.name
        )));
    }
    Ok(claimed)
}

fn claim(job: &Job, looked: &Looked<'_>, path: TreePath, size: u64) -> Claimed {
    let whole =
        Claimed { line: 0, path, size, time: ClaimedTime::Unknown, as_link: false, has_other_content: false };
    let Some(path) = path_of_link(&whole.path).filter(|_| job.links == Links::Upload) else { return whole };
    let is_link = find(&looked.pending, &path).ok().flatten().is_some_and(|entry| {
        entry.flags.contains(EntryFlags::UPLOADED_LINK)
            && entry.target.is_some_and(|target| target.len() as u64 == size)
    });
    if is_link { Claimed { path, as_link: true, ..whole } } else { whole }
}

/// Names that a listing cannot show as they are, by what it shows.
fn names_that_are_no_text(
    looked: &Looked<'_>,
    encoding: NameEncoding,
) -> Result<HashMap<String, TreePath>, Halt> {
    let mut names = HashMap::new();
    for change in diff(&super::take_over::NOTHING, &looked.pending, Equality::Stamp) {
        let path = change.map_err(Halt::fatal)?.path;
        if !path.is_text()
            && let Ok(line) = encoding.encode(&path)
        {
            names.insert(crate::transfer::as_listed(&line), path);
        }
    }
    Ok(names)
}
