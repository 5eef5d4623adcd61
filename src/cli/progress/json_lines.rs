//! For programs: JSON lines on stdout, as restic writes them.

use super::super::output::{json_line, put_path};
use super::meter::Meter;
use super::phase_name;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use treeferry::observe::{Counter, Event, Observer};

/// Readers are promised a status at least every 5 s, also while nothing happens.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// Writes `status` and `error` lines.
pub(in super::super) struct JsonLines {
    meter: Arc<Mutex<Meter>>,
    bytes_hashed: Arc<AtomicU64>,
    end: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl JsonLines {
    pub(in super::super) fn new() -> Self {
        let meter = Arc::new(Mutex::new(Meter::new()));
        let (end, ended) = channel::<()>();
        let ticking = Arc::clone(&meter);
        let bytes_hashed = Arc::new(AtomicU64::new(0));
        let hashing = Arc::clone(&bytes_hashed);
        let ticker = std::thread::Builder::new().name("json status".into()).spawn(move || {
            while ended.recv_timeout(STATUS_EVERY) == Err(RecvTimeoutError::Timeout) {
                let hashed = hashing.load(Ordering::Relaxed);
                let status = status(&ticking.lock().unwrap_or_else(PoisonError::into_inner), hashed);
                json_line(&status);
            }
        });
        // Without the thread a status still comes with each phase.
        JsonLines { meter, bytes_hashed, end: Some(end), ticker: ticker.ok() }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        self.end.take();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

impl Observer for JsonLines {
    fn event(&self, event: &Event<'_>) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.take_in(event);
        match event {
            Event::PhaseStarted(_) | Event::TransferPlanned { .. } | Event::WorkPlanned { .. } => {
                json_line(&status(&meter, self.bytes_hashed.load(Ordering::Relaxed)))
            }
            other => {
                if let Some(line) = error_line(&meter, other) {
                    json_line(&line);
                }
            }
        }
    }

    fn count(&self, counter: Counter, amount: u64) {
        if counter == Counter::BytesHashed {
            self.bytes_hashed.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

fn status(meter: &Meter, bytes_hashed: u64) -> Value {
    json!({
        "message_type": "status",
        "job": meter.job,
        "phase": meter.phase,
        "seconds_elapsed": meter.started.elapsed().as_secs(),
        "seconds_remaining": meter.remaining().map(|left| left.as_secs()),
        "percent_done": meter.part_done(),
        "files_scanned": meter.files_scanned,
        "directories_scanned": meter.directories_scanned,
        "total_files": meter.total_files,
        "files_done": meter.files_done,
        "total_bytes": meter.total_bytes,
        "bytes_done": meter.bytes_done,
        "bytes_per_second": meter.rate(),
        "bytes_hashed": bytes_hashed,
        "files_removed": meter.files_removed,
        "total_removals": meter.total_removals,
        "current_files": meter.current,
    })
}

fn error_line(meter: &Meter, event: &Event<'_>) -> Option<Value> {
    let (path, reason) = match event {
        Event::Unprotected { path, reason } | Event::Finding { path, reason } => (path, (*reason).to_owned()),
        Event::Warning(text) => {
            return Some(json!({"message_type": "warning", "job": meter.job, "message": text}));
        }
        Event::PhaseFinished { phase, summary } => {
            return Some(json!({
                "message_type": "verbose_status",
                "job": meter.job,
                "phase": phase_name(*phase),
                "message": summary,
            }));
        }
        _ => return None,
    };
    let mut line = json!({
        "message_type": "error",
        "job": meter.job,
        "during": meter.phase,
        "error": {"message": reason},
    });
    put_path(&mut line, "item", path);
    Some(line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use treeferry::model::{Lane, Outcome, TreePath};

    #[test]
    fn errors_name_the_item_the_reason_and_the_phase() {
        let mut meter = Meter::new();
        meter.take_in(&Event::JobStarted { job: "photos" });
        let path = TreePath::from_bytes("a/b").unwrap();
        let unprotected = Event::Unprotected { path: &path, reason: "405 Method Not Allowed" };
        assert_eq!(
            error_line(&meter, &unprotected).unwrap(),
            json!({
                "message_type": "error", "job": "photos", "during": "start", "item": "a/b",
                "error": {"message": "405 Method Not Allowed"},
            })
        );
        let confirmed =
            Event::Settled { lane: Lane::Upload, path: &path, bytes: 1, outcome: &Outcome::Confirmed };
        assert_eq!(error_line(&meter, &confirmed), None);
    }
}
