//! A directory's entries as columns, and back: where the bytes are saved.
//!
//! Names are prefix-compressed, stat data are packed column by column, mode and
//! owner are numbers in a small dictionary, hashes are raw.
//! Of about 57 bytes per entry 32 are the content hash.

use crate::index::codec::{self, EntriesFrame, kind};
use crate::index::head::{NANOSECONDS_END, put_dictionary, put_head, take_dictionary};
use crate::index::names::{NOT_A_NAME, put_name, take_name};
use crate::index::numbers::{put_numbers, take_numbers};
use crate::index::pack::{Broken, Column, put_directory_pointer, put_leb, take_directory_pointer};
use crate::model::{
    Content, ContentDigest, Directory, DirectoryAttributes, DirectoryPointer, Entry, EntryFlags, EntryKind,
    Permissions, Stamp, Timestamp, Totals,
};
use std::ops::Range;

/// An entry's tag: three bits of kind, two marks, and the number of its mode
/// and owner in the dictionary.
mod tag {
    pub(super) const KIND: u64 = 7;
    pub(super) const CTIME_IS_MTIME: u64 = 1 << 3;
    pub(super) const HAS_FLAGS: u64 = 1 << 4;
    pub(super) const PERMISSIONS_SHIFT: u32 = 5;

    pub(super) const FILE_READ: u64 = 0;
    pub(super) const FILE_UNREAD: u64 = 1;
    pub(super) const DIRECTORY: u64 = 2;
    pub(super) const SYMLINK: u64 = 3;
    pub(super) const SPECIAL: u64 = 4;
    pub(super) const MOUNT: u64 = 5;
}

/// The columns while they are filled; kept by each thread and filled again.
#[derive(Debug, Default)]
pub(super) struct Columns {
    head: Vec<u8>,
    dictionary: Vec<Permissions>,
    permissions: Vec<u8>,
    names: Vec<u8>,
    flags: Vec<u8>,
    digests: Vec<u8>,
    targets: Vec<u8>,
    children: Vec<u8>,
    child_offset: u64,
    tags: Vec<u64>,
    sizes: Vec<u64>,
    mtimes: Vec<u64>,
    mtime_nanoseconds: Vec<u64>,
    ctimes: Vec<u64>,
    ctime_nanoseconds: Vec<u64>,
    inodes: Vec<u64>,
    /// The number columns in their final form, one after the other.
    packed: Vec<u8>,
}

/// What the numbers of a column are near to: the directory's own. All zero in a
/// page, which must not depend on its directory's attributes.
#[derive(Debug, Clone, Copy, Default)]
struct Near {
    permissions: Permissions,
    mtime_seconds: u64,
    ctime_seconds: u64,
    inode: u64,
}

impl From<&DirectoryAttributes> for Near {
    fn from(attributes: &DirectoryAttributes) -> Self {
        Near {
            permissions: attributes.permissions,
            mtime_seconds: attributes.mtime.seconds as u64,
            ctime_seconds: attributes.ctime.seconds as u64,
            inode: attributes.inode,
        }
    }
}

impl Columns {
    fn clear(&mut self) {
        self.dictionary.clear();
        self.child_offset = 0;
        let bytes = [&mut self.head, &mut self.names, &mut self.flags, &mut self.digests];
        bytes.into_iter().for_each(Vec::clear);
        let bytes = [&mut self.targets, &mut self.children, &mut self.packed, &mut self.permissions];
        bytes.into_iter().for_each(Vec::clear);
        let numbers = [&mut self.tags, &mut self.sizes, &mut self.mtimes, &mut self.mtime_nanoseconds];
        numbers.into_iter().for_each(Vec::clear);
        let numbers = [&mut self.ctimes, &mut self.ctime_nanoseconds, &mut self.inodes];
        numbers.into_iter().for_each(Vec::clear);
    }

