//! A random life of a tree: after every step a scan against what was known finds
//! exactly what a naive rescan finds, with and without the settled skip.

#![allow(clippy::unwrap_used)]

use super::tests::{Source, is_long};
use super::*;
use crate::model::{
    Content, ContentDigest, Directory, DirectorySink, EntryFlags, EntryKind, TreePath, TreeView,
};
use crate::observe::Recorder;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[derive(Debug, Clone)]
enum Step {
    Write(u8, u8),
    MakeDirectory(u8),
    Remove(u8),
    Rename(u8, u8),
    Link(u8),
    HardLink(u8, u8),
    Touch(u8),
    Mode(u8),
    /// Until the times of what was done are settled.
    Rest,
    /// A backup, of a tree at rest or of one that was just written.
    Commit {
        rested: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(place, content)| Step::Write(place, content)),
        3 => any::<u8>().prop_map(Step::MakeDirectory),
        3 => any::<u8>().prop_map(Step::Remove),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => any::<u8>().prop_map(Step::Link),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::HardLink(from, to)),
        1 => any::<u8>().prop_map(Step::Touch),
        1 => any::<u8>().prop_map(Step::Mode),
        1 => Just(Step::Rest),
        4 => any::<bool>().prop_map(|rested| Step::Commit { rested }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Few places, so that steps meet: three names on each of three levels.
fn place(source: &Source, number: u8) -> PathBuf {
    let name = |digit: u8| ["a", "b", "c.x"][usize::from(digit % 3)];
    let levels = number / 27 % 3 + 1;
    let mut path = source.root().to_path_buf();
    for level in 0..levels {
        path.push(name(number / 3_u8.pow(level.into())));
    }
    path
}

/// Steps that cannot be done are left out.
fn act(source: &Source, step: &Step) {
    match *step {
        Step::Write(at, content) => {
            // Often of one size: the size must not be what tells.
            let _ = fs::write(place(source, at), [content; 4]);
        }
        Step::MakeDirectory(at) => drop(fs::create_dir_all(place(source, at))),
        Step::Remove(at) => {
            let at = place(source, at);
            let _ = fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at));
        }
        Step::Rename(from, to) => drop(fs::rename(place(source, from), place(source, to))),
        Step::Link(at) => drop(std::os::unix::fs::symlink("a", place(source, at))),
        Step::HardLink(from, to) => drop(fs::hard_link(place(source, from), place(source, to))),
        Step::Touch(at) => {
            if let Ok(file) = fs::File::open(place(source, at)) {
                let _ = file.set_modified(std::time::UNIX_EPOCH);
            }
        }
        Step::Mode(at) => {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700 + u32::from(at % 2) * 0o55);
            if place(source, at).symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
                let _ = fs::set_permissions(place(source, at), mode);
            }
        }
        Step::Rest => source.let_settle(),
        Step::Commit { rested } => {
            if rested {
                source.let_settle();
            }
        }
    }
}

type Found = BTreeMap<TreePath, (EntryKind, u64, u64, (i64, i64))>;

/// What the standard library finds.
fn naive(source: &Source) -> Found {
    fn below(at: &std::path::Path, path: &TreePath, found: &mut Found) {
        for entry in fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let path = path.join(entry.file_name().as_encoded_bytes());
            let metadata = entry.path().symlink_metadata().unwrap();
            if metadata.is_dir() {
                found.insert(path.clone(), (EntryKind::Directory, 0, 0, (0, 0)));
                below(&entry.path(), &path, found);
                continue;
            }
            let kind = if metadata.is_symlink() { EntryKind::Symlink } else { EntryKind::File };
            let ctime = (metadata.ctime(), metadata.ctime_nsec());
            found.insert(path, (kind, metadata.len(), metadata.ino(), ctime));
        }
    }
    let mut found = Found::new();
    below(source.root(), &TreePath::root(), &mut found);
    found
}

/// What a backup does: reads the files that are not known, and marks those that
/// could change again without a trace.
fn back_up(
    source: &Source,
    root: &RootDirectory,
    path: &TreePath,
    pointer: &DirectoryPointer,
) -> DirectoryPointer {
    let mut directory = Directory::default();
    let totals = source.tree.read_directory(pointer, &mut directory).unwrap();
    let mut read = Directory::default();
    read.attributes = directory.attributes;
    for mut entry in directory.iter() {
        let path = path.join(entry.name);
        match entry.content {
            Content::Child(child) => entry.content = Content::Child(back_up(source, root, &path, &child)),
            Content::Unread => {
                let file = FileReader::new(root).read(&path, false, &Recorder::default()).unwrap();
                entry.content = Content::Read(file.digest);
                let flags = entry.flags.without(EntryFlags::RACY);
                entry.flags = if file.settled { flags } else { flags.with(EntryFlags::RACY) };
            }
            _ => {}
        }
        read.push(entry);
    }
    if read.iter().eq(directory.iter()) {
        *pointer
    } else {
        source.tree.write_directory(&read, totals).unwrap()
    }
}

/// What a pending tree says. A file that it says is known has the content that
/// it names: a change of it was not missed.
fn recorded(source: &Source, report: &ScanReport) -> Found {
    let mut found = Found::new();
    let mut pending = vec![(TreePath::root(), report.root)];
    while let Some((path, pointer)) = pending.pop() {
        let mut directory = Directory::default();
        source.tree.read_directory(&pointer, &mut directory).unwrap();
        for entry in directory.iter() {
            let path = path.join(entry.name);
            let ctime = (entry.stamp.ctime.seconds, i64::from(entry.stamp.ctime.nanoseconds));
            if let Content::Read(digest) = entry.content {
                let truth = fs::read(source.root().join(path.as_path())).unwrap();
                assert_eq!(digest, ContentDigest::of(&truth), "{path} is not known any more");
            }
            found.insert(path.clone(), (entry.kind, entry.stamp.size, entry.stamp.inode, ctime));
            pending.extend(entry.child().map(|child| (path, child)));
        }
    }
    found
}

/// Lives that are lived.
fn cases() -> u32 {
    if is_long() { 2_000 } else { 48 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_scan_finds_what_a_naive_rescan_finds(steps in steps()) {
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::path::Path::new("/tmp") };
        let mut source = Source::below(place, &["a/b", "b/a/c.x", "c.x"]);
        let root = RootDirectory::open(source.root()).unwrap();
        for step in &steps {
            act(&source, step);
            let mut content = Vec::new();
            for skip in [SkipSettled::Off, SkipSettled::Auto] {
                source.options.skip_settled = skip;
                let report = source.scan(&Recorder::default());
                prop_assert_eq!(recorded(&source, &report), naive(&source), "{:?}, after {:?}", skip, step);
                content.push((report.root.content, report.totals));
            }
            prop_assert_eq!(content[0], content[1]);
            if let Step::Commit { rested } = *step {
                let report = source.scan(&Recorder::default());
                source.tree.set_root(back_up(&source, &root, &TreePath::root(), &report.root));
                if !rested {
                    continue;
                }
                let again = source.scan(&Recorder::default());
                prop_assert_eq!(Some(again.root), source.tree.root(), "nothing changed since the backup");
            }
        }
    }
}
