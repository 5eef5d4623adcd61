//! Where secrets come from, and addresses that hold one.

use super::masks::MASK;
use super::program;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a command may take to tell a secret.
pub(super) const SECRET_LIMIT: Duration = Duration::from_secs(20);

/// Something that must not be shown: given as it is, in a file, or by a command.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret itself.
    Value(String),
    /// The first line of this file.
    File(PathBuf),
    /// The first line that `/bin/sh -c` prints for this text.
    Command(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Value(_) => f.write_str("Value(***)"),
            Secret::File(file) => f.debug_tuple("File").field(file).finish(),
            Secret::Command(_) => f.write_str("Command(***)"),
        }
    }
}

/// A secret could not be had. Neither it nor the command is in the message.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("reading the secret from {file}: {source}; make it readable for the user that runs the backup")]
    File {
        /// Which.
        file: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Nothing is there.
    #[error("the secret from {from} is empty: {what}")]
    Empty {
        /// Where.
        from: String,
        /// What should be.
        what: &'static str,
    },
    /// The command failed.
    #[error("the command for a secret {0}; try it in a shell, as the user that runs the backup")]
    Command(String),
}

impl Secret {
    /// The secret itself: the first line, without blanks around it. A command
    /// may take `limit`.
    ///
    /// # Errors
    /// When the file or the command gives none.
    pub fn reveal(&self, limit: Duration) -> Result<String, SecretError> {
        let (text, from) = match self {
            Secret::Value(value) => return Ok(value.clone()),
            Secret::File(_) | Secret::Command(_) => self.read(limit)?,
        };
        match text.lines().next().unwrap_or_default().trim() {
            "" => Err(SecretError::Empty { from, what: "its first line must hold it" }),
            line => Ok(line.to_owned()),
        }
    }

    /// All lines of it, without the end of the last one: for what is more than a word.
    ///
    /// # Errors
    /// As [`Secret::reveal`].
    pub fn reveal_lines(&self, limit: Duration) -> Result<String, SecretError> {
        let (text, from) = self.read(limit)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(SecretError::Empty { from, what: "it must hold the text" }),
            lines => Ok(lines.to_owned()),
        }
    }

    /// What is there, and where it was read.
    fn read(&self, limit: Duration) -> Result<(String, String), SecretError> {
        Ok(match self {
            Secret::Value(value) => (value.clone(), "the configuration".to_owned()),
            Secret::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|source| SecretError::File { file: file.clone(), source })?;
                (text, file.display().to_string())
            }
            Secret::Command(text) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(text);
                let ended = program::run(shell, Vec::new(), limit).map_err(SecretError::Command)?;
                if !ended.status.success() {
                    return Err(SecretError::Command(format!("ended with {}", ended.status)));
                }
                (String::from_utf8_lossy(&ended.stdout).into_owned(), "its command".to_owned())
            }
        })
    }
}

/// Of `scheme://user:password@host`. All up to the last `@` counts, as in
/// [`check_login_of_address`]'s refusal.
pub(super) fn user_and_password(url: &str) -> Option<(&str, Option<&str>)> {
    let start = url.find("://")? + 3;
    let user_info = &url[start..start + url[start..].rfind('@')?];
    Some(match user_info.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (user_info, None),
    })
}

/// Whether user and password of an address end where everybody takes them to end. Behind an
/// unencoded `/`, `?` or `#` they would be a path, and their beginning the host.
///
/// # Errors
/// Says how to write them, without quoting the address.
pub fn check_login_of_address(url: &str) -> Result<(), String> {
    let login = url.rfind('@').map_or("", |at| &url[..at]);
    let login = login.split_once("://").map_or(login, |(_, login)| login);
    if login.contains(['/', '?', '#']) {
        return Err(
            "has a /, # or ? before its last @: write / as %2F, # as %23, ? as %3F in user and password \
                    (and an @ behind the host as %40)"
                .into(),
        );
    }
    Ok(())
}

/// The address with its password masked.
pub(super) fn without_password(url: &str) -> String {
    match user_and_password(url) {
        Some((user, Some(password))) => {
            url.replacen(&format!("{user}:{password}@"), &format!("{user}:{MASK}@"), 1)
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_secret_comes_by_value_by_file_and_by_command() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "  to:ken\r\nsecond line\n").unwrap();
        assert_eq!(Secret::Value(" a ".into()).reveal(LIMIT).unwrap(), " a ");
        assert_eq!(Secret::File(file.clone()).reveal(LIMIT).unwrap(), "to:ken");
        let command = format!("cat '{}'", file.display());
        assert_eq!(Secret::Command(command).reveal(LIMIT).unwrap(), "to:ken");
    }

    #[test]
    fn a_secret_that_cannot_be_had_says_why_and_shows_neither_it_nor_its_command() {
        let failing = Secret::Command("echo hunter2; echo hunter2 >&2; exit 3".into());
        let told = failing.reveal(LIMIT).unwrap_err().to_string();
        assert!(told.contains("exit status: 3") && !told.contains("hunter2"), "{told}");
        let told = Secret::Command("echo hunter2; sleep 60".into()).reveal(Duration::from_millis(300));
        let told = told.unwrap_err().to_string();
        assert!(told.contains("no end after") && !told.contains("hunter2"), "{told}");
        let told = Secret::Command("true".into()).reveal(LIMIT).unwrap_err().to_string();
        assert!(told.contains("is empty"), "{told}");
        let told = Secret::File("/nowhere/token".into()).reveal(LIMIT).unwrap_err().to_string();
        assert!(told.contains("/nowhere/token: No such file"), "{told}");
    }

    #[test]
    fn what_is_more_than_a_word_comes_with_all_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("body");
        std::fs::write(&file, " {\n \"token\": 1}\n\n").unwrap();
        assert_eq!(Secret::File(file.clone()).reveal_lines(LIMIT).unwrap(), " {\n \"token\": 1}");
        std::fs::write(&file, "\n").unwrap();
        let told = Secret::File(file).reveal_lines(LIMIT).unwrap_err().to_string();
        assert!(told.contains("it must hold the text"), "{told}");
    }

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        assert_eq!(without_password("smtps://me:se:c@ret@host:465/x"), "smtps://me:***@host:465/x");
        assert_eq!(without_password("smtps://me@host"), "smtps://me@host");
        assert_eq!(without_password("socks5://u:hunter2/x@h:9"), "socks5://u:***@h:9");
    }

    #[test]
    fn a_password_that_would_be_a_path_is_refused_without_a_word_of_it() {
        for address in ["socks5://u:hunter2/x@h:9", "smtps://me:25#hunter2@h", "http://u:hunter2?@h"] {
            let reason = check_login_of_address(address).unwrap_err();
            assert!(reason.contains("%2F") && !reason.contains("hunter2"), "{reason}");
        }
        for address in
            ["socks5://u:a%2Fb@h:9", "smtp://h?tls=none", "https://h/path", "http://u:p@h/x?y#z", ""]
        {
            assert_eq!(check_login_of_address(address), Ok(()), "{address}");
        }
    }
}
