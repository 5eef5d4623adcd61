//! Compaction: what the retained roots reach, streamed into a new node file.
//!
//! Roots are copied oldest first, each beside the one before it: where both
//! have the same pointer under the same name, the copy is shared too. That
//! finds all sharing that `rewrite` makes, without a table of all nodes, so
//! that memory does not grow with the tree. The result depends on nothing but
//! what is reached and the new file's id.

use crate::index::docket::Docket;
use crate::index::node::append;
use crate::index::node::{OldPages, read_node, read_pages};
use crate::index::node_file::{HEADER_BYTES, NodeFile, NodeWriter};
use crate::index::pointer::{RecordPointer, Root};
use crate::index::run_record::{StoredRunRecord, append_with_chunks, run_records, with_record};
use crate::model::{Directory, DirectoryPointer, ReadNodeError, Totals, WriteNodeError};
use std::io;

/// Below this much dead space compaction is not worth three syncs.
const DEAD_BYTES_MIN: u64 = 64 << 10;
/// So much is left free on the disk beside the new file.
const ROOM_LEFT_BYTES: u64 = 16 << 20;

/// A node file could not be compacted. The old one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// Something that is retained cannot be read.
    #[error("compacting the index: {0}")]
    Read(#[from] ReadNodeError),
    /// The new file cannot be written.
    #[error("compacting the index: {0}")]
    Write(#[from] WriteNodeError),
    /// The new file cannot be brought to the disk.
    #[error("compacting the index: {0}")]
    Sync(#[from] io::Error),
    /// There is no room for the new file beside the old one.
    #[error(
        "compacting the index needs {needed} bytes of room beside it, and there are {available}: \
         free some, or go on without compaction"
    )]
    NoRoom {
        /// What it needs, in bytes.
        needed: u64,
        /// What there is, in bytes.
        available: u64,
    },
}

/// True when more than half of the node file is dead, and enough to matter; a
/// quarter is enough after a run that made checkpoints (`released_checkpoints`),
/// which writes most directories twice and is long anyway.
pub fn needs_compaction(docket: &Docket, released_checkpoints: bool) -> bool {
    let dead = docket.committed_length.saturating_sub(docket.live_bytes);
    let share = if released_checkpoints { 4 } else { 2 };
    dead > docket.committed_length / share && dead >= DEAD_BYTES_MIN
}

/// Copies everything that `docket` retains (base, kept, and the roots and
/// tables of runs not older than `facts.oldest_retained_sequence`) from `old`
/// into a fresh file behind `into`, and syncs it. Of a run that has several
/// records the newest one keeps its roots: what it had committed before its end
/// is no state that anybody can name. Returns the docket for the
/// new file, still to be committed. `available_bytes`: free room on its disk.
///
/// # Errors
/// See [`CompactError`]; the new file is then to be deleted.
pub fn compact(
    old: &NodeFile,
    docket: &Docket,
    into: &NodeWriter<'_>,
    available_bytes: u64,
) -> Result<Docket, CompactError> {
    let needed = docket.live_bytes.min(docket.committed_length);
    let needed = needed.saturating_add(ROOM_LEFT_BYTES);
    if available_bytes < needed {
        return Err(CompactError::NoRoom { needed, available: available_bytes });
    }
    let mut copied = visit(old, docket, &mut Copier { old, into })?;
    copied.data_id = into.file.data_id();
    copied.committed_length = into.sync()?;
    copied.live_bytes = copied.committed_length;
    Ok(copied)
}

/// How many bytes of the node file are reached by what `docket` retains: its
/// exact `live_bytes`. Reads every directory that is retained.
///
/// # Errors
/// When one of them cannot be read.
pub fn live_bytes(file: &NodeFile, docket: &Docket) -> Result<u64, ReadNodeError> {
    let mut measurer = Measurer { file, bytes: HEADER_BYTES };
    match visit(file, docket, &mut measurer) {
        Ok(_) => Ok(measurer.bytes),
        Err(CompactError::Read(error)) => Err(error),
        Err(other) => Err(ReadNodeError { offset: 0, length: 0, reason: other.to_string() }),
    }
}

