//! The bytes of an open file to their BLAKE3.
//!
//! Plain reads, never a memory map: a file that is cut short while it is mapped
//! kills the reader.

use crate::model::ContentDigest;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, SeekFrom, fadvise};
use rustix::io::Errno;
use std::cell::RefCell;
use std::num::NonZeroU64;

/// Large enough that syscalls cost nothing, small enough for the second-level cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// From here on several cores hash one file.
const PARALLEL_BYTES_MIN: u64 = 16 << 20;
/// They do so window by window, so that the disk is still read from the front to
/// the back. A power of two: a window is a whole subtree of BLAKE3's tree.
const WINDOW_BYTES: u64 = 32 << 20;

/// AMD processors copy into memory that begins a few bytes behind a page, as large pieces of the heap do,
/// at half the speed: measured here on `verify --source`, see docs/performance.md.
const PAGE_BYTES: usize = 4096;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer. `work` must not wait for other tasks of the pool:
/// rayon would run another file's task on this thread meanwhile, which wants the
/// buffer too.
pub(crate) fn with_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(BUFFER_BYTES + PAGE_BYTES, 0);
        // Never more than a page; the heap does not move it as long as its size stays.
        let start = buffer.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        work(&mut buffer[start..start + BUFFER_BYTES])
    })
}

/// A file of this size is hashed by all threads of the pool at once.
pub fn is_large(size: u64) -> bool {
    size >= PARALLEL_BYTES_MIN
}

/// What hashing a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) digest: ContentDigest,
    /// From the start to the end, holes included.
    pub(crate) bytes: u64,
    /// Asked of the file system.
    pub(crate) bytes_read: u64,
}

/// Hashes from the start to the end, wherever that is; `size` is what stat said.
/// `tell` hears now and then how far a large one is, and nothing of small ones.
/// With `has_holes` the file system is asked where they are, and they are not read:
/// a sparse file of a terabyte would push everything else out of the page cache.
pub(crate) fn hash(file: &OwnedFd, size: u64, has_holes: bool, tell: &dyn Fn(u64)) -> Result<Hashed, Errno> {
    if size >= BUFFER_BYTES as u64 {
        let _ = fadvise(file, 0, NonZeroU64::new(size), Advice::Sequential);
    }
    if is_large(size)
        && let Some(hashed) = hash_in_parallel(file, size, has_holes, tell)?
    {
        return Ok(hashed);
    }
    with_buffer(|buffer| hash_in_order(file, buffer, size))
}

/// Positions are explicit, so that a second try begins at the start again.
fn hash_in_order(file: &OwnedFd, buffer: &mut [u8], size: u64) -> Result<Hashed, Errno> {
    let mut hasher = blake3::Hasher::new();
    let mut position = 0;
    loop {
        let filled = fill(file, buffer, position, size)?;
        hasher.update(&buffer[..filled]);
        position += filled as u64;
        if filled < buffer.len() {
            let digest = ContentDigest(*hasher.finalize().as_bytes());
            return Ok(Hashed { digest, bytes: position, bytes_read: position });
        }
    }
}

/// Reads until the buffer is full or the file ends. It ends at `size`, too: if it
/// grew meanwhile, the stat after the reading tells, and one read is saved.
fn fill(file: &OwnedFd, buffer: &mut [u8], position: u64, size: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        if position + filled as u64 == size {
            break;
        }
    }
    Ok(filled)
}

/// On all threads of the pool. `None` when the file has fewer bytes than `size`.
fn hash_in_parallel(
    file: &OwnedFd,
    size: u64,
    has_holes: bool,
    tell: &dyn Fn(u64),
) -> Result<Option<Hashed>, Errno> {
    let mut windows = Vec::new();
    let (mut start, mut bytes_read) = (0, 0);
    while start < size {
        let length = WINDOW_BYTES.min(size - start);
        let is_empty = has_holes && is_hole(file, start, length);
        let pieces = length.div_ceil(BUFFER_BYTES as u64);
        let values: Result<Option<Vec<_>>, Errno> = (0..pieces)
            .into_par_iter()
            .map(|piece| {
                let from = start + piece * BUFFER_BYTES as u64;
                let length = (start + length - from).min(BUFFER_BYTES as u64);
                if is_empty || (has_holes && is_hole(file, from, length)) {
                    return Ok(Some((chaining_value(from, &ZEROS[..length as usize]), 0)));
                }
                let value = read_chaining_value(file, from, length as usize)?;
                Ok(value.map(|value| (value, length)))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|values| values.into_iter().collect());
        let Some(values) = values? else { return Ok(None) };
        let (values, read): (Vec<_>, Vec<u64>) = values.into_iter().unzip();
        bytes_read += read.iter().sum::<u64>();
        if size <= WINDOW_BYTES {
            return Ok(Some(Hashed { digest: root_of(&values), bytes: size, bytes_read }));
        }
        windows.push(value_of(&values));
        start += length;
        tell(start);
    }
    Ok(Some(Hashed { digest: root_of(&windows), bytes: size, bytes_read }))
}

/// What a hole reads as. The chunks of BLAKE3 are numbered, so that equal holes come
/// to different values: they must be hashed, though not read.
static ZEROS: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];

