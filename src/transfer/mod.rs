//! Transfer: batches to rclone, and one outcome per path back.
//!
//! Knows: rclone: its versions, command lines, name encoding, log lines, exit
//! codes, and what can be believed of them.
//! Promises: every path of a batch gets exactly one outcome; a path is confirmed
//! only by rclone's own receipt for it, and an upload only when the source still
//! has the stamp under which it was read. What cannot be known is said to be
//! unknown. No credential leaves this room.
//! Must not know: the index, the journal, what a run is for.
//!
//! `docs/rclone.md` has the contract with rclone, fact by fact.

mod any_answer;
mod checksum;
mod classify;
mod command_line;
mod credentials;
mod destination;
mod download;
mod features;
mod folders;
mod known;
mod listing;
mod log_line;
mod looks;
mod names;
mod narrowing;
mod orphan;
mod partials;
mod portable;
mod process;
mod rclone;
mod receipts;
mod remote_path;
mod request_costs;
mod send;
mod source_state;
mod trial;
mod user_flags;
mod version;

pub use any_answer::{listed_in, understood_by};
pub use checksum::Checked;
pub use classify::{
    is_answered, is_corrupted, is_forbidden, is_locked_configuration, is_refusal, is_too_large,
    is_unknown_remote, may_pass,
};
pub use credentials::without_credentials;
pub use destination::Destination;
pub use download::{Download, Fetched};
pub use features::Features;
pub use folders::{CompanionMove, FolderMove, Shown, TrialError};
pub use known::Known;
pub use listing::ListedFile;
pub use log_line::is_receipt;
pub use looks::{Likeness, Listed, Place, Seen};
pub use names::{NameEncoding, NotCarried, as_logged as as_listed};
pub use narrowing::Sight;
pub use orphan::{ProcessMark, end_orphan};
pub use portable::{Folding, RemoteKind, stored_bytes, too_long_for_rclone, wire_bytes};
pub use process::{Control, StopSignal};
pub use rclone::{Rclone, RcloneError, RcloneSettings, Session};
pub use remote_path::{RemotePathError, check_remote, join, remote_name, root_of};
pub use request_costs::RequestCosts;
pub use send::{Remotes, Transfer};
pub use user_flags::{FlagError, check_user_flags, requests_per_second};
pub use version::{Capability, Gap, RcloneVersion, VersionGaps};
