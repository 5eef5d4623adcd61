//! `treeferry adopt`.

use super::arguments::Global;
use super::backup::guard_parser;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::progress::FanOut;
use super::{Stopped, configuration_file, job_selection, recipes, signals, taken_over};
use clap::Args;
use treeferry::workflow::ImportOptions;
use treeferry::workflow::options::Guard;

#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// The job whose mirror exists already
    #[arg(value_name = "JOB")]
    job: String,
    /// Only say what would be taken over, and what the next run would send
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Let this guard pass: foreign-writer, for a mirror that a treeferry wrote
    #[arg(long, value_name = "GUARD", value_delimiter = ',', value_parser = guard_parser(), hide_possible_values = true)]
    accept: Vec<Guard>,
}

pub(super) fn run(command: &Adopt, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let stop = signals::listen()?;
    let observer = FanOut::for_output(output);
    let options = ImportOptions { dry_run: command.dry_run, accept: command.accept.clone() };
    let mut status = ExitStatus::Protected;
    for job in job_selection::select(&configuration, std::slice::from_ref(&command.job))? {
        status = taken_over::tell(&recipes::adopt(&configuration, job, &options, &stop, &observer), output);
    }
    Ok(status)
}
