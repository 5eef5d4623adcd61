//! SIGINT and SIGTERM: the first asks for an orderly end, the second is urgent.
//! SIGHUP is left alone, so that `nohup` works.

use super::Stopped;
use super::exit_status::ExitStatus;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use treeferry::workflow::options::Stop;

/// Listens from now on, in a thread of its own that lives as long as the process.
pub(super) fn listen() -> Result<Stop, Stopped> {
    let failed = |error| Stopped::new(ExitStatus::Fatal, format!("listening for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let stop = Stop::default();
    let told = stop.clone();
    let listener = std::thread::Builder::new().name("signals".into());
    listener.spawn(move || signals.forever().for_each(|signal| told.request(signal))).map_err(failed)?;
    Ok(stop)
}
