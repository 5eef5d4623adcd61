//! Directories too big for one record.

use super::*;
use treeferry::observe::Counter;

fn name(number: u32) -> String {
    format!("photo-{:08x}.jpg", number.wrapping_mul(2_654_435_761))
}

fn flat(shelf: &Shelf, count: u32) -> Option<Root> {
    let mut names: Vec<String> = (0..count).map(name).collect();
    names.sort();
    let edits = names.into_iter().map(|name| Edit::Put { path: path(name), entry: file(1, 2) });
    shelf.rewrite(None, edits.collect())
}

#[test]
fn a_hundred_thousand_names_in_one_directory_are_read_back() {
    let shelf = Shelf::new();
    let root = flat(&shelf, 100_000);
    let model = read_model(&shelf.tree(root));
    assert_eq!(model.len(), 100_001);
    assert_eq!(model[&path(name(77_777))], Held::Other(file(1, 2)));
    let docket = shelf.docket(root);
    assert_eq!(read_model(&Tree::new(&shelf.reopen(&docket, MapMode::Read), root, &Silent)), model);
    assert!(shelf.file.length() < 100_000 * 75, "{}", shelf.file.length());
}

#[test]
fn one_change_in_a_big_directory_writes_one_page_and_the_list_of_pages() {
    let shelf = Shelf::new();
    let root = flat(&shelf, 20_000);
    for (edit, pages_at_most) in [
        (Edit::Put { path: path(name(4711)), entry: file(9, 9) }, 1),
        (Edit::Put { path: path("photo-7 new"), entry: file(9, 9) }, 3),
        (Edit::Remove { path: path(name(815)) }, 3),
        (
            Edit::Directory {
                path: TreePath::root(),
                attributes: DirectoryAttributes { inode: 1, ..Default::default() },
            },
            0,
        ),
    ] {
        let recorder = Recorder::default();
        let changed = shelf.rewrite_counted(root, vec![edit.clone()], &recorder);
        assert_ne!(changed, root);
        let written = recorder.counted(Counter::NodesWritten);
        assert!(written <= 1 + pages_at_most, "{edit:?} wrote {written} records");
        read_model(&shelf.tree(changed));
    }
}

#[test]
fn a_damaged_page_is_not_pointed_at_again() {
    let shelf = Shelf::new();
    let root = flat(&shelf, 5000);
    let model = read_model(&shelf.tree(root));
    let docket = shelf.docket(root);
    let mut bytes = std::fs::read(shelf.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(shelf.path(), &bytes).unwrap();

    let file = NodeFile::open_for_append(&shelf.path(), &docket, MapMode::Read).unwrap();
    let tree = Tree::new(&file, root, &Silent);
    assert!(try_read_model(&tree).is_err());
    let mut names: Vec<String> = (0..5000).map(name).collect();
    names.sort();
    let edits =
        names.into_iter().map(|name| Ok::<_, String>(Edit::Put { path: path(name), entry: file_of_one() }));
    let healed = treeferry::index::rewrite(&tree, edits, &file.writer(&Silent)).unwrap();
    assert!(try_read_model(&Tree::new(&file, healed, &Silent)).is_ok_and(|healed| healed == model));
}

fn file_of_one() -> OwnedEntry {
    file(1, 2)
}

#[test]
fn paging_depends_on_the_names_alone_and_c_not_even_on_paging() {
    let grown = Shelf::new();
    let mut root = flat(&grown, 5000);
    let late: Vec<String> = {
        let mut names: Vec<String> = (5000..5050).map(name).collect();
        names.sort();
        names
    };
    for name in &late {
        root = grown.rewrite(root, vec![Edit::Put { path: path(name), entry: file(1, 2) }]);
    }
    let afresh = Shelf::new();
    let plain = flat(&afresh, 5050);
    assert_eq!(root.unwrap().pointer.content, plain.unwrap().pointer.content);
    let kept = grown.rewrite(
        root,
        (0..4100).map(|number| Edit::Remove { path: path(name(number)) }).collect::<Vec<_>>().sorted(),
    );
    let small = read_model(&grown.tree(kept));
    assert_eq!(small.len(), 951);
    let other = write_model(&small, &afresh.file.writer(&Silent)).unwrap();
    assert_eq!(other.pointer.content, kept.unwrap().pointer.content);
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl Sorted for Vec<Edit> {
    fn sorted(mut self) -> Self {
        self.sort_by(|a, b| a.path().cmp(b.path()));
        self
    }
}

#[test]
fn borders_around_the_largest_unpaged_directory_hold() {
    for count in [1023, 1024, 1025, 2049] {
        let shelf = Shelf::new();
        let root = flat(&shelf, count);
        assert_eq!(read_model(&shelf.tree(root)).len() as u32, count + 1);
    }
}

#[test]
fn big_directories_of_directories_work_in_a_pending_tree() {
    let scratch = tempfile::tempdir().unwrap();
    let mut model = Model::from([(TreePath::root(), Held::Directory(DirectoryAttributes::default()))]);
    for number in 0..3000 {
        let directory = path(name(number));
        model.insert(directory.join(b"x"), Held::Other(file(1, 1)));
        model.insert(directory, Held::Directory(DirectoryAttributes::default()));
    }
    for mode in [MapMode::Map, MapMode::Read] {
        let store = treeferry::index::PendingStore::new(scratch.path(), &Silent);
        let root = write_flat_model(&model, &store);
        let pending = store.finish(Some(root.pointer), None, mode).unwrap();
        assert_eq!(read_model(&pending), model);
    }
}

/// As `write_model`, for two levels: that one is quadratic.
fn write_flat_model(model: &Model, sink: &impl DirectorySink) -> Root {
    let mut top = Directory::default();
    let mut leaf = Directory::default();
    leaf.push(file(1, 1).as_entry(b"x"));
    for path in model.keys().filter(|path| path.components().count() == 1) {
        let pointer = sink.write_directory(&leaf, Totals { files: 1, directories: 0, bytes: 1 }).unwrap();
        top.push(directory_entry(pointer).as_entry(path.name().unwrap()));
    }
    let totals = Totals { files: 3000, directories: 3000, bytes: 3000 };
    Root { pointer: sink.write_directory(&top, totals).unwrap(), totals }
}
