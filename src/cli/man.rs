//! `treeferry man`.

use super::Stopped;
use super::arguments::Arguments;
use super::exit_status::ExitStatus;
use super::output::to_stdout;
use clap::{Args, CommandFactory};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The page of this command, such as `backup` or `import settings`
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(command: &Man) -> Result<ExitStatus, Stopped> {
    let mut shown = Arguments::command();
    shown.build();
    for name in &command.command {
        shown = shown.find_subcommand(name).cloned().ok_or_else(|| {
            Stopped::usage(format!("there is no command \"{}\"", command.command.join(" ")))
        })?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(shown)
        .render(&mut page)
        .map_err(|error| Stopped::new(ExitStatus::Fatal, format!("making the manual page: {error}")))?;
    to_stdout(&String::from_utf8_lossy(&page));
    Ok(ExitStatus::Protected)
}
