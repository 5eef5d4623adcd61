//! `treeferry init`: writes a first configuration, never over an existing one.

use super::Stopped;
use super::arguments::Global;
use super::configuration_file::{defaults, file_to_create};
use super::exit_status::ExitStatus;
use super::output::{Output, json_line, to_stderr, to_stdout};
use super::starter::{Answers, starter};
use clap::Args;
use serde_json::json;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use treeferry::workflow::configuration::Configuration;

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Folder to back up
    #[arg(long, value_name = "DIR")]
    source: Option<String>,
    /// Where to, as rclone writes it: name:path
    #[arg(long, value_name = "REMOTE")]
    remote: Option<String>,
    /// Name of the job [default: the last part of the source]
    #[arg(long)]
    name: Option<String>,
    /// Place of trash and owner file [default: .treeferry/<job> beside the remote's folder]
    #[arg(long, value_name = "REMOTE")]
    companion: Option<String>,
    /// Pattern to leave out, in .gitignore syntax; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Folder for index, journal and lock [default: $XDG_STATE_HOME/treeferry]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// File to write [default: where treeferry looks for it]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(command: &Init, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let file = match &command.output {
        Some(file) => file.clone(),
        None => file_to_create(global)?,
    };
    // Asked before any question, and again by `create_new` when it is written.
    if file.symlink_metadata().is_ok() {
        return Err(exists(&file));
    }
    let text = starter(&answers(command)?);
    // What is written must be what is read later.
    let configuration = Configuration::parse(&text, &file, &defaults()).map_err(|error| {
        let reasons: Vec<&str> = error.problems.iter().map(|problem| problem.message.as_str()).collect();
        Stopped::usage(format!("nothing was written: {}", reasons.join("\n")))
    })?;
    write_new(&file, &text)?;
    if output.json {
        let jobs: Vec<&str> = configuration.jobs.iter().map(|job| job.name.as_str()).collect();
        json_line(&json!({"message_type": "summary", "file": file, "jobs": jobs}));
    } else {
        to_stdout(&format!(
            "wrote {}\nnext: treeferry config validate, treeferry plan, treeferry backup\n",
            file.display()
        ));
    }
    Ok(ExitStatus::Protected)
}

pub(super) fn exists(file: &Path) -> Stopped {
    Stopped::usage(format!(
        "{} exists already and is left as it is; name another with --output",
        file.display()
    ))
}

fn answers(command: &Init) -> Result<Answers, Stopped> {
    let source = answer(command.source.as_deref(), "--source", "Folder to back up", None)?;
    let source = std::path::absolute(&source)
        .map_err(|error| Stopped::usage(format!("the folder \"{source}\": {error}")))?;
    let source = source.to_str().map(str::to_owned).ok_or_else(|| {
        Stopped::usage("the path of the source is not UTF-8, which the configuration cannot hold")
    })?;
    let remote =
        answer(command.remote.as_deref(), "--remote", "Where to, as rclone writes it (name:path)", None)?;
    let suggestion = suggested_name(&source);
    let name = match (&command.name, &command.remote) {
        (Some(name), _) => name.clone(),
        // Nobody was asked for the remote, so nobody is there to be asked for the name.
        (None, Some(_)) => suggestion,
        (None, None) => answer(None, "--name", "Name of the job", Some(&suggestion))?,
    };
    Ok(Answers {
        name,
        source,
        remote,
        companion: command.companion.clone(),
        exclude: command.exclude.clone(),
        state_dir: command.state_dir.clone(),
    })
}

fn suggested_name(source: &str) -> String {
    let last = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let fitting: String =
        last.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let fitting = fitting.trim_start_matches('.');
    if fitting.is_empty() { "root".into() } else { fitting.into() }
}

/// A flag, or a question on a terminal.
fn answer(given: Option<&str>, flag: &str, question: &str, default: Option<&str>) -> Result<String, Stopped> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Stopped::usage(format!("{flag} is missing, and there is no terminal to ask on")));
    }
    loop {
        let hint = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        to_stderr(&format!("{question}{hint}: "));
        let mut line = String::new();
        let length = stdin.lock().read_line(&mut line).map_err(|error| {
            Stopped::usage(format!("reading the answer: {error}; {flag} gives it without a question"))
        })?;
        match (line.trim(), default) {
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) if length == 0 => return Err(Stopped::usage("nothing was written: no answer")),
            ("", None) => {}
            (text, _) => return Ok(text.to_owned()),
        }
    }
}

/// Only the owner may read it: it may come to hold secrets.
pub(super) fn write_new(file: &Path, text: &str) -> Result<(), Stopped> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => Stopped::new(ExitStatus::Fatal, format!("writing {}: {error}", file.display())),
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut created =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    created.write_all(text.as_bytes()).and_then(|()| created.sync_all()).map_err(failed)
}
