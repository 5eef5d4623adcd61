//! Real servers on loopback, each on a free port, each ended by the id that was
//! started, also when the test dies.

use super::tool;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The two ends of what is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rclone {
    /// The newest that the tests know.
    Current,
    /// 1.60.1, as in Debian 12 and 13.
    Oldest,
}

impl Rclone {
    /// Both, for tests that must hold with either.
    pub const BOTH: [Rclone; 2] = [Rclone::Current, Rclone::Oldest];

    /// Where it lies.
    pub fn program(self) -> PathBuf {
        tool(match self {
            Rclone::Current => "rclone-current/rclone",
            Rclone::Oldest => "rclone-1.60.1/rclone",
        })
    }

    /// A call that cannot see the user's configuration or environment.
    pub fn command(self, configuration: &Path) -> Command {
        let mut command = Command::new(self.program());
        command.arg("--config").arg(configuration).env_remove("AWS_CA_BUNDLE").stdin(Stdio::null());
        command
    }
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `rclone serve webdav`.
    Webdav,
    /// WsgiDAV: WebDAV by other people.
    Wsgidav,
    /// `rclone serve s3`; buckets are the folders on top.
    S3,
    /// `rclone serve sftp`.
    Sftp,
}

const USER: &str = "treeferry";
const PASSWORD: &str = "ferry-over-the-river";

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// What it serves.
    pub folder: PathBuf,
    log: PathBuf,
    // Caches and keys that must not land in the user's home.
    _home: tempfile::TempDir,
}

impl Server {
    /// Starts one on `folder` and waits until it answers. `rclone` matters for
    /// WebDAV and SFTP; S3 is always served by the current one, because the
    /// oldest cannot.
    pub fn start(protocol: Protocol, rclone: Rclone, folder: &Path) -> Server {
        // Between finding a free port and listening on it, somebody else may take it.
        for _ in 0..5 {
            if let Some(server) = Server::try_start(protocol, rclone, folder) {
                return server;
            }
        }
        panic!("no {protocol:?} server would start on {}", folder.display());
    }

