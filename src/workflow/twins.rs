//! Different names of the source that are one name on the remote: by case, by
//! normal form, or a file `x.rclonelink` beside a link `x` that is uploaded as such.
//!
//! One of them wins: what the mirror holds already, else the first in byte order. The others
//! are named. What vanished from the source while a twin of it appeared (a rename of `A` to
//! `a`) leaves first: else the new one would replace it in place, and go with it to the trash.

use super::halt::Halt;
use super::job_run::JobRun;
use super::views::{Views, holds_objects};
use crate::model::{Directory, Entry, EntryFlags, EntryKind, LINK_ENDING, Name, TreePath, TreeView};
use crate::plan::Policy;
use crate::transfer::Folding;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The folders from the root down to the path that was asked about last.
#[derive(Default)]
pub(super) struct Levels(Vec<(TreePath, Losers)>);

/// From a name of a folder to the name that has its place.
type Losers = BTreeMap<Vec<u8>, Vec<u8>>;

/// What becomes of a name in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// On the mirror, and in the source.
    Held,
    /// On the mirror, and not in the source, or not in scope: it is kept.
    Stays,
    /// As that, from a run before: a file or a link.
    Kept,
    /// In the source only: it is to go up.
    Wanted,
    /// Kept under the very name that something new is to have: to the trash, before that goes up.
    GivesWay,
    /// On the mirror, and gone from the source: to the trash.
    Leaves,
}

struct Member {
    name: Vec<u8>,
    /// With the ending of links.
    mirror_name: Vec<u8>,
    part: Part,
}

impl Levels {
    /// Why a new `path` has no place of its own on the remote.
    pub(super) fn twin(
        &mut self,
        run: &mut JobRun<'_>,
        views: &Views<'_>,
        path: &TreePath,
    ) -> Result<Option<String>, Halt> {
        let mut folder = TreePath::root();
        for (depth, name) in path.components().enumerate() {
            if self.0.get(depth).is_none_or(|(open, _)| *open != folder) {
                self.0.truncate(depth);
                self.0.push((folder.clone(), losers(run, views, &folder)?));
            }
            if let Some(winner) = self.0[depth].1.get(name) {
                return Ok(Some(format!(
                    "on this remote its name is the same as that of {}, which has the place",
                    folder.join(winner)
                )));
            }
            folder.push(name);
        }
        Ok(None)
    }
}

/// The names of one folder that lose their place to another one.
fn losers(run: &mut JobRun<'_>, views: &Views<'_>, folder: &TreePath) -> Result<Losers, Halt> {
    let trees = Trees::of(views, folder)?;
    let policy = run.policy();
    let suspects = trees.groups(policy, Folding::MOST);
    if suspects.is_empty() {
        return Ok(Losers::new());
    }
    let certain =
        suspects.iter().all(|group| group.windows(2).all(|pair| pair[0].mirror_name == pair[1].mirror_name));
    let folding = if certain { Folding::default() } else { run.folding()? };
    let mut losers = Losers::new();
    for mut group in trees.groups(policy, folding) {
        group.retain_mut(|member| {
            let (on_the_mirror, in_the_source) = trees.has_files(views, &member.name);
            if member.part == Part::Held && !on_the_mirror {
                // A folder that was recorded, and whose files never went up.
                member.part = Part::Wanted;
            }
            if member.part == Part::Wanted { in_the_source } else { on_the_mirror }
        });
        let wanted: Vec<Vec<u8>> = group
            .iter()
            .filter(|member| member.part == Part::Wanted)
            .map(|member| member.mirror_name.clone())
            .collect();
        for member in group.iter_mut().filter(|member| member.part == Part::Kept) {
            if wanted.contains(&member.mirror_name) {
                member.part = Part::GivesWay;
            }
        }
        // Of equals a file wins over a link of its name: its content is in no other place.
        group.sort_by_cached_key(|member| (member.part, member.is_link(), member.name.clone()));
        let Some((winner, others)) = group.split_first() else { continue };
        for other in others {
            match other.part {
                Part::Wanted => {
                    losers.insert(other.name.clone(), winner.name.clone());
                }
                Part::Leaves => run.leave_first(folder.join(&other.name), folder.join(&winner.name)),
                Part::Held | Part::Stays | Part::Kept | Part::GivesWay => {}
            }
        }
    }
    Ok(losers)
}

/// One folder as the source has it, as the mirror holds it, and what is kept there.
#[derive(Default)]
struct Trees {
    pending: Directory,
    base: Directory,
    kept: Directory,
}

impl Trees {
    fn of(views: &Views<'_>, folder: &TreePath) -> Result<Trees, Halt> {
        let mut trees = Trees::default();
        let pending = views.pending_entry(folder)?.and_then(|entry| entry.child);
        read(views.pending, pending, &mut trees.pending);
        let base = views.base_entry(folder).ok().flatten().and_then(|entry| entry.child);
        read(&views.base(), base, &mut trees.base);
        let kept = views.kept_folder(folder);
        read(&views.kept(), kept, &mut trees.kept);
        Ok(trees)
    }

