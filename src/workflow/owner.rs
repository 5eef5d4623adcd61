//! Who writes to this mirror: one small file in the companion.
//!
//! Two machines with one configuration, or a virtual machine that was rolled
//! back, would undo each other's work without noticing. `owner-<n>` names the
//! mirror and the last run; each changing run reads the newest and writes the
//! next. A new name each time, because nothing is ever overwritten in place.

use super::backoff::Patience;
use super::configuration::mask_remote;
use super::halt::Halt;
use super::options::Guard;
use crate::index::Facts;
use crate::model::RunId;
use crate::transfer::{Listed, Session, join};
use serde::{Deserialize, Serialize};

/// What an owner file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OwnerFile {
    /// 32 hexadecimal digits.
    mirror_id: String,
    /// The run that wrote it.
    run_id: String,
    /// As in its name, so that reading is enough. Files of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

/// What this machine believes of the mirror.
pub(super) struct Belief {
    pub(super) mirror_id: [u8; 16],
    /// Number of the newest owner file we wrote; 0 before the first.
    pub(super) sequence: u64,
    pub(super) last_run: Option<RunId>,
    /// The run that may have written the one after it.
    ahead: Option<RunId>,
    /// `--accept foreign-writer`.
    pub(super) accept_foreign_writer: bool,
    pub(super) companion: String,
}

impl Belief {
    /// What `facts` say.
    pub(super) fn of(facts: &Facts, accept_foreign_writer: bool, companion: String) -> Self {
        Belief {
            mirror_id: facts.mirror_id,
            sequence: facts.owner_sequence,
            last_run: facts.last_run,
            ahead: facts.owner_ahead,
            accept_foreign_writer,
            companion,
        }
    }
}

/// Compares the newest owner file with what we believe. Gives back its number,
/// 0 when there is none yet.
pub(super) fn check(session: &Session<'_>, belief: &Belief, patience: &Patience<'_>) -> Result<u64, Halt> {
    let (newest, owner) = find_newest(session, &belief.companion, patience)?;
    if belief.accept_foreign_writer {
        return Ok(newest.max(belief.sequence));
    }
    match (belief.sequence, newest) {
        (0, 0) => Ok(0),
        (known, 0) => Err(Halt::RemoteUnwell(format!(
            "the owner file {}/owner-{known} is not there. Either the remote does not answer as it should, or \
             `companion` is not what it was at the last run, or somebody removed the file: nothing is sent. If the \
             mirror is known to be whole, run once with --accept foreign-writer",
            mask_remote(&belief.companion)
        ))),
        (known, newest) => {
            let owner = match owner {
                Some(owner) => owner,
                None => read(session, &belief.companion, newest, patience)?,
            };
            let ours = owner.mirror_id == hex(&belief.mirror_id);
            // One ahead is ours when the run that wrote it is the one that was interrupted
            // between the owner file and the commit. Dockets of earlier versions name only the last run.
            let may_have_written = belief.ahead.or(belief.last_run);
            let run_is_known = newest == known
                || (newest == known + 1
                    && may_have_written.is_none_or(|run| owner.run_id == run.to_string()));
            if ours && run_is_known { Ok(newest) } else { Err(foreign(belief, newest, &owner)) }
        }
    }
}

/// Who says that a mirror is theirs; for taking it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) mirror_id: [u8; 16],
    /// Number of the owner file.
    pub(super) sequence: u64,
    /// The run that wrote it.
    pub(super) last_run: Option<RunId>,
}

