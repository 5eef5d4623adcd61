//! What earlier runs of a job found out about rclone and the remote.

use super::configuration::Configuration;
use super::connect::Connector;
use super::halt::Halt;
use super::spending::assumed_features;
use crate::commit::SideFile;
use crate::transfer::{Features, Known};

impl Connector<'_> {
    /// Does `work`; meanwhile a first run asks rclone what it will have to know, whether or not anything will
    /// have to be sent.
    ///
    /// # Errors
    /// Those of `work`; in a first run, when rclone or the remote is not usable.
    pub(super) fn while_asking<T>(
        &self,
        is_first: bool,
        configuration: &Configuration,
        work: impl FnOnce() -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let (settings, control) = (&self.surroundings.rclone_settings, &self.looking);
        let (observer, remote) = (self.surroundings.observer, self.job.remote.to_string());
        std::thread::scope(|scope| {
            let asking =
                is_first.then(|| scope.spawn(move || Known::ask(settings, &remote, control, observer)));
            let done = work()?;
            if let Some(Ok(Some(known))) = asking.map(|asking| asking.join()) {
                self.remember(known);
            }
            if is_first {
                self.check_remote(configuration)?;
            }
            Ok(done)
        })
    }

    /// What is known for sure: found out in this run, or before and nothing has changed.
    pub(super) fn known(&self) -> Option<&Known> {
        if self.known.get().is_none()
            && let Some((known, true)) = self.read_remembered()
        {
            let _ = self.known.set(known);
        }
        self.known.get()
    }

    /// For this run, and for later ones.
    pub(super) fn remember(&self, known: Known) {
        let settings = &self.surroundings.rclone_settings;
        let bytes = known.encode(settings, &self.job.remote.to_string());
        let _ = self.known.set(known);
        if self.state.read_side_file(SideFile::Rclone).ok().flatten().as_ref() != Some(&bytes) {
            // Only an economy: what cannot be remembered is asked again.
            let _ = self.state.write_side_file(&self.disk, SideFile::Rclone, &bytes);
        }
    }

    /// What the remote can do, as far as that is known without asking: for forecasts.
    pub(super) fn features(&self) -> Features {
        if let Some(known) = self.known.get() {
            return known.features.clone();
        }
        let expected = self.expected.get_or_init(|| match self.read_remembered() {
            Some((known, _)) => known.features,
            None => assumed_features(&self.job.remote.to_string()),
        });
        expected.clone()
    }

    fn read_remembered(&self) -> Option<(Known, bool)> {
        let bytes = self.state.read_side_file(SideFile::Rclone).ok().flatten()?;
        Known::decode(&bytes, &self.surroundings.rclone_settings, &self.job.remote.to_string())
    }
}
