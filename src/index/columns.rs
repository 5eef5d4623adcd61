//! A directory's entries as columns, and back: where the bytes are saved.
//!
//! Names are prefix-compressed, stat data are packed column by column, mode and
//! owner are numbers in a small dictionary, hashes are raw.
//! Of about 57 bytes per entry 32 are the content hash.

use crate::index::codec::{self, EntriesFrame, kind};
use crate::index::names::{put_name, take_name};
use crate::index::numbers::{Numbers, put_numbers};
use crate::index::pack::{
    Broken, Column, put_delta, put_directory_pointer, put_leb, put_totals, take_directory_pointer,
    take_totals,
};
use crate::model::{
    Content, ContentDigest, Directory, DirectoryAttributes, DirectoryFlags, DirectoryPointer, Entry,
    EntryFlags, EntryKind, Permissions, Stamp, Timestamp, Totals,
};
use std::ops::Range;

const NANOSECONDS_END: u32 = 1_000_000_000;

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

/// Mark in the head's first byte, above [`DirectoryFlags`].
const HEAD_CTIME_IS_MTIME: u8 = 0x80;

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

/// Writes attributes and totals.
pub(super) fn put_head(
    head: &mut Vec<u8>,
    attributes: &DirectoryAttributes,
    below: &Totals,
) -> Result<(), String> {
    let DirectoryAttributes { mtime, ctime, inode, permissions, flags } = *attributes;
    if flags.0 & HEAD_CTIME_IS_MTIME != 0 {
        return Err(format!("the directory mark {:#x} is taken by the format", flags.0));
    }
    if mtime.nanoseconds >= NANOSECONDS_END || ctime.nanoseconds >= NANOSECONDS_END {
        return Err("a time has a billion nanoseconds or more".into());
    }
    head.push(flags.0 | if ctime == mtime { HEAD_CTIME_IS_MTIME } else { 0 });
    put_delta(head, mtime.seconds as u64, 0);
    head.extend_from_slice(&mtime.nanoseconds.to_le_bytes());
    if ctime != mtime {
        put_delta(head, ctime.seconds as u64, mtime.seconds as u64);
        head.extend_from_slice(&ctime.nanoseconds.to_le_bytes());
    }
    put_leb(head, inode);
    put_leb(head, permissions.mode.into());
    put_leb(head, permissions.uid.into());
    put_leb(head, permissions.gid.into());
    put_totals(head, below);
    Ok(())
}

/// Reads attributes and totals.
pub(super) fn take_head(head: &[u8]) -> Result<(DirectoryAttributes, Totals), Broken> {
    let mut column = Column(head);
    let flags = column.byte()?;
    let mtime = Timestamp { seconds: column.delta(0)? as i64, nanoseconds: take_nanoseconds(&mut column)? };
    let ctime = if flags & HEAD_CTIME_IS_MTIME != 0 {
        mtime
    } else {
        Timestamp {
            seconds: column.delta(mtime.seconds as u64)? as i64,
            nanoseconds: take_nanoseconds(&mut column)?,
        }
    };
    let attributes = DirectoryAttributes {
        mtime,
        ctime,
        inode: column.leb()?,
        permissions: Permissions { mode: column.leb_u32()?, uid: column.leb_u32()?, gid: column.leb_u32()? },
        flags: DirectoryFlags(flags & !HEAD_CTIME_IS_MTIME),
    };
    let below = take_totals(&mut column)?;
    column.finish()?;
    Ok((attributes, below))
}

fn take_nanoseconds(column: &mut Column<'_>) -> Result<u32, Broken> {
    let nanoseconds = u32::from_le_bytes(column.array()?);
    if nanoseconds < NANOSECONDS_END { Ok(nanoseconds) } else { Err("a time has too many nanoseconds") }
}

fn put_dictionary(out: &mut Vec<u8>, dictionary: &[Permissions], near: Permissions) {
    dictionary.iter().fold(near, |before, permissions| {
        put_leb(out, permissions.mode.into());
        put_delta(out, permissions.uid.into(), before.uid.into());
        put_delta(out, permissions.gid.into(), before.gid.into());
        *permissions
    });
}

fn take_dictionary(column: &[u8], near: Permissions, into: &mut Vec<Permissions>) -> Result<(), Broken> {
    let mut column = Column(column);
    let mut before = near;
    into.clear();
    while !column.0.is_empty() {
        let id = |value: u64| u32::try_from(value).map_err(|_| "an owner has more than 32 bits");
        before = Permissions {
            mode: column.leb_u32()?,
            uid: id(column.delta(before.uid.into())?)?,
            gid: id(column.delta(before.gid.into())?)?,
        };
        into.push(before);
    }
    Ok(())
}

/// Buffers for reading; kept by each thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The name before, and then the name: prefixes are filled up in place.
    pub(super) name: Vec<u8>,
    dictionary: Vec<Permissions>,
    tags: Vec<u64>,
}

