//! What the fuzzer does with its bytes. Only what everybody can call is called,
//! so that the same bodies run as ordinary tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use treeferry::commit::{SideFile, StateDir};
use treeferry::diff::{Equality, diff};
use treeferry::disk::RealDisk;
use treeferry::index::{
    DataId, Docket, Edit, MapMode, NodeFile, RecordPointer, Tree, read_run_record, rewrite,
};
use treeferry::journal::{ReplayError, replay};
use treeferry::model::{
    ContentDigest, Directory, DirectoryPointer, DirectorySink, EntryFlags, EntryKind, NodeDigest, NodeOffset,
    OwnedEntry, Permissions, RunId, Stamp, TreeDigest, TreePath, TreeView,
};
use treeferry::observe::Silent;
use treeferry::scan::ExcludeRules;
use treeferry::transfer::{self, ListedFile, NameEncoding};
use treeferry::workflow::configuration::{
    Configuration, Defaults, RemotePath, format_duration, format_size, mask_flags, mask_remote, mask_url,
    parse_duration, parse_size,
};
use treeferry::workflow::verify::Subset;
use treeferry::workflow::{self, ImportSettingsError};

/// Bytes before the first record of a node file.
const HEADER_BYTES: u64 = 64;
/// Bit 62 of an offset: something below is not settled.
const UNSETTLED: u64 = 1 << 62;

thread_local! {
    static SCRATCH: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A path in a folder of this thread, in memory where there is such a place.
fn scratch(name: &str) -> PathBuf {
    SCRATCH.with_borrow_mut(|scratch| {
        let shared_memory = PathBuf::from("/dev/shm");
        let place = if shared_memory.is_dir() { shared_memory } else { std::env::temp_dir() };
        let make = || tempfile::tempdir_in(place).expect("a folder for scratch files");
        scratch.get_or_insert_with(make).path().join(name)
    })
}

fn new_file(name: &str) -> NodeFile {
    let path = scratch(name);
    let _ = std::fs::remove_file(&path);
    NodeFile::create(&path, DataId([1; 16])).expect("a new node file")
}

/// A node file whose only record is `data`, under the right digest.
fn file_of(data: &[u8]) -> NodeFile {
    let path = new_file("nodes").path().to_owned();
    let mut bytes = std::fs::read(&path).expect("the header");
    bytes.extend_from_slice(data);
    std::fs::write(&path, &bytes).expect("a record");
    let docket =
        Docket { data_id: DataId([1; 16]), committed_length: bytes.len() as u64, ..Docket::default() };
    NodeFile::open(&path, &docket, MapMode::Read).expect("the file that was just written")
}

/// Any bytes as a directory: read or refused; what is read is written and read again.
pub(crate) fn node(data: &[u8]) {
    let file = file_of(data);
    let tree = Tree::new(&file, None, &Silent);
    let mut directory = Directory::default();
    for mark in [0, UNSETTLED] {
        let pointer = DirectoryPointer {
            offset: NodeOffset(HEADER_BYTES | mark),
            length: data.len() as u32,
            node: NodeDigest::of(data),
            content: TreeDigest([0; 32]),
        };
        let Ok(totals) = tree.read_directory(&pointer, &mut directory) else {
            assert!(directory.is_empty(), "what could not be read is not shown");
            continue;
        };
        let again = new_file("again");
        let writer = again.writer(&Silent);
        // The marks of a later version are not ours to write.
        let Ok(pointer) = writer.write_directory(&directory, totals) else { continue };
        let mut read = Directory::default();
        let tree = Tree::new(&again, None, &Silent);
        assert_eq!(tree.read_directory(&pointer, &mut read).expect("what was written"), totals);
        assert_eq!(read.attributes.mtime, directory.attributes.mtime);
        assert!(read.iter().eq(directory.iter()), "{directory:?} became {read:?}");
    }
}

/// Any bytes as a docket, as they are and under a right checksum.
pub(crate) fn docket(data: &[u8]) {
    let sealed = [data, blake3::hash(data).as_bytes()].concat();
    for bytes in [data, &sealed] {
        if let Ok(docket) = Docket::decode(bytes) {
            assert_eq!(Docket::decode(&docket.encode()).as_ref(), Ok(&docket));
        }
    }
}

/// Any bytes as a run record, and as the table that one points to.
pub(crate) fn run_record(data: &[u8]) {
    let file = file_of(data);
    let pointer =
        RecordPointer { offset: HEADER_BYTES, length: data.len() as u32, digest: NodeDigest::of(data) };
    let Ok(stored) = read_run_record(&file, &pointer) else { return };
    for row in stored.moved_away(&file).take(10_000) {
        if row.is_err() {
            break;
        }
    }
}

/// Any bytes as a journal; and as the records of one, with right checksums:
/// kind, length and payload, one after the other.
pub(crate) fn journal(data: &[u8]) {
    let _ = replay_of(data);
    let mut bytes = b"treeferJ".to_vec();
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&[0; 8 + 8 + 32]);
    bytes.push(0);
    bytes.extend_from_slice(&blake3::hash(&bytes).as_bytes()[..8]);
    let key = blake3::derive_key("treeferry 2026 journal records v1", &bytes);
    let mut rest = data;
    while let [kind, length, after @ ..] = rest {
        let (payload, after) = after.split_at(after.len().min((*length).into()));
        rest = after;
        let position = bytes.len() as u64;
        let check = |word: &[u8], length: &[u8], payload: &[u8]| {
            let mut hasher = blake3::Hasher::new_keyed(&key);
            hasher
                .update(word)
                .update(&position.to_le_bytes())
                .update(length)
                .update(&[*kind])
                .update(payload);
            *hasher.finalize().as_bytes()
        };
        let length = (payload.len() as u32).to_le_bytes();
        bytes.extend_from_slice(&length);
        bytes.push(*kind);
        bytes.extend_from_slice(&check(b"start", &length, b"")[..4]);
        bytes.extend_from_slice(&check(b"whole", &(payload.len() as u64).to_le_bytes(), payload)[..8]);
        bytes.extend_from_slice(payload);
    }
    // A later version's record is refused, because to skip it could be wrong; nothing else is.
    let refused = replay_of(&bytes).err();
    assert!(matches!(refused, None | Some(ReplayError::UnknownRecord { .. })), "{refused:?}");
}

