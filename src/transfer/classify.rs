//! From rclone's words to the kind of trouble. Pure; the one table.

use crate::model::{Failure, FailureClass};
use crate::transfer::without_credentials;

/// What came is not what the remote's own hash says it holds. It may be the hash that is old. (`sizes differ`
/// is another matter: half of it came, or a folder lies in the file's place.)
pub fn is_corrupted(failure: &Failure) -> bool {
    failure.reason.contains("corrupted on transfer") && failure.reason.contains("hashes differ")
}

/// rclone's configuration has no such remote, or rclone no such backend: no request was sent.
pub fn is_unknown_remote(failure: &Failure) -> bool {
    UNKNOWN_REMOTE.iter().any(|words| failure.reason.contains(words))
}

/// rclone's configuration is encrypted, and it was not given the right password.
pub fn is_locked_configuration(failure: &Failure) -> bool {
    let reason = failure.reason.to_lowercase();
    LOCKED_CONFIGURATION.iter().any(|words| reason.contains(words))
}

/// 413: the remote, or a proxy before it, takes no file of this size. It takes others.
pub fn is_too_large(failure: &Failure) -> bool {
    failure.class == FailureClass::File && contains(&failure.reason, "413")
}

/// 403: nobody is let in, or this one file is not given out (an archived one of S3, one that a cloud
/// has blocked). Which of the two, the others tell.
pub fn is_forbidden(failure: &Failure) -> bool {
    failure.class == FailureClass::File && says_forbidden(&failure.reason)
}

/// What a remote may say of one path, and not of others: whether it does, only a look elsewhere tells.
pub fn is_refusal(failure: &Failure) -> bool {
    let reason = failure.reason.to_lowercase();
    let is_remote = matches!(class_of(&reason), FailureClass::File | FailureClass::RemoteUnwell);
    let is_pace = PACE.iter().any(|word| contains(&reason, word));
    let is_said =
        has_status(&reason) || ["permission denied", FOLDER_HERE].iter().any(|w| reason.contains(w));
    is_remote && !is_pace && is_said
}

/// True for what time may mend: asked again after a wait, the remote may answer.
pub fn may_pass(failure: &Failure) -> bool {
    failure.class == FailureClass::RemoteUnwell && class_of(&failure.reason) == FailureClass::RemoteUnwell
}

/// Somebody answered, if only with an error: the remote is not away.
pub fn is_answered(failure: &Failure) -> bool {
    has_status(&failure.reason)
}

/// Said of a path at which a folder lies instead of a file.
pub(crate) const FOLDER_HERE: &str = "is a directory not a file";

/// Asking for single paths would be more of what they complain of.
const PACE: [&str; 6] = ["429", "509", "slowdown", "rate limit", "ratelimit", "too many requests"];

/// What servers answer with, but for 401 and 507, which have a class of their own.
const STATUSES: [&str; 31] = [
    "400", "402", "403", "404", "405", "406", "408", "409", "410", "411", "412", "413", "414", "415", "417",
    "418", "421", "422", "423", "424", "425", "426", "428", "429", "431", "451", "500", "501", "502", "503",
    "504",
];
const RARE_STATUSES: [&str; 5] = ["505", "506", "508", "509", "511"];

fn has_status(text: &str) -> bool {
    STATUSES.iter().chain(&RARE_STATUSES).any(|status| contains(text, status))
}

const LOCKED_CONFIGURATION: [&str; 3] =
    ["not allowed to ask for password", "unable to decrypt configuration", "couldn't decrypt configuration"];

const UNKNOWN_REMOTE: [&str; 2] = ["didn't find section in config file", "didn't find backend called"];

const REASON_CHARACTERS_MAX: usize = 300;
const FIRST_LINE_CHARACTERS_MAX: usize = 60;

