//! Which rclone may still be running from a run that died.

use crate::commit::{StateDir, StateError};
use crate::disk::{boot_id, process_start_time};
use std::io;

/// A process, named so that a pid that was given out again is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcloneProcess {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

impl RcloneProcess {
    /// The process that has this number now; `None` when there is none.
    pub fn running_as(pid: u32) -> Option<RcloneProcess> {
        process_start_time(pid).map(|start_time| RcloneProcess { pid, start_time })
    }

    /// True while exactly this process runs.
    pub fn is_running(&self) -> bool {
        process_start_time(self.pid) == Some(self.start_time)
    }
}

impl StateDir {
    /// Writes down which rclone is running, in place of what was there. Not synced: the
    /// process doesn't outlive a power failure. To be called before it can send.
    ///
    /// # Errors
    /// When it cannot be written: the process must then be ended.
    pub fn write_rclone_process(&self, process: &RcloneProcess) -> Result<(), StateError> {
        let boot = boot_id().unwrap_or_default();
        let text = format!("{} {} {boot}\n", process.pid, process.start_time);
        let path = self.rclone_process_path();
        let temporary = path.with_extension("pid.new");
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|source| StateError::new("writing", &path, source))
    }

    /// The rclone that an earlier run wrote down and did not clear. `None`
    /// also when it was of an earlier boot, or the file is not readable as one of ours.
    /// Whether it still runs: [`RcloneProcess::is_running`].
    ///
    /// # Errors
    /// When there is a file and it cannot be read.
    pub fn read_rclone_process(&self) -> Result<Option<RcloneProcess>, StateError> {
        let path = self.rclone_process_path();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(parse(&String::from_utf8_lossy(&bytes), &boot_id().unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::new("reading", &path, source)),
        }
    }

    /// Forgets the process: it was waited for.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn clear_rclone_process(&self) -> Result<(), StateError> {
        let path = self.rclone_process_path();
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::new("removing", &path, source))
            }
            _ => Ok(()),
        }
    }
}

fn parse(text: &str, boot: &str) -> Option<RcloneProcess> {
    let mut fields = text.strip_suffix('\n')?.split(' ');
    let process =
        RcloneProcess { pid: fields.next()?.parse().ok()?, start_time: fields.next()?.parse().ok()? };
    (fields.next() == Some(boot) && fields.next().is_none()).then_some(process)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_written_down_read_and_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "job").unwrap();
        assert_eq!(state.read_rclone_process().unwrap(), None);
        let ourselves = RcloneProcess::running_as(std::process::id()).unwrap();
        state.write_rclone_process(&ourselves).unwrap();
        let read = state.read_rclone_process().unwrap().unwrap();
        assert_eq!(read, ourselves);
        assert!(read.is_running());
        assert!(!RcloneProcess { start_time: read.start_time + 1, ..read }.is_running());
        state.clear_rclone_process().unwrap();
        state.clear_rclone_process().unwrap();
        assert_eq!(state.read_rclone_process().unwrap(), None);
    }

    #[test]
    fn a_process_of_another_boot_or_a_torn_line_is_nobody() {
        assert_eq!(parse("12 345 boot\n", "boot"), Some(RcloneProcess { pid: 12, start_time: 345 }));
        for text in ["12 345 other\n", "12 34", "12 345 boot", "", "\n", "-1 3 boot\n", "12 345 boot x\n"] {
            assert_eq!(parse(text, "boot"), None, "{text:?}");
        }
    }
}
