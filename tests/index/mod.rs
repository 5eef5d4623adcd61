//! The index as a room: trees written, rewritten, paged, compacted and damaged,
//! against a naive model of a tree.
#![allow(clippy::unwrap_used)]

mod compaction;
mod damage;
mod format;
mod paging;
mod records;
mod rewriting;
mod size;
mod storing;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use treeferry::index::{DataId, Docket, Edit, MapMode, NodeFile, Root, Tree};
use treeferry::model::{
    ContentDigest, Directory, DirectoryAttributes, DirectoryFlags, DirectoryPointer, DirectorySink,
    EntryFlags, EntryKind, OwnedEntry, Permissions, Stamp, Timestamp, Totals, TreeDigest, TreePath, TreeView,
};
use treeferry::observe::{Recorder, Silent};

/// What a tree holds, path by path; the root is there when the tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    Directory(DirectoryAttributes),
    Other(OwnedEntry),
}

pub(crate) type Model = BTreeMap<TreePath, Held>;

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> TreePath {
    TreePath::from_bytes(bytes.as_ref()).unwrap()
}

pub(crate) fn file(content: u8, size: u64) -> OwnedEntry {
    OwnedEntry {
        kind: EntryKind::File,
        flags: EntryFlags::NONE,
        stamp: Stamp {
            size,
            mtime: Timestamp { seconds: 1_700_000_000 + i64::from(content), nanoseconds: 123_456_789 },
            ctime: Timestamp { seconds: 1_700_000_001, nanoseconds: 5 },
            inode: 1000 + u64::from(content),
        },
        permissions: Permissions { mode: 0o644, uid: 1000, gid: 1000 },
        digest: Some(ContentDigest::of(&[content])),
        target: None,
        child: None,
    }
}

/// A node file in a directory of its own.
pub(crate) struct Shelf {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) file: NodeFile,
}

impl Shelf {
    pub(crate) fn new() -> Shelf {
        Shelf::with(DataId([7; 16]))
    }

    pub(crate) fn with(data_id: DataId) -> Shelf {
        let directory = tempfile::tempdir().unwrap();
        let file = NodeFile::create(&directory.path().join("nodes"), data_id).unwrap();
        Shelf { directory, file }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("nodes")
    }

    pub(crate) fn tree(&self, root: Option<Root>) -> Tree<'_> {
        Tree::new(&self.file, root, &Silent)
    }

    /// Syncs, and the docket that would be committed.
    pub(crate) fn docket(&self, base: Option<Root>) -> Docket {
        let committed_length = self.file.writer(&Silent).sync().unwrap();
        Docket {
            data_id: self.file.data_id(),
            committed_length,
            live_bytes: committed_length,
            base,
            ..Docket::default()
        }
    }

    pub(crate) fn reopen(&self, docket: &Docket, mode: MapMode) -> NodeFile {
        NodeFile::open(&self.path(), docket, mode).unwrap()
    }

    pub(crate) fn rewrite(&self, base: Option<Root>, edits: Vec<Edit>) -> Option<Root> {
        self.rewrite_counted(base, edits, &Recorder::default())
    }

    pub(crate) fn rewrite_counted(
        &self,
        base: Option<Root>,
        edits: Vec<Edit>,
        recorder: &Recorder,
    ) -> Option<Root> {
        let tree = Tree::new(&self.file, base, recorder);
        let edits = edits.into_iter().map(Ok::<_, std::convert::Infallible>);
        treeferry::index::rewrite(&tree, edits, &self.file.writer(recorder)).unwrap()
    }
}

/// Writes the model's tree the plain way, directory by directory.
pub(crate) fn write_model(model: &Model, sink: &impl DirectorySink) -> Option<Root> {
    model.contains_key(&TreePath::root()).then(|| write_below(model, &TreePath::root(), sink))
}

