//! Counting a plan, and guarding it before anything is sent.

use super::folder_count::FolderCount;
use super::guards;
use super::halt::Halt;
use super::job_run::JobRun;
use super::lanes::{Candidate, Prepared, read_all};
use crate::diff::diff;
use crate::observe::{Event, Phase};
use crate::plan::{Classifier, Tally, Upload};

/// Suspects that are read together.
const CHUNK_FILES: usize = 4096;

/// Counts what the changes ask for, and lets the guards look at it.
///
/// When stamps changed on more files than `max_change` allows, the files are
/// read first, until it is decided: a `touch` or `chmod -R` of everything is no
/// change.
pub(super) fn count_and_guard(run: &mut JobRun<'_>) -> Result<Tally, Halt> {
    run.observer().event(&Event::PhaseStarted(Phase::Plan));
    let mut tally = count(run)?;
    if tally.unknown_files > 0 {
        run.warn(format!(
            "the index is damaged: it can't be told what the mirror holds at {} files that are in the source. What lies \
             there goes to the trash, and they are sent again; look after the disk that holds {}",
            tally.unknown_files,
            run.committed.state.path().display()
        ));
    }
    let source_is_empty = run.report.files_scanned == 0;
    guards::not_too_many_vanished(run.job, &run.committed.docket, &tally, source_is_empty, run.options)?;
    guards::not_too_many_changed(run.job, &run.committed.docket, tally.changed_files, run.options)?;
    if !run.options.dry_run && (tally.unknown_files > 0 || !run.committed.unknown.is_empty()) {
        run.remember_unknown()?;
    }
    if guards::may_be_too_many_changed(run.job, &run.committed.docket, &tally, run.options) {
        run.observer().event(&Event::PhaseStarted(Phase::Compare));
        let read = read_suspects(run, tally.changed_files)?;
        guards::not_too_many_changed(run.job, &run.committed.docket, read.changed_files, run.options)?;
        if run.options.dry_run {
            tally.suspect_files -= read.same_files;
            tally.suspect_bytes -= read.same_bytes;
        } else {
            // The new stamps are true whatever becomes of the run; the walks that
            // follow pass over them.
            run.checkpoint()?;
            tally = count(run)?;
        }
    }
    Ok(tally)
}

/// One walk, nothing kept.
fn count(run: &JobRun<'_>) -> Result<Tally, Halt> {
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    let mut tally = Tally::default();
    let mut folders = FolderCount::default();
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        let decision = classifier.decide(&change);
        tally.add(&change, decision);
        folders.add(run, &views, &change, decision, &mut tally);
    }
    Ok(tally)
}

/// What reading the suspects showed.
struct SuspectsRead {
    /// Files of other content, those of another size among them.
    changed_files: u64,
    /// Suspects that are what they were.
    same_files: u64,
    same_bytes: u64,
}

/// Reads the files whose stamp changed but not their size, until it is clear
/// that too many differ.
fn read_suspects(run: &mut JobRun<'_>, changed_for_certain: u64) -> Result<SuspectsRead, Halt> {
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    let mut chunk = Vec::new();
    let mut read = SuspectsRead { changed_files: changed_for_certain, same_files: 0, same_bytes: 0 };
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        if classifier.decide(&change).upload != Upload::Suspect {
            continue;
        }
        chunk.extend(Candidate::from_change(change));
        if chunk.len() >= CHUNK_FILES {
            read_chunk(run, std::mem::take(&mut chunk), &mut read)?;
            let (docket, options) = (&run.committed.docket, run.options);
            if guards::not_too_many_changed(run.job, docket, read.changed_files, options).is_err() {
                return Ok(read);
            }
        }
    }
    read_chunk(run, chunk, &mut read)?;
    Ok(read)
}

/// What can't be read is named when its turn comes, not while counting.
fn ready_of(read: Vec<Prepared>) -> impl Iterator<Item = Candidate> {
    read.into_iter().filter_map(|one| match one {
        Prepared::Ready(candidate) => Some(*candidate),
        Prepared::Vanished | Prepared::Refused(..) => None,
    })
}

fn read_chunk(run: &mut JobRun<'_>, chunk: Vec<Candidate>, so_far: &mut SuspectsRead) -> Result<(), Halt> {
    run.surroundings.halt_if_stopped()?;
    let read = read_all(run.source(), chunk, u64::MAX, run.observer());
    for candidate in ready_of(read) {
        if !candidate.is_same_content() {
            so_far.changed_files += 1;
            continue;
        }
        so_far.same_files += 1;
        so_far.same_bytes += candidate.pending.stamp.size;
        // A plan keeps nothing: a million of them would have to be held in memory.
        if !run.options.dry_run {
            run.refresh(candidate);
        }
    }
    if !run.options.dry_run {
        run.checkpoint_if_due()?;
    }
    Ok(())
}
