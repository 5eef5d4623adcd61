//! Each room's inner loop alone, by criterion: `cargo bench --bench rooms`, or with a
//! word of a name behind `--` only those. What a whole run costs tell the other programs
//! of `benches/README.md`; these tell which part of it a change has moved.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made is to end")]
#![allow(missing_docs, reason = "the macros of criterion write functions without any")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use treeferry::diff::{Equality, diff};
use treeferry::disk::RealDisk;
use treeferry::index::{DataId, Edit, MapMode, NodeFile, PendingStore, Root, Tree, rewrite};
use treeferry::journal::{Header, JournalWriter, Settled, replay};
use treeferry::model::{
    Batch, BatchItem, ContentDigest, Directory, DirectorySink, EmptyTree, EntryFlags, EntryKind, Lane,
    OwnedEntry, Permissions, RunId, Stamp, Timestamp, Totals, TreePath, TreeView,
};
use treeferry::observe::Silent;
use treeferry::scan::{ExcludeRules, ScanOptions, SkipSettled, scan};
use treeferry::transfer::{ListedFile, NameEncoding, is_receipt};

/// Entries of a directory, as in the trees of `docs/performance.md`.
const ENTRIES: u64 = 15;

fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::from_bytes(text.as_ref()).unwrap()
}

fn file(number: u64) -> OwnedEntry {
    let time = |seconds| Timestamp { seconds, nanoseconds: (number * 7_919 % 1_000_000_000) as u32 };
    OwnedEntry {
        kind: EntryKind::File,
        flags: EntryFlags::NONE,
        stamp: Stamp {
            size: number * 31 % 5_000_000,
            mtime: time(1_700_000_000 + number as i64 * 61),
            ctime: time(1_750_000_000),
            inode: 1_000_000 + number,
        },
        permissions: Permissions { mode: 0o644, uid: 1000, gid: 1000 },
        digest: Some(ContentDigest::of(&number.to_le_bytes())),
        target: None,
        child: None,
    }
}

fn directory(entries: u64) -> Directory {
    let mut directory = Directory::default();
    for number in 0..entries {
        directory.push(file(number).as_entry(format!("IMG_{number:06} of a holiday.jpg").as_bytes()));
    }
    directory
}

/// A node file in a folder that goes with it.
struct Shelf {
    nodes: NodeFile,
    _folder: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Shelf {
        let folder = tempfile::tempdir().unwrap();
        let nodes = NodeFile::create(&folder.path().join("nodes"), DataId([7; 16])).unwrap();
        Shelf { nodes, _folder: folder }
    }

    /// `base` with every `step`th of 20,000 files in 1,334 directories changed.
    fn tree(&self, base: Option<Root>, step: u64) -> Option<Root> {
        let edit = |number: u64| Edit::Put {
            path: path(format!("{:03}/{:02}/{:02}", number / 300, number / ENTRIES % 20, number % ENTRIES)),
            entry: file(number + if base.is_some() { 1_000_000 } else { 0 }),
        };
        let edits = (0..20_000).step_by(step as usize).map(|number| Ok::<_, Infallible>(edit(number)));
        rewrite(&Tree::new(&self.nodes, base, &Silent), edits, &self.nodes.writer(&Silent)).unwrap()
    }
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    for entries in [ENTRIES, 20_000] {
        let directory = directory(entries);
        let totals = Totals { files: entries, directories: 0, bytes: 0 };
        group.throughput(Throughput::Elements(entries));
        group.bench_function(format!("encode a directory of {entries}"), |bencher| {
            bencher.iter_batched(
                Shelf::new,
                |shelf| {
                    black_box(shelf.nodes.writer(&Silent).write_directory(&directory, totals).unwrap());
                    shelf
                },
                BatchSize::SmallInput,
            );
        });
        let shelf = Shelf::new();
        let pointer = shelf.nodes.writer(&Silent).write_directory(&directory, totals).unwrap();
        let tree = Tree::new(&shelf.nodes, None, &Silent);
        let mut read = Directory::default();
        group.bench_function(format!("verify and decode a directory of {entries}"), |bencher| {
            bencher.iter(|| black_box(tree.read_directory(&pointer, &mut read).unwrap()));
        });
    }
    group.finish();
}

fn differences(criterion: &mut Criterion) {
    let shelf = Shelf::new();
    let base = shelf.tree(None, 1);
    let mut group = criterion.benchmark_group("diff");
    for (name, step) in [("none", 20_000), ("1 %", 100), ("all", 1)] {
        let pending = if step == 20_000 { base } else { shelf.tree(base, step) };
        group.bench_function(format!("20,000 files, {name} changed"), |bencher| {
            let (old, new) =
                (Tree::new(&shelf.nodes, base, &Silent), Tree::new(&shelf.nodes, pending, &Silent));
            bencher.iter(|| black_box(diff(&old, &new, Equality::Stamp).count()));
        });
    }
    group.finish();
}

/// 3,000 files in 200 folders, on the disk of the temporary files.
fn plant(root: &Path) {
    for folder in 0..200 {
        let folder = root.join(format!("folder {folder:03}"));
        std::fs::create_dir(&folder).unwrap();
        for number in 0..ENTRIES {
            std::fs::write(folder.join(format!("file {number:02}.dat")), b"").unwrap();
        }
    }
}

