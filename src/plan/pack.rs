//! How many paths go to the remote together.

use crate::model::{Batch, BatchItem, Lane};

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

/// New files go up in three rounds, so that most of the tree is protected
/// early. Three classes instead of a sort: a sort of ten million files needs
/// memory or disk, a walk per class needs neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SizeClass {
    /// Below 1 MiB.
    Small,
    /// Below 64 MiB.
    Medium,
    /// The rest.
    Large,
}

impl SizeClass {
    /// How many there are.
    pub const COUNT: usize = 3;
    /// All of them, in the order in which they go up.
    pub const ALL: [SizeClass; Self::COUNT] = [SizeClass::Small, SizeClass::Medium, SizeClass::Large];

    /// The class of a file of so many bytes.
    pub fn of(size: u64) -> Self {
        match size {
            ..0x10_0000 => SizeClass::Small,
            0x10_0000..0x400_0000 => SizeClass::Medium,
            _ => SizeClass::Large,
        }
    }
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
