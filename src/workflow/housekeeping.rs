//! Keeping the node file small: what no retained run reaches any more is left
//! behind in a new file.

use super::committed::Committed;
use super::job_run::JobRun;
use super::opened::{hexadecimal, node_file_path};
use crate::commit::{StateDir, StateError};
use crate::disk::{Disk, free_bytes};
use crate::index::{
    CompactError, DataId, Docket, NodeFile, OpenNodeFileError, compact, live_bytes, needs_compaction,
    run_records,
};
use crate::model::ReadNodeError;
use crate::observe::{Event, Observer};
use std::path::Path;

/// The node file stays as large as it is. Nothing is lost by that but room.
#[derive(Debug, thiserror::Error)]
enum HousekeepingError {
    #[error("measuring the index: {0}")]
    Measure(#[from] ReadNodeError),
    #[error(transparent)]
    Compact(#[from] CompactError),
    #[error(transparent)]
    Create(#[from] OpenNodeFileError),
    #[error("giving a new index its name: {0}")]
    Random(#[from] std::io::Error),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Compacts the node file when more than half of it is dead, or a quarter after a
/// run with checkpoints.
///
/// The last step of a run, which it ends: the node file that the run knows may
/// be gone afterwards. A failure is a warning, never the run's: the old file is
/// as good as before.
pub(super) fn compact_if_needed(run: JobRun<'_>) {
    let mut run = run;
    if run.options.dry_run || !run.committed.is_claimed {
        return;
    }
    if let Some(trouble) = compact_committed(&run.committed) {
        run.warn(trouble);
    }
}

/// The same, for a recipe that has no run: also its last step. Gives back what
/// went wrong, for people.
pub(super) fn compact_committed(committed: &Committed<'_>) -> Option<String> {
    let Committed { state, nodes, docket, observer, .. } = committed;
    let kept_small = keep_small(state, nodes, docket, committed.disk(), *observer);
    kept_small.err().map(|error| format!("the index keeps what is dead in it for now: {error}"))
}

/// The docket that is on disk afterwards, when it is another one.
fn keep_small(
    state: &StateDir,
    nodes: &NodeFile,
    docket: &Docket,
    disk: &dyn Disk,
    observer: &dyn Observer,
) -> Result<Option<Docket>, HousekeepingError> {
    let mut measured = docket.clone();
    if docket.live_bytes == Docket::LIVE_BYTES_UNKNOWN {
        measured.live_bytes = live_bytes(nodes, docket)?;
    }
    if needs_compaction(&measured, ended_with_checkpoints(nodes, docket)) {
        return move_over(state, nodes, &measured, disk, observer).map(Some);
    }
    if measured == *docket {
        return Ok(None);
    }
    state.promote(disk, &measured.encode())?;
    Ok(Some(measured))
}

/// True when the newest run has more than one record.
fn ended_with_checkpoints(nodes: &NodeFile, docket: &Docket) -> bool {
    let mut newest_runs = run_records(nodes, docket.newest_record).map_while(Result::ok).take(2);
    match (newest_runs.next(), newest_runs.next()) {
        (Some(newest), Some(before)) => newest.record.run == before.record.run,
        _ => false,
    }
}

/// New file first, then the docket that names it, then the old one goes: a
/// crash in between leaves a file that no docket names, and the next
/// compaction removes it.
fn move_over(
    state: &StateDir,
    nodes: &NodeFile,
    docket: &Docket,
    disk: &dyn Disk,
    observer: &dyn Observer,
) -> Result<Docket, HousekeepingError> {
    // What an earlier attempt left behind may be what there is no room for.
    state.remove_stale_node_files(disk, &[&hexadecimal(docket.data_id)], u64::MAX)?;
    let data_id = DataId::random()?;
    let path = node_file_path(state, data_id);
    let moved = copy_into(&path, data_id, nodes, docket, observer, free_bytes(state.path())?);
    let moved = moved.and_then(|moved| {
        state.promote(disk, &moved.encode())?;
        Ok(moved)
    });
    // After a failed promotion either docket may be the one on disk: both files stay.
    if matches!(moved, Err(HousekeepingError::Compact(_))) {
        let _ = disk.remove(&path);
    }
    let moved = moved?;
    state.remove_stale_node_files(disk, &[&hexadecimal(data_id)], u64::MAX)?;
    observer.event(&Event::Detail(&format!(
        "index compacted from {} to {} bytes",
        docket.committed_length, moved.committed_length
    )));
    Ok(moved)
}

fn copy_into(
    path: &Path,
    data_id: DataId,
    nodes: &NodeFile,
    docket: &Docket,
    observer: &dyn Observer,
    available_bytes: u64,
) -> Result<Docket, HousekeepingError> {
    let fresh = NodeFile::create(path, data_id)?;
    Ok(compact(nodes, docket, &fresh.writer(observer), available_bytes)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::index::{Edit, MapMode, Tree, rewrite};
    use crate::model::{ContentDigest, EntryFlags, EntryKind, OwnedEntry, Permissions, Stamp, TreePath};
    use crate::observe::Silent;
    use std::convert::Infallible;

    /// Room that nothing reaches: a hole in the file.
    const DEAD_BYTES: u64 = 20 << 20;

    struct Shelf {
        _directory: tempfile::TempDir,
        state: StateDir,
        docket: Docket,
    }

    impl Shelf {
        /// A node file with one small tree, and `dead_bytes` of nothing behind it.
        fn new(dead_bytes: u64) -> Shelf {
            let directory = tempfile::tempdir().unwrap();
            let state = StateDir::open(directory.path(), "job").unwrap();
            let data_id = DataId([7; 16]);
            let file = NodeFile::create(&node_file_path(&state, data_id), data_id).unwrap();
            let writer = file.writer(&Silent);
            let entry = OwnedEntry {
                kind: EntryKind::File,
                flags: EntryFlags::NONE,
                stamp: Stamp::default(),
                permissions: Permissions::default(),
                digest: Some(ContentDigest([1; 32])),
                target: None,
                child: None,
            };
            let put = Edit::Put { path: TreePath::from_bytes(&b"a/b"[..]).unwrap(), entry };
            let base =
                rewrite(&Tree::new(&file, None, &Silent), [Ok::<_, Infallible>(put)], &writer).unwrap();
            let committed_length = writer.sync().unwrap() + dead_bytes;
            let raw = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
            raw.set_len(committed_length).unwrap();
            let docket = Docket { data_id, committed_length, base, ..Docket::default() };
            state.promote(&RealDisk::new(&Silent), &docket.encode()).unwrap();
            Shelf { _directory: directory, state, docket }
        }

        fn open(&self) -> NodeFile {
            let path = node_file_path(&self.state, self.docket.data_id);
            NodeFile::open_for_append(&path, &self.docket, MapMode::Map).unwrap()
        }

        fn on_disk(&self) -> Docket {
            Docket::decode(&self.state.read_docket().unwrap().unwrap()).unwrap()
        }

        fn node_files(&self) -> usize {
            let names = std::fs::read_dir(self.state.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_str().unwrap().starts_with("nodes.")).count()
        }
    }

    #[test]
    fn a_file_that_is_mostly_dead_is_left_for_a_new_one_with_the_same_tree() {
        let shelf = Shelf::new(DEAD_BYTES);
        let disk = RealDisk::new(&Silent);
        // Of an attempt that was killed.
        std::fs::write(shelf.state.node_file_path(&"e".repeat(32)), b"rest").unwrap();
        let docket = keep_small(&shelf.state, &shelf.open(), &shelf.docket, &disk, &Silent).unwrap().unwrap();
        assert_eq!(shelf.on_disk(), docket);
        assert_ne!(docket.data_id, shelf.docket.data_id);
        assert!(docket.committed_length < 4096, "{} bytes", docket.committed_length);
        assert_eq!(docket.live_bytes, docket.committed_length);
        assert_eq!(shelf.node_files(), 1);
        let (old, new) = (shelf.docket.base.unwrap(), docket.base.unwrap());
        assert_eq!((old.pointer.content, old.totals), (new.pointer.content, new.totals));
        let again = Shelf { docket, ..shelf };
        assert_eq!(keep_small(&again.state, &again.open(), &again.docket, &disk, &Silent).unwrap(), None);
    }

    #[test]
    fn what_was_measured_once_is_not_measured_again() {
        let shelf = Shelf::new(0);
        let disk = RealDisk::new(&Silent);
        let measured =
            keep_small(&shelf.state, &shelf.open(), &shelf.docket, &disk, &Silent).unwrap().unwrap();
        assert_eq!(measured.live_bytes, measured.committed_length);
        assert_eq!(shelf.on_disk(), measured);
        let again = Shelf { docket: measured, ..shelf };
        assert_eq!(keep_small(&again.state, &again.open(), &again.docket, &disk, &Silent).unwrap(), None);
    }

    #[test]
    fn a_damaged_index_stays_as_it_is() {
        let mut shelf = Shelf::new(DEAD_BYTES);
        shelf.docket.live_bytes = 1;
        let path = node_file_path(&shelf.state, shelf.docket.data_id);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[80] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let disk = RealDisk::new(&Silent);
        let error = keep_small(&shelf.state, &shelf.open(), &shelf.docket, &disk, &Silent).unwrap_err();
        assert!(matches!(error, HousekeepingError::Compact(CompactError::Read(_))), "{error}");
        assert_eq!(shelf.on_disk().data_id, shelf.docket.data_id);
        assert_eq!(shelf.node_files(), 1);
    }
}
