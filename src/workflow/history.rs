//! States of the past: which there are, what was in them, and where a version
//! lies now. All from the index; no request.

use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::opened::{Opened, open_to_look};
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::index::{Finder, MovedAway, Root, RunCounts, StoredRunRecord, Tree, find, run_records};
use crate::model::{
    ContentDigest, EntryFlags, EntryKind, OwnedEntry, ReadNodeError, RunId, Timestamp, TreePath,
};
use crate::observe::Observer;
use std::iter::Peekable;

/// Which state is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum At {
    /// The newest.
    #[default]
    Latest,
    /// The newest that was finished not after this, in seconds since 1970 UTC.
    Time(i64),
    /// The one that this run made; its id may be shortened.
    Run(String),
}

/// A state that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The run that made it.
    pub run: RunId,
    /// When that was finished, in seconds since 1970 UTC.
    pub finished_seconds: i64,
    /// Files in it.
    pub files: u64,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// Files that went up in the run.
    pub files_uploaded: u64,
    /// Files that the run moved to its trash.
    pub files_trashed: u64,
    /// The trash that this state needs is there still.
    pub is_retained: bool,
}

/// What is to be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of which state.
    pub at: At,
    /// The file or folder.
    pub path: TreePath,
    /// Also what lies deeper than a folder's own names.
    pub recursive: bool,
}

/// One name in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry {
    /// Where.
    pub path: TreePath,
    /// What.
    pub kind: EntryKind,
    /// In bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Lower twelve bits of `st_mode`.
    pub mode: u32,
    /// BLAKE3, for files that were read.
    pub digest: Option<ContentDigest>,
    /// Where a symlink leads.
    pub target: Option<Vec<u8>>,
}

