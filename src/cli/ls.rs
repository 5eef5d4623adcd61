//! `treeferry ls`: what a state holds.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::output::{Output, json_line, put_path, to_stdout};
use super::paths::{job_and_paths, parse_at};
use super::summary::{outcome_words, timestamp};
use super::{Stopped, configuration_file, recipes};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use treeferry::model::EntryKind;
use treeferry::workflow::history::{At, ListedEntry, Listing};

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// File or folder, below the source or absolute; the top when none is named
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// The job, when there are several
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// State of that day or time (local), or of that snapshot [default: the newest]
    #[arg(long, value_name = "TIME|ID", value_parser = parse_at)]
    at: Option<At>,
    /// Everything below the folder, not only its own names
    #[arg(short = 'R', long)]
    recursive: bool,
}

pub(super) fn run(command: &Ls, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let configuration = configuration_file::load(global)?;
    let paths: Vec<PathBuf> = command.path.iter().cloned().collect();
    let (job, paths) = job_and_paths(&configuration, command.job.as_deref(), &paths)?;
    let listing = Listing {
        at: command.at.clone().unwrap_or_default(),
        path: paths.into_iter().next().unwrap_or_default(),
        recursive: command.recursive,
    };
    let told = recipes::list(&configuration, job, &listing, &mut |entry| {
        if output.json {
            json_line(&as_json(&entry));
        } else {
            to_stdout(&as_text(&entry, offset));
        }
    });
    told.map(|()| ExitStatus::Protected).map_err(|outcome| {
        let message = format!("{}: {}", job.name, outcome_words(&outcome));
        Stopped::new(ExitStatus::from(&outcome), message)
    })
}

pub(super) fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "dir",
        EntryKind::Symlink => "symlink",
        EntryKind::Special => "special",
        EntryKind::Mount => "mount",
    }
}

fn mtime(entry: &ListedEntry) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(entry.mtime.seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn as_text(entry: &ListedEntry, offset: UtcOffset) -> String {
    let date = mtime(entry)
        .to_offset(offset)
        .format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"))
        .unwrap_or_default();
    let letter = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Special => 's',
        EntryKind::Mount => 'm',
    };
    let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
    format!("{letter}{:04o} {:>14} {date} {}{slash}\n", entry.mode, entry.size, entry.path)
}

fn as_json(entry: &ListedEntry) -> Value {
    let mut line = json!({
        "message_type": "node",
        "type": kind_name(entry.kind),
        "size": entry.size,
        "mtime": timestamp(mtime(entry)),
        "mode": entry.mode,
        "blake3": entry.digest.map(|digest| digest.to_string()),
    });
    put_path(&mut line, "path", &entry.path);
    if let Some(target) = &entry.target {
        line["target"] = json!(String::from_utf8_lossy(target));
    }
    line
}