fn scanning(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    plant(&root);
    let options = |skip_settled, same_rules_as_base| ScanOptions {
        threads: 1,
        skip_settled,
        same_rules_as_base,
        ..ScanOptions::default()
    };
    let new_store = || PendingStore::new(folder.path(), &Silent);
    let store = new_store();
    let report = scan(&root, &EmptyTree, &store, &options(SkipSettled::Off, false), &Silent).unwrap();
    let base = store.finish(Some(report.root), None, MapMode::Map).unwrap();
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(200 * ENTRIES));
    group.bench_function("3,000 unchanged files, one thread", |bencher| {
        let options = options(SkipSettled::Off, true);
        bencher.iter(|| black_box(scan(&root, &base, &new_store(), &options, &Silent).unwrap()));
    });
    group.bench_function("3,000 files against nothing, one thread", |bencher| {
        let options = options(SkipSettled::Off, false);
        bencher.iter(|| black_box(scan(&root, &EmptyTree, &new_store(), &options, &Silent).unwrap()));
    });
    group.finish();
}

fn excluding(criterion: &mut Criterion) {
    let patterns: Vec<String> = (0..50)
        .map(|number| match number % 5 {
            0 => format!("*.tmp{number}"),
            1 => format!("cache{number}/"),
            2 => format!("/top{number}/**/x"),
            3 => format!("**/node_modules{number}"),
            _ => format!("report-??-{number}.*"),
        })
        .collect();
    let rules = ExcludeRules::compile(&patterns).unwrap();
    let name = path("photos/2019/album 07 of 2019/IMG_000123 of a holiday.jpg");
    criterion.bench_function("scan/one name against 50 patterns", |bencher| {
        bencher.iter(|| black_box(rules.verdict(black_box(&name), false)));
    });
}

fn batch() -> Batch {
    let item = |number| {
        let OwnedEntry { stamp, permissions, digest, .. } = file(number);
        let path = path(format!("photos/2019/album {:02}/IMG_{number:06}.jpg", number / 50));
        BatchItem { path, as_link: false, stamp, permissions, digest }
    };
    Batch { lane: Lane::Upload, items: (0..1_000).map(item).collect() }
}

fn journal(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(&Silent);
    let place = folder.path().join("journal");
    let batch = batch();
    let outcomes: Vec<(u32, Settled)> = (0u32..)
        .zip(&batch.items)
        .map(|(number, item)| {
            let (stamp, permissions, digest) = (item.stamp, item.permissions, item.digest);
            (number, Settled::Confirmed { stamp, permissions, digest, racy: false })
        })
        .collect();
    let header = Header { run: RunId { sequence: 1, started_seconds: 0 }, belongs_to: [0; 32] };
    let write = || {
        let mut journal = JournalWriter::create(&disk, &place, &header).unwrap();
        journal.append_intent(0, &batch).unwrap();
        let now = Instant::now();
        outcomes.chunks(50).for_each(|some| journal.append_outcomes(0, some, now).unwrap());
        journal.finish().unwrap();
    };
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("append 1,000 intents and outcomes, synced", |bencher| bencher.iter(write));
    write();
    group.bench_function("replay 1,000 intents and outcomes", |bencher| {
        bencher.iter(|| black_box(replay(&place).unwrap().unwrap().batches().count()));
    });
    group.finish();
}

fn remote(criterion: &mut Criterion) {
    let plain = path("photos/2019/album 07 of 2019/IMG_000123 of a holiday.jpg");
    let odd = path("照片/2019\u{2400}/\u{1}一张照片 “图”.jpg");
    let mut group = criterion.benchmark_group("transfer");
    for (name, path) in [("a plain", &plain), ("an odd", &odd)] {
        group.bench_function(format!("encode {name} name"), |bencher| {
            bencher.iter(|| black_box(NameEncoding::Raw.encode(black_box(path)).unwrap()));
        });
        let line = String::from_utf8(NameEncoding::Raw.encode(path).unwrap()).unwrap();
        let listed = ListedFile { line, size: None };
        group.bench_function(format!("decode {name} name"), |bencher| {
            bencher.iter(|| black_box(black_box(&listed).path()));
        });
    }
    let receipt = r#"{"time":"2026-11-22T09:31:08.8Z","level":"info","msg":"Copied (new)","size":100,"object":"photos/2019/IMG_000123.jpg","objectType":"*local.Object","source":"operations/copy.go:382"}"#;
    let stats = r#"{"level":"info","msg":"\nTransferred","stats":{"bytes":655369,"checks":0,"eta":null,"speed":360130.44,"transfers":3,"transferring":[{"bytes":327680,"name":"big1","percentage":54}]}}"#;
    for (name, line) in [("a receipt", receipt), ("progress", stats)] {
        group.bench_function(format!("read {name} of the log"), |bencher| {
            bencher.iter(|| black_box(is_receipt(black_box(line))));
        });
    }
    group.finish();
}

fn content(criterion: &mut Criterion) {
    let directory = directory(ENTRIES);
    criterion.bench_function("model/content hash of a directory of 15", |bencher| {
        bencher.iter(|| black_box(directory.content_digest()));
    });
}

criterion_group!(rooms, content, scanning, excluding, index, differences, journal, remote);
criterion_main!(rooms);