fn replay_of(bytes: &[u8]) -> Result<(), ReplayError> {
    let path = scratch("journal");
    std::fs::write(&path, bytes).expect("a journal");
    let Some(replay) = replay(&path)? else { return Ok(()) };
    let _ = (replay.header(), replay.owner_sequence(), replay.folders(), replay.batches_behind_damage());
    for batch in replay.batches().flatten() {
        assert_eq!(batch.batch.items.len(), batch.settled.len());
        assert!(batch.doubts().count() <= batch.settled.len());
    }
    Ok(())
}

type Files = BTreeMap<TreePath, u64>;

/// Files for three bytes each: a path of up to three names, and a size. Names of
/// one letter, so that files and folders get in each other's way.
fn files_of(data: &[u8]) -> Files {
    let mut files = Files::new();
    for place in data.chunks_exact(3) {
        let depth = 1 + place[0] as usize % 3;
        let names = [place[0] >> 2 & 3, place[0] >> 4 & 3, place[1] & 3];
        let mut path = TreePath::root();
        names[..depth].iter().for_each(|name| path.push(&[b'a' + name]));
        files.insert(path, place[2].into());
    }
    let all = files.clone();
    files.retain(|path, _| {
        let mut above = path.parent();
        while let Some(parent) = above {
            if all.contains_key(&parent) {
                return false;
            }
            above = parent.parent();
        }
        true
    });
    files
}

fn put(path: &TreePath, size: u64) -> Edit {
    let entry = OwnedEntry {
        kind: EntryKind::File,
        flags: EntryFlags::NONE,
        stamp: Stamp { size, ..Stamp::default() },
        permissions: Permissions::default(),
        digest: Some(ContentDigest::of(&size.to_le_bytes())),
        target: None,
        child: None,
    };
    Edit::Put { path: path.clone(), entry }
}

/// Two trees, the second written over the first: what the walk finds is what a
/// comparison of two lists finds.
pub(crate) fn diff_of_trees(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let (old, new) = (files_of(first), files_of(second));
    let file = new_file("diff");
    let writer = file.writer(&Silent);
    let apply = |root, edits: Vec<Edit>| {
        let tree = Tree::new(&file, root, &Silent);
        rewrite(&tree, edits.into_iter().map(Ok::<_, Infallible>), &writer).expect("edits in order")
    };
    let base = apply(None, old.iter().map(|(path, size)| put(path, *size)).collect());
    let mut edits: Vec<Edit> = old
        .keys()
        .filter(|path| !new.contains_key(*path))
        .map(|path| Edit::Remove { path: path.clone() })
        .chain(
            new.iter()
                .filter(|(path, size)| old.get(*path) != Some(*size))
                .map(|(path, size)| put(path, *size)),
        )
        .collect();
    edits.sort_by(|a, b| a.path().cmp(b.path()));
    let pending = apply(base, edits);

    let size_of = |entry: &Option<OwnedEntry>| {
        entry.as_ref().filter(|entry| entry.kind == EntryKind::File).map(|entry| entry.stamp.size)
    };
    let mut naive = BTreeMap::new();
    for path in old.keys().chain(new.keys()) {
        let sides = (old.get(path).copied(), new.get(path).copied());
        if sides.0 != sides.1 {
            naive.insert(path.clone(), sides);
        }
    }
    for equality in [Equality::Stamp, Equality::Content] {
        let (old, new) = (Tree::new(&file, base, &Silent), Tree::new(&file, pending, &Silent));
        let found: BTreeMap<_, _> = diff(&old, &new, equality)
            .map(|change| change.expect("nothing is damaged"))
            .map(|change| (change.path, (size_of(&change.base), size_of(&change.pending))))
            .filter(|(_, sides)| *sides != (None, None))
            .collect();
        assert_eq!(found, naive, "{equality:?}");
    }
}