/// What happens to everything that is reached, in a fixed order.
trait Visitor {
    /// A directory whose subdirectories were all visited; `directory` has the
    /// pointers that they were given. `before` is what it was shared from.
    fn directory(
        &mut self,
        directory: &Directory,
        below: Totals,
        found_at: &DirectoryPointer,
        before: Option<&Shared>,
    ) -> Result<DirectoryPointer, CompactError>;

    /// Reads a directory that an earlier call of `directory` returned.
    fn read_visited(&self, pointer: &DirectoryPointer, into: &mut Directory) -> Result<(), ReadNodeError>;

    /// A run record, with the pointers that its roots were given.
    fn run_record(&mut self, record: &StoredRunRecord) -> Result<RecordPointer, CompactError>;
}

/// The same directory in the tree before, where it was found, and where it went.
#[derive(Debug, Clone, Copy)]
struct Shared {
    found: DirectoryPointer,
    given: DirectoryPointer,
}

fn visit(file: &NodeFile, docket: &Docket, visitor: &mut impl Visitor) -> Result<Docket, CompactError> {
    let mut records = Vec::new();
    for stored in run_records(file, docket.newest_record) {
        let stored = stored?;
        if stored.record.run.sequence < docket.facts.oldest_retained_sequence {
            break;
        }
        records.push(stored);
    }
    release_checkpoints(&mut records);
    let mut base = Lineage::default();
    let mut kept = Lineage::default();
    let mut previous = None;
    for stored in records.iter_mut().rev() {
        let record = &mut stored.record;
        record.root_before = base.visit(file, record.root_before, visitor)?;
        record.root_after = base.visit(file, record.root_after, visitor)?;
        record.kept_after = kept.visit(file, record.kept_after, visitor)?;
        record.previous = previous;
        previous = Some(visitor.run_record(stored)?);
    }
    Ok(Docket {
        base: base.visit(file, docket.base, visitor)?,
        kept: kept.visit(file, docket.kept, visitor)?,
        newest_record: previous,
        ..docket.clone()
    })
}

/// Takes the roots from all records of a run but its newest, which gets the root
/// that the run began with. `records` come newest first.
fn release_checkpoints(records: &mut [StoredRunRecord]) {
    for run in records.chunk_by_mut(|newer, older| newer.record.run == older.record.run) {
        let began_with = run.last().and_then(|first| first.record.root_before);
        let Some((newest, checkpoints)) = run.split_first_mut() else { continue };
        newest.record.root_before = began_with;
        for stored in checkpoints {
            let record = &mut stored.record;
            (record.root_before, record.root_after, record.kept_after) = (None, None, None);
        }
    }
}

/// Roots that grew out of each other.
#[derive(Default)]
struct Lineage {
    newest: Option<Shared>,
}

impl Lineage {
    fn visit(
        &mut self,
        file: &NodeFile,
        root: Option<Root>,
        visitor: &mut impl Visitor,
    ) -> Result<Option<Root>, CompactError> {
        let Some(root) = root else { return Ok(None) };
        let given = visit_tree(file, root.pointer, self.newest, visitor)?;
        self.newest = Some(Shared { found: root.pointer, given });
        Ok(Some(Root { pointer: given, ..root }))
    }
}

/// A directory on the way down, beside the same one of the tree before.
struct Step {
    found: DirectoryPointer,
    directory: Directory,
    below: Totals,
    next: usize,
    before: Option<Shared>,
    before_found: Directory,
    before_given: Directory,
}

