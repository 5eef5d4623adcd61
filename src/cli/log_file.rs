//! Logs by day: `<log_dir>/backup-YYYY-MM-DD.log`, local date, UTF-8, one line
//! per event. Each line is one append, so several processes may share a file.

use super::arguments::{Global, LogLevel};
use super::exit_status::ExitStatus;
use super::output::Output;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use treeferry::workflow::configuration::Configuration;
use treeferry::workflow::report::JobOutcome;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3][offset_hour sign:mandatory]:[offset_minute]"
);

/// Where the lines of this run go.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
}

/// Begins to log. The local offset can only be asked for while the process has
/// one thread, so this comes first, and a run keeps the offset it began with.
///
/// # Errors
/// When the folder or the file cannot be written; nothing is logged then.
pub(super) fn start(log_dir: &Path, level: LogLevel) -> io::Result<LogFile> {
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(log_dir)?;
    let today = OffsetDateTime::now_utc().to_offset(offset).date();
    let writer = DailyFile { log_dir: log_dir.to_path_buf(), offset, open: Arc::default() };
    // Opened now, so that a folder that cannot be written is told before the run.
    writer.with_file(|_| Ok(()))?;
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(filter)
        .with_ansi(false)
        .with_target(false)
        .with_timer(LocalTime(offset))
        .with_writer(writer)
        .finish()
        // Ours only: an HTTP library logs whole requests, keys and all.
        .with(Targets::new().with_target("treeferry", filter))
        .try_init()
        .map_err(io::Error::other)?;
    Ok(LogFile { path: log_dir.join(file_name(today)) })
}

/// The log of a command that works through jobs. One that cannot be written is a
/// warning: the work is what counts.
pub(super) fn begin(configuration: &Configuration, global: &Global, output: &Output) -> Option<LogFile> {
    let log_dir = &configuration.log_dir;
    let log = start(log_dir, global.log_level)
        .map_err(|error| output.warning(&format!("no log is written to {}: {error}", log_dir.display())))
        .ok()?;
    if let Err(error) = remove_old(log_dir, configuration.log_retention_days) {
        output.warning(&format!("removing old logs from {}: {error}", log_dir.display()));
    }
    Some(log)
}

/// The line that says how a job ended.
pub(super) fn end(job: &str, outcome: &JobOutcome, words: &str) {
    match ExitStatus::from(outcome) {
        ExitStatus::Protected => tracing::info!("{job}: {words}"),
        status => tracing::error!("{job}: exit code {}: {words}", status.code()),
    }
}

fn file_name(date: Date) -> String {
    format!("backup-{}.log", date.format(DATE).unwrap_or_default())
}

/// The date in the name of one of our logs.
fn date_of(file_name: &str) -> Option<Date> {
    let date = file_name.strip_prefix("backup-")?.strip_suffix(".log")?;
    Date::parse(date, DATE).ok()
}

/// Removes our logs whose date is more than `retention_days` before today.
/// 0 keeps all. Nothing else in the folder is touched.
pub(super) fn remove_old(log_dir: &Path, retention_days: u32) -> io::Result<()> {
    if retention_days == 0 {
        return Ok(());
    }
    let today = OffsetDateTime::now_utc().date();
    for entry in std::fs::read_dir(log_dir)? {
        let entry = entry?;
        let date = entry.file_name().to_str().and_then(date_of);
        let is_old = date.is_some_and(|date| (today - date).whole_days() > i64::from(retention_days));
        if is_old && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Local time in front of each line.
struct LocalTime(UtcOffset);

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let now = OffsetDateTime::now_utc().to_offset(self.0);
        writer.write_str(&now.format(TIME).map_err(|_| std::fmt::Error)?)
    }
}

/// Appends to the file of the day, and turns to the next one at midnight.
#[derive(Debug, Clone)]
struct DailyFile {
    log_dir: PathBuf,
    offset: UtcOffset,
    open: Arc<Mutex<Option<(Date, File)>>>,
}

impl DailyFile {
    fn with_file<T>(&self, act: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let today = OffsetDateTime::now_utc().to_offset(self.offset).date();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *open {
            Some((date, file)) if *date == today => file,
            stale => {
                let path = self.log_dir.join(file_name(today));
                let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
                &mut stale.insert((today, file)).1
            }
        };
        act(file)
    }
}

impl Write for DailyFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.with_file(|file| file.write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for DailyFile {
    type Writer = DailyFile;

    fn make_writer(&'w self) -> DailyFile {
        self.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_old_logs_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let today = file_name(OffsetDateTime::now_utc().date());
        for name in
            ["backup-2020-01-31.log", "backup-2020-01-31.log.gz", "backup-yesterday.log", "notes.txt", &today]
        {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        remove_old(folder.path(), 0).unwrap();
        assert!(folder.path().join("backup-2020-01-31.log").exists());
        remove_old(folder.path(), 30).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut expected = ["backup-2020-01-31.log.gz", "backup-yesterday.log", "notes.txt", &today]
            .map(std::ffi::OsString::from);
        expected.sort();
        assert_eq!(left, expected);
    }
}
