//! What stops a run before anything is sent: each message names the numbers
//! and the way on.

use super::committed::Committed;
use super::configuration::{Job, SourceFilesystem, mask_remote};
use super::halt::Halt;
use super::options::{BackupOptions, Guard};
use super::source::Scanned;
use crate::index::{Docket, Facts};
use crate::plan::Tally;
use crate::scan::{ScanReport, SourceIdentity};
use std::os::unix::ffi::OsStrExt;

/// The same job name must go on meaning the same source and the same mirror.
pub(super) fn job_is_the_same(
    job: &Job,
    committed: &Committed<'_>,
    options: &BackupOptions,
) -> Result<(), Halt> {
    if !committed.is_claimed {
        return Ok(());
    }
    remote_is_the_same(job, &committed.docket.facts, &options.accept)?;
    source_is_the_same(job, &committed.docket.facts, options)
}

fn source_is_the_same(job: &Job, facts: &Facts, options: &BackupOptions) -> Result<(), Halt> {
    if facts.source == job.source.as_os_str().as_bytes() || options.accepts(Guard::SourceChanged) {
        return Ok(());
    }
    Err(Halt::Guard {
        guard: Some(Guard::SourceChanged),
        message: format!(
            "job {} backed up {} until now and is configured for {}. Everything that is not in the new source \
             would count as deleted. If that is what you want: --accept source-changed; otherwise give the new \
             source a job of its own",
            job.name,
            String::from_utf8_lossy(&facts.source),
            job.source.display()
        ),
    })
}

/// The remote that the index speaks of, without its secrets, where the configuration names another.
pub(super) fn remote_before(job: &Job, facts: &Facts) -> Option<String> {
    // Normal already: no doubled slash, none at its end.
    let is_same = facts.remote.is_empty() || facts.remote == job.remote.to_string();
    (!is_same).then(|| mask_remote(&facts.remote))
}

/// What the index knows of one place says nothing of another: there nothing is protected by it, and what
/// lies there is not ours to replace. Asked before the first request, so that an unchanged source is no excuse.
pub(super) fn remote_is_the_same(job: &Job, facts: &Facts, accept: &[Guard]) -> Result<(), Halt> {
    let Some(before) = remote_before(job, facts) else { return Ok(()) };
    if accept.contains(&Guard::RemoteChanged) {
        return Ok(());
    }
    Err(Halt::Guard {
        guard: Some(Guard::RemoteChanged),
        message: format!(
            "job {} has its mirror at {before} and is configured for {:?}: what the index knows of the one says \
             nothing of the other. Put the old `remote` back; or, if the same files lie there (the mirror was moved \
             together with its companion, or the place has another name now): `treeferry backup {} --accept \
             remote-changed`, and `treeferry verify {} --remote` looks whether all of them are there; or begin anew in \
             an empty place: give the job another name",
            job.name, job.remote, job.name, job.name
        ),
    })
}

/// Everything that can be said before the changes are counted.
pub(super) fn after_scan(
    job: &Job,
    committed: &Committed<'_>,
    scanned: &Scanned,
    options: &BackupOptions,
) -> Result<(), Halt> {
    if !committed.is_claimed {
        return first_source_has_something(job, scanned, options);
    }
    source_is_not_empty(job, &committed.docket, &scanned.report, options)?;
    file_system_is_the_same(job, &committed.docket.facts, &scanned.report.identity, options)
}

/// A vanished mount must not look like a folder whose files were deleted.
fn file_system_is_the_same(
    job: &Job,
    facts: &Facts,
    found: &SourceIdentity,
    options: &BackupOptions,
) -> Result<(), Halt> {
    let never_scanned = facts.source_root_inode == 0;
    let is_same = never_scanned || facts.source_file_system == found.file_system;
    if is_same || job.source_filesystem == SourceFilesystem::Any || options.accepts(Guard::SourceFilesystem) {
        return Ok(());
    }
    Err(Halt::Guard {
        guard: Some(Guard::SourceFilesystem),
        message: format!(
            "{} lies on another file system than in the last run (id {:016x}, was {:016x}): perhaps a disk is not \
             mounted. If it was moved on purpose: --accept source-filesystem; if it changes with every mount: \
             source_filesystem = \"any\"",
            job.source.display(),
            found.file_system,
            facts.source_file_system
        ),
    })
}

