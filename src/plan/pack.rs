//! How many paths go to the remote together.

use super::Tally;
use crate::model::{Batch, BatchItem, Lane};
use std::ops::RangeInclusive;

/// The most that one batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Paths.
    pub files_max: usize,
    /// Sum of file sizes, in bytes. One larger file makes a batch of its own.
    pub bytes_max: u64,
    /// Sum of the lengths of the paths, in bytes: bounds the list and the memory.
    pub list_bytes_max: usize,
}

/// New files go up in rounds, so that most of the tree is protected early. A few
/// classes instead of a sort: a sort of ten million files needs memory or disk, a
/// walk per class needs neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SizeClass {
    /// Below 16 KiB.
    Tiny,
    /// Below 128 KiB.
    Small,
    /// Below 1 MiB.
    Middling,
    /// Below 64 MiB.
    Medium,
    /// The rest.
    Large,
}

impl SizeClass {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// All of them, in the order in which they go up.
    pub const ALL: [SizeClass; Self::COUNT] =
        [SizeClass::Tiny, SizeClass::Small, SizeClass::Middling, SizeClass::Medium, SizeClass::Large];

    /// The class of a file of so many bytes.
    pub fn of(size: u64) -> Self {
        match size {
            ..0x4000 => SizeClass::Tiny,
            0x4000..0x2_0000 => SizeClass::Small,
            0x2_0000..0x10_0000 => SizeClass::Middling,
            0x10_0000..0x400_0000 => SizeClass::Medium,
            _ => SizeClass::Large,
        }
    }
}

/// The classes that go up in one walk, one round after the other; none without files. Each round costs a
/// walk and processes of rclone, so that small classes which fill no batch go together: what goes within one
/// batch is protected in one go. `are_apart`: not all of it will go, and then the order counts.
pub fn rounds(tally: &Tally, batch: Budget, are_apart: bool) -> Vec<RangeInclusive<SizeClass>> {
    let mut rounds: Vec<RangeInclusive<SizeClass>> = Vec::new();
    let (mut files, mut bytes) = (0u64, 0u64);
    for class in SizeClass::ALL {
        let (more_files, more_bytes) = (tally.new_files[class as usize], tally.new_bytes[class as usize]);
        if more_files == 0 {
            continue;
        }
        (files, bytes) = (files + more_files, bytes.saturating_add(more_bytes));
        let fits = files <= batch.files_max as u64 && bytes <= batch.bytes_max;
        match rounds.last_mut() {
            Some(last) if !are_apart && fits && class <= SizeClass::Middling => *last = *last.start()..=class,
            _ => {
                rounds.push(class..=class);
                (files, bytes) = (more_files, more_bytes);
            }
        }
    }
    rounds
}

/// Collects paths until a batch is full.
#[derive(Debug)]
pub struct Packer {
    lane: Lane,
    budget: Budget,
    items: Vec<BatchItem>,
    bytes: u64,
    list_bytes: usize,
}

impl Packer {
    /// An empty packer.
    pub fn new(lane: Lane, budget: Budget) -> Self {
        Packer { lane, budget, items: Vec::new(), bytes: 0, list_bytes: 0 }
    }

    /// Adds a path; gives back the batch that had to be closed before it.
    pub fn push(&mut self, item: BatchItem) -> Option<Batch> {
        let list_bytes = item.path.as_bytes().len() + 1;
        let full = self.items.len() >= self.budget.files_max
            || self.bytes.saturating_add(item.stamp.size) > self.budget.bytes_max
            || self.list_bytes + list_bytes > self.budget.list_bytes_max;
        let closed = if full { self.take() } else { None };
        self.bytes = self.bytes.saturating_add(item.stamp.size);
        self.list_bytes += list_bytes;
        self.items.push(item);
        closed
    }

    /// The batch collected so far, unless it is empty.
    pub fn take(&mut self) -> Option<Batch> {
        self.bytes = 0;
        self.list_bytes = 0;
        let items = std::mem::take(&mut self.items);
        (!items.is_empty()).then_some(Batch { lane: self.lane, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Permissions, Stamp, TreePath};

    fn item(name: &str, size: u64) -> BatchItem {
        BatchItem {
            path: TreePath::from_bytes(name).unwrap_or_default(),
            as_link: false,
            stamp: Stamp { size, ..Stamp::default() },
            permissions: Permissions::default(),
            digest: None,
        }
    }

    fn sizes(budget: Budget, items: &[u64]) -> Vec<usize> {
        let mut packer = Packer::new(Lane::Upload, budget);
        let mut batches: Vec<Batch> = items.iter().filter_map(|&size| packer.push(item("f", size))).collect();
        batches.extend(packer.take());
        batches.iter().map(|batch| batch.items.len()).collect()
    }

    #[test]
    fn small_classes_go_together_only_where_they_fit_one_batch_and_all_of_them_will_go() {
        let batch = Budget { files_max: 100, bytes_max: 1 << 30, list_bytes_max: 1000 };
        let of = |new_files: [u64; SizeClass::COUNT], are_apart| -> Vec<Vec<usize>> {
            let tally =
                Tally { new_files, new_bytes: new_files.map(|files| files << 10), ..Tally::default() };
            let classes = |round: RangeInclusive<SizeClass>| -> Vec<usize> {
                (0..SizeClass::COUNT).filter(|&class| round.contains(&SizeClass::ALL[class])).collect()
            };
            rounds(&tally, batch, are_apart).into_iter().map(classes).collect()
        };
        assert_eq!(of([50, 20, 30, 0, 0], false), [vec![0, 1, 2]]);
        assert_eq!(of([50, 20, 31, 0, 1], false), [vec![0, 1], vec![2], vec![4]]);
        assert_eq!(of([900, 20, 30, 7, 1], false), [vec![0], vec![1, 2], vec![3], vec![4]]);
        assert_eq!(of([50, 0, 30, 0, 0], true), [vec![0], vec![2]]);
        assert_eq!(of([0; 5], true), [] as [Vec<usize>; 0]);
        let tally = Tally { new_files: [1; 5], new_bytes: [1 << 29; 5], ..Tally::default() };
        assert_eq!(rounds(&tally, batch, false).len(), 4, "bytes fill a batch, too");
    }

    #[test]
    fn a_batch_closes_before_any_budget_is_passed() {
        let budget = Budget { files_max: 3, bytes_max: 100, list_bytes_max: 1000 };
        assert_eq!(sizes(budget, &[1; 7]), [3, 3, 1]);
        assert_eq!(sizes(budget, &[60, 60, 10]), [1, 2]);
        assert_eq!(sizes(budget, &[]), [] as [usize; 0]);
    }

    #[test]
    fn a_file_above_the_budget_goes_alone() {
        let budget = Budget { files_max: 10, bytes_max: 100, list_bytes_max: 1000 };
        assert_eq!(sizes(budget, &[5, 1000, 5]), [1, 1, 1]);
    }

    #[test]
    fn a_long_list_is_cut() {
        let budget = Budget { files_max: 10, bytes_max: 100, list_bytes_max: 4 };
        assert_eq!(sizes(budget, &[0; 5]), [2, 2, 1]);
    }
}
