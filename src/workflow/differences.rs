//! What differs between two states of a job: from the index, without a request.

use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::history::{At, State, open_with_index, snapshots};
use super::opened::Opened;
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use crate::diff::{Equality, diff};
use crate::index::Tree;
use crate::model::{Change, Directory, EntryKind, OwnedEntry, RunId, TreePath, TreeView};

/// How two states differ at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Only the later one has it.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// Another content, or another way to execute it.
    Modified,
    /// A file became a folder, or the like.
    OtherType,
}

/// One path at which they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferentPath {
    /// Where.
    pub path: TreePath,
    /// How.
    pub difference: Difference,
    /// What it is in the later state, or was in the earlier one.
    pub kind: EntryKind,
    /// Size in the earlier state, in bytes.
    pub size_before: u64,
    /// Size in the later state, in bytes.
    pub size_after: u64,
}

/// The two states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// `None`: the state before the first backup, which holds nothing.
    pub from: Option<RunId>,
    /// `None`: no run has changed anything yet.
    pub to: Option<RunId>,
}

/// Tells the differences in path order. Without `from`, from the state before `to`.
///
/// # Errors
/// When there is no index, no such state, or the index is damaged on the way.
pub fn differences(
    configuration: &Configuration,
    job: &Job,
    from: Option<&At>,
    to: &At,
    surroundings: &Surroundings<'_>,
    tell: &mut dyn FnMut(DifferentPath),
) -> Result<Compared, JobOutcome> {
    let before = match from {
        Some(at) => Some(at.clone()),
        None => state_before(configuration, job, to, surroundings)?,
    };
    let opened = open_with_index(configuration, job, surroundings)?;
    let later = State::find(&opened, to)?;
    let earlier = before.map(|at| State::find(&opened, &at)).transpose()?;
    let observer = surroundings.observer;
    let root = earlier.as_ref().and_then(|state| state.root);
    let (old, new) = (Tree::new(&opened.nodes, root, observer), later.tree(&opened, observer));
    for (tree, state) in [(&old, earlier.as_ref()), (&new, Some(&later))] {
        check_is_kept(tree, state)?;
    }
    for change in diff(&old, &new, Equality::Content) {
        let change = change.map_err(Halt::fatal)?;
        if change.base_is_unknown {
            return Err(damaged(&change.path).into());
        }
        if let Some(difference) = describe(&change) {
            tell(difference);
        }
    }
    Ok(Compared { from: earlier.and_then(|state| state.run), to: later.run })
}

/// The one that `to` was made from; `None`: there was none.
fn state_before(
    configuration: &Configuration,
    job: &Job,
    to: &At,
    surroundings: &Surroundings<'_>,
) -> Result<Option<At>, JobOutcome> {
    let opened: Opened = open_with_index(configuration, job, surroundings)?;
    let later = State::find(&opened, to)?.run;
    let all = snapshots(configuration, job, surroundings)?;
    let earlier =
        all.iter().rev().find(|snapshot| later.is_some_and(|run| snapshot.run.sequence < run.sequence));
    Ok(earlier.map(|snapshot| At::Run(snapshot.run.to_string())))
}

/// What a compaction has let go of cannot be compared.
fn check_is_kept(tree: &Tree<'_>, state: Option<&State>) -> Result<(), Halt> {
    let (Some(root), Some(state)) = (tree.root(), state) else { return Ok(()) };
    let run = state.run.map_or_else(|| "of that time".to_owned(), |run| run.to_string());
    tree.read_directory(&root, &mut Directory::default()).map(|_| ()).map_err(|error| {
        Halt::Configuration(format!("the snapshot {run} is not in the index any more: {error}"))
    })
}

fn damaged(path: &TreePath) -> Halt {
    Halt::Fatal(format!("{path}: the index is damaged here; the next backup lists it again"))
}

fn describe(change: &Change) -> Option<DifferentPath> {
    let size = |entry: &Option<OwnedEntry>| entry.as_ref().map_or(0, |entry| entry.stamp.size);
    let (before, after) = (change.base.as_ref(), change.pending.as_ref());
    let difference = match (before.map(|entry| entry.kind), after.map(|entry| entry.kind)) {
        // A folder differs when something in it does, and that is told by itself.
        (Some(EntryKind::Directory), Some(EntryKind::Directory)) | (None, None) => return None,
        (None, Some(_)) => Difference::Added,
        (Some(_), None) => Difference::Removed,
        (Some(before), Some(after)) if before != after => Difference::OtherType,
        (Some(_), Some(_)) => Difference::Modified,
    };
    let kind = after.or(before).map(|entry| entry.kind)?;
    let is_folder = |entry: Option<&OwnedEntry>| entry.is_none_or(|entry| entry.kind == EntryKind::Directory);
    Some(DifferentPath {
        path: change.path.clone(),
        difference,
        kind,
        size_before: if is_folder(before) { 0 } else { size(&change.base) },
        size_after: if is_folder(after) { 0 } else { size(&change.pending) },
    })
}
