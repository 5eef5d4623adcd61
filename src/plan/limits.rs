//! How much may vanish or change before somebody must say yes.

use std::fmt;

/// Below this many known files a percentage guards nothing: in a small tree
/// every edit is a large share.
pub const MINIMUM_KNOWN_FILES: u64 = 100;

/// A limit as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    Off,
    /// So many files.
    Count(u64),
    /// So many percent of the files known, applied from
    /// [`MINIMUM_KNOWN_FILES`] on.
    Percent(u32),
}

/// More than the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    /// Files concerned.
    pub files: u64,
    /// Files known.
    pub known: u64,
    /// The limit that was set.
    pub limit: Limit,
}

impl Limit {
    /// How many files may be concerned when `known` are known; `None` without limit.
    pub fn allowed(self, known: u64) -> Option<u64> {
        match self {
            Limit::Off => None,
            Limit::Count(count) => Some(count),
            Limit::Percent(_) if known < MINIMUM_KNOWN_FILES => None,
            Limit::Percent(percent) => Some((u128::from(known) * u128::from(percent) / 100) as u64),
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// When `files` is more than allowed.
    pub fn check(self, files: u64, known: u64) -> Result<(), LimitExceeded> {
        match self.allowed(known) {
            Some(allowed) if files > allowed => Err(LimitExceeded { files, known, limit: self }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Off => f.write_str("off"),
            Limit::Count(count) => write!(f, "{count}"),
            Limit::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.files as f64 / self.known.max(1) as f64;
        write!(f, "{} of {} known files ({share:.1}%), the limit is {}", self.files, self.known, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_begins_at_a_hundred_files() {
        assert!(Limit::Percent(25).check(99, 99).is_ok());
        assert!(Limit::Percent(25).check(26, 100).is_err());
        assert!(Limit::Percent(25).check(25, 100).is_ok());
    }

    #[test]
    fn a_count_holds_always_and_off_never() {
        assert!(Limit::Count(3).check(4, 5).is_err());
        assert!(Limit::Off.check(1_000_000, 1_000_000).is_ok());
    }

    #[test]
    fn the_message_names_the_numbers() {
        let exceeded = Limit::Percent(25).check(500, 1000).expect_err("half is more than a quarter");
        assert_eq!(exceeded.to_string(), "500 of 1000 known files (50.0%), the limit is 25%");
    }
}
