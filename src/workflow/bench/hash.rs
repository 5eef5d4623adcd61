//! Reading and hashing files beside the floor.

use super::{BenchError, BenchReport, measure, row, threads_or_all};
use crate::diff::{Equality, diff};
use crate::index::{MapMode, PendingStore};
use crate::model::{EmptyTree, EntryKind, TreePath};
use crate::observe::Silent;
use crate::scan::{
    ReadFile, ReadFileError, RootDirectory, ScanOptions, SkipSettled, floor_hash, read_each, scan,
};
use std::path::{Path, PathBuf};

/// So much is read in one round at the most: more tells nothing new.
const BYTES_MAX: u64 = 8 << 30;
const FILES_MAX: usize = 200_000;

/// Reads the files below `root` (or the one file that it is): barely, and as a
/// run does. The first of them, when there are very many.
///
/// # Errors
/// When the tree cannot be walked.
pub fn bench_hash(
    root: &Path,
    threads: usize,
    rounds: usize,
    temporary_directory: &Path,
) -> Result<BenchReport, BenchError> {
    let wrong = |reason: &dyn std::fmt::Display| BenchError::new(root.display().to_string(), reason);
    let threads = threads_or_all(threads);
    let is_file = root.metadata().map_err(|error| wrong(&error))?.is_file();
    let beside = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = if is_file { beside } else { root };
    let (paths, bytes) = if is_file { one_file(root)? } else { files_below(root, temporary_directory)? };
    let opened = RootDirectory::open(folder).map_err(|error| wrong(&error))?;
    let bare: Vec<PathBuf> = paths.iter().map(|(path, _)| folder.join(path.as_path())).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| wrong(&error))?;

    let mut costs = [Vec::new(), Vec::new()];
    // The first round fills the page cache and is not counted.
    for round in 0..=rounds.max(1) {
        let floor = measure(|| pool.install(|| floor_hash(&bare))).0;
        let ours = measure(|| pool.install(|| read_all(&opened, &paths))).0;
        if round > 0 {
            costs[0].push(floor);
            costs[1].push(ours);
        }
    }
    let files = paths.len() as u64;
    let rows = ["floor: open, fstat, read, BLAKE3", "read and hashed"].into_iter().zip(&costs);
    Ok(BenchReport {
        subject: root.display().to_string(),
        files,
        directories: 0,
        bytes,
        threads,
        rounds: rounds.max(1),
        rows: rows.map(|(name, costs)| row(name, files, costs)).collect(),
        figures: Vec::new(),
    })
}

/// As a run reads.
fn read_all(root: &RootDirectory, files: &[(TreePath, u64)]) -> Vec<Result<ReadFile, ReadFileError>> {
    read_each(
        root,
        files.iter().collect(),
        |(_, size)| *size,
        |reader, (path, _)| reader.read(path, false, &Silent),
    )
}

/// Paths and sizes of what is to be read, and all bytes.
type Chosen = (Vec<(TreePath, u64)>, u64);

fn one_file(file: &Path) -> Result<Chosen, BenchError> {
    let wrong = |reason: &dyn std::fmt::Display| BenchError::new(file.display().to_string(), reason);
    let name = file.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let path = TreePath::from_bytes(name).map_err(|error| wrong(&error))?;
    let size = file.metadata().map_err(|error| wrong(&error))?.len();
    Ok((vec![(path, size)], size))
}

fn files_below(root: &Path, temporary_directory: &Path) -> Result<Chosen, BenchError> {
    let wrong = |reason: &dyn std::fmt::Display| BenchError::new(root.display().to_string(), reason);
    let store = PendingStore::new(temporary_directory, &Silent);
    let options = ScanOptions { skip_settled: SkipSettled::Off, ..ScanOptions::default() };
    let report = scan(root, &EmptyTree, &store, &options, &Silent).map_err(|error| wrong(&error))?;
    let tree = store.finish(Some(report.root), None, MapMode::Map).map_err(|error| wrong(&error))?;
    let (mut paths, mut bytes) = (Vec::new(), 0);
    for change in diff(&EmptyTree, &tree, Equality::Stamp) {
        let change = change.map_err(|error| wrong(&error))?;
        let Some(entry) = change.pending.filter(|entry| entry.kind == EntryKind::File) else { continue };
        bytes += entry.stamp.size;
        paths.push((change.path, entry.stamp.size));
        if bytes >= BYTES_MAX || paths.len() >= FILES_MAX {
            break;
        }
    }
    Ok((paths, bytes))
}
