//! Every key of the configuration, in one table: what is allowed, what the
//! reference in `docs/configuration.md` says, and what `init` writes.

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table it stands in: empty for the top of the file, `job` for
    /// `[[job]]` and `[defaults]`.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What may be written there, for people.
    pub kind: &'static str,
    /// The default as it would be written; empty when there is none.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { section, name, kind, default, meaning }
}

/// The sections in the order of the reference, with what they are.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "Top of the file"),
    (
        "scan",
        "`[scan]`: How the source is walked. For all jobs here; for one job as `scan.<key>` inside `[[job]]`",
    ),
    ("rclone", "`[rclone]`: The rclone that is used"),
    (
        "job",
        "`[[job]]`: One source and one remote; as many as you like. All keys but `name` may also stand in `[defaults]`, for every job that does not say otherwise",
    ),
    ("notify", "`[notify]`: Who is told after a run"),
    ("notify.telegram", "`[notify.telegram]`"),
    ("notify.mail", "`[notify.mail]`: By SMTP (`smtp`) or by a program (`sendmail`), one of the two"),
    ("notify.webhook", "`[notify.webhook]`"),
    ("notify.healthcheck", "`[notify.healthcheck]`: Dead-man pings as healthchecks.io understands them"),
];

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        "",
        "state_dir",
        "absolute path",
        "",
        "Index, journal and lock of each job. Default: `$XDG_STATE_HOME/treeferry`, or `~/.local/state/treeferry`. Keep it on a local disk, and never in a cache folder.",
    ),
    key(
        "",
        "log_dir",
        "absolute path",
        "",
        "Logs by day, `backup-YYYY-MM-DD.log`, UTF-8. Default: `<state_dir>/logs`.",
    ),
    key(
        "",
        "log_retention_days",
        "whole number",
        "30",
        "Logs older than this are removed when a backup starts. 0: never.",
    ),
    key(
        "",
        "language",
        "`\"auto\"`, `\"en\"`, `\"zh\"`",
        "\"auto\"",
        "Language of summary and notifications.",
    ),
    key(
        "scan",
        "skip_settled",
        "`\"auto\"`, `\"off\"`",
        "\"auto\"",
        "Do not list a directory again whose own times are settled and unchanged; its files are still looked at one by one, one directory in 64 is listed all the same, and once a week all of them are.",
    ),
    key("rclone", "program", "text", "\"rclone\"", "The program, by name or absolute path."),
    key(
        "rclone",
        "config",
        "absolute path",
        "\"\"",
        "rclone's configuration file; rclone's own default when empty.",
    ),
    key(
        "rclone",
        "environment",
        "list of text",
        "[]",
        "Names of `RCLONE_*` variables that are let through to rclone. All others but `RCLONE_CONFIG*` are taken away.",
    ),
    key(
        "rclone",
        "flags",
        "list of text",
        "[\"--transfers=4\"]",
        "Given to every transfer, in rclone's own syntax (`--bwlimit=2M`, `--tpslimit=0.5`). Flags that select, compare, delete, log or cut off, that change how names lie on the remote (`--s3-encoding` and the like), or that show its past (`--s3-versions`, `--s3-version-at`) are refused.",
    ),
    key(
        "job",
        "name",
        "text",
        "",
        "Required. Letters, digits, `-`, `_`, `.`; names the job's state folder, so it stays the same for ever.",
    ),
    key("job", "source", "absolute path", "", "Required. The local folder that is backed up."),
    key(
        "job",
        "remote",
        "`name:path`",
        "",
        "Required. The mirror: a folder of a remote that rclone knows. Nothing else may live in it. Another place under the same name of the job is the guard `remote-changed`.",
    ),
    key(
        "job",
        "on_delete",
        "`\"trash\"`, `\"delete\"`, `\"keep\"`",
        "\"trash\"",
        "What happens on the mirror when a file is deleted here. `keep`: the mirror never loses a file.",
    ),
    key("job", "keep_versions", "true, false", "true", "An overwritten version goes to the trash as well."),
    key(
        "job",
        "companion",
        "`name:path`",
        "\"\"",
        "Trash and owner file. On the same remote as the mirror, never inside it. Default: `.treeferry/<job>` beside the mirror's folder; must be given when the mirror is the root of a storage or bucket.",
    ),
    key(
        "job",
        "trash_retention_days",
        "whole number",
        "30",
        "The trash of a run is emptied after this many days. 0: never.",
    ),
    key(
        "job",
        "legacy_trash",
        "`name:path`",
        "\"\"",
        "Trash of the Python script that came before: its folders by date are purged after `trash_retention_days`, too, after runs that sent something. Apart from all mirrors and companions.",
    ),
    key(
        "job",
        "max_delete",
        "`\"25%\"`, a count, `\"off\"`",
        "\"25%\"",
        "Guard: more deletions than this stop the run before anything is sent. A percentage is of the files known, and holds when at least 100 are known.",
    ),
    key(
        "job",
        "max_change",
        "`\"50%\"`, a count, `\"off\"`",
        "\"50%\"",
        "Guard: more changed files than this stop the run. Counted by content: a `touch` is no change.",
    ),
    key(
        "job",
        "source_filesystem",
        "`\"same\"`, `\"any\"`",
        "\"same\"",
        "Guard: the source, and each disk below it, must be on the file system it was on last time. `any` for snapshot mounts and network drives that change it.",
    ),
    key(
        "job",
        "cross_mounts",
        "true, false",
        "false",
        "Go into other file systems that are mounted below the source. Those that are left out are named in the summary, and are no fault; those that are entered are remembered: where one is not mounted in a later run, or another is, the folder is left as it was and named as unprotected (exit code 3). For a disk that was removed for good: `--accept source-filesystem`, in a run in which the source itself has not moved.",
    ),
    key(
        "job",
        "remove_empty_dirs",
        "true, false",
        "false",
        "Move folders that became empty out of the mirror.",
    ),
    key(
        "job",
        "links",
        "`\"record\"`, `\"follow\"`, `\"upload\"`",
        "\"record\"",
        "Symlinks: keep the target in the index; back up what they point to; or upload them as rclone's `.rclonelink`.",
    ),
    key(
        "job",
        "check_every_days",
        "whole number",
        "0",
        "Compare the mirror with the index after a backup when this many days have passed. 0: off.",
    ),
    key(
        "job",
        "check_action",
        "`\"warn\"`, `\"repair\"`",
        "\"warn\"",
        "What such a check does about a difference.",
    ),
    key(
        "job",
        "hash_fill_per_run",
        "size",
        "\"10G\"",
        "How much is read in a run to give hashes to files that were taken over without one (`import`, `adopt`). 0: nothing.",
    ),
    key(
        "job",
        "threads",
        "whole number",
        "0",
        "Threads for scanning and hashing. 0: as many as there are processors.",
    ),
    key(
        "job",
        "pause",
        "duration",
        "\"0s\"",
        "Wait so long between two operations of a backup on the remote, for touchy ones: files then go one by one, each by an rclone of its own. `--tpslimit` in [rclone] flags spaces single requests instead.",
    ),
    key(
        "job",
        "exclude",
        "list of patterns",
        "[]",
        "`.gitignore` syntax (`{a,b}` stands for one of both, as in rclone's filters; of the classes in brackets `[:punct:]`, `[:graph:]` and `[:print:]` are refused). Nothing else hides a file: no `.gitignore`, no hidden-file rule; only treeferry's own state, logs and the folders `.treeferry-restore-??????` of a restore are never taken. A job's list stands instead of that of `[defaults]`.",
    ),
    key("notify", "on", "`\"always\"`, `\"change\"`, `\"failure\"`", "\"always\"", "When to tell."),
    key(
        "notify",
        "proxy",
        "secret",
        "\"\"",
        "`http://`, `https://`, `socks4a://` or `socks5://` proxy for Telegram, webhook and healthcheck (not for mail). It also resolves the names. Or `proxy_file`, `proxy_command`.",
    ),
    key(
        "notify.telegram",
        "bot_token",
        "secret",
        "",
        "Token of the bot; or `bot_token_file`, `bot_token_command`.",
    ),
    key(
        "notify.telegram",
        "chat_id",
        "text or whole number",
        "",
        "Who gets the message: a user, group or channel that the bot may write to.",
    ),
    key(
        "notify.telegram",
        "api_base",
        "URL",
        "\"https://api.telegram.org\"",
        "Another bot server, such as your own.",
    ),
    key(
        "notify.mail",
        "smtp",
        "URL",
        "",
        "`smtps://user@host:465` (TLS) or `smtp://user@host:587` (STARTTLS, or nothing is sent; `?tls=none` at its end goes without, as does a server on this machine).",
    ),
    key(
        "notify.mail",
        "password",
        "secret",
        "",
        "Password for `smtp`; or `password_file`, `password_command`.",
    ),
    key(
        "notify.mail",
        "sendmail",
        "text",
        "",
        "A program that sends mail, by name or absolute path: called with `-i -t` and fed the mail on stdin, as sendmail is; `nullmailer-inject` and `mail`, known by their names, as they want it.",
    ),
    key("notify.mail", "from", "text", "", "Sender; required with `smtp`, else chosen by the program."),
    key("notify.mail", "to", "text or list of text", "", "Receivers."),
    key(
        "notify.mail",
        "subject",
        "text",
        "\"treeferry: {job}: {result}\"",
        "Subject: a template as `body` is one.",
    ),
    key("notify.webhook", "url", "secret", "", "Where to POST; or `url_file`, `url_command`."),
    key(
        "notify.webhook",
        "headers",
        "table of secrets",
        "{}",
        "Headers to send; instead of a text, `{ file = \"/…\" }` or `{ command = \"…\" }`.",
    ),
    key(
        "notify.webhook",
        "body",
        "secret",
        "\"\"",
        "Template of the body: `{job}`, `{result}`, `{subject}`, `{text}` and the fields of docs/notifications.md; the JSON summary when empty. Or `body_file`, `body_command`, of which all lines count.",
    ),
    key(
        "notify.healthcheck",
        "url",
        "secret",
        "",
        "The ping address, without `/start` and `/fail`; or `url_file`, `url_command`.",
    ),
];

/// The forms in which a secret may be given.
pub(super) const SECRET_FORMS: [&str; 3] = ["", "_file", "_command"];

/// The keys of one section.
pub(super) fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// All spellings that may stand in one section, subsections included.
pub(super) fn spellings_of(section: &str) -> Vec<String> {
    let mut spellings: Vec<String> = keys_of(section)
        .flat_map(|key| {
            let forms = if key.kind == "secret" { &SECRET_FORMS[..] } else { &SECRET_FORMS[..1] };
            forms.iter().map(|form| format!("{}{form}", key.name))
        })
        .collect();
    spellings.extend(
        match section {
            "" => &["scan", "rclone", "defaults", "job", "notify"][..],
            "job" => &["scan"],
            "notify" => &["telegram", "mail", "webhook", "healthcheck"],
            _ => &[],
        }
        .iter()
        .map(|&name| name.to_owned()),
    );
    spellings
}