/// True when nothing but a hole lies there, or nothing at all.
fn is_hole(file: &OwnedFd, start: u64, length: u64) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(start)) {
        Ok(data) => data >= start + length,
        Err(errno) => errno == Errno::NXIO,
    }
}

/// Of the piece at `start`; `None` when the file ends within it.
fn read_chaining_value(file: &OwnedFd, start: u64, length: usize) -> Result<Option<ChainingValue>, Errno> {
    with_buffer(|buffer| {
        let buffer = &mut buffer[..length];
        let is_whole = fill(file, buffer, start, u64::MAX)? == length;
        Ok(is_whole.then(|| chaining_value(start, buffer)))
    })
}

fn chaining_value(start: u64, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher.update(bytes).finalize_non_root()
}

/// Neighbouring subtrees of one size, the last perhaps smaller: in BLAKE3's tree
/// the left side is the largest power of two that leaves something on the right.
fn halves(values: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    values.split_at(values.len().next_power_of_two() / 2)
}

fn value_of(values: &[ChainingValue]) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = halves(values);
    merge_subtrees_non_root(&value_of(left), &value_of(right), Mode::Hash)
}

/// `values` are two at least.
fn root_of(values: &[ChainingValue]) -> ContentDigest {
    let (left, right) = halves(values);
    ContentDigest(*merge_subtrees_root(&value_of(left), &value_of(right), Mode::Hash).as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all_of(bytes: &[u8]) -> Hashed {
        let length = bytes.len() as u64;
        Hashed { digest: ContentDigest::of(bytes), bytes: length, bytes_read: length }
    }

    #[test]
    fn several_cores_come_to_the_digest_that_one_comes_to() {
        let window = WINDOW_BYTES as usize;
        let bytes: Vec<u8> = (0..3 * window + 5_000_000)
            .map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        let sizes = [
            PARALLEL_BYTES_MIN as usize,
            PARALLEL_BYTES_MIN as usize + 1,
            window - 1,
            window,
            window + 1,
            2 * window,
            2 * window + BUFFER_BYTES,
            bytes.len(),
        ];
        for size in sizes {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes[..size]).unwrap();
            let file = OwnedFd::from(file);
            let told = RefCell::new(Vec::new());
            let hashed = hash(&file, size as u64, false, &|bytes| told.borrow_mut().push(bytes)).unwrap();
            assert_eq!(hashed, all_of(&bytes[..size]), "{size} bytes");
            let windows = if size > window { size.div_ceil(window) } else { 0 };
            let expected: Vec<u64> = (1..=windows).map(|count| (count * window).min(size) as u64).collect();
            assert_eq!(told.into_inner(), expected, "{size} bytes");
            assert!(hash_in_parallel(&file, size as u64, false, &|_| ()).unwrap().is_some());
        }
    }

    #[test]
    fn a_size_that_is_wrong_by_now_does_not_change_what_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let file = OwnedFd::from(file);
        let all = all_of(&[7; 100_000]);
        assert_eq!(hash(&file, 0, false, &|_| ()).unwrap(), all, "as on file systems that say nothing");
        assert_eq!(hash(&file, 100_001, false, &|_| ()).unwrap(), all, "cut short since");
        assert_eq!(
            hash(&file, PARALLEL_BYTES_MIN + 1, true, &|_| ()).unwrap(),
            all,
            "cut short since, and large"
        );
    }

    #[test]
    fn many_large_files_at_once_share_the_threads() {
        let content = vec![3; PARALLEL_BYTES_MIN as usize + 77];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let file = OwnedFd::from(file);
        let small = [1_u64; 200];
        // Tasks of small files are taken up by threads that wait for a large one.
        let digests: Vec<_> = small
            .par_iter()
            .map(|_| hash(&file, content.len() as u64, false, &|_| ()).unwrap().digest)
            .collect();
        assert!(digests.iter().all(|digest| *digest == ContentDigest::of(&content)));
    }

    #[test]
    fn holes_are_hashed_and_not_read() {
        use std::os::unix::fs::FileExt;
        let size = (3 << 30) + 12_345_u64;
        let data: [(u64, &[u8]); 4] =
            [(0, b"start"), (700 << 20, &[9; 300_000]), ((2 << 30) - 1, b"ab"), (size - 1, b"z")];
        let file = tempfile::tempfile().unwrap();
        data.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
        let mut expected = blake3::Hasher::new();
        let mut position = 0;
        for (at, bytes) in data {
            while position < at {
                let zeros = ZEROS.len().min((at - position) as usize);
                expected.update(&ZEROS[..zeros]);
                position += zeros as u64;
            }
            expected.update(bytes);
            position += bytes.len() as u64;
        }
        let file = OwnedFd::from(file);
        let hashed = hash(&file, size, true, &|_| ()).unwrap();
        assert_eq!((hashed.digest.0, hashed.bytes), (*expected.finalize().as_bytes(), size));
        assert!(hashed.bytes_read <= 8 * BUFFER_BYTES as u64, "{} bytes were read", hashed.bytes_read);
    }
}
