//! Names that the remote cannot hold are told before anything is sent, and do
//! not come near a batch.

use super::connect::encoding_of;
use super::halt::Halt;
use super::job_run::JobRun;
use super::twins::Levels;
use crate::diff::diff;
use crate::index::NameFacts;
use crate::model::{EntryKind, Name, OwnedEntry, TreePath};
use crate::plan::{Classifier, Upload, mirror_path};
use crate::transfer::{Folding, NameEncoding, RemoteKind, stored_bytes, too_long_for_rclone, wire_bytes};
use std::path::PathBuf;

/// What decides without asking the remote.
struct Rules {
    encoding: NameEncoding,
    kind: RemoteKind,
    source: PathBuf,
    mirror: String,
    /// Of a run: what goes up must have room there, too, when its time comes.
    trash: String,
}

/// Blocks and names every new path that the remote cannot hold.
pub(super) fn refuse(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    let mut rules = None;
    let mut levels = Levels::default();
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        if classifier.decide(&change).upload != Upload::New {
            continue;
        }
        let rules = match &mut rules {
            Some(rules) => rules,
            empty => empty.insert(run.name_rules()?),
        };
        let as_link = change.pending.as_ref().is_some_and(is_link);
        let path = mirror_path(&change.path, as_link);
        let against = match rules.against(&path) {
            None => match run.too_long_for_the_remote(rules, &path)? {
                None => levels.twin(run, &views, &change.path)?,
                too_long => too_long,
            },
            refused => refused,
        };
        if let Some(reason) = against {
            run.report.files_failed += 1;
            run.block(change.path, &reason);
        }
    }
    Ok(())
}

fn is_link(entry: &OwnedEntry) -> bool {
    entry.kind == EntryKind::Symlink
}

impl Rules {
    fn against(&self, path: &TreePath) -> Option<String> {
        let places = [self.mirror.as_str(), self.trash.as_str()];
        let not_carried = || self.encoding.encode(path).err().map(|error| error.to_string());
        not_carried()
            .or_else(|| self.kind.refuses(path))
            .or_else(|| too_long_for_rclone(&self.source, path))
            .or_else(|| self.kind.too_long(self.encoding, path, places))
    }
}

impl JobRun<'_> {
    /// What is known of the remote from earlier runs, or in a first one from what
    /// rclone said meanwhile; else it is opened.
    fn name_rules(&mut self) -> Result<Rules, Halt> {
        let is_first = !self.committed.is_claimed;
        let (encoding, kind) = match self.connector.known().filter(|_| is_first) {
            Some(known) => (Some(known.version.name_encoding()), Some(known.features.kind())),
            None => self.committed_name_rules()?,
        };
        let trash = crate::transfer::join(self.job.companion.path(), &format!("trash/{}", self.run_id()));
        Ok(Rules {
            encoding: encoding.unwrap_or(NameEncoding::Raw),
            kind: kind.unwrap_or(RemoteKind::Other),
            source: self.job.source.clone(),
            mirror: self.job.remote.path().to_owned(),
            trash,
        })
    }

    fn committed_name_rules(&mut self) -> Result<(Option<NameEncoding>, Option<RemoteKind>), Halt> {
        let facts = &self.committed.docket.facts;
        let is_known = facts.names.kind != 0 && facts.remote == self.job.remote.to_string();
        if !self.committed.is_claimed || !is_known {
            self.open_remote()?;
        }
        let facts = &self.committed.docket.facts;
        Ok((encoding_of(&self.committed), RemoteKind::from_number(facts.names.kind)))
    }

    /// A name that is longer than every remote takes is tried for with scratch
    /// files, once for this remote.
    fn too_long_for_the_remote(&mut self, rules: &Rules, path: &TreePath) -> Result<Option<String>, Halt> {
        let Some(safe) = rules.kind.name_bytes_safe() else { return Ok(None) };
        let longest = |bytes: fn(NameEncoding, &Name) -> usize| {
            path.components().map(|name| bytes(rules.encoding, name)).max().unwrap_or(0)
        };
        if longest(stored_bytes) <= safe {
            return Ok(None);
        }
        // Less than what goes everywhere: it keeps bytes that are no text as more than it gets.
        let (longest, most) = match self.name_bytes_max()? {
            most if most < safe => (longest(stored_bytes), safe),
            most => (longest(wire_bytes), most),
        };
        Ok((longest > most).then(|| {
            format!("its name has {longest} bytes as the remote gets it (control characters have three there, bytes that are no text up to eight), and the remote takes {most}")
        }))
    }

    fn name_bytes_max(&mut self) -> Result<usize, Halt> {
        let known = self.committed.docket.facts.names;
        if known.name_bytes_max != 0 {
            return Ok(known.name_bytes_max.into());
        }
        let transfer = &self.open_remote()?.connection.transfer;
        let longest = transfer
            .try_name_lengths()
            .map_err(|failure| Halt::from_failure("trying how long a name may be on the remote", &failure))?;
        let name_bytes_max = u16::try_from(longest).unwrap_or(u16::MAX);
        self.committed.remember_names(NameFacts { name_bytes_max, ..self.committed.docket.facts.names })?;
        Ok(longest)
    }

    /// Which names are one name on the remote. Tried once, when two names of the
    /// source depend on it.
    pub(super) fn folding(&mut self) -> Result<Folding, Halt> {
        if let Some(known) = Folding::from_number(self.committed.docket.facts.names.folding) {
            return Ok(known);
        }
        let connection = &self.open_remote()?.connection;
        let tried = connection.transfer.try_folding().map_err(|failure| {
            Halt::from_failure("trying which names are one name on the remote", &failure)
        })?;
        let folding = Folding { case: tried.case || connection.features.case_insensitive, ..tried };
        let names = NameFacts { folding: folding.number(), ..self.committed.docket.facts.names };
        self.committed.remember_names(names)?;
        Ok(folding)
    }
}
