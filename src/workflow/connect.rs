//! A way to the remote of one job: rclone, what the backend can do, and the
//! places of the job.

use super::backoff::Patience;
use super::checks::{is_apart_behind_names, is_apart_from_source};
use super::committed::Committed;
use super::configuration::{Configuration, Job, Links};
use super::halt::Halt;
use super::surroundings::Surroundings;
use super::way::control_for_looking;
use crate::commit::{RcloneProcess, StateDir};
use crate::disk::RealDisk;
use crate::index::Facts;
use crate::model::{BatchItem, Failure, RunId};
use crate::transfer::{
    Control, Features, Known, NameEncoding, Place, ProcessMark, Rclone, Remotes, Session, Sight, Transfer,
    is_unknown_remote,
};
use std::cell::OnceCell;
use std::time::Duration;

/// Between the first signal and the end of rclone.
const GRACE: Duration = Duration::from_secs(30);

/// What is needed to open a connection later, should one be needed.
pub(super) struct Connector<'a> {
    pub(super) job: &'a Job,
    pub(super) control: Control,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) disk: RealDisk<'a>,
    pub(super) state: StateDir,
    /// For an rclone that only reads: it can do no harm, is not written down, and
    /// may run beside another one.
    pub(super) looking: Control,
    pub(super) known: OnceCell<Known>,
    pub(super) expected: OnceCell<Features>,
}

/// For commands that send nothing.
pub(super) fn control_without_record() -> Control {
    Control::default()
}

/// An open way to the remote.
pub(super) struct Connection<'a> {
    pub(super) features: Features,
    pub(super) transfer: Transfer<'a>,
    pub(super) session: Session<'a>,
    /// For commands that only read.
    pub(super) looking: Session<'a>,
}

impl<'a> Connector<'a> {
    /// Every rclone that will be started is written down in `state` before it
    /// can send.
    pub(super) fn new(job: &'a Job, state: &StateDir, surroundings: &'a Surroundings<'a>) -> Self {
        let looking = control_for_looking(surroundings);
        let (own_state, state) = (state.clone(), state.clone());
        let record_process = Box::new(move |mark: ProcessMark| {
            let process = RcloneProcess { pid: mark.pid, start_time: mark.start_time };
            state.write_rclone_process(&process).map_err(std::io::Error::other)
        });
        let control = Control {
            stop: surroundings.stop.transfers().clone(),
            grace: GRACE,
            record_process,
            ..Control::default()
        };
        let disk = RealDisk::new(surroundings.observer);
        Connector {
            job,
            control,
            surroundings,
            disk,
            state: own_state,
            looking,
            known: OnceCell::new(),
            expected: OnceCell::new(),
        }
    }

    /// Connects for one run. No request is sent yet.
    pub(super) fn connect(
        &'a self,
        encoding: Option<NameEncoding>,
        run: RunId,
    ) -> Result<Connection<'a>, Halt> {
        let (rclone, session, features) = self.begin(encoding, &self.control)?;
        let remotes = Remotes {
            source: self.job.source.clone(),
            mirror: self.job.remote.to_string(),
            companion: self.job.companion.to_string(),
        };
        let transfer = Transfer::new(session, remotes, run)
            .following_links(self.job.links == Links::Follow)
            .to_a_local_folder(features.is_local);
        let looking = rclone
            .session(session.encoding(), &self.looking, self.surroundings.observer)
            .map_err(|error| Halt::from_rclone(&error))?;
        Ok(Connection { features, transfer, session, looking })
    }
}

