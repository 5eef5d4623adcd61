//! Decoders against bytes that carry the right digest and are wrong all the
//! same: what somebody who can write the index could feed us.
#![allow(clippy::unwrap_used)]

use crate::index::node::{OldPages, Place, RecordSource, RecordStore, read_node, write_node};
use crate::index::pointer::node_offset;
use crate::model::{
    Content, ContentDigest, Directory, DirectoryPointer, Entry, EntryFlags, EntryKind, NodeDigest,
    Permissions, Stamp, Timestamp, Totals, TreeDigest, WriteNodeError,
};
use proptest::prelude::*;
use std::cell::RefCell;

#[derive(Default)]
struct Memory(RefCell<Vec<u8>>);

impl RecordStore for Memory {
    const IS_SCRATCH: bool = false;

    fn append(&self, record: &[u8]) -> Result<u64, WriteNodeError> {
        let mut bytes = self.0.borrow_mut();
        bytes.extend_from_slice(record);
        Ok((bytes.len() - record.len()) as u64)
    }
}

impl RecordSource for Memory {
    fn with_bytes<R>(
        &self,
        place: Place,
        length: u32,
        read: impl FnOnce(&[u8]) -> Result<R, String>,
    ) -> Result<R, String> {
        let bytes = self.0.borrow();
        let start = usize::try_from(place.position).map_err(|error| error.to_string())?;
        let end = start.checked_add(length as usize).ok_or("too long")?;
        read(bytes.get(start..end).ok_or("outside")?)
    }
}

fn pointer_to(bytes: &[u8], unsettled: bool) -> DirectoryPointer {
    DirectoryPointer {
        offset: node_offset(0, false, unsettled),
        length: bytes.len() as u32,
        node: NodeDigest::of(bytes),
        content: TreeDigest([0; 32]),
    }
}

/// One of every kind, in `count` rounds: more than 170 of them make pages.
fn record(count: usize) -> Vec<u8> {
    let mut directory = Directory::default();
    for number in 0..count {
        for (name, kind, content) in [
            ("child", EntryKind::Directory, Content::Child(pointer_to(b"x", false))),
            ("fifo", EntryKind::Special, Content::None),
            ("link", EntryKind::Symlink, Content::Target(b"target")),
            ("mount", EntryKind::Mount, Content::None),
            ("read", EntryKind::File, Content::Read(ContentDigest([7; 32]))),
            ("unread", EntryKind::File, Content::Unread),
        ] {
            let time = Timestamp { seconds: number as i64 * 1000, nanoseconds: 5 };
            let stamp =
                Stamp { size: 1 << number.min(60), mtime: time, ctime: Timestamp::default(), inode: 9 };
            let is_directory = kind == EntryKind::Directory;
            let name = format!("{number:05} {name}");
            directory.push(Entry {
                name: name.as_bytes(),
                kind,
                flags: EntryFlags(number as u8 & 8),
                stamp: if is_directory { Stamp::default() } else { stamp },
                permissions: Permissions { mode: u32::from(!is_directory), uid: 0, gid: 0 },
                content,
            });
        }
    }
    let memory = Memory::default();
    let (pointer, _) = write_node(&memory, &directory, Totals::default(), &OldPages::new()).unwrap();
    let mut read = Directory::default();
    read_node(&memory, &pointer, &mut read).unwrap();
    assert_eq!(read.len(), count * 6);
    let bytes = memory.0.into_inner();
    bytes[bytes.len() - pointer.length as usize..].to_vec()
}

fn read_whatever(bytes: Vec<u8>) {
    let mut directory = Directory::default();
    for unsettled in [false, true] {
        let pointer = pointer_to(&bytes, unsettled);
        let memory = Memory(RefCell::new(bytes.clone()));
        if read_node(&memory, &pointer, &mut directory).is_err() {
            assert!(directory.is_empty());
        }
    }
}

#[test]
fn no_single_wrong_byte_under_a_right_digest_ends_in_a_panic() {
    for record in [record(3), record(180)] {
        for at in 0..record.len() {
            for byte in [0, 1, 0x0f, 0x7f, 0x80, 0xfb, 0xfd, 0xff] {
                let mut wrong = record.clone();
                wrong[at] = byte;
                read_whatever(wrong);
            }
            read_whatever(record[..at].to_vec());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_under_a_right_digest_are_read_or_refused(
        kind in 1u8..6,
        bytes in prop::collection::vec(prop_oneof![0u8..16, any::<u8>()], 0..200),
    ) {
        read_whatever([&[kind][..], &bytes].concat());
    }
}
