//! For the log file: through `tracing`, one line per event.

use super::super::figures;
use super::super::output::one_line;
use super::{phase_name, trouble};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, trace, warn};
use treeferry::observe::{Counter, Event, Observer};

/// How far a transfer is, in the log.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Writes to whatever subscriber is installed.
#[derive(Default)]
pub(in super::super) struct LogListener {
    job: Mutex<String>,
    last_told: Mutex<Option<Instant>>,
    /// Files and bytes of what is under way.
    planned: Mutex<(u64, u64)>,
}

impl Observer for LogListener {
    fn event(&self, event: &Event<'_>) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::JobStarted { job: name } => {
                *job = (*name).to_owned();
                info!("{job}: begins");
            }
            Event::PhaseStarted(phase) => debug!("{job}: {} begins", phase_name(*phase)),
            Event::PhaseFinished { phase, summary } => {
                info!("{job}: {}: {}", phase_name(*phase), one_line(summary));
            }
            Event::TransferPlanned { files, bytes, removals, is_at_most, cost, .. } => {
                self.plan(*files, *bytes);
                let at_most = if *is_at_most { "at most " } else { "" };
                info!("{job}: to send: {at_most}{files} files, {bytes} bytes; to remove: {removals}; {cost}");
            }
            Event::Settled { lane, path, bytes, outcome } => match trouble(outcome) {
                None => info!("{job}: {lane}: {path} ({bytes} bytes)"),
                Some(reason) => warn!("{job}: {lane}: {path}: {}", one_line(&reason)),
            },
            Event::Unprotected { path, reason } => {
                warn!("{job}: not protected: {path}: {}", one_line(reason))
            }
            Event::Finding { path, reason } => warn!("{job}: {path}: {}", one_line(reason)),
            Event::WorkPlanned { phase, files, bytes } => {
                self.plan(*files, *bytes);
                info!("{job}: {}: {files} files, {bytes} bytes", phase_name(*phase));
            }
            Event::FileDone { path, bytes } => debug!("{job}: {path} ({bytes} bytes)"),
            Event::Excluded { path, rule } => debug!("{job}: excluded: {path} by {}", one_line(rule)),
            Event::Warning(text) => warn!("{job}: {}", one_line(text)),
            Event::Detail(text) => debug!("{job}: {}", one_line(text)),
            Event::RcloneLine { level, text } => log_rclone(&job, level, &one_line(text)),
            Event::ScanProgress { files, .. } => trace!("{job}: scanned {files} files"),
            Event::TransferProgress { bytes, files, bytes_per_second, .. } => {
                let mut last_told = self.last_told.lock().unwrap_or_else(PoisonError::into_inner);
                if last_told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    *last_told = Some(Instant::now());
                    let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
                    info!("{job}: {}", progress_line((*files, *bytes), *planned, *bytes_per_second));
                }
            }
            _ => {}
        }
    }

    fn count(&self, _counter: Counter, _amount: u64) {}
}

impl LogListener {
    fn plan(&self, files: u64, bytes: u64) {
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = (files, bytes);
    }
}

/// Files and bytes so far, and of how many.
fn progress_line(so_far: (u64, u64), planned: (u64, u64), bytes_per_second: f64) -> String {
    let counted = |(files, bytes)| format!("{}, {bytes} bytes", figures::counted(files, "file", "files"));
    let of = if planned == (0, 0) { String::new() } else { format!(" of {}", counted(planned)) };
    format!("so far: {}{of}; {bytes_per_second:.0} bytes a second", counted(so_far))
}

/// rclone's receipts are told as `Settled`; its own lines for them are details.
fn log_rclone(job: &str, level: &str, text: &str) {
    match level {
        "error" | "critical" => error!("{job}: rclone: {text}"),
        "warning" | "" => warn!("{job}: rclone: {text}"),
        "notice" => info!("{job}: rclone: {text}"),
        _ => debug!("{job}: rclone: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_says_of_how_much() {
        let line = progress_line((1, 2_486_352), (2, 3_000_001), 42_294.4);
        assert_eq!(line, "so far: 1 file, 2486352 bytes of 2 files, 3000001 bytes; 42294 bytes a second");
        assert_eq!(progress_line((2, 5), (0, 0), 1.0), "so far: 2 files, 5 bytes; 1 bytes a second");
    }
}
