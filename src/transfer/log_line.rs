//! One line of rclone's log, read. Pure.

use serde::Deserialize;

/// True for a line of rclone's log that confirms something. For the fuzzer, which
/// feeds it any line.
#[doc(hidden)]
pub fn is_receipt(line: &str) -> bool {
    let line = LogLine::parse(line);
    !line.is_trouble() && line.receipt().is_some()
}

/// What rclone confirms by a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// `Copied (new)`, `Multi-thread Copied (replaced existing)`, ...
    Copied {
        /// By the server itself.
        server_side: bool,
    },
    /// `Moved (server-side)`.
    Moved,
    /// `Deleted`.
    Deleted,
    /// `Server side directory move succeeded`.
    DirectoryMoved,
}

/// One line of stderr. Lines that are no JSON (usage errors, the last words of
/// 1.60, panics) have an empty level and are all text.
#[derive(Debug, Default)]
pub(crate) struct LogLine {
    pub(crate) level: String,
    pub(crate) text: String,
    /// The path it is about, in the form of [`crate::transfer::names::as_logged`].
    pub(crate) object: Option<String>,
    pub(crate) stats: Option<Stats>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Stats {
    pub(crate) bytes: i64,
    pub(crate) checks: i64,
    pub(crate) deletes: i64,
    pub(crate) renames: i64,
    pub(crate) listed: i64,
    pub(crate) transfers: i64,
    pub(crate) speed: f64,
    pub(crate) server_side_moves: i64,
    pub(crate) server_side_copies: i64,
    pub(crate) transferring: Option<Vec<Transferring>>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Transferring {
    pub(crate) name: String,
    pub(crate) bytes: i64,
}

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    level: String,
    msg: String,
    object: Option<String>,
    stats: Option<serde_json::Value>,
}

impl LogLine {
    pub(crate) fn parse(line: &str) -> LogLine {
        let line = line.trim_end_matches(['\n', '\r']);
        match serde_json::from_str::<Json>(line) {
            Ok(json) => LogLine {
                level: json.level,
                text: json.msg,
                object: json.object.filter(|object| !object.is_empty()),
                // A figure of an unexpected type must not cost us the line.
                stats: json.stats.and_then(|stats| serde_json::from_value(stats).ok()),
            },
            Err(_) => LogLine { text: line.to_owned(), ..LogLine::default() },
        }
    }

    pub(crate) fn receipt(&self) -> Option<Receipt> {
        if !matches!(self.level.as_str(), "info" | "notice") {
            return None;
        }
        let text = self.text.strip_prefix("Multi-thread ").unwrap_or(&self.text);
        if let Some(kind) = text.strip_prefix("Copied (") {
            return Some(Receipt::Copied { server_side: kind.starts_with("server-side") });
        }
        match text {
            "Deleted" => Some(Receipt::Deleted),
            "Server side directory move succeeded" => Some(Receipt::DirectoryMoved),
            _ if text.starts_with("Moved (server-side)") => Some(Receipt::Moved),
            _ => None,
        }
    }

    /// True for lines that say that something went wrong, and for those that are
    /// no JSON: rclone's last words.
    pub(crate) fn is_trouble(&self) -> bool {
        self.stats.is_none()
            && match self.level.as_str() {
                "error" | "critical" | "fatal" | "panic" => true,
                "" => !self.text.trim().is_empty(),
                "notice" | "warning" => self.text.starts_with("Failed to "),
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_of_old_and_new_versions_are_understood() {
        let line = r#"{"time":"2026-11-22T09:31:08.8Z","level":"info","msg":"Copied (new)","size":100,"object":"a/three","objectType":"*local.Object","source":"operations/copy.go:382"}"#;
        let read = LogLine::parse(line);
        assert_eq!(read.object.as_deref(), Some("a/three"));
        assert_eq!(read.receipt(), Some(Receipt::Copied { server_side: false }));
        for (text, receipt) in [
            ("Copied (replaced existing)", Some(Receipt::Copied { server_side: false })),
            ("Multi-thread Copied (new) to: x", Some(Receipt::Copied { server_side: false })),
            ("Copied (server-side copy)", Some(Receipt::Copied { server_side: true })),
            ("Moved (server-side)", Some(Receipt::Moved)),
            ("Deleted", Some(Receipt::Deleted)),
            ("Skipped copy as --dry-run is set (size 1)", None),
        ] {
            let line = format!("{{\"level\":\"info\",\"msg\":\"{text}\",\"object\":\"one\"}}");
            assert_eq!(LogLine::parse(&line).receipt(), receipt, "{text}");
        }
    }

    #[test]
    fn an_error_that_quotes_a_receipt_is_none() {
        let line = r#"{"level":"error","msg":"Copied (new)","object":"x"}"#;
        assert_eq!(LogLine::parse(line).receipt(), None);
        assert!(LogLine::parse(line).is_trouble());
    }

    #[test]
    fn lines_that_are_no_json_are_kept_as_text() {
        let read = LogLine::parse("2026/11/22 09:31:50 Failed to copy: injected: 507\r\n");
        assert_eq!(read.text, "2026/11/22 09:31:50 Failed to copy: injected: 507");
        assert!(read.is_trouble() && read.receipt().is_none());
        assert!(!LogLine::parse("").is_trouble());
    }

    #[test]
    fn progress_is_read_and_odd_figures_are_tolerated() {
        let line = r#"{"level":"info","msg":"\nTransferred","stats":{"bytes":655369,"checks":0,"eta":null,"speed":360130.44,"transfers":3,"transferring":[{"bytes":327680,"name":"big1","percentage":54}]}}"#;
        let stats = LogLine::parse(line).stats;
        assert_eq!(stats.as_ref().map(|stats| (stats.bytes, stats.transfers)), Some((655_369, 3)));
        let odd = LogLine::parse(r#"{"level":"info","msg":"x","stats":{"bytes":"many"}}"#);
        assert_eq!((odd.text.as_str(), odd.stats.is_none()), ("x", true));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC*") {
            let _ = LogLine::parse(&line).receipt();
        }
    }
}
