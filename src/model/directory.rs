//! One directory in memory: sorted names in one arena, to be filled again and
//! again without a new allocation.

use crate::model::{
    Content, ContentDigest, DirectoryPointer, Entry, EntryFlags, EntryKind, Name, Permissions, Stamp,
    Timestamp, TreeDigest, TreeHasher,
};
use std::ffi::CStr;
use std::ops::Range;

/// What is known of the directory itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectoryAttributes {
    /// When a name was last added or removed.
    pub mtime: Timestamp,
    /// When the inode last changed; cannot be set back.
    pub ctime: Timestamp,
    /// Inode number.
    pub inode: u64,
    /// Mode and owner.
    pub permissions: Permissions,
    /// Marks.
    pub flags: DirectoryFlags,
}

/// Marks of a directory, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DirectoryFlags(pub u8);

impl DirectoryFlags {
    /// No mark: the directory must be listed again.
    pub const NONE: DirectoryFlags = DirectoryFlags(0);
    /// The names below are the complete listing that belonged to `mtime` and
    /// `ctime`, and both were settled when it was read: while they stay the
    /// same, no name was added or removed.
    pub const SETTLED: DirectoryFlags = DirectoryFlags(1);
    /// Something in this directory or below is marked [`EntryFlags::RACY`] or
    /// is weak: the next scan may not reuse the subtree unread. Kept up by
    /// `index` when it writes a node.
    pub const UNSETTLED_BELOW: DirectoryFlags = DirectoryFlags(2);

    /// True when all marks of `other` are set.
    pub const fn contains(self, other: DirectoryFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Sums over everything below a directory, itself not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Sum of the sizes of the files, in bytes.
    pub bytes: u64,
}

impl Totals {
    /// Adds another sum. Wraps: what a broken file system calls a size must
    /// not end a run, and differences of wrapped sums stay right.
    pub fn add(&mut self, other: Totals) {
        self.files = self.files.wrapping_add(other.files);
        self.directories = self.directories.wrapping_add(other.directories);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// A directory with its entries, sorted by the bytes of their names.
///
/// Names and link targets lie in one arena; [`Directory::clear`] keeps the
/// memory. `totals` of subdirectories are not known here: whoever writes a node
/// sums them up (see [`crate::model::DirectorySink`]).
///
/// A million files in one directory must fit beside everything else: what only
/// some entries have stands in tables of its own, so that a file takes 64 bytes,
/// its name, and 32 bytes once it was read.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// The directory's own stat data and marks.
    pub attributes: DirectoryAttributes,
    /// Names with a NUL after each, as the kernel wants them.
    arena: Vec<u8>,
    /// Targets of links, one after the other; where each begins and ends.
    targets: Vec<u8>,
    target_ranges: Vec<Range<usize>>,
    records: Vec<Record>,
    permissions: Vec<Permissions>,
    digests: Vec<ContentDigest>,
    children: Vec<DirectoryPointer>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    size: u64,
    inode: u64,
    mtime_seconds: i64,
    ctime_seconds: i64,
    mtime_nanoseconds: u32,
    ctime_nanoseconds: u32,
    // Not 32 bits: the names of one directory may take more than 4 GiB.
    name_start: u64,
    name_length: u16,
    kind: EntryKind,
    flags: EntryFlags,
    permissions: u32,
    body: Body,
}

const _: () = assert!(size_of::<Record>() == 64, "what an entry costs in memory is promised");

/// Numbers are those of the tables.
#[derive(Debug, Clone, Copy)]
enum Body {
    Read(u32),
    Unread,
    Target(u32),
    Child(u32),
    None,
}

/// Modes and owners are looked for among so many of the last ones; a directory
/// with more of them writes some down twice.
const PERMISSIONS_LOOKED_AT: usize = 8;

impl Directory {
    /// Empties the directory and keeps its memory.
    pub fn clear(&mut self) {
        self.attributes = DirectoryAttributes::default();
        self.arena.clear();
        self.targets.clear();
        self.target_ranges.clear();
        self.records.clear();
        self.permissions.clear();
        self.digests.clear();
        self.children.clear();
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends an entry. Names must come in ascending order; use
    /// [`Directory::push_unsorted`] and [`Directory::sort`] otherwise.
    #[inline]
    pub fn push(&mut self, entry: Entry<'_>) {
        debug_assert!(
            self.records.last().is_none_or(|last| self.name_of(last) < entry.name),
            "entries are pushed in ascending order of their names"
        );
        self.push_unsorted(entry);
    }

    /// Appends an entry wherever its name may belong.
    #[inline]
    pub fn push_unsorted(&mut self, entry: Entry<'_>) {
        let name_start = self.arena.len() as u64;
        self.arena.extend_from_slice(entry.name);
        self.arena.push(0);
        let body = self.keep(entry.content);
        let permissions = self.number_of(entry.permissions);
        let name = (name_start, entry.name.len() as u16);
        self.records.push(Record::new(name, (entry.kind, entry.flags), &entry.stamp, permissions, body));
    }

    fn keep(&mut self, content: Content<'_>) -> Body {
        match content {
            Content::Read(digest) => Body::Read(numbered(&mut self.digests, digest)),
            Content::Unread => Body::Unread,
            Content::Target(target) => {
                let start = self.targets.len();
                self.targets.extend_from_slice(target);
                Body::Target(numbered(&mut self.target_ranges, start..self.targets.len()))
            }
            Content::Child(pointer) => Body::Child(numbered(&mut self.children, pointer)),
            Content::None => Body::None,
        }
    }

    /// Appends entries out of a node: see [`Unpacking`]. `permissions` are those
    /// that the entries name by number.
    pub fn unpack(&mut self, entries: usize, permissions: &[Permissions]) -> Unpacking<'_> {
        let permissions_before = self.permissions.len() as u32;
        self.permissions.extend_from_slice(permissions);
        self.records.reserve(entries);
        let arena_before = self.arena.len();
        let entries_before = self.records.len();
        Unpacking { directory: self, permissions_before, arena_before, entries_before }
    }

