//! `treeferry import settings` and `import snapshot`.

use super::Stopped;
use super::arguments::Global;
use super::configuration_file::defaults;
use super::exit_status::ExitStatus;
use super::init::{exists, write_new};
use super::output::{Output, json_line, to_stderr, to_stdout};
use super::progress::FanOut;
use super::{configuration_file, job_selection, recipes, signals, taken_over};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use treeferry::workflow::{self, ImportOptions, ImportedSettings};

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// Write a configuration that does what the script's constants say; the script is read, never run
    Settings(Settings),
    /// Take the script's snapshot for a first index, so that nothing is uploaded again
    Snapshot(Snapshot),
}

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// The snapshot: lines `path|size|mtime`; one with the ending .tmp beside it is read as the newer
    #[arg(value_name = "FILE")]
    snapshot: PathBuf,
    /// The job whose mirror it describes
    #[arg(long, value_name = "NAME")]
    job: String,
    /// Only say what would be taken over
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The Python script
    #[arg(value_name = "FILE.py")]
    script: PathBuf,
    /// File to write, never over an existing one [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(command: &Import, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    match &command.command {
        ImportCommand::Settings(command) => settings(command, output),
        ImportCommand::Snapshot(command) => snapshot(command, global, output),
    }
}

fn snapshot(command: &Snapshot, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let names = std::slice::from_ref(&command.job);
    let stop = signals::listen()?;
    let observer = FanOut::for_output(output);
    let options = ImportOptions { dry_run: command.dry_run, accept: Vec::new() };
    let mut status = ExitStatus::Protected;
    for job in job_selection::select(&configuration, names)? {
        let taken =
            recipes::import_snapshot(&configuration, job, &command.snapshot, &options, &stop, &observer);
        status = taken_over::tell(&taken, output);
    }
    Ok(status)
}

fn settings(command: &Settings, output: &Output) -> Result<ExitStatus, Stopped> {
    if let Some(file) = &command.output
        && file.symlink_metadata().is_ok()
    {
        return Err(exists(file));
    }
    let name = command.script.display().to_string();
    let bytes = std::fs::read(&command.script)
        .map_err(|error| Stopped::usage(format!("reading the script {name}: {error}")))?;
    let script = String::from_utf8(bytes)
        .map_err(|_| Stopped::usage(format!("{name} is not UTF-8; save it as UTF-8 and try again")))?;
    let imported = workflow::import_settings(&script, &name, &defaults())
        .map_err(|error| Stopped::usage(format!("{name}: {error}")))?;
    if let Some(file) = &command.output {
        write_new(file, &imported.text)?;
    }
    tell(command, &imported, output);
    Ok(ExitStatus::Protected)
}

fn tell(command: &Settings, imported: &ImportedSettings, output: &Output) {
    if output.json {
        let text = command.output.is_none().then_some(&imported.text);
        json_line(&json!({
            "message_type": "summary",
            "file": command.output,
            "jobs": imported.jobs,
            "left_behind": imported.left_behind,
            "configuration": text,
        }));
        return;
    }
    for sentence in &imported.left_behind {
        output.warning(&format!("not carried over: {sentence}"));
    }
    let Some(file) = &command.output else {
        to_stdout(&imported.text);
        return;
    };
    let snapshots = imported.snapshots.as_deref().unwrap_or("the script's cache folder");
    let next: String = imported
        .jobs
        .iter()
        .map(|job| {
            format!("  treeferry import snapshot FILE --job {job}    (FILE: its snapshot in {snapshots})\n")
        })
        .collect();
    if !output.quiet {
        to_stderr("next:\n  treeferry config validate\n");
        to_stderr(&format!("{next}  treeferry plan\n"));
    }
    to_stdout(&format!("wrote {}\n", file.display()));
}
