//! Every byte of a small index flipped, and the file cut at every length: an
//! error, or a byte that nothing leads to; never a panic, never another tree.

use super::records::{moved, record};
use super::*;
use treeferry::index::{append_run_record, live_bytes, run_records};
use treeferry::model::ReadNodeError;

struct Small {
    shelf: Shelf,
    docket: Docket,
    model: Model,
}

fn small() -> Small {
    let shelf = Shelf::new();
    let link =
        OwnedEntry { kind: EntryKind::Symlink, digest: None, target: Some(b"../x".to_vec()), ..file(3, 4) };
    let root = shelf.rewrite(
        None,
        vec![
            Edit::Put { path: path("a/b/c"), entry: file(1, 1) },
            Edit::Put { path: path("a/l"), entry: link },
            Edit::Put { path: path("z"), entry: file(2, 1 << 40) },
        ],
    );
    let rows = ["gone", "gone too"].map(|name| moved(path(name), 1));
    let newest = append_run_record(&shelf.file.writer(&Silent), &record(1, root, None), rows).unwrap();
    let docket = Docket { newest_record: Some(newest), ..shelf.docket(root) };
    let model = read_model(&shelf.tree(root));
    Small { shelf, docket, model }
}

/// What is found: `None` when something is reported as damaged.
fn look(small: &Small, mode: MapMode) -> Option<Model> {
    let file = NodeFile::open(&small.shelf.path(), &small.docket, mode).ok()?;
    for stored in run_records(&file, small.docket.newest_record) {
        let stored = stored.ok()?;
        assert_eq!(stored.record, record(1, small.docket.base, None));
        let rows: Result<Vec<_>, ReadNodeError> = stored.moved_away(&file).collect();
        assert_eq!(rows.ok()?, ["gone", "gone too"].map(|name| moved(path(name), 1)));
    }
    try_read_model(&Tree::new(&file, small.docket.base, &Silent)).ok()
}

#[test]
fn no_flipped_byte_changes_what_is_read() {
    let small = small();
    let bytes = std::fs::read(small.shelf.path()).unwrap();
    assert_eq!(look(&small, MapMode::Map).as_ref(), Some(&small.model));
    assert_eq!(live_bytes(&small.shelf.file, &small.docket).unwrap(), bytes.len() as u64, "all is reached");
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            std::fs::write(small.shelf.path(), &damaged).unwrap();
            let mode = if flip == 1 { MapMode::Read } else { MapMode::Map };
            assert_eq!(look(&small, mode), None, "byte {at} of {}", bytes.len());
        }
    }
}

#[test]
fn a_file_cut_short_is_damaged_and_one_with_a_torn_tail_is_not() {
    let small = small();
    let bytes = std::fs::read(small.shelf.path()).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(small.shelf.path(), &bytes[..length]).unwrap();
        assert!(NodeFile::open(&small.shelf.path(), &small.docket, MapMode::Map).is_err(), "cut at {length}");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(b"the rest of a crashed run");
    std::fs::write(small.shelf.path(), &longer).unwrap();
    assert_eq!(look(&small, MapMode::Map).as_ref(), Some(&small.model));

    let file = NodeFile::open_for_append(&small.shelf.path(), &small.docket, MapMode::Map).unwrap();
    let tree = Tree::new(&file, small.docket.base, &Silent);
    let edits = [Ok::<_, String>(Edit::Put { path: path("n"), entry: file_entry() })];
    let root = treeferry::index::rewrite(&tree, edits, &file.writer(&Silent)).unwrap();
    let committed_length = file.writer(&Silent).sync().unwrap();
    let docket = Docket { committed_length, base: root, ..small.docket.clone() };
    let again = small.shelf.reopen(&docket, MapMode::Map);
    assert_eq!(read_model(&Tree::new(&again, root, &Silent)).len(), small.model.len() + 1);
}

fn file_entry() -> OwnedEntry {
    file(9, 9)
}

#[test]
fn swapped_pointers_are_noticed() {
    let small = small();
    let other = Shelf::with(DataId([9; 16]));
    other.docket(None);
    assert!(NodeFile::open(&other.path(), &small.docket, MapMode::Map).is_err(), "another file");
    let tree = small.shelf.tree(small.docket.base);
    let mut directory = Directory::default();
    let root = small.docket.base.unwrap().pointer;
    tree.read_directory(&root, &mut directory).unwrap();
    let child = directory.find(b"a").unwrap().child().unwrap();
    for wrong in [
        DirectoryPointer { offset: child.offset, ..root },
        DirectoryPointer { length: child.length, ..root },
        DirectoryPointer { node: child.node, ..root },
        DirectoryPointer { length: u32::MAX, ..root },
        DirectoryPointer { offset: treeferry::model::NodeOffset(u64::MAX), ..root },
        DirectoryPointer { offset: treeferry::model::NodeOffset(root.offset.0 | 1 << 63), ..root },
        DirectoryPointer { offset: treeferry::model::NodeOffset(root.offset.0 | 1 << 62), ..root },
        DirectoryPointer { offset: treeferry::model::NodeOffset(0), ..root },
    ] {
        assert!(tree.read_directory(&wrong, &mut directory).is_err(), "{wrong:?}");
        assert!(directory.is_empty(), "what could not be read is not shown");
    }
}

#[test]
fn edits_through_a_damaged_directory_begin_it_anew() {
    let small = small();
    let mut directory = Directory::default();
    let tree = small.shelf.tree(small.docket.base);
    tree.read_directory(&small.docket.base.unwrap().pointer, &mut directory).unwrap();
    let child = directory.find(b"a").unwrap().child().unwrap();
    let mut bytes = std::fs::read(small.shelf.path()).unwrap();
    bytes[child.offset.0 as usize] ^= 1;
    std::fs::write(small.shelf.path(), &bytes).unwrap();

    let file = NodeFile::open_for_append(&small.shelf.path(), &small.docket, MapMode::Read).unwrap();
    let tree = Tree::new(&file, small.docket.base, &Silent);
    let put = Edit::Put { path: path("a/new"), entry: file_entry() };
    let root =
        treeferry::index::rewrite(&tree, [Ok::<_, String>(put.clone())], &file.writer(&Silent)).unwrap();
    let through = read_model(&Tree::new(&file, root, &Silent));
    assert_eq!(through.keys().map(ToString::to_string).collect::<Vec<_>>(), [".", "a", "a/new", "z"]);
    assert_eq!(root.unwrap().totals.files, 2, "the sums are those of what is known");

    let edits = [Ok::<_, String>(Edit::Remove { path: path("a") }), Ok(put)];
    let root = treeferry::index::rewrite(&tree, edits, &file.writer(&Silent)).unwrap();
    let model = read_model(&Tree::new(&file, root, &Silent));
    assert_eq!(model.keys().map(ToString::to_string).collect::<Vec<_>>(), [".", "a", "a/new", "z"]);
}
