//! No job may reach into another's places, nor back itself up.

use super::jobs::Placed;
use super::reader::Document;
use super::{Configuration, RemotePath};
use std::path::Path;

pub(super) fn check(document: &Document<'_>, configuration: &Configuration, jobs: &[Placed]) {
    check_remotes(document, jobs);
    check_legacy_trash(document, jobs);
    for placed in jobs {
        check_local(document, configuration, placed);
    }
}

/// Mirrors and companions of all jobs: none in another.
fn check_remotes(document: &Document<'_>, jobs: &[Placed]) {
    let places: Vec<(&RemotePath, &super::reader::Span, String)> = jobs
        .iter()
        .flat_map(|placed| {
            let name = &placed.job.name;
            [
                (&placed.job.remote, &placed.remote_span, format!("the mirror of \"{name}\"")),
                (&placed.job.companion, &placed.companion_span, format!("the companion of \"{name}\"")),
            ]
        })
        .collect();
    for (position, (place, span, what)) in places.iter().enumerate() {
        let clash = places[..position].iter().find(|(other, _, _)| place.overlaps(other));
        if let Some((other, _, other_what)) = clash {
            let relation = if other.overlaps(place) && same(place, other) {
                "is the same place as"
            } else {
                "lies in, or around,"
            };
            document.problem(
                span,
                format!(
                    "{what} ({place:?}) {relation} {other_what} ({other:?}): each needs a folder of its own"
                ),
            );
        }
    }
}

/// What is purged by date must hold nothing that is purged by other rules, or never.
fn check_legacy_trash(document: &Document<'_>, jobs: &[Placed]) {
    for placed in jobs {
        let Some(trash) = &placed.job.legacy_trash else { continue };
        if trash.is_root() {
            let message = "`legacy_trash` must be a folder, not the root of a storage".to_owned();
            document.problem(&placed.remote_span, message);
        }
        let clash = jobs.iter().find_map(|other| {
            let job = &other.job;
            [&job.remote, &job.companion].into_iter().find(|place| place.overlaps(trash))
        });
        if let Some(place) = clash {
            document.problem(
                &placed.remote_span,
                format!("`legacy_trash` ({trash:?}) and {place:?} must not contain each other"),
            );
        }
    }
}

fn same(one: &RemotePath, other: &RemotePath) -> bool {
    one.path().trim_start_matches('/') == other.path().trim_start_matches('/')
}

fn check_local(document: &Document<'_>, configuration: &Configuration, placed: &Placed) {
    let job = &placed.job;
    let own_folder = configuration.state_dir_of(job);
    for (what, ours) in [("state_dir", &configuration.state_dir), ("log_dir", &configuration.log_dir)] {
        if job.source.starts_with(ours) {
            let message = format!("`source` lies in {what} ({}): that is treeferry's own", ours.display());
            document.problem(&placed.source_span, message);
        }
    }
    if configuration.log_dir.starts_with(&own_folder) {
        document.problem(
            &placed.name_span,
            format!(
                "the state of job \"{}\" and the logs would share {}; choose another name or log_dir",
                job.name,
                own_folder.display()
            ),
        );
    }
    for (what, place, span) in [
        ("the mirror", &job.remote, &placed.remote_span),
        ("the companion", &job.companion, &placed.companion_span),
    ] {
        let Some(folder) = place.local_path() else { continue };
        if nested(folder, &job.source) {
            document.problem(
                span,
                format!(
                    "{what} ({}) and the source ({}) must not contain each other",
                    folder.display(),
                    job.source.display()
                ),
            );
        }
        if nested(folder, &configuration.state_dir) {
            document.problem(
                span,
                format!(
                    "{what} ({}) and state_dir ({}) must not contain each other",
                    folder.display(),
                    configuration.state_dir.display()
                ),
            );
        }
    }
}

fn nested(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