    /// Every name of the folder that takes a place on the mirror now, or is to.
    fn members<'t>(&'t self, policy: Policy) -> impl Iterator<Item = (Entry<'t>, Part)> + 't {
        let lost = if policy.keep_deleted { Part::Stays } else { Part::Leaves };
        let left = if policy.remove_out_of_scope { Part::Leaves } else { Part::Stays };
        let has_left = |entry: &Entry<'_>| entry.flags.contains(EntryFlags::OUT_OF_SCOPE);
        let wanted = self.pending.iter().map(move |entry| {
            let part = if has_left(&entry) {
                left
            } else if is_same_place(&self.base, &entry) || is_same_place(&self.kept, &entry) {
                Part::Held
            } else {
                Part::Wanted
            };
            (entry, part)
        });
        let vanished = self.base.iter().filter(|entry| !is_same_place(&self.pending, entry));
        let kept = self
            .kept
            .iter()
            .filter(|entry| !is_same_place(&self.pending, entry) && !is_same_place(&self.base, entry));
        wanted
            .chain(vanished.map(move |entry| {
                // A link that is recorded now may stand where something left the scope.
                let is_out_of_scope = self.pending.find(entry.name).is_some_and(|found| has_left(&found));
                (entry, if is_out_of_scope { left } else { lost })
            }))
            .chain(kept.map(|entry| {
                let part = if entry.kind == EntryKind::Directory { Part::Stays } else { Part::Kept };
                (entry, part)
            }))
            .filter(|(entry, _)| takes_a_place(entry))
    }

    /// Names that are one name under `folding`, where there are at least two of them. Names are kept
    /// for those only: folders can be large.
    fn groups(&self, policy: Policy, folding: Folding) -> Vec<Vec<Member>> {
        let key = |entry: &Entry<'_>| {
            let mut hasher = DefaultHasher::new();
            folding.fold(&mirror_name(entry)).hash(&mut hasher);
            hasher.finish()
        };
        let mut keys: Vec<u64> = self.members(policy).map(|(entry, _)| key(&entry)).collect();
        keys.sort_unstable();
        let mut twice: Vec<u64> =
            keys.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        twice.dedup();
        if twice.is_empty() {
            return Vec::new();
        }
        let mut groups: BTreeMap<Vec<u8>, Vec<Member>> = BTreeMap::new();
        for (entry, part) in self.members(policy) {
            if twice.binary_search(&key(&entry)).is_ok() {
                let mirror_name = mirror_name(&entry);
                let member = Member { name: entry.name.to_vec(), mirror_name, part };
                groups.entry(folding.fold(&member.mirror_name)).or_default().push(member);
            }
        }
        groups.into_values().filter(|group| group.len() > 1).collect()
    }

    /// Whether the mirror has files at or below a name, and whether the source has. A
    /// folder without files takes no place: it is recorded, not made.
    fn has_files(&self, views: &Views<'_>, name: &Name) -> (bool, bool) {
        let files = |tree: &dyn TreeView, entry: Option<Entry<'_>>| match entry {
            Some(entry) if entry.kind == EntryKind::Directory => {
                entry.child().is_none_or(|child| holds_objects(tree, &child))
            }
            Some(_) => true,
            None => false,
        };
        let base = || files(&views.base(), self.base.find(name));
        let kept = || files(&views.kept(), self.kept.find(name));
        (base() || kept(), files(views.pending, self.pending.find(name)))
    }
}

impl Member {
    fn is_link(&self) -> bool {
        self.mirror_name.len() > self.name.len()
    }
}

/// Nothing is read of what is not there; a damaged node holds nothing that is known.
fn read(tree: &dyn TreeView, pointer: Option<crate::model::DirectoryPointer>, into: &mut Directory) {
    if pointer.is_none_or(|pointer| tree.read_directory(&pointer, into).is_err()) {
        into.clear();
    }
}

fn is_link(entry: &Entry<'_>) -> bool {
    entry.kind == EntryKind::Symlink
}

fn takes_a_place(entry: &Entry<'_>) -> bool {
    match entry.kind {
        EntryKind::File | EntryKind::Directory => true,
        EntryKind::Symlink => entry.flags.contains(EntryFlags::UPLOADED_LINK),
        _ => false,
    }
}

/// `directory` has this very name, and means the same place on the mirror by it.
fn is_same_place(directory: &Directory, entry: &Entry<'_>) -> bool {
    directory.find(entry.name).is_some_and(|other| takes_a_place(&other) && is_link(&other) == is_link(entry))
}

fn mirror_name(entry: &Entry<'_>) -> Vec<u8> {
    let mut name = entry.name.to_vec();
    if is_link(entry) {
        name.extend_from_slice(LINK_ENDING);
    }
    name
}
