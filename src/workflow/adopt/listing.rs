//! What an adopted mirror holds, by one listing, and by which way of writing names it is read.
//!
//! A mirror of our own has names as we write them, any other one as rclone does. But one that rclone
//! filled and we took over keeps rclone's names, and has our owner file; and one of ours may have
//! lost it. So where odd names are on the mirror that the source does not have, and the other way
//! round, the listing is asked for once more, in the other way: the names of the source decide.

use crate::diff::{Equality, diff};
use crate::index::find;
use crate::model::{EntryFlags, RunId, TreePath};
use crate::plan::path_of_link;
use crate::transfer::{ListedFile, NameEncoding};
use crate::workflow::configuration::{Job, Links};
use crate::workflow::connect::{Connection, Connector};
use crate::workflow::first_index::{Looked, NamesBy, TakenOver};
use crate::workflow::halt::Halt;
use crate::workflow::take_over::{Claimed, ClaimedTime, NOTHING};
use std::collections::HashMap;

/// Everything on the mirror, and the connection that reads its names so. `by_default` is one that
/// reads them as rclone writes them.
pub(super) fn read<'c>(
    connector: &'c Connector<'_>,
    run: RunId,
    by_default: Connection<'c>,
    has_owner: bool,
    looked: &Looked<'_>,
    report: &mut TakenOver,
) -> Result<(Connection<'c>, Vec<Claimed>), Halt> {
    let (presumed, other) = if has_owner {
        (connector.connect(None, run)?, Some(NameEncoding::Default))
    } else {
        (by_default, None)
    };
    let job = connector.job;
    let first = list(job, &presumed, looked)?;
    if !first.leaves_names_open() {
        return Ok((presumed, first.told(report)));
    }
    let otherwise = connector.connect(other, run)?;
    let second = list(job, &otherwise, looked)?;
    if second.odd_found <= first.odd_found {
        return Ok((presumed, first.told(report)));
    }
    report.names_after_all = Some(if has_owner { NamesBy::Rclone } else { NamesBy::Treeferry });
    Ok((otherwise, second.told(report)))
}

/// A listing, read in one way. Names that are not odd are the same in all ways.
struct Listed {
    claimed: Vec<Claimed>,
    /// Lines that mean no path, or have no size.
    left_out: Vec<String>,
    /// Odd names that the source has, too.
    odd_found: u64,
    /// Odd names that it has not.
    odd_surplus: u64,
    /// Odd names that the source has.
    odd_in_source: u64,
}

impl Listed {
    /// Read in the other way, more of the names might be in the source.
    fn leaves_names_open(&self) -> bool {
        self.odd_surplus > 0 && self.odd_found < self.odd_in_source
    }

    fn told(self, report: &mut TakenOver) -> Vec<Claimed> {
        for line in self.left_out {
            report.leave_out(0, || line);
        }
        self.claimed
    }
}

fn list(job: &Job, connection: &Connection<'_>, looked: &Looked<'_>) -> Result<Listed, Halt> {
    let mirror = job.remote.to_string();
    let odd = odd_names(looked, connection.session.encoding())?;
    let mut listed = Listed {
        claimed: Vec::new(),
        left_out: Vec::new(),
        odd_found: 0,
        odd_surplus: 0,
        odd_in_source: odd.total,
    };
    let mut take = |file: ListedFile| {
        let path = file.path().or_else(|| odd.no_text.get(&file.line).cloned());
        match (path, file.size) {
            (Some(path), Some(size)) => {
                let claim = claim(job, looked, path, size);
                if NameEncoding::differs_by_default(&claim.path) {
                    let is_found = find(&looked.pending, &claim.path).ok().flatten().is_some();
                    listed.odd_found += u64::from(is_found);
                    listed.odd_surplus += u64::from(!is_found);
                }
                listed.claimed.push(claim);
            }
            _ => listed.left_out.push(file.line),
        }
    };
    let found = connection
        .session
        .list_all(&mirror, "", &mut take)
        .map_err(|failure| Halt::from_failure(&format!("listing {:?}", job.remote), &failure))?;
    if !found || listed.claimed.is_empty() {
        return Err(Halt::Configuration(format!(
            "{:?} holds no file, as far as the remote says: there is nothing to adopt. `treeferry backup {}` begins a \
             new mirror",
            job.remote, job.name
        )));
    }
    Ok(listed)
}

fn claim(job: &Job, looked: &Looked<'_>, path: TreePath, size: u64) -> Claimed {
    let whole =
        Claimed { line: 0, path, size, time: ClaimedTime::Unknown, as_link: false, has_other_content: false };
    let Some(path) = path_of_link(&whole.path).filter(|_| job.links == Links::Upload) else { return whole };
    let is_link = find(&looked.pending, &path).ok().flatten().is_some_and(|entry| {
        entry.flags.contains(EntryFlags::UPLOADED_LINK)
            && entry.target.is_some_and(|target| target.len() as u64 == size)
    });
    if is_link { Claimed { path, as_link: true, ..whole } } else { whole }
}

/// Names of the source that depend on the way in which they are written.
struct OddNames {
    total: u64,
    /// Those that a listing cannot show as they are, by what it shows.
    no_text: HashMap<String, TreePath>,
}

fn odd_names(looked: &Looked<'_>, encoding: NameEncoding) -> Result<OddNames, Halt> {
    let mut odd = OddNames { total: 0, no_text: HashMap::new() };
    for change in diff(&NOTHING, &looked.pending, Equality::Stamp) {
        let change = change.map_err(Halt::fatal)?;
        let is_on_mirror = change.pending.as_ref().is_some_and(|entry| entry.is_on_mirror());
        let path = change.path;
        odd.total += u64::from(is_on_mirror && NameEncoding::differs_by_default(&path));
        if !path.is_text()
            && let Ok(line) = encoding.encode(&path)
        {
            odd.no_text.insert(crate::transfer::as_listed(&line), path);
        }
    }
    Ok(odd)
}
