//! What could not be told is remembered per job, for `status`.

use super::newest;
use crate::commit::{SideFile, StateDir, StateError};
use crate::disk::RealDisk;
use crate::notify::Delivery;
use crate::observe::Silent;
use crate::workflow::configuration::Configuration;
use crate::workflow::report::{JobOutcome, JobReport};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A channel whose last message did not get through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Undelivered {
    channel: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    reason: String,
}

/// A state that cannot be written was told by the backup already.
pub(super) fn remember(configuration: &Configuration, reports: &[JobReport], deliveries: &[Delivery]) {
    for report in reports {
        // A lock of another run: its state is not ours to touch.
        if !matches!(report.outcome, JobOutcome::LockHeld { .. }) {
            let at = newest(std::slice::from_ref(report));
            let _ = remember_for(configuration, &report.job, |undelivered| {
                for delivery in deliveries {
                    forget_channel(undelivered, delivery);
                    undelivered.extend(as_undelivered(delivery, at));
                }
            });
        }
    }
}

/// A test that got through says of every job that the channel works again. One that did not is
/// no message about a job.
pub(super) fn forget_what_works(configuration: &Configuration, deliveries: &[Delivery]) {
    for job in &configuration.jobs {
        let _ = remember_for(configuration, &job.name, |undelivered| {
            let working = deliveries.iter().filter(|delivery| delivery.is_delivered);
            working.for_each(|delivery| forget_channel(undelivered, delivery));
        });
    }
}

fn forget_channel(undelivered: &mut Vec<Undelivered>, delivery: &Delivery) {
    undelivered.retain(|undelivered| undelivered.channel != delivery.channel.name());
}

fn as_undelivered(delivery: &Delivery, at: OffsetDateTime) -> Option<Undelivered> {
    let reason = delivery.failures.last().cloned().unwrap_or_default();
    (!delivery.is_delivered).then(|| Undelivered { channel: delivery.channel.to_string(), at, reason })
}

fn remember_for(
    configuration: &Configuration,
    job: &str,
    change: impl FnOnce(&mut Vec<Undelivered>),
) -> Result<(), StateError> {
    let Some(state) = StateDir::open_existing(&configuration.state_dir, job)? else {
        return Ok(());
    };
    let before = read(&state);
    let mut after = before.clone();
    change(&mut after);
    // A run that changes nothing writes nothing.
    if after == before {
        return Ok(());
    }
    let bytes = serde_json::to_vec(&after).unwrap_or_default();
    state.write_side_file(&RealDisk::new(&Silent), SideFile::Notification, &bytes)
}

fn read(state: &StateDir) -> Vec<Undelivered> {
    let bytes = state.read_side_file(SideFile::Notification).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// One sentence for each channel whose last message did not get through.
pub(in crate::workflow) fn last_failures(state: &StateDir) -> Vec<String> {
    let sentence = |undelivered: Undelivered| {
        let at = undelivered.at.format(&Rfc3339).unwrap_or_default();
        format!(
            "the last notification by {} failed ({at}): {}; try it with `treeferry notify test`",
            undelivered.channel, undelivered.reason
        )
    };
    read(state).into_iter().map(sentence).collect()
}
