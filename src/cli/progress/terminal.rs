//! For a terminal: a bar with bytes, files, rate and the time that is left.

use super::super::figures;
use super::super::output::one_line;
use super::detail_line;
use super::meter::Meter;
use super::plain_phases::phase_line;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use treeferry::observe::{Counter, Event, Observer, Phase};

/// Parts of the bar; figures are ours, so that they read as in the summary.
const STEPS: u64 = 1_000;

const SPINNER: &str = "{spinner} {wide_msg}";

/// Draws on stderr.
pub(super) struct TerminalProgress {
    verbose: u8,
    bar: ProgressBar,
    meter: Mutex<Meter>,
}

impl TerminalProgress {
    pub(super) fn new(verbose: u8) -> Self {
        TerminalProgress::drawing_to(ProgressDrawTarget::stderr_with_hz(8), verbose)
    }

    fn drawing_to(target: ProgressDrawTarget, verbose: u8) -> Self {
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        let progress = TerminalProgress { verbose, bar, meter: Mutex::new(Meter::new()) };
        // Before the first phase there are no totals yet: no bar.
        progress.set_style(SPINNER);
        progress
    }

    fn set_style(&self, template: &str) {
        // A template that cannot be read is a slip of ours; the default style shows it.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style.progress_chars("=> "));
    }

    fn start_phase(&self, phase: Phase) {
        self.set_style(match phase {
            Phase::Transfer | Phase::Restore | Phase::Verify => "[{bar:10}] {percent:>3}% {wide_msg}",
            _ => SPINNER,
        });
        self.bar.enable_steady_tick(Duration::from_millis(250));
    }

    fn refresh(&self, meter: &Meter) {
        self.bar.set_position((meter.part_done() * STEPS as f64) as u64);
        self.bar.set_message(one_line(&message(meter)));
    }
}

fn message(meter: &Meter) -> String {
    let job = &meter.job;
    match meter.phase {
        _ if job.is_empty() => String::new(),
        "scan" if meter.files_expected > 0 => format!(
            "{job}: scan {} of about {} files",
            figures::count(meter.files_scanned),
            figures::count(meter.files_expected)
        ),
        "scan" => format!("{job}: scan {}", figures::files(meter.files_scanned)),
        "transfer" | "restore" | "verify" => {
            let left = meter.remaining().map(|left| format!(", {} left", figures::duration(left)));
            // What matters most comes first: a narrow terminal cuts off the end.
            let removed = match meter.total_removals {
                0 => String::new(),
                total => format!(
                    ", {}/{} out of the mirror",
                    figures::count(meter.files_removed.min(total)),
                    figures::count(total)
                ),
            };
            format!(
                "{}/{}, {}/s{}, {}/{} files{removed}",
                figures::bytes(meter.bytes_done),
                figures::bytes(meter.total_bytes),
                figures::bytes(meter.rate().max(0.0) as u64),
                left.unwrap_or_default(),
                figures::count(meter.files_done),
                figures::count(meter.total_files)
            )
        }
        phase => format!("{job}: {phase}"),
    }
}

impl Observer for TerminalProgress {
    fn event(&self, event: &Event<'_>) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.take_in(event);
        if let Event::PhaseStarted(phase) = event {
            self.start_phase(*phase);
        }
        if let Some(line) = phase_line(event).or_else(|| detail_line(event, self.verbose)) {
            self.bar.println(format!("{}: {}", meter.job, one_line(&line)));
        }
        self.refresh(&meter);
    }

    fn count(&self, _counter: Counter, _amount: u64) {}
}

impl Drop for TerminalProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;
    use std::sync::Arc;

    /// Keeps what is drawn.
    #[derive(Debug, Clone, Default)]
    struct Drawn(Arc<Mutex<String>>);

    impl TermLike for Drawn {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _lines: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _lines: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn there_is_no_bar_before_something_is_known_to_be_measured() {
        let drawn = Drawn::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(drawn.clone()), 255);
        let progress = TerminalProgress::drawing_to(target, 0);
        progress.event(&Event::Warning("said before anything else"));
        progress.event(&Event::JobStarted { job: "photos" });
        progress.event(&Event::PhaseStarted(Phase::Scan));
        std::thread::sleep(Duration::from_millis(300));
        let before = drawn.0.lock().unwrap().clone();
        assert!(before.contains("said before anything else") && before.contains("photos: "), "{before:?}");
        assert!(!before.contains("1000") && !before.contains('[') && !before.contains('░'), "{before:?}");
    }
}
