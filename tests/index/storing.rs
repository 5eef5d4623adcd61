//! Written and read back: in a node file, reopened, and in a pending tree.

use super::*;
use treeferry::index::{Finder, PendingStore, find};
use treeferry::observe::Counter;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_reads_back_as_it_was_written(model in any_model()) {
        let shelf = Shelf::new();
        let root = write_model(&model, &shelf.file.writer(&Silent));
        prop_assert_eq!(&read_model(&shelf.tree(root)), &model, "before it is written out");
        let docket = shelf.docket(root);
        for mode in [MapMode::Map, MapMode::Read] {
            let file = shelf.reopen(&docket, mode);
            prop_assert_eq!(&read_model(&Tree::new(&file, root, &Silent)), &model);
        }
    }

    #[test]
    fn every_path_is_found_and_no_other(model in any_model(), others in prop::collection::vec(any_path(), 10)) {
        let shelf = Shelf::new();
        let root = write_model(&model, &shelf.file.writer(&Silent));
        let tree = shelf.tree(root);
        let mut finder = Finder::new(&tree);
        for path in model.keys().chain(&others) {
            let found = find(&tree, path).unwrap();
            prop_assert_eq!(&finder.find(path).unwrap(), &found);
            match (model.get(path), found) {
                (Some(Held::Other(expected)), Some(found)) => prop_assert_eq!(expected, &found),
                (Some(Held::Directory(_)), Some(found)) => prop_assert_eq!(found.kind, EntryKind::Directory),
                (None, None) => {}
                (expected, found) => prop_assert!(false, "{path}: {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn a_pending_tree_leads_into_scratch_and_base(base in any_model(), fresh in any_model()) {
        let shelf = Shelf::new();
        let base_root = write_model(&base, &shelf.file.writer(&Silent)).unwrap();
        for mode in [MapMode::Map, MapMode::Read] {
            let scratch = tempfile::tempdir().unwrap();
            let store = PendingStore::new(scratch.path(), &Silent);
            let fresh_root = write_model(&fresh, &store).unwrap();
            let mut top = Directory::default();
            top.push(directory_entry(base_root.pointer).as_entry(b"base"));
            top.push(directory_entry(fresh_root.pointer).as_entry(b"fresh"));
            let mut totals = base_root.totals;
            totals.add(fresh_root.totals);
            totals.directories += 2;
            let root = store.write_directory(&top, totals).unwrap();
            let pending = store.finish(Some(root), Some(&shelf.file), mode).unwrap();
            prop_assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the file has no name");

            let mut expected = Model::from([(TreePath::root(), Held::Directory(DirectoryAttributes::default()))]);
            for (below, model) in [("base", &base), ("fresh", &fresh)] {
                for (path, held) in model {
                    let path = if path.is_root() { super::path(below) } else {
                        super::path([below.as_bytes(), path.as_bytes()].join(&b'/'))
                    };
                    expected.insert(path, held.clone());
                }
            }
            prop_assert_eq!(read_model(&pending), expected);
        }
    }
}

#[test]
fn a_committed_directory_never_leads_into_a_scratch_file() {
    let shelf = Shelf::new();
    let store = PendingStore::new(shelf.directory.path(), &Silent);
    let child = store.write_directory(&Directory::default(), Totals::default()).unwrap();
    let mut parent = Directory::default();
    parent.push(directory_entry(child).as_entry(b"child"));
    let writer = shelf.file.writer(&Silent);
    assert!(writer.write_directory(&parent, Totals { directories: 1, ..Totals::default() }).is_err());
}

#[test]
fn many_threads_fill_one_pending_tree() {
    let scratch = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let store = PendingStore::new(scratch.path(), &recorder);
    let write = |thread: u8| -> Vec<DirectoryPointer> {
        (0..2000u32)
            .map(|number| {
                let mut directory = Directory::default();
                directory.attributes.inode = (u64::from(thread) << 32) | u64::from(number);
                for name in 0..10u8 {
                    directory.push(file(name, 1).as_entry(&[b'a' + name]));
                }
                store.write_directory(&directory, Totals { files: 10, directories: 0, bytes: 10 }).unwrap()
            })
            .collect()
    };
    let pointers: Vec<Vec<DirectoryPointer>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || write(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(recorder.counted(Counter::NodesWritten), 8000);
    let pending = store.finish(Some(pointers[0][0]), None, MapMode::Map).unwrap();
    let mut directory = Directory::default();
    for (thread, pointers) in pointers.iter().enumerate() {
        for (number, pointer) in pointers.iter().enumerate() {
            pending.read_directory(pointer, &mut directory).unwrap();
            assert_eq!(directory.attributes.inode, ((thread as u64) << 32) | number as u64);
            assert_eq!(directory.len(), 10);
        }
    }
}

#[test]
fn a_scan_that_stores_nothing_makes_no_file() {
    let nowhere = PathBuf::from("/nonexistent/state");
    let pending = PendingStore::new(&nowhere, &Silent).finish(None, None, MapMode::Map).unwrap();
    assert!(read_model(&pending).is_empty());
}

#[test]
fn a_mark_that_an_entry_is_not_settled_shows_up_to_the_root() {
    let shelf = Shelf::new();
    let racy = OwnedEntry { flags: EntryFlags::RACY, ..file(1, 1) };
    let mut edits = vec![Edit::Put { path: path("a/b/c"), entry: racy }];
    let marked = shelf.rewrite(None, edits.clone());
    read_model(&shelf.tree(marked));
    let mut directory = Directory::default();
    shelf.tree(marked).read_directory(&marked.unwrap().pointer, &mut directory).unwrap();
    assert!(directory.attributes.flags.contains(DirectoryFlags::UNSETTLED_BELOW));
    edits[0] = Edit::Put { path: path("a/b/c"), entry: file(1, 1) };
    let settled = shelf.rewrite(marked, edits);
    shelf.tree(settled).read_directory(&settled.unwrap().pointer, &mut directory).unwrap();
    assert!(!directory.attributes.flags.contains(DirectoryFlags::UNSETTLED_BELOW));
}
