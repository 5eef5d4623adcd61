//! A directory to records and back: pages above a thousand entries, the two
//! hashes, the marks. Where records lie is not known here.

use crate::index::codec::{self, EntriesFrame, PagedFrame, kind};
use crate::index::columns::{Columns, Scratch, sums_of, take_entries};
use crate::index::head::{put_head, take_head};
use crate::index::pack::{Column, put_leb, put_record_pointer, take_record_pointer};
use crate::index::pointer::{RecordPointer, is_scratch, is_unsettled, node_offset, position_of};
use crate::model::{
    Content, Directory, DirectoryAttributes, DirectoryFlags, DirectoryPointer, EntryFlags, NodeDigest,
    ReadNodeError, Totals, WriteNodeError,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// Directories with more entries are cut into pages.
pub(super) const PAGED_ABOVE: usize = 1024;
/// A page has at least so many entries (but the last), and at most 1,024.
const PAGE_ENTRIES_MIN: usize = 64;
const PAGE_ENTRIES_MAX: usize = 1024;

/// Where records come from.
pub(super) trait RecordSource {
    /// Calls `read` with the bytes at `position`, which are not checked yet.
    /// `position` carries the scratch mark where it applies.
    fn with_bytes<R>(
        &self,
        place: Place,
        length: u32,
        read: impl FnOnce(&[u8]) -> Result<R, String>,
    ) -> Result<R, String>;
}

/// A position in one of the two files a pending tree is spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) is_scratch: bool,
}

/// Where records go to.
pub(super) trait RecordStore {
    /// Whether what it stores is a scratch file: may then point to one.
    const IS_SCRATCH: bool;

    /// Appends a record; returns its position.
    fn append(&self, record: &[u8]) -> Result<u64, WriteNodeError>;
}

#[derive(Default)]
struct Writing {
    columns: Columns,
    record: Vec<u8>,
    pages: Vec<u8>,
    head: Vec<u8>,
}

thread_local! {
    static WRITING: RefCell<Writing> = RefCell::default();
    static READING: RefCell<Scratch> = RefCell::default();
}

/// The pages of a directory as it was before, by their digests.
pub(super) type OldPages = HashMap<NodeDigest, RecordPointer>;

/// Writes a directory and, when it is big, its pages; those that `old_pages`
/// has are not written again. Returns the number of records written, too.
pub(super) fn write_node<S: RecordStore>(
    store: &S,
    directory: &Directory,
    below: Totals,
    old_pages: &OldPages,
) -> Result<(DirectoryPointer, u64), WriteNodeError> {
    let mut unsettled = false;
    for entry in directory.iter() {
        unsettled |= match entry.content {
            Content::Unread => true,
            Content::Child(child) if is_scratch(child.offset) && !S::IS_SCRATCH => {
                return Err(refused("a committed directory cannot lead into a scratch file".into()));
            }
            Content::Child(child) => is_unsettled(child.offset),
            _ => entry.flags.contains(EntryFlags::RACY),
        };
    }
    let mut attributes = directory.attributes;
    attributes.flags.0 &= !DirectoryFlags::UNSETTLED_BELOW.0;
    if unsettled {
        attributes.flags.0 |= DirectoryFlags::UNSETTLED_BELOW.0;
    }
    let (record, written) = WRITING.with_borrow_mut(|writing| {
        if directory.len() > PAGED_ABOVE {
            return write_paged(store, writing, directory, &attributes, &below, old_pages);
        }
        writing.record.clear();
        let Writing { columns, record, .. } = writing;
        columns.encode_directory(directory, &attributes, &below, record).map_err(refused)?;
        Ok((append(store, record)?, 1))
    })?;
    let pointer = DirectoryPointer {
        offset: node_offset(record.offset, S::IS_SCRATCH, unsettled),
        length: record.length,
        node: record.digest,
        content: directory.content_digest(),
    };
    Ok((pointer, written))
}

fn write_paged<S: RecordStore>(
    store: &S,
    writing: &mut Writing,
    directory: &Directory,
    attributes: &DirectoryAttributes,
    below: &Totals,
    old_pages: &OldPages,
) -> Result<(RecordPointer, u64), WriteNodeError> {
    let Writing { columns, record, pages, head } = writing;
    pages.clear();
    head.clear();
    let mut written = 1;
    let mut offset_before = 0;
    for range in page_ranges(directory) {
        record.clear();
        columns.encode_page(directory, range.clone(), record).map_err(refused)?;
        let page = match old_pages.get(&NodeDigest::of(record)) {
            Some(&old) => old,
            None => {
                written += 1;
                append(store, record)?
            }
        };
        put_record_pointer(pages, &page, offset_before);
        put_leb(pages, range.len() as u64);
        offset_before = page.offset;
    }
    put_head(head, attributes, Some(below)).map_err(refused)?;
    let frame =
        PagedFrame { kind: kind::PAGED_DIRECTORY, head, count: directory.len() as u64, pages, extra: &[] };
    record.clear();
    codec::encode_into(&frame, record).map_err(refused)?;
    Ok((append(store, record)?, written))
}

/// Where pages end is decided by names alone, so that neither history nor stat
/// data move the borders, and one more name moves only those around it.
fn page_ranges(directory: &Directory) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let total = directory.len();
        if start == total {
            return None;
        }
        let furthest = total.min(start + PAGE_ENTRIES_MAX);
        let end = (start + PAGE_ENTRIES_MIN..furthest)
            .find(|&end| blake3::hash(directory.get(end - 1).name).as_bytes()[0] == 0)
            .unwrap_or(furthest);
        let range = start..end;
        start = end;
        Some(range)
    })
}