/// Read from the top, the first that is found in the text (in lower case) wins.
const TABLE: &[(FailureClass, &[&str])] = &[
    (
        FailureClass::Rclone,
        &[
            "not allowed to ask for password",
            "unable to decrypt configuration",
            "didn't find section in config file",
            "didn't find backend called",
            "unknown flag",
            "unknown shorthand flag",
            "unknown command",
            "flag needs an argument",
            "invalid argument",
            "failed to initialise global options",
            "failed to load config",
            "unsupported transport",
            "couldn't decode",
            "couldn't decrypt",
        ],
    ),
    (
        FailureClass::Authentication,
        &[
            "401",
            "unauthorized",
            "couldn't login",
            "couldn't log in",
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "invalid_grant",
            "expired token",
            "token expired",
            "expiredtoken",
            "invalid credentials",
            "unable to authenticate",
            "authentication failed",
            "bad password",
            "empty token found",
            "too many unsuccessful sign-in attempts",
        ],
    ),
    (
        FailureClass::RemoteFull,
        &[
            "507",
            "insufficient storage",
            "quota",
            "no space left",
            "disk full",
            "out of space",
            "not enough space",
            // What rclone says of a local disk before it writes a byte (`--local-no-preallocate` unset).
            "too big for remaining disk space",
            "storage limit",
            "storagelimit",
            "insufficient space",
            "capacity exceeded",
            "空间不足",
            "容量不足",
        ],
    ),
    (
        FailureClass::RemoteUnwell,
        &[
            "connection refused",
            "connection reset",
            "no such host",
            "network is unreachable",
            "no route to host",
            "timeout",
            "timed out",
            "deadline exceeded",
            "eof",
            "broken pipe",
            "tls",
            "x509",
            "405",
            "408",
            "423",
            "429",
            "500",
            "502",
            "503",
            "504",
            "509",
            "too many requests",
            "internal server error",
            "bad gateway",
            "service unavailable",
            "gateway",
            "slowdown",
            "rate limit",
            "ratelimit",
            "locked",
            // An answer that is not what its headers promise: a page of a proxy, or half of it.
            "xml syntax error",
            "expected element type",
            "looking for beginning of",
            "after top-level value",
            "unexpected end of json input",
            "gzip: invalid",
            "zlib: invalid",
            "flate: corrupt input",
            "malformed http",
            "malformed mime header",
            "malformed chunked encoding",
            "invalid chunk length",
        ],
    ),
];

/// What kind of trouble these words tell of.
///
/// A bare number counts only where it stands alone, so that a file called
/// `img_5070.jpg` is not a full disk.
pub(crate) fn class_of(text: &str) -> FailureClass {
    let text = text.to_lowercase();
    TABLE
        .iter()
        .find(|(_, words)| words.iter().any(|word| contains(&text, word)))
        .map_or(FailureClass::File, |&(class, _)| class)
}

/// What rclone says of `name`, without the name: a file called `quota exceeded.txt` is no full
/// disk. Addresses go whole (they hold it in another writing), and the name only where it stands as a path:
/// for a file that is called `500`, or a blank, the rest of the words counts.
pub(crate) fn without_name(text: &str, name: &str) -> String {
    let mut words = without_addresses(text);
    if name.is_empty() {
        return words;
    }
    for before in ['/', '"', '\'', '`'] {
        words = words.replace(&format!("{before}{name}"), &before.to_string());
    }
    words
}

fn without_addresses(text: &str) -> String {
    let mut pieces = text.split('"');
    let mut words = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        words.push('"');
        words.push_str(if piece.contains("://") { "" } else { piece });
    }
    words
}

/// As [`class_of`], for words that come with no path: then it is not one file.
/// A 403 before anything was sent means that nobody lets us in; a 403 for one
/// path may be a name that the remote refuses.
pub(crate) fn class_of_all(text: &str) -> FailureClass {
    match class_of(text) {
        FailureClass::File if says_forbidden(text) => FailureClass::Authentication,
        // The last word of a command that did work on single files.
        FailureClass::File if is_about_a_file(text) => FailureClass::File,
        // Whatever a server answers is not the fault of rclone.
        FailureClass::File if has_status(text) => FailureClass::RemoteUnwell,
        FailureClass::File => FailureClass::Rclone,
        class => class,
    }
}

