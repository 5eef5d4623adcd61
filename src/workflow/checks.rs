//! What can be said of a configuration before any run.

use super::configuration::{Configuration, Job, RemotePath};
use super::connect::{cannot_use_remote, check_place_beside_bucket, control_without_record};
use super::surroundings::Surroundings;
use crate::observe::Observer;
use crate::transfer::{self, Features, Session};
use std::path::{Path, PathBuf};

/// Refuses rclone flags that would break the protocol.
///
/// # Errors
/// Names the flag and the reason.
pub fn check_rclone_flags(flags: &[String]) -> Result<(), String> {
    transfer::check_user_flags(flags).map_err(|error| error.to_string())
}

/// Looks whether the places of all jobs are apart on the disk, too, and asks rclone whether it knows the
/// remotes: no request. One sentence for each problem.
pub fn check_remotes(configuration: &Configuration, surroundings: &Surroundings<'_>) -> Vec<String> {
    let mut problems: Vec<String> =
        configuration.jobs.iter().filter_map(|job| places_are_apart(configuration, job).err()).collect();
    problems.extend(unknown_remotes(configuration, surroundings));
    problems
}

/// What the text of the configuration does not show: a symlink on the way can put a mirror into its own
/// source, which would then be backed up into itself without end, or into another mirror.
///
/// # Errors
/// Says which places of `job` lie in one another, in one sentence.
pub(super) fn places_are_apart(configuration: &Configuration, job: &Job) -> Result<(), String> {
    let ours = local_places(job);
    if ours.is_empty() {
        return Ok(());
    }
    let mut others = vec![
        ("the source".to_owned(), as_on_disk(&job.source)),
        ("state_dir".to_owned(), as_on_disk(&configuration.state_dir)),
    ];
    for other in configuration.jobs.iter().filter(|other| other.name != job.name) {
        let named = |(what, _, real)| (format!("{what} of \"{}\"", other.name), real);
        others.extend(local_places(other).into_iter().map(named));
    }
    for (position, (what, written, real)) in ours.iter().enumerate() {
        let own = ours[..position].iter().map(|(what, _, real)| (*what, real));
        let others = others.iter().map(|(what, real)| (what.as_str(), real));
        let clash = own.chain(others).find(|(_, other)| real.starts_with(other) || other.starts_with(real));
        if let Some((other, place)) = clash {
            return Err(format!(
                "job {}: {what} ({}) and {other} ({}) must not contain each other, and with the symlinks on the way \
                 followed they do: the first is {}",
                job.name,
                written.display(),
                place.display(),
                real.display()
            ));
        }
    }
    Ok(())
}

/// The same for a mirror that only rclone's configuration puts onto this machine (`local`, `alias`), and the
/// source of its own job. Asks rclone, so not in every run.
///
/// # Errors
/// As above.
pub(super) fn is_apart_from_source(
    job: &Job,
    session: &Session<'_>,
    features: &Features,
) -> Result<(), String> {
    if !features.is_local || job.remote.local_path().is_some() {
        return Ok(());
    }
    let Some(mirror) = session.local_folder(&job.remote.to_string()) else { return Ok(()) };
    let source = as_on_disk(&job.source);
    let below_root = |place: &RemotePath| place.path().trim_start_matches('/').to_owned();
    let path = below_root(&job.remote);
    let root = mirror.ancestors().nth(Path::new(&path).components().count());
    let companion =
        root.filter(|_| mirror.ends_with(&path)).map(|root| root.join(below_root(&job.companion)));
    for (what, place) in [("mirror", Some(&mirror)), ("companion", companion.as_ref())] {
        let real = place.map(|place| as_on_disk(place));
        if let Some(real) = real.filter(|real| real.starts_with(&source) || source.starts_with(real)) {
            return Err(format!(
                "job {}: the {what} and the source must not contain each other: by rclone's configuration the {what} is \
                 {}, and the source is {}",
                job.name,
                real.display(),
                source.display()
            ));
        }
    }
    Ok(())
}

/// The same for mirrors and companions that lie in one another only by rclone's configuration: behind an alias, or
/// under two names for one server. Asks rclone where the jobs name more than one remote, so not in every run.
///
/// # Errors
/// Says which places of `job` lie in one another, in one sentence. What rclone cannot say is no error: it will
/// be told of where it is needed.
pub(super) fn is_apart_behind_names(
    configuration: &Configuration,
    job: &Job,
    session: &Session<'_>,
    features: &Features,
) -> Result<(), String> {
    let places = |job: &Job, whose: &str| {
        [("mirror", job.remote.clone()), ("companion", job.companion.clone())]
            .map(|(what, place)| (format!("the {what}{whose}"), place))
    };
    let mut named: Vec<(String, RemotePath)> = places(job, "").into();
    for other in configuration.jobs.iter().filter(|other| other.name != job.name) {
        named.extend(places(other, &format!(" of \"{}\"", other.name)));
    }
    // On this machine a symlink is another name, too.
    let may_be_linked = features.is_local && configuration.jobs.len() > 1;
    if !may_be_linked && named.iter().all(|(_, place)| place.remote() == job.remote.remote()) {
        return Ok(());
    }
    let remotes: Vec<String> = named.iter().map(|(_, place)| place.to_string()).collect();
    let Ok(destinations) = session.destinations(&remotes) else { return Ok(()) };
    let on_disk: Vec<_> =
        destinations.iter().map(|place| place.local_folder().map(|folder| as_on_disk(&folder))).collect();
    let overlap = |one: usize, other: usize| match (&on_disk[one], &on_disk[other]) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        _ => destinations[one].overlaps(&destinations[other]),
    };
    for ours in 0..2 {
        if let Some(other) = (ours + 1..named.len()).find(|&other| overlap(ours, other)) {
            let ((what, place), (other_what, other_place)) = (&named[ours], &named[other]);
            return Err(format!(
                "job {}: {what} ({place:?}) and {other_what} ({other_place:?}) must not contain each other, and by \
                 rclone's configuration they do",
                job.name
            ));
        }
    }
    Ok(())
}

/// Mirror and companion, where rclone writes them to a folder of this machine: as written, and where that is.
fn local_places(job: &Job) -> Vec<(&'static str, &Path, PathBuf)> {
    let places = [("the mirror", &job.remote), ("the companion", &job.companion)];
    let local = places.into_iter().filter_map(|(what, place)| Some((what, place.local_path()?)));
    local.map(|(what, path)| (what, path, as_on_disk(path))).collect()
}

/// Without symlinks, as far as it exists; the rest as written.
fn as_on_disk(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_path_buf()
}

fn unknown_remotes(configuration: &Configuration, surroundings: &Surroundings<'_>) -> Vec<String> {
    let control = control_without_record();
    let rclone = match surroundings.rclone(&control) {
        Ok(rclone) => rclone,
        Err(halt) => return vec![halt.to_string()],
    };
    let observer: &dyn Observer = surroundings.observer;
    let session = match rclone.session(rclone.name_encoding(), &control, observer) {
        Ok(session) => session,
        Err(error) => return vec![error.to_string()],
    };
    let problem_of = |job: &Job| match session.features(&job.remote.to_string()) {
        Ok(features) => {
            let beside = check_place_beside_bucket(job, &features).err().map(|halt| halt.to_string());
            beside
                .or_else(|| is_apart_from_source(job, &session, &features).err())
                .or_else(|| is_apart_behind_names(configuration, job, &session, &features).err())
        }
        Err(failure) => Some(cannot_use_remote(job, &failure)),
    };
    configuration.jobs.iter().filter_map(problem_of).collect()
}
