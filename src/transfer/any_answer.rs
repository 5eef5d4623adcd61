//! Doors for the fuzzer: whatever rclone and a remote may answer, as bytes. Pure.

use crate::transfer::listing::{JsonLines, ListedFile};
use crate::transfer::{RcloneVersion, features, looks};

/// A recursive listing that came in these pieces: the files, and whether all of it was understood.
#[doc(hidden)]
pub fn listed_in<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<ListedFile>, bool) {
    let mut lines = JsonLines::default();
    let mut files = Vec::new();
    pieces.for_each(|piece| lines.take(piece, &mut |file| files.push(file)));
    (files, lines.wrong.is_none())
}

/// An answer to each short question. How many of the readers could make something of it.
#[doc(hidden)]
pub fn understood_by(answer: &[u8]) -> usize {
    let text = String::from_utf8_lossy(answer);
    let readers = [
        looks::read_entries(answer).is_ok(),
        features::read(answer).is_ok(),
        RcloneVersion::parse(&text).is_some(),
        RcloneVersion::from_first_line(&text).is_some(),
    ];
    readers.into_iter().filter(|understood| *understood).count()
}
