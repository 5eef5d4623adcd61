//! `plan --excluded`: the names that the rules leave out, as result on stdout.

use super::super::output::{json_line, one_line, put_path, to_stdout};
use serde_json::json;
use treeferry::observe::{Counter, Event, Observer};

/// Prints one line per name.
pub(in super::super) struct ExcludedList {
    pub(in super::super) json: bool,
}

impl Observer for ExcludedList {
    fn event(&self, event: &Event<'_>) {
        let Event::Excluded { path, rule } = event else { return };
        if self.json {
            let mut line = json!({"message_type": "excluded", "rule": rule});
            put_path(&mut line, "item", path);
            json_line(&line);
        } else {
            to_stdout(&format!("excluded {path}  (by {})\n", one_line(rule)));
        }
    }

    fn count(&self, _counter: Counter, _amount: u64) {}
}