    #[inline]
    fn number_of(&mut self, permissions: Permissions) -> u32 {
        let first = self.permissions.len().saturating_sub(PERMISSIONS_LOOKED_AT);
        match self.permissions[first..].iter().rposition(|known| *known == permissions) {
            Some(at) => (first + at) as u32,
            None => numbered(&mut self.permissions, permissions),
        }
    }

    /// Puts the entries into the order of their names and drops doubles (a
    /// listing that races with a rename can show a name twice; the first stays).
    pub fn sort(&mut self) {
        let arena = &self.arena;
        let name = |record: &Record| &arena[range(record.name_start, record.name_length.into())];
        self.records.sort_by(|a, b| name(a).cmp(name(b)));
        self.records.dedup_by(|later, earlier| name(later) == name(earlier));
    }

    /// The entries in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> + Clone {
        self.records.iter().map(|record| self.entry_of(record))
    }

    /// The entry at `index` in name order.
    ///
    /// # Panics
    /// When `index` is not below [`Directory::len`].
    #[inline]
    pub fn get(&self, index: usize) -> Entry<'_> {
        self.entry_of(&self.records[index])
    }

    /// The name at `index`: less work than the whole entry.
    ///
    /// # Panics
    /// When `index` is not below [`Directory::len`].
    #[inline]
    pub fn name(&self, index: usize) -> &Name {
        self.name_of(&self.records[index])
    }

    /// The name at `index` as system calls take it.
    ///
    /// # Panics
    /// When `index` is not below [`Directory::len`].
    #[inline]
    pub fn c_name(&self, index: usize) -> &CStr {
        let Record { name_start, name_length, .. } = self.records[index];
        let bytes = &self.arena[range(name_start, usize::from(name_length) + 1)];
        // No name holds a NUL: those from nodes were checked, others come from the kernel.
        CStr::from_bytes_with_nul(bytes).unwrap_or_default()
    }

