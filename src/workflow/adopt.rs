//! `adopt`: a mirror that exists, and of which this machine has no index, is taken
//! over by what the source and one listing of the mirror say. Sizes decide.

use super::committed::Committed;
use super::configuration::{Configuration, Job, Links};
use super::connect::Connection;
use super::halt::Halt;
use super::import_snapshot::{
    ImportOptions, Looked, TakenOver, Whose, commit, look_at_source, open_unclaimed,
};
use super::options::Guard;
use super::owner::{self, Owner};
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::take_over::{Claimed, ClaimedTime, TakeOver, put_in_order};
use crate::diff::{Equality, diff};
use crate::index::find;
use crate::model::{EntryFlags, TreePath};
use crate::transfer::{ListedFile, NameEncoding};
use std::collections::HashMap;

/// What rclone adds to the name of a link that is uploaded.
const LINK_ENDING: &[u8] = b".rclonelink";

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
    let mut report = TakenOver::new(job, options.dry_run);
    if let Err(halt) = take_over(configuration, job, options, surroundings, &mut report) {
        report.outcome = JobOutcome::from(halt);
    }
    report
}

fn take_over(
    configuration: &Configuration,
    job: &Job,
    options: &ImportOptions,
    surroundings: &Surroundings<'_>,
    report: &mut TakenOver,
) -> Result<(), Halt> {
    let (opened, connector) = open_unclaimed(configuration, job, surroundings, report.dry_run)?;
    let run = Committed::of(&opened, &connector).next_run(surroundings.now_seconds());
    let connection = connector.connect(Some(NameEncoding::Default), run)?;
    let owner = owner::find(&connection.session, &job.companion.to_string())?;
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
    report.not_understood_total += put_in_order(&mut claimed);
    let mut kept_edits = Vec::new();
    let walk = || TakeOver::new(&looked.pending, &claimed, &looked.exclude, &job.source, true);
    for verdict in walk() {
        report.note(&verdict?, &mut kept_edits);
    }
    surroundings.halt_if_stopped()?;
    if report.dry_run {
        return Ok(());
    }
    let edits = walk().flat_map(|verdict| match verdict {
        Ok(verdict) => verdict.edits().map(Ok).collect::<Vec<_>>(),
        Err(halt) => vec![Err(halt)],
    });
    let whose = Whose { encoding, owner };
    commit(&opened, &connector, &looked, edits, kept_edits, whose, report.is_complete())
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
            _ => {
                report.not_understood_total += 1;
                if report.not_understood.len() < 20 {
                    report.not_understood.push((0, file.line));
                }
            }
        }
    };
    let found = connection
        .session
        .list_all(&mirror, &mut take)
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
    let whole = Claimed { path, size, time: ClaimedTime::Unknown, as_link: false };
    let Some(link) = whole.path.as_bytes().strip_suffix(LINK_ENDING).filter(|_| job.links == Links::Upload)
    else {
        return whole;
    };
    let Ok(path) = TreePath::from_bytes(link) else { return whole };
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
        if std::str::from_utf8(path.as_bytes()).is_err()
            && let Ok(line) = encoding.encode(&path)
        {
            names.insert(crate::transfer::as_listed(&line), path);
        }
    }
    Ok(names)
}
