//! For the log file: through `tracing`, one line per event.

use super::super::output::one_line;
use super::{phase_name, trouble};
use std::sync::{Mutex, PoisonError};
use tracing::{debug, error, info, trace, warn};
use treeferry::observe::{Counter, Event, Observer};

/// Writes to whatever subscriber is installed.
#[derive(Default)]
pub(in super::super) struct LogListener {
    job: Mutex<String>,
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
            Event::TransferPlanned { files, bytes } => info!("{job}: to send: {files} files, {bytes} bytes"),
            Event::Settled { lane, path, bytes, outcome } => match trouble(outcome) {
                None => info!("{job}: {lane}: {path} ({bytes} bytes)"),
                Some(reason) => warn!("{job}: {lane}: {path}: {}", one_line(&reason)),
            },
            Event::Unprotected { path, reason } => {
                warn!("{job}: not protected: {path}: {}", one_line(reason))
            }
            Event::Finding { path, reason } => warn!("{job}: {path}: {}", one_line(reason)),
            Event::WorkPlanned { phase, files, bytes } => {
                info!("{job}: {}: {files} files, {bytes} bytes", phase_name(*phase));
            }
            Event::FileDone { path, bytes } => debug!("{job}: {path} ({bytes} bytes)"),
            Event::Excluded { path, rule } => debug!("{job}: excluded: {path} by {}", one_line(rule)),
            Event::Warning(text) => warn!("{job}: {}", one_line(text)),
            Event::Detail(text) => debug!("{job}: {}", one_line(text)),
            Event::RcloneLine { level, text } => log_rclone(&job, level, &one_line(text)),
            Event::ScanProgress { files, .. } => trace!("{job}: scanned {files} files"),
            Event::TransferProgress { bytes, files, .. } => {
                debug!("{job}: sent {files} files, {bytes} bytes");
            }
            _ => {}
        }
    }

    fn count(&self, _counter: Counter, _amount: u64) {}
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