    /// Kind and marks of the entry at `index`: less work than the whole entry.
    ///
    /// # Panics
    /// When `index` is not below [`Directory::len`].
    #[inline]
    pub fn kind(&self, index: usize) -> (EntryKind, EntryFlags) {
        let record = &self.records[index];
        (record.kind, record.flags)
    }

    /// The inode of the entry at `index`, unless that is a directory.
    ///
    /// # Panics
    /// When `index` is not below [`Directory::len`].
    pub fn inode_of_file(&self, index: usize) -> Option<u64> {
        let record = &self.records[index];
        (!matches!(record.kind, EntryKind::Directory | EntryKind::Mount)).then_some(record.inode)
    }

    /// True when the entry at `index` is a file without marks that has exactly
    /// these stat data. What a scan asks of every name: less work than the entry.
    ///
    /// # Panics
    /// When `index` is not below [`Directory::len`].
    #[inline]
    pub fn is_plain_file(&self, index: usize, stamp: &Stamp, permissions: &Permissions) -> bool {
        let record = &self.records[index];
        record.kind == EntryKind::File
            && record.flags.without(EntryFlags::FILLED_IN) == EntryFlags::NONE
            && record.inode == stamp.inode
            && record.size == stamp.size
            && record.mtime_seconds == stamp.mtime.seconds
            && record.mtime_nanoseconds == stamp.mtime.nanoseconds
            && record.ctime_seconds == stamp.ctime.seconds
            && record.ctime_nanoseconds == stamp.ctime.nanoseconds
            && self.permissions[record.permissions as usize] == *permissions
    }

    /// The entry of that name.
    pub fn find(&self, name: &Name) -> Option<Entry<'_>> {
        self.position(name).ok().map(|index| self.get(index))
    }

    /// Where `name` stands, or where it would stand.
    ///
    /// # Errors
    /// The index at which the name would have to be inserted.
    pub fn position(&self, name: &Name) -> Result<usize, usize> {
        self.records.binary_search_by(|record| self.name_of(record).cmp(name))
    }

    /// Gives the entry at `index` another child pointer.
    ///
    /// # Panics
    /// When `index` is out of range or the entry is no directory.
    pub fn set_child(&mut self, index: usize, pointer: DirectoryPointer) {
        let Body::Child(number) = self.records[index].body else {
            panic!("only a directory has a child node");
        };
        self.children[number as usize] = pointer;
    }

    /// C of this directory.
    pub fn content_digest(&self) -> TreeDigest {
        let mut hasher = TreeHasher::default();
        self.iter().for_each(|entry| hasher.add(&entry));
        hasher.finish()
    }

    #[inline]
    fn name_of(&self, record: &Record) -> &Name {
        &self.arena[range(record.name_start, record.name_length.into())]
    }

    #[inline]
    fn entry_of<'a>(&'a self, record: &Record) -> Entry<'a> {
        let time = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        Entry {
            name: self.name_of(record),
            kind: record.kind,
            flags: record.flags,
            stamp: Stamp {
                size: record.size,
                mtime: time(record.mtime_seconds, record.mtime_nanoseconds),
                ctime: time(record.ctime_seconds, record.ctime_nanoseconds),
                inode: record.inode,
            },
            permissions: self.permissions[record.permissions as usize],
            content: match record.body {
                Body::Read(number) => Content::Read(self.digests[number as usize]),
                Body::Unread => Content::Unread,
                Body::Target(number) => {
                    Content::Target(&self.targets[self.target_ranges[number as usize].clone()])
                }
                Body::Child(number) => Content::Child(self.children[number as usize]),
                Body::None => Content::None,
            },
        }
    }
}

