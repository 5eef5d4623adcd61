//! The names of one directory, sorted, in memory that is used again.

use rustix::fd::AsFd;
use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;

/// Of no measurable influence from 4 KiB to 256 KiB at 15 names a directory;
/// a large one helps where each call is a round trip.
const BUFFER_BYTES: usize = 64 * 1024;
/// So much of each name stands beside it.
const PREFIX_BYTES: usize = 16;

/// A listing: names without `.` and `..`, each once, in byte order.
#[derive(Debug)]
pub(crate) struct Names {
    /// Names with a NUL after each, as the kernel wants them back.
    arena: Vec<u8>,
    records: Vec<Record>,
    buffer: Box<[MaybeUninit<u8>]>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    /// The first bytes of the name, so that most comparisons need no arena.
    prefix: [u64; 2],
    inode: u64,
    start: u32,
    length: u16,
    file_type: FileType,
}

impl Default for Names {
    fn default() -> Self {
        Names { arena: Vec::new(), records: Vec::new(), buffer: Box::new_uninit_slice(BUFFER_BYTES) }
    }
}

impl Names {
    /// Lists `directory` from where its position is: the start, when it was just
    /// opened or rewound.
    pub(crate) fn list(&mut self, directory: impl AsFd) -> Result<(), Errno> {
        self.arena.clear();
        self.records.clear();
        let mut listing = RawDir::new(directory, &mut self.buffer);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if name == b".\0" || name == b"..\0" {
                continue;
            }
            let start = u32::try_from(self.arena.len()).map_err(|_| Errno::OVERFLOW)?;
            self.arena.extend_from_slice(name);
            let length = (name.len() - 1) as u16;
            let (inode, file_type) = (entry.ino(), entry.file_type());
            self.records.push(Record { prefix: [0; 2], inode, start, length, file_type });
        }
        self.arena.extend_from_slice(&[0; PREFIX_BYTES]);
        for record in &mut self.records {
            record.prefix = prefix(&self.arena[record.start as usize..], record.length.into());
        }
        let arena = &self.arena;
        let rest = |record: &Record| {
            &arena[record.start as usize..record.start as usize + usize::from(record.length)]
        };
        self.records.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| rest(a).cmp(rest(b))));
        // A listing that races with a rename can show a name twice.
        self.records
            .dedup_by(|later, earlier| later.prefix == earlier.prefix && rest(later) == rest(earlier));
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The name at `index`, and what the listing says it is. Looks for the NUL:
    /// where the name is only compared, [`Names::bytes`] costs less.
    pub(crate) fn get(&self, index: usize) -> (&CStr, FileType) {
        let record = &self.records[index];
        let bytes = &self.arena[record.start as usize..=record.start as usize + usize::from(record.length)];
        (CStr::from_bytes_with_nul(bytes).unwrap_or_default(), record.file_type)
    }

    /// The inode of the name at `index`, unless it is a directory's: those are opened.
    pub(crate) fn inode_to_look_at(&self, index: usize) -> Option<u64> {
        let record = &self.records[index];
        (record.file_type != FileType::Directory).then_some(record.inode)
    }

    /// The name at `index`, without its NUL.
    #[inline]
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let record = &self.records[index];
        &self.arena[record.start as usize..record.start as usize + usize::from(record.length)]
    }

    /// Gives memory back after a very large directory.
    pub(crate) fn shrink(&mut self, names_max: usize) {
        if self.records.capacity() > names_max {
            self.records = Vec::new();
            self.arena = Vec::new();
        }
    }
}

/// Orders as the bytes do, as far as it goes: a shorter name is filled up with
/// zeros, which no name contains. `bytes` goes on for [`PREFIX_BYTES`] at least.
#[inline]
fn prefix(bytes: &[u8], length: usize) -> [u64; 2] {
    let word = |at: usize| {
        let (_, rest) = bytes.split_at(at);
        let word = rest.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk).swap_bytes());
        match length.saturating_sub(at) {
            0 => 0,
            within @ 1..8 => word & !(u64::MAX >> (8 * within)),
            _ => word,
        }
    };
    [word(0), word(8)]
}
