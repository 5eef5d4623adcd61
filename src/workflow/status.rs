//! The recipe `status`: what is known of a job, without a request and without
//! a lock.

use super::check_state::CheckState;
use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::notification::Speech;
use super::opened::{open_to_look, read_docket};
use super::quarantine::Quarantine;
use super::report::{JobOutcome, JobStatus, Unprotected};
use super::surroundings::Surroundings;
use super::{figures, guards, last_run, notification};
use crate::commit::StateDir;
use crate::index::{Facts, Tree};
use crate::transfer::{Control, Gap};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use time::OffsetDateTime;

/// What is known of `job`. Trouble with reading it is the outcome.
pub fn status(configuration: &Configuration, job: &Job, surroundings: &Surroundings<'_>) -> JobStatus {
    let mut status = JobStatus {
        job: job.name.clone(),
        run_id: None,
        last_started: None,
        last_finished: None,
        last_protected: None,
        files: 0,
        bytes: 0,
        unprotected: Unprotected::default(),
        next_check: None,
        last_check: None,
        running: None,
        notes: Vec::new(),
        outcome: JobOutcome::NoIndex,
    };
    if let Err(halt) = fill(configuration, job, surroundings, &mut status) {
        status.outcome = JobOutcome::from(halt);
    }
    status.notes.extend(about_rclone(surroundings));
    status
}

/// What the rclone found here lacks; one process, no request.
fn about_rclone(surroundings: &Surroundings<'_>) -> Vec<String> {
    match surroundings.rclone(&Control::default()) {
        Ok(rclone) => {
            let gap = |gap: &Gap| {
                format!("rclone {} is older than {}: {}", rclone.version(), gap.since, gap.consequence)
            };
            rclone.gaps().0.iter().map(gap).collect()
        }
        Err(halt) => vec![halt.to_string()],
    }
}

/// Where the configuration means other places than the index.
fn about_places(job: &Job, facts: &Facts) -> Vec<String> {
    let mut notes = Vec::new();
    if facts.source != job.source.as_os_str().as_bytes() {
        notes.push("the source in the configuration is not the one of the last run".into());
    }
    if let Some(before) = guards::remote_before(job, facts) {
        notes.push(format!(
            "`remote` in the configuration is {:?}, and the mirror of the last run is {before}: the next backup stops over \
             that",
            job.remote
        ));
    }
    notes
}

fn fill(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    status: &mut JobStatus,
) -> Result<(), Halt> {
    let existing = StateDir::open_existing(&configuration.state_dir, &job.name).map_err(Halt::fatal)?;
    let Some(state) = existing else { return Ok(()) };
    let mut is_first_run_unfinished = false;
    if let Some((docket, _)) = read_docket(job, &state)? {
        status.run_id = docket.facts.last_run;
        if let Some(base) = docket.base {
            status.files = base.totals.files;
            status.bytes = base.totals.bytes;
        }
        if let Some(kept) = docket.kept.filter(|kept| kept.totals.files > 0) {
            status.notes.push(format!(
                "{} files are kept on the mirror that the source no longer has (--accept kept moves them to the trash)",
                kept.totals.files
            ));
        }
        status.notes.extend(about_places(job, &docket.facts));
        // Until a run has ended, the index itself says how far the first one came.
        status.outcome = if docket.facts.complete { JobOutcome::Protected } else { JobOutcome::Unprotected };
        is_first_run_unfinished = !docket.facts.complete;
    }
    let rotten = Quarantine::load(&state)?.len();
    if rotten > 0 {
        status.notes.push(format!(
            "{rotten} files rotted in the source, and are held back from the remote, which has the good versions \
             (`verify --source` names them)"
        ));
    }
    if let Some(last) = last_run::read(&state).map_err(Halt::fatal)? {
        status.last_started = Some(last.started);
        status.last_finished = Some(last.finished);
        status.last_protected = last.last_protected;
        status.unprotected = last.unprotected();
        let words = Speech::English.other_file_systems(&last.not_entered());
        status.notes.extend(words.map(|words| format!("not entered: {words}")));
        status.outcome = last.outcome;
        is_first_run_unfinished = false;
    }
    if is_first_run_unfinished {
        status.notes.push(
            "the first backup has not finished yet: what it holds so far is protected, the rest is not"
                .into(),
        );
    }
    let mut check = CheckState::load(&state)?;
    name_what_is_wrong(configuration, job, surroundings, &mut check, status);
    put_check(job, &check, surroundings.now_seconds(), status);
    status.notes.extend(notification::last_failures(&state));
    status.running = state.lock_holder();
    if state.journal_path().exists() && status.running.is_none() {
        status
            .notes
            .push("the last run was interrupted; the next one goes on from what it had confirmed".into());
    }
    Ok(())
}

/// What was found to be wrong on the mirror since the last run is not protected, and a monitor is told so
/// before the next run tells it.
fn name_what_is_wrong(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
    check: &mut CheckState,
    status: &mut JobStatus,
) {
    if check.wrong_total == 0 {
        return;
    }
    let still = open_to_look(configuration, job, surroundings).and_then(|opened| {
        check.still_wrong(&Tree::new(&opened.nodes, opened.docket.base, surroundings.observer))
    });
    let still = match still {
        Ok(still) => still,
        Err(halt) => {
            let words = format!("what the last check found to be wrong could not be looked up: {halt}");
            return status.notes.push(words);
        }
    };
    let told: BTreeSet<_> = status.unprotected.named.iter().map(|(path, _)| path.clone()).collect();
    let is_new = still.iter().all(|(path, _)| !told.contains(path));
    // Those without a name: a run that named some of them counted them, too.
    let unnamed = check.wrong_total.saturating_sub(still.len() as u64);
    status.unprotected.total += if is_new { unnamed } else { 0 };
    for (path, wrong) in still {
        if !told.contains(&path) {
            status.unprotected.add(path, wrong.reason(&job.name));
        }
    }
    let gives_way = matches!(status.outcome, JobOutcome::Protected | JobOutcome::BudgetSpent { .. });
    if gives_way && check.wrong_total > 0 {
        status.outcome = JobOutcome::Unprotected;
    }
}

fn put_check(job: &Job, check: &CheckState, now_seconds: i64, status: &mut JobStatus) {
    if job.check_every_days > 0 {
        let due = check.due_seconds(job.check_every_days, now_seconds).unwrap_or(0);
        status.next_check = OffsetDateTime::from_unix_timestamp(due).ok();
    }
    status.last_check = check.checked_seconds.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    if check.wrong_total > 0 {
        let by_content = if check.wrong_by_content() > 0 { " --download" } else { "" };
        status.notes.push(format!(
            "the last check found {} missing or damaged on the mirror \
             (`treeferry verify {} --remote{by_content} --repair` sends them again)",
            figures::files(check.wrong_total),
            job.name
        ));
    }
}
