//! Files that are read, and what happens to them meanwhile.

use super::*;

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
