//! What a scan promises, counted.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::model;
use crate::model::{
    Content, ContentDigest, Directory, DirectorySink, Entry, EntryFlags, EntryKind, TreePath, TreeView,
};
use crate::observe::{Counter, Recorder};
use std::fs;
use std::path::Path;

mod kinds;
mod limits;
mod reading;
mod settled;

#[allow(unreachable_pub, dead_code, reason = "shared with the tests outside")]
#[path = "../../tests/support/memory_tree.rs"]
mod memory_tree;
use memory_tree::{MemoryTree, dump};

/// The long forms of tests are asked for.
pub(super) fn is_long() -> bool {
    std::env::var_os("TREEFERRY_LONG").is_some()
}

/// A source in a temporary directory, and what is known of it.
pub(super) struct Source {
    place: tempfile::TempDir,
    pub(super) tree: MemoryTree,
    pub(super) options: ScanOptions,
}

impl Source {
    pub(super) fn new(files: &[&str]) -> Source {
        Source::below(&std::env::temp_dir(), files)
    }

    pub(super) fn below(directory: &Path, files: &[&str]) -> Source {
        let place = tempfile::Builder::new().prefix("treeferry-scan-").tempdir_in(directory).unwrap();
        let source = Source {
            place,
            tree: MemoryTree::default(),
            options: ScanOptions {
                threads: 2,
                same_rules_as_base: true,
                skip_settled: SkipSettled::Off,
                ..ScanOptions::default()
            },
        };
        files.iter().for_each(|file| source.write(file, file));
        source
    }

