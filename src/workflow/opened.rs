//! Opening the state of one job.

use super::committed::parse_doubts;
use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::surroundings::Surroundings;
use crate::commit::{SideFile, StateDir, docket_digest};
use crate::disk::{LockError, Locked, RealDisk, can_be_mapped};
use crate::index::{DataId, Docket, DocketError, Facts, MapMode, NodeFile};
use crate::model::TreePath;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The state of a job, as a run takes it over.
pub(super) struct Opened {
    pub(super) state: StateDir,
    pub(super) docket: Docket,
    pub(super) nodes: NodeFile,
    /// A docket is on disk.
    pub(super) is_claimed: bool,
    /// What a journal must name to belong to this docket.
    pub(super) digest_on_disk: [u8; 32],
    pub(super) doubts: BTreeSet<TreePath>,
    /// Paths at which the mirror may hold what a damaged index has forgotten.
    pub(super) unknown: BTreeSet<TreePath>,
    /// Where a pending tree may be put.
    pub(super) scratch: PathBuf,
    /// Held until the end of the run; `None` for those who only look.
    pub(super) _lock: Option<Locked>,
    /// Holds the node file of a job that has none yet, for those who only look.
    _scratch_nodes: Option<tempfile::TempDir>,
}

/// Opens for a run that writes: takes the lock.
pub(super) fn open_to_write(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
) -> Result<Opened, Halt> {
    let state = StateDir::open(&configuration.state_dir, &job.name).map_err(Halt::fatal)?;
    let lock = state.lock(&surroundings.holder).map_err(cannot_lock)?;
    let scratch = state.path().to_path_buf();
    let (doubts, unknown) = (paths_of(&state, SideFile::Doubts)?, paths_of(&state, SideFile::Unknown)?);
    let (docket, nodes, digest_on_disk, is_claimed) = match read_docket(job, &state)? {
        Some((docket, digest)) => {
            let path = node_file_path(&state, docket.data_id);
            let nodes = NodeFile::open_for_append(&path, &docket, map_mode(state.path()))
                .map_err(|error| index_is_lost(job, &state, &error))?;
            (docket, nodes, digest, true)
        }
        None => {
            let (docket, nodes) = begin(|data_id| node_file_path(&state, data_id))?;
            // Left by first runs that never came as far as to send anything: they hold nothing. One that does may
            // be all that is left of an index whose docket somebody lost.
            let (disk, keep) = (RealDisk::new(surroundings.observer), hexadecimal(docket.data_id));
            state.remove_stale_node_files(&disk, &[&keep], nodes.length()).map_err(Halt::fatal)?;
            (docket, nodes, docket_digest(None), false)
        }
    };
    Ok(Opened {
        state,
        docket,
        nodes,
        is_claimed,
        digest_on_disk,
        doubts,
        unknown,
        scratch,
        _lock: Some(lock),
        _scratch_nodes: None,
    })
}

/// Opens for those who only look: no lock, nothing is created in the state
/// directory.
pub(super) fn open_to_look(
    configuration: &Configuration,
    job: &Job,
    surroundings: &Surroundings<'_>,
) -> Result<Opened, Halt> {
    let scratch = surroundings.temporary_directory.clone();
    let existing = StateDir::open_existing(&configuration.state_dir, &job.name).map_err(Halt::fatal)?;
    if let Some(state) = existing
        && let Some((docket, digest_on_disk)) = read_docket(job, &state)?
    {
        let nodes = NodeFile::open(&node_file_path(&state, docket.data_id), &docket, map_mode(state.path()))
            .map_err(|error| index_is_lost(job, &state, &error))?;
        let (doubts, unknown) = (paths_of(&state, SideFile::Doubts)?, paths_of(&state, SideFile::Unknown)?);
        return Ok(Opened {
            state,
            docket,
            nodes,
            is_claimed: true,
            digest_on_disk,
            doubts,
            unknown,
            scratch,
            _lock: None,
            _scratch_nodes: None,
        });
    }
    let directory = tempfile::tempdir_in(&scratch).map_err(|error| cannot_use(&scratch, &error))?;
    let state = StateDir::open(directory.path(), &job.name).map_err(Halt::fatal)?;
    let (docket, nodes) = begin(|_| directory.path().join("nodes"))?;
    Ok(Opened {
        state,
        docket,
        nodes,
        is_claimed: false,
        digest_on_disk: docket_digest(None),
        doubts: BTreeSet::new(),
        unknown: BTreeSet::new(),
        scratch,
        _lock: None,
        _scratch_nodes: Some(directory),
    })
}

fn paths_of(state: &StateDir, file: SideFile) -> Result<BTreeSet<TreePath>, Halt> {
    let bytes = state.read_side_file(file).map_err(Halt::fatal)?.unwrap_or_default();
    Ok(parse_doubts(&bytes))
}

/// How index files in that directory are read.
pub(super) fn map_mode(directory: &Path) -> MapMode {
    if can_be_mapped(directory) { MapMode::Map } else { MapMode::Read }
}

fn cannot_lock(error: LockError) -> Halt {
    match error {
        LockError::HeldBy(holder) => Halt::Locked { holder },
        error => Halt::fatal(error),
    }
}

fn cannot_use(directory: &Path, error: &std::io::Error) -> Halt {
    Halt::Fatal(format!("making a temporary directory in {}: {error}", directory.display()))
}

/// The docket and its digest; `None` when there is none.
pub(super) fn read_docket(job: &Job, state: &StateDir) -> Result<Option<(Docket, [u8; 32])>, Halt> {
    let Some(bytes) = state.read_docket().map_err(Halt::fatal)? else { return Ok(None) };
    let docket = Docket::decode(&bytes).map_err(|error| {
        let message = format!("{}: {error}", state.docket_path().display());
        match error {
            DocketError::TooNew { .. } => Halt::Fatal(message),
            DocketError::Damaged(_) | DocketError::NotADocket => index_is_lost(job, state, &message),
        }
    })?;
    Ok(Some((docket, docket_digest(Some(&bytes)))))
}

/// Never taken for "no index": that would send everything.
fn index_is_lost(job: &Job, state: &StateDir, error: &dyn std::fmt::Display) -> Halt {
    let (state, job) = (state.path().display(), &job.name);
    Halt::Fatal(format!(
        "{error}. Nothing was sent. Bring {state} back from a copy of the last run, or move it away and run \
         `treeferry adopt {job} --accept foreign-writer`: that makes a new index from the source and one listing of the \
         mirror, and uploads nothing again; the history before is lost with the index"
    ))
}

/// A docket of nothing, with an empty node file.
fn begin(path: impl Fn(DataId) -> PathBuf) -> Result<(Docket, NodeFile), Halt> {
    let data_id = DataId::random().map_err(Halt::fatal)?;
    let nodes = NodeFile::create(&path(data_id), data_id).map_err(Halt::fatal)?;
    let mirror_id = DataId::random().map_err(Halt::fatal)?.0;
    let docket = Docket {
        data_id,
        committed_length: nodes.length(),
        live_bytes: nodes.length(),
        base: None,
        kept: None,
        newest_record: None,
        facts: Facts { mirror_id, ..Facts::default() },
    };
    Ok((docket, nodes))
}

/// The node file that a docket means.
pub(super) fn node_file_path(state: &StateDir, data_id: DataId) -> PathBuf {
    state.node_file_path(&hexadecimal(data_id))
}

/// The id in a node file's name.
pub(super) fn hexadecimal(data_id: DataId) -> String {
    data_id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}
