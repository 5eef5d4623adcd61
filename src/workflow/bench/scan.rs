//! Unchanged walks of a tree beside the floor.

use super::{BenchError, BenchReport, Cost, measure, row, threads_or_all};
use crate::index::{MapMode, PendingStore, PendingTree};
use crate::model::EmptyTree;
use crate::observe::Silent;
use crate::scan::{FloorSeen, ScanOptions, ScanReport, SkipSettled, floor_walk, scan};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// What to measure.
#[derive(Debug, Clone, Default)]
pub struct BenchScanOptions {
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// How often; the kinds of work take turns.
    pub rounds: usize,
    /// Measure how an index is made from stat data alone, too.
    pub build: bool,
    /// Where the index of it may lie for the while.
    pub temporary_directory: PathBuf,
}

/// Walks the tree at `root`: bare, with everything listed, and with settled
/// directories skipped.
///
/// # Errors
/// When the tree cannot be walked.
pub fn bench_scan(root: &Path, options: &BenchScanOptions) -> Result<BenchReport, BenchError> {
    let wrong = |reason: &dyn std::fmt::Display| BenchError::new(root.display().to_string(), reason);
    let threads = threads_or_all(options.threads);
    let walk = |skip_settled, base: Option<&PendingTree<'_>>, store: &PendingStore<'_>| {
        let same_rules_as_base = base.is_some();
        let options = ScanOptions { threads, skip_settled, same_rules_as_base, ..ScanOptions::default() };
        match base {
            Some(base) => scan(root, base, store, &options, &Silent),
            None => scan(root, &EmptyTree, store, &options, &Silent),
        }
        .map_err(|error| wrong(&error))
    };
    let new_store = || PendingStore::new(&options.temporary_directory, &Silent);
    let build = || -> Result<(PendingTree<'_>, ScanReport), BenchError> {
        let store = new_store();
        let report = walk(SkipSettled::Off, None, &store)?;
        let tree = store.finish(Some(report.root), None, MapMode::Map).map_err(|error| wrong(&error))?;
        Ok((tree, report))
    };

    let (index, report) = build()?;
    let seen = FloorSeen::default();
    floor_walk(root, threads, &seen).map_err(|error| wrong(&error))?;
    let names = seen.files.load(Ordering::Relaxed);
    let mut costs: [Vec<Cost>; 4] = Default::default();
    for _ in 0..options.rounds.max(1) {
        let (cost, walked) = measure(|| floor_walk(root, threads, &FloorSeen::default()));
        walked.map_err(|error| wrong(&error))?;
        costs[0].push(cost);
        for (at, skip_settled) in [(1, SkipSettled::Off), (2, SkipSettled::Auto)] {
            let (cost, scanned) = measure(|| walk(skip_settled, Some(&index), &new_store()));
            scanned?;
            costs[at].push(cost);
        }
        if options.build {
            let (cost, built) = measure(build);
            built?;
            costs[3].push(cost);
        }
    }
    let kinds = ["floor: getdents and statx", "unchanged, all listed", "unchanged, settled skipped"];
    let kinds = kinds.into_iter().chain(["index from stat data"]).zip(&costs);
    let rows = kinds.filter(|(_, costs)| !costs.is_empty()).map(|(name, costs)| row(name, names, costs));
    Ok(BenchReport {
        subject: root.display().to_string(),
        files: report.totals.files,
        directories: report.totals.directories + 1,
        bytes: 0,
        threads,
        rounds: options.rounds.max(1),
        rows: rows.collect(),
        figures: Vec::new(),
    })
}