/// The same consent for the disks that are mounted below the source. Where the source itself has moved to
/// another file system it is for that one: what was mounted below is then easily forgotten.
pub(super) fn accepts_other_mounts(
    job: &Job,
    facts: &Facts,
    file_system: u64,
    options: &BackupOptions,
) -> bool {
    let is_same = facts.source_file_system == file_system || job.source_filesystem == SourceFilesystem::Any;
    is_same && options.accepts(Guard::SourceFilesystem)
}

/// The disk that is to be backed up is often not mounted yet when people try for the first
/// time: to say of its mount point that everything is protected would be a lie.
fn first_source_has_something(job: &Job, scanned: &Scanned, options: &BackupOptions) -> Result<(), Halt> {
    if !scanned.report.root_is_empty || options.accepts(Guard::SourceEmpty) {
        return Ok(());
    }
    Err(Halt::Guard {
        guard: Some(Guard::SourceEmpty),
        message: format!(
            "{} is empty: perhaps a disk is not mounted. If it is meant to be: --accept source-empty",
            job.source.display()
        ),
    })
}

/// An empty source deletes nothing. What is only left out by a rule is there, and is kept.
fn source_is_not_empty(
    job: &Job,
    docket: &Docket,
    scanned: &ScanReport,
    options: &BackupOptions,
) -> Result<(), Halt> {
    let known = docket.base.map_or(0, |base| base.totals.files);
    if scanned.totals.files > 0 || known <= scanned.out_of_scope || options.accepts(Guard::SourceEmpty) {
        return Ok(());
    }
    Err(Halt::Guard {
        guard: Some(Guard::SourceEmpty),
        message: format!(
            "{} holds no file any more, {known} files are known: perhaps a disk is not mounted. If all of them were \
             deleted on purpose: --accept source-empty",
            job.source.display()
        ),
    })
}

/// Not more than `max_delete` may vanish in one run; what leaves because a person left it out counts with it.
pub(super) fn not_too_many_vanished(
    job: &Job,
    docket: &Docket,
    tally: &Tally,
    source_is_empty: bool,
    options: &BackupOptions,
) -> Result<(), Halt> {
    let known = docket.base.map_or(0, |base| base.totals.files);
    // Who says that an empty source is right was told how many files go with it.
    if options.accepts(Guard::MaxDelete) || (source_is_empty && options.accepts(Guard::SourceEmpty)) {
        return Ok(());
    }
    job.max_delete.check(tally.vanished_files(), known).map_err(|exceeded| Halt::Guard {
        guard: Some(Guard::MaxDelete),
        message: match tally.retired_files {
            0 => format!(
                "too many files vanished from {}: {exceeded}. `treeferry plan {}` shows what would happen; if it is \
                 right: --accept max-delete, or raise max_delete",
                job.source.display(),
                job.name
            ),
            retired => format!(
                "too many files would leave the mirror: {exceeded}. {} of them did not vanish, they are only left out \
                 now. `treeferry plan {} --accept excluded,max-delete` shows what would happen; if it is right: \
                 --accept excluded,max-delete, or raise max_delete",
                retired, job.name
            ),
        },
    })
}

/// True when so many stamps changed that the files must be read before it is
/// clear whether too many contents did.
pub(super) fn may_be_too_many_changed(
    job: &Job,
    docket: &Docket,
    tally: &Tally,
    options: &BackupOptions,
) -> bool {
    let at_most = tally.changed_files + tally.suspect_files;
    not_too_many_changed(job, docket, at_most, options).is_err()
}

/// Not more than `max_change` may change in one run. `changed` is counted after
/// reading: a touch is no change.
pub(super) fn not_too_many_changed(
    job: &Job,
    docket: &Docket,
    changed: u64,
    options: &BackupOptions,
) -> Result<(), Halt> {
    let known = docket.base.map_or(0, |base| base.totals.files);
    if options.accepts(Guard::MaxChange) {
        return Ok(());
    }
    job.max_change.check(changed, known).map_err(|exceeded| Halt::Guard {
        guard: Some(Guard::MaxChange),
        message: format!(
            "the content of too many files in {} changed: {exceeded}. Ransomware and failing disks look like this. \
             If it is right: --accept max-change, or raise max_change",
            job.source.display()
        ),
    })
}
