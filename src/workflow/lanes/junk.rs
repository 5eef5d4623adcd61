//! What broken uploads left on the mirror.
//!
//! A doubt is a name under which an upload was begun and not confirmed. There may lie all of it, half of it, or
//! nothing; half of it perhaps under a name that rclone made up; and folders that were made for it.

use super::perhaps_there::PerhapsThere;
use crate::model::{BatchItem, EntryKind, OwnedEntry, TreePath};
use crate::workflow::halt::Halt;
use crate::workflow::job_run::JobRun;
use crate::workflow::trashing::{Purpose, unknown_item};
use std::collections::BTreeSet;

/// Deletes it where nothing goes up any more, or something of another type.
pub(super) fn clear_junk(run: &mut JobRun<'_>) -> Result<(), Halt> {
    if run.committed.doubts.is_empty() {
        return Ok(());
    }
    move_folders_of_doubts(run)?;
    let mut junk = partials(run)?;
    let mut perhaps_versions = Vec::new();
    let views = run.views();
    // Doubts have the names of the mirror: that of a link is not its path.
    for name in run.committed.doubts.clone() {
        let base = views.held_as(&name);
        if matches!(&base, Ok(Some(_))) || has_no_room(run, &name)? {
            // Confirmed since, or what is held leaves no room for it: no doubt any more.
            run.committed.doubts.remove(&name);
            continue;
        }
        if views.wanted_as(&name)?.is_some() {
            continue;
        }
        match views.kept_as(&name) {
            Ok(Some(_)) => {}
            Ok(None) if base.is_ok() => junk.push(unknown_item(name)),
            Ok(None) | Err(_) => perhaps_versions.push(unknown_item(name)),
        }
    }
    set_aside(run, perhaps_versions)?;
    if junk.is_empty() { Ok(()) } else { run.delete(junk) }
}

/// Those of which the index does not say what lies there: only for these the remote is asked.
fn open_doubts(run: &JobRun<'_>) -> Vec<TreePath> {
    let views = run.views();
    let is_known = |found: Result<Option<(TreePath, OwnedEntry)>, Halt>| matches!(found, Ok(Some(_)));
    let is_open = |name: &&TreePath| !is_known(views.held_as(name)) && !is_known(views.kept_as(name));
    run.committed.doubts.iter().filter(is_open).cloned().collect()
}

/// Files are held below that name, or one above it: where folders are real, no file lies there.
fn has_no_room(run: &mut JobRun<'_>, name: &TreePath) -> Result<bool, Halt> {
    let views = run.views();
    let held = |path: &TreePath| views.base_entry(path).ok().flatten();
    let is_folder =
        held(name).is_some_and(|entry| entry.kind == EntryKind::Directory && views.files_below(&entry) > 0);
    let mut above = std::iter::successors(name.parent(), TreePath::parent);
    let mut is_below_file =
        || above.any(|above| held(&above).is_some_and(|entry| entry.kind == EntryKind::File));
    Ok((is_folder || is_below_file()) && run.has_real_folders()?)
}

/// A folder that was made for a broken upload, and in whose place the source has a file by now: to the trash
/// with what is in it. Sent over it, the file would fail for ever, or delete the folder.
fn move_folders_of_doubts(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let doubts = open_doubts(run);
    if doubts.is_empty() {
        return Ok(());
    }
    // SFTP servers refuse the rename onto an emptied folder, and `rclone serve sftp` denies for five minutes after
    // that there is one: only a later run can tell.
    let renames = run.open_remote()?.connection.features.partial_uploads;
    let views = run.views();
    let mut folders = BTreeSet::new();
    for doubt in &doubts {
        let first = if renames { Some(doubt.clone()) } else { doubt.parent() };
        for above in std::iter::successors(first, TreePath::parent).filter(|above| !above.is_root()) {
            let is_file = views.pending_entry(&above)?.is_some_and(|entry| entry.is_on_mirror());
            // Where the base has the folder, the lane itself clears it; where something is kept in it, that decides.
            let is_new = matches!(views.base_entry(&above), Ok(None));
            if is_file && is_new && !views.keeps_anything_below(&above) {
                folders.insert(above);
            }
        }
    }
    let mut perhaps_there = PerhapsThere::default();
    folders.iter().for_each(|folder| perhaps_there.add_of_base(folder.clone(), Vec::new()));
    perhaps_there.look(run)?;
    folders.retain(|folder| !run.is_blocked(folder));
    // There is none by now: either it was moved, or the remote shows none.
    if !folders.is_empty() && run.has_real_folders()? {
        let is_below_one = |doubt: &TreePath| folders.iter().any(|folder| doubt.is_within(folder));
        run.committed.doubts.retain(|doubt| folders.contains(doubt) || !is_below_one(doubt));
    }
    Ok(())
}

/// Halves under rclone's own names, but for what the source or the mirror really has under them.
fn partials(run: &mut JobRun<'_>) -> Result<Vec<BatchItem>, Halt> {
    let doubts = open_doubts(run);
    if doubts.is_empty() || !run.open_remote()?.connection.features.partial_uploads {
        return Ok(Vec::new());
    }
    let folders: BTreeSet<TreePath> = doubts.iter().filter_map(TreePath::parent).collect();
    run.spend_on_looks(folders.len() as u64);
    let patience = run.patience();
    let transfer = &run.open_remote()?.connection.transfer;
    let found = patience
        .look("looking for what a broken upload left", transfer, |transfer| transfer.partials_of(&doubts))?;
    let views = run.views();
    let is_nobodys = |name: &TreePath| {
        let nothing = |found: Result<Option<(TreePath, OwnedEntry)>, Halt>| matches!(found, Ok(None));
        nothing(views.held_as(name)) && nothing(views.wanted_as(name)) && nothing(views.kept_as(name))
    };
    Ok(found.into_iter().filter(is_nobodys).map(unknown_item).collect())
}

/// Where the index is damaged a doubt may be a version that was confirmed since: what lies there
/// goes to the trash, where it harms nobody and is lost to nobody.
fn set_aside(run: &mut JobRun<'_>, items: Vec<BatchItem>) -> Result<(), Halt> {
    if items.is_empty() {
        return Ok(());
    }
    run.never_known.extend(items.iter().map(|item| item.path.clone()));
    for path in run.trash(items, Purpose::Remove)? {
        run.committed.doubts.remove(&path);
    }
    Ok(())
}