/// 403: this name, or all of them, are not allowed.
pub(crate) fn says_forbidden(text: &str) -> bool {
    contains(text, "403")
}

/// The file is there, and reading it is not allowed.
pub(crate) fn says_no_permission(text: &str) -> bool {
    says_forbidden(text) || text.to_lowercase().contains("permission denied")
}

/// 403 of a whole command: a closed door, if it is not about one of its paths.
pub(crate) fn is_closed_door(failure: &Failure) -> bool {
    failure.class == FailureClass::Authentication
        && says_forbidden(&failure.reason)
        && class_of(&failure.reason) != FailureClass::Authentication
}

/// The request may have been carried out: the answer did not come.
pub(crate) fn says_no_answer(text: &str) -> bool {
    let text = text.to_lowercase();
    ["timeout", "timed out", "deadline exceeded", "eof", "connection reset", "broken pipe"]
        .iter()
        .any(|word| contains(&text, word))
}

/// rclone says that there is no such file or folder.
pub(crate) fn says_absent(text: &str) -> bool {
    let text = text.to_lowercase();
    ["directory not found", "object not found", "no such file or directory", "404 not found", "nosuchbucket"]
        .iter()
        .any(|word| text.contains(word))
}

fn contains(text: &str, word: &str) -> bool {
    let whole = word.bytes().all(|byte| byte.is_ascii_digit()) || matches!(word, "eof" | "tls");
    text.match_indices(word).any(|(at, _)| {
        !whole || {
            let alone = |neighbour: Option<char>| {
                !neighbour.is_some_and(|neighbour| {
                    neighbour.is_alphanumeric() || matches!(neighbour, '_' | '-' | '/' | '.')
                })
            };
            let after = text[at + word.len()..].chars().next();
            alone(text[..at].chars().next_back()) && (alone(after) || after == Some('.'))
        }
    })
}

/// A failure in rclone's words.
pub(crate) fn failure(class: FailureClass, text: &str) -> Failure {
    Failure { class, reason: shortened(&without_credentials(text)) }
}

/// One line, not too long: a message can hold a whole HTML page.
pub(crate) fn shortened(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().count() > REASON_CHARACTERS_MAX {
            line = line.chars().take(REASON_CHARACTERS_MAX).collect();
            line.push('…');
            break;
        }
    }
    line
}

