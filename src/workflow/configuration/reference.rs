//! `docs/configuration.md`, from the table of keys.

use super::keys::{SECTIONS, keys_of};
use std::fmt::Write as _;

const HEAD: &str = "# Configuration

<!-- Made from the code: UPDATE_DOCS=1 cargo test --lib configuration_reference -->

One TOML file: `--config FILE`, else `$TREEFERRY_CONFIG`, else `$XDG_CONFIG_HOME/treeferry/config.toml`
(`~/.config` when that is not set), else `/etc/treeferry/config.toml`. `treeferry init` writes one with comments,
`treeferry config validate` checks it, `treeferry config show` prints what is in force, without secrets.

An unknown key is an error. Sizes are written `10M`, `1.5G` (powers of 1024), durations `36h`, `2d`, `1h30m`.
A *secret* `x` may be given as `x` (the value), `x_file` (absolute path; the first line counts) or `x_command`
(run by `/bin/sh -c`; the first line printed counts).

Mirrors and companions of all jobs must be apart: none may be, or lie in, another one.
";

/// The reference of all keys, as Markdown.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for (section, heading) in SECTIONS {
        let (title, note) = heading.split_once(": ").unwrap_or((heading, ""));
        let note = if note.is_empty() { String::new() } else { format!("{note}.\n\n") };
        let _ = write!(text, "\n## {title}\n\n{note}| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in keys_of(section) {
            let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            let _ = writeln!(text, "| `{}` | {} | {default} | {} |", key.name, key.kind, key.meaning);
        }
    }
    text
}
