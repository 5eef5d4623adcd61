//! What blocks a path leaves before anything goes up.
//!
//! A file uploaded over a remote folder of its name makes WebDAV remotes delete
//! the whole folder, and a file in the place of a folder fails everything below
//! it. So: objects in the way of another type go to the trash first, folders as
//! one piece; junk that a broken upload left behind is deleted by list.

use super::junk::clear_junk;
use super::perhaps_there::PerhapsThere;
use crate::diff::diff;
use crate::model::{BatchItem, Change, EntryKind, TreePath};
use crate::plan::{Classifier, Removal, Tally, Upload};
use crate::workflow::halt::Halt;
use crate::workflow::job_run::JobRun;
use crate::workflow::spending::Step;
use crate::workflow::trashing::{Purpose, removal_item};
use crate::workflow::views::{KeptConflict, Views};

/// Objects that leave in one go.
const BATCH_FILES_MAX: usize = 1000;

const FOLDER_KEPT: &str = "a folder of that name is kept on the mirror; --accept kept moves it to the trash";

/// Makes way for everything that goes up later.
pub(super) fn clear_the_way(run: &mut JobRun<'_>, tally: &Tally) -> Result<(), Halt> {
    clear_junk(run)?;
    let uploads = tally.new_files_total() + tally.changed_files + tally.suspect_files;
    if uploads == 0 && tally.blocking_files == 0 {
        return Ok(());
    }
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    let mut in_the_way = Vec::new();
    let mut perhaps_there = PerhapsThere::default();
    let mut moved_folder: Option<TreePath> = None;
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        let decision = classifier.decide(&change);
        if let Some(folder) = &moved_folder {
            if change.path.is_within(folder) {
                run.note_moved_with_folder(&change);
                continue;
            }
            moved_folder = None;
        }
        if run.waiting_for(&change.path).is_some() {
            if change.pending.is_none() && is_whole_folder(&views, &change) {
                run.halt_without_room_for(run.whole_folder_requests())?;
                if run.is_gone(&change.path) && run.trash_folder(&change.path)? {
                    moved_folder = Some(change.path);
                }
            } else if let (Removal::Plain, Some(held)) = (decision.removal, &change.base) {
                if run.is_gone(&change.path) {
                    in_the_way.push(removal_item(change.path.clone(), held));
                } else {
                    block_what_waits(run, &change.path);
                }
            }
            continue;
        }
        if is_folder_in_the_way(&change, decision.upload) {
            if clear_folder(run, &change)? {
                moved_folder = Some(change.path);
            }
            continue;
        }
        if decision.removal == Removal::Blocking
            && let Some(held) = &change.base
        {
            in_the_way.push(removal_item(change.path.clone(), held));
        }
        match decision.upload {
            Upload::New if !run.is_blocked(&change.path) => {
                make_way_through_kept(run, &views, &change, &mut in_the_way, &mut perhaps_there);
                perhaps_there.add_above(unknown_above(run, &change.path));
            }
            // To replace, and nothing is known of what.
            Upload::Changed | Upload::Suspect if change.base.is_none() => {
                make_way_through_unknown(&views, change.path, &mut perhaps_there);
            }
            _ => {}
        }
        if perhaps_there.len() >= BATCH_FILES_MAX {
            in_the_way.extend(perhaps_there.look(run)?);
        }
        if in_the_way.len() >= run.files_per_batch(BATCH_FILES_MAX) {
            trash_or_block(run, std::mem::take(&mut in_the_way))?;
        }
    }
    in_the_way.extend(perhaps_there.look(run)?);
    trash_or_block(run, in_the_way)?;
    name_what_is_below_blocked(run)
}

/// No lane sends what lies below a blocked path: each file of it is not protected.
fn name_what_is_below_blocked(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let blocked = run.blocked_paths();
    if blocked.is_empty() {
        return Ok(());
    }
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        if classifier.decide(&change).upload == Upload::None || blocked.contains(&change.path) {
            continue;
        }
        let mut above = std::iter::successors(change.path.parent(), TreePath::parent);
        if let Some(folder) = above.find(|above| blocked.contains(above)) {
            run.unprotected(&change.path, &format!("its folder cannot be on the mirror yet: see {folder}"));
        }
    }
    Ok(())
}

/// What is kept on the mirror gives way to a new file or link, or hinders it.
fn make_way_through_kept(
    run: &mut JobRun<'_>,
    views: &Views<'_>,
    change: &Change,
    in_the_way: &mut Vec<BatchItem>,
    perhaps_there: &mut PerhapsThere,
) {
    let path = change.path.clone();
    let as_link = change.pending.as_ref().is_some_and(|pending| pending.kind == EntryKind::Symlink);
    match views.kept_conflict(&path, as_link) {
        KeptConflict::None => {}
        KeptConflict::InTheWay { kept, entry, place } => {
            if kept != place {
                run.leave_first(kept.clone(), place);
            }
            if !in_the_way.iter().any(|item: &BatchItem| item.path == kept) {
                in_the_way.push(removal_item(kept, &entry));
            }
        }
        KeptConflict::FolderHere => run.block(path, FOLDER_KEPT),
        KeptConflict::NotKnown(above) => perhaps_there.add(path, above),
    }
}

