//! Telling about runs: once per invocation, for all its jobs. Whatever happens
//! here changes nothing about the backup.

mod memory;
mod message;
mod reasons;
mod words;

pub use crate::notify::{Channel, Delivery};
pub(super) use memory::last_failures;
pub use words::Speech;

use super::configuration::{Configuration, NotifyOn};
use super::options::{Stop, StopLevel};
use super::report::{JobOutcome, JobReport};
use crate::notify::{self, Message, Patience, Ping};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;

/// For the end of a run that was asked to stop: whoever asked waits for us too,
/// and service managers lose patience after 90 seconds.
const HURRIED: Patience = Patience {
    attempt: Duration::from_secs(10),
    pause: Duration::from_secs(1),
    pause_max: Duration::from_secs(5),
};

/// How much of the log goes with a ping.
const LOG_TAIL_BYTES: u64 = 10_000;

/// What there is to tell, and what only the caller can know.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// Of all jobs of this invocation, in order.
    pub reports: &'a [JobReport],
    /// The same for machines: the `summary` of each, as `--json` prints it.
    pub summaries: Vec<Value>,
    /// Where the log of this run is, when there is one.
    pub log: Option<&'a Path>,
    /// With which the process will end.
    pub exit_code: u8,
    /// The name of this machine, so that two of them can write to one chat.
    pub host: &'a str,
    /// `LC_ALL`, `LC_MESSAGES` or `LANG`, for `language = "auto"`.
    pub locale: &'a str,
}

type WaitForPing = Box<dyn FnOnce(&dyn Fn() -> bool) -> Delivery>;

/// Tells about one invocation of `backup`.
pub struct Notifier<'c> {
    configuration: &'c Configuration,
    patience: Patience,
    start: Option<WaitForPing>,
}

impl<'c> Notifier<'c> {
    /// Tells the healthcheck, where there is one, that a run begins. Does not wait for it.
    pub fn begin(configuration: &'c Configuration) -> Self {
        let patience = Patience::default();
        let start = notify::ping(&configuration.notify.channels, Ping::Start, &patience);
        Notifier { configuration, patience, start: start.map(|wait| Box::new(wait) as WaitForPing) }
    }

    /// Tells what the run came to, remembers what could not be told for
    /// `status`, and returns what became of each message. Waits at most a few
    /// minutes; not at all once `stop` is urgent, or asked for
    /// only now.
    pub fn finish(self, announcement: &Announcement<'_>, stop: &Stop) -> Vec<Delivery> {
        let Notifier { configuration, patience, start } = self;
        let was_stopped = stop.is_requested();
        let patience = if was_stopped { HURRIED } else { patience };
        // Who asks for the end now, when all but this is done, need not ask twice.
        let is_urgent = || stop.level() == StopLevel::AtOnce || (!was_stopped && stop.is_requested());
        let notify = &configuration.notify;
        let speech = Speech::of(configuration.language, announcement.locale);
        let message = message::build(announcement, speech);
        let mut deliveries = Vec::new();
        // A start that comes after the end would look like a run that hangs.
        deliveries.extend(start.map(|wait| wait(&is_urgent)).filter(|start| !start.failures.is_empty()));
        let end =
            ending(announcement, &message).and_then(|ping| notify::ping(&notify.channels, ping, &patience));
        if is_worth_telling(notify.on, announcement.reports) {
            deliveries.extend(notify::send(&notify.channels, &message, &patience, &is_urgent));
        }
        deliveries.extend(end.map(|wait| wait(&is_urgent)));
        memory::remember(configuration, announcement.reports, &deliveries);
        deliveries
    }
}

/// Sends a test message through every channel, whatever `on` says. Of
/// healthchecks it is a success with a text that says so. `status` no longer says of a channel
/// that works that its last message failed.
pub fn test_channels(configuration: &Configuration, host: &str, locale: &str) -> Vec<Delivery> {
    let speech = Speech::of(configuration.language, locale);
    let message = message::test(configuration, host, speech);
    let (channels, patience) = (&configuration.notify.channels, Patience::default());
    let ping = notify::ping(channels, Ping::Success(message.text.clone()), &patience);
    let never = || false;
    let mut deliveries = notify::send(channels, &message, &patience, &never);
    deliveries.extend(ping.map(|wait| wait(&never)));
    memory::forget_what_works(configuration, &deliveries);
    deliveries
}

/// True when a person should look at it.
fn is_trouble(outcome: &JobOutcome) -> bool {
    // A second instance that finds the first at work is how cron is meant to be used.
    !matches!(
        outcome,
        JobOutcome::Protected
            | JobOutcome::BudgetSpent { .. }
            | JobOutcome::Skipped { .. }
            | JobOutcome::LockHeld { .. }
    )
}

fn has_changed(report: &JobReport) -> bool {
    report.files_uploaded + report.files_moved + report.files_trashed + report.files_removed > 0
}

/// The mirror was not as it was left: worth a word also when it is again.
fn lost_something(report: &JobReport) -> bool {
    report.check.as_ref().is_some_and(|check| check.has_findings())
}

fn is_worth_telling(on: NotifyOn, reports: &[JobReport]) -> bool {
    match on {
        NotifyOn::Always => true,
        NotifyOn::Change => reports
            .iter()
            .any(|report| has_changed(report) || is_trouble(&report.outcome) || lost_something(report)),
        NotifyOn::Failure => {
            reports.iter().any(|report| is_trouble(&report.outcome) || lost_something(report))
        }
    }
}

/// `None` when all jobs are at work in another process: that one will tell.
fn ending(announcement: &Announcement<'_>, message: &Message) -> Option<Ping> {
    let outcomes = || announcement.reports.iter().map(|report| &report.outcome);
    if outcomes().all(|outcome| matches!(outcome, JobOutcome::LockHeld { .. })) {
        return None;
    }
    let log = announcement.log.map(log_tail).unwrap_or_default();
    let text = format!("{}\n\n{}\n{log}", message.subject, message.text);
    Some(if outcomes().any(is_trouble) { Ping::Fail(text) } else { Ping::Success(text) })
}

/// The last lines of the log; empty when it cannot be read.
fn log_tail(log: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        let begin = length.saturating_sub(LOG_TAIL_BYTES);
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        if begin > 0 {
            let first_line = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            bytes.drain(..first_line);
        }
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The body of a webhook without template.
fn as_json(announcement: &Announcement<'_>, message: &Message) -> String {
    json!({
        "message_type": "notification",
        "host": announcement.host,
        "job": message.job,
        "result": message.result,
        "subject": message.subject,
        "text": message.text,
        "exit_code": announcement.exit_code,
        "jobs": announcement.summaries,
    })
    .to_string()
}

fn newest(reports: &[JobReport]) -> OffsetDateTime {
    reports.iter().map(|report| report.finished).max().unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
