//! The only `unsafe` of the crate, each door with the reason why it is sound.
#![expect(unsafe_code, reason = "a memory map cannot be made without it")]

use std::fs::File;
use std::io;

/// Maps the first `length` bytes of `file` for reading.
///
/// Only for files of our own that are never changed within `length` and never
/// truncated: index files are append-only, are replaced and unlinked as a
/// whole, and are never mapped beyond what was committed. User files are never
/// mapped: whoever truncates one would kill us with SIGBUS.
///
/// # Errors
/// What the kernel says; a `length` beyond the end of the file is refused.
pub fn map_read_only(file: &File, length: usize) -> io::Result<memmap2::Mmap> {
    if file.metadata()?.len() < length as u64 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file is shorter than what is to be mapped",
        ));
    }
    // SAFETY: the bytes below `length` are immutable by the rule above, so the
    // slice never changes under a reader.
    unsafe { memmap2::MmapOptions::new().len(length).map(file) }
}
