//! What is new goes up: nothing known lies at its target.
//!
//! The next batch is walked and read while this one is on its way, one batch
//! ahead and no more; the first one while a first run looks at the remote.

use super::prepare::{self, Candidate, Prepared};
use crate::diff::diff;
use crate::model::TreePath;
use crate::observe::Observer;
use crate::plan::{Classifier, Policy, SizeClass, Upload};
use crate::scan::RootDirectory;
use crate::workflow::halt::Halt;
use crate::workflow::job_run::{JobRun, is_below_any};
use crate::workflow::spending::Step;
use crate::workflow::views::{Kept, Views};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Sends all new files of these size classes.
pub(super) fn upload(run: &mut JobRun<'_>, classes: RangeInclusive<SizeClass>) -> Result<(), Halt> {
    let reader = Reader {
        views: run.views(),
        classes,
        policy: run.policy(),
        files_max: run.budget().files_max,
        bytes_max: run.budget().bytes_max.min(run.options.budget.bytes_left().unwrap_or(u64::MAX)),
        list_bytes_max: run.budget().list_bytes_max,
        source: run.source(),
        observer: run.observer(),
        blocked: run.blocked_paths(),
        abandoned: AtomicBool::new(false),
    };
    // Nothing waits in between: what is read ahead and what is on its way are two batches in the page cache.
    let (sender, receiver) = sync_channel(0);
    std::thread::scope(|scope| {
        scope.spawn(|| reader.read_ahead(sender));
        let sent = send_all(run, receiver);
        reader.abandoned.store(true, Ordering::Relaxed);
        sent
    })
}

fn send_all(run: &mut JobRun<'_>, receiver: Receiver<Result<Vec<Prepared>, Halt>>) -> Result<(), Halt> {
    if !run.committed.is_claimed {
        run.open_remote()?;
    }
    for prepared in receiver {
        send_prepared(run, prepared?)?;
    }
    Ok(())
}

/// Walks and reads ahead of the transfer.
struct Reader<'a> {
    views: Views<'a>,
    classes: RangeInclusive<SizeClass>,
    policy: Policy<'a>,
    files_max: usize,
    bytes_max: u64,
    list_bytes_max: usize,
    source: &'a RootDirectory,
    observer: &'a dyn Observer,
    blocked: BTreeSet<TreePath>,
    /// Nobody sends any more: reading gigabytes to the end would only keep people waiting.
    abandoned: AtomicBool,
}

type Ahead = SyncSender<Result<Vec<Prepared>, Halt>>;

impl Reader<'_> {
    /// Ends when the walk ends, or when nobody takes the batches any more.
    fn read_ahead(&self, sender: Ahead) {
        if let Err(halt) = self.walk(&sender) {
            let _ = sender.send(Err(halt));
        }
    }

    fn walk(&self, sender: &Ahead) -> Result<(), Halt> {
        let mut classifier = Classifier::new(self.policy);
        let mut chunk: Vec<Candidate> = Vec::new();
        let (mut bytes, mut list_bytes) = (0u64, 0usize);
        let base = self.views.base();
        for change in diff(&base, self.views.pending, self.views.equality) {
            let change = change.map_err(Halt::fatal)?;
            if classifier.decide(&change).upload != Upload::New {
                continue;
            }
            let Some(candidate) = Candidate::from_change(change) else { continue };
            let size = candidate.pending.stamp.size;
            if !self.classes.contains(&SizeClass::of(size))
                || is_below_any(&self.blocked, &candidate.path)
                || !matches!(self.views.kept_entry(&candidate.path), Kept::Nothing)
            {
                continue;
            }
            let line_bytes = candidate.path.as_bytes().len() + 1;
            let full = chunk.len() >= self.files_max
                || bytes.saturating_add(size) > self.bytes_max
                || list_bytes + line_bytes > self.list_bytes_max;
            if full && !chunk.is_empty() && !self.hand_over(&mut chunk, sender) {
                return Ok(());
            }
            bytes = if full { size } else { bytes + size };
            list_bytes = if full { line_bytes } else { list_bytes + line_bytes };
            chunk.push(candidate);
        }
        self.hand_over(&mut chunk, sender);
        Ok(())
    }

    /// False when the other side has stopped listening.
    fn hand_over(&self, chunk: &mut Vec<Candidate>, sender: &Ahead) -> bool {
        let is_wanted = || !self.abandoned.load(Ordering::Relaxed);
        let chunk = std::mem::take(chunk);
        let read = prepare::read_while(&is_wanted, self.source, chunk, self.bytes_max, self.observer);
        sender.send(Ok(read)).is_ok()
    }
}

fn send_prepared(run: &mut JobRun<'_>, prepared: Vec<Prepared>) -> Result<(), Halt> {
    let ready = run.sort_out(prepared);
    let mut ready = run.without_too_large(ready);
    let fit = run.fit(Step::Upload, ready.iter().map(|one| (&one.path, one.pending.stamp.size)))?;
    ready.truncate(fit.files);
    run.upload(ready)?;
    run.checkpoint_if_due()?;
    run.halt_if_time_is_up()?;
    fit.end()
}
