//! What the caller of a recipe chooses.

use super::budget::RunBudget;
use crate::transfer::StopSignal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

/// How a backup is run.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Only say what would be done; nothing is sent, no state is changed.
    pub dry_run: bool,
    /// Send an [`crate::observe::Event::Excluded`] for every name the rules leave out.
    pub report_excluded: bool,
    /// Guards that do not stop this run.
    pub accept: Vec<Guard>,
    /// How much the run may take; shared by its jobs.
    pub budget: RunBudget,
}

impl BackupOptions {
    /// True when `guard` may not stop this run.
    pub fn accepts(&self, guard: Guard) -> bool {
        self.accept.contains(&guard)
    }
}

macro_rules! guards {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal),* $(,)?) => {
        /// What stops a run until a person says go, by its name on the command line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Guard { $($(#[doc = $doc])* $variant),* }

        impl Guard {
            /// All, in the order of the manual.
            pub const ALL: &'static [Guard] = &[$(Guard::$variant),*];

            /// As `--accept` takes it.
            pub fn name(self) -> &'static str {
                match self { $(Guard::$variant => $name),* }
            }

            /// What accepting it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Guard::$variant => concat!($($doc),*).trim_ascii()),* }
            }
        }
    };
}

guards! {
    /// The source is empty, and it was not before
    SourceEmpty = "source-empty",
    /// The source, or a disk mounted below it, is on another file system than last time, or gone
    SourceFilesystem = "source-filesystem",
    /// The job's `source` was changed in the configuration
    SourceChanged = "source-changed",
    /// The job's `remote` was changed in the configuration
    RemoteChanged = "remote-changed",
    /// More files were deleted than `max_delete` allows
    MaxDelete = "max-delete",
    /// More files were changed than `max_change` allows
    MaxChange = "max-change",
    /// A first run, and the mirror is not empty
    NonemptyRemote = "nonempty-remote",
    /// Somebody else wrote to the mirror, or the owner file is gone
    ForeignWriter = "foreign-writer",
    /// Move to the trash what the rules leave out now and the mirror still holds
    Excluded = "excluded",
    /// Move to the trash what was kept on the mirror
    Kept = "kept",
    /// The clock jumped; empty expired trash all the same
    Clock = "clock",
    /// Send files whose content changed under an unchanged time and size
    ChangedContent = "changed-content",
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some text is not the name of a guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a guard")]
pub struct GuardError(String);

impl FromStr for Guard {
    type Err = GuardError;

    fn from_str(text: &str) -> Result<Self, GuardError> {
        let found = Guard::ALL.iter().find(|guard| guard.name() == text);
        found.copied().ok_or_else(|| GuardError(text.to_owned()))
    }
}

/// The wish to end a run, shared between whoever hears signals and the recipe.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    level: AtomicU8,
    signal: AtomicI32,
    transfers: StopSignal,
    scan: Arc<AtomicBool>,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Nobody asked.
    GoOn,
    /// Start nothing new, give what runs its time of grace, save the state.
    Finish,
    /// End what runs now, save the state.
    AtOnce,
}

impl Stop {
    /// Asks for the end; asking again makes it urgent. `signal` is its number.
    pub fn request(&self, signal: i32) {
        let _ = self.0.signal.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
        let level = self.0.level.load(Ordering::Relaxed).saturating_add(1).min(2);
        self.0.level.store(level, Ordering::Release);
        self.0.scan.store(true, Ordering::Release);
        if level > 1 { self.0.transfers.now() } else { self.0.transfers.finish() }
    }

    /// The same wish, as transfers hear it.
    pub(super) fn transfers(&self) -> &StopSignal {
        &self.0.transfers
    }

    /// The same wish, as the scan hears it.
    pub(super) fn scan(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.scan)
    }

    /// How urgent it is now.
    pub fn level(&self) -> StopLevel {
        match self.0.level.load(Ordering::Acquire) {
            0 => StopLevel::GoOn,
            1 => StopLevel::Finish,
            _ => StopLevel::AtOnce,
        }
    }

    /// True when anybody asked.
    pub fn is_requested(&self) -> bool {
        self.level() != StopLevel::GoOn
    }

    /// The number of the first signal, once anybody asked.
    pub fn signal(&self) -> Option<i32> {
        self.is_requested().then(|| self.0.signal.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_reads_back_as_it_is_named() {
        for guard in Guard::ALL {
            assert_eq!(guard.to_string().parse(), Ok(*guard));
            assert!(!guard.meaning().is_empty());
        }
        assert_eq!(
            "force".parse::<Guard>().map_err(|error| error.to_string()),
            Err("\"force\" is not a guard".into())
        );
    }

    #[test]
    fn the_second_request_is_urgent_and_the_first_signal_is_the_one_told() {
        let stop = Stop::default();
        assert_eq!((stop.level(), stop.signal()), (StopLevel::GoOn, None));
        stop.request(15);
        assert_eq!((stop.level(), stop.signal()), (StopLevel::Finish, Some(15)));
        stop.request(2);
        stop.request(2);
        assert_eq!((stop.level(), stop.signal()), (StopLevel::AtOnce, Some(15)));
    }
}