    pub(super) fn root(&self) -> &Path {
        self.place.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    /// Until what was written is older than the margin of a local file system.
    pub(super) fn let_settle(&self) {
        std::thread::sleep(std::time::Duration::from_millis(40));
    }

    pub(super) fn scan(&self, recorder: &Recorder) -> ScanReport {
        scan(self.root(), &self.tree, &self.tree, &self.options, recorder).unwrap()
    }

    /// A scan, whose result becomes the base with every file read.
    pub(super) fn commit(&self) -> ScanReport {
        let report = self.scan(&Recorder::default());
        let root = self.fill_in(&report.root);
        self.tree.set_root(root);
        report
    }

    /// What a backup does: reads every unread file, drops what is out of scope.
    fn fill_in(&self, pointer: &DirectoryPointer) -> DirectoryPointer {
        let mut directory = Directory::default();
        let totals = self.tree.read_directory(pointer, &mut directory).unwrap();
        let mut filled = like(&directory);
        for entry in directory.iter() {
            if entry.flags.contains(EntryFlags::OUT_OF_SCOPE) {
                continue;
            }
            let content = match entry.content {
                Content::Child(child) => Content::Child(self.fill_in(&child)),
                Content::Unread => Content::Read(ContentDigest::of(&entry.stamp.size.to_le_bytes())),
                other => other,
            };
            filled.push(Entry { content, ..entry });
        }
        if filled.iter().eq(directory.iter()) {
            return *pointer;
        }
        self.tree.write_directory(&filled, totals).unwrap()
    }

    /// Makes the base say something else than what was there.
    fn alter_base(&self, alter: &mut dyn FnMut(Entry<'_>) -> Option<Entry<'_>>) {
        let root = self.altered(&self.tree.root().unwrap(), alter);
        self.tree.set_root(root);
    }

    fn altered(
        &self,
        pointer: &DirectoryPointer,
        alter: &mut dyn FnMut(Entry<'_>) -> Option<Entry<'_>>,
    ) -> DirectoryPointer {
        let mut directory = Directory::default();
        let totals = self.tree.read_directory(pointer, &mut directory).unwrap();
        let mut other = like(&directory);
        for entry in directory.iter() {
            let content = match entry.content {
                Content::Child(child) => Content::Child(self.altered(&child, alter)),
                other => other,
            };
            if let Some(entry) = alter(Entry { content, ..entry }) {
                other.push(entry);
            }
        }
        self.tree.write_directory(&other, totals).unwrap()
    }

    fn entries(&self, report: &ScanReport) -> String {
        dump(&self.tree, report.root)
    }
}

/// An empty directory with the same attributes.
fn like(directory: &Directory) -> Directory {
    let mut other = Directory::default();
    other.attributes = directory.attributes;
    other
}

fn link(source: &Source, target: &str, at: &str) {
    std::os::unix::fs::symlink(target, source.at(at)).unwrap();
}

fn path(text: &str) -> TreePath {
    TreePath::from_bytes(text).unwrap()
}

const FILES: &[&str] = &["a/b/one", "a/b/two", "a/three", "c/four", "c/d/e/five", "six"];

#[test]
fn an_unchanged_tree_opens_each_directory_once_and_writes_no_node() {
    let source = Source::new(FILES);
    source.commit();
    let written = source.tree.nodes_written();
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    assert_eq!(Some(report.root), source.tree.root());
    assert_eq!(source.tree.nodes_written(), written);
    assert_eq!(recorder.counted(Counter::DirectoriesOpened), 6);
    assert_eq!(recorder.counted(Counter::DirectoriesListed), 6);
    assert_eq!(recorder.counted(Counter::NamesStatted), 6);
    assert_eq!(recorder.counted(Counter::NodesRead), 6);
    assert_eq!((report.totals.files, report.totals.directories), (6, 5));
    assert_eq!(report.totals.bytes, FILES.iter().map(|file| file.len() as u64).sum::<u64>());
}

#[test]
fn one_edit_writes_only_the_directories_above_it() {
    let source = Source::new(FILES);
    source.commit();
    source.write("c/d/e/five", "other content");
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    assert_eq!(recorder.counted(Counter::NodesWritten), 4, "e, d, c and the root");
    let entries = source.entries(&report);
    let unread: Vec<_> = entries.lines().filter(|line| line.contains("Unread")).collect();
    assert_eq!(unread.len(), 1, "{entries}");
    assert!(unread[0].starts_with("/c/d/e/five"), "{entries}");
    assert_eq!(report.totals.files, 6);
}

#[test]
fn a_removed_name_is_gone_and_a_new_one_is_unread() {
    let source = Source::new(FILES);
    source.commit();
    fs::remove_file(source.at("a/b/one")).unwrap();
    fs::remove_dir_all(source.at("c")).unwrap();
    source.write("new/deep/file", "x");
    let report = source.commit();
    let entries = source.entries(&report);
    assert!(!entries.contains("/a/b/one") && !entries.contains("/c"), "{entries}");
    assert!(entries.contains("/new/deep/file File EntryFlags(0)"), "{entries}");
    assert_eq!((report.totals.files, report.totals.directories), (4, 4));
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let names: Vec<String> = (0..300).map(|i| format!("d{}/e{}/f{}", i % 7, i % 23, i)).collect();
    let mut source = Source::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    source.let_settle();
    let mut seen = Vec::new();
    for threads in [1, 8] {
        source.options.threads = threads;
        let report = source.scan(&Recorder::default());
        seen.push((report.root.node, report.root.content, report.totals, source.entries(&report)));
    }
    assert_eq!(seen[0].1, seen[1].1);
    assert!(seen[0].3 == seen[1].3, "{}\n---\n{}", seen[0].3, seen[1].3);
    assert_eq!(seen[0].2, seen[1].2);
}

#[test]
fn the_order_in_which_files_were_made_does_not_change_the_content_hash() {
    let backwards: Vec<&str> = FILES.iter().rev().copied().collect();
    let content = |files: &[&str]| {
        let source = Source::new(files);
        source.commit();
        source.tree.root().unwrap().content
    };
    assert_eq!(content(FILES), content(&backwards));
    assert_ne!(content(FILES), content(&FILES[1..]));
}

#[test]
fn a_touched_directory_keeps_the_digests_of_its_files() {
    let source = Source::new(FILES);
    let first = source.commit();
    source.write("a/new", "x");
    fs::remove_file(source.at("a/new")).unwrap();
    let report = source.scan(&Recorder::default());
    assert_ne!(Some(report.root), source.tree.root(), "the times of `a` differ");
    assert_eq!(report.root.content, source.tree.root().unwrap().content, "its content does not");
    assert_eq!(report.totals, first.totals);
}

#[test]
fn excluded_names_are_not_recorded_and_are_told_with_their_rule() {
    let mut source = Source::new(&["keep", "a.tmp", "build/x", "deep/b.tmp", "deep/.hidden", ".git/config"]);
    source.options.exclude = ExcludeRules::compile(&["*.tmp".into(), "build/".into()]).unwrap();
    source.options.report_excluded = true;
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    let entries = source.entries(&report);
    assert!(entries.contains("/deep/.hidden") && entries.contains("/.git/config"), "{entries}");
    assert!(!entries.contains("tmp") && !entries.contains("build"), "{entries}");
    assert_eq!(report.excluded, 3);
    let told = recorder.events().join("\n");
    assert!(told.contains("deep/b.tmp") && told.contains("build/"), "{told}");
}

#[test]
fn known_names_are_not_matched_again_under_the_same_rules() {
    let mut source = Source::new(FILES);
    let patterns: Vec<String> = (0..50).map(|number| format!("*.tmp{number}")).collect();
    source.options.exclude = ExcludeRules::compile(&patterns).unwrap();
    source.commit();
    let recorder = Recorder::default();
    source.scan(&recorder);
    assert_eq!(recorder.counted(Counter::NamesMatched), 0);
    source.write("c/new", "x");
    source.write("c/new.tmp49", "x");
    let recorder = Recorder::default();
    source.scan(&recorder);
    assert_eq!(recorder.counted(Counter::NamesMatched), 2, "what is new");
}

#[test]
fn what_is_newly_excluded_is_out_of_scope_and_not_gone() {
    let mut source = Source::new(FILES);
    source.commit();
    source.options.exclude = ExcludeRules::compile(&["/c/".into(), "one".into()]).unwrap();
    source.options.same_rules_as_base = false;
    let report = source.commit();
    let entries = source.entries(&report);
    assert!(entries.contains("/c Directory EntryFlags(4)"), "{entries}");
    assert!(entries.contains("/a/b/one File EntryFlags(4)"), "{entries}");
    assert_eq!(report.out_of_scope, 3);
    assert_eq!(report.totals.files, 3);
    source.options.same_rules_as_base = true;
    let again = source.scan(&Recorder::default());
    assert_eq!(Some(again.root), source.tree.root(), "once the base has let go of them, nothing differs");
}

#[test]
fn a_damaged_node_costs_one_directory_and_deletes_nothing() {
    let source = Source::new(FILES);
    source.commit();
    let mut top = Directory::default();
    source.tree.read_directory(&source.tree.root().unwrap(), &mut top).unwrap();
    source.tree.damage(&top.find(b"c").unwrap().child().unwrap());
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    let entries = source.entries(&report);
    assert_eq!(report.totals.files, 6);
    assert_eq!(entries.lines().filter(|line| line.contains("Unread")).count(), 2, "{entries}");
    assert!(recorder.events().join("").contains("damaged"));
}

#[test]
fn a_racy_entry_is_read_again() {
    let source = Source::new(FILES);
    source.commit();
    let root = source.tree.root().unwrap();
    source.tree.edit(&root, |directory| {
        let mut racy = like(directory);
        for entry in directory.iter() {
            let flags = if entry.name == b"six" { EntryFlags::RACY } else { entry.flags };
            racy.push(Entry { flags, ..entry });
        }
        racy
    });
    let report = source.scan(&Recorder::default());
    let entries = source.entries(&report);
    assert!(entries.lines().any(|line| line.starts_with("/six") && line.contains("Unread")), "{entries}");
}

#[test]
fn a_file_that_became_a_directory_and_the_reverse_are_new_entries() {
    let source = Source::new(FILES);
    source.commit();
    fs::remove_file(source.at("six")).unwrap();
    source.write("six/seven", "x");
    fs::remove_dir_all(source.at("c")).unwrap();
    source.write("c", "a file now");
    let report = source.commit();
    let entries = source.entries(&report);
    assert!(entries.contains("/six/seven File"), "{entries}");
    assert!(entries.lines().any(|line| line.starts_with("/c File") && line.contains("Unread")), "{entries}");
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
}

#[test]
fn a_missing_source_and_a_file_are_errors() {
    let source = Source::new(&["file"]);
    let scan_at = |path: &Path| {
        scan(path, &source.tree, &source.tree, &source.options, &Recorder::default()).unwrap_err()
    };
    assert!(matches!(scan_at(&source.at("missing")), ScanError::SourceMissing { .. }));
    assert!(matches!(scan_at(&source.at("file")), ScanError::NotADirectory { .. }));
}

#[test]
fn the_second_look_tells_gone_from_there() {
    let source = Source::new(FILES);
    std::os::unix::fs::symlink("a", source.at("link")).unwrap();
    let root = RootDirectory::open(source.root()).unwrap();
    let mounts = Mounts::default();
    let how = SecondLook { root: &root, follow: false, cross_mounts: false, mounts: &mounts };
    let look = |text: &str| presence(&how, &path(text));
    assert!(matches!(look("a/b/one"), Presence::Present { kind: EntryKind::File, .. }));
    assert!(matches!(look("a/b"), Presence::Present { kind: EntryKind::Directory, .. }));
    assert_eq!(look("a/b/none"), Presence::Absent);
    assert_eq!(look("none/at/all"), Presence::Absent);
    assert_eq!(look("six/below"), Presence::Absent);
    assert_eq!(look("link/b/one"), Presence::Absent);
    let following = SecondLook { follow: true, ..how };
    assert!(matches!(presence(&following, &path("link/b/one")), Presence::Present { .. }));
    let mounts = Mounts([(path("a/b"), 0)].into());
    let look = |text: &str| presence(&SecondLook { mounts: &mounts, ..how }, &path(text));
    for on_the_disk in ["a/b", "a/b/one", "a/b/none", "a/b/none/below"] {
        assert!(matches!(look(on_the_disk), Presence::Unknown(_)), "{on_the_disk}: nothing is mounted there");
    }
    assert_eq!(look("a/none"), Presence::Absent);
}