impl Connector<'_> {
    /// What `config validate` says of the remote, for a run that may find nothing to send and would not
    /// come to ask.
    ///
    /// # Errors
    /// When rclone or the remote is not usable.
    pub(super) fn check_remote(&self, configuration: &Configuration) -> Result<(), Halt> {
        let (_, session, features) = self.begin(None, &self.looking)?;
        self.check_places(configuration, &session, &features)
    }

    /// The same for a plan, which writes nothing: a backup would stop there. Where all of it was found
    /// out before and nothing has changed since, rclone is not asked.
    ///
    /// # Errors
    /// As above.
    pub(super) fn check_for_plan(&self, configuration: &Configuration) -> Result<(), Halt> {
        if self.known().is_some() {
            return Ok(());
        }
        let rclone = self.surroundings.rclone(&self.looking)?;
        let session = rclone
            .session(rclone.name_encoding(), &self.looking, self.surroundings.observer)
            .map_err(Halt::fatal)?;
        let features = self.ask_features(&session)?;
        check_place_beside_bucket(self.job, &features)?;
        self.check_places(configuration, &session, &features)?;
        let _ = self.known.set(Known { version: rclone.version(), features });
        Ok(())
    }

    fn check_places(
        &self,
        configuration: &Configuration,
        session: &Session<'_>,
        features: &Features,
    ) -> Result<(), Halt> {
        is_apart_from_source(self.job, session, features).map_err(Halt::Configuration)?;
        is_apart_behind_names(configuration, self.job, session, features).map_err(Halt::Configuration)
    }

    /// For looking, before the run is under way.
    pub(super) fn looking_session(&self) -> Result<Session<'_>, Halt> {
        Ok(self.begin(None, &self.looking)?.1)
    }

    /// rclone, and what the remote can do: remembered, or asked.
    fn begin<'s>(
        &'s self,
        encoding: Option<NameEncoding>,
        control: &'s Control,
    ) -> Result<(&'s Rclone, Session<'s>, Features), Halt> {
        let rclone = match self.known() {
            Some(known) => self.surroundings.rclone_as_known(known),
            None => self.surroundings.rclone(control)?,
        };
        let session = rclone
            .session(encoding.unwrap_or_else(|| rclone.name_encoding()), control, self.surroundings.observer)
            .map_err(|error| Halt::from_rclone(&error))?;
        let features = match self.known() {
            Some(known) => known.features.clone(),
            None => {
                let features = self.ask_features(&session)?;
                self.remember(Known { version: rclone.version(), features: features.clone() });
                features
            }
        };
        check_place_beside_bucket(self.job, &features)?;
        Ok((rclone, session, features))
    }

    fn ask_features(&self, session: &Session<'_>) -> Result<Features, Halt> {
        let mirror = self.job.remote.to_string();
        session.features(&mirror).map_err(|failure| match is_unknown_remote(&failure) {
            true => Halt::Configuration(cannot_use_remote(self.job, &failure)),
            false => Halt::from_failure(&format!("asking rclone about {:?}", self.job.remote), &failure),
        })
    }
}

/// In the words of `config validate`.
pub(super) fn cannot_use_remote(job: &Job, failure: &Failure) -> String {
    format!("job {}: rclone can't use the remote {:?}: {}", job.name, job.remote, failure.reason)
}

/// A bucket has no place beside it, and what is a bucket only rclone knows.
pub(super) fn check_place_beside_bucket(job: &Job, features: &Features) -> Result<(), Halt> {
    let is_bucket = !job.remote.path().trim_matches('/').contains('/');
    let is_default = job.companion.path().trim_start_matches('/').starts_with(".treeferry/");
    if features.bucket_based && is_bucket && is_default {
        return Err(Halt::Configuration(format!(
            "job {}: the mirror {:?} is a whole bucket, and there is no place beside it for the trash: use a folder \
             in the bucket, or give `companion` in another bucket",
            job.name, job.remote
        )));
    }
    Ok(())
}

impl Connection<'_> {
    /// Which of the items lie at a place, as far as the remote says.
    pub(super) fn look(
        &self,
        patience: &Patience<'_>,
        place: Place,
        items: &[BatchItem],
    ) -> Result<Vec<Sight>, Halt> {
        let paths: Vec<_> = items.iter().map(|item| (item.path.clone(), item.as_link)).collect();
        let look = |transfer: &Transfer<'_>| transfer.look_past_refusals(place, &paths);
        patience.look("looking for files on the remote", &self.transfer, look)
    }
}

/// The rclone that an earlier run left behind, if it wrote one down.
pub(super) fn read_process_mark(state: &StateDir) -> Result<Option<ProcessMark>, Halt> {
    let process = state.read_rclone_process().map_err(Halt::fatal)?;
    Ok(process.map(|process| ProcessMark { pid: process.pid, start_time: process.start_time }))
}

/// How the names of a mirror are written, as its docket keeps it. Never varies
/// once something was sent.
pub(super) fn encoding_of(committed: &Committed<'_>) -> Option<NameEncoding> {
    encoding_in(&committed.docket.facts)
}

/// The same, for those who only look.
pub(super) fn encoding_in(facts: &Facts) -> Option<NameEncoding> {
    match facts.name_encoding {
        1 => Some(NameEncoding::Raw),
        2 => Some(NameEncoding::Legacy),
        3 => Some(NameEncoding::Default),
        _ => None,
    }
}

/// The same as the docket keeps it.
pub(super) fn code_of(encoding: NameEncoding) -> u8 {
    match encoding {
        NameEncoding::Raw => 1,
        NameEncoding::Legacy => 2,
        NameEncoding::Default => 3,
    }
}
