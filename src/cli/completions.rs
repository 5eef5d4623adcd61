//! `treeferry completions SHELL`.

use super::arguments::Arguments;
use super::exit_status::ExitStatus;
use super::output::to_stdout;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell it is for
    shell: Shell,
}

pub(super) fn run(command: &Completions) -> ExitStatus {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Arguments::command(), "treeferry", &mut script);
    to_stdout(&String::from_utf8_lossy(&script));
    ExitStatus::Protected
}
