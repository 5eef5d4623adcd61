//! `treeferry plan`: a backup that sends nothing.

use super::Stopped;
use super::arguments::Global;
use super::backup::{guard_parser, run_jobs};
use super::budgets::Budgets;
use super::exit_status::ExitStatus;
use super::output::Output;
use clap::Args;
use treeferry::workflow::options::{BackupOptions, Guard};

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Names of jobs; all when none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Name every path that is left out, and the rule that does it
    #[arg(long)]
    excluded: bool,
    /// Plan as if this guard were let pass
    #[arg(long, value_name = "GUARD", value_delimiter = ',', value_parser = guard_parser(), hide_possible_values = true)]
    accept: Vec<Guard>,
    #[command(flatten)]
    budgets: Budgets,
}

pub(super) fn run(command: &Plan, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let options = BackupOptions {
        dry_run: true,
        report_excluded: command.excluded,
        accept: command.accept.clone(),
        budget: command.budgets.starting_now(),
    };
    run_jobs(&command.jobs, &options, global, output)
}
