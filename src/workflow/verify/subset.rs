//! Which share of the files is verified.

use crate::model::TreePath;
use std::str::FromStr;

/// A share of all files.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Subset {
    /// All.
    #[default]
    All,
    /// The `part`-th of `parts` equal parts, from 1. Every file is in exactly one,
    /// and always in the same.
    Part {
        /// Which.
        part: u32,
        /// Of how many.
        parts: u32,
    },
    /// So many of a hundred, others each time.
    Percent(f64),
    /// About so many bytes, others each time.
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

/// A subset, ready to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chooser {
    subset: Subset,
    seed: u64,
    bytes_total: u64,
}

impl Chooser {
    /// Of files with `bytes_total` in sum. Another seed chooses others.
    pub(super) fn new(subset: Subset, seed: u64, bytes_total: u64) -> Self {
        Chooser { subset, seed, bytes_total }
    }

    /// True for all files.
    pub(super) fn is_all(&self) -> bool {
        self.subset == Subset::All
    }

    /// The file at `path` is to be verified.
    pub(super) fn chooses(&self, path: &TreePath) -> bool {
        let share = match self.subset {
            Subset::All => return true,
            Subset::Part { part, parts } => return number(path, 0) % u64::from(parts) == u64::from(part) - 1,
            Subset::Percent(percent) => percent / 100.0,
            Subset::Bytes(bytes) => bytes as f64 / self.bytes_total.max(1) as f64,
        };
        (number(path, self.seed) as f64) < share * u64::MAX as f64
    }
}

fn number(path: &TreePath, seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(path.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
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
    fn every_file_is_in_exactly_one_part_and_shares_are_about_right() {
        let paths: Vec<_> =
            (0..3_000).map(|number| TreePath::from_bytes(format!("f{number}")).unwrap()).collect();
        for path in &paths {
            let parts =
                (1..=5).filter(|&part| Chooser::new(Subset::Part { part, parts: 5 }, 1, 0).chooses(path));
            assert_eq!(parts.count(), 1);
        }
        let count = |subset, seed| {
            let chooser = Chooser::new(subset, seed, 1_000);
            paths.iter().filter(|path| chooser.chooses(path)).count()
        };
        assert!((200..400).contains(&count(Subset::Percent(10.0), 1)));
        assert!((200..400).contains(&count(Subset::Bytes(100), 2)));
        assert_eq!(count(Subset::Percent(100.0), 3), 3_000);
    }
}
