//! Where text goes. A reader that has left (a closed pipe) is no error.

use super::arguments::Global;
use super::exit_status::ExitStatus;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use treeferry::model::TreePath;

/// How the user wants to be spoken to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Output { json: global.json, quiet: global.quiet, verbose: global.verbose }
    }

    /// True when a progress bar makes sense.
    pub(super) fn has_progress_bar(&self) -> bool {
        !self.json && !self.quiet && std::io::stderr().is_terminal()
    }

    /// A warning: on stderr, or as JSON line of its own.
    pub(super) fn warning(&self, message: &str) {
        if self.json {
            json_line(&json!({"message_type": "warning", "message": message}));
        } else if !self.quiet {
            to_stderr(&format!("warning: {message}\n"));
        }
    }

    /// Why the process ends with this status.
    pub(super) fn exit_error(&self, status: ExitStatus, message: &str) {
        if self.json {
            json_line(&json!({"message_type": "exit_error", "code": status.code(), "message": message}));
        } else {
            to_stderr(&format!("treeferry: {message}\n"));
        }
    }
}

pub(super) fn to_stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

pub(super) fn to_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

pub(super) fn json_line(value: &Value) {
    to_stdout(&format!("{value}\n"));
}

/// Puts a path into a JSON object: as text where it is text; else lossily, with
/// the bytes in hexadecimal beside it.
pub(super) fn put_path(object: &mut Value, key: &str, path: &TreePath) {
    match std::str::from_utf8(path.as_bytes()) {
        Ok(text) => object[key] = json!(text),
        Err(_) => {
            object[key] = json!(String::from_utf8_lossy(path.as_bytes()));
            let hexadecimal: String = path.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            object[format!("{key}_bytes")] = json!(hexadecimal);
        }
    }
}

/// Paths as a list of JSON objects with a `path` each.
pub(super) fn path_objects(paths: &[TreePath]) -> Vec<Value> {
    let object = |path| {
        let mut object = json!({});
        put_path(&mut object, "path", path);
        object
    };
    paths.iter().map(object).collect()
}

/// What comes from outside, made fit for one line: control characters are escaped.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_keep_their_bytes_in_json() {
        let mut object = json!({});
        put_path(&mut object, "item", &TreePath::from_bytes("图/a\n").unwrap());
        assert_eq!(object, json!({"item": "图/a\n"}));
        put_path(&mut object, "item", &TreePath::from_bytes(b"a\xff".to_vec()).unwrap());
        assert_eq!(object, json!({"item": "a\u{fffd}", "item_bytes": "61ff"}));
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(one_line("a\nb\x1b[31m 图"), "a\\nb\\u{1b}[31m 图");
    }
}
