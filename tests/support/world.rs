//! One backup of a test: source, remote, state and configuration in a folder of
//! its own, and an rclone that is watched.

use super::mirror::{self, Remote};
use super::program::{Configuration, Finished, Job, Program, chmod, give_away};
use super::proxy::Proxy;
use super::servers::{Protocol, Rclone, RcloneConfiguration, Server};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything one scenario needs. Build it, plant a tree in [`World::source`],
/// and run the program.
pub struct World {
    scratch: tempfile::TempDir,
    /// What the configuration says; change it, then [`World::write_configuration`].
    pub configuration: Configuration,
    /// The program.
    pub program: Program,
    /// Which rclone it uses.
    pub rclone: Rclone,
    /// rclone's configuration.
    pub rclone_configuration: RcloneConfiguration,
    /// In front of the server; none for a local remote and for SFTP.
    pub proxy: Option<Proxy>,
    // Dropped after the proxy.
    server: Option<Server>,
}

/// The name of the only job of a world.
pub const JOB: &str = "photos";

impl World {
    /// A remote that is a folder, on disk: what a scan sees there is what users see.
    pub fn local(rclone: Rclone) -> World {
        World::new(super::scratch(), rclone, None)
    }

    /// A remote that is a folder, for trees of many files.
    pub fn local_in_memory(rclone: Rclone) -> World {
        World::new(super::scratch_in_memory(), rclone, None)
    }

    /// A remote on a server, with a proxy in front.
    pub fn served(protocol: Protocol, rclone: Rclone) -> World {
        World::new(super::scratch_in_memory(), rclone, Some(protocol))
    }

