//! What the big tests stand on: real servers, a proxy that counts and fails,
//! real trees with odd names, the built program, and a look at the mirror.
//!
//! Nothing here knows the library: the program is seen as its users see it.
//! A missing tool is a failure that says `scripts/tools`, never a skipped test.

#![allow(dead_code, reason = "each ring of tests uses its own part")]
#![allow(unreachable_pub, reason = "a test binary exports nothing")]

pub mod mirror;
pub mod mounts;
pub mod openlist;
pub mod post;
pub mod program;
pub mod proxy;
pub mod servers;
pub mod trees;
pub mod world;

use std::path::{Path, PathBuf};

/// A program from `target/tools`, put there by `scripts/tools`.
pub fn tool(name: &str) -> PathBuf {
    let tools = std::env::var_os("TREEFERRY_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
    let path = tools.join(name);
    assert!(path.exists(), "{} is missing; run scripts/tools once", path.display());
    path
}

/// True in `scripts/test --long`: more names, more kills, bigger trees.
pub fn is_long() -> bool {
    std::env::var_os("TREEFERRY_LONG").is_some()
}

/// A folder of its own for one test, removed at its end.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("treeferry-").tempdir().unwrap()
}

/// The same in memory where there is room, for tests that plant thousands of files or that try what goes
/// over the wire. On ext4 a new file waits for a search of inodes that were not deleted within the last
/// five seconds: with many tests that plant and remove, that alone was a sixth of the suite.
pub fn scratch_in_memory() -> tempfile::TempDir {
    const ROOM_BYTES: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let has_room =
        rustix::fs::statvfs(memory).is_ok_and(|found| found.f_bavail * found.f_frsize > ROOM_BYTES);
    let in_memory = has_room.then(|| tempfile::Builder::new().prefix("treeferry-").tempdir_in(memory));
    in_memory.and_then(Result::ok).unwrap_or_else(scratch)
}

/// A small generator of numbers that are the same every time (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
