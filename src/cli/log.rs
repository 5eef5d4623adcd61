//! `treeferry log`: what became of one path.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::figures;
use super::ls::kind_name;
use super::output::{Output, json_line, put_path, to_stdout};
use super::paths::job_and_paths;
use super::summary::{outcome_words, timestamp};
use super::{Stopped, configuration_file, recipes};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use treeferry::model::{EntryKind, TreePath};
use treeferry::workflow::versions::{Became, Kept, Version};

#[derive(Debug, Args)]
pub(super) struct Log {
    /// File or folder, below the source or absolute
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The job, when there are several
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
}

pub(super) fn run(command: &Log, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let configuration = configuration_file::load(global)?;
    let paths = [command.path.clone()];
    let (job, paths) = job_and_paths(&configuration, command.job.as_deref(), &paths)?;
    let path = paths.into_iter().next().unwrap_or_default();
    let versions = recipes::versions(&configuration, job, &path).map_err(|outcome| {
        Stopped::new(ExitStatus::from(&outcome), format!("{}: {}", job.name, outcome_words(&outcome)))
    })?;
    for version in &versions {
        if output.json {
            json_line(&as_json(version, &path));
        } else {
            to_stdout(&as_text(version, offset));
        }
    }
    Ok(ExitStatus::Protected)
}

fn became(version: &Version) -> &'static str {
    match version.became {
        Became::Added => "added",
        Became::Changed => "changed",
        Became::Removed => "removed",
    }
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn as_text(version: &Version, offset: UtcOffset) -> String {
    let date = at(version.finished_seconds)
        .to_offset(offset)
        .format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"))
        .unwrap_or_default();
    let what = match version.kind {
        EntryKind::File => figures::bytes(version.size),
        kind => kind_name(kind).to_owned(),
    };
    let hash = version.digest.map_or_else(String::new, |digest| format!("  {:.16}", digest.to_string()));
    let kept = match &version.kept {
        Kept::Mirror => "  in the mirror".to_owned(),
        Kept::Trash(run) => format!("  in the trash of {run}"),
        Kept::Gone(reason) => format!("  cannot be had any more: {reason}"),
        Kept::Nothing => String::new(),
    };
    format!("{}  {date}  {:<7}  {what:>10}{hash}{kept}\n", version.run, became(version))
}

fn as_json(version: &Version, path: &TreePath) -> Value {
    let kept = match &version.kept {
        Kept::Mirror => json!("mirror"),
        Kept::Trash(_) => json!("trash"),
        Kept::Gone(_) => json!("gone"),
        Kept::Nothing => Value::Null,
    };
    let mut line = json!({
        "message_type": "version",
        "snapshot": version.run.to_string(),
        "finished": timestamp(at(version.finished_seconds)),
        "change": became(version),
        "type": kind_name(version.kind),
        "size": version.size,
        "mtime": timestamp(at(version.mtime.seconds)),
        "blake3": version.digest.map(|digest| digest.to_string()),
        "kept": kept,
    });
    if let Kept::Trash(run) = &version.kept {
        line["trash_of"] = json!(run.to_string());
    }
    put_path(&mut line, "path", path);
    line
}
