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
        Event::TransferPlanned { files, removals, .. } if *files + *removals > 0 => planned_line(event),
        Event::WorkPlanned { phase, files, bytes } => {
            Some(format!("{}: {}, {}", phase_name(*phase), figures::files(*files), figures::bytes(*bytes)))
        }
        _ => None,
    }
}

fn planned_line(event: &Event<'_>) -> Option<String> {
    let Event::TransferPlanned { files, bytes, removals, is_at_most, is_dry_run, cost } = event else {
        return None;
    };
    // What is read first is announced before anything is sent, and perhaps nothing is.
    let (send, take) = match (is_dry_run, is_at_most) {
        (true, true) => ("would send at most", "would take at most"),
        (true, false) => ("would send", "would take"),
        (false, true) => ("to send: at most", "to take: at most"),
        (false, false) => ("sending", "taking"),
    };
    let mut parts = Vec::new();
    if *files > 0 {
        parts.push(format!("{send} {}, {}", figures::files(*files), figures::bytes(*bytes)));
    }
    if *removals > 0 {
        let versions = figures::counted(*removals, "version", "versions");
        parts.push(format!("{take} {versions} out of the mirror"));
    }
    if !cost.is_empty() {
        parts.push(format!("at most {cost}"));
    }
    Some(parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(is_at_most: bool, is_dry_run: bool) -> String {
        let planned = Event::TransferPlanned {
            files: 1,
            bytes: 2,
            removals: 3,
            is_at_most,
            is_dry_run,
            cost: "4 requests",
        };
        phase_line(&planned).unwrap_or_default()
    }

    #[test]
    fn only_what_is_sent_now_is_said_to_be_sent() {
        assert_eq!(
            line(false, false),
            "sending 1 file, 2 B; taking 3 versions out of the mirror; at most 4 requests"
        );
        assert_eq!(
            line(false, true),
            "would send 1 file, 2 B; would take 3 versions out of the mirror; at most 4 requests"
        );
        for (is_dry_run, words) in [(false, "to send: at most 1 file"), (true, "would send at most 1 file")] {
            assert!(line(true, is_dry_run).starts_with(words), "{}", line(true, is_dry_run));
        }
    }
}
