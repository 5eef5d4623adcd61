//! Directories that are not listed again, and inode numbers that are not to be relied on.

use super::*;

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
