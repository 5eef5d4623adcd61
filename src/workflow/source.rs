//! Walking the source of a job.

use super::committed::Committed;
use super::configuration::{Configuration, Job, Links, SkipSettled, SourceFilesystem};
use super::guards;
use super::halt::Halt;
use super::mounts::MountMemory;
use super::options::BackupOptions;
use super::report::JobReport;
use super::source_memory::SourceMemory;
use super::surroundings::Surroundings;
use crate::index::{PendingStore, Tree};
use crate::observe::{Event, Phase};
use crate::scan::{self, ExcludeRules, LinkPolicy, RootDirectory, ScanError, ScanOptions, ScanReport};
use std::os::unix::fs::MetadataExt;

/// Scans the source into `store`.
pub(super) fn scan(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    committed: &Committed<'_>,
    store: &PendingStore<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) -> Result<Scanned, Halt> {
    let observer = surroundings.observer;
    observer.event(&Event::PhaseStarted(Phase::Scan));
    let exclude = ExcludeRules::compile(&job.exclude)
        .map_err(|error| Halt::Configuration(format!("job {}: {error}", job.name)))?;
    let scope_digest = scope_digest(job, &exclude);
    let is_dry_run = options.dry_run;
    let mut memory = SourceMemory::read(committed.state).map_err(Halt::fatal)?;
    let file_system =
        scan::identify(&job.source).map_err(|error| cannot_scan(error, surroundings))?.file_system;
    let accepts_mounts = guards::accepts_other_mounts(job, &committed.docket.facts, file_system, options);
    let skip_settled = match job.skip_settled {
        SkipSettled::Off => scan::SkipSettled::Off,
        SkipSettled::Auto => memory.skip_settled(file_system, surroundings.now_seconds(), is_dry_run),
    };
    let mut mounts = MountMemory::read(committed.state, accepts_mounts)?;
    let options = ScanOptions {
        threads: job.threads as usize,
        exclude,
        links: match job.links {
            Links::Record => LinkPolicy::Record,
            Links::Follow => LinkPolicy::Follow,
            Links::Upload => LinkPolicy::Upload,
        },
        cross_mounts: job.cross_mounts,
        mounts_before: mounts.before().clone(),
        any_file_system: job.source_filesystem == SourceFilesystem::Any,
        always_excluded: own_directories(configuration),
        same_rules_as_base: committed.docket.facts.scope_digest == scope_digest,
        skip_settled,
        loose_inodes: memory.has_loose_inodes(file_system),
        base_scanned: committed.docket.facts.scan_started,
        report_excluded: options.report_excluded,
        stop: Some(surroundings.stop.scan()),
        open_directories_max: 0,
    };
    let base = Tree::new(committed.nodes, committed.docket.base, observer);
    let scanned = scan::scan(&job.source, &base, store, &options, observer)
        .map_err(|error| cannot_scan(error, surroundings))?;
    let before = memory.clone();
    if let Some(sentence) = memory.learn(&scanned, skip_settled, surroundings.now_seconds()) {
        observer.event(&Event::Warning(sentence));
        report.warnings.push(sentence.to_owned());
    }
    if memory != before && !is_dry_run {
        memory.write(committed.state, observer).map_err(Halt::fatal)?;
    }
    mounts.learn(&scanned);
    if !is_dry_run {
        mounts.write_all(committed)?;
    }
    put_into(report, &scanned);
    // The last of them: those on the way come now and then only.
    observer.event(&Event::ScanProgress {
        files: report.files_scanned,
        directories: report.directories_scanned,
        files_expected: report.files_scanned,
    });
    Ok(Scanned { report: scanned, scope_digest, mounts })
}

fn put_into(report: &mut JobReport, scanned: &ScanReport) {
    // Told when they were met; what is behind them stays as it is, and is not what the source has now.
    for (path, reason) in &scanned.unreadable {
        report.unprotected.add(path.clone(), reason.clone());
    }
    report.unprotected.total += scanned.files_unreadable - scanned.unreadable.len() as u64;
    report.files_scanned = scanned.totals.files;
    report.directories_scanned = scanned.totals.directories;
    report.bytes_scanned = scanned.totals.bytes;
    report.not_entered = scanned.not_entered.clone();
    report.content_root = Some(scanned.root.content);
}

/// State and logs are never backed up, wherever they lie.
fn own_directories(configuration: &Configuration) -> Vec<(u64, u64)> {
    [&configuration.state_dir, &configuration.log_dir]
        .into_iter()
        .filter_map(|directory| directory.metadata().ok())
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .collect()
}

/// What the scan came to.
pub(super) struct Scanned {
    pub(super) report: ScanReport,
    pub(super) scope_digest: [u8; 32],
    pub(super) mounts: MountMemory,
}

/// Everything that decides which names are in scope. A change of it makes names
/// of the base to be matched anew.
fn scope_digest(job: &Job, exclude: &ExcludeRules) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("treeferry 2026 scope v1");
    hasher.update(&exclude.digest());
    hasher.update(&[job.links as u8, u8::from(job.cross_mounts)]);
    *hasher.finalize().as_bytes()
}

/// A source that can't be scanned at all is never "everything was deleted". What went wrong beside
/// it, here, is no question for a person.
fn cannot_scan(error: ScanError, surroundings: &Surroundings<'_>) -> Halt {
    match (error, surroundings.stop.signal()) {
        (ScanError::Stopped, Some(signal)) => Halt::Interrupted { signal },
        (error @ (ScanError::Write(_) | ScanError::Threads(_)), _) => Halt::fatal(error),
        (error, _) => {
            Halt::Guard { guard: None, message: format!("{error}. Nothing is deleted because of that") }
        }
    }
}

/// The source of a job, to read its files.
pub(super) fn open_root(job: &Job) -> Result<RootDirectory, Halt> {
    let root = RootDirectory::open(&job.source).map_err(cannot_open)?;
    Ok(root.following_links(job.links == Links::Follow))
}

/// The source was there a moment ago.
fn cannot_open(error: std::io::Error) -> Halt {
    Halt::Guard {
        guard: None,
        message: format!("the source can't be opened any more: {error}. Nothing is deleted because of that"),
    }
}
