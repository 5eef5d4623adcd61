//! What can be typed.

use super::{
    adopt, backup, bench, completions, config, diff, doctor, import, init, log, ls, man, notify, plan, prune,
    restore, snapshots, status, verify,
};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Backups of very large trees to slow remotes: only what changed is sent, and the remote is never listed.
#[derive(Debug, Parser)]
#[command(name = "treeferry", version, max_term_width = 100, propagate_version = false)]
#[command(
    after_help = "Exit codes: 0 protected, 3 something is not protected, 13 a guard stopped it; all in docs/exit-codes.md."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(super) struct Global {
    /// Configuration file [default: $TREEFERRY_CONFIG, else $XDG_CONFIG_HOME/treeferry/config.toml, else /etc/treeferry/config.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON lines to stdout instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print errors and the summary line only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Name every file; twice: details; three times: what rclone says
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// How much goes to the log file
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: LogLevel,
}

/// Levels of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented configuration, never over an existing one
    Init(init::Init),
    /// Send what changed since the last run: the command for cron
    Backup(backup::Backup),
    /// Say what a backup would do: files, bytes, requests, time
    Plan(plan::Plan),
    /// Show the last run of each job and what is not protected
    Status(status::Status),
    /// Try the channels that tell about runs
    Notify(notify::Notify),
    /// List the states that can be restored
    Snapshots(snapshots::Snapshots),
    /// List what a state holds, from the index, without a request
    Ls(ls::Ls),
    /// Show what differs between two states, from the index, without a request
    Diff(diff::Diff),
    /// Show the versions of one file or folder, and where each lies
    Log(log::Log),
    /// Get files back, each checked against its hash before it takes its name
    Restore(restore::Restore),
    /// Look whether source or remote are still what the index says
    Verify(verify::Verify),
    /// Empty expired trash now, and give up the snapshots that needed it; a backup does it by itself
    Prune(prune::Prune),
    /// Look at rclone, remotes, sources, disk, clock and timer: what is wrong, and what to do
    Doctor(doctor::Doctor),
    /// Measure how fast this machine walks, reads and remembers files
    Bench(bench::Bench),
    /// Show or check the configuration
    Config(config::Config),
    /// Take over a mirror that exists already: uploaded by something else, or its index was lost
    Adopt(adopt::Adopt),
    /// Take over what the Python script that came before left behind
    Import(import::Import),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print the manual page
    Man(man::Man),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_finds_no_fault_with_the_definition() {
        Arguments::command().debug_assert();
    }
}