    /// Appends the record of a directory that needs no pages to `out`.
    pub(super) fn encode_directory(
        &mut self,
        directory: &Directory,
        attributes: &DirectoryAttributes,
        below: &Totals,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.clear();
        put_head(&mut self.head, attributes, below)?;
        self.encode_entries(kind::DIRECTORY, directory, 0..directory.len(), attributes.into(), out)
    }

    /// Appends the record of one page. It depends on nothing but its entries,
    /// so that an unchanged page is found to be the old one.
    pub(super) fn encode_page(
        &mut self,
        directory: &Directory,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.clear();
        self.encode_entries(kind::PAGE, directory, range, Near::default(), out)
    }

    fn encode_entries(
        &mut self,
        kind: u8,
        directory: &Directory,
        range: Range<usize>,
        near: Near,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let count = range.len() as u32;
        let mut name_before: &[u8] = b"";
        for index in range {
            let entry = directory.get(index);
            put_name(&mut self.names, entry.name, name_before)?;
            name_before = entry.name;
            self.put_entry(&entry)?;
        }
        put_dictionary(&mut self.permissions, &self.dictionary, near.permissions);
        let mut cuts = [0; 8];
        let numbers: [(&[u64], u64); 7] = [
            (&self.tags, 0),
            (&self.sizes, 0),
            (&self.mtimes, near.mtime_seconds),
            (&self.mtime_nanoseconds, 0),
            (&self.ctimes, near.ctime_seconds),
            (&self.ctime_nanoseconds, 0),
            (&self.inodes, near.inode),
        ];
        for (at, (numbers, near)) in numbers.into_iter().enumerate() {
            put_numbers(&mut self.packed, numbers, near);
            cuts[at + 1] = self.packed.len();
        }
        let packed = |at: usize| &self.packed[cuts[at]..cuts[at + 1]];
        let frame = EntriesFrame {
            kind,
            head: &self.head,
            count,
            permissions: &self.permissions,
            names: &self.names,
            tags: packed(0),
            flags: &self.flags,
            sizes: packed(1),
            mtimes: packed(2),
            mtime_nanoseconds: packed(3),
            ctimes: packed(4),
            ctime_nanoseconds: packed(5),
            inodes: packed(6),
            digests: &self.digests,
            targets: &self.targets,
            children: &self.children,
            extra: &[],
        };
        codec::encode_into(&frame, out)
    }

    fn put_entry(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        let mut tag = match (entry.kind, &entry.content) {
            (EntryKind::File, Content::Read(digest)) => {
                self.digests.extend_from_slice(&digest.0);
                tag::FILE_READ
            }
            (EntryKind::File, Content::Unread) => tag::FILE_UNREAD,
            (EntryKind::Directory, Content::Child(pointer)) => {
                put_directory_pointer(&mut self.children, pointer, self.child_offset);
                self.child_offset = pointer.offset.0;
                tag::DIRECTORY
            }
            (EntryKind::Symlink, Content::Target(target)) => {
                put_leb(&mut self.targets, target.len() as u64);
                self.targets.extend_from_slice(target);
                tag::SYMLINK
            }
            (EntryKind::Special, Content::None) => tag::SPECIAL,
            (EntryKind::Mount, Content::None) => tag::MOUNT,
            _ => return Err(format!("an entry of kind {:?} came with {:?}", entry.kind, entry.content)),
        };
        if entry.flags != EntryFlags::NONE {
            tag |= tag::HAS_FLAGS;
            self.flags.push(entry.flags.0);
        }
        if entry.kind != EntryKind::Directory {
            tag |= self.number_of(entry.permissions) << tag::PERMISSIONS_SHIFT;
            tag |= self.put_stamp(&entry.stamp)?;
        }
        self.tags.push(tag);
        Ok(())
    }

