//! `treeferry config show` and `config validate`.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::output::{Output, json_line, to_stdout};
use super::{Stopped, configuration_file, figures, recipes};
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration that is in force, defaults included, without secrets
    Show,
    /// Check the configuration, and that rclone knows the remotes
    Validate,
}

pub(super) fn run(command: &Config, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    match command.command {
        ConfigCommand::Show if output.json => {
            let shown = configuration.show();
            let value: serde_json::Value = toml::from_str(&shown).map_err(|error| {
                Stopped::new(ExitStatus::Fatal, format!("showing the configuration as JSON: {error}"))
            })?;
            json_line(
                &json!({"message_type": "configuration", "file": configuration.file, "configuration": value}),
            );
        }
        ConfigCommand::Show => {
            to_stdout(&format!("# From {}\n{}", configuration.file.display(), configuration.show()));
        }
        ConfigCommand::Validate => {
            let problems = recipes::check_remotes(&configuration);
            if !problems.is_empty() {
                let file = configuration.file.display();
                return Err(Stopped::usage(format!("{file} cannot be used\n{}", problems.join("\n"))));
            }
            let jobs = configuration.jobs.len();
            if output.json {
                json_line(
                    &json!({"message_type": "summary", "file": configuration.file, "valid": true, "jobs": jobs}),
                );
            } else {
                let jobs = figures::counted(jobs as u64, "job", "jobs");
                to_stdout(&format!("{} is valid: {jobs}\n", configuration.file.display()));
            }
        }
    }
    Ok(ExitStatus::Protected)
}
