//! Which rules decided what the base holds, as the docket says it.
//!
//! The scan does not match known names again when the rules are those of the base.
//! So the rules of a run count from when nothing is left in the base that they
//! leave out; until then they are unknown, whatever ended the run. What a killed run sent
//! came by rules that nobody has written down.

use super::halt::Halt;
use super::job_run::JobRun;
use crate::diff::diff;
use crate::index::Facts;
use crate::model::EntryFlags;

/// Some names of the base came by other rules: the next scan matches them all.
pub(super) const MIXED: [u8; 32] = [0; 32];

impl JobRun<'_> {
    /// What the docket says when all that the scan found out of scope has left the base.
    pub(super) fn scope_digest_if_settled(&self) -> [u8; 32] {
        let scan = &self.scan;
        if scan.has_matched_all || self.is_scope_of_base() { scan.scope_digest } else { MIXED }
    }

    /// What a checkpoint says: files of both scopes may be in the base.
    pub(super) fn scope_digest_under_way(&self) -> [u8; 32] {
        if self.is_scope_of_base() { self.scan.scope_digest } else { MIXED }
    }

    /// To be called while the ledger knows what is confirmed.
    pub(super) fn settle_scope(&self, facts: &mut Facts) {
        // What can't be told must not keep the commit from being tried.
        if !self.is_scope_of_base() && self.has_left_scope_unsettled().unwrap_or(true) {
            facts.scope_digest = MIXED;
        }
    }

    fn is_scope_of_base(&self) -> bool {
        self.committed.docket.facts.scope_digest == self.scan.scope_digest
    }

    /// One more walk, in runs after a change of the rules only.
    fn has_left_scope_unsettled(&self) -> Result<bool, Halt> {
        let views = self.views();
        let base = views.base();
        for change in diff(&base, views.pending, views.equality) {
            let change = change.map_err(Halt::fatal)?;
            let has_left =
                change.pending.as_ref().is_some_and(|entry| entry.flags.contains(EntryFlags::OUT_OF_SCOPE));
            let is_held = change.base.as_ref().is_some_and(|entry| entry.is_on_mirror());
            if has_left && is_held && self.ledger.state_of(&change.path).is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
