//! `treeferry doctor`: what would go wrong, before it does.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::output::{Output, json_line, one_line, to_stdout};
use super::{Stopped, configuration_file, recipes};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use treeferry::workflow::doctor::{Condition, Diagnosis};

#[derive(Debug, Args)]
pub(super) struct Doctor {}

/// Where distributions keep what starts programs.
const TIMETABLES: &[&str] = &[
    "/etc/crontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/var/spool/cron",
    "/var/spool/cron/crontabs",
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/etc/systemd/user",
];

pub(super) fn run(_: &Doctor, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let configuration = configuration_file::load(global)?;
    let mut places: Vec<PathBuf> = TIMETABLES.iter().map(PathBuf::from).collect();
    places.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/systemd/user")));
    let all = recipes::doctor(&configuration, &places);
    for diagnosis in &all {
        if output.json {
            json_line(&as_json(diagnosis));
        } else if !output.quiet || status_of(diagnosis) != ExitStatus::Protected {
            to_stdout(&as_text(diagnosis));
        }
    }
    let worst = ExitStatus::worst(all.iter().map(status_of));
    if output.json {
        let doubtful = all.iter().filter(|one| one.condition == Condition::Doubtful).count();
        let bad = all.iter().filter(|one| matches!(one.condition, Condition::Bad(_))).count();
        let code = worst.code();
        json_line(&json!({"message_type": "summary", "bad": bad, "doubtful": doubtful, "exit_code": code}));
    }
    Ok(worst)
}

fn status_of(diagnosis: &Diagnosis) -> ExitStatus {
    match &diagnosis.condition {
        Condition::Bad(outcome) => ExitStatus::from(outcome),
        Condition::Good | Condition::Doubtful => ExitStatus::Protected,
    }
}

fn word(condition: &Condition) -> &'static str {
    match condition {
        Condition::Good => "ok",
        Condition::Doubtful => "doubtful",
        Condition::Bad(_) => "bad",
    }
}

fn as_text(diagnosis: &Diagnosis) -> String {
    let subject = match &diagnosis.job {
        Some(job) => format!("{job}: {}", diagnosis.subject),
        None => diagnosis.subject.to_owned(),
    };
    format!("{:<8}  {subject}: {}\n", word(&diagnosis.condition), one_line(&diagnosis.finding))
}

fn as_json(diagnosis: &Diagnosis) -> serde_json::Value {
    json!({
        "message_type": "diagnosis",
        "job": diagnosis.job,
        "subject": diagnosis.subject,
        "condition": word(&diagnosis.condition),
        "message": diagnosis.finding,
        "exit_code": status_of(diagnosis).code(),
    })
}