/// All states of a job, the oldest first.
///
/// # Errors
/// When there is no index, or it cannot be read.
pub fn snapshots(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<Snapshot>, JobOutcome> {
    let opened = open_with_index(configuration, job, surroundings)?;
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for stored in run_records(&opened.nodes, opened.docket.newest_record) {
        // Older ones may be gone with a compaction.
        let Ok(stored) = stored else { break };
        let record = &stored.record;
        let RunCounts { files_uploaded, files_trashed, .. } = record.counts;
        if let Some(newer) = snapshots.last_mut()
            && newer.run == record.run
        {
            // A checkpoint of the same run.
            newer.files_uploaded += files_uploaded;
            newer.files_trashed += files_trashed.max(stored.moved_away_count);
            continue;
        }
        let totals = record.root_after.map(|root| root.totals).unwrap_or_default();
        snapshots.push(Snapshot {
            run: record.run,
            finished_seconds: record.finished_seconds,
            files: totals.files,
            bytes: totals.bytes,
            files_uploaded,
            files_trashed: files_trashed.max(stored.moved_away_count),
            is_retained: record.run.sequence + 1 >= opened.docket.facts.oldest_retained_sequence,
        });
    }
    snapshots.reverse();
    Ok(snapshots)
}

/// What lies at and below a path in a state.
///
/// # Errors
/// When there is no index, no such state or no such path.
pub fn list(
    configuration: &Configuration,
    job: &Job,
    listing: &Listing,
    surroundings: &Surroundings<'_>,
    tell: &mut dyn FnMut(ListedEntry),
) -> Result<(), JobOutcome> {
    let Listing { at, path, recursive } = listing;
    let opened = open_with_index(configuration, job, surroundings)?;
    let state = State::find(&opened, at)?;
    let tree = state.tree(&opened, surroundings.observer);
    if !path.is_root() && Finder::new(&tree).find(path).map_err(Halt::fatal)?.is_none() {
        return Err(JobOutcome::Configuration { message: format!("there is no {path} in this state") });
    }
    walk(&tree, &Selection::new(std::slice::from_ref(path)), &mut |found, visit| {
        let is_below = found.is_within(path) && found != path;
        match visit {
            Visit::Enter(attributes) => {
                if is_below {
                    tell(ListedEntry {
                        path: found.clone(),
                        kind: EntryKind::Directory,
                        size: 0,
                        mtime: attributes.mtime,
                        mode: attributes.permissions.mode,
                        digest: None,
                        target: None,
                    });
                }
                return Ok(if is_below && !*recursive { Next::Past } else { Next::Into });
            }
            Visit::Entry(entry) => tell(ListedEntry {
                path: found.clone(),
                kind: entry.kind,
                size: entry.stamp.size,
                mtime: entry.stamp.mtime,
                mode: entry.permissions.mode,
                digest: entry.digest(),
                target: match entry.content {
                    crate::model::Content::Target(target) => Some(target.to_vec()),
                    _ => None,
                },
            }),
            Visit::Leave(_) => {}
            Visit::Damaged(reason) => {
                return Err(Halt::Fatal(format!("{found}: {reason}; the next backup lists it again")));
            }
        }
        Ok(Next::Into)
    })?;
    Ok(())
}

/// Opens for those who only ask; a job without an index has no history.
pub(super) fn open_with_index(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
) -> Result<Opened, Halt> {
    let opened = open_to_look(configuration, job, surroundings)?;
    if opened.is_claimed { Ok(opened) } else { Err(Halt::NoIndex) }
}

/// One state, and the runs that came after it.
pub(super) struct State {
    /// The run that made it; `None` when no run did yet.
    pub(super) run: Option<RunId>,
    pub(super) root: Option<Root>,
    /// The oldest first.
    later: Vec<StoredRunRecord>,
}

impl State {
    /// The state that `at` means.
    pub(super) fn find(opened: &Opened, at: &At) -> Result<State, Halt> {
        if *at == At::Latest {
            return Ok(State {
                run: opened.docket.facts.last_run,
                root: opened.docket.base,
                later: Vec::new(),
            });
        }
        let mut later: Vec<StoredRunRecord> = Vec::new();
        let mut found: Option<StoredRunRecord> = None;
        let mut newer_run = None;
        for stored in run_records(&opened.nodes, opened.docket.newest_record) {
            let Ok(stored) = stored else { break };
            let record = &stored.record;
            // What a run had committed before its end is no state that can be named: a
            // compaction may have let go of it. What it moved away counts all the same.
            let is_checkpoint = newer_run.replace(record.run) == Some(record.run);
            let is_meant = match at {
                At::Latest => true,
                At::Time(seconds) => !is_checkpoint && record.finished_seconds <= *seconds,
                At::Run(id) => is_id(record.run, id),
            };
            match &found {
                // Only a shortened id can mean two.
                Some(found) if !is_meant || matches!(at, At::Time(_)) || found.record.run == record.run => {
                    if matches!(at, At::Time(_)) {
                        break;
                    }
                }
                Some(_) => {
                    return Err(Halt::Configuration(format!(
                        "more than one snapshot begins with {at}; see `treeferry snapshots`"
                    )));
                }
                None if is_meant => found = Some(stored),
                None => later.push(stored),
            }
        }
        let Some(found) = found else {
            return Err(Halt::Configuration(format!(
                "there is no snapshot {at}; `treeferry snapshots` lists what there is"
            )));
        };
        later.reverse();
        Ok(State { run: Some(found.record.run), root: found.record.root_after, later })
    }

    /// Every tree that came after this state, to `newest`, the oldest first. A hash that is filled in makes
    /// a tree without a run of its own: it is what the next run began with.
    fn trees_since<'a>(&self, newest: &Tree<'a>) -> Vec<Tree<'a>> {
        let mut trees: Vec<Tree<'a>> = Vec::new();
        let recorded =
            self.later.iter().flat_map(|stored| [stored.record.root_before, stored.record.root_after]);
        for root in recorded.flatten() {
            if trees.last().is_none_or(|tree| tree.root_with_totals() != Some(root)) {
                trees.push(newest.at(root));
            }
        }
        trees.push(*newest);
        trees
    }

    pub(super) fn tree<'a>(&self, opened: &'a Opened, observer: &'a dyn Observer) -> Tree<'a> {
        Tree::new(&opened.nodes, self.root, observer)
    }
}

/// `000042-20261122T181500Z`, or a beginning of it; the leading zeros may be left out.
fn is_id(run: RunId, id: &str) -> bool {
    let full = run.to_string();
    !id.is_empty() && (full.starts_with(id) || run.sequence.to_string() == id)
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Latest => f.write_str("at all"),
            At::Time(_) => f.write_str("of that time or before"),
            At::Run(id) => f.write_str(id),
        }
    }
}

/// Where the version of a state lies now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// It is the newest one.
    Mirror,
    /// In the trash of the run that moved it away.
    Trash(RunId),
    /// Nowhere any more; for people.
    Gone(String),
}

/// What a [`Locator`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) location: Location,
    /// BLAKE3 of the version: as the state knows it, or as it was read since.
    pub(super) digest: Option<ContentDigest>,
}

