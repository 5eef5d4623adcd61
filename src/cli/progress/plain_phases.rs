//! For cron and pipes: one line per phase on stderr.

use super::super::figures;
use super::super::output::{one_line, to_stderr};
use super::{detail_line, phase_name};
use std::sync::{Mutex, PoisonError};
use treeferry::observe::{Counter, Event, Observer, Phase};

/// Writes lines.
pub(super) struct PlainPhases {
    verbose: u8,
    job: Mutex<String>,
}

impl PlainPhases {
    pub(super) fn new(verbose: u8) -> Self {
        PlainPhases { verbose, job: Mutex::default() }
    }
}

impl Observer for PlainPhases {
    fn event(&self, event: &Event<'_>) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::JobStarted { job: name } = event {
            *job = (*name).to_owned();
        }
        let begun = begun_line(event).map(str::to_owned);
        if let Some(line) = begun.or_else(|| phase_line(event)).or_else(|| detail_line(event, self.verbose)) {
            to_stderr(&format!("{job}: {}\n", one_line(&line)));
        }
    }

    fn count(&self, _counter: Counter, _amount: u64) {}
}

/// Phases that say nothing else of themselves. A transfer, a restore and a check are told with their size.
fn begun_line(event: &Event<'_>) -> Option<&'static str> {
    match event {
        Event::PhaseStarted(Phase::Scan) => Some("scanning the source"),
        Event::PhaseStarted(Phase::Compare) => Some("reading files that may have changed"),
        Event::PhaseStarted(Phase::Commit) => Some("writing the index"),
        Event::PhaseStarted(Phase::Prune) => Some("emptying expired trash"),
        _ => None,
    }
}

/// The lines that everybody gets to see.
pub(super) fn phase_line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::PhaseFinished { phase, summary } => Some(format!("{}: {summary}", phase_name(*phase))),
        Event::TransferPlanned { files, bytes, removals, is_at_most, cost } if *files + *removals > 0 => {
            let at_most = if *is_at_most { "at most " } else { "" };
            let mut parts = Vec::new();
            if *files > 0 {
                parts.push(format!(
                    "sending {at_most}{}, {}",
                    figures::files(*files),
                    figures::bytes(*bytes)
                ));
            }
            if *removals > 0 {
                parts.push(format!(
                    "taking {at_most}{} out of the mirror",
                    figures::counted(*removals, "version", "versions")
                ));
            }
            if !cost.is_empty() {
                parts.push(format!("at most {cost}"));
            }
            Some(parts.join("; "))
        }
        Event::WorkPlanned { phase, files, bytes } => {
            Some(format!("{}: {}, {}", phase_name(*phase), figures::files(*files), figures::bytes(*bytes)))
        }
        _ => None,
    }
}
