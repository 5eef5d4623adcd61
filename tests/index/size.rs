//! What an entry costs on disk. Bytes are counted, so this can be asserted.

use super::*;

/// A little generator of its own: the figure must not move with a crate.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn time(&mut self, from: i64, spread: u64) -> Timestamp {
        Timestamp { seconds: from + self.below(spread) as i64, nanoseconds: self.below(1_000_000_000) as u32 }
    }
}

/// Bytes per entry of a tree with so many entries a directory, eight of them
/// directories above the leaves; half of the files were given an old mtime.
fn bytes_per_entry(entries: u64) -> f64 {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let mut edits = Vec::new();
    let mut inode = 1_000_000;
    let permissions = Permissions { mode: 0o644, uid: 1000, gid: 1000 };
    let mut count = 0;
    let mut fill = |directory: String, subdirectories: u64, edits: &mut Vec<Edit>| {
        let created = numbers.time(1_750_000_000, 10_000_000);
        inode += 1;
        edits.push(Edit::Directory {
            path: path(&directory),
            attributes: DirectoryAttributes {
                mtime: created,
                ctime: created,
                inode,
                permissions: Permissions { mode: 0o755, ..permissions },
                flags: DirectoryFlags::SETTLED,
            },
        });
        count += entries;
        let is_old = numbers.below(2) == 0;
        for number in subdirectories..entries {
            inode += 1 + numbers.below(3);
            let ctime = numbers.time(created.seconds, 600);
            let mtime = if is_old { numbers.time(1_500_000_000, 100_000_000) } else { ctime };
            let scale = numbers.below(24);
            let stamp = Stamp { size: numbers.below(2 << scale), mtime, ctime, inode };
            let name = format!("{directory}/holiday {:04} {}.jpg", number, numbers.below(1000));
            let digest = Some(ContentDigest::of(&inode.to_le_bytes()));
            edits.push(Edit::Put {
                path: path(name),
                entry: OwnedEntry { stamp, permissions, digest, ..file(1, 1) },
            });
        }
    };
    for number in 0..512 {
        let (a, b, c) = (number / 64, number / 8 % 8, number % 8);
        let name = |number| format!("album {number} of 2019");
        if number % 64 == 0 {
            fill(name(a), 8, &mut edits);
        }
        if number % 8 == 0 {
            fill(format!("{}/{}", name(a), name(b)), 8, &mut edits);
        }
        fill(format!("{}/{}/{}", name(a), name(b), name(c)), 0, &mut edits);
    }
    edits.sort_by(|a, b| a.path().cmp(b.path()));
    let shelf = Shelf::new();
    let root = shelf.rewrite(None, edits).unwrap();
    assert_eq!(root.totals.files + root.totals.directories, count + 8);
    shelf.file.length() as f64 / count as f64
}

#[test]
fn an_entry_costs_at_most_sixty_bytes_at_fifteen_a_directory_and_sixty_six_at_eight() {
    let (fifteen, eight) = (bytes_per_entry(15), bytes_per_entry(8));
    assert!(fifteen <= 60.0, "{fifteen} bytes per entry");
    assert!(eight <= 66.0, "{eight} bytes per entry");
    assert!(fifteen > 45.0, "too good: the hashes alone are 30");
}
