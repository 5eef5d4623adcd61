//! Links, pipes and sockets.

use super::*;
use std::os::unix::fs::MetadataExt;

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
    assert!(entries.contains("/to-nothing Symlink EntryFlags(4)"), "kept, not deleted: {entries}");
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
    assert!(entries.contains("/to-directory Symlink EntryFlags(4)"), "out of scope, not gone: {entries}");
    assert!(entries.contains("/to-file Symlink EntryFlags(4)"), "{entries}");
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
fn an_uploaded_link_that_cannot_be_followed_is_out_of_scope_and_not_gone() {
    let mut source = Source::new(FILES);
    for (target, name) in
        [("nowhere", "to-nothing"), ("..", "a/loop"), ("/dev/zero", "zero"), ("/proc", "proc")]
    {
        link(&source, target, name);
    }
    // A folder of our own, which is never taken.
    link(&source, "a/b", "own");
    let own = fs::metadata(source.at("a/b")).unwrap();
    source.options.links = LinkPolicy::Upload;
    source.commit();
    source.options.links = LinkPolicy::Follow;
    source.options.cross_mounts = false;
    source.options.always_excluded.push((own.dev(), own.ino()));
    let entries = source.entries(&source.scan(&Recorder::default()));
    let what_is_recorded =
        ["to-nothing Symlink", "a/loop Symlink", "zero Special", "proc Mount", "own Symlink EntryFlags(6)"];
    for entry in what_is_recorded {
        let marked =
            if entry.contains("Flags") { entry.to_owned() } else { format!("{entry} EntryFlags(4)") };
        assert!(entries.contains(&format!("/{marked}")), "{entry}: {entries}");
    }
}
