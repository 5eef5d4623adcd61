//! What became of one path from state to state, and where each version lies: from
//! the index, without a request.

use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::history::{At, Location, Locator, State, open_with_index};
use super::opened::Opened;
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use crate::index::{Finder, Root, Tree, run_records};
use crate::model::{ContentDigest, EntryKind, OwnedEntry, RunId, Timestamp, TreePath};
use crate::observe::Observer;

/// What a run found at the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// It was not there before.
    Added,
    /// It changed.
    Changed,
    /// It is not there any more.
    Removed,
}

/// Where a version can be had from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It lies in the mirror.
    Mirror,
    /// It lies in the trash of this run.
    Trash(RunId),
    /// It cannot be had any more; for people.
    Gone(String),
    /// Nothing is stored for it: a folder, a link, a deletion.
    Nothing,
}

/// One version of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The run that made the state in which it appears first.
    pub run: RunId,
    /// When that was finished, in seconds since 1970 UTC.
    pub finished_seconds: i64,
    /// What happened.
    pub became: Became,
    /// What it is, or was before it was removed.
    pub kind: EntryKind,
    /// In bytes; 0 for folders.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// BLAKE3, for files that were read.
    pub digest: Option<ContentDigest>,
    /// Where it is.
    pub kept: Kept,
}

/// A state, and what it holds at the path.
struct Seen {
    run: RunId,
    finished_seconds: i64,
    entry: Option<OwnedEntry>,
}

/// The versions of `path`, the newest first.
///
/// # Errors
/// When there is no index, or no state has the path.
pub fn versions(
    configuration: &Configuration,
    job: &Job,
    path: &TreePath,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<Version>, JobOutcome> {
    let opened = open_with_index(configuration, job, surroundings)?;
    let observer = surroundings.observer;
    let mut versions = Vec::new();
    let mut before: Option<OwnedEntry> = None;
    for seen in states(&opened, path, observer).into_iter().rev() {
        let became = match (&before, &seen.entry) {
            (None, None) => None,
            (None, Some(_)) => Some(Became::Added),
            (Some(_), None) => Some(Became::Removed),
            (Some(before), Some(now)) => (!is_same(before, now)).then_some(Became::Changed),
        };
        if let Some(became) = became
            && let Some(shown) = seen.entry.as_ref().or(before.as_ref())
        {
            let kept = match seen.entry.as_ref().filter(|entry| entry.kind == EntryKind::File) {
                Some(entry) => locate(&opened, &seen, path, entry, observer)?,
                None => Kept::Nothing,
            };
            versions.push(Version {
                run: seen.run,
                finished_seconds: seen.finished_seconds,
                became,
                kind: shown.kind,
                size: if shown.kind == EntryKind::Directory { 0 } else { shown.stamp.size },
                mtime: shown.stamp.mtime,
                digest: shown.digest,
                kept,
            });
        }
        before = seen.entry;
    }
    if versions.is_empty() {
        let message = format!("there is no {path} in any snapshot, nor was there");
        return Err(JobOutcome::Configuration { message });
    }
    versions.reverse();
    Ok(versions)
}

/// The newest first. Ends where the index has let go of older ones.
fn states(opened: &Opened, path: &TreePath, observer: &dyn Observer) -> Vec<Seen> {
    let mut states: Vec<Seen> = Vec::new();
    for stored in run_records(&opened.nodes, opened.docket.newest_record) {
        let Ok(stored) = stored else { break };
        let record = stored.record;
        // A checkpoint is no state that can be named.
        if states.last().is_some_and(|newer| newer.run == record.run) {
            continue;
        }
        let Ok(entry) = entry_in(opened, record.root_after, path, observer) else { break };
        states.push(Seen { run: record.run, finished_seconds: record.finished_seconds, entry });
    }
    states
}

fn entry_in(
    opened: &Opened,
    root: Option<Root>,
    path: &TreePath,
    observer: &dyn Observer,
) -> Result<Option<OwnedEntry>, Halt> {
    if root.is_none() {
        return Ok(None);
    }
    let tree = Tree::new(&opened.nodes, root, observer);
    Finder::new(&tree).find(path).map_err(Halt::fatal)
}

/// Times and modes of the same content are no version of their own.
fn is_same(before: &OwnedEntry, now: &OwnedEntry) -> bool {
    before.kind == now.kind
        && match (before.digest, now.digest) {
            (Some(before), Some(now)) => before == now,
            _ if now.kind == EntryKind::File => {
                (before.stamp.size, before.stamp.mtime) == (now.stamp.size, now.stamp.mtime)
            }
            _ => {
                before.target == now.target
                    && before.child.map(|child| child.content) == now.child.map(|child| child.content)
            }
        }
}

fn locate(
    opened: &Opened,
    seen: &Seen,
    path: &TreePath,
    entry: &OwnedEntry,
    observer: &dyn Observer,
) -> Result<Kept, Halt> {
    let state = State::find(opened, &At::Run(seen.run.to_string()))?;
    let trees = [opened.docket.base, opened.docket.kept].map(|root| Tree::new(&opened.nodes, root, observer));
    Ok(match Locator::new(&state, opened, &trees).locate(path, entry).location {
        Location::Mirror => Kept::Mirror,
        Location::Trash(run) => Kept::Trash(run),
        Location::Gone(reason) => Kept::Gone(reason),
    })
}
