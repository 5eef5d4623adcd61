//! Names of runs.

use std::fmt;
use std::str::FromStr;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// `<sequence>-<UTC time>`, for example `000042-20261122T181500Z`.
///
/// Order is the sequence alone, so that a clock that jumps orders nothing
/// wrong. The time is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunId {
    /// Counts the changing runs of a job, from 1.
    pub sequence: u64,
    /// When the run began, in seconds since 1970 UTC.
    pub started_seconds: i64,
}

/// Some text is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a run id like 000042-20261122T181500Z")]
pub struct RunIdError {
    text: String,
}

impl Ord for RunId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.sequence, self.started_seconds).cmp(&(other.sequence, other.started_seconds))
    }
}

impl PartialOrd for RunId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = OffsetDateTime::from_unix_timestamp(self.started_seconds)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .map_err(|_| fmt::Error)?;
        write!(f, "{:06}-{started}", self.sequence)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let error = || RunIdError { text: text.to_owned() };
        let (sequence, started) = text.split_once('-').ok_or_else(error)?;
        let started = PrimitiveDateTime::parse(
            started,
            format_description!("[year][month][day]T[hour][minute][second]Z"),
        )
        .map_err(|_| error())?;
        Ok(RunId {
            sequence: sequence.parse().map_err(|_| error())?,
            started_seconds: started.assume_utc().unix_timestamp(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = RunId { sequence: 42, started_seconds: 1_795_371_300 };
        assert_eq!(id.to_string(), "000042-20261122T181500Z");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("42".parse::<RunId>().is_err());
        assert!("x-20261122T181500Z".parse::<RunId>().is_err());
    }

    #[test]
    fn order_is_the_sequence() {
        let earlier = RunId { sequence: 9, started_seconds: 2_000 };
        let later = RunId { sequence: 10, started_seconds: 1_000 };
        assert!(earlier < later);
    }
}
