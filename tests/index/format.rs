//! The bytes that are promised: a golden index of every released format must
//! keep decoding, and this version must still write it.

use super::records::{moved, record};
use super::*;
use treeferry::index::{append_run_record, run_records};

const DOCKET: &[u8] = include_bytes!("../data/index-v1/docket");
const NODES: &[u8] = include_bytes!("../data/index-v1/nodes");

fn golden_model() -> Model {
    let attributes = |inode| DirectoryAttributes {
        mtime: Timestamp { seconds: 1_700_000_000, nanoseconds: 1 },
        ctime: Timestamp { seconds: 1_700_000_009, nanoseconds: 2 },
        inode,
        permissions: Permissions { mode: 0o750, uid: 0, gid: 4_000_000_000 },
        flags: DirectoryFlags::SETTLED,
    };
    let mut model = Model::from([(TreePath::root(), Held::Directory(attributes(2)))]);
    let mut put = |name: &[u8], entry: OwnedEntry| model.insert(path(name), Held::Other(entry));
    put(
        b"executable",
        OwnedEntry { permissions: Permissions { mode: 0o4755, uid: 1, gid: 1 }, ..file(1, 12) },
    );
    put(
        b"far",
        OwnedEntry {
            stamp: Stamp {
                size: u64::MAX,
                mtime: Timestamp { seconds: i64::MIN, nanoseconds: 999_999_999 },
                ctime: Timestamp { seconds: i64::MAX, nanoseconds: 0 },
                inode: u64::MAX,
            },
            ..file(2, 0)
        },
    );
    let other = |kind| OwnedEntry { kind, digest: None, ..file(3, 0) };
    put(b"fifo", other(EntryKind::Special));
    put(
        b"link",
        OwnedEntry {
            target: Some(b"../\xff".to_vec()),
            flags: EntryFlags::UPLOADED_LINK,
            ..other(EntryKind::Symlink)
        },
    );
    put(b"mount", other(EntryKind::Mount));
    put(b"unread", OwnedEntry { flags: EntryFlags::RACY, ..other(EntryKind::File) });
    put(b"\n\xff", file(4, 1));
    put(&[b'n'; 255], file(5, 1));
    model.insert(path("a"), Held::Directory(attributes(3)));
    model.insert(path("a/empty"), Held::Directory(DirectoryAttributes::default()));
    model.insert(path("a/b"), Held::Directory(attributes(4)));
    for number in 0..1500u32 {
        model.insert(path(format!("a/b/{number:05}")), Held::Other(file((number % 7) as u8, number.into())));
    }
    model
}

/// The same docket and node file, made by this version.
fn make() -> (Vec<u8>, Vec<u8>) {
    let shelf = Shelf::with(DataId(*b"golden index v1!"));
    let root = write_model(&golden_model(), &shelf.file.writer(&Silent));
    let rows =
        ["gone", "gone/far", "gone too"].into_iter().zip(0..).map(|(name, number)| moved(path(name), number));
    let newest = append_run_record(&shelf.file.writer(&Silent), &record(1, root, None), rows).unwrap();
    let mut docket = Docket { newest_record: Some(newest), kept: root, ..shelf.docket(root) };
    docket.facts.remote = "alist:115/备份".into();
    docket.facts.source = b"/volume2/\xff".to_vec();
    docket.facts.last_run = Some(record(1, None, None).run);
    docket.facts.complete = true;
    (docket.encode(), std::fs::read(shelf.path()).unwrap())
}

#[test]
fn the_golden_index_still_reads() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = directory.path().join("nodes");
    std::fs::write(&nodes, NODES).unwrap();
    let docket = Docket::decode(DOCKET).unwrap();
    assert_eq!(docket.facts.remote, "alist:115/备份");
    let file = NodeFile::open(&nodes, &docket, MapMode::Map).unwrap();
    assert_eq!(read_model(&Tree::new(&file, docket.base, &Silent)), golden_model());
    let records: Vec<_> = run_records(&file, docket.newest_record).collect::<Result<_, _>>().unwrap();
    assert_eq!(records[0].record, record(1, docket.base, None));
    assert_eq!(records[0].moved_away(&file).count(), 3);
}

/// When this fails the format has changed: that needs a new format number, a
/// new golden index beside the old one, and a word in `docs/format.md`.
/// `TREEFERRY_WRITE_GOLDEN=<directory>` writes it.
#[test]
fn this_version_writes_the_golden_bytes() {
    let (docket, nodes) = make();
    if let Some(directory) = std::env::var_os("TREEFERRY_WRITE_GOLDEN") {
        let directory = PathBuf::from(directory);
        std::fs::write(directory.join("docket"), &docket).unwrap();
        std::fs::write(directory.join("nodes"), &nodes).unwrap();
        return;
    }
    assert!(docket == DOCKET, "the docket has changed");
    assert!(nodes == NODES, "the node file has changed");
}