/// How a text begins: for what may be anything, and not one line at all.
pub(crate) fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    match line.char_indices().nth(FIRST_LINE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn is_about_a_file(text: &str) -> bool {
    ["Failed to copy: ", "Failed to move: ", "Failed to delete: "].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hash_that_differs_is_corruption() {
        let says = |reason: &str| is_corrupted(&failure(FailureClass::File, reason));
        assert!(says(
            "Failed to copy: corrupted on transfer: md5 hashes differ src \"92e2\" vs dst \"fba2\""
        ));
        assert!(!says("corrupted on transfer: sizes differ src(webdav root 'm') 9 vs dst(Local) 0"));
    }

    #[test]
    fn words_seen_on_the_wire_fall_into_their_class() {
        use FailureClass::*;
        for (text, class) in [
            (
                "Failed to copy: unchunked simple update failed: injected: 507 Insufficient Storage",
                RemoteFull,
            ),
            (
                "Failed to copy: googleapi: Error 403: The user's Drive storage quota has been exceeded",
                RemoteFull,
            ),
            ("Failed to copy: preallocate: file too big for remaining disk space", RemoteFull),
            ("read metadata failed: Unauthorized: 401 Unauthorized", Authentication),
            ("api error InvalidAccessKeyId: The Access Key Id you provided", Authentication),
            ("dial tcp 127.0.0.1:1: connect: connection refused", RemoteUnwell),
            ("Failed to copy: Locked: 423 Locked", RemoteUnwell),
            ("Method Not Allowed: 405 Method Not Allowed", RemoteUnwell),
            ("Post \"http://h/x\": EOF", RemoteUnwell),
            ("read metadata failed: gzip: invalid header", RemoteUnwell),
            ("error listing: flate: corrupt input before offset 5", RemoteUnwell),
            (
                "Propfind \"http://h/x\": net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"x\"",
                RemoteUnwell,
            ),
            ("invalid character 'o' looking for beginning of value", RemoteUnwell),
            ("expected element type <multistatus> but have <html>", RemoteUnwell),
            ("Failed to copy: open /s/x: permission denied", File),
            ("Failed to copy: Forbidden: 403 Forbidden", File),
            ("Failed to copy: open /srv/img_507.jpg: file name too long", File),
            ("unable to decrypt configuration and not allowed to ask for password", Rclone),
            ("didn't find section in config file (\"nosuch\")", Rclone),
        ] {
            assert_eq!(class_of(text), class, "{text}");
        }
        assert_eq!(class_of_all("couldn't do it: 403 Forbidden"), Authentication);
        assert_eq!(class_of_all("something new"), Rclone);
        for status in ["400", "406", "409", "410", "412", "413", "415", "418", "422", "451", "501", "508"] {
            let text = format!("Failed to lsjson: read metadata failed: fault: {status} Fault");
            assert_eq!(class_of_all(&text), RemoteUnwell, "{text}");
        }
        assert_eq!(class_of_all("Failed to copy: Conflict: 409 Conflict"), File);
    }

    #[test]
    fn a_name_is_not_taken_for_trouble_and_takes_none_away() {
        use FailureClass::*;
        for (text, name, class) in [
            ("open /s/quota exceeded.txt: permission denied", "quota exceeded.txt", File),
            ("Failed to copy: open /s/429: permission denied", "429", File),
            ("Failed to copy: 429 Too Many Requests", "429", RemoteUnwell),
            ("Failed to copy: Method Not Allowed: 405 Method Not Allowed", "405", RemoteUnwell),
            ("Failed to copy: 429 Too Many Requests", " ", RemoteUnwell),
            ("Failed to copy: Unauthorized: 401 Unauthorized", "a", Authentication),
            ("Put \"http://h/m/disk%20full/x\": context canceled", "disk full/x", File),
            ("Put \"http://h/m/500\": EOF", "500", RemoteUnwell),
        ] {
            assert_eq!(class_of(&without_name(text, name)), class, "{text}");
        }
    }

    #[test]
    fn the_beginning_of_garbage_is_short() {
        assert_eq!(first_line("\n  rclone v1.75\n- os"), "rclone v1.75");
        let cut = first_line(&"\u{fffd}".repeat(5000));
        assert_eq!(cut.chars().count(), FIRST_LINE_CHARACTERS_MAX + 1);
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn only_a_size_that_is_refused_is_too_large() {
        let says = |reason: &str| is_too_large(&failure(class_of(reason), reason));
        assert!(says("Failed to copy: Request Entity Too Large: 413 Request Entity Too Large"));
        assert!(!says("Failed to copy: open /srv/img_413.jpg: permission denied"));
        assert!(!says("Failed to copy: Forbidden: 403 Forbidden"));
    }

    #[test]
    fn what_may_be_meant_for_one_path_is_told_from_what_is_said_to_all() {
        let says = |text: &str| is_refusal(&failure(class_of_all(text), text));
        for status in ["403 Forbidden", "409 Conflict", "423 Locked", "405 Not Allowed", "500 Oops"] {
            assert!(says(&format!("Failed to lsjson: read metadata failed: {status}")), "{status}");
        }
        assert!(says("Failed to lsjson: is a directory not a file"));
        for text in ["401 Unauthorized", "507 Insufficient Storage", "429 Too Many Requests", "EOF"] {
            assert!(!says(&format!("Failed to lsjson: read metadata failed: {text}")), "{text}");
        }
        let passes = |text: &str| may_pass(&failure(class_of_all(text), text));
        assert!(passes("read metadata failed: 423 Locked") && passes("connect: connection refused"));
        assert!(!passes("read metadata failed: 409 Conflict") && !passes("403 Forbidden"));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let page = "<html>\n".repeat(1000);
        let reason = failure(FailureClass::File, &page).reason;
        assert!(reason.chars().count() < 320 && !reason.contains('\n'));
    }
}
