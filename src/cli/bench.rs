//! `treeferry bench`: how fast this machine is, beside the floor.

use super::exit_status::ExitStatus;
use super::figures::{bytes, count};
use super::output::{Output, json_line, to_stdout};
use super::{Stopped, recipes};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use treeferry::workflow::bench::{BenchIndexOptions, BenchReport, BenchScanOptions};

#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Walk a tree: bare, with everything listed, with settled directories skipped
    Scan {
        /// The tree
        #[arg(default_value = ".")]
        path: PathBuf,
        #[command(flatten)]
        how: How,
        /// Measure how an index is made from stat data alone, too
        #[arg(long)]
        build: bool,
    },
    /// Read and hash files
    Hash {
        /// A tree, or one file
        #[arg(default_value = ".")]
        path: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Make an index of made-up entries, change it, and look for differences
    Index {
        /// Where it may lie for the while, at about 70 bytes an entry [default: the system's directory for temporary files]
        path: Option<PathBuf>,
        /// Files in it
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
        entries: u64,
        /// Files in each directory
        #[arg(long, value_name = "NUMBER", default_value_t = 15)]
        files_a_directory: u64,
    },
}

#[derive(Debug, Args)]
struct How {
    /// Threads; 0 for one per core
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    threads: usize,
    /// How often; the table shows medians
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    rounds: usize,
}

pub(super) fn run(command: &Bench, output: &Output) -> Result<ExitStatus, Stopped> {
    let temporary_directory = std::env::temp_dir();
    let (subject, measured) = match &command.what {
        What::Scan { path, how, build } => {
            let How { threads, rounds } = *how;
            let options = BenchScanOptions { threads, rounds, build: *build, temporary_directory };
            ("scan", recipes::bench_scan(path, &options))
        }
        What::Hash { path, how } => {
            ("hash", recipes::bench_hash(path, how.threads, how.rounds, &temporary_directory))
        }
        What::Index { path, entries, files_a_directory } => {
            let options = BenchIndexOptions {
                entries: *entries,
                files_a_directory: *files_a_directory,
                temporary_directory: path.clone().unwrap_or(temporary_directory),
            };
            ("index", recipes::bench_index(&options))
        }
    };
    let report = measured.map_err(|error| Stopped::new(ExitStatus::Fatal, error.to_string()))?;
    if output.json {
        json_line(&as_json(subject, &report));
    } else {
        to_stdout(&as_table(&report));
    }
    Ok(ExitStatus::Protected)
}

fn per_second(number: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { number as f64 / seconds } else { 0.0 }
}

fn as_json(subject: &str, report: &BenchReport) -> Value {
    let floor = report.rows.first();
    let rows = report.rows.iter().map(|row| {
        let mut value = json!({
            "name": row.name,
            "wall_seconds": row.wall_seconds,
            "cpu_seconds": row.cpu_seconds,
            "files": row.files,
            "files_per_second": per_second(row.files, row.wall_seconds),
        });
        if report.bytes > 0 {
            value["bytes_per_second"] = json!(per_second(report.bytes, row.wall_seconds));
        }
        if let Some(floor) = floor.filter(|_| report.has_floor()) {
            value["wall_to_floor"] = json!(row.wall_seconds / floor.wall_seconds);
            value["cpu_to_floor"] = json!(row.cpu_seconds / floor.cpu_seconds);
        }
        value
    });
    let figures: Map<String, Value> =
        report.figures.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))).collect();
    json!({
        "message_type": "bench",
        "bench": subject,
        "subject": report.subject,
        "files": report.files,
        "directories": report.directories,
        "bytes": report.bytes,
        "threads": report.threads,
        "rounds": report.rounds,
        "rows": rows.collect::<Vec<_>>(),
        "figures": figures,
    })
}

fn as_table(report: &BenchReport) -> String {
    let mut text = report.subject.clone();
    let _ = write!(text, ": {} files", count(report.files));
    if report.directories > 0 {
        let _ = write!(text, ", {} folders", count(report.directories));
    }
    if report.bytes > 0 {
        let _ = write!(text, ", {}", bytes(report.bytes));
    }
    let _ = writeln!(text, "; threads: {}, rounds: {} (medians)", report.threads, report.rounds);
    let _ = write!(text, "{:<34} {:>10} {:>10} {:>12}", "", "wall s", "cpu s", "files/s");
    if report.bytes > 0 {
        let _ = write!(text, " {:>12}", "a second");
    }
    if report.has_floor() {
        let _ = write!(text, " {:>7} {:>7}", "wall x", "cpu x");
    }
    text.push('\n');
    for row in &report.rows {
        let files = per_second(row.files, row.wall_seconds) as u64;
        let _ = write!(
            text,
            "{:<34} {:>10.4} {:>10.4} {:>12}",
            row.name,
            row.wall_seconds,
            row.cpu_seconds,
            count(files)
        );
        if report.bytes > 0 {
            let _ = write!(text, " {:>12}", bytes(per_second(report.bytes, row.wall_seconds) as u64));
        }
        if let Some(floor) = report.rows.first().filter(|_| report.has_floor()) {
            let wall = row.wall_seconds / floor.wall_seconds;
            let _ = write!(text, " {wall:>7.2} {:>7.2}", row.cpu_seconds / floor.cpu_seconds);
        }
        text.push('\n');
    }
    for (name, figure) in &report.figures {
        let _ = writeln!(text, "{:<34} {figure:>10.1}", name.replace('_', " "));
    }
    text
}
