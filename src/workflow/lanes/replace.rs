//! What changed goes up in pairs: the old versions to the trash, the new ones
//! in their place. A pair is small, so that the mirror never has a long hole.

use super::prepare::{self, Candidate};
use crate::diff::diff;
use crate::model::BatchItem;
use crate::plan::{Classifier, Upload};
use crate::workflow::halt::Halt;
use crate::workflow::job_run::JobRun;
use crate::workflow::spending::Step;
use crate::workflow::trashing::Purpose;
use crate::workflow::views::Kept;

/// Files of one pair at the most.
pub(in crate::workflow) const PAIR_FILES_MAX: usize = 200;
/// Candidates that are read together, before it is known how many differ.
const READ_AHEAD_FILES: usize = 1024;

/// Reads what is under suspicion and replaces what differs.
pub(super) fn replace_changed(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    let mut suspects = Vec::new();
    let mut suspect_bytes = 0;
    let mut differing = Vec::new();
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        let upload = classifier.decide(&change).upload;
        let Some(mut candidate) = Candidate::from_change(change) else { continue };
        match upload {
            Upload::Changed | Upload::Suspect => {}
            Upload::New => match views.kept_entry(&candidate.path) {
                Kept::Held(kept) => candidate.base = Some(*kept),
                // As an older version that is not known, below.
                Kept::NotKnown => candidate.base = None,
                Kept::Nothing => continue,
            },
            Upload::None => continue,
        }
        if run.is_blocked(&candidate.path) {
            continue;
        }
        // Nothing to replace is known: something may lie there all the same.
        if candidate.base.is_none() {
            run.never_known.insert(candidate.path.clone());
        }
        suspect_bytes += candidate.pending.stamp.size;
        suspects.push(candidate);
        if suspects.len() >= READ_AHEAD_FILES || suspect_bytes > run.budget().bytes_max {
            suspect_bytes = 0;
            compare(run, std::mem::take(&mut suspects), &mut differing)?;
            replace_full_pairs(run, &mut differing)?;
        }
    }
    compare(run, suspects, &mut differing)?;
    replace_full_pairs(run, &mut differing)?;
    replace_pair(run, differing)
}

/// Reads the candidates; what has the same content is settled, the rest goes on
/// the list.
fn compare(
    run: &mut JobRun<'_>,
    suspects: Vec<Candidate>,
    differing: &mut Vec<Candidate>,
) -> Result<(), Halt> {
    run.halt_if_time_is_up()?;
    let read = prepare::read_all(run.source(), suspects, run.budget().bytes_max, run.observer());
    for candidate in run.sort_out(read) {
        if candidate.is_same_content() {
            run.refresh(candidate);
        } else {
            differing.push(candidate);
        }
    }
    run.checkpoint_if_due()
}

fn replace_full_pairs(run: &mut JobRun<'_>, differing: &mut Vec<Candidate>) -> Result<(), Halt> {
    let pair_files = run.files_per_batch(PAIR_FILES_MAX);
    while differing.len() >= pair_files {
        let rest = differing.split_off(pair_files);
        replace_pair(run, std::mem::replace(differing, rest))?;
    }
    Ok(())
}

/// Replaces what the budget has room for. As long as it is not known how fast the
/// remote is, a run with a deadline takes a pair in smaller ones.
fn replace_pair(run: &mut JobRun<'_>, pair: Vec<Candidate>) -> Result<(), Halt> {
    let mut pair = run.without_too_large(pair);
    while !pair.is_empty() {
        let fit = run.fit(Step::Replace, pair.iter().map(|one| (&one.path, one.pending.stamp.size)))?;
        let rest = pair.split_off(fit.files.min(pair.len()));
        replace(run, std::mem::replace(&mut pair, rest))?;
        run.halt_if_time_is_up()?;
        fit.end()?;
    }
    Ok(())
}

fn replace(run: &mut JobRun<'_>, pair: Vec<Candidate>) -> Result<(), Halt> {
    if pair.is_empty() {
        return Ok(());
    }
    let old_versions: Vec<BatchItem> = pair.iter().map(Candidate::trash_item).collect();
    let cleared = run.trash(old_versions, Purpose::MakeWay)?;
    let ready: Vec<Candidate> =
        pair.into_iter().filter(|candidate| cleared.contains(&candidate.path)).collect();
    let old: Vec<BatchItem> =
        ready.iter().filter(|candidate| candidate.base.is_some()).map(Candidate::trash_item).collect();
    run.is_within_pair = true;
    let uploaded = run.upload(ready);
    run.is_within_pair = false;
    let uploaded = uploaded?;
    if !run.keeps_versions() {
        run.discard(old.into_iter().filter(|item| uploaded.contains(&item.path)).collect())?;
    }
    run.checkpoint_if_due()
}
