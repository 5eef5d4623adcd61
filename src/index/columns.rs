//! A directory's entries as columns, and back: where the bytes are saved.
//!
//! Names are prefix-compressed, stat data are packed column by column, mode and
//! owner are numbers in a small dictionary, hashes are raw.
//! Of about 56 bytes per entry 32 are the content hash. No column has a length in
//! front: the tags come first and say how many numbers the others have, and what
//! belongs to a name stands beside it.

use crate::index::codec::{self, EntriesFrame, kind};
use crate::index::head::{NANOSECONDS_END, put_dictionary, put_head, take_dictionary};
use crate::index::names::{put_name, take_name};
use crate::index::numbers::{put_numbers, take_numbers};
use crate::index::pack::{Broken, Column, end_of, put_directory_pointer, put_leb, take_directory_pointer};
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
    dictionary: Vec<Permissions>,
    /// Of every entry its name, and of a link its target, of a directory where it is.
    names: Vec<u8>,
    flags: Vec<u8>,
    digests: Vec<u8>,
    /// Where the child before ends.
    child_end: u64,
    tags: Vec<u64>,
    sizes: Vec<u64>,
    mtimes: Vec<u64>,
    mtime_nanoseconds: Vec<u64>,
    ctimes: Vec<u64>,
    ctime_nanoseconds: Vec<u64>,
    inodes: Vec<u64>,
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
        self.child_end = 0;
        let bytes = [&mut self.names, &mut self.flags, &mut self.digests];
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
        self.put_entries(directory, 0..directory.len())?;
        let has_children = self.tags.iter().any(|tag| tag & tag::KIND == tag::DIRECTORY);
        let follow = !has_children && sums(&self.tags, &self.sizes) == *below;
        codec::encode_into(&EntriesFrame { kind: kind::DIRECTORY, count: directory.len() as u32 }, out)?;
        put_head(out, attributes, Some(below).filter(|_| !follow))?;
        self.put_columns(attributes.into(), out);
        Ok(())
    }

    /// Appends the record of one page. It depends on nothing but its entries,
    /// so that an unchanged page is found to be the old one.
    pub(super) fn encode_page(
        &mut self,
        directory: &Directory,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        codec::encode_into(&EntriesFrame { kind: kind::PAGE, count: range.len() as u32 }, out)?;
        self.put_entries(directory, range)?;
        self.put_columns(Near::default(), out);
        Ok(())
    }

    fn put_entries(&mut self, directory: &Directory, range: Range<usize>) -> Result<(), String> {
        self.clear();
        let mut name_before: &[u8] = b"";
        for index in range {
            let entry = directory.get(index);
            put_name(&mut self.names, entry.name, name_before)?;
            name_before = entry.name;
            self.put_entry(&entry)?;
        }
        Ok(())
    }

    fn put_columns(&self, near: Near, out: &mut Vec<u8>) {
        put_numbers(out, &self.tags, 0);
        put_dictionary(out, &self.dictionary, near.permissions);
        out.extend_from_slice(&self.flags);
        let numbers: [(&[u64], u64); 6] = [
            (&self.sizes, 0),
            (&self.mtimes, near.mtime_seconds),
            (&self.mtime_nanoseconds, 0),
            (&self.ctimes, near.ctime_seconds),
            (&self.ctime_nanoseconds, 0),
            (&self.inodes, near.inode),
        ];
        numbers.into_iter().for_each(|(numbers, near)| put_numbers(out, numbers, near));
        out.extend_from_slice(&self.digests);
        out.extend_from_slice(&self.names);
    }

    fn put_entry(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        let mut tag = match (entry.kind, &entry.content) {
            (EntryKind::File, Content::Read(digest)) => {
                self.digests.extend_from_slice(&digest.0);
                tag::FILE_READ
            }
            (EntryKind::File, Content::Unread) => tag::FILE_UNREAD,
            (EntryKind::Directory, Content::Child(pointer)) => {
                put_directory_pointer(&mut self.names, pointer, self.child_end);
                self.child_end = end_of(pointer);
                tag::DIRECTORY
            }
            (EntryKind::Symlink, Content::Target(target)) => {
                put_leb(&mut self.names, target.len() as u64);
                self.names.extend_from_slice(target);
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
    /// The name before, and then the name: prefixes are filled up in place.
    pub(super) name: Vec<u8>,
    dictionary: Vec<Permissions>,
    tags: Vec<u64>,
    sizes: Vec<u64>,
    mtimes: Vec<u64>,
    mtime_nanoseconds: Vec<u64>,
    ctimes: Vec<u64>,
    ctime_nanoseconds: Vec<u64>,
    inodes: Vec<u64>,
}

/// Appends the `count` entries in `column` to `into`, whose last name (of the page
/// before) is in `scratch.name`. `attributes` of a directory that has no pages.
pub(super) fn take_entries(
    count: u32,
    mut column: Column<'_>,
    attributes: Option<&DirectoryAttributes>,
    scratch: &mut Scratch,
    into: &mut Directory,
) -> Result<(), Broken> {
    let near = attributes.map(Near::from).unwrap_or_default();
    let counts = take_tags(count, &mut column, &mut scratch.tags)?;
    let Counts { rows, flags, stamps, ctimes, digests } = counts;
    take_dictionary(&mut column, rows, near.permissions, &mut scratch.dictionary)?;
    let flags = Column(column.take(flags)?);
    take_numbers(&mut column, stamps, 0, &mut scratch.sizes)?;
    take_numbers(&mut column, stamps, near.mtime_seconds, &mut scratch.mtimes)?;
    take_numbers(&mut column, stamps, 0, &mut scratch.mtime_nanoseconds)?;
    take_numbers(&mut column, ctimes, near.ctime_seconds, &mut scratch.ctimes)?;
    take_numbers(&mut column, ctimes, 0, &mut scratch.ctime_nanoseconds)?;
    take_numbers(&mut column, stamps, near.inode, &mut scratch.inodes)?;
    let digests = Column(column.take(digests * size_of::<ContentDigest>())?);

    let mut name = std::mem::take(&mut scratch.name);
    let mut reader =
        EntryReader { flags, digests, names: column, child_end: 0, stamp: 0, ctime: 0, numbers: scratch };
    for (index, &tag) in scratch.tags.iter().enumerate() {
        take_name(&mut reader.names, &mut name, index == 0)?;
        into.push(reader.take_entry(tag, &name)?);
    }
    skip_extra(reader.names)?;
    scratch.name = name;
    Ok(())
}

/// What the totals of the entries just read are: for a directory that has no
/// subdirectories, and does not say them.
pub(super) fn sums_of(scratch: &Scratch) -> Result<Totals, Broken> {
    if scratch.tags.iter().any(|tag| tag & tag::KIND == tag::DIRECTORY) {
        return Err("it does not say how much is below its directories");
    }
    Ok(sums(&scratch.tags, &scratch.sizes))
}

/// No directory is among the entries, so that every tag has a size.
fn sums(tags: &[u64], sizes: &[u64]) -> Totals {
    let files = tags.iter().zip(sizes).filter(|(tag, _)| **tag & tag::KIND <= tag::FILE_UNREAD);
    files.fold(Totals::default(), |mut totals, (_, size)| {
        totals.add(Totals { files: 1, directories: 0, bytes: *size });
        totals
    })
}

/// Columns of a later version, each `tag u8 ‖ LEB(length) ‖ bytes`: none is known.
fn skip_extra(mut rest: Column<'_>) -> Result<(), Broken> {
    while !rest.0.is_empty() {
        rest.byte()?;
        let length = rest.leb_length()?;
        rest.take(length)?;
    }
    Ok(())
}

/// How long the columns behind the tags are.
#[derive(Default)]
struct Counts {
    /// Rows of the dictionary.
    rows: usize,
    flags: usize,
    stamps: usize,
    /// Stamps with a ctime of their own.
    ctimes: usize,
    digests: usize,
}

fn take_tags(count: u32, column: &mut Column<'_>, tags: &mut Vec<u64>) -> Result<Counts, Broken> {
    // Every name has at least two bytes: a count that lies ends here.
    let count = count as usize;
    if count > column.0.len() {
        return Err("it has fewer names than it says");
    }
    take_numbers(column, count, 0, tags)?;
    let mut counts = Counts::default();
    for &tag in tags.iter() {
        counts.flags += usize::from(tag & tag::HAS_FLAGS != 0);
        counts.digests += usize::from(tag & tag::KIND == tag::FILE_READ);
        if tag & tag::KIND != tag::DIRECTORY {
            counts.stamps += 1;
            counts.ctimes += usize::from(tag & tag::CTIME_IS_MTIME == 0);
            let number = usize::try_from(tag >> tag::PERMISSIONS_SHIFT).unwrap_or(usize::MAX);
            // A row is as new as its first entry: there cannot be more rows than entries before.
            if number > counts.rows {
                return Err("a mode and owner is numbered out of turn");
            }
            counts.rows = counts.rows.max(number + 1);
        }
    }
    Ok(counts)
}

struct EntryReader<'a> {
    flags: Column<'a>,
    digests: Column<'a>,
    names: Column<'a>,
    child_end: u64,
    /// How many stamps were taken.
    stamp: usize,
    /// How many ctimes were taken.
    ctime: usize,
    numbers: &'a Scratch,
}

impl<'a> EntryReader<'a> {
    // An entry is 200 bytes long: returned by a call, it would be copied twice.
    #[inline(always)]
    fn take_entry<'n>(&mut self, tag: u64, name: &'n [u8]) -> Result<Entry<'n>, Broken>
    where
        'a: 'n,
    {
        let (kind, content) = match tag & tag::KIND {
            tag::FILE_READ => (EntryKind::File, Content::Read(ContentDigest(self.digests.array()?))),
            tag::FILE_UNREAD => (EntryKind::File, Content::Unread),
            tag::DIRECTORY => (EntryKind::Directory, Content::Child(self.take_child()?)),
            tag::SYMLINK => {
                let length = self.names.leb_length()?;
                (EntryKind::Symlink, Content::Target(self.names.take(length)?))
            }
            tag::SPECIAL => (EntryKind::Special, Content::None),
            tag::MOUNT => (EntryKind::Mount, Content::None),
            _ => return Err("an entry is of a kind that this version does not know"),
        };
        let flags = EntryFlags(if tag & tag::HAS_FLAGS == 0 { 0 } else { self.flags.byte()? });
        let (stamp, permissions) = if kind == EntryKind::Directory {
            (Stamp::default(), Permissions::default())
        } else {
            let number = usize::try_from(tag >> tag::PERMISSIONS_SHIFT).unwrap_or(usize::MAX);
            let permissions =
                self.numbers.dictionary.get(number).ok_or("mode and owner are not in the dictionary")?;
            (self.take_stamp(tag)?, *permissions)
        };
        Ok(Entry { name, kind, flags, stamp, permissions, content })
    }

    fn take_child(&mut self) -> Result<DirectoryPointer, Broken> {
        let pointer = take_directory_pointer(&mut self.names, self.child_end)?;
        self.child_end = end_of(&pointer);
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
}

#[inline]
fn time(seconds: u64, nanoseconds: u64) -> Result<Timestamp, Broken> {
    if nanoseconds >= NANOSECONDS_END.into() {
        return Err("a time has too many nanoseconds");
    }
    Ok(Timestamp { seconds: seconds as i64, nanoseconds: nanoseconds as u32 })
}
