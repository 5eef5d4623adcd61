//! A directory's entries as columns, and back: where the bytes are saved.
//!
//! Names are prefix-compressed, stat data are differences to the entry before,
//! mode and owner are numbers in a small dictionary, hashes are raw.
//! Of about 57 bytes per entry 32 are the content hash.

use crate::index::codec::{self, EntriesFrame, kind};
use crate::index::names::{put_name, take_name};
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

/// Marks in an entry's tag byte, above the three bits of its kind.
mod tag {
    pub(super) const KIND: u8 = 7;
    pub(super) const CTIME_IS_MTIME: u8 = 1 << 3;
    pub(super) const MTIME_IS_WHOLE: u8 = 1 << 4;
    pub(super) const CTIME_IS_WHOLE: u8 = 1 << 5;
    pub(super) const SAME_PERMISSIONS: u8 = 1 << 6;
    pub(super) const HAS_FLAGS: u8 = 1 << 7;

    pub(super) const FILE_READ: u8 = 0;
    pub(super) const FILE_UNREAD: u8 = 1;
    pub(super) const DIRECTORY: u8 = 2;
    pub(super) const SYMLINK: u8 = 3;
    pub(super) const SPECIAL: u8 = 4;
    pub(super) const MOUNT: u8 = 5;
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
    stats: Vec<u8>,
    digests: Vec<u8>,
    targets: Vec<u8>,
    children: Vec<u8>,
}

/// What the stat differences of the first entry refer to.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    mtime_seconds: i64,
    ctime_seconds: i64,
    inode: u64,
    permissions: u64,
    child_offset: u64,
}

impl Columns {
    fn clear(&mut self) {
        self.dictionary.clear();
        for column in [
            &mut self.head,
            &mut self.permissions,
            &mut self.names,
            &mut self.stats,
            &mut self.digests,
            &mut self.targets,
            &mut self.children,
        ] {
            column.clear();
        }
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
        let running = Running {
            mtime_seconds: attributes.mtime.seconds,
            ctime_seconds: attributes.ctime.seconds,
            inode: attributes.inode,
            permissions: self.number_of(attributes.permissions) + 1,
            child_offset: 0,
        };
        self.encode_entries(kind::DIRECTORY, directory, 0..directory.len(), running, out)
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
        self.encode_entries(kind::PAGE, directory, range, Running::default(), out)
    }

    fn encode_entries(
        &mut self,
        kind: u8,
        directory: &Directory,
        range: Range<usize>,
        mut running: Running,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let count = range.len() as u32;
        let mut name_before: &[u8] = b"";
        for index in range {
            let entry = directory.get(index);
            put_name(&mut self.names, entry.name, name_before)?;
            name_before = entry.name;
            self.put_entry(&entry, &mut running)?;
        }
        let mut before = Permissions::default();
        for permissions in &self.dictionary {
            put_leb(&mut self.permissions, permissions.mode.into());
            put_delta(&mut self.permissions, permissions.uid.into(), before.uid.into());
            put_delta(&mut self.permissions, permissions.gid.into(), before.gid.into());
            before = *permissions;
        }
        let frame = EntriesFrame {
            kind,
            head: &self.head,
            count,
            permissions: &self.permissions,
            names: &self.names,
            stats: &self.stats,
            digests: &self.digests,
            targets: &self.targets,
            children: &self.children,
            extra: &[],
        };
        codec::encode_into(&frame, out)
    }

