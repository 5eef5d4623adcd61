//! What the old script did when it was done: "a summary (uploads, bytes,
//! trashed, deleted, failures, time) by Telegram or mail, through a proxy if
//! set"; and what the other end may do to us.

mod other_ends;
mod runs;
mod secure;