fn write_below(model: &Model, at: &TreePath, sink: &impl DirectorySink) -> Root {
    let Held::Directory(attributes) = model[at] else { panic!("{at} is no directory") };
    let mut directory = Directory::default();
    directory.attributes = attributes;
    let mut totals = Totals::default();
    for (path, held) in model.range(at.clone()..).take_while(|(path, _)| path.is_within(at)) {
        if path.parent().as_ref() != Some(at) {
            continue;
        }
        let name = path.name().unwrap();
        match held {
            Held::Other(entry) => {
                if entry.kind == EntryKind::File {
                    totals.add(Totals { files: 1, directories: 0, bytes: entry.stamp.size });
                }
                directory.push(entry.as_entry(name));
            }
            Held::Directory(_) => {
                let below = write_below(model, path, sink);
                totals.add(below.totals);
                totals.directories += 1;
                directory.push(directory_entry(below.pointer).as_entry(name));
            }
        }
    }
    Root { pointer: sink.write_directory(&directory, totals).unwrap(), totals }
}

pub(crate) fn directory_entry(pointer: DirectoryPointer) -> OwnedEntry {
    OwnedEntry {
        kind: EntryKind::Directory,
        flags: EntryFlags::NONE,
        stamp: Stamp::default(),
        permissions: Permissions::default(),
        digest: None,
        target: None,
        child: Some(pointer),
    }
}

/// Reads everything, checks sums, C and marks on the way.
pub(crate) fn read_model(tree: &impl TreeView) -> Model {
    try_read_model(tree).unwrap()
}

pub(crate) fn try_read_model(tree: &impl TreeView) -> Result<Model, treeferry::model::ReadNodeError> {
    let mut model = Model::new();
    if let Some(root) = tree.root() {
        read_below(tree, &root, &TreePath::root(), &mut model)?;
    }
    Ok(model)
}

fn read_below(
    tree: &impl TreeView,
    pointer: &DirectoryPointer,
    at: &TreePath,
    model: &mut Model,
) -> Result<(Totals, bool, TreeDigest), treeferry::model::ReadNodeError> {
    let mut directory = Directory::default();
    let stored = tree.read_directory(pointer, &mut directory)?;
    let mut attributes = directory.attributes;
    attributes.flags.0 &= !DirectoryFlags::UNSETTLED_BELOW.0;
    model.insert(at.clone(), Held::Directory(attributes));
    let mut totals = Totals::default();
    let mut unsettled = false;
    for entry in directory.iter() {
        let path = at.join(entry.name);
        if let Some(child) = entry.child() {
            let (below, unsettled_below, content) = read_below(tree, &child, &path, model)?;
            assert_eq!(content, child.content);
            totals.add(below);
            totals.directories += 1;
            unsettled |= unsettled_below;
        } else {
            if entry.kind == EntryKind::File {
                totals.add(Totals { files: 1, directories: 0, bytes: entry.stamp.size });
                unsettled |= entry.digest().is_none();
            }
            unsettled |= entry.flags.contains(EntryFlags::RACY);
            model.insert(path, Held::Other(OwnedEntry::from(&entry)));
        }
    }
    assert_eq!(stored, totals, "sums of {at}");
    assert_eq!(
        directory.attributes.flags.contains(DirectoryFlags::UNSETTLED_BELOW),
        unsettled,
        "marks of {at}"
    );
    assert_eq!(directory.content_digest(), pointer.content, "C of {at}");
    Ok((totals, unsettled, pointer.content))
}

/// Entries of every kind, with the values that break things.
pub(crate) fn any_entry() -> impl Strategy<Value = OwnedEntry> {
    let time = (any::<i64>(), 0u32..1_000_000_000)
        .prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds });
    let near = (1_600_000_000i64..1_800_000_000, prop_oneof![Just(0u32), 0u32..1_000_000_000])
        .prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds });
    let time = prop_oneof![time, near].boxed();
    let permissions = prop_oneof![
        Just(Permissions { mode: 0o644, uid: 1000, gid: 1000 }),
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(mode, uid, gid)| Permissions {
            mode,
            uid,
            gid
        }),
    ];
    let size = prop_oneof![Just(0), Just(u64::MAX), 0u64..1 << 40];
    (
        0u8..6,
        prop_oneof![Just(0u8), any::<u8>()],
        size,
        time.clone(),
        time,
        any::<bool>(),
        any::<u64>(),
        permissions,
        any::<u8>(),
    )
        .prop_map(|(kind, flags, size, mtime, ctime, same, inode, permissions, content)| {
            let kinds = [
                EntryKind::File,
                EntryKind::File,
                EntryKind::File,
                EntryKind::Symlink,
                EntryKind::Special,
                EntryKind::Mount,
            ];
            let kind_of_entry = kinds[usize::from(kind)];
            OwnedEntry {
                kind: kind_of_entry,
                flags: EntryFlags(flags),
                stamp: Stamp { size, mtime, ctime: if same { mtime } else { ctime }, inode },
                permissions,
                digest: (kind < 2).then(|| ContentDigest::of(&[content])),
                target: (kind_of_entry == EntryKind::Symlink).then(|| vec![content; usize::from(content)]),
                child: None,
            }
        })
}