/// A damaged directory of the base may have held a folder where a file comes, or a file where a folder does.
fn make_way_through_unknown(views: &Views<'_>, path: TreePath, perhaps_there: &mut PerhapsThere) {
    let levels = std::iter::successors(path.parent(), TreePath::parent);
    let unknown: Vec<TreePath> =
        levels.take_while(|level| !level.is_root() && views.base_entry(level).is_err()).collect();
    if views.keeps_anything_below(&path) {
        perhaps_there.add(path, unknown);
    } else {
        perhaps_there.add_of_base(path, unknown);
    }
}

/// The folders of a new file at whose place something lies that the index does not know.
fn unknown_above(run: &JobRun<'_>, path: &TreePath) -> Vec<TreePath> {
    let unknown = run.committed.unknown;
    if unknown.is_empty() {
        return Vec::new();
    }
    std::iter::successors(path.parent(), TreePath::parent).filter(|level| unknown.contains(level)).collect()
}

fn is_folder_in_the_way(change: &Change, upload: Upload) -> bool {
    upload == Upload::New
        && change.base.as_ref().is_some_and(|base| base.kind == EntryKind::Directory)
        && change.pending.as_ref().is_some_and(|pending| pending.kind == EntryKind::File)
}

/// A folder of the base that can leave in one piece.
fn is_whole_folder(views: &Views<'_>, change: &Change) -> bool {
    let is_folder = change.base.as_ref().is_some_and(|base| base.kind == EntryKind::Directory);
    is_folder && !views.keeps_anything_below(&change.path)
}

/// Nothing goes up under a name that is, on this remote, that of what is still there.
fn block_what_waits(run: &mut JobRun<'_>, path: &TreePath) {
    if let Some(waits) = run.waiting_for(path).filter(|waits| !run.is_blocked(waits)) {
        let reason =
            format!("on this remote its name is the same as that of {path}, which has not left it yet");
        run.block(waits, &reason);
    }
}

/// True when the folder was moved as a whole, with everything below it.
fn clear_folder(run: &mut JobRun<'_>, change: &Change) -> Result<bool, Halt> {
    run.halt_without_room_for(run.whole_folder_requests())?;
    let patience = run.patience();
    match run.mirror_has_folder(&change.path, &patience)? {
        Ok(true) => {}
        Ok(false) => {
            let held_files = change.base.as_ref().map_or(0, |folder| run.views().files_below(folder));
            if held_files > 0 && run.is_listed_above(&change.path)? {
                run.block(
                    change.path.clone(),
                    "the remote says that there is no folder of that name, and lists it one level above; sent now, \
                     the file would take its place",
                );
            }
            return Ok(false);
        }
        Err(words) => {
            let reason =
                format!("the remote refuses to say whether a folder of that name lies there: {words}");
            run.block(change.path.clone(), &reason);
            return Ok(false);
        }
    }
    let is_moved = run.trash_folder(&change.path)?;
    if !is_moved && run.views().keeps_anything_below(&change.path) {
        // True buckets would take both; servers that keep them in folders (`rclone serve s3`) answer 500 for ever.
        run.block(change.path.clone(), FOLDER_KEPT);
    } else if !is_moved && run.has_real_folders()? {
        run.block(
            change.path.clone(),
            "a folder of that name lies on the mirror and could not be moved to the trash",
        );
    }
    Ok(is_moved)
}

fn trash_or_block(run: &mut JobRun<'_>, mut items: Vec<BatchItem>) -> Result<(), Halt> {
    if items.is_empty() {
        return Ok(());
    }
    let fit = run.fit(Step::Trash, items.iter().map(|item| (&item.path, 0)))?;
    items.truncate(fit.files);
    let paths: Vec<TreePath> = items.iter().map(|item| item.path.clone()).collect();
    let cleared = run.trash(items, Purpose::MakeWay)?;
    // What the deadline kept from being moved is no failure.
    run.halt_if_time_is_up()?;
    for path in paths {
        if cleared.contains(&path) {
            continue;
        }
        if run.waiting_for(&path).is_some() {
            block_what_waits(run, &path);
        } else {
            if let Some(above) = new_file_above(run, &path)? {
                run.block(above, "what lies below it on the mirror could not be moved to the trash");
            }
            run.block(path, "what lies there on the mirror could not be moved to the trash");
        }
    }
    run.checkpoint_if_due()?;
    fit.end()
}

/// What the source has in the place of a folder that held `path`: sent over what is left of that folder,
/// it would delete it.
fn new_file_above(run: &JobRun<'_>, path: &TreePath) -> Result<Option<TreePath>, Halt> {
    let views = run.views();
    for level in std::iter::successors(path.parent(), TreePath::parent) {
        if let Some(pending) = views.pending_entry(&level)? {
            return Ok((pending.kind != EntryKind::Directory).then_some(level));
        }
    }
    Ok(None)
}
