//! Puts a listing into path order, so that it can be merged with a tree. What
//! does not fit into the memory it is given lies in unnamed temporary files.

use crate::model::TreePath;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Entries that are sorted in memory: about 30 MiB.
const ENTRIES_MAX: usize = 200_000;

/// A path and its size in bytes, as the remote knows it.
pub(super) type Listed = (TreePath, Option<u64>);

/// Takes entries in any order.
pub(super) struct SortedListing {
    temporary_directory: PathBuf,
    entries_max: usize,
    entries: Vec<Listed>,
    spilled: Vec<File>,
}

impl SortedListing {
    pub(super) fn new(temporary_directory: &Path) -> Self {
        SortedListing {
            temporary_directory: temporary_directory.to_path_buf(),
            entries_max: ENTRIES_MAX,
            entries: Vec::new(),
            spilled: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, entry: Listed) -> io::Result<()> {
        self.entries.push(entry);
        if self.entries.len() >= self.entries_max { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.entries.sort();
        let mut file = BufWriter::new(tempfile::tempfile_in(&self.temporary_directory)?);
        for (path, size) in self.entries.drain(..) {
            let length = u32::try_from(path.as_bytes().len()).map_err(io::Error::other)?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(path.as_bytes())?;
            file.write_all(&size.unwrap_or(u64::MAX).to_le_bytes())?;
        }
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.spilled.push(file);
        Ok(())
    }

    /// All entries in path order.
    pub(super) fn finish(mut self) -> io::Result<Merged> {
        self.entries.sort();
        let mut merged = Merged {
            sources: self.spilled.into_iter().map(|file| Source::File(BufReader::new(file))).collect(),
            heads: BinaryHeap::new(),
        };
        merged.sources.push(Source::Memory(self.entries.into_iter()));
        for index in 0..merged.sources.len() {
            merged.advance(index)?;
        }
        Ok(merged)
    }
}

enum Source {
    File(BufReader<File>),
    Memory(std::vec::IntoIter<Listed>),
}

/// The entries in path order.
pub(super) struct Merged {
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(Listed, usize)>>,
}

impl Merged {
    /// The next entry, if `take` wants it.
    pub(super) fn next_if(&mut self, take: impl Fn(&TreePath) -> bool) -> io::Result<Option<Listed>> {
        if !self.heads.peek().is_some_and(|Reverse(((path, _), _))| take(path)) {
            return Ok(None);
        }
        let Some(Reverse((entry, index))) = self.heads.pop() else { return Ok(None) };
        self.advance(index)?;
        Ok(Some(entry))
    }

    fn advance(&mut self, index: usize) -> io::Result<()> {
        let next = match &mut self.sources[index] {
            Source::Memory(entries) => entries.next(),
            Source::File(file) => read_entry(file)?,
        };
        self.heads.extend(next.map(|entry| Reverse((entry, index))));
        Ok(())
    }
}

fn read_entry(file: &mut BufReader<File>) -> io::Result<Option<Listed>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut path = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut path)?;
    let mut size = [0; 8];
    file.read_exact(&mut size)?;
    let path = TreePath::from_bytes(path).map_err(io::Error::other)?;
    Ok(Some((path, Some(u64::from_le_bytes(size)).filter(|&size| size != u64::MAX))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_order_and_the_memory_it_comes_out_sorted() {
        let directory = tempfile::tempdir().unwrap();
        for entries_max in [1, 3, 7, 1_000] {
            let mut listing = SortedListing { entries_max, ..SortedListing::new(directory.path()) };
            let mut wanted = Vec::new();
            for number in 0..50_u64 {
                let mixed = number * 37 % 50;
                let path = TreePath::from_bytes(format!("{}/{mixed}\n\u{240a}", mixed % 4)).unwrap();
                let entry = (path, (mixed != 3).then_some(mixed));
                listing.push(entry.clone()).unwrap();
                wanted.push(entry);
            }
            wanted.sort();
            let mut merged = listing.finish().unwrap();
            let mut found = Vec::new();
            while let Some(entry) = merged.next_if(|_| true).unwrap() {
                found.push(entry);
            }
            assert_eq!(found, wanted, "{entries_max}");
        }
    }
}