pub(crate) fn any_attributes() -> impl Strategy<Value = DirectoryAttributes> {
    (any::<i64>(), 0u32..1_000_000_000, any::<bool>(), any::<u64>(), any::<bool>(), any::<u32>()).prop_map(
        |(seconds, nanoseconds, same, inode, settled, mode)| {
            let mtime = Timestamp { seconds, nanoseconds };
            DirectoryAttributes {
                mtime,
                ctime: if same { mtime } else { Timestamp { seconds: !seconds, nanoseconds: 1 } },
                inode,
                permissions: Permissions { mode, uid: mode, gid: 7 },
                flags: DirectoryFlags(settled.into()),
            }
        },
    )
}

/// Few names, so that edits hit; odd ones among them.
pub(crate) fn any_path() -> impl Strategy<Value = TreePath> {
    let name = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "ab", "a.", "a!", "c"]).prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::sample::select(vec![b"\n".to_vec(), b"\xff\xfe".to_vec(), "␊".into(), vec![b'n'; 255], b"...".to_vec()]),
    ];
    prop::collection::vec(name, 1..5).prop_map(|names| path(names.join(&b'/')))
}

pub(crate) fn any_model() -> impl Strategy<Value = Model> {
    let held = prop_oneof![
        1 => any_attributes().prop_map(Held::Directory),
        3 => any_entry().prop_map(Held::Other),
    ];
    (any_attributes(), prop::collection::vec((any_path(), held), 0..40)).prop_map(|(root, entries)| {
        let mut model = Model::from([(TreePath::root(), Held::Directory(root))]);
        for (path, held) in entries {
            let edit = match held {
                Held::Directory(attributes) => Edit::Directory { path, attributes },
                Held::Other(entry) => Edit::Put { path, entry },
            };
            apply(&mut model, &edit);
        }
        model
    })
}

/// What an edit means, said as plainly as possible.
pub(crate) fn apply(model: &mut Model, edit: &Edit) {
    match edit {
        Edit::Put { path, entry } => {
            make_parents(model, path);
            cut(model, path);
            model.insert(path.clone(), Held::Other(entry.clone()));
        }
        Edit::Remove { path } => cut(model, path),
        // Meant for streams in which edits below follow; on its own it is what it says.
        Edit::RemoveIfEmpty { path } => {
            let is_directory = matches!(model.get(path), Some(Held::Directory(_)));
            let is_empty = !model.keys().any(|other| other != path && other.is_within(path));
            if is_directory && is_empty && !path.is_root() {
                model.remove(path);
            }
        }
        Edit::PutIfEmpty { path, entry } => {
            let is_directory = matches!(model.get(path), Some(Held::Directory(_)));
            let is_empty = !model.keys().any(|other| other != path && other.is_within(path));
            if is_directory && !is_empty {
                return apply(model, &Edit::Unconfirmed { path: path.clone() });
            }
            apply(model, &Edit::Put { path: path.clone(), entry: entry.clone() });
        }
        Edit::Directory { path, attributes } => {
            make_parents(model, path);
            model.insert(path.clone(), Held::Directory(*attributes));
        }
        Edit::Unconfirmed { path } => {
            let mut at = path.parent().unwrap_or_default();
            loop {
                if let Some(Held::Directory(attributes)) = model.get_mut(&at) {
                    attributes.flags.0 &= !DirectoryFlags::SETTLED.0;
                    break;
                }
                let Some(parent) = at.parent() else { break };
                at = parent;
            }
        }
    }
}

fn make_parents(model: &mut Model, path: &TreePath) {
    let Some(parent) = path.parent() else { return };
    make_parents(model, &parent);
    if !matches!(model.get(&parent), Some(Held::Directory(_))) {
        model.insert(parent, Held::Directory(DirectoryAttributes::default()));
    }
}

fn cut(model: &mut Model, path: &TreePath) {
    model.retain(|held, _| !held.is_within(path));
}
