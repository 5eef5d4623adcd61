//! `treeferry notify test`, and what `backup` tells when it ends.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use super::output::{Output, json_line, one_line, to_stdout};
use super::{Stopped, configuration_file, summary};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;
use treeferry::workflow::configuration::Configuration;
use treeferry::workflow::notification::{Announcement, Delivery, Notifier, Speech, test_channels};
use treeferry::workflow::options::Stop;
use treeferry::workflow::report::JobReport;

#[derive(Debug, Args)]
pub(super) struct Notify {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// Send a test message through every channel of the configuration, and say which ones work
    Test,
}

pub(super) fn run(command: &Notify, global: &Global, output: &Output) -> Result<ExitStatus, Stopped> {
    let NotifyCommand::Test = command.command;
    let configuration = configuration_file::load(global)?;
    let deliveries = test_channels(&configuration, &host(), &locale());
    if deliveries.is_empty() {
        return Err(Stopped::usage(format!(
            "{} names no channel: fill in [notify.telegram], [notify.mail], [notify.webhook] or [notify.healthcheck]",
            configuration.file.display()
        )));
    }
    for delivery in &deliveries {
        if output.json {
            json_line(&as_json(delivery));
        } else {
            to_stdout(&as_text(delivery));
        }
    }
    let all_work = deliveries.iter().all(|delivery| delivery.is_delivered);
    Ok(if all_work { ExitStatus::Protected } else { ExitStatus::Fatal })
}

fn as_text(delivery: &Delivery) -> String {
    let mut text = String::new();
    for (number, failure) in delivery.failures.iter().enumerate() {
        text += &format!("{}: attempt {} failed: {}\n", delivery.channel, number + 1, one_line(failure));
    }
    if delivery.is_delivered {
        text += &format!("{}: works\n", delivery.channel);
    }
    text
}

fn as_json(delivery: &Delivery) -> serde_json::Value {
    json!({
        "message_type": "delivery",
        "channel": delivery.channel.name(),
        "delivered": delivery.is_delivered,
        "failures": delivery.failures,
    })
}

/// Tells about a run that has ended. What fails here is logged and shown, and
/// changes nothing else.
pub(super) fn tell(
    notifier: Notifier<'_>,
    reports: &[JobReport],
    log: Option<&Path>,
    exit_code: u8,
    stop: &Stop,
    output: &Output,
) {
    let announcement = Announcement {
        reports,
        summaries: reports.iter().map(summary::as_json).collect(),
        log,
        exit_code,
        host: &host(),
        locale: &locale(),
    };
    for delivery in notifier.finish(&announcement, stop) {
        let channel = delivery.channel;
        for failure in &delivery.failures {
            tracing::warn!("notification by {channel}: {}", one_line(failure));
        }
        match delivery.failures.last() {
            Some(failure) if !delivery.is_delivered => {
                tracing::error!("notification by {channel} failed");
                output.warning(&format!("notification by {channel} failed: {}", one_line(failure)));
            }
            _ => tracing::info!("notification by {channel} was sent"),
        }
    }
}

/// The language of what is told, on the terminal too.
pub(super) fn speech(configuration: &Configuration) -> Speech {
    Speech::of(configuration.language, &locale())
}

/// What POSIX asks for the language of messages.
fn locale() -> String {
    ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default()
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
