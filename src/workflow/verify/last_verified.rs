//! When which share of the files was last verified, so that a share at a time
//! covers all: the oldest first.
//!
//! Files fall into parts by a hash of their path. A time per file would cost more
//! than what it tells; a time per part costs the same however many files there are.

use super::What;
use crate::commit::{SideFile, StateDir};
use crate::disk::Disk;
use crate::model::TreePath;
use crate::workflow::halt::Halt;
use crate::workflow::tree_walk::Selection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Into so many parts files fall.
pub(in crate::workflow) const PARTS: usize = 4_096;

/// So many selections of paths are remembered, the latest.
const SELECTIONS_MAX: usize = 16;

/// `ledger`, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::workflow) struct LastVerified {
    source: OfKind,
    listing: OfKind,
    download: OfKind,
    /// Shares of some paths only, which say nothing of the rest: by kind and paths.
    of_paths: BTreeMap<String, OfKind>,
}

/// For one kind of verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::workflow) struct OfKind {
    /// Seconds since 1970 UTC by part; 0: never. Empty: never any. Where runs come faster
    /// than the clock goes on, later than it: the order is what counts.
    verified_seconds: Vec<i64>,
    /// A share that was interrupted.
    pub(super) unfinished: Option<Unfinished>,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfinished {
    pub(super) parts: Vec<u16>,
    /// Everything up to this path is done.
    done: Vec<u8>,
}

impl Unfinished {
    pub(super) fn new(parts: Vec<u16>, done: &TreePath) -> Self {
        Unfinished { parts, done: done.as_bytes().to_vec() }
    }

    pub(super) fn done(&self) -> Option<TreePath> {
        TreePath::from_bytes(self.done.clone()).ok()
    }
}

/// The part that a path falls into.
pub(super) fn part_of(path: &TreePath) -> usize {
    let digest = blake3::hash(path.as_bytes());
    let [first, second, ..] = *digest.as_bytes();
    usize::from(u16::from_le_bytes([first, second])) % PARTS
}

impl LastVerified {
    /// As it is kept. One that cannot be read says that nothing was verified yet.
    pub(in crate::workflow) fn load(state: &StateDir) -> Result<Self, Halt> {
        let bytes = state.read_side_file(SideFile::Ledger).map_err(Halt::fatal)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    pub(super) fn save(&self, state: &StateDir, disk: &dyn Disk) -> Result<(), Halt> {
        let bytes = serde_json::to_vec(self).map_err(Halt::fatal)?;
        state.write_side_file(disk, SideFile::Ledger, &bytes).map_err(Halt::fatal)
    }

    pub(in crate::workflow) fn of(&mut self, what: What, selection: &Selection) -> &mut OfKind {
        if !selection.is_all() {
            return self.of_selected(what, selection);
        }
        match what {
            What::Source => &mut self.source,
            What::Listing => &mut self.listing,
            What::Download => &mut self.download,
        }
    }

    fn of_selected(&mut self, what: What, selection: &Selection) -> &mut OfKind {
        let mut hasher = blake3::Hasher::new();
        for path in selection.paths() {
            hasher.update(path.as_bytes()).update(b"\0");
        }
        let key = format!("{what:?} {}", hasher.finalize().to_hex());
        if self.of_paths.len() >= SELECTIONS_MAX && !self.of_paths.contains_key(&key) {
            let oldest = self.of_paths.iter().min_by_key(|(_, kind)| kind.verified_seconds.iter().max());
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.of_paths.remove(&oldest);
            }
        }
        self.of_paths.entry(key).or_default()
    }
}

impl OfKind {
    /// Parts that were not verified for longest, until they weigh `wanted`.
    pub(in crate::workflow) fn oldest(&self, weights: &[u64], wanted: u64) -> Vec<u16> {
        let mut parts: Vec<u16> = (0..PARTS as u16).filter(|&part| weights[usize::from(part)] > 0).collect();
        parts.sort_by_key(|&part| (self.seconds(part), part));
        let mut weight = 0;
        parts
            .into_iter()
            .take_while(|&part| {
                let is_wanted = weight < wanted;
                weight = weight.saturating_add(weights[usize::from(part)]);
                is_wanted
            })
            .collect()
    }

    fn seconds(&self, part: u16) -> i64 {
        self.verified_seconds.get(usize::from(part)).copied().unwrap_or(0)
    }

    /// These parts are done, after all that were done before: else runs within one second, or
    /// after a clock that was set back, would choose the same parts again and again.
    pub(in crate::workflow) fn note(&mut self, parts: impl IntoIterator<Item = u16>, now_seconds: i64) {
        self.verified_seconds.resize(PARTS, 0);
        let newest = self.verified_seconds.iter().max().copied().unwrap_or(0);
        let now_seconds = now_seconds.max(newest.saturating_add(1));
        for part in parts {
            if let Some(seconds) = self.verified_seconds.get_mut(usize::from(part)) {
                *seconds = now_seconds;
            }
        }
        self.unfinished = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn thirty_times_a_thirtieth_is_everything_and_then_the_oldest_come_again() {
        let mut weights = vec![0; PARTS];
        for number in 0..10_000 {
            weights[part_of(&TreePath::from_bytes(format!("folder/{number}")).unwrap())] += 7 + number % 13;
        }
        let total: u64 = weights.iter().sum();
        let mut kind = OfKind::default();
        let mut seen = BTreeSet::new();
        let mut first = Vec::new();
        for run in 1..=30 {
            let parts = kind.oldest(&weights, total.div_ceil(30));
            if run == 1 {
                first.clone_from(&parts);
            }
            seen.extend(parts.clone());
            kind.note(parts, run);
        }
        assert!((0..PARTS as u16).all(|part| weights[usize::from(part)] == 0 || seen.contains(&part)));
        let again = kind.oldest(&weights, total.div_ceil(30));
        assert!(again.iter().filter(|part| first.contains(part)).count() * 2 > again.len());
    }

    #[test]
    fn shares_within_one_second_of_a_whole_or_after_a_clock_set_back_are_everything() {
        let weights = vec![1; PARTS];
        for seconds_back in [0, 100] {
            let (now, mut kind) = (1_790_000_000, OfKind::default());
            kind.note(0..PARTS as u16, now);
            let mut seen = BTreeSet::new();
            for _ in 0..30 {
                let parts = kind.oldest(&weights, (PARTS as u64).div_ceil(30));
                seen.extend(parts.clone());
                kind.note(parts, now - seconds_back);
            }
            assert_eq!(seen.len(), PARTS);
            // The clock leads again as soon as it is ahead.
            kind.note([0], now + 40);
            assert_eq!(kind.seconds(0), now + 40);
        }
    }

    #[test]
    fn a_share_smaller_than_a_part_is_one_part() {
        let mut weights = vec![0; PARTS];
        (weights[3], weights[9]) = (100, 100);
        let mut kind = OfKind::default();
        assert_eq!(kind.oldest(&weights, 1), [3]);
        kind.note([3], 5);
        assert_eq!(kind.oldest(&weights, 1), [9]);
        assert_eq!(kind.oldest(&weights, 1_000), [9, 3]);
    }
}
