//! `[[job]]` and `[defaults]`.

use super::reader::{Document, Section, Span};
use super::remote_path::RemotePath;
use super::values::{self, CheckAction, Limit, Links, OnDelete, SkipSettled, SourceFilesystem};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

/// One source and one remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Names its folder in the state directory.
    pub name: String,
    /// Absolute.
    pub source: PathBuf,
    /// The mirror.
    pub remote: RemotePath,
    /// Trash and owner file; on the same remote, apart from all mirrors.
    pub companion: RemotePath,
    /// What becomes of deleted files.
    pub on_delete: OnDelete,
    /// Overwritten versions go to the trash.
    pub keep_versions: bool,
    /// 0: for ever.
    pub trash_retention_days: u32,
    /// Where folders by date, made by the script that came before, are purged.
    pub legacy_trash: Option<RemotePath>,
    /// Guard.
    pub max_delete: Limit,
    /// Guard.
    pub max_change: Limit,
    /// Guard.
    pub source_filesystem: SourceFilesystem,
    /// Go into file systems mounted below the source.
    pub cross_mounts: bool,
    /// Move emptied folders out of the mirror.
    pub remove_empty_dirs: bool,
    /// What becomes of symlinks.
    pub links: Links,
    /// 0: no check.
    pub check_every_days: u32,
    /// What a check does about a difference.
    pub check_action: CheckAction,
    /// Bytes that are read in a run to fill in missing hashes.
    pub hash_fill_per_run: u64,
    /// 0: as many as there are processors.
    pub threads: u32,
    /// Between operations on the remote.
    pub pause: Duration,
    /// `.gitignore` patterns.
    pub exclude: Vec<String>,
    /// Whether settled directories are listed again.
    pub skip_settled: SkipSettled,
}

/// A job, and where its parts stand in the file.
pub(super) struct Placed {
    pub(super) job: Job,
    pub(super) name_span: Span,
    pub(super) source_span: Span,
    pub(super) remote_span: Span,
    pub(super) companion_span: Span,
}

pub(super) fn read<'d>(document: &'d Document<'d>, top: &Section<'d>) -> Vec<Placed> {
    let defaults = top.subsection("defaults", "[defaults]", "job");
    if defaults.find("name").is_some() {
        defaults.problem("name", "`name` belongs to one [[job]], not into [defaults]");
    }
    let scan =
        defaults.subsection("scan", "[defaults.scan]", "scan").or(&top.subsection("scan", "[scan]", "scan"));
    let Some(array) = top.find("job") else {
        document.problem(&(0..0), "there is no [[job]]: nothing to back up");
        return Vec::new();
    };
    let tables = array.get_ref().as_array().map(|array| array.iter().collect()).unwrap_or_else(Vec::new);
    if tables.is_empty() || !tables.iter().all(|table| table.get_ref().is_table()) {
        document.problem(&array.span(), "write jobs as [[job]], with two brackets");
        return Vec::new();
    }
    let mut names = HashSet::new();
    let mut placed = Vec::new();
    for table in tables {
        let own = Section::new(document, "[[job]]", "job", table.span(), table.get_ref().as_table());
        let scan = own.subsection("scan", "[job.scan]", "scan").or(&scan);
        placed.extend(read_job(&own.or(&defaults), &scan, &mut names));
    }
    placed
}

fn read_job(section: &Section<'_>, scan: &Section<'_>, names: &mut HashSet<String>) -> Option<Placed> {
    let name = section.required("name", |value| check_name(values::text(value)?));
    if let Some(name) = &name
        && !names.insert(name.clone())
    {
        section.problem("name", format!("two jobs have the name \"{name}\""));
    }
    let source = section.required("source", values::absolute_path);
    let remote = section.required("remote", |value| RemotePath::parse(&values::text(value)?));
    let companion = read_companion(section, name.as_deref(), remote.as_ref());
    // Read before any `?`, so that one look shows the problems of all keys.
    let job = |name, source, remote, companion| Job {
        name,
        source,
        remote,
        companion,
        on_delete: section.read("on_delete", OnDelete::Trash, values::choice),
        keep_versions: section.read("keep_versions", true, values::truth),
        trash_retention_days: section.read("trash_retention_days", 30, values::whole_number),
        legacy_trash: section
            .optional("legacy_trash", |value| match value.as_str() {
                Some("") => Ok(None),
                _ => RemotePath::parse(&values::text(value)?).map(Some),
            })
            .flatten(),
        max_delete: section.read("max_delete", Limit::Percent(25), values::limit),
        max_change: section.read("max_change", Limit::Percent(50), values::limit),
        source_filesystem: section.read("source_filesystem", SourceFilesystem::Same, values::choice),
        cross_mounts: section.read("cross_mounts", false, values::truth),
        remove_empty_dirs: section.read("remove_empty_dirs", false, values::truth),
        links: section.read("links", Links::Record, values::choice),
        check_every_days: section.read("check_every_days", 0, values::whole_number),
        check_action: section.read("check_action", CheckAction::Warn, values::choice),
        hash_fill_per_run: section.read("hash_fill_per_run", 10 << 30, values::size),
        threads: section.read("threads", 0, values::whole_number),
        pause: section.read("pause", Duration::ZERO, values::duration),
        exclude: section.read("exclude", Vec::new(), values::list),
        skip_settled: scan.read("skip_settled", SkipSettled::Auto, values::choice),
    };
    let stand_in = || RemotePath::parse("none:none").ok();
    let complete = name.is_some() && source.is_some() && remote.is_some() && companion.is_some();
    let job = job(
        name.unwrap_or_default(),
        source.unwrap_or_default(),
        remote.or_else(stand_in)?,
        companion.or_else(stand_in)?,
    );
    complete.then(|| Placed {
        job,
        name_span: section.span_of("name"),
        source_span: section.span_of("source"),
        remote_span: section.span_of("remote"),
        companion_span: match section.find("companion") {
            Some(value) if value.get_ref().as_str() != Some("") => value.span(),
            _ => section.span_of("remote"),
        },
    })
}

fn check_name(name: String) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(fits) {
        return Err(format!(
            "must be 1 to 100 letters, digits, `-`, `_` or `.`, and not begin with `.`; not \"{}\"",
            name.escape_debug()
        ));
    }
    Ok(name)
}

fn read_companion(
    section: &Section<'_>,
    name: Option<&str>,
    remote: Option<&RemotePath>,
) -> Option<RemotePath> {
    let given = section.find("companion").filter(|value| value.get_ref().as_str() != Some(""));
    if given.is_some() {
        let companion = section.optional("companion", |value| RemotePath::parse(&values::text(value)?))?;
        if let Some(remote) = remote
            && remote.remote() != companion.remote()
        {
            let wanted = super::mask_remote(remote.remote());
            section.problem(
                "companion",
                format!("`companion` must be on the same remote as the mirror (\"{wanted}…\"): old versions are moved there on the server"),
            );
        }
        return Some(companion);
    }
    let (name, remote) = (name?, remote?);
    let beside = remote.beside(&format!(".treeferry/{name}"));
    if beside.is_none() {
        section.problem(
            "remote",
            "`remote` is the root of a storage or bucket, so nothing can lie beside it: move the mirror into a folder, or say with `companion` where the trash goes",
        );
    }
    beside
}
