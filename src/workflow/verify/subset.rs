//! Which share of the files is verified.

use super::last_verified::{OfKind, PARTS, part_of};
use crate::model::TreePath;
use std::str::FromStr;

/// A share of all files.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Subset {
    /// All.
    #[default]
    All,
    /// So many of so many equal shares: `1/30`. Those that were not verified for
    /// longest, so that thirty of them are everything.
    Part {
        /// So many.
        part: u32,
        /// Of so many.
        parts: u32,
    },
    /// So many of a hundred, the longest not verified.
    Percent(f64),
    /// About so many bytes, the longest not verified.
    Bytes(u64),
}

// Percentages are parsed from text, and never NaN.
impl Eq for Subset {}

impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("\"{text}\" is no share of the files: write 1/30, 5% or 10G");
        if let Some((part, parts)) = text.split_once('/') {
            let (part, parts) = (part.parse().map_err(|_| error())?, parts.parse().map_err(|_| error())?);
            if part == 0 || part > parts {
                return Err(error());
            }
            return Ok(Subset::Part { part, parts });
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| error())?;
            let is_share = percent > 0.0 && percent <= 100.0;
            return if is_share { Ok(Subset::Percent(percent)) } else { Err(error()) };
        }
        let bytes = crate::workflow::configuration::parse_size(text).map_err(|_| error())?;
        if bytes == 0 { Err(error()) } else { Ok(Subset::Bytes(bytes)) }
    }
}

/// What a file weighs beside its bytes: opening one costs about as much as reading so many.
const FILE_WEIGHT: u64 = 64 * 1024;

/// What the files of each part come to.
pub(super) struct Weights {
    files_and_bytes: Vec<(u64, u64)>,
}

impl Weights {
    pub(super) fn new() -> Self {
        Weights { files_and_bytes: vec![(0, 0); PARTS] }
    }

    pub(super) fn add(&mut self, path: &TreePath, bytes: u64) {
        let (files, sum) = &mut self.files_and_bytes[part_of(path)];
        *files += 1;
        *sum = sum.saturating_add(bytes);
    }

    /// The parts that `subset` takes now.
    pub(super) fn choose(&self, subset: Subset, kind: &OfKind) -> Vec<u16> {
        let bytes_only: Vec<u64> =
            self.files_and_bytes.iter().map(|(files, bytes)| bytes + files.min(&1)).collect();
        let weights: Vec<u64> = self
            .files_and_bytes
            .iter()
            .map(|(files, bytes)| bytes.saturating_add(files * FILE_WEIGHT))
            .collect();
        let total: u64 = weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
        match subset {
            Subset::All => (0..PARTS as u16).collect(),
            Subset::Part { part, parts } => {
                let wanted = (u128::from(total) * u128::from(part)).div_ceil(u128::from(parts));
                kind.oldest(&weights, u64::try_from(wanted).unwrap_or(u64::MAX))
            }
            Subset::Percent(percent) => kind.oldest(&weights, (total as f64 * percent / 100.0).ceil() as u64),
            Subset::Bytes(bytes) => kind.oldest(&bytes_only, bytes),
        }
    }
}

/// The files that are verified.
#[derive(Debug, Clone, Default)]
pub(super) struct Chooser {
    /// By part; all when `None`.
    chosen: Option<Vec<bool>>,
    /// Done up to here by a run that was interrupted.
    after: Option<TreePath>,
}

impl Chooser {
    /// The files of `parts`, but for those up to `after`.
    pub(super) fn new(parts: &[u16], after: Option<TreePath>) -> Self {
        let mut chosen = vec![false; PARTS];
        for &part in parts {
            if let Some(is_chosen) = chosen.get_mut(usize::from(part)) {
                *is_chosen = true;
            }
        }
        Chooser { chosen: Some(chosen), after }
    }

    /// True for all files.
    pub(super) fn is_all(&self) -> bool {
        self.chosen.is_none()
    }

    /// The file at `path` is to be verified.
    pub(super) fn chooses(&self, path: &TreePath) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen[part_of(path)])
            && self.after.as_ref().is_none_or(|after| path > after)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_as_restic_writes_them() {
        assert_eq!("1/30".parse(), Ok(Subset::Part { part: 1, parts: 30 }));
        assert_eq!("2.5%".parse(), Ok(Subset::Percent(2.5)));
        assert_eq!("10G".parse(), Ok(Subset::Bytes(10 << 30)));
        for bad in ["", "0/3", "4/3", "1/", "0%", "101%", "NaN%", "x"] {
            assert!(bad.parse::<Subset>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_about_right_and_an_interrupted_one_goes_on() {
        let paths: Vec<_> =
            (0..3_000).map(|number| TreePath::from_bytes(format!("f{number:04}")).unwrap()).collect();
        let mut weights = Weights::new();
        paths.iter().for_each(|path| weights.add(path, 1 << 20));
        let count = |subset| {
            let chooser = Chooser::new(&weights.choose(subset, &OfKind::default()), None);
            paths.iter().filter(|path| chooser.chooses(path)).count()
        };
        assert!((300..310).contains(&count(Subset::Percent(10.0))));
        assert!((300..310).contains(&count(Subset::Part { part: 1, parts: 10 })));
        assert!((100..110).contains(&count(Subset::Bytes(100 << 20))));
        assert_eq!((count(Subset::Percent(100.0)), count(Subset::All)), (3_000, 3_000));
        let all: Vec<u16> = (0..PARTS as u16).collect();
        let rest = Chooser::new(&all, Some(paths[1_999].clone()));
        assert_eq!(paths.iter().filter(|path| rest.chooses(path)).count(), 1_000);
    }
}