    /// Returns the mark for the tag.
    fn put_stamp(&mut self, stamp: &Stamp) -> Result<u64, String> {
        let Stamp { size, mtime, ctime, inode } = *stamp;
        if mtime.nanoseconds >= NANOSECONDS_END || ctime.nanoseconds >= NANOSECONDS_END {
            return Err("a time has a billion nanoseconds or more".into());
        }
        self.sizes.push(size);
        self.mtimes.push(mtime.seconds as u64);
        self.mtime_nanoseconds.push(mtime.nanoseconds.into());
        self.inodes.push(inode);
        if ctime == mtime {
            return Ok(tag::CTIME_IS_MTIME);
        }
        self.ctimes.push(ctime.seconds as u64);
        self.ctime_nanoseconds.push(ctime.nanoseconds.into());
        Ok(0)
    }

    /// The last one is nearly always the right one, so it is looked at first.
    fn number_of(&mut self, permissions: Permissions) -> u64 {
        let known = self.dictionary.iter().rposition(|known| *known == permissions);
        known.unwrap_or_else(|| {
            self.dictionary.push(permissions);
            self.dictionary.len() - 1
        }) as u64
    }
}

/// Buffers for reading; kept by each thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    dictionary: Vec<Permissions>,
    tags: Vec<u64>,
    sizes: Vec<u64>,
    mtimes: Vec<u64>,
    mtime_nanoseconds: Vec<u64>,
    ctimes: Vec<u64>,
    ctime_nanoseconds: Vec<u64>,
    inodes: Vec<u64>,
}

/// Appends the entries of `frame` to `into`, which holds those of the pages
/// before. `attributes` of a directory that has no pages.
pub(super) fn take_entries(
    frame: &EntriesFrame<'_>,
    attributes: Option<&DirectoryAttributes>,
    scratch: &mut Scratch,
    into: &mut Directory,
) -> Result<(), Broken> {
    let near = attributes.map(Near::from).unwrap_or_default();
    take_dictionary(frame.permissions, near.permissions, &mut scratch.dictionary)?;
    let (stamps, ctimes) = take_tags(frame, &mut scratch.tags)?;
    take_numbers(frame.sizes, stamps, 0, &mut scratch.sizes)?;
    take_numbers(frame.mtimes, stamps, near.mtime_seconds, &mut scratch.mtimes)?;
    take_numbers(frame.mtime_nanoseconds, stamps, 0, &mut scratch.mtime_nanoseconds)?;
    take_numbers(frame.ctimes, ctimes, near.ctime_seconds, &mut scratch.ctimes)?;
    take_numbers(frame.ctime_nanoseconds, ctimes, 0, &mut scratch.ctime_nanoseconds)?;
    take_numbers(frame.inodes, stamps, near.inode, &mut scratch.inodes)?;

    let mut names = Column(frame.names);
    let mut reader = EntryReader {
        flags: Column(frame.flags),
        digests: Column(frame.digests),
        targets: Column(frame.targets),
        children: Column(frame.children),
        child_offset: 0,
        stamp: 0,
        ctime: 0,
        numbers: scratch,
    };
    let mut entries = into.unpack(scratch.tags.len(), &scratch.dictionary);
    for (index, &tag) in scratch.tags.iter().enumerate() {
        let name = take_name(&mut names, entries.name_before(), index == 0)?;
        if tag & (tag::KIND | tag::HAS_FLAGS) == tag::FILE_READ {
            let digest = ContentDigest(reader.digests.array()?);
            let permissions = reader.permissions_number(tag)?;
            entries.file(name, &reader.take_stamp(tag)?, permissions as u32, &digest);
        } else {
            entries.entry(name, reader.take_entry(tag)?);
        }
    }
    if !entries.has_only_names() {
        return Err(NOT_A_NAME);
    }
    names.finish()?;
    reader.finish()
}

