//! What a recipe needs from outside: given to it, never looked up.

use super::halt::Halt;
use super::options::Stop;
use crate::observe::Observer;
use crate::transfer::{Control, Rclone, RcloneSettings};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

/// The world around a run.
pub struct Surroundings<'a> {
    /// How to start rclone.
    pub rclone_settings: RcloneSettings,
    /// Set when somebody asks us to stop.
    pub stop: &'a Stop,
    /// Seconds since 1970 UTC.
    pub clock: &'a (dyn Fn() -> i64 + Sync),
    /// Who listens.
    pub observer: &'a dyn Observer,
    /// Where `plan` may put what it forgets again.
    pub temporary_directory: PathBuf,
    /// Who we are, for the lock: what a second run is told.
    pub holder: String,
    /// Between two looks for a version that seems to be lost.
    pub second_look_seconds: u64,
    /// Found on first use: a run that changes nothing starts no process.
    pub rclone: OnceCell<Rclone>,
}

impl Surroundings<'_> {
    /// Now, in seconds since 1970 UTC.
    pub(super) fn now_seconds(&self) -> i64 {
        (self.clock)()
    }

    /// The user's rclone, looked for once.
    pub(super) fn rclone(&self, control: &Control) -> Result<&Rclone, Halt> {
        if let Some(rclone) = self.rclone.get() {
            return Ok(rclone);
        }
        let found =
            Rclone::detect(self.rclone_settings.clone(), control, self.observer).map_err(Halt::fatal)?;
        Ok(self.rclone.get_or_init(|| found))
    }

    /// Ends the run when somebody asked for it.
    pub(super) fn halt_if_stopped(&self) -> Result<(), Halt> {
        match self.stop.signal() {
            None => Ok(()),
            Some(signal) => Err(Halt::Interrupted { signal }),
        }
    }

    /// Waits, but not longer than until somebody asks us to stop.
    pub(super) fn pause(&self, seconds: u64) -> Result<(), Halt> {
        for _ in 0..seconds * 10 {
            self.halt_if_stopped()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}
