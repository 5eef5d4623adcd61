//! `--max-duration`, `--max-transfer`, `--max-requests`: for `backup` and `plan`.

use clap::Args;
use std::time::Duration;
use treeferry::workflow::budget::{BudgetLimits, RunBudget};
use treeferry::workflow::configuration::{parse_duration, parse_size};

/// They hold for all jobs of a run together.
#[derive(Debug, Args)]
#[command(next_help_heading = "Budgets of the run, all jobs together; the next run goes on")]
pub(super) struct Budgets {
    /// Start no further file after this time, as 2h or 90m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_duration: Option<Duration>,
    /// Send at most so many bytes of files, as 10G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_transfer: Option<u64>,
    /// Make at most so many requests, as forecast by `plan`
    #[arg(long, value_name = "COUNT")]
    max_requests: Option<u64>,
}

impl Budgets {
    /// The clock of the budget runs from here.
    pub(super) fn starting_now(&self) -> RunBudget {
        RunBudget::starting_now(BudgetLimits {
            duration: self.max_duration,
            transfer_bytes: self.max_transfer,
            requests: self.max_requests,
        })
    }
}