/// No recursion: trees can be deeper than a stack.
fn visit_tree(
    file: &NodeFile,
    root: DirectoryPointer,
    before: Option<Shared>,
    visitor: &mut impl Visitor,
) -> Result<DirectoryPointer, CompactError> {
    if let Some(shared) = before.filter(|shared| shared.found == root) {
        return Ok(shared.given);
    }
    let mut steps = vec![step_into(file, root, before, visitor)?];
    loop {
        let Some(step) = steps.last_mut() else {
            return Ok(root);
        };
        if step.next < step.directory.len() {
            let index = step.next;
            step.next += 1;
            let entry = step.directory.get(index);
            let Some(child) = entry.child() else { continue };
            let before = (|| {
                Some(Shared {
                    found: step.before_found.find(entry.name)?.child()?,
                    given: step.before_given.find(entry.name)?.child()?,
                })
            })();
            match before.filter(|shared| shared.found == child) {
                Some(shared) => step.directory.set_child(index, shared.given),
                None => steps.push(step_into(file, child, before, visitor)?),
            }
            continue;
        }
        let given = visitor.directory(&step.directory, step.below, &step.found, step.before.as_ref())?;
        steps.pop();
        match steps.last_mut() {
            Some(above) => above.directory.set_child(above.next - 1, given),
            None => return Ok(given),
        }
    }
}

fn step_into(
    file: &NodeFile,
    found: DirectoryPointer,
    before: Option<Shared>,
    visitor: &impl Visitor,
) -> Result<Step, CompactError> {
    let mut step = Step {
        found,
        directory: Directory::default(),
        below: Totals::default(),
        next: 0,
        before,
        before_found: Directory::default(),
        before_given: Directory::default(),
    };
    (step.below, _) = read_node(file, &found, &mut step.directory)?;
    if let Some(shared) = &before {
        read_node(file, &shared.found, &mut step.before_found)?;
        visitor.read_visited(&shared.given, &mut step.before_given)?;
    }
    Ok(step)
}

struct Copier<'c> {
    old: &'c NodeFile,
    into: &'c NodeWriter<'c>,
}

impl Visitor for Copier<'_> {
    fn directory(
        &mut self,
        directory: &Directory,
        below: Totals,
        _found_at: &DirectoryPointer,
        before: Option<&Shared>,
    ) -> Result<DirectoryPointer, CompactError> {
        let pages = match before {
            Some(shared) => read_pages(self.into.file, &shared.given)?,
            None => OldPages::new(),
        };
        Ok(self.into.write_over(directory, below, &pages)?)
    }

    fn read_visited(&self, pointer: &DirectoryPointer, into: &mut Directory) -> Result<(), ReadNodeError> {
        read_node(self.into.file, pointer, into).map(|_| ())
    }

    fn run_record(&mut self, stored: &StoredRunRecord) -> Result<RecordPointer, CompactError> {
        let mut chunks = Vec::with_capacity(stored.chunks.len());
        for chunk in &stored.chunks {
            chunks.push(with_record(self.old, chunk, |bytes| Ok(append(self.into, bytes)))??);
        }
        Ok(append_with_chunks(self.into, &stored.record, stored.moved_away_count, &chunks)?)
    }
}

/// Gives every directory the place it has.
struct Measurer<'c> {
    file: &'c NodeFile,
    bytes: u64,
}

impl Visitor for Measurer<'_> {
    fn directory(
        &mut self,
        _directory: &Directory,
        _below: Totals,
        found_at: &DirectoryPointer,
        before: Option<&Shared>,
    ) -> Result<DirectoryPointer, CompactError> {
        let known = match before {
            Some(shared) => read_pages(self.file, &shared.found)?,
            None => OldPages::new(),
        };
        let pages = read_pages(self.file, found_at)?;
        let new_pages = pages.iter().filter(|(digest, page)| known.get(digest) != Some(page));
        self.bytes += u64::from(found_at.length);
        self.bytes += new_pages.map(|(_, page)| u64::from(page.length)).sum::<u64>();
        Ok(*found_at)
    }

    fn read_visited(&self, pointer: &DirectoryPointer, into: &mut Directory) -> Result<(), ReadNodeError> {
        read_node(self.file, pointer, into).map(|_| ())
    }

    fn run_record(&mut self, stored: &StoredRunRecord) -> Result<RecordPointer, CompactError> {
        self.bytes += u64::from(stored.own_length);
        self.bytes += stored.chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
        // Only its order matters here, not its place.
        Ok(RecordPointer { offset: 0, length: stored.own_length, digest: crate::model::NodeDigest([0; 16]) })
    }
}