/// Reads the tags; returns how many entries have a stamp, and a ctime of their own.
fn take_tags(frame: &EntriesFrame<'_>, tags: &mut Vec<u64>) -> Result<(usize, usize), Broken> {
    // Every name has at least two bytes: a count that lies ends here.
    let count = frame.count as usize;
    if count > frame.names.len() {
        return Err("it has fewer names than it says");
    }
    take_numbers(frame.tags, count, 0, tags)?;
    let (mut stamps, mut ctimes) = (0, 0);
    for tag in tags {
        let has_stamp = *tag & tag::KIND != tag::DIRECTORY;
        stamps += usize::from(has_stamp);
        ctimes += usize::from(has_stamp && *tag & tag::CTIME_IS_MTIME == 0);
    }
    Ok((stamps, ctimes))
}

struct EntryReader<'a> {
    flags: Column<'a>,
    digests: Column<'a>,
    targets: Column<'a>,
    children: Column<'a>,
    child_offset: u64,
    /// How many stamps were taken.
    stamp: usize,
    /// How many ctimes were taken.
    ctime: usize,
    numbers: &'a Scratch,
}

impl<'a> EntryReader<'a> {
    #[inline]
    fn permissions_number(&self, tag: u64) -> Result<usize, Broken> {
        let number = usize::try_from(tag >> tag::PERMISSIONS_SHIFT).unwrap_or(usize::MAX);
        if number < self.numbers.dictionary.len() {
            Ok(number)
        } else {
            Err("mode and owner are not in the dictionary")
        }
    }

    /// The entry but for its name.
    fn take_entry(&mut self, tag: u64) -> Result<Entry<'a>, Broken> {
        let (kind, content) = match tag & tag::KIND {
            tag::FILE_READ => (EntryKind::File, Content::Read(ContentDigest(self.digests.array()?))),
            tag::FILE_UNREAD => (EntryKind::File, Content::Unread),
            tag::DIRECTORY => (EntryKind::Directory, Content::Child(self.take_child()?)),
            tag::SYMLINK => {
                let length = self.targets.leb_length()?;
                (EntryKind::Symlink, Content::Target(self.targets.take(length)?))
            }
            tag::SPECIAL => (EntryKind::Special, Content::None),
            tag::MOUNT => (EntryKind::Mount, Content::None),
            _ => return Err("an entry is of a kind that this version does not know"),
        };
        let flags = EntryFlags(if tag & tag::HAS_FLAGS == 0 { 0 } else { self.flags.byte()? });
        let (stamp, permissions) = if kind == EntryKind::Directory {
            (Stamp::default(), Permissions::default())
        } else {
            let permissions = self.numbers.dictionary[self.permissions_number(tag)?];
            (self.take_stamp(tag)?, permissions)
        };
        Ok(Entry { name: b"", kind, flags, stamp, permissions, content })
    }

    fn take_child(&mut self) -> Result<DirectoryPointer, Broken> {
        let pointer = take_directory_pointer(&mut self.children, self.child_offset)?;
        self.child_offset = pointer.offset.0;
        Ok(pointer)
    }

    #[inline]
    fn take_stamp(&mut self, tag: u64) -> Result<Stamp, Broken> {
        let (numbers, at) = (self.numbers, self.stamp);
        self.stamp += 1;
        let mtime = time(numbers.mtimes[at], numbers.mtime_nanoseconds[at])?;
        let mut ctime = mtime;
        if tag & tag::CTIME_IS_MTIME == 0 {
            ctime = time(numbers.ctimes[self.ctime], numbers.ctime_nanoseconds[self.ctime])?;
            self.ctime += 1;
        }
        Ok(Stamp { size: numbers.sizes[at], mtime, ctime, inode: numbers.inodes[at] })
    }

    fn finish(self) -> Result<(), Broken> {
        [self.flags, self.digests, self.targets, self.children].into_iter().try_for_each(Column::finish)
    }
}

#[inline]
fn time(seconds: u64, nanoseconds: u64) -> Result<Timestamp, Broken> {
    if nanoseconds >= NANOSECONDS_END.into() {
        return Err("a time has too many nanoseconds");
    }
    Ok(Timestamp { seconds: seconds as i64, nanoseconds: nanoseconds as u32 })
}