/// A line as rclone may log it; and as text in which credentials are looked for.
pub(crate) fn log_line(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    let _ = transfer::is_receipt(&line);
    let _ = transfer::without_credentials(&line);
}

/// An answer of rclone: the listing of a whole remote in two ways of cutting it, and
/// every short answer.
pub(crate) fn answer(data: &[u8]) {
    let whole = transfer::listed_in(std::iter::once(data));
    assert_eq!(transfer::listed_in(data.chunks(7)), whole, "it matters how a listing arrives");
    for file in &whole.0 {
        let _ = file.path();
    }
    let _ = transfer::understood_by(data);
}

/// A path, to the line of a list and back.
pub(crate) fn name(data: &[u8]) {
    let Ok(path) = TreePath::from_bytes(data) else { return };
    for encoding in [NameEncoding::Raw, NameEncoding::Legacy, NameEncoding::Default] {
        let Ok(line) = encoding.encode(&path) else { continue };
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "{line:?} is no single line");
        let Ok(line) = String::from_utf8(line) else { continue };
        // Neither a U+FFFD, which stands for bytes that are no text, nor the root comes back.
        let is_telling = !path.is_root() && !line.contains(char::REPLACEMENT_CHARACTER);
        let listed = ListedFile { line, size: None };
        if encoding == NameEncoding::Raw {
            assert_eq!(listed.path(), is_telling.then(|| path.clone()), "{listed:?}");
        }
    }
}

fn defaults() -> Defaults {
    Defaults { state_home: Some("/state".into()), check_rclone_flags: check_user_flags }
}

fn check_user_flags(flags: &[String]) -> Result<(), String> {
    transfer::check_user_flags(flags).map_err(|error| error.to_string())
}

/// Somebody's TOML. What is accepted can be shown, and what is shown is accepted but for
/// the secrets, which are masked.
pub(crate) fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Configuration::parse(&text, Path::new("any.toml"), &defaults()) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(configuration) => {
            let shown = configuration.show();
            let again = Configuration::parse(&shown, Path::new("any.toml"), &defaults());
            let is_masked = shown.contains("***");
            assert!(is_masked || again.is_ok(), "{shown}\n{}", again.map(|_| ()).unwrap_err());
            if let Ok(again) = again {
                assert_eq!(again.show(), shown);
            }
        }
    }
}

/// A Python script. It is refused, or what is made of it is a configuration.
pub(crate) fn script(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match workflow::import_settings(&text, "backup.py", &defaults()) {
        Ok(_) | Err(ImportSettingsError::NoJobs { .. }) => {}
        Err(ImportSettingsError::Unusable(error)) => panic!("it was written unusable: {error}\n{text}"),
    }
}

/// The snapshot of that script: paths below the source, in order, none twice.
pub(crate) fn snapshot(data: &[u8]) {
    let named = workflow::named_in_snapshot(data, b"/volume2/photos");
    for (earlier, later) in named.iter().zip(named.iter().skip(1)) {
        assert!(earlier.0 < later.0 && !later.0.is_within(&earlier.0), "{earlier:?} {later:?}");
    }
}

/// Every side file with these bytes, under its seal where it has one, and as it lies there.
pub(crate) fn side_files(data: &[u8]) {
    let state = StateDir::open(&scratch("state"), "job").expect("a state directory");
    let now = 1_790_000_000;
    for file in [
        SideFile::LastRun,
        SideFile::Source,
        SideFile::Doubts,
        SideFile::Unknown,
        SideFile::Mounts,
        SideFile::Quarantine,
        SideFile::Ledger,
        SideFile::Notification,
        SideFile::Check,
    ] {
        state.write_side_file(&RealDisk::new(&Silent), file, data).expect("a side file");
    }
    let _ = workflow::side_files_read(&state, now);
    let remembered = std::fs::read_dir(state.path()).expect("the state directory");
    for file in remembered.map(|entry| entry.expect("a name of the state directory").path()) {
        std::fs::write(file, data).expect("a side file");
    }
    let _ = workflow::side_files_read(&state, now);
    std::fs::write(state.path().join("rclone.pid"), data).expect("the number of a process");
    let _ = state.read_rclone_process();
}

/// Words that people and remotes write: read, written, read again.
pub(crate) fn word(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(run) = text.parse::<RunId>() {
        assert_eq!(run.to_string().parse(), Ok(run));
    }
    if let Ok(bytes) = parse_size(&text) {
        assert!(parse_size(&format_size(bytes)).is_ok());
    }
    if let Ok(duration) = parse_duration(&text) {
        assert!(parse_duration(&format_duration(duration)).is_ok(), "{duration:?}");
    }
    if let Ok(path) = RemotePath::parse(&text) {
        assert_eq!(RemotePath::parse(&path.to_string()).as_ref(), Ok(&path));
    }
    let _ = (text.parse::<Subset>(), mask_url(&text), mask_remote(&text));
    let _ = (transfer::check_remote(&text), transfer::root_of(&text), transfer::remote_name(&text));
    let flags: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let _ = (check_user_flags(&flags), mask_flags(&flags), transfer::requests_per_second(&flags));
    let _ = ExcludeRules::compile(&flags);
}
