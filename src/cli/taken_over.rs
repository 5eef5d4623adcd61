//! What `import snapshot` and `adopt` came to, for people and for programs.

use super::exit_status::ExitStatus;
use super::output::{Output, json_line, one_line, path_objects, to_stdout};
use super::{figures, summary};
use serde_json::{Value, json};
use std::fmt::Write as _;
use time::OffsetDateTime;
use treeferry::workflow::report::JobOutcome;
use treeferry::workflow::{LeftOut, Named, NamesBy, TakenOver};

/// How many paths of a kind are shown by name; `-v` and `--json` have more.
const NAMES_SHOWN: usize = 5;

/// Tells, and gives back how the command ends.
pub(super) fn tell(taken: &TakenOver, output: &Output) -> ExitStatus {
    let status = ExitStatus::from(&taken.outcome);
    if output.json {
        json_line(&as_json(taken, status));
    }
    if taken.outcome != JobOutcome::Protected {
        let words = match &taken.outcome {
            // Nothing is written before the end, so there is nothing to go on with.
            JobOutcome::Interrupted { signal } => {
                format!(
                    "interrupted by signal {signal}; nothing was taken over, and the same command begins anew"
                )
            }
            outcome => summary::outcome_words(outcome),
        };
        // The configuration is not at fault here: the message says what is.
        let words = words.strip_prefix("the configuration cannot be used: ").unwrap_or(&words);
        output.exit_error(status, &format!("{}: {words}", taken.job));
        return status;
    }
    if !output.json {
        to_stdout(&as_text(taken, output));
    }
    status
}

fn as_text(taken: &TakenOver, output: &Output) -> String {
    let mut text = String::new();
    let what = if taken.dry_run { "would be taken over" } else { "taken over" };
    let how = match taken.files_compared_by_hash {
        0 => "no file was read".into(),
        number => format!("{} were compared by hash", figures::files(number)),
    };
    let _ = writeln!(
        text,
        "{}: {} {what} as held, {}; nothing was sent, and {how}",
        taken.job,
        figures::files(taken.files_held),
        figures::bytes(taken.bytes_held)
    );
    if output.quiet {
        return text;
    }
    for file in &taken.from {
        let _ = writeln!(text, "  read           {}", one_line(&file.display().to_string()));
    }
    if let Some(names) = taken.names_after_all {
        let names = match names {
            NamesBy::Rclone => "rclone's default, although a treeferry wrote here",
            NamesBy::Treeferry => "treeferry's, although it left no owner file here",
        };
        let _ = writeln!(text, "  names          as {names}: read so, more of them are in the source");
    }
    let mut kinds = [
        ("changed", &taken.changed, "replaced by the next run, the old version goes to the trash"),
        ("gone", &taken.gone, "no longer in the source; the next run does what `on_delete` says"),
        ("new", &taken.new, "sent by the next run"),
        ("out of scope", &taken.kept, "stay on the mirror: excluded, or a link in the source"),
        ("surplus", &taken.surplus, "on the mirror only, and left alone"),
        (
            "odd names",
            &taken.odd_names,
            "stay as rclone wrote them; a new mirror would write them in another way",
        ),
    ]
    .into_iter()
    .filter(|(_, named, _)| named.total > 0)
    .peekable();
    if kinds.peek().is_none() {
        text.push_str("  the next run has nothing to send\n");
    }
    for (kind, named, meaning) in kinds {
        let _ = writeln!(text, "  {kind:<14} {} ({meaning})", figures::files(named.total));
        put_names(&mut text, named, output);
    }
    if taken.not_understood_total > 0 {
        let lines = figures::counted(taken.not_understood_total, "line", "lines");
        let _ = writeln!(text, "  left out       {lines} that cannot be told to be a file below the source");
        for left_out in &taken.not_understood {
            let _ = writeln!(text, "    {}{}", place(left_out), one_line(&left_out.text));
        }
    }
    if let Some(checked) =
        taken.last_check_seconds.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok())
    {
        let _ = writeln!(text, "  last check     {} (last_full_check of the script)", checked.date());
    }
    if taken.files_unreadable > 0 {
        let names = figures::counted(taken.files_unreadable, "name", "names");
        let _ = writeln!(text, "  not readable   {names} of the source (see above)");
    }
    let next = if taken.dry_run { "the same without -n" } else { "treeferry plan" };
    let _ = writeln!(text, "next: {next}");
    text
}

fn place(left_out: &LeftOut) -> String {
    match (left_out.line, &left_out.file) {
        (0, _) => String::new(),
        (line, None) => format!("line {line}: "),
        (line, Some(file)) => {
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
            format!("line {line} of {}: ", one_line(&name))
        }
    }
}

fn put_names(text: &mut String, named: &Named, output: &Output) {
    let shown = if output.verbose > 0 { usize::MAX } else { NAMES_SHOWN };
    for path in named.first.iter().take(shown) {
        let _ = writeln!(text, "    {path}");
    }
    let shown = named.first.len().min(shown) as u64;
    if named.total > shown {
        let _ = writeln!(text, "    and {} more", figures::count(named.total - shown));
    }
}

fn as_json(taken: &TakenOver, status: ExitStatus) -> Value {
    let paths = |named: &Named| path_objects(&named.first);
    let left_out: Vec<Value> = (taken.not_understood.iter())
        .map(|left_out| {
            let LeftOut { file, line, text } = left_out;
            let file = file.as_ref().map(|file| file.to_string_lossy());
            json!({ "file": file, "line": (*line > 0).then_some(line), "text": text })
        })
        .collect();
    json!({
        "message_type": "summary",
        "job": taken.job,
        "dry_run": taken.dry_run,
        "files_held": taken.files_held,
        "bytes_held": taken.bytes_held,
        "files_compared_by_hash": taken.files_compared_by_hash,
        "files_changed": taken.changed.total,
        "changed": paths(&taken.changed),
        "files_deleted": taken.gone.total,
        "deleted": paths(&taken.gone),
        "files_new": taken.new.total,
        "new": paths(&taken.new),
        "files_out_of_scope": taken.kept.total,
        "out_of_scope": paths(&taken.kept),
        "files_surplus": taken.surplus.total,
        "surplus": paths(&taken.surplus),
        "files_with_odd_names": taken.odd_names.total,
        "odd_names": paths(&taken.odd_names),
        "names_after_all": taken.names_after_all.map(|names| match names {
            NamesBy::Rclone => "rclone",
            NamesBy::Treeferry => "treeferry",
        }),
        "lines_left_out": taken.not_understood_total,
        "left_out": left_out,
        "files_unreadable": taken.files_unreadable,
        "last_check_seconds": taken.last_check_seconds,
        "exit_code": status.code(),
    })
}
