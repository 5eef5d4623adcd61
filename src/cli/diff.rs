//! `treeferry diff`: what differs between two states.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::figures;
use super::output::{Output, json_line, put_path, to_stdout};
use super::paths::{job_and_paths, parse_at};
use super::summary::outcome_words;
use super::{Stopped, configuration_file, recipes};
use clap::Args;
use serde_json::json;
use treeferry::model::EntryKind;
use treeferry::workflow::differences::{Difference, DifferentPath};
use treeferry::workflow::history::At;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Earlier state: a day or time (local), or the id of a snapshot [default: the one before the later]
    #[arg(value_name = "T1", value_parser = parse_at)]
    from: Option<At>,
    /// Later state [default: the newest]
    #[arg(value_name = "T2", value_parser = parse_at)]
    to: Option<At>,
    /// The job, when there are several
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
}

#[derive(Default)]
struct Totals {
    added: u64,
    removed: u64,
    changed: u64,
    bytes_added: u64,
    bytes_removed: u64,
}

pub(super) fn run(command: &Diff, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let (job, _) = job_and_paths(&configuration, command.job.as_deref(), &[])?;
    let to = command.to.clone().unwrap_or_default();
    let mut totals = Totals::default();
    let told = recipes::differences(&configuration, job, command.from.as_ref(), &to, &mut |different| {
        count(&different, &mut totals);
        tell(&different, output);
    });
    let compared = told.map_err(|outcome| {
        Stopped::new(ExitStatus::from(&outcome), format!("{}: {}", job.name, outcome_words(&outcome)))
    })?;
    let id = |run: Option<treeferry::model::RunId>| run.map(|run| run.to_string());
    let (from, to) = (id(compared.from), id(compared.to));
    if output.json {
        json_line(&json!({
            "message_type": "summary",
            "job": job.name,
            "from": from,
            "to": to,
            "files_added": totals.added,
            "files_removed": totals.removed,
            "files_changed": totals.changed,
            "bytes_added": totals.bytes_added,
            "bytes_removed": totals.bytes_removed,
        }));
    } else if !output.quiet {
        to_stdout(&format!(
            "{}: {} to {}: {} added, {} removed, {} changed; {} more, {} less\n",
            job.name,
            from.as_deref().unwrap_or("nothing"),
            to.as_deref().unwrap_or("nothing"),
            figures::files(totals.added),
            figures::files(totals.removed),
            figures::files(totals.changed),
            figures::bytes(totals.bytes_added),
            figures::bytes(totals.bytes_removed),
        ));
    }
    Ok(ExitStatus::Protected)
}

/// Everything but folders.
fn count(different: &DifferentPath, totals: &mut Totals) {
    totals.bytes_added += different.size_after;
    totals.bytes_removed += different.size_before;
    match different.difference {
        _ if different.kind == EntryKind::Directory => {}
        Difference::Added => totals.added += 1,
        Difference::Removed => totals.removed += 1,
        Difference::Modified | Difference::OtherType => totals.changed += 1,
    }
}

fn tell(different: &DifferentPath, output: &Output) {
    let sign = match different.difference {
        Difference::Added => "+",
        Difference::Removed => "-",
        Difference::Modified => "M",
        Difference::OtherType => "T",
    };
    if output.json {
        let mut line = json!({
            "message_type": "change",
            "modifier": sign,
            "size_before": different.size_before,
            "size_after": different.size_after,
        });
        put_path(&mut line, "path", &different.path);
        json_line(&line);
        return;
    }
    let slash = if different.kind == EntryKind::Directory { "/" } else { "" };
    to_stdout(&format!("{sign}  {}{slash}\n", different.path));
}
