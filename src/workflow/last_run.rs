//! What is remembered of the last run of any kind, for `status`.

use super::configuration::{Configuration, Job};
use super::report::{JobOutcome, JobReport, NotEntered, Unprotected};
use crate::commit::{SideFile, StateDir, StateError};
use crate::disk::RealDisk;
use crate::model::TreePath;
use crate::observe::Silent;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// `last-run.json`: written after every run, also after one that changed
/// nothing. Not part of the index: nothing that is sent depends on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LastRun {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) started: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) finished: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) last_protected: Option<OffsetDateTime>,
    pub(super) outcome: JobOutcome,
    unprotected_total: u64,
    #[serde(default)]
    not_reached: u64,
    /// The first of them with their reasons; paths as bytes, because names are.
    unprotected: Vec<(Vec<u8>, String)>,
    #[serde(default)]
    not_entered_total: u64,
    #[serde(default)]
    not_entered: Vec<Vec<u8>>,
}

impl LastRun {
    pub(super) fn unprotected(&self) -> Unprotected {
        let named = self
            .unprotected
            .iter()
            .filter_map(|(path, reason)| Some((TreePath::from_bytes(path.clone()).ok()?, reason.clone())));
        Unprotected { named: named.collect(), total: self.unprotected_total, not_reached: self.not_reached }
    }

    /// Other file systems below the source.
    pub(super) fn not_entered(&self) -> NotEntered {
        let named = self.not_entered.iter().filter_map(|path| TreePath::from_bytes(path.clone()).ok());
        NotEntered { named: named.collect(), total: self.not_entered_total }
    }
}

/// Remembers a run. A run that could not even begin (another one holds the
/// lock) is not remembered: it says nothing about the job.
pub(super) fn write(configuration: &Configuration, job: &Job, report: &mut JobReport) {
    if matches!(report.outcome, JobOutcome::LockHeld { .. }) {
        return;
    }
    if let Err(error) = try_write(configuration, job, report) {
        report.warnings.push(format!("this run could not be remembered for `status`: {error}"));
    }
}

fn try_write(configuration: &Configuration, job: &Job, report: &JobReport) -> Result<(), StateError> {
    let state = StateDir::open(&configuration.state_dir, &job.name)?;
    let before = read(&state)?;
    // A run that did not get as far as to compare the trees knows nothing of what is protected.
    let known_before = before.as_ref().filter(|_| is_without_a_look(report)).map(LastRun::unprotected);
    let unprotected = known_before.as_ref().unwrap_or(&report.unprotected);
    let has_scanned = report.content_root.is_some();
    let met_before = before.as_ref().filter(|_| !has_scanned).map(LastRun::not_entered);
    let not_entered = met_before.as_ref().unwrap_or(&report.not_entered);
    let before = before.and_then(|last| last.last_protected);
    // A check that could not be made takes nothing away from the backup; damage does.
    let is_protected = report.was_protected && !matches!(report.outcome, JobOutcome::Damaged { .. });
    let last_run = LastRun {
        started: report.started,
        finished: report.finished,
        last_protected: if is_protected { Some(report.finished) } else { before },
        outcome: report.outcome.clone(),
        unprotected_total: unprotected.total,
        not_reached: unprotected.not_reached,
        unprotected: unprotected
            .named
            .iter()
            .map(|(path, reason)| (path.as_bytes().to_vec(), reason.clone()))
            .collect(),
        not_entered_total: not_entered.total,
        not_entered: not_entered.named.iter().map(|path| path.as_bytes().to_vec()).collect(),
    };
    let bytes = serde_json::to_vec(&last_run).unwrap_or_default();
    state.write_side_file(&RealDisk::new(&Silent), SideFile::LastRun, &bytes)
}

fn is_without_a_look(report: &JobReport) -> bool {
    report.forecast.is_none() && !report.was_protected && report.unprotected.total == 0
}

/// The last run, when there was one and it can be read.
pub(super) fn read(state: &StateDir) -> Result<Option<LastRun>, StateError> {
    let bytes = state.read_side_file(SideFile::LastRun)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
