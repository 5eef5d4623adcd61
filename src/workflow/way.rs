//! A way to the remote for those who only look: no lock, no journal, and no
//! process written down, because an rclone that only reads can do no harm.

use super::configuration::Job;
use super::connect::encoding_in;
use super::halt::Halt;
use super::surroundings::Surroundings;
use crate::index::Docket;
use crate::model::RunId;
use crate::transfer::{Control, NameEncoding, Remotes, Session, Transfer};
use std::time::Duration;

/// Between the first signal and the end of rclone.
const GRACE: Duration = Duration::from_secs(30);

/// How to reach the remote of a job, should that be needed.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) job: &'a Job,
    pub(super) surroundings: &'a Surroundings<'a>,
    control: &'a Control,
    encoding: Option<NameEncoding>,
}

/// Ends with the recipe.
pub(super) fn control_for_looking(surroundings: &Surroundings<'_>) -> Control {
    Control { stop: surroundings.stop.transfers().clone(), grace: GRACE, ..Control::default() }
}

impl<'a> Way<'a> {
    /// To the mirror that `docket` speaks of. Nothing is started yet.
    pub(super) fn new(
        job: &'a Job,
        docket: &Docket,
        control: &'a Control,
        surroundings: &'a Surroundings<'a>,
    ) -> Self {
        Way { job, surroundings, control, encoding: encoding_in(&docket.facts) }
    }

    /// Finds rclone.
    pub(super) fn session(&self) -> Result<Session<'a>, Halt> {
        let rclone = self.surroundings.rclone(self.control)?;
        let encoding = self.encoding.unwrap_or_else(|| rclone.name_encoding());
        rclone
            .session(encoding, self.control, self.surroundings.observer)
            .map_err(|error| Halt::from_rclone(&error))
    }

    fn remotes(&self) -> Remotes {
        Remotes {
            source: self.job.source.clone(),
            mirror: self.job.remote.to_string(),
            companion: self.job.companion.to_string(),
        }
    }

    /// The mirror, or the trash of a run.
    pub(super) fn remote(&self, trash_of: Option<RunId>) -> String {
        let remotes = self.remotes();
        trash_of.map_or_else(|| remotes.mirror.clone(), |run| remotes.trash(run))
    }

    /// For looking at single paths.
    pub(super) fn looking(&self) -> Result<Transfer<'a>, Halt> {
        let run = RunId { sequence: 0, started_seconds: 0 };
        Ok(Transfer::new(self.session()?, self.remotes(), run))
    }
}
