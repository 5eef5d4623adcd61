//! What a recipe needs from outside: given to it, never looked up.

use super::configuration::Configuration;
use super::halt::Halt;
use super::options::Stop;
use crate::disk::describe_this_process;
use crate::observe::Observer;
use crate::transfer::{Control, Known, Rclone, RcloneSettings};
use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What only the caller can look up.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Environment variables, for rclone.
    pub environment: Vec<(OsString, OsString)>,
    /// For short-lived files.
    pub temporary_directory: PathBuf,
}

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
    /// Waits; tests give one that only counts.
    pub sleep: &'a (dyn Fn(Duration) + Sync),
    /// Found on first use: a run that changes nothing starts no process.
    pub rclone: OnceCell<Rclone>,
}

impl<'a> Surroundings<'a> {
    /// The world as it is, for a run that is told to stop through `stop` and
    /// heard by `observer`.
    pub fn new(
        configuration: &Configuration,
        machine: Machine,
        stop: &'a Stop,
        clock: &'a (dyn Fn() -> i64 + Sync),
        observer: &'a dyn Observer,
    ) -> Self {
        let rclone = &configuration.rclone;
        let rclone_settings = RcloneSettings {
            program: PathBuf::from(&rclone.program),
            config: rclone.config.clone(),
            environment: rclone.environment.clone(),
            flags: rclone.flags.clone(),
            inherited_environment: machine.environment,
            scratch: machine.temporary_directory.clone(),
        };
        Surroundings {
            rclone_settings,
            stop,
            clock,
            observer,
            temporary_directory: machine.temporary_directory,
            holder: describe_this_process("treeferry backup", clock()),
            second_look_seconds: 60,
            sleep: &std::thread::sleep,
            rclone: OnceCell::new(),
        }
    }

    /// Now, in seconds since 1970 UTC.
    pub(super) fn now_seconds(&self) -> i64 {
        (self.clock)()
    }

    /// The user's rclone, looked for once.
    pub(super) fn rclone(&self, control: &Control) -> Result<&Rclone, Halt> {
        if let Some(rclone) = self.rclone.get() {
            return Ok(rclone);
        }
        let found = Rclone::detect(self.rclone_settings.clone(), control, self.observer)
            .map_err(|error| Halt::from_rclone(&error))?;
        Ok(self.rclone.get_or_init(|| found))
    }

    /// The user's rclone, whose version is known from before.
    pub(super) fn rclone_as_known(&self, known: &Known) -> &Rclone {
        self.rclone.get_or_init(|| Rclone::with_version(self.rclone_settings.clone(), known.version))
    }

    /// Ends the run when somebody asked for it.
    pub(super) fn halt_if_stopped(&self) -> Result<(), Halt> {
        halt_if_stopped(self.stop)
    }

    /// Waits, but not longer than until somebody asks us to stop.
    pub(super) fn pause(&self, seconds: u64) -> Result<(), Halt> {
        self.pause_for(Duration::from_secs(seconds))
    }

    /// The same, to the millisecond.
    pub(super) fn pause_for(&self, duration: Duration) -> Result<(), Halt> {
        pause_for(self.sleep, self.stop, duration)
    }
}

/// As [`Surroundings::pause_for`], on any thread.
pub(super) fn pause_for(
    sleep: &(dyn Fn(Duration) + Sync),
    stop: &Stop,
    duration: Duration,
) -> Result<(), Halt> {
    let mut left = duration;
    while !left.is_zero() {
        halt_if_stopped(stop)?;
        let piece = left.min(Duration::from_millis(100));
        sleep(piece);
        left -= piece;
    }
    Ok(())
}

fn halt_if_stopped(stop: &Stop) -> Result<(), Halt> {
    match stop.signal() {
        None => Ok(()),
        Some(signal) => Err(Halt::Interrupted { signal }),
    }
}
