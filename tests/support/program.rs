//! The built `treeferry`, with a configuration of its own.

use super::servers::dies_with_us;
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The user that tests become when they run as root: `nobody`.
const ORDINARY_USER: u32 = 65_534;

/// One `[[job]]`.
#[derive(Debug, Clone)]
pub struct Job {
    name: String,
    source: PathBuf,
    remote: String,
    keys: Vec<(String, String)>,
}

impl Job {
    /// A job with defaults for the rest.
    pub fn new(name: &str, source: &Path, remote: &str) -> Job {
        Job {
            name: name.to_owned(),
            source: source.to_path_buf(),
            remote: remote.to_owned(),
            keys: Vec::new(),
        }
    }

    /// Sets a key; `value` is TOML, strings with their quotes.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Job {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// What the configuration file says.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Where the program keeps its state.
    pub state_dir: PathBuf,
    /// `rclone.program`.
    pub rclone: PathBuf,
    /// `rclone.config`.
    pub rclone_configuration: PathBuf,
    /// `rclone.flags`.
    pub rclone_flags: Vec<String>,
    /// The jobs, in order.
    pub jobs: Vec<Job>,
}

impl Configuration {
    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "state_dir = {}\n\n[rclone]\nprogram = {}\nconfig = {}\nflags = [{}]\n",
            quoted(&self.state_dir.to_string_lossy()),
            quoted(&self.rclone.to_string_lossy()),
            quoted(&self.rclone_configuration.to_string_lossy()),
            self.rclone_flags.iter().map(|flag| quoted(flag)).collect::<Vec<_>>().join(", "),
        );
        for job in &self.jobs {
            text.push_str(&format!(
                "\n[[job]]\nname = {}\nsource = {}\nremote = {}\n",
                quoted(&job.name),
                quoted(&job.source.to_string_lossy()),
                quoted(&job.remote)
            ));
            for (key, value) in &job.keys {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        text
    }
}

/// A TOML string. JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// How to start the program.
#[derive(Debug, Clone)]
pub struct Program {
    binary: PathBuf,
    configuration: PathBuf,
    /// The folder that is handed to the ordinary user, if it must be one.
    ordinary: bool,
}

impl Program {
    /// The binary that cargo built, with the configuration file `configuration`.
    pub fn new(configuration: &Path) -> Program {
        Program {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_treeferry")),
            configuration: configuration.to_path_buf(),
            ordinary: false,
        }
    }

    /// From now on as an ordinary user, who owns everything in `world`. When the
    /// tests run as one already, nothing needs to be done.
    pub fn become_ordinary(&mut self, world: &Path) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        // The build may lie where only root can go.
        let copy = world.join("treeferry");
        if self.binary != copy {
            std::fs::copy(&self.binary, &copy).unwrap();
            self.binary = copy;
        }
        give_away(world);
        self.ordinary = true;
    }

    /// `treeferry --config … ARGUMENTS`, ready to be started. It dies with the test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = dies_with_us(&self.binary);
        if self.ordinary {
            command = Command::new("setpriv");
            command
                .args(["--reuid", &ORDINARY_USER.to_string(), "--regid", &ORDINARY_USER.to_string()])
                .args(["--clear-groups", "--pdeathsig", "KILL", "--"])
                .arg(&self.binary);
        }
        command.arg("--config").arg(&self.configuration).args(arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("RCLONE_") || text.starts_with("TREEFERRY_") || text == "AWS_CA_BUNDLE" {
                command.env_remove(&name);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::from(self.command(arguments).output().unwrap())
    }

    /// Starts, and comes back at once.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Makes everything below `folder` the ordinary user's.
pub fn give_away(folder: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(folder, Some(ORDINARY_USER), Some(ORDINARY_USER)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            give_away(&entry.path());
        } else {
            std::os::unix::fs::lchown(entry.path(), Some(ORDINARY_USER), Some(ORDINARY_USER)).unwrap();
        }
    }
}

/// Sets permission bits.
pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// How a run ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; for a signal, 128 and its number, as a shell says it.
    pub code: i32,
    /// The results.
    pub stdout: String,
    /// The progress and the complaints.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Finished {
        Finished {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default()),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// The JSON lines of this `message_type`, from either stream.
    pub fn messages(&self, message_type: &str) -> Vec<Value> {
        self.stdout
            .lines()
            .chain(self.stderr.lines())
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["message_type"] == message_type)
            .collect()
    }

    /// The summary of the only job.
    pub fn summary(&self) -> Value {
        let mut summaries = self.messages("summary");
        assert_eq!(summaries.len(), 1, "one summary was expected:\n{self}");
        summaries.remove(0)
    }

    /// A number of the only summary.
    pub fn number(&self, key: &str) -> u64 {
        let summary = self.summary();
        summary[key].as_u64().unwrap_or_else(|| panic!("the summary has no number {key}: {summary}"))
    }

    /// Asserts the exit code, and shows everything if it is another one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "another exit code was expected:\n{self}");
        self
    }

    /// Asserts that something was said, on either stream.
    #[track_caller]
    pub fn says(self, text: &str) -> Finished {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "nothing says {text:?}:\n{self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}
