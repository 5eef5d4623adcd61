//! Doors for the fuzzer: what is read back from the state directory beside index
//! and journal, and the lists of the Python script. Nothing is sent or written.

use super::check_state::CheckState;
use super::import_snapshot::lines::parse_line;
use super::mounts::MountMemory;
use super::quarantine::Quarantine;
use super::source_memory::SourceMemory;
use super::take_over::put_in_order;
use super::tree_walk::Selection;
use super::verify::last_verified::{LastVerified, PARTS};
use super::{committed, last_run, notification};
use crate::commit::{SideFile, StateDir};
use crate::model::TreePath;

/// Reads every side file of a job as `status` and a backup at `now_seconds` do. How
/// many of them could be read.
#[doc(hidden)]
pub fn side_files_read(state: &StateDir, now_seconds: i64) -> usize {
    let check = CheckState::load(state)
        .map(|check| (check.is_due(7, now_seconds), check.due_seconds(7, now_seconds)));
    let source = SourceMemory::read(state).map(|memory| memory.skip_settled(1, now_seconds, false));
    let last = last_run::read(state).map(|last| last.map(|last| last.unprotected()));
    let verified = LastVerified::load(state).map(|mut verified| {
        let kind = verified.of(super::verify::What::Source, &Selection::new(&[]));
        let oldest = kind.oldest(&[1; PARTS], PARTS as u64);
        kind.note(oldest, now_seconds);
    });
    let paths = |file| {
        state.read_side_file(file).map(|bytes| committed::parse_doubts(&bytes.unwrap_or_default())).is_ok()
    };
    notification::last_failures(state);
    let read = [
        check.is_ok(),
        source.is_ok(),
        last.is_ok(),
        verified.is_ok(),
        paths(SideFile::Doubts),
        paths(SideFile::Unknown),
        MountMemory::read(state, false).is_ok(),
        Quarantine::load(state).is_ok(),
    ];
    read.into_iter().filter(|read| *read).count()
}

/// The paths and sizes that the lines of a snapshot name below `source`, in order.
#[doc(hidden)]
pub fn named_in_snapshot(bytes: &[u8], source: &[u8]) -> Vec<(TreePath, u64)> {
    let lines = bytes.split(|&byte| byte == b'\n');
    let mut claimed = lines.filter_map(|line| parse_line(line, source)).collect();
    put_in_order(&mut claimed);
    claimed.into_iter().map(|claim| (claim.path, claim.size)).collect()
}