pub(super) fn append(store: &impl RecordStore, record: &[u8]) -> Result<RecordPointer, WriteNodeError> {
    Ok(RecordPointer {
        offset: store.append(record)?,
        length: record.len() as u32,
        digest: NodeDigest::of(record),
    })
}

pub(super) fn refused(reason: String) -> WriteNodeError {
    WriteNodeError { reason, source: None }
}

/// Reads the directory behind `pointer` with all its pages, and checks them.
/// Returns the number of records read, too.
pub(super) fn read_node(
    source: &impl RecordSource,
    pointer: &DirectoryPointer,
    into: &mut Directory,
) -> Result<(Totals, u64), ReadNodeError> {
    into.clear();
    let place = Place { position: position_of(pointer.offset), is_scratch: is_scratch(pointer.offset) };
    let read = source.with_bytes(place, pointer.length, |bytes| {
        check_digest(bytes, pointer.node)?;
        match bytes.first() {
            Some(&kind::DIRECTORY) => Ok((read_plain(bytes, into)?, 1)),
            Some(&kind::PAGED_DIRECTORY) => read_paged(source, place.is_scratch, bytes, into),
            _ => Err("it is no directory".into()),
        }
    });
    let checked = read.and_then(|(below, records)| {
        let unsettled = into.attributes.flags.contains(DirectoryFlags::UNSETTLED_BELOW);
        if unsettled == is_unsettled(pointer.offset) {
            Ok((below, records))
        } else {
            Err("its marks are not those that its parent knows".to_owned())
        }
    });
    checked.map_err(|reason| {
        into.clear();
        ReadNodeError { offset: place.position, length: pointer.length, reason }
    })
}

fn read_plain(bytes: &[u8], into: &mut Directory) -> Result<Totals, String> {
    let (frame, rest): (EntriesFrame, _) = codec::decode_first(bytes)?;
    let mut column = Column(rest);
    let (attributes, below) = take_head(&mut column)?;
    into.attributes = attributes;
    let below = READING.with_borrow_mut(|scratch| {
        scratch.name.clear();
        take_entries(frame.count, column, Some(&attributes), scratch, into)?;
        below.map_or_else(|| sums_of(scratch), Ok)
    })?;
    Ok(below)
}

fn read_paged(
    source: &impl RecordSource,
    is_scratch: bool,
    bytes: &[u8],
    into: &mut Directory,
) -> Result<(Totals, u64), String> {
    let frame: PagedFrame<'_> = codec::decode(bytes)?;
    let mut head = Column(frame.head);
    let (attributes, below) = take_head(&mut head)?;
    head.finish()?;
    let below = below.ok_or("it does not say how much is below it")?;
    into.attributes = attributes;
    READING.with_borrow_mut(|scratch| scratch.name.clear());
    let mut records = 1;
    for page in PageList::new(&frame) {
        let (page, count) = page?;
        let entries_before = into.len();
        source.with_bytes(Place { position: page.offset, is_scratch }, page.length, |bytes| {
            check_digest(bytes, page.digest)?;
            let (frame, rest): (EntriesFrame, _) = codec::decode_first(bytes)?;
            if frame.kind != kind::PAGE {
                return Err("it leads to a record that is no page".into());
            }
            Ok(READING
                .with_borrow_mut(|scratch| take_entries(frame.count, Column(rest), None, scratch, into))?)
        })?;
        if (into.len() - entries_before) as u64 != count {
            return Err("a page has not as many entries as the directory says".into());
        }
        records += 1;
    }
    if into.len() as u64 != frame.count {
        return Err("its pages have not as many entries as it says".into());
    }
    Ok((below, records))
}

/// The page pointers of a paged directory, with the number of entries of each.
struct PageList<'a> {
    column: Column<'a>,
    offset_before: u64,
}

impl<'a> PageList<'a> {
    fn new(frame: &PagedFrame<'a>) -> Self {
        PageList { column: Column(frame.pages), offset_before: 0 }
    }
}

impl Iterator for PageList<'_> {
    type Item = Result<(RecordPointer, u64), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.column.0.is_empty() {
            return None;
        }
        let page = take_record_pointer(&mut self.column, self.offset_before)
            .and_then(|pointer| Ok((pointer, self.column.leb()?)));
        match page {
            Ok((pointer, _)) => self.offset_before = pointer.offset,
            Err(_) => self.column = Column(&[]),
        }
        Some(page.map_err(str::to_owned))
    }
}

/// The pages of the directory behind `pointer`; none when it has no pages.
pub(super) fn read_pages(
    source: &impl RecordSource,
    pointer: &DirectoryPointer,
) -> Result<OldPages, ReadNodeError> {
    let position = position_of(pointer.offset);
    let place = Place { position, is_scratch: is_scratch(pointer.offset) };
    source
        .with_bytes(place, pointer.length, |bytes| {
            check_digest(bytes, pointer.node)?;
            if bytes.first() != Some(&kind::PAGED_DIRECTORY) {
                return Ok(OldPages::new());
            }
            let frame: PagedFrame<'_> = codec::decode(bytes)?;
            PageList::new(&frame).map(|page| page.map(|(pointer, _)| (pointer.digest, pointer))).collect()
        })
        .map_err(|reason| ReadNodeError { offset: position, length: pointer.length, reason })
}

pub(super) fn check_digest(bytes: &[u8], expected: NodeDigest) -> Result<(), String> {
    if NodeDigest::of(bytes) == expected {
        Ok(())
    } else {
        Err("the bytes there are not those that were written (wrong digest)".into())
    }
}