type Rows<'a> = Peekable<Box<dyn Iterator<Item = Result<MovedAway, ReadNodeError>> + 'a>>;

/// Finds versions. Ask in path order: the tables are read along, never kept.
pub(super) struct Locator<'a> {
    moved_by: Vec<(RunId, Rows<'a>)>,
    oldest_retained_sequence: u64,
    is_latest: bool,
    /// The trees that came after the state, the oldest first.
    trees_since: Vec<Tree<'a>>,
    newest: Finder<'a, Tree<'a>>,
    kept: Finder<'a, Tree<'a>>,
}

impl<'a> Locator<'a> {
    /// For the versions of `state`; `trees` are the base and the kept tree of now.
    pub(super) fn new(state: &'a State, opened: &'a Opened, trees: &'a [Tree<'a>; 2]) -> Self {
        let rows = |stored: &'a StoredRunRecord| {
            let rows: Box<dyn Iterator<Item = _> + 'a> = Box::new(stored.moved_away(&opened.nodes));
            (stored.record.run, rows.peekable())
        };
        Locator {
            moved_by: state.later.iter().map(rows).collect(),
            oldest_retained_sequence: opened.docket.facts.oldest_retained_sequence,
            is_latest: state.root == opened.docket.base,
            trees_since: state.trees_since(&trees[0]),
            newest: Finder::new(&trees[0]),
            kept: Finder::new(&trees[1]),
        }
    }

    /// Where `version`, which is what the state has at `path`, lies.
    pub(super) fn locate(&mut self, path: &TreePath, version: &OwnedEntry) -> Located {
        // First: what a repair found in the place of this version lies in the trash without a digest,
        // and looks like any version of the path.
        if self.is_latest || self.is_on_mirror(path, version) {
            return Located { location: Location::Mirror, digest: version.digest };
        }
        let digest = version.digest.or_else(|| self.digest_read_since(path, version));
        let read = OwnedEntry { digest, ..version.clone() };
        if digest != version.digest && self.is_on_mirror(path, &read) {
            return Located { location: Location::Mirror, digest };
        }
        Located { location: self.locate_in_trash(path, digest), digest }
    }

    /// The hash of a version that was taken over without one: a later run read it under the size and
    /// time that it was taken over with, before anything about the path was another. Since then a touch may
    /// have given it another time.
    fn digest_read_since(&self, path: &TreePath, version: &OwnedEntry) -> Option<ContentDigest> {
        if version.flags.contains(EntryFlags::RACY) {
            // What only a list told of: no file that was read is that one.
            return None;
        }
        for tree in &self.trees_since {
            let later = find(tree, path).ok().flatten().filter(|later| is_held_as(version, later))?;
            if later.digest.is_some() {
                return later.digest;
            }
        }
        None
    }

    fn locate_in_trash(&mut self, path: &TreePath, digest: Option<ContentDigest>) -> Location {
        for (run, rows) in &mut self.moved_by {
            while rows.next_if(|row| row.as_ref().is_ok_and(|row| row.path < *path)).is_some() {}
            let Some(Ok(row)) = rows.peek() else { continue };
            let may_be_it = row.digest.is_none() || digest.is_none() || row.digest == digest;
            if row.path != *path || !may_be_it {
                continue;
            }
            if run.sequence < self.oldest_retained_sequence {
                return Location::Gone(format!("the trash of run {run}, where it lay, is purged"));
            }
            return Location::Trash(*run);
        }
        Location::Gone("this version was not kept".into())
    }

    /// The mirror holds exactly this version under the path now.
    fn is_on_mirror(&mut self, path: &TreePath, version: &OwnedEntry) -> bool {
        [&mut self.newest, &mut self.kept]
            .into_iter()
            .any(|held| matches!(held.find(path), Ok(Some(held)) if is_held_as(version, &held)))
    }
}

/// `held` is `version`. One that was taken over without a hash is known by its size and time, also
/// when it was read since; but not what only a list told of: no file that was read is that one.
fn is_held_as(version: &OwnedEntry, held: &OwnedEntry) -> bool {
    let stamp = |entry: &OwnedEntry| (entry.stamp.size, entry.stamp.mtime);
    held.kind == EntryKind::File
        && match (version.digest, held.digest) {
            (None, Some(_)) if version.flags.contains(EntryFlags::RACY) => false,
            (None, _) => stamp(version) == stamp(held),
            (Some(wanted), held) => held == Some(wanted),
        }
}