/// The newest owner file. `None`: there is none, as far as the remote says.
pub(super) fn find(
    session: &Session<'_>,
    companion: &str,
    patience: &Patience<'_>,
) -> Result<Option<Owner>, Halt> {
    let listing = patience.ask("reading who owns the mirror", || session.list_folder(companion))?;
    let sequence = newest(listing.as_deref().unwrap_or_default());
    if sequence == 0 {
        return Ok(None);
    }
    let file = read(session, companion, sequence, patience)?;
    let digit =
        |at: usize| file.mirror_id.get(2 * at..2 * at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let mut mirror_id = [0; 16];
    for (at, byte) in mirror_id.iter_mut().enumerate() {
        *byte = digit(at).ok_or_else(|| {
            Halt::RemoteUnwell(format!(
                "the owner file {}/owner-{sequence} names no mirror: nothing is taken over",
                mask_remote(companion)
            ))
        })?;
    }
    Ok(Some(Owner { mirror_id, sequence, last_run: file.run_id.parse().ok() }))
}

/// Writes the next owner file. Gives back its number.
pub(super) fn write(
    session: &Session<'_>,
    belief: &Belief,
    newest: u64,
    run: RunId,
    patience: &Patience<'_>,
) -> Result<u64, Halt> {
    let next = newest + 1;
    let owner = OwnerFile { mirror_id: hex(&belief.mirror_id), run_id: run.to_string(), number: Some(next) };
    let bytes = serde_json::to_vec(&owner).map_err(Halt::fatal)?;
    let file = join(&belief.companion, &format!("owner-{next}"));
    // Tried again over what a try before may have left: the one before it is there still.
    patience.ask("writing the owner file", || session.write_small(&file, &bytes))?;
    Ok(next)
}

/// The owner file that the next one has made superfluous.
pub(super) fn superseded(belief: &Belief, newest: u64) -> Option<String> {
    (newest > 0).then(|| join(&belief.companion, &format!("owner-{newest}")))
}

/// The number of the newest owner file, 0 when there is none; and what it says, where
/// reading told the number.
fn find_newest(
    session: &Session<'_>,
    companion: &str,
    patience: &Patience<'_>,
) -> Result<(u64, Option<OwnerFile>), Halt> {
    let doing = "reading who owns the mirror";
    let content = patience.ask(doing, || session.read_all_small(companion, "owner-"))?.unwrap_or_default();
    let files: Result<Vec<OwnerFile>, _> =
        serde_json::Deserializer::from_slice(&content).into_iter().collect();
    match files {
        Ok(files) if files.iter().all(|file| file.number.is_some_and(has_a_next)) => {
            let newest = files.into_iter().max_by_key(|file| file.number);
            Ok((newest.as_ref().and_then(|file| file.number).unwrap_or(0), newest))
        }
        _ => {
            let listing = patience.ask(doing, || session.list_folder(companion))?;
            Ok((newest(listing.as_deref().unwrap_or_default()), None))
        }
    }
}

fn newest(listing: &[Listed]) -> u64 {
    let numbers = listing.iter().filter_map(|listed| listed.name.strip_prefix("owner-")?.parse().ok());
    numbers.filter(|&number| has_a_next(number)).max().unwrap_or(0)
}

/// The last number there is, is none that we came to.
fn has_a_next(number: u64) -> bool {
    number < u64::MAX
}

fn read(
    session: &Session<'_>,
    companion: &str,
    number: u64,
    patience: &Patience<'_>,
) -> Result<OwnerFile, Halt> {
    let path = join(companion, &format!("owner-{number}"));
    let unreadable = |reason: String| {
        Halt::RemoteUnwell(format!(
            "the owner file {} can't be read ({reason}): nothing is sent. If the mirror is known to be \
             whole, run once with --accept foreign-writer",
            mask_remote(&path)
        ))
    };
    let bytes = patience
        .ask("reading the owner file", || session.read_small(&path))?
        .ok_or_else(|| unreadable("it is listed, but not there".into()))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}

fn foreign(belief: &Belief, newest: u64, owner: &OwnerFile) -> Halt {
    let known = belief.last_run.map_or_else(|| "none".to_owned(), |run| run.to_string());
    Halt::Guard {
        guard: Some(Guard::ForeignWriter),
        message: format!(
            "another writer was here: {}/owner-{newest} names mirror {} and run {}, this machine knows mirror {} \
             and last run {known}. Two machines may write to one mirror, or this one was set back to an older \
             state. If this machine is to go on as the only one: --accept foreign-writer",
            belief.companion,
            owner.mirror_id,
            owner.run_id,
            hex(&belief.mirror_id),
        ),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