    fn new(scratch: tempfile::TempDir, rclone: Rclone, protocol: Option<Protocol>) -> World {
        chmod(scratch.path(), 0o755);
        let root = scratch.path().to_path_buf();
        // A bucket, for S3; a folder for all others.
        let held = root.join("remote/backup");
        for folder in [root.join("source"), root.join("state"), held.clone()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let rclone_configuration = RcloneConfiguration::new(&root);
        let server = protocol.map(|protocol| Server::start(protocol, Rclone::Current, &root.join("remote")));
        // SFTP is no HTTP: nothing can count it.
        let speaks_http = server.as_ref().filter(|server| server.protocol != Protocol::Sftp);
        let proxy = speaks_http.map(|server| Proxy::start(server.port));
        let remote = match &server {
            Some(server) => {
                let port = proxy.as_ref().map_or(server.port, |proxy| proxy.port);
                rclone_configuration.add("remote", &server.remote_settings(port));
                format!("remote:backup/{JOB}")
            }
            None => format!("local:{}/{JOB}", held.display()),
        };
        let configuration = Configuration {
            state_dir: root.join("state"),
            rclone: watched_rclone(&root, &rclone.program()),
            rclone_configuration: rclone_configuration.path.clone(),
            rclone_flags: vec!["--transfers=4".to_owned()],
            jobs: vec![Job::new(JOB, &root.join("source"), &remote)],
        };
        let program = Program::new(&root.join("config.toml"));
        let world = World { scratch, configuration, program, rclone, rclone_configuration, proxy, server };
        world.write_configuration();
        world
    }

    /// The folder of the whole world.
    pub fn root(&self) -> &Path {
        self.scratch.path()
    }

    /// What is backed up.
    pub fn source(&self) -> PathBuf {
        self.root().join("source")
    }

    /// The folder in which the mirror lies, behind server or not.
    pub fn mirror(&self) -> PathBuf {
        self.root().join("remote/backup").join(JOB)
    }

    /// The companion beside the mirror.
    pub fn companion(&self) -> PathBuf {
        self.root().join("remote/backup/.treeferry").join(JOB)
    }

    /// Sets a key of the only job; `value` is TOML.
    pub fn set(&mut self, key: &str, value: &str) {
        let job = self.configuration.jobs.remove(0).set(key, value);
        self.configuration.jobs.insert(0, job);
        self.write_configuration();
    }

    /// Writes what [`World::configuration`] says.
    pub fn write_configuration(&self) {
        std::fs::write(self.root().join("config.toml"), self.configuration.text()).unwrap();
    }

    /// From now on the program is an ordinary user, who owns this world. Call it
    /// again after planting files as root.
    pub fn become_ordinary(&mut self) {
        self.program.become_ordinary(self.scratch.path());
        if rustix::process::geteuid().is_root() {
            let copy = self.root().join("ordinary-rclone");
            if !copy.exists() {
                std::fs::copy(self.rclone.program(), &copy).unwrap();
                self.configuration.rclone = watched_rclone(self.root(), &copy);
                self.write_configuration();
            }
        }
        give_away(self.scratch.path());
    }

    /// From now on rclone itself is called, and its calls are not noted.
    pub fn stop_watching_rclone(&mut self) {
        self.configuration.rclone = self.rclone.program();
        self.write_configuration();
    }

    /// From now on its calls are noted, and nothing else happens to them: as in the beginning.
    pub fn watch_rclone(&mut self) {
        self.configuration.rclone = self.root().join("rclone");
        self.write_configuration();
    }

    /// From now on `shell` has its say before each call of rclone: `$real` is the program,
    /// `$PPID` are we. What it does not end goes on as usual. Nothing is remembered of a script.
    pub fn before_rclone(&mut self, shell: &str) {
        let script = self.root().join("rclone-of-this-test");
        let real = self.rclone.program();
        let text = format!("#!/bin/sh\nreal='{}'\n{shell}\nexec \"$real\" \"$@\"\n", real.display());
        std::fs::write(&script, text).unwrap();
        chmod(&script, 0o755);
        self.configuration.rclone = script;
        self.write_configuration();
    }

    /// Fills the mirror as other programs do: rclone with its own defaults.
    pub fn copy_with_plain_rclone(&self) {
        let text = self.configuration.text();
        let remote = text.lines().find_map(|line| line.strip_prefix("remote = ")).unwrap().trim_matches('"');
        let copied = self
            .rclone
            .command(&self.rclone_configuration.path)
            .arg("copy")
            .arg(self.source())
            .arg(remote)
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }

    /// `treeferry --json backup ARGUMENTS`.
    pub fn backup(&self, arguments: &[&str]) -> Finished {
        let all: Vec<&str> = ["--json", "backup"].iter().chain(arguments).copied().collect();
        self.program.run(&all)
    }

    /// Another server of the same kind in the place of the one that was there: it
    /// remembers nothing of what it served.
    pub fn renew_server(&mut self) {
        let Some(old) = self.server.take() else { return };
        let protocol = old.protocol;
        let folder = old.folder.clone();
        drop(old);
        let server = Server::start(protocol, Rclone::Current, &folder);
        if let Some(proxy) = &self.proxy {
            proxy.set_upstream(server.port);
        }
        self.server = Some(server);
    }

    /// The arguments of every rclone that was started so far.
    pub fn rclone_calls(&self) -> Vec<String> {
        std::fs::read_to_string(self.root().join("rclone-calls"))
            .unwrap_or_default()
            .split('\0')
            .filter(|call| !call.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Requests so far; 0 for a local remote.
    pub fn requests(&self) -> usize {
        self.proxy.as_ref().map_or(0, Proxy::total)
    }

    /// Path and content of every version in the trash, by run id.
    pub fn trash(&self) -> BTreeMap<String, BTreeMap<PathBuf, Vec<u8>>> {
        mirror::trash(&self.companion())
    }

    /// Writes a file of the source, and the folders above it.
    pub fn write(&self, path: &str, content: &str) {
        let file = self.source().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// The versions of one path in the trash, the newest run's last.
    pub fn trashed(&self, path: &str) -> Vec<String> {
        let found = self.all_trash().into_iter().filter(|(trashed, _)| trashed == Path::new(path));
        found.map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect()
    }

    /// Every version in the trash, whichever run put it there.
    pub fn all_trash(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.trash().into_values().flatten().collect()
    }

    /// Asserts that the mirror holds exactly the files of the source: byte by
    /// byte in a folder, by `rclone check --download` behind a server.
    #[track_caller]
    pub fn assert_mirror_equals_source(&self) {
        if self.server.is_none() {
            mirror::assert_same(&self.source(), &self.mirror());
        } else {
            let address = format!("remote:backup/{JOB}");
            let configuration = &self.rclone_configuration.path;
            Remote { rclone: self.rclone, configuration, address: &address }.assert_same(&self.source());
        }
    }

    /// The bytes of the job's state that must not change in an unchanged run:
    /// everything in the state directory but locks and logs, by path.
    pub fn index_bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let job = self.configuration.state_dir.join(JOB);
        super::trees::files_below(&job)
            .into_iter()
            .filter(|path| {
                let text = path.to_string_lossy();
                !["lock", "log", "last-run", "ledger", "check"].iter().any(|noise| text.contains(noise))
            })
            .map(|path| {
                let bytes = std::fs::read(job.join(&path)).unwrap();
                (path, bytes)
            })
            .collect()
    }
}

/// A program that notes each call and becomes the real rclone (`watched_rclone.rs`).
fn watched_rclone(root: &Path, real: &Path) -> PathBuf {
    let watcher = Path::new(env!("CARGO_BIN_EXE_treeferry")).with_file_name("examples/watched-rclone");
    assert!(watcher.exists(), "{} is missing: run `cargo build --example watched-rclone`", watcher.display());
    let (program, link) = (root.join("rclone"), root.join("rclone-real"));
    std::fs::copy(watcher, &program).unwrap();
    std::fs::remove_file(&link).ok();
    std::os::unix::fs::symlink(real, link).unwrap();
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::trees::Plan;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_call_of_rclone_is_noted_whoever_makes_it() {
        let mut world = World::local(Rclone::Current);
        let call =
            |world: &World| std::process::Command::new(&world.configuration.rclone).arg("version").output();
        assert!(call(&world).unwrap().status.success());
        world.become_ordinary();
        assert!(call(&world).unwrap().status.success());
        assert_eq!(world.rclone_calls(), ["version", "version"]);
    }

    #[test]
    fn the_program_starts_as_an_ordinary_user_who_owns_the_world() {
        let mut world = World::local(Rclone::Current);
        Plan::odd(20, 1).plant(&world.source());
        world.become_ordinary();
        world.program.run(&["--version"]).expect(0).says("treeferry");
        assert_ne!(std::fs::metadata(world.source()).unwrap().uid(), 0);
    }
}
