//! The lanes of a run, in the order in which they are driven:
//!
//! 0. `retire`: what was kept, when somebody accepts that it goes;
//! 1. `clear`: `junk` of broken uploads, and what is in the way of another type;
//! 2. `new_files`: what is new, small files first;
//! 3. `replace`: what changed, in pairs "trash these, upload these";
//! 4. `remove`: what vanished.
//!
//! Each lane is a walk over the changes of its own, so that no list of changes
//! is ever held. Each may commit a checkpoint between two batches.

mod clear;
mod junk;
mod new_files;
mod perhaps_there;
mod prepare;
mod remove;
mod replace;
mod retire;

use super::halt::Halt;
use super::job_run::JobRun;
use super::portable;
use crate::plan::Tally;

pub(super) use prepare::{Candidate, Prepared, read_all, read_one};
pub(super) use remove::{REMOVAL_FILES_MAX, is_worth_a_folder_move};
pub(super) use replace::PAIR_FILES_MAX;

/// Drives all lanes that have work.
pub(super) fn drive(run: &mut JobRun<'_>, tally: &Tally) -> Result<(), Halt> {
    retire::retire_kept(run)?;
    if tally.new_files_total() > 0 {
        run.halt_without_room_for_bytes(tally.new_bytes_total().min(1))?;
        portable::refuse(run)?;
    }
    clear::clear_the_way(run, tally)?;
    for classes in run.rounds(tally) {
        new_files::upload(run, classes)?;
    }
    let may_be_kept = run.has_kept() && tally.new_files_total() > 0;
    if tally.changed_files + tally.suspect_files > 0 || may_be_kept {
        replace::replace_changed(run)?;
    }
    if tally.removed_files + tally.kept_files > 0 {
        remove::remove_vanished(run)?;
    }
    run.halt_after_folders()?;
    run.halt_if_passed_over()
}
