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

#[test]
fn a_file_is_read_to_its_digest() {
    let source = Source::new(FILES);
    let root = RootDirectory::open(source.root()).unwrap();
    let read = read_file(&root, &path("a/b/one"), false, &Recorder::default()).unwrap();
    assert_eq!(read.digest, ContentDigest::of(b"a/b/one"));
    assert_eq!(read.stamp.size, 7);
    let error = |text: &str| read_file(&root, &path(text), false, &Recorder::default()).unwrap_err();
    assert!(matches!(error("a/b/none"), ReadFileError::Vanished { .. }));
    assert!(matches!(error("a/b"), ReadFileError::NotAFile { .. }));
    link(&source, "a/b", "way");
    assert!(matches!(error("way/one"), ReadFileError::NotAFile { .. }), "no way through a symlink");
    let following = RootDirectory::open(source.root()).unwrap().following_links(true);
    let read = read_file(&following, &path("way/one"), false, &Recorder::default()).unwrap();
    assert_eq!(read.digest, ContentDigest::of(b"a/b/one"));
}

/// Rewrites a file whenever one was hashed, before anybody looks at it again.
struct Meddler {
    file: PathBuf,
    rewrites_left: std::sync::atomic::AtomicU32,
}

impl crate::observe::Observer for Meddler {
    fn event(&self, _event: &crate::observe::Event<'_>) {}
    fn count(&self, counter: Counter, _amount: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let less = |left: u32| left.checked_sub(1);
        if counter == Counter::FilesHashed && self.rewrites_left.fetch_update(Relaxed, Relaxed, less).is_ok()
        {
            // Later than the last one by more than a tick.
            std::thread::sleep(std::time::Duration::from_millis(15));
            fs::write(&self.file, "other").unwrap();
        }
    }
}

#[test]
fn a_file_that_is_written_while_it_is_read_is_read_again_and_then_given_up() {
    let source = Source::new(&["f"]);
    let root = RootDirectory::open(source.root()).unwrap();
    let read = |rewrites: u32| {
        fs::write(source.at("f"), "first").unwrap();
        let meddler = Meddler { file: source.at("f"), rewrites_left: rewrites.into() };
        read_file(&root, &path("f"), false, &meddler)
    };
    assert_eq!(read(2).unwrap().digest, ContentDigest::of(b"other"));
    assert!(matches!(read(3).unwrap_err(), ReadFileError::ChangedWhileReading { .. }));
}

#[test]
fn what_took_the_place_of_a_file_is_not_read_for_it() {
    let source = Source::new(FILES);
    let root = RootDirectory::open(source.root()).unwrap();
    fs::rename(source.at("six"), source.at("seven")).unwrap();
    fs::rename(source.at("a"), source.at("z")).unwrap();
    link(&source, "seven", "six");
    link(&source, "z", "a");
    for name in ["six", "a/three"] {
        let error = read_file(&root, &path(name), false, &Recorder::default()).unwrap_err();
        assert!(matches!(error, ReadFileError::NotAFile { .. }), "{name}: {error}");
    }
}

#[test]
fn an_inode_of_several_names_is_read_once_in_a_run() {
    let source = Source::new(&["a/small"]);
    let large = fs::File::create(source.at("a/large")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&large, b"end", 20 << 20).unwrap();
    let mut items = Vec::new();
    for name in ["small", "large"] {
        items.push((path(&format!("a/{name}")), 0));
        for number in 0..40 {
            fs::hard_link(source.at(&format!("a/{name}")), source.at(&format!("{name}-{number}"))).unwrap();
            items.push((path(&format!("{name}-{number}")), 0));
        }
    }
    for (path, size) in &mut items {
        *size = fs::metadata(source.root().join(path.as_path())).unwrap().len();
    }
    source.let_settle();
    let root = RootDirectory::open(source.root()).unwrap();
    let recorder = Recorder::default();
    let read_all = || {
        read_each(
            &root,
            items.clone(),
            |(_, size)| *size,
            |reader, (path, _)| reader.read(&path, false, &recorder).unwrap(),
        )
    };
    let read = read_all();
    assert_eq!(recorder.counted(Counter::FilesHashed), 2, "one for each inode");
    assert!(read[..41].iter().all(|one| *one == read[0]) && read[41..].iter().all(|one| *one == read[41]));
    assert_eq!(read[0].digest, ContentDigest::of(b"a/small"));
    assert_eq!(root.hard_links.len(), 0, "forgotten when all names have come");

    let one = |text: &str| FileReader::new(&root).read(&path(text), false, &recorder).unwrap();
    one("small-1");
    source.write("small-2", "written");
    assert_eq!(one("small-3").digest, ContentDigest::of(b"written"), "its stamp is another by now");
    let before = recorder.counted(Counter::FilesHashed);
    read_file(&root, &path("small-4"), false, &recorder).unwrap();
    assert_eq!(recorder.counted(Counter::FilesHashed), before + 1, "anew");
}

/// A program that stores into a mapped file whenever it is told to.
struct Mapper {
    child: std::process::Child,
}

impl Mapper {
    fn start(file: &Path) -> Mapper {
        let script = "import mmap, sys\n\
            file = open(sys.argv[1], 'r+b')\n\
            map = mmap.mmap(file.fileno(), 0)\n\
            for line in sys.stdin:\n    map[0] = int(line)\n    print(flush=True)";
        let child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(file)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        Mapper { child }
    }

