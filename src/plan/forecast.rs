//! How many requests a plan will cost. On a touchy remote requests, not bytes,
//! are what takes time.

use super::Tally;

/// What things cost on a kind of remote, in requests; measured, see
/// `docs/rclone.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCosts {
    /// A new file.
    pub upload: u64,
    /// A move into the trash on the server.
    pub trash: u64,
    /// A plain deletion.
    pub delete: u64,
    /// A folder that does not exist yet, made ahead.
    pub folder: u64,
    /// A folder that does not exist yet and is met on the way.
    pub fresh_level: u64,
    /// A folder moved as a whole.
    pub whole_folder: u64,
    /// Each rclone process, whatever it does.
    pub process: u64,
    /// The owner file, once per changing run.
    pub owner: u64,
}

/// How the changes of a plan are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// What vanished goes to the trash; else it is deleted.
    pub trashes_removed: bool,
    /// Replaced versions stay in the trash; else they are deleted there.
    pub keeps_versions: bool,
    /// Processes of rclone at the most.
    pub processes: u64,
    /// Levels of folders that the first run finds missing above mirror and trash; `None`: it is not the first.
    pub first_run_levels: Option<u64>,
}

/// An upper bound of the requests for a plan; retries come on top.
pub fn forecast_requests(tally: &Tally, costs: &RequestCosts, manner: &Manner) -> u64 {
    let replaced = tally.changed_files + tally.suspect_files;
    let removed = tally.removed_files - tally.moved_whole_files;
    let removal = if manner.trashes_removed { costs.trash } else { costs.delete };
    let replacement = costs.trash + costs.upload + if manner.keeps_versions { 0 } else { costs.delete };
    let files = tally.new_files_total() * costs.upload
        + replaced * replacement
        + tally.returning_files * (replacement - costs.upload)
        + tally.blocking_files * costs.trash
        + removed * removal
        + tally.whole_folders * costs.whole_folder;
    if files == 0 {
        return 0;
    }
    // `trash` itself and the run's own folder in it.
    let trash_levels = if tally.trash_folders > 0 || replaced + removed > 0 { 2 } else { 0 };
    let folders = (tally.new_folders + tally.trash_folders + trash_levels) * costs.folder;
    // A scratch file that goes up, is moved, and deleted; none of its folders exists.
    let first = manner
        .first_run_levels
        .map_or(0, |levels| costs.upload + costs.trash + costs.delete + levels * costs.fresh_level);
    files + folders + first + manner.processes * costs.process + costs.owner
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: RequestCosts = RequestCosts {
        upload: 3,
        trash: 4,
        delete: 2,
        folder: 1,
        fresh_level: 5,
        whole_folder: 6,
        process: 5,
        owner: 3,
    };
    const MANNER: Manner =
        Manner { trashes_removed: true, keeps_versions: true, processes: 4, first_run_levels: None };

    #[test]
    fn a_whole_folder_costs_the_same_whatever_it_holds() {
        let folder_of = |files| Tally {
            removed_files: files,
            moved_whole_files: files,
            whole_folders: 1,
            trash_folders: 1,
            ..Tally::default()
        };
        let requests = forecast_requests(&folder_of(10), &COSTS, &MANNER);
        assert_eq!(requests, 6 + 3 + 4 * 5 + 3);
        assert_eq!(forecast_requests(&folder_of(1_000_000), &COSTS, &MANNER), requests);
    }

    #[test]
    fn a_changed_file_costs_seven_and_nine_when_its_old_version_is_not_kept() {
        let tally = Tally { changed_files: 10, ..Tally::default() };
        let kept = forecast_requests(&tally, &COSTS, &MANNER);
        assert_eq!(kept, 70 + 2 + 23);
        assert_eq!(forecast_requests(&tally, &COSTS, &Manner { keeps_versions: false, ..MANNER }), kept + 20);
    }

    #[test]
    fn nothing_costs_nothing() {
        assert_eq!(forecast_requests(&Tally::default(), &COSTS, &MANNER), 0);
    }
}