/// Appends the entries of `frame` to `into`, whose last name (of the page
/// before) is in `scratch.name`. `attributes` of a directory that has no pages.
pub(super) fn take_entries(
    frame: &EntriesFrame<'_>,
    attributes: Option<&DirectoryAttributes>,
    scratch: &mut Scratch,
    into: &mut Directory,
) -> Result<(), Broken> {
    let near = attributes.map(Near::from).unwrap_or_default();
    let Scratch { name, dictionary, tags } = scratch;
    take_dictionary(frame.permissions, near.permissions, dictionary)?;
    let (stamps, ctimes) = take_tags(frame, tags)?;
    let mut reader = EntryReader {
        flags: Column(frame.flags),
        sizes: Numbers::take(frame.sizes, stamps, 0)?,
        mtimes: Numbers::take(frame.mtimes, stamps, near.mtime_seconds)?,
        mtime_nanoseconds: Numbers::take(frame.mtime_nanoseconds, stamps, 0)?,
        ctimes: Numbers::take(frame.ctimes, ctimes, near.ctime_seconds)?,
        ctime_nanoseconds: Numbers::take(frame.ctime_nanoseconds, ctimes, 0)?,
        inodes: Numbers::take(frame.inodes, stamps, near.inode)?,
        digests: Column(frame.digests),
        targets: Column(frame.targets),
        children: Column(frame.children),
        child_offset: 0,
        dictionary,
    };
    let mut names = Column(frame.names);
    for (index, &tag) in tags.iter().enumerate() {
        take_name(&mut names, name, index == 0)?;
        into.push(reader.take_entry(tag, name)?);
    }
    names.finish()?;
    reader.finish()
}

/// Unpacks the tags; returns how many entries have a stamp, and a ctime of their own.
fn take_tags(frame: &EntriesFrame<'_>, tags: &mut Vec<u64>) -> Result<(usize, usize), Broken> {
    // Every entry has at least two bytes of name: a count that lies ends here.
    if frame.count as usize > frame.names.len() {
        return Err("it has fewer names than it says");
    }
    let mut numbers = Numbers::take(frame.tags, frame.count as usize, 0)?;
    let (mut stamps, mut ctimes) = (0, 0);
    tags.clear();
    for _ in 0..frame.count {
        let tag = numbers.next()?;
        let has_stamp = tag & tag::KIND != tag::DIRECTORY;
        stamps += usize::from(has_stamp);
        ctimes += usize::from(has_stamp && tag & tag::CTIME_IS_MTIME == 0);
        tags.push(tag);
    }
    numbers.finish()?;
    Ok((stamps, ctimes))
}

struct EntryReader<'a> {
    flags: Column<'a>,
    sizes: Numbers<'a>,
    mtimes: Numbers<'a>,
    mtime_nanoseconds: Numbers<'a>,
    ctimes: Numbers<'a>,
    ctime_nanoseconds: Numbers<'a>,
    inodes: Numbers<'a>,
    digests: Column<'a>,
    targets: Column<'a>,
    children: Column<'a>,
    child_offset: u64,
    dictionary: &'a [Permissions],
}

impl<'a> EntryReader<'a> {
    fn take_entry<'n>(&mut self, tag: u64, name: &'n [u8]) -> Result<Entry<'n>, Broken>
    where
        'a: 'n,
    {
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
            let number = usize::try_from(tag >> tag::PERMISSIONS_SHIFT).unwrap_or(usize::MAX);
            let permissions =
                self.dictionary.get(number).ok_or("mode and owner are not in the dictionary")?;
            (self.take_stamp(tag)?, *permissions)
        };
        Ok(Entry { name, kind, flags, stamp, permissions, content })
    }

    fn take_child(&mut self) -> Result<DirectoryPointer, Broken> {
        let pointer = take_directory_pointer(&mut self.children, self.child_offset)?;
        self.child_offset = pointer.offset.0;
        Ok(pointer)
    }

    fn take_stamp(&mut self, tag: u64) -> Result<Stamp, Broken> {
        let mtime = take_time(&mut self.mtimes, &mut self.mtime_nanoseconds)?;
        let ctime = if tag & tag::CTIME_IS_MTIME == 0 {
            take_time(&mut self.ctimes, &mut self.ctime_nanoseconds)?
        } else {
            mtime
        };
        Ok(Stamp { size: self.sizes.next()?, mtime, ctime, inode: self.inodes.next()? })
    }

    fn finish(self) -> Result<(), Broken> {
        [self.flags, self.digests, self.targets, self.children].into_iter().try_for_each(Column::finish)?;
        [self.sizes, self.mtimes, self.mtime_nanoseconds].into_iter().try_for_each(Numbers::finish)?;
        [self.ctimes, self.ctime_nanoseconds, self.inodes].into_iter().try_for_each(Numbers::finish)
    }
}

fn take_time(seconds: &mut Numbers<'_>, nanoseconds: &mut Numbers<'_>) -> Result<Timestamp, Broken> {
    let seconds = seconds.next()? as i64;
    let nanoseconds = u32::try_from(nanoseconds.next()?).ok().filter(|&part| part < NANOSECONDS_END);
    Ok(Timestamp { seconds, nanoseconds: nanoseconds.ok_or("a time has too many nanoseconds")? })
}