    fn store(&mut self, byte: u8) {
        use std::io::{BufRead, Write};
        writeln!(self.child.stdin.as_mut().unwrap(), "{byte}").unwrap();
        let mut done = String::new();
        std::io::BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut done).unwrap();
        assert_eq!(done, "\n");
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_store_through_a_memory_map_after_the_reading_shows() {
    // Beside the test program, not below /tmp: a tmpfs shows no second store.
    let program = std::env::current_exe().unwrap();
    let source = Source::below(program.parent().unwrap(), &[]);
    fs::write(source.at("f"), [0; 8192]).unwrap();
    let mut mapper = Mapper::start(&source.at("f"));
    let root = RootDirectory::open(source.root()).unwrap();
    // The page is dirty from here on: by itself the kernel would not look at a second store.
    mapper.store(1);
    for byte in 2..6 {
        source.let_settle();
        let read = read_file(&root, &path("f"), false, &Recorder::default()).unwrap();
        assert!(read.settled);
        source.let_settle();
        mapper.store(byte);
        let found = open::stat_name(&root.descriptor, c"f", &root.file_system, false).unwrap();
        assert_ne!(found.stamp, read.stamp, "store {byte} left no trace");
    }
}

#[test]
fn fifos_and_sockets_are_recorded_and_never_opened() {
    let source = Source::new(&["a/file"]);
    let fifo = source.at("a/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.at("socket")).unwrap();
    let report = source.commit();
    let entries = source.entries(&report);
    assert!(entries.contains("/a/fifo Special") && entries.contains("/socket Special"), "{entries}");
    assert_eq!((report.totals.files, report.specials), (1, 2));
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
    // Would wait for a writer for ever if it opened it for reading.
    let root = RootDirectory::open(source.root()).unwrap();
    let error = read_file(&root, &path("a/fifo"), false, &Recorder::default()).unwrap_err();
    assert!(matches!(error, ReadFileError::NotAFile { .. }), "{error}");
}

fn link(source: &Source, target: &str, at: &str) {
    std::os::unix::fs::symlink(target, source.at(at)).unwrap();
}

#[test]
fn symlinks_are_recorded_with_their_target() {
    let mut source = Source::new(FILES);
    link(&source, "a/b", "to-directory");
    link(&source, "nowhere", "to-nothing");
    let report = source.commit();
    let entries = source.entries(&report);
    for name in ["/to-directory Symlink EntryFlags(0)", "/to-nothing Symlink EntryFlags(0)"] {
        assert!(entries.contains(name), "{entries}");
    }
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
    source.options.links = LinkPolicy::Upload;
    let entries = source.entries(&source.commit());
    assert!(entries.contains("/to-nothing Symlink EntryFlags(2)"), "{entries}");
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
    source.options.links = LinkPolicy::Record;
    let entries = source.entries(&source.scan(&Recorder::default()));
    assert!(entries.contains("/to-nothing Symlink EntryFlags(6)"), "kept, not deleted: {entries}");
}

#[test]
fn followed_symlinks_are_what_they_point_to_and_loops_are_told() {
    let mut source = Source::new(FILES);
    link(&source, "a/b", "to-directory");
    link(&source, "six", "to-file");
    link(&source, "nowhere", "to-nothing");
    link(&source, "../..", "a/b/loop");
    source.options.links = LinkPolicy::Follow;
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    let entries = source.entries(&report);
    assert!(entries.contains("/to-directory/one File EntryFlags(0)"), "{entries}");
    assert!(entries.contains("/to-file File EntryFlags(8)"), "{entries}");
    assert!(entries.contains("/to-nothing Symlink"), "{entries}");
    assert!(entries.contains("/a/b/loop Symlink"), "{entries}");
    let told = recorder.events().join("\n");
    assert!(
        told.contains("to-nothing") && told.contains("a/b/loop") && told.contains("to-directory/loop"),
        "{told}"
    );
    source.commit();
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());

    source.options.links = LinkPolicy::Record;
    let entries = source.entries(&source.scan(&Recorder::default()));
    assert!(entries.contains("/to-directory Directory EntryFlags(12)"), "out of scope, not gone: {entries}");
    assert!(entries.contains("/to-file File EntryFlags(12)"), "{entries}");
}

#[test]
fn a_followed_symlink_that_leads_nowhere_now_keeps_what_it_led_to() {
    let mut source = Source::new(FILES);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("disk")).unwrap();
    fs::write(elsewhere.path().join("disk/file"), "x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("disk"), source.at("link")).unwrap();
    source.options.links = LinkPolicy::Follow;
    source.commit();
    fs::rename(elsewhere.path().join("disk"), elsewhere.path().join("away")).unwrap();
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    assert_eq!(Some(report.root), source.tree.root());
    assert_eq!(report.files_unreadable, 1);
    assert!(recorder.events().join("").contains("symlink to nothing"));
}

#[test]
fn names_are_bytes_up_to_the_longest() {
    use std::os::unix::ffi::OsStringExt;
    let source = Source::new(&[]);
    let names: Vec<Vec<u8>> = vec![
        b"a\nb".to_vec(),
        vec![0xff, 0xfe, b'x'],
        "␊".as_bytes().to_vec(),
        vec![b'n'; 255],
        vec![0xc3; 255],
        b" ".to_vec(),
        b"...".to_vec(),
    ];
    for name in &names {
        let name = std::ffi::OsString::from_vec(name.clone());
        fs::write(source.root().join(&name), "x").unwrap();
        fs::create_dir_all(source.root().join("d").join(&name)).unwrap();
    }
    let report = source.commit();
    let mut top = Directory::default();
    source.tree.read_directory(&report.root, &mut top).unwrap();
    for name in &names {
        assert_eq!(top.find(name).unwrap().kind, EntryKind::File);
    }
    assert_eq!((report.totals.files, report.totals.directories), (7, 8));
    let recorder = Recorder::default();
    assert_eq!(Some(source.scan(&recorder).root), source.tree.root());
}

#[test]
fn a_tree_two_thousand_deep_is_scanned_with_few_open_directories() {
    // A parent that is not held open is opened again from the root: quadratic, so tried on less.
    comb(2_000, 0);
    comb(300, 8);
}

fn comb(depth: u64, open_directories_max: usize) {
    let mut source = Source::new(&[]);
    let mut at = std::fs::File::open(source.root()).map(rustix::fd::OwnedFd::from).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    for _ in 0..depth {
        // Two a level, so that every level waits for its second child.
        for name in [c"deep", c"side"] {
            rustix::fs::mkdirat(&at, name, mode).unwrap();
        }
        at = rustix::fs::openat(&at, c"deep", flags, rustix::fs::Mode::empty()).unwrap();
    }
    source.options.open_directories_max = open_directories_max;
    for threads in [1, 4] {
        source.options.threads = threads;
        let report = source.scan(&Recorder::default());
        assert_eq!((report.totals.directories, report.files_unreadable), (2 * depth, 0));
    }
    // The standard library removes by recursion, one descriptor a level: shorten it first.
    for _ in 0..depth {
        for name in [c"deep", c"side"] {
            let _ = rustix::fs::unlinkat(&at, name, rustix::fs::AtFlags::REMOVEDIR);
        }
        at = rustix::fs::openat(&at, c"..", flags, rustix::fs::Mode::empty()).unwrap();
    }
}

#[test]
fn our_own_directories_are_left_out() {
    use std::os::unix::fs::MetadataExt;
    let mut source = Source::new(&["state/index", "kept/file"]);
    let state = fs::metadata(source.at("state")).unwrap();
    source.options.always_excluded = vec![(state.dev(), state.ino())];
    let report = source.commit();
    let entries = source.entries(&report);
    assert!(!entries.contains("state") && entries.contains("/kept/file"), "{entries}");
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
}

#[test]
fn another_file_system_is_recorded_and_not_entered() {
    let source = Source::new(&[]);
    // `/dev` has mounts below it on every Linux (at least /dev/pts or /dev/shm).
    let scan_dev = |options: &ScanOptions| {
        scan(Path::new("/dev"), &source.tree, &source.tree, options, &Recorder::default()).unwrap()
    };
    let mounts: Vec<_> = fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|at| {
            at.strip_prefix("/dev/").is_some_and(|name| !name.contains('/') && Path::new(at).is_dir())
        })
        .map(str::to_owned)
        .collect();
    assert!(!mounts.is_empty(), "this test needs a mount right below /dev");
    let entries = dump(&source.tree, scan_dev(&source.options).root);
    for mount in mounts {
        let name = mount.trim_start_matches("/dev");
        assert!(entries.contains(&format!("{name} Mount")), "{name}: {entries}");
    }
}

#[test]
fn below_a_mount_that_is_not_there_nothing_counts_as_gone() {
    let mut source = Source::new(&["m/disk/one", "m/two", "three", "p/q/disk/four", "p/five", "empty/x"]);
    fs::remove_file(source.at("empty/x")).unwrap();
    let files = source.commit().totals.files;
    source.options.skip_settled = SkipSettled::Auto;
    source.options.mounts_before = Mounts(["m/disk", "p/q/disk", "empty"].map(|at| (path(at), 7)).into());
    let named = |report: &ScanReport| {
        let names = report.unreadable.iter().map(|(path, _)| path.to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    fs::remove_file(source.at("m/disk/one")).unwrap();
    source.write("m/disk/stray", "not on the disk");
    let report = source.scan(&Recorder::default());
    assert_eq!(Some(report.root), source.tree.root(), "ordinary directories now, and left alone");
    assert_eq!(named(&report), "m/disk p/q/disk");
    assert_eq!(report.mounts_given_up, [path("empty")], "nothing is known of it, so nothing can be lost");
    assert!(report.mounts.0.is_empty());

    let kept = ["/m/disk/one File", "/p/q/disk/four File"];
    fs::remove_dir_all(source.at("m/disk")).unwrap();
    fs::remove_dir_all(source.at("p/q")).unwrap();
    for (links, make) in [
        (LinkPolicy::Record, None),
        (LinkPolicy::Record, Some("nowhere")),
        (LinkPolicy::Follow, Some("nowhere")),
        (LinkPolicy::Follow, Some("p")),
    ] {
        source.options.links = links;
        let _ = fs::remove_file(source.at("m/disk"));
        if let Some(target) = make {
            link(&source, &format!("../{target}"), "m/disk");
        }
        source.let_settle();
        // The second time the folder looks settled.
        for report in [source.commit(), source.commit()] {
            let entries = source.entries(&report);
            assert!(kept.iter().all(|file| entries.contains(file)), "{links:?} {make:?}: {entries}");
            assert_eq!((named(&report).as_str(), report.totals.files), ("m/disk p/q", files), "{make:?}");
        }
    }
    fs::remove_file(source.at("m/two")).unwrap();
    assert!(!source.entries(&source.scan(&Recorder::default())).contains("/m/two"), "two was on no disk");

    source.options.mounts_before = Mounts::default();
    source.options.links = LinkPolicy::Record;
    let entries = source.entries(&source.scan(&Recorder::default()));
    assert!(entries.contains("/m/disk Symlink") && !entries.contains("/p/q"), "given up: {entries}");
}

#[test]
fn a_name_that_a_listing_leaves_out_is_asked_for_before_it_counts_as_gone() {
    let source = Source::new(&["stays", "goes"]);
    source.commit();
    fs::remove_file(source.at("goes")).unwrap();
    let root = RootDirectory::open(source.root()).unwrap();
    let mut base = Directory::default();
    source.tree.read_directory(&source.tree.root().unwrap(), &mut base).unwrap();
    let mut into = compare::Merged::default();
    let mut merge = |keep_missing| {
        let merge = compare::Merge {
            descriptor: rustix::fd::AsFd::as_fd(&root.descriptor),
            file_system: root.file_system,
            options: &source.options,
            base: &base,
            path: &TreePath::root,
            keep_missing,
            distrusted_from: None,
            into: &mut into,
        };
        // As if the directory had changed while it was listed.
        merge.with_listing(&listing::Names::default());
        let names: Vec<_> = into.pending.iter().map(|entry| entry.name.to_vec()).collect();
        (into.differs, into.incomplete, names)
    };
    assert_eq!(merge(false), (true, false, vec![b"stays".to_vec()]));
    assert_eq!(merge(true), (false, true, vec![]), "a listing that never held still proves no deletion");
}

#[test]
fn a_large_directory_is_looked_at_by_inode_and_compared_by_name() {
    // More than a block of them, in an order that is not that of their names.
    let count = 17_000_u32;
    let mut source = Source::new(&[]);
    fs::create_dir(source.at("d")).unwrap();
    for number in 0..count {
        fs::write(source.at(&format!("d/{:08x}", number.wrapping_mul(2_654_435_761))), "").unwrap();
    }
    let file = |number: u32| source.at(&format!("d/{:08x}", number.wrapping_mul(2_654_435_761)));
    let (changed, removed) = (file(16_999), file(5));
    fs::create_dir(source.at("d/x")).unwrap();
    source.let_settle();
    assert_eq!(source.commit().totals.files, u64::from(count));
    for skip_settled in [SkipSettled::Off, SkipSettled::Auto] {
        source.options.skip_settled = skip_settled;
        let recorder = Recorder::default();
        assert_eq!(Some(source.scan(&recorder).root), source.tree.root());
        assert_eq!(recorder.counted(Counter::NamesStatted), u64::from(count), "each name once");
    }
    fs::write(&changed, "longer").unwrap();
    fs::remove_file(&removed).unwrap();
    let report = source.scan(&Recorder::default());
    let entries = source.entries(&report);
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    let unread: Vec<_> = entries.lines().filter(|line| line.contains("Unread")).collect();
    assert!(unread.len() == 1 && unread[0].contains(&name(&changed)), "{unread:?}");
    assert!(!entries.contains(&name(&removed)));
    assert_eq!(report.totals.files, u64::from(count) - 1);
}

#[test]
fn files_of_a_time_that_comes_twice_are_read_again() {
    let mut source = Source::new(&["before"]);
    let margin = std::time::Duration::from_millis(1_100);
    std::thread::sleep(margin);
    source.write("after", "x");
    source.commit();
    source.options.base_scanned = walk::now();
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
    source.options.base_scanned.seconds += 3_600;
    let recorder = Recorder::default();
    let entries = source.entries(&source.scan(&recorder));
    let unread: Vec<_> = entries.lines().filter(|line| line.contains("Unread")).collect();
    assert!(unread.len() == 1 && unread[0].starts_with("/after"), "{entries}");
    assert!(recorder.events().join("").contains("clock was set back"));
}

#[test]
fn times_before_1970_and_after_2038_and_sizes_above_four_gigabytes_come_back() {
    let source = Source::new(&["old", "new", "long"]);
    for (name, seconds) in [("old", -1_000_000_000), ("new", 9_000_000_000)] {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 999_999_999 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, source.at(name), &times, rustix::fs::AtFlags::empty())
            .unwrap();
    }
    fs::File::options().write(true).open(source.at("long")).unwrap().set_len(15 << 40).unwrap();
    let report = source.commit();
    assert_eq!(report.totals.bytes, (15 << 40) + 6);
    let mut top = Directory::default();
    source.tree.read_directory(&report.root, &mut top).unwrap();
    assert_eq!(top.find(b"old").unwrap().stamp.mtime.seconds, -1_000_000_000);
    assert_eq!(top.find(b"new").unwrap().stamp.mtime.seconds, 9_000_000_000);
    assert_eq!(Some(source.scan(&Recorder::default()).root), source.tree.root());
}

/// Runs the test named `test` once more, as an ordinary user where we are root.
/// True in that child (and when we are no root to begin with).
fn as_ordinary_user(test: &str) -> bool {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    // The test program may lie where nobody else can look: a copy does not.
    let place = tempfile::Builder::new().prefix("treeferry-user-").tempdir().unwrap();
    let program = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for at in [place.path(), &program] {
        fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let output = std::process::Command::new(&program)
        .args(["--exact", test])
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[test]
fn an_unreadable_directory_keeps_its_entries_and_is_told() {
    if !as_ordinary_user("scan::tests::an_unreadable_directory_keeps_its_entries_and_is_told") {
        return;
    }
    let source = Source::new(FILES);
    source.commit();
    let forbid = |name: &str, mode| {
        fs::set_permissions(source.at(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    source.write("new/file", "x");
    forbid("c", 0o000);
    forbid("new", 0o000);
    // Listed, but nothing in it can be looked at.
    forbid("a/b", 0o444);
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    let entries = source.entries(&report);
    forbid("c", 0o755);
    forbid("new", 0o755);
    forbid("a/b", 0o755);
    assert!(entries.contains("/c/d/e/five") && entries.contains("/a/b/one"), "{entries}");
    assert!(!entries.contains("/new"), "{entries}");
    assert_eq!(report.totals.files, 6);
    assert_eq!(report.files_unreadable, 4);
    let told = recorder.events().join("\n");
    for name in ["TreePath(c)", "TreePath(new)", "TreePath(a/b/one)", "TreePath(a/b/two)"] {
        assert!(told.contains(name), "{told}");
    }
    let source = Source::new(&["x"]);
    fs::set_permissions(source.root(), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let error = scan(source.root(), &source.tree, &source.tree, &source.options, &recorder).unwrap_err();
    fs::set_permissions(source.root(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(matches!(error, ScanError::RootUnreadable { .. }), "{error}");
}

#[test]
fn settled_directories_are_not_listed_and_every_name_is_looked_at() {
    let names: Vec<String> = (0..400).map(|i| format!("d{i}/f")).collect();
    let mut source = Source::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    source.let_settle();
    source.commit();
    source.options.skip_settled = SkipSettled::Auto;
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    assert_eq!(Some(report.root), source.tree.root());
    assert_eq!(recorder.counted(Counter::NamesStatted), 400);
    let listed = recorder.counted(Counter::DirectoriesListed);
    assert_eq!(listed + report.directories_skipped, 401);
    assert!(listed < 40, "{listed} of 401 were listed, one in 64 should be");
    source.write("d7/f", "longer than before");
    source.write("d8/new", "x");
    fs::remove_file(source.at("d9/f")).unwrap();
    let entries = source.entries(&source.scan(&Recorder::default()));
    assert!(entries.lines().any(|line| line.starts_with("/d7/f") && line.contains("Unread")));
    assert!(entries.contains("/d8/new File") && !entries.contains("/d9/f"));
}

#[test]
fn names_that_changed_behind_settled_times_are_found_once_a_week_and_told() {
    let mut source = Source::new(FILES);
    source.let_settle();
    source.commit();
    // As if `two` had come without a new time of its directory.
    source.alter_base(&mut |entry| (entry.name != b"two").then_some(entry));
    source.options.skip_settled = SkipSettled::Check;
    let recorder = Recorder::default();
    let report = source.scan(&recorder);
    assert_eq!(recorder.counted(Counter::DirectoriesListed), 6, "all of them");
    assert!(report.skip_was_wrong);
    assert!(source.entries(&report).contains("/a/b/two File"));
    assert!(recorder.events().iter().any(|event| event.contains("every directory of this source is listed")));
    source.commit();
    let report = source.scan(&Recorder::default());
    assert!(!report.skip_was_wrong, "what is known is what is there");
}

/// Adds a file when the second directory was looked at, and before it is listed.
struct Latecomer {
    file: PathBuf,
    nodes_read: std::sync::atomic::AtomicU32,
}

impl crate::observe::Observer for Latecomer {
    fn event(&self, _event: &crate::observe::Event<'_>) {}
    fn count(&self, counter: Counter, _amount: u64) {
        let is_node = counter == Counter::NodesRead;
        if is_node && self.nodes_read.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            fs::File::create_new(&self.file).unwrap();
        }
    }
}

#[test]
fn a_name_that_comes_while_its_directory_is_probed_is_no_broken_promise() {
    let mut source = Source::new(&["d/early"]);
    source.let_settle();
    source.commit();
    source.options.skip_settled = SkipSettled::Check;
    let latecomer = Latecomer { file: source.at("d/late"), nodes_read: 0.into() };
    let report = scan(source.root(), &source.tree, &source.tree, &source.options, &latecomer).unwrap();
    assert!(source.entries(&report).contains("/d/late File"), "it came in time for a listing");
    assert!(!report.skip_was_wrong, "and moved the times as it should");
}

#[test]
fn inode_numbers_that_change_by_themselves_are_counted_and_can_be_left_out() {
    let mut source = Source::new(FILES);
    source.commit();
    source.alter_base(&mut |entry| {
        let inode = entry.stamp.inode + u64::from(entry.kind == EntryKind::File);
        Some(Entry { stamp: model::Stamp { inode, ..entry.stamp }, ..entry })
    });
    let report = source.scan(&Recorder::default());
    assert_eq!((report.inodes_changed, report.inodes_last), (6, true));
    assert_ne!(Some(report.root), source.tree.root(), "all are read again");
    source.options.loose_inodes = true;
    let report = source.scan(&Recorder::default());
    assert_eq!((report.inodes_changed, report.inodes_last), (0, false));
    assert_eq!(Some(report.root), source.tree.root(), "size and mtime decide");
}

#[allow(clippy::print_stderr, reason = "says what it leaves out")]
#[test]
fn no_same_size_rewrite_is_missed_in_a_race_with_reading() {
    let source = Source::new(&["f"]);
    let root = RootDirectory::open(source.root()).unwrap();
    let mut base: Option<ReadFile> = None;
    let mut reread = 0;
    let rounds: u32 = if is_long() { 1_000_000 } else { 10_000 };
    eprintln!("{rounds} rewrites; TREEFERRY_LONG=1 makes a million");
    for round in 0..rounds {
        let content = format!("{round:08}");
        fs::write(source.at("f"), &content).unwrap();
        let truth = ContentDigest::of(content.as_bytes());
        if let Some(known) = base {
            let entry = Entry {
                name: b"f",
                kind: EntryKind::File,
                flags: if known.settled { EntryFlags::NONE } else { EntryFlags::RACY },
                stamp: known.stamp,
                permissions: known.permissions,
                content: Content::Read(known.digest),
            };
            let found = open::stat_name(&root.descriptor, c"f", &root.file_system, false).unwrap();
            let unchanged = unchanged::is_unchanged(&entry, &found.stamp, &found.permissions);
            assert!(!unchanged || known.digest == truth, "round {round} was missed");
            reread += u32::from(!unchanged);
        }
        base = Some(read_file(&root, &path("f"), false, &Recorder::default()).unwrap());
    }
    assert_eq!(reread, rounds - 1);
}
