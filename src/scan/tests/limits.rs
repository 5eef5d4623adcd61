//! Long names, deep trees, other file systems, and what may not be read.

use super::*;

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
    if !as_ordinary_user("scan::tests::limits::an_unreadable_directory_keeps_its_entries_and_is_told") {
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
