//! How fast this machine is at what a run does, beside what the kernel charges
//! for it. Nothing here looks at a job, and nothing is sent.

mod hash;
mod index;
mod scan;

pub use hash::bench_hash;
pub use index::{BenchIndexOptions, bench_index};
pub use scan::{BenchScanOptions, bench_scan};

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BenchReport {
    /// What was walked, read or made.
    pub subject: String,
    /// Files in it, or entries.
    pub files: u64,
    /// Directories in it.
    pub directories: u64,
    /// Sum of the sizes of the files that were read, in bytes; 0 where none was.
    pub bytes: u64,
    /// Threads at work.
    pub threads: usize,
    /// Rounds, of which the table shows the medians.
    pub rounds: usize,
    /// The work, side by side; the floor comes first where there is one.
    pub rows: Vec<BenchRow>,
    /// Figures that are no times, by name; the unit ends the name.
    pub figures: Vec<(&'static str, f64)>,
}

impl BenchReport {
    /// True when the first row is what the kernel charges.
    pub fn has_floor(&self) -> bool {
        self.rows.first().is_some_and(|row| row.name.starts_with("floor"))
    }
}

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchRow {
    /// What was done.
    pub name: &'static str,
    /// From beginning to end, in seconds.
    pub wall_seconds: f64,
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Files or entries that were dealt with.
    pub files: u64,
}

/// Something could not be measured.
#[derive(Debug, thiserror::Error)]
#[error("measuring {subject}: {reason}")]
pub struct BenchError {
    /// What.
    pub subject: String,
    /// Why not.
    pub reason: String,
}

impl BenchError {
    fn new(subject: impl Into<String>, reason: impl std::fmt::Display) -> BenchError {
        BenchError { subject: subject.into(), reason: reason.to_string() }
    }
}

/// Wall and processor seconds of one piece of work.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall_seconds: f64,
    cpu_seconds: f64,
}

fn measure<T>(work: impl FnOnce() -> T) -> (Cost, T) {
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    let result = work();
    let cost =
        Cost { wall_seconds: started.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - cpu_before };
    (cost, result)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The row of some rounds: medians, because one slow round must not move it.
fn row(name: &'static str, files: u64, costs: &[Cost]) -> BenchRow {
    BenchRow {
        name,
        files,
        wall_seconds: median(costs.iter().map(|cost| cost.wall_seconds).collect()),
        cpu_seconds: median(costs.iter().map(|cost| cost.cpu_seconds).collect()),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn threads_or_all(threads: usize) -> usize {
    if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

#[cfg(test)]
mod tests;
