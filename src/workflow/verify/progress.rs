//! How far a check of the mirror has come that was interrupted, or for which a
//! budget had no room: the next run goes on from there.
//!
//! What was found is kept with the version that was missed, so that what was sent
//! or deleted in between is not held against the mirror.

use super::portions::Portion;
use super::{VerifyReport, Verifying, Wrong};
use crate::commit::{SideFile, StateDir};
use crate::disk::Disk;
use crate::index::{Finder, Tree};
use crate::model::TreePath;
use crate::workflow::check_state::Remembered;
use crate::workflow::halt::Halt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A check that takes longer begins anew: what was seen first says little by then.
const AGE_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;
const SAME_AS_BEFORE: &str = "a part of this check that was made earlier found another size on the remote";

/// `check-progress.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::workflow) struct CheckProgress {
    pub(super) began_seconds: i64,
    pub(super) portions: Vec<Portion>,
    /// So many of them.
    pub(super) done: usize,
    pub(super) files_listed: u64,
    files_verified: u64,
    bytes_verified: u64,
    files_unverifiable: u64,
    files_surplus: u64,
    files_failed: u64,
    /// Surplus and failed ones, as far as there is room.
    named: Vec<(Vec<u8>, String)>,
    wrong: Vec<Remembered>,
    /// Not listed, and not looked for one by one yet.
    missing: Vec<Remembered>,
    dark: Vec<Vec<u8>>,
}

impl CheckProgress {
    /// As it is kept, if it is to be gone on with.
    pub(in crate::workflow) fn load(state: &StateDir, now_seconds: i64) -> Result<Option<Self>, Halt> {
        let bytes = state.read_side_file(SideFile::CheckProgress).map_err(Halt::fatal)?;
        let kept: Option<CheckProgress> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(kept.filter(|kept| {
            let age = now_seconds - kept.began_seconds;
            kept.done > 0 && kept.done <= kept.portions.len() && (0..AGE_SECONDS_MAX).contains(&age)
        }))
    }

    pub(super) fn begin(portions: Vec<Portion>, now_seconds: i64) -> Self {
        CheckProgress { began_seconds: now_seconds, portions, ..CheckProgress::default() }
    }

    /// Requests that are still to be made, about.
    pub(in crate::workflow) fn requests_left(&self) -> u64 {
        self.portions.iter().skip(self.done).map(|portion| portion.requests).sum()
    }

    /// It is over, whatever it came to.
    pub(super) fn forget(state: &StateDir, disk: &dyn Disk) -> Result<(), Halt> {
        state.remove_side_file(disk, SideFile::CheckProgress).map_err(Halt::fatal)
    }

    /// Keeps what one more portion came to.
    pub(super) fn save(
        &mut self,
        verifying: &Verifying<'_>,
        missing: &[TreePath],
        disk: &dyn Disk,
    ) -> Result<(), Halt> {
        let report = &verifying.report;
        self.files_verified = report.files_verified;
        self.bytes_verified = report.bytes_verified;
        self.files_unverifiable = report.files_unverifiable;
        self.files_surplus = report.files_surplus;
        self.files_failed = report.files_failed;
        let wrong = &verifying.found.wrong;
        let others = report.findings.named.iter().filter(|(path, _)| !wrong.contains_key(path));
        self.named = others.map(|(path, reason)| (path.as_bytes().to_vec(), reason.clone())).collect();
        self.dark = verifying.found.dark.iter().map(|path| path.as_bytes().to_vec()).collect();
        self.wrong = remembered(wrong.iter().map(|(path, wrong)| (path, *wrong)), &verifying.tree)?;
        let missing = missing.iter().map(|path| (path, Wrong::Missing));
        self.missing = remembered(missing, &verifying.tree)?;
        let bytes = serde_json::to_vec(self).map_err(Halt::fatal)?;
        verifying.opened.state.write_side_file(disk, SideFile::CheckProgress, &bytes).map_err(Halt::fatal)
    }

    /// Puts what was found before into the report. Gives back what is still missing.
    pub(super) fn resume(&self, verifying: &mut Verifying<'_>) -> Result<Vec<TreePath>, Halt> {
        verifying.found.began_seconds = Some(self.began_seconds);
        add_counts(self, verifying.report);
        for (path, reason) in &self.named {
            let path = TreePath::from_bytes(path.clone()).unwrap_or_default();
            verifying.report.findings.add(path, reason.clone());
        }
        let (surplus_and_failed, named) = (self.files_surplus + self.files_failed, self.named.len() as u64);
        verifying.report.findings.total += surplus_and_failed.saturating_sub(named);
        verifying
            .found
            .dark
            .extend(self.dark.iter().filter_map(|path| TreePath::from_bytes(path.clone()).ok()));
        for (path, wrong) in still(&self.wrong, &verifying.tree)? {
            verifying.find_wrong(&path, wrong, SAME_AS_BEFORE);
        }
        Ok(still(&self.missing, &verifying.tree)?.into_keys().collect())
    }
}

fn add_counts(progress: &CheckProgress, report: &mut VerifyReport) {
    report.files_verified += progress.files_verified;
    report.bytes_verified += progress.bytes_verified;
    report.files_unverifiable += progress.files_unverifiable;
    report.files_surplus += progress.files_surplus;
    report.files_failed += progress.files_failed;
}

pub(super) fn remembered<'p>(
    wrong: impl Iterator<Item = (&'p TreePath, Wrong)>,
    tree: &Tree<'_>,
) -> Result<Vec<Remembered>, Halt> {
    let mut finder = Finder::new(tree);
    let mut all = Vec::new();
    for (path, wrong) in wrong {
        let entry = finder.find(path).map_err(Halt::fatal)?;
        all.extend(entry.map(|entry| Remembered::new(path, wrong, false, &entry)));
    }
    Ok(all)
}

/// Those of which the index still says what it said then.
fn still(remembered: &[Remembered], tree: &Tree<'_>) -> Result<BTreeMap<TreePath, Wrong>, Halt> {
    let mut finder = Finder::new(tree);
    let mut still = BTreeMap::new();
    for one in remembered {
        let Some(path) = one.path() else { continue };
        let known = finder.find(&path).map_err(Halt::fatal)?;
        if known.is_some_and(|known| one.is_still(&known)) {
            still.insert(path, one.wrong());
        }
    }
    Ok(still)
}
