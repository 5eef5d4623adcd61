//! Listeners: what the user sees while a job runs. One per audience.

mod excluded;
mod json_lines;
mod log_listener;
mod meter;
mod plain_phases;
mod terminal;

pub(super) use excluded::ExcludedList;
pub(super) use json_lines::JsonLines;
pub(super) use log_listener::LogListener;

use super::output::Output;
use plain_phases::PlainPhases;
use terminal::TerminalProgress;
use treeferry::model::{Failure, Lane, Outcome};
use treeferry::observe::{Counter, Event, Observer, Phase};

/// Tells several listeners.
#[derive(Default)]
pub(super) struct FanOut {
    listeners: Vec<Box<dyn Observer + Send>>,
}

impl FanOut {
    /// The listener for whoever looks at this process: JSON, progress bar, lines, or none.
    pub(super) fn for_output(output: &Output) -> Self {
        let mut fan_out = FanOut::default();
        if output.json {
            fan_out.add(JsonLines::new());
        } else if output.has_progress_bar() {
            fan_out.add(TerminalProgress::new(output.verbose));
        } else if !output.quiet {
            fan_out.add(PlainPhases::new(output.verbose));
        }
        fan_out
    }

    pub(super) fn add(&mut self, listener: impl Observer + Send + 'static) {
        self.listeners.push(Box::new(listener));
    }
}

impl Observer for FanOut {
    fn event(&self, event: &Event<'_>) {
        self.listeners.iter().for_each(|listener| listener.event(event));
    }

    fn count(&self, counter: Counter, amount: u64) {
        self.listeners.iter().for_each(|listener| listener.count(counter, amount));
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Recover => "recover",
        Phase::Scan => "scan",
        Phase::Plan => "plan",
        Phase::Compare => "compare",
        Phase::Transfer => "transfer",
        Phase::Commit => "commit",
        Phase::Prune => "prune",
        Phase::Restore => "restore",
        Phase::Verify => "verify",
    }
}

/// What became of a path, for people. `None`: it simply worked.
fn trouble(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Confirmed => None,
        Outcome::ChangedMeanwhile => Some("changed while it was uploaded".into()),
        Outcome::Vanished => Some("gone before it could be sent".into()),
        Outcome::Failed(Failure { reason, .. }) => Some(reason.clone()),
        Outcome::NotAttempted => Some("not sent before the run ended".into()),
        Outcome::Unknown => Some("sent, without an answer".into()),
        Outcome::Unheard => Some("rclone was ended before it said anything of it".into()),
    }
}

/// One letter for what was done.
fn lane_letter(lane: Lane) -> char {
    match lane {
        Lane::Upload => '+',
        Lane::Trash => 't',
        Lane::Delete => '-',
        Lane::Discard => 'd',
    }
}

/// The lines about single things, which `-v` asks for.
fn detail_line(event: &Event<'_>, verbose: u8) -> Option<String> {
    match event {
        Event::Settled { lane, path, outcome, .. } => match trouble(outcome) {
            None if verbose >= 1 => Some(format!("{} {path}", lane_letter(*lane))),
            // Whether that leaves something unprotected is said by an event of its own.
            Some(reason) if verbose >= 2 => Some(format!("! {path}: {lane}: {reason}")),
            _ => None,
        },
        Event::Unprotected { path, reason } | Event::Finding { path, reason } if verbose >= 1 => {
            Some(format!("! {path}: {reason}"))
        }
        Event::FileDone { path, .. } if verbose >= 1 => Some(format!("= {path}")),
        Event::Warning(text) => Some(format!("warning: {text}")),
        Event::Detail(text) if verbose >= 2 => Some((*text).to_owned()),
        Event::RcloneLine { level, text } if verbose >= 3 => Some(format!("rclone {level}: {text}")),
        _ => None,
    }
}