impl Record {
    #[inline]
    fn new(
        (name_start, name_length): (u64, u16),
        (kind, flags): (EntryKind, EntryFlags),
        stamp: &Stamp,
        permissions: u32,
        body: Body,
    ) -> Record {
        Record {
            size: stamp.size,
            inode: stamp.inode,
            mtime_seconds: stamp.mtime.seconds,
            ctime_seconds: stamp.ctime.seconds,
            mtime_nanoseconds: stamp.mtime.nanoseconds,
            ctime_nanoseconds: stamp.ctime.nanoseconds,
            name_start,
            name_length,
            kind,
            flags,
            permissions,
            body,
        }
    }
}

/// Entries on their way out of a node into a directory, in ascending order of
/// their names.
///
/// An unchanged run does this for every name there is: names are put together in
/// the arena itself, and a file is never an [`Entry`] of 200 bytes.
#[derive(Debug)]
pub struct Unpacking<'d> {
    directory: &'d mut Directory,
    permissions_before: u32,
    arena_before: usize,
    entries_before: usize,
}

impl Unpacking<'_> {
    /// The name of the entry before; empty at the beginning.
    #[inline]
    pub fn name_before(&self) -> &Name {
        self.directory.records.last().map_or(b"", |last| self.directory.name_of(last))
    }

    /// A file with that name: the first `shared` bytes of the name before, and
    /// then `rest`. `permissions` is a number among those given.
    ///
    /// # Panics
    /// When the name before is shorter than `shared`.
    #[inline]
    pub fn file(
        &mut self,
        (shared, rest): (usize, &[u8]),
        stamp: &Stamp,
        permissions: u32,
        digest: &ContentDigest,
    ) {
        let name = self.name(shared, rest);
        let body = Body::Read(numbered(&mut self.directory.digests, *digest));
        let permissions = self.permissions_before + permissions;
        let marks = (EntryKind::File, EntryFlags::NONE);
        self.directory.records.push(Record::new(name, marks, stamp, permissions, body));
    }

    /// Any entry with that name, whatever name is in `entry`.
    ///
    /// # Panics
    /// When the name before is shorter than `shared`.
    pub fn entry(&mut self, (shared, rest): (usize, &[u8]), entry: Entry<'_>) {
        let name = self.name(shared, rest);
        let body = self.directory.keep(entry.content);
        let permissions = self.directory.number_of(entry.permissions);
        let marks = (entry.kind, entry.flags);
        self.directory.records.push(Record::new(name, marks, &entry.stamp, permissions, body));
    }

    #[inline]
    fn name(&mut self, shared: usize, rest: &[u8]) -> (u64, u16) {
        let arena = &mut self.directory.arena;
        let start = arena.len() as u64;
        if let Some(before) = self.directory.records.last().filter(|_| shared > 0) {
            assert!(shared <= before.name_length.into(), "a name shares no more than there is");
            let from = before.name_start as usize;
            arena.extend_from_within(from..from + shared);
        }
        arena.extend_from_slice(rest);
        arena.push(0);
        (start, (shared + rest.len()) as u16)
    }

    /// True when no name holds a byte that no name can have. Asked once for all
    /// of them: that takes a tenth of the time.
    #[must_use]
    pub fn has_only_names(&self) -> bool {
        let (mut nuls, mut slashes) = (0, 0);
        for piece in self.directory.arena[self.arena_before..].chunks(128) {
            nuls += usize::from(piece.iter().map(|&byte| u8::from(byte == 0)).sum::<u8>());
            slashes += usize::from(piece.iter().map(|&byte| u8::from(byte == b'/')).sum::<u8>());
        }
        slashes == 0 && nuls == self.directory.records.len() - self.entries_before
    }
}

/// Appends to a table; gives back the number. Tables are never longer than
/// there are names.
#[inline]
fn numbered<T>(table: &mut Vec<T>, item: T) -> u32 {
    table.push(item);
    (table.len() - 1) as u32
}

#[inline]
fn range(start: u64, length: usize) -> Range<usize> {
    start as usize..start as usize + length
}
