//! Command line: what the user types, and what the user gets to see.
//!
//! Knows: clap, terminals, the environment, the recipes of `workflow` and the nouns.
//! Promises: every end has a documented exit code; a closed pipe is no panic;
//! with `--json`, stdout holds JSON lines and nothing else.
//! Must not know: anything below `workflow`.

mod adopt;
mod arguments;
mod backup;
mod bench;
mod budgets;
mod completions;
mod config;
mod configuration_file;
mod diff;
mod doctor;
mod exit_status;
mod import;
mod init;
mod job_selection;
mod log;
mod log_file;
mod ls;
mod man;
mod notify;
mod output;
mod paths;
mod plan;
mod progress;
mod prune;
mod recipes;
mod restore;
mod signals;
mod snapshots;
mod starter;
mod status;
mod summary;
mod taken_over;
mod verify;

use arguments::{Arguments, Command};
use clap::Parser;
use exit_status::ExitStatus;
use output::Output;
use std::process::ExitCode;
use treeferry::workflow::figures;

/// Why a command ended early, told once and in one place.
#[derive(Debug)]
pub(crate) struct Stopped {
    status: ExitStatus,
    message: String,
}

impl Stopped {
    fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Stopped { status, message: message.into() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Stopped::new(ExitStatus::Usage, message)
    }
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come as errors too; their code is 0.
            let _ = error.print();
            let is_error = error.exit_code() != 0;
            return if is_error { ExitStatus::Usage } else { ExitStatus::Protected }.into();
        }
    };
    let output = Output::new(&arguments.global);
    let result = match &arguments.command {
        Command::Init(command) => init::run(command, &arguments.global, &output),
        Command::Backup(command) => backup::run(command, &arguments.global, &output),
        Command::Plan(command) => plan::run(command, &arguments.global, &output),
        Command::Status(command) => status::run(command, &arguments.global, &output),
        Command::Notify(command) => notify::run(command, &arguments.global, &output),
        Command::Snapshots(command) => snapshots::run(command, &arguments.global, &output),
        Command::Ls(command) => ls::run(command, &arguments.global, &output),
        Command::Diff(command) => diff::run(command, &arguments.global, &output),
        Command::Log(command) => log::run(command, &arguments.global, &output),
        Command::Restore(command) => restore::run(command, &arguments.global, &output),
        Command::Verify(command) => verify::run(command, &arguments.global, &output),
        Command::Prune(command) => prune::run(command, &arguments.global, &output),
        Command::Doctor(command) => doctor::run(command, &arguments.global, &output),
        Command::Bench(command) => bench::run(command, &output),
        Command::Config(command) => config::run(command, &arguments.global, &output),
        Command::Adopt(command) => adopt::run(command, &arguments.global, &output),
        Command::Import(command) => import::run(command, &arguments.global, &output),
        Command::Completions(command) => Ok(completions::run(command)),
        Command::Man(command) => man::run(command),
    };
    match result {
        Ok(status) => status.into(),
        Err(stopped) => {
            output.exit_error(stopped.status, &stopped.message);
            stopped.status.into()
        }
    }
}
