//! Giving hashes to files that were taken over without one (`import`, `adopt`).
//!
//! After a run that is otherwise finished, within a budget. It says nothing new
//! about the mirror: no run record is written, nothing is sent, and C stays what it was.

use super::halt::Halt;
use super::job_run::JobRun;
use super::last_run;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::index::{Edit, Tree};
use crate::model::{Content, DirectoryFlags, EntryFlags, OwnedEntry, TreePath};
use crate::observe::{Event, Observer};
use crate::scan::{FileReader, read_each};

/// So many files in one run at the most, whatever their size: the edits of a run
/// are in memory.
const FILES_MAX: usize = 100_000;
/// Files that are read between two looks for a signal.
const ROUND_FILES: usize = 4_096;

/// Reads what the budget allows. A file whose stamp is not the one it was taken over
/// with stays as it is: the next run deals with it.
///
/// # Errors
/// When the state cannot be written, or somebody asked to stop; what was read
/// until then is kept.
pub(super) fn fill_in(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let budget = run.job.hash_fill_per_run;
    // The first run after an import is to be as quick as any other.
    let is_first = last_run::read(run.committed.state).is_ok_and(|last| last.is_none());
    if budget == 0 || run.options.dry_run || is_first {
        return Ok(());
    }
    let weak = choose(run, budget)?;
    if weak.is_empty() {
        return Ok(());
    }
    run.observer().event(&Event::Detail(&format!("reading {} files that have no hash yet", weak.len())));
    let (source, observer) = (run.source(), run.observer());
    let mut edits = Vec::with_capacity(weak.len());
    let mut stopped = Ok(());
    for round in weak.chunks(ROUND_FILES) {
        stopped = run.surroundings.halt_if_stopped();
        if stopped.is_err() || run.halt_if_time_is_up().is_err() {
            break;
        }
        let read = read_each(
            source,
            round.iter().collect(),
            |(_, entry)| entry.stamp.size,
            |reader, (path, entry)| read_one(reader, observer, path, entry),
        );
        edits.extend(read.into_iter().flatten());
    }
    run.report.index_bytes_written += run.committed.fill_in(edits)?;
    stopped
}

/// The first files without a hash, in path order.
fn choose(run: &JobRun<'_>, budget: u64) -> Result<Vec<(TreePath, OwnedEntry)>, Halt> {
    let tree = Tree::new(run.committed.nodes, run.committed.docket.base, run.observer());
    let mut weak = Vec::new();
    let mut left = budget;
    let mut is_full = false;
    walk(&tree, &Selection::new(&[]), &mut |path, visit| {
        match visit {
            Visit::Enter(attributes) => {
                // Everything below has its hash.
                if is_full || !attributes.flags.contains(DirectoryFlags::UNSETTLED_BELOW) {
                    return Ok(Next::Past);
                }
            }
            Visit::Entry(entry) if entry.content == Content::Unread && !is_full => {
                // A version that only a list knows cannot be read here.
                if !entry.flags.contains(EntryFlags::RACY) {
                    // One file larger than the whole budget has its turn, too.
                    is_full = weak.len() >= FILES_MAX || (!weak.is_empty() && entry.stamp.size > left);
                    if !is_full {
                        left = left.saturating_sub(entry.stamp.size);
                        weak.push((path.clone(), OwnedEntry::from(entry)));
                    }
                }
            }
            Visit::Entry(_) | Visit::Leave(_) | Visit::Damaged(_) => {}
        }
        Ok(Next::Into)
    })?;
    Ok(weak)
}

fn read_one(
    source: &mut FileReader<'_>,
    observer: &dyn Observer,
    path: &TreePath,
    entry: &OwnedEntry,
) -> Option<Edit> {
    let follow = entry.flags.contains(EntryFlags::FOLLOWED);
    let read = source.read(path, follow, observer).ok()?;
    let is_the_one = read.stamp == entry.stamp && read.settled;
    let flags = entry.flags.with(EntryFlags::FILLED_IN);
    let entry = OwnedEntry { digest: Some(read.digest), flags, ..entry.clone() };
    is_the_one.then(|| Edit::Put { path: path.clone(), entry })
}
