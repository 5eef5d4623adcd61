//! Three kinds of digest that cannot be mixed up, and the canonical bytes of a
//! directory.

use crate::model::{Content, Entry, EntryFlags, EntryKind};
use std::fmt;

/// BLAKE3 of a file's bytes: the number that `b3sum` prints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest(pub [u8; 32]);

/// The content hash **C** of a directory: see [`TreeHasher`]. Equal C means
/// equal names, kinds, sizes and contents below; only C may decide that nothing
/// needs to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeDigest(pub [u8; 32]);

/// The hash **S** of a stored node, stat cache included. It proves that the
/// bytes read are the bytes written; equal S means the very same node content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeDigest(pub [u8; 16]);

impl ContentDigest {
    /// The digest of bytes that are already in memory.
    pub fn of(bytes: &[u8]) -> Self {
        ContentDigest(*blake3::hash(bytes).as_bytes())
    }
}

impl NodeDigest {
    /// The digest of a node's payload.
    pub fn of(payload: &[u8]) -> Self {
        let mut hasher = EMPTY_NODE.clone();
        hasher.update(payload);
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        NodeDigest(digest)
    }
}

/// Deriving the key of a context costs as much as hashing a small node.
static EMPTY_NODE: std::sync::LazyLock<blake3::Hasher> =
    std::sync::LazyLock::new(|| blake3::Hasher::new_derive_key("treeferry 2026 node v1"));

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! hexadecimal {
    ($($digest:ident)*) => {$(
        impl fmt::Display for $digest {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }
        impl fmt::Debug for $digest {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($digest), "("))?;
                write_hex(&self.0[..4], f)?;
                f.write_str("…)")
            }
        }
    )*};
}
hexadecimal!(ContentDigest TreeDigest NodeDigest);

/// Computes C of one directory from its entries, given in byte order of their
/// names.
///
/// The preimage, under the BLAKE3 key-derivation context
/// `treeferry 2026 directory content v1`, is for each entry
/// `tag ‖ LEB128(length of name) ‖ name ‖ body`, and at the end the number of
/// entries as u64 little-endian:
///
/// | tag | what | body |
/// |---|---|---|
/// | `F` / `X` | file / file with an executable bit | size u64le, BLAKE3 |
/// | `f` | file that was not read when it was taken over (weak) | size u64le, mtime seconds i64le, nanoseconds u32le |
/// | `L` | symlink | BLAKE3 of the target's bytes |
/// | `D` | directory | its C |
/// | `S` | FIFO, socket, device | nothing |
/// | `M` | mount point that is not entered | nothing |
///
/// mtime, ctime, inode and owner are not in it: `touch` leaves C alone.
/// Tags, length prefixes and a context of its own keep the bytes of files,
/// directories and nodes apart. Paging of big directories does not show in C.
pub struct TreeHasher {
    hasher: blake3::Hasher,
    count: u64,
    buffer: Vec<u8>,
}

/// A BLAKE3 hasher is about 2 KiB; its context key costs one hash to derive, so
/// the keyed state is cloned instead of derived for every directory.
static EMPTY: std::sync::LazyLock<blake3::Hasher> =
    std::sync::LazyLock::new(|| blake3::Hasher::new_derive_key("treeferry 2026 directory content v1"));

impl Default for TreeHasher {
    fn default() -> Self {
        TreeHasher { hasher: EMPTY.clone(), count: 0, buffer: Vec::with_capacity(4096) }
    }
}

impl TreeHasher {
    /// Takes the next entry, in byte order of the names.
    pub fn add(&mut self, entry: &Entry<'_>) {
        let executable = entry.permissions.mode & 0o111 != 0;
        let content = match entry.content {
            Content::Read(_) if entry.flags.contains(EntryFlags::FILLED_IN) => Content::Unread,
            content => content,
        };
        let tag = match (entry.kind, content) {
            (EntryKind::File, Content::Read(_)) if executable => b'X',
            (EntryKind::File, Content::Read(_)) => b'F',
            (EntryKind::File, _) => b'f',
            (EntryKind::Symlink, _) => b'L',
            (EntryKind::Directory, _) => b'D',
            (EntryKind::Special, _) => b'S',
            (EntryKind::Mount, _) => b'M',
        };
        self.buffer.push(tag);
        push_leb128(&mut self.buffer, entry.name.len() as u64);
        self.buffer.extend_from_slice(entry.name);
        match content {
            Content::Read(digest) => {
                self.buffer.extend_from_slice(&entry.stamp.size.to_le_bytes());
                self.buffer.extend_from_slice(&digest.0);
            }
            Content::Unread => {
                self.buffer.extend_from_slice(&entry.stamp.size.to_le_bytes());
                self.buffer.extend_from_slice(&entry.stamp.mtime.seconds.to_le_bytes());
                self.buffer.extend_from_slice(&entry.stamp.mtime.nanoseconds.to_le_bytes());
            }
            Content::Target(target) => {
                self.buffer.extend_from_slice(&ContentDigest::of(target).0);
            }
            Content::Child(pointer) => self.buffer.extend_from_slice(&pointer.content.0),
            Content::None => {}
        }
        self.count += 1;
        if self.buffer.len() > 3072 {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// C of the entries added so far.
    pub fn finish(mut self) -> TreeDigest {
        self.buffer.extend_from_slice(&self.count.to_le_bytes());
        self.hasher.update(&self.buffer);
        TreeDigest(*self.hasher.finalize().as_bytes())
    }
}

fn push_leb128(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