    fn try_start(protocol: Protocol, rclone: Rclone, folder: &Path) -> Option<Server> {
        std::fs::create_dir_all(folder).unwrap();
        let home = super::scratch();
        let port = free_port();
        let log = home.path().join("log");
        let output = std::fs::File::create(&log).unwrap();
        let child = server_command(protocol, rclone, folder, port)
            .env("HOME", home.path())
            .env("XDG_CACHE_HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Server { child, protocol, port, folder: folder.to_path_buf(), log, _home: home };
        server.answers_soon().then_some(server)
    }

    fn answers_soon(&mut self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let patience = Instant::now() + Duration::from_secs(30);
        while Instant::now() < patience {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{:?} does not answer: {}", self.protocol, self.output());
    }

    /// What the server said so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The lines of an rclone remote that reaches this server, on `port` (its
    /// own, or that of a proxy in front).
    pub fn remote_settings(&self, port: u16) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        match self.protocol {
            Protocol::Webdav | Protocol::Wsgidav => vec![
                ("type", text("webdav")),
                ("url", format!("http://127.0.0.1:{port}")),
                ("vendor", text("other")),
            ],
            Protocol::S3 => vec![
                ("type", text("s3")),
                ("provider", text("Other")),
                ("access_key_id", text(USER)),
                ("secret_access_key", text(PASSWORD)),
                ("endpoint", format!("http://127.0.0.1:{port}")),
            ],
            Protocol::Sftp => vec![
                ("type", text("sftp")),
                ("host", text("127.0.0.1")),
                ("port", port.to_string()),
                ("user", text(USER)),
                ("pass", obscured(PASSWORD)),
            ],
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL to exactly the process that was started; reaping it frees the port.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server_command(protocol: Protocol, rclone: Rclone, folder: &Path, port: u16) -> Command {
    let address = format!("127.0.0.1:{port}");
    let rclone = if protocol == Protocol::S3 { Rclone::Current } else { rclone };
    let (program, arguments): (PathBuf, Vec<String>) = match protocol {
        Protocol::Webdav => (rclone.program(), vec!["serve".into(), "webdav".into()]),
        Protocol::Sftp => (
            rclone.program(),
            // Other SFTP servers keep no image of the disk that could be wrong for five minutes.
            ["serve", "sftp", "--user", USER, "--pass", PASSWORD, "--dir-cache-time", "1s"]
                .map(String::from)
                .to_vec(),
        ),
        Protocol::S3 => (
            rclone.program(),
            vec!["serve".into(), "s3".into(), "--auth-key".into(), format!("{USER},{PASSWORD}")],
        ),
        Protocol::Wsgidav => (
            tool("wsgidav"),
            ["--host=127.0.0.1", &format!("--port={port}"), "--auth=anonymous", "--no-config", "-q"]
                .map(String::from)
                .to_vec(),
        ),
    };
    let mut command = dies_with_us(&program);
    command.args(arguments);
    if protocol == Protocol::Wsgidav {
        command.arg("--root").arg(folder);
    } else {
        command.args(["--config", "/dev/null", "--addr", &address]).arg(folder);
    }
    command
}

/// A command whose process gets SIGKILL when the thread that started it ends.
///
/// By `setpriv` (util-linux, on every Linux) and not by `pre_exec`, so that the
/// tests need no `unsafe`. It execs, so the id stays the one that was started.
pub fn dies_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn obscured(password: &str) -> String {
    let output = Command::new(Rclone::Current.program()).args(["obscure", password]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An `rclone.conf` of one test.
pub struct RcloneConfiguration {
    /// Where it lies.
    pub path: PathBuf,
}

impl RcloneConfiguration {
    /// A new one in `folder`, with the remote `local:`.
    pub fn new(folder: &Path) -> RcloneConfiguration {
        let configuration = RcloneConfiguration { path: folder.join("rclone.conf") };
        std::fs::write(&configuration.path, "").unwrap();
        configuration.add("local", &[("type", "local".to_owned())]);
        configuration
    }

    /// Adds the remote `name:`.
    pub fn add(&self, name: &str, settings: &[(&str, String)]) {
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.path).unwrap();
        writeln!(file, "[{name}]").unwrap();
        for (key, value) in settings {
            writeln!(file, "{key} = {value}").unwrap();
        }
        writeln!(file).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::scratch;

    fn a_file_goes_there_and_back(protocol: Protocol, server_rclone: Rclone, client: Rclone) {
        let scratch = scratch();
        let server = Server::start(protocol, server_rclone, &scratch.path().join("served"));
        let configuration = RcloneConfiguration::new(scratch.path());
        configuration.add("remote", &server.remote_settings(server.port));
        let source = scratch.path().join("source");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("name with space"), "content").unwrap();

        let copied = client
            .command(&configuration.path)
            .arg("copy")
            .args([source.as_os_str(), "remote:bucket/folder".as_ref()])
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let read = client
            .command(&configuration.path)
            .args(["cat", "remote:bucket/folder/name with space"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout), "content");
    }

    #[test]
    fn every_server_takes_a_file_from_either_rclone_and_gives_it_back() {
        for client in Rclone::BOTH {
            for protocol in [Protocol::Webdav, Protocol::Wsgidav, Protocol::S3, Protocol::Sftp] {
                a_file_goes_there_and_back(protocol, Rclone::Current, client);
            }
            a_file_goes_there_and_back(Protocol::Webdav, Rclone::Oldest, client);
        }
    }

    #[test]
    fn a_dropped_server_is_gone() {
        let scratch = scratch();
        let server = Server::start(Protocol::Webdav, Rclone::Current, scratch.path());
        let port = server.port;
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "still listening on port {port}");
    }
}