    fn put_entry(&mut self, entry: &Entry<'_>, running: &mut Running) -> Result<(), String> {
        let kind = match (entry.kind, &entry.content) {
            (EntryKind::File, Content::Read(digest)) => {
                self.digests.extend_from_slice(&digest.0);
                tag::FILE_READ
            }
            (EntryKind::File, Content::Unread) => tag::FILE_UNREAD,
            (EntryKind::Directory, Content::Child(pointer)) => {
                put_directory_pointer(&mut self.children, pointer, running.child_offset);
                running.child_offset = pointer.offset.0;
                let flags = if entry.flags == EntryFlags::NONE { 0 } else { tag::HAS_FLAGS };
                self.stats.push(tag::DIRECTORY | flags);
                self.put_flags(entry.flags);
                return Ok(());
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
        self.put_stamp(kind, entry, running)
    }

    fn put_stamp(&mut self, kind: u8, entry: &Entry<'_>, running: &mut Running) -> Result<(), String> {
        let Stamp { size, mtime, ctime, inode } = entry.stamp;
        if mtime.nanoseconds >= NANOSECONDS_END || ctime.nanoseconds >= NANOSECONDS_END {
            return Err("a time has a billion nanoseconds or more".into());
        }
        let permissions = self.number_of(entry.permissions);
        let mut tag = kind;
        let mut mark = |mark, set| tag |= if set { mark } else { 0 };
        mark(tag::CTIME_IS_MTIME, ctime == mtime);
        mark(tag::MTIME_IS_WHOLE, mtime.nanoseconds == 0);
        mark(tag::CTIME_IS_WHOLE, ctime != mtime && ctime.nanoseconds == 0);
        mark(tag::SAME_PERMISSIONS, permissions == running.permissions);
        mark(tag::HAS_FLAGS, entry.flags != EntryFlags::NONE);

        self.stats.push(tag);
        self.put_flags(entry.flags);
        if permissions != running.permissions {
            put_leb(&mut self.stats, permissions);
        }
        put_leb(&mut self.stats, size);
        put_delta(&mut self.stats, mtime.seconds as u64, running.mtime_seconds as u64);
        if mtime.nanoseconds != 0 {
            self.stats.extend_from_slice(&mtime.nanoseconds.to_le_bytes());
        }
        if ctime != mtime {
            put_delta(&mut self.stats, ctime.seconds as u64, running.ctime_seconds as u64);
            if ctime.nanoseconds != 0 {
                self.stats.extend_from_slice(&ctime.nanoseconds.to_le_bytes());
            }
        }
        put_delta(&mut self.stats, inode, running.inode);
        running.mtime_seconds = mtime.seconds;
        running.ctime_seconds = ctime.seconds;
        running.inode = inode;
        running.permissions = permissions;
        Ok(())
    }

    fn put_flags(&mut self, flags: EntryFlags) {
        if flags != EntryFlags::NONE {
            self.stats.push(flags.0);
        }
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

/// Buffers for reading; kept by each thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The name before, and then the name: prefixes are filled up in place.
    pub(super) name: Vec<u8>,
    dictionary: Vec<Permissions>,
}

/// Appends the entries of `frame` to `into`, whose last name (of the page
/// before) is in `scratch.name`. `attributes` of a directory that has no pages.
pub(super) fn take_entries(
    frame: &EntriesFrame<'_>,
    attributes: Option<&DirectoryAttributes>,
    scratch: &mut Scratch,
    into: &mut Directory,
) -> Result<(), Broken> {
    let mut running = Running::default();
    scratch.dictionary.clear();
    if let Some(attributes) = attributes {
        running.mtime_seconds = attributes.mtime.seconds;
        running.ctime_seconds = attributes.ctime.seconds;
        running.inode = attributes.inode;
        running.permissions = 1;
    }
    take_dictionary(frame.permissions, &mut scratch.dictionary)?;

    let mut names = Column(frame.names);
    let mut reader = EntryReader {
        stats: Column(frame.stats),
        digests: Column(frame.digests),
        targets: Column(frame.targets),
        children: Column(frame.children),
        dictionary: &scratch.dictionary,
        running,
    };
    for index in 0..frame.count {
        take_name(&mut names, &mut scratch.name, index == 0)?;
        into.push(reader.take_entry(&scratch.name)?);
    }
    names.finish()?;
    reader.finish()
}

fn take_dictionary(column: &[u8], into: &mut Vec<Permissions>) -> Result<(), Broken> {
    let mut column = Column(column);
    let mut before = Permissions::default();
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

struct EntryReader<'a> {
    stats: Column<'a>,
    digests: Column<'a>,
    targets: Column<'a>,
    children: Column<'a>,
    dictionary: &'a [Permissions],
    running: Running,
}

impl<'a> EntryReader<'a> {
    fn take_entry<'n>(&mut self, name: &'n [u8]) -> Result<Entry<'n>, Broken>
    where
        'a: 'n,
    {
        let tag = self.stats.byte()?;
        let (kind, content) = match tag & tag::KIND {
            tag::FILE_READ => (EntryKind::File, Content::Read(ContentDigest(self.digests.array()?))),
            tag::FILE_UNREAD => (EntryKind::File, Content::Unread),
            tag::DIRECTORY => {
                let pointer = self.take_child()?;
                let flags = self.take_flags(tag)?;
                return Ok(Entry {
                    name,
                    kind: EntryKind::Directory,
                    flags,
                    stamp: Stamp::default(),
                    permissions: Permissions::default(),
                    content: Content::Child(pointer),
                });
            }
            tag::SYMLINK => {
                let length = self.targets.leb_length()?;
                (EntryKind::Symlink, Content::Target(self.targets.take(length)?))
            }
            tag::SPECIAL => (EntryKind::Special, Content::None),
            tag::MOUNT => (EntryKind::Mount, Content::None),
            _ => return Err("an entry is of a kind that this version does not know"),
        };
        let flags = self.take_flags(tag)?;
        let permissions = self.take_permissions(tag)?;
        let stamp = self.take_stamp(tag)?;
        Ok(Entry { name, kind, flags, stamp, permissions, content })
    }

    fn take_child(&mut self) -> Result<DirectoryPointer, Broken> {
        let pointer = take_directory_pointer(&mut self.children, self.running.child_offset)?;
        self.running.child_offset = pointer.offset.0;
        Ok(pointer)
    }

    fn take_flags(&mut self, tag: u8) -> Result<EntryFlags, Broken> {
        Ok(EntryFlags(if tag & tag::HAS_FLAGS != 0 { self.stats.byte()? } else { 0 }))
    }

    fn take_permissions(&mut self, tag: u8) -> Result<Permissions, Broken> {
        if tag & tag::SAME_PERMISSIONS == 0 {
            self.running.permissions = self.stats.leb()?;
        }
        let known = usize::try_from(self.running.permissions).ok().and_then(|at| self.dictionary.get(at));
        known.copied().ok_or("mode and owner are not in the dictionary")
    }

    fn take_stamp(&mut self, tag: u8) -> Result<Stamp, Broken> {
        let size = self.stats.leb()?;
        let mut mtime = Timestamp {
            seconds: self.stats.delta(self.running.mtime_seconds as u64)? as i64,
            nanoseconds: 0,
        };
        if tag & tag::MTIME_IS_WHOLE == 0 {
            mtime.nanoseconds = take_nanoseconds(&mut self.stats)?;
        }
        let mut ctime = mtime;
        if tag & tag::CTIME_IS_MTIME == 0 {
            ctime.seconds = self.stats.delta(self.running.ctime_seconds as u64)? as i64;
            ctime.nanoseconds =
                if tag & tag::CTIME_IS_WHOLE == 0 { take_nanoseconds(&mut self.stats)? } else { 0 };
        }
        let inode = self.stats.delta(self.running.inode)?;
        self.running.mtime_seconds = mtime.seconds;
        self.running.ctime_seconds = ctime.seconds;
        self.running.inode = inode;
        Ok(Stamp { size, mtime, ctime, inode })
    }

    fn finish(self) -> Result<(), Broken> {
        [self.stats, self.digests, self.targets, self.children].into_iter().try_for_each(Column::finish)
    }
}
