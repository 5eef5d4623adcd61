//! Budgets: how much one run of the program may take of time, bytes and requests.
//!
//! One budget is shared by all jobs of a run, and by everything a job does:
//! whoever sends asks before and says afterwards what it took. Requests are
//! reckoned by the costs of `transfer`, because rclone does not say how many it made.

use super::configuration::{format_duration, format_size};
use super::figures;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What was set; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    /// From the start of the program's run.
    pub duration: Option<Duration>,
    /// Sizes of the files sent (or, in a check, read from the remote), in bytes.
    pub transfer_bytes: Option<u64>,
    /// Requests to remotes, reckoned.
    pub requests: Option<u64>,
}

/// What a step would take, at most.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Sizes of files, in bytes.
    pub bytes: u64,
    /// Requests to the remote.
    pub requests: u64,
    /// Time, where it can be told beforehand.
    pub duration: Duration,
}

/// The budget of a run. Clones share what is spent.
#[derive(Debug, Clone)]
pub struct RunBudget {
    limits: BudgetLimits,
    started: Instant,
    spent: Arc<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    bytes: AtomicU64,
    requests: AtomicU64,
    jobs: AtomicU64,
}

impl Default for RunBudget {
    /// Without limits.
    fn default() -> Self {
        RunBudget::starting_now(BudgetLimits::default())
    }
}

impl RunBudget {
    /// A fresh one; its time runs from now on.
    pub fn starting_now(limits: BudgetLimits) -> Self {
        RunBudget { limits, started: Instant::now(), spent: Arc::default() }
    }

    /// True when anything is limited.
    pub fn is_limited(&self) -> bool {
        self.limits != BudgetLimits::default()
    }

    /// What was set.
    pub fn limits(&self) -> BudgetLimits {
        self.limits
    }

    /// When the time is up.
    pub fn deadline(&self) -> Option<Instant> {
        self.limits.duration.and_then(|duration| self.started.checked_add(duration))
    }

    /// Until the time is up; zero from then on.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Bytes that may still be sent or read.
    pub fn bytes_left(&self) -> Option<u64> {
        let spent = self.spent.bytes.load(Ordering::Relaxed);
        self.limits.transfer_bytes.map(|limit| limit.saturating_sub(spent))
    }

    /// Requests that may still be made.
    pub fn requests_left(&self) -> Option<u64> {
        let spent = self.spent.requests.load(Ordering::Relaxed);
        self.limits.requests.map(|limit| limit.saturating_sub(spent))
    }

    /// Notes what was sent and asked.
    pub fn spend(&self, bytes: u64, requests: u64) {
        self.spent.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.spent.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// Requests so far, reckoned.
    pub fn requests_spent(&self) -> u64 {
        self.spent.requests.load(Ordering::Relaxed)
    }

    /// The limit that `cost` would pass, in words; `None`: there is room for it.
    /// Once the time is up there is room for nothing.
    pub fn lacks(&self, cost: Cost) -> Option<String> {
        if let (Some(limit), Some(left)) = (self.limits.duration, self.time_left())
            && (left.is_zero() || cost.duration > left)
        {
            return Some(format!("--max-duration {}", format_duration(limit)));
        }
        if let (Some(limit), Some(left)) = (self.limits.transfer_bytes, self.bytes_left())
            && cost.bytes > left
        {
            return Some(format!("--max-transfer {}", format_size(limit)));
        }
        if let (Some(limit), Some(left)) = (self.limits.requests, self.requests_left())
            && cost.requests > left
        {
            return Some(format!("--max-requests {}", figures::count(limit)));
        }
        None
    }

    /// The limit that keeps a further job from being looked at; the first one
    /// always has its turn, so that what is left can be counted.
    pub(super) fn bars_next_job(&self) -> Option<String> {
        let is_first = self.spent.jobs.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { None } else { self.lacks(Cost::default()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_spend_from_one_purse() {
        let limits =
            BudgetLimits { transfer_bytes: Some(100), requests: Some(10), ..BudgetLimits::default() };
        let budget = RunBudget::starting_now(limits);
        let clone = budget.clone();
        clone.spend(60, 9);
        assert_eq!(
            (budget.bytes_left(), budget.requests_left(), budget.time_left()),
            (Some(40), Some(1), None)
        );
        assert_eq!(budget.lacks(Cost { bytes: 40, requests: 1, ..Cost::default() }), None);
        let too_large = Cost { bytes: 41, ..Cost::default() };
        assert_eq!(budget.lacks(too_large), Some("--max-transfer 100".into()));
        assert_eq!(budget.lacks(Cost { requests: 2, ..Cost::default() }), Some("--max-requests 10".into()));
    }

    #[test]
    fn without_limits_there_is_room_for_everything() {
        let budget = RunBudget::default();
        budget.spend(u64::MAX / 2, u64::MAX / 2);
        let cost = Cost { bytes: u64::MAX, requests: u64::MAX, duration: Duration::MAX };
        assert_eq!(budget.lacks(cost), None);
        assert!(!budget.is_limited() && budget.bars_next_job().is_none());
    }

    #[test]
    fn when_the_time_is_up_only_the_first_job_is_looked_at() {
        let limits = BudgetLimits { duration: Some(Duration::ZERO), ..BudgetLimits::default() };
        let budget = RunBudget::starting_now(limits);
        assert_eq!(budget.lacks(Cost::default()), Some("--max-duration 0s".into()));
        assert_eq!(budget.bars_next_job(), None);
        assert_eq!(budget.bars_next_job(), Some("--max-duration 0s".into()));
    }
}
