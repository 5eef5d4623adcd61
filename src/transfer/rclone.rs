//! The rclone that was found here, and how every command of it is run.

use crate::model::{Failure, FailureClass};
use crate::observe::{Counter, Event, Observer};
use crate::transfer::classify;
use crate::transfer::command_line::{Traffic, common_flags, environment};
use crate::transfer::log_line::LogLine;
use crate::transfer::process::{Call, Control, Ended, Heard, Reason, Running, run, start};
use crate::transfer::user_flags::words;
use crate::transfer::version::OLDEST;
use crate::transfer::{
    Capability, NameEncoding, RcloneVersion, VersionGaps, check_remote, remote_name, without_credentials,
};
use std::ffi::OsString;
use std::path::PathBuf;

/// How rclone is to be run.
#[derive(Clone)]
pub struct RcloneSettings {
    /// Name (found in the given `PATH`) or path of the program.
    pub program: PathBuf,
    /// Its configuration file; `None`: rclone's own default.
    pub config: Option<PathBuf>,
    /// `RCLONE_*` variables that are let through besides `RCLONE_CONFIG*`.
    pub environment: Vec<String>,
    /// Flags given by people, already seen by [`crate::transfer::check_user_flags`].
    pub flags: Vec<String>,
    /// The environment of the caller: the library never reads it.
    pub inherited_environment: Vec<(OsString, OsString)>,
    /// A directory for short-lived files: small uploads and skeletons of folders.
    pub scratch: PathBuf,
}

/// rclone cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RcloneError {
    /// Not found or not executable.
    #[error("starting `{program}`: {source}; install rclone {OLDEST} or later, or set `program` in [rclone]")]
    NotStartable {
        /// What was tried.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// `rclone version` said something else.
    #[error("`{program} version` did not answer like rclone: {answer:?}; set `program` in [rclone]")]
    NotRclone {
        /// What was run.
        program: String,
        /// How its first line begins.
        answer: String,
    },
    /// Too old.
    #[error("rclone {found} is too old: {OLDEST} is the oldest that works; update it (rclone.org/downloads)")]
    TooOld {
        /// Its version.
        found: RcloneVersion,
    },
    /// The mirror was begun with a newer rclone.
    #[error(
        "this mirror was begun with rclone 1.68 or later, and rclone {found} does not know the way its names are written: update rclone, or set `program` in [rclone] to the newer one. Nothing was sent"
    )]
    EncodingUnknown {
        /// Its version.
        found: RcloneVersion,
    },
}

/// An rclone that was found and understood.
pub struct Rclone {
    pub(crate) settings: RcloneSettings,
    version: RcloneVersion,
    user_words: Vec<String>,
}

impl Rclone {
    /// Asks rclone for its version: one process, no request.
    ///
    /// # Errors
    /// When there is none, or it is too old.
    pub fn detect(
        settings: RcloneSettings,
        control: &Control,
        observer: &dyn Observer,
    ) -> Result<Rclone, RcloneError> {
        let program = settings.program.display().to_string();
        let call = Call {
            program: settings.program.clone(),
            arguments: vec!["version".into()],
            environment: environment(&settings.inherited_environment, &settings.environment),
        };
        observer.count(Counter::RcloneProcesses, 1);
        let (_, output) = run(call, control)
            .map_err(|source| RcloneError::NotStartable { program: program.clone(), source })?;
        let output = String::from_utf8_lossy(&output);
        let version = RcloneVersion::parse(&output)
            .ok_or_else(|| RcloneError::NotRclone { program, answer: classify::first_line(&output) })?;
        if version < OLDEST {
            return Err(RcloneError::TooOld { found: version });
        }
        Ok(Rclone::with_version(settings, version))
    }

    /// One whose version is known from before: see [`crate::transfer::Known`].
    pub fn with_version(settings: RcloneSettings, version: RcloneVersion) -> Rclone {
        let user_words = words(&settings.flags);
        Rclone { settings, version, user_words }
    }

    /// Its version.
    pub fn version(&self) -> RcloneVersion {
        self.version
    }

    /// What it lacks.
    pub fn gaps(&self) -> VersionGaps {
        self.version.gaps()
    }

    /// How a new mirror begun with this rclone writes names.
    pub fn name_encoding(&self) -> NameEncoding {
        self.version.name_encoding()
    }

    /// Commands for one mirror, in the encoding it was begun with.
    ///
    /// # Errors
    /// When this rclone does not know the encoding.
    pub fn session<'a>(
        &'a self,
        encoding: NameEncoding,
        control: &'a Control,
        observer: &'a dyn Observer,
    ) -> Result<Session<'a>, RcloneError> {
        if encoding == NameEncoding::Raw && !self.version.has(Capability::RawEncoding) {
            return Err(RcloneError::EncodingUnknown { found: self.version });
        }
        Ok(Session { rclone: self, encoding, control, observer })
    }
}

/// Runs commands, one rclone process each, from the calling thread: they die
/// with it.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pub(crate) rclone: &'a Rclone,
    pub(crate) encoding: NameEncoding,
    pub(crate) control: &'a Control,
    pub(crate) observer: &'a dyn Observer,
}

impl Session<'_> {
    /// How this session writes names.
    pub fn encoding(&self) -> NameEncoding {
        self.encoding
    }

    /// Of the program that it runs.
    pub fn version(&self) -> RcloneVersion {
        self.rclone.version
    }
}

/// A command that waits for its input; ended when it is dropped.
pub(crate) struct Started {
    running: Running,
    traffic: Traffic,
}

/// What came of a command.
pub(crate) struct Finished {
    pub(crate) ended: Ended,
    pub(crate) output: Vec<u8>,
    /// The last lines that tell of trouble, as rclone wrote them.
    trouble: Vec<String>,
}

const TROUBLE_LINES_MAX: usize = 8;

impl Finished {
    pub(crate) fn succeeded(&self) -> bool {
        self.ended == Ended::Exited(0)
    }

    /// rclone says that the file or folder asked for is not there.
    pub(crate) fn says_absent(&self) -> bool {
        self.says_only(classify::says_absent)
    }

    /// As [`Finished::says_absent`], for one folder: below a file there is none.
    pub(crate) fn says_no_folder(&self) -> bool {
        self.says_only(|line| classify::says_absent(line) || line.contains("not a directory"))
    }

    fn says_only(&self, is_it: impl Fn(&str) -> bool) -> bool {
        matches!(self.ended, Ended::Exited(code) if code != 0)
            && !self.trouble.is_empty()
            && self.trouble.iter().all(|line| is_it(line))
    }

    /// rclone says that a folder lies where a file was asked for.
    pub(crate) fn says_folder(&self) -> bool {
        self.trouble.iter().any(|line| line.contains(classify::FOLDER_HERE))
    }

    /// Why the whole command failed.
    pub(crate) fn failure(&self, doing: &str) -> Failure {
        let last = self.trouble.last().map(String::as_str);
        let (class, words) = match self.ended {
            Ended::ByUs(Reason::NoProgress) => {
                let words = "no progress for too long, rclone was ended";
                (FailureClass::RemoteUnwell, with_last_words(words.to_owned(), last))
            }
            Ended::ByUs(Reason::Stopped) => (FailureClass::Rclone, "stopped".to_owned()),
            Ended::Signalled(signal) => {
                (FailureClass::Rclone, with_last_words(format!("rclone died of signal {signal}"), last))
            }
            Ended::Exited(_) | Ended::ByUs(Reason::GaveUp) => {
                let class = self
                    .trouble
                    .iter()
                    .map(|line| classify::class_of_all(line))
                    .find(|class| *class != FailureClass::Rclone)
                    .unwrap_or(FailureClass::Rclone);
                (class, last.unwrap_or("rclone said nothing about why it failed").to_owned())
            }
        };
        classify::failure(class, &format!("{doing}: {words}"))
    }
}

impl Finished {
    /// As [`Finished::failure`], of a command that only reads the file `name`: where rclone came as far as to
    /// open it, or is forbidden to, it is about this file.
    pub(crate) fn failure_of_file(&self, doing: &str, name: &str) -> Failure {
        let failure = self.failure(doing);
        let is_own = |line: &str| {
            line.starts_with("Failed to open: ")
                || line.starts_with("Failed to send to output: ")
                || classify::says_forbidden(line)
        };
        let is_about_it = matches!(self.ended, Ended::Exited(_))
            && self.trouble.iter().any(|line| is_own(line))
            && self
                .trouble
                .iter()
                .all(|line| classify::class_of(&classify::without_name(line, name)) == FailureClass::File);
        if is_about_it { Failure { class: FailureClass::File, ..failure } } else { failure }
    }
}

fn with_last_words(what: String, last: Option<&str>) -> String {
    match last {
        Some(last) => format!("{what}; its last words: {last}"),
        None => what,
    }
}

impl<'a> Session<'a> {
    /// Runs one command. `on_line` sees every line after it went to the observer.
    pub(crate) fn run(
        &self,
        arguments: Vec<OsString>,
        input: Vec<u8>,
        traffic: Traffic,
        on_line: &mut dyn FnMut(&LogLine) -> Heard,
    ) -> Result<Finished, Failure> {
        let mut output = Vec::new();
        let collect = &mut |bytes: &[u8]| output.extend_from_slice(bytes);
        let finished = self.run_streaming(arguments, input, traffic, on_line, collect)?;
        Ok(Finished { output, ..finished })
    }

    /// As [`Session::run`], but hands over the output while it comes, and keeps
    /// none of it.
    pub(crate) fn run_streaming(
        &self,
        arguments: Vec<OsString>,
        input: Vec<u8>,
        traffic: Traffic,
        on_line: &mut dyn FnMut(&LogLine) -> Heard,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<Finished, Failure> {
        self.finish(self.start(arguments, traffic)?, input, on_line, on_output)
    }

    /// Starts a command that waits for its input: it takes as long as 10,000 files take to be
    /// looked at once more.
    pub(crate) fn start(&self, arguments: Vec<OsString>, traffic: Traffic) -> Result<Started, Failure> {
        let settings = &self.rclone.settings;
        let mut arguments = arguments;
        arguments.extend(common_flags(
            self.rclone.version,
            self.encoding,
            settings.config.as_deref(),
            &self.rclone.user_words,
            traffic,
        ));
        let mut environment = environment(&settings.inherited_environment, &settings.environment);
        environment.extend(traffic.more_environment(&environment));
        let call = Call { program: settings.program.clone(), arguments, environment };
        self.observer.count(Counter::RcloneProcesses, 1);
        let running = start(call, self.control).map_err(|error| self.not_run(&error))?;
        Ok(Started { running, traffic })
    }

    fn not_run(&self, error: &std::io::Error) -> Failure {
        let program = self.rclone.settings.program.display();
        classify::failure(FailureClass::Rclone, &format!("running {program}: {error}"))
    }

    /// Gives a command its input, and listens to it as [`Session::run_streaming`].
    pub(crate) fn finish(
        &self,
        started: Started,
        input: Vec<u8>,
        on_line: &mut dyn FnMut(&LogLine) -> Heard,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<Finished, Failure> {
        let Started { running, traffic } = started;
        let mut trouble = Vec::new();
        let (mut progress, mut knocks) = (Progress::default(), Knocks::default());
        let mut on_stderr = |line: &str| {
            let line = LogLine::parse(line);
            // Debug lines can hold what environment variables hold.
            if line.stats.is_none() && line.level != "debug" && !line.text.trim().is_empty() {
                let text = without_credentials(&with_object(&line));
                self.observer.event(&Event::RcloneLine { level: &line.level, text: &text });
            }
            if line.is_trouble() {
                if trouble.len() == TROUBLE_LINES_MAX {
                    trouble.remove(0);
                }
                trouble.push(line.text.trim().to_owned());
            }
            let heard = match on_line(&line) {
                Heard::Nothing => knocks.hear(&line, traffic),
                heard => heard,
            };
            if heard == Heard::Nothing && progress.moved(&line) { Heard::Progress } else { heard }
        };
        let ended = running
            .listen(input, self.control, &mut on_stderr, on_output)
            .map_err(|error| self.not_run(&error))?;
        Ok(Finished { ended, output: Vec::new(), trouble })
    }

    /// A command without a list, and without special interest in its lines.
    pub(crate) fn ask(&self, arguments: Vec<OsString>) -> Result<Finished, Failure> {
        self.run(arguments, Vec::new(), Traffic::Question, &mut |_| Heard::Nothing)
    }

    /// What a command that ended well said, as it was `read`; `expected` is what it should have been.
    ///
    /// # Errors
    /// When it could not be read: then this is no rclone, or one that does not work.
    pub(crate) fn understood<T>(
        &self,
        read: serde_json::Result<T>,
        output: &[u8],
        expected: &str,
    ) -> Result<T, Failure> {
        read.map_err(|error| {
            let text = String::from_utf8_lossy(output);
            let said = match text.trim().is_empty() {
                true => "it says nothing at all".to_owned(),
                false => format!("{error}; it begins with {:?}", classify::first_line(&text)),
            };
            let program = self.rclone.settings.program.display();
            let reason = format!(
                "`{program}` ended without an error, and its answer is not {expected} (JSON): {said}. It does not do \
                 what rclone does; set `program` in [rclone]"
            );
            classify::failure(FailureClass::Rclone, &reason)
        })
    }

    /// Why nothing came of a command that ended well.
    pub(crate) fn mute(&self, doing: &str) -> Failure {
        let program = self.rclone.settings.program.display();
        let reason = format!(
            "{doing}: `{program}` ended without an error, and gave neither a line for any file nor statistics. It does \
             not do what rclone does; set `program` in [rclone]"
        );
        classify::failure(FailureClass::Rclone, &reason)
    }

    /// True when the configuration knows the remote. Connection strings and
    /// local paths need no configuration.
    ///
    /// # Errors
    /// When rclone cannot read its configuration.
    pub fn remote_exists(&self, remote: &str) -> Result<bool, Failure> {
        check_remote(remote).map_err(|error| classify::failure(FailureClass::Rclone, &error.to_string()))?;
        let Some(name) = remote_name(remote) else { return Ok(true) };
        let finished = self.ask(vec!["listremotes".into()])?;
        if !finished.succeeded() {
            return Err(finished.failure("reading rclone's configuration"));
        }
        // Names that come from the environment are written in lower case.
        let listed = String::from_utf8_lossy(&finished.output);
        Ok(listed.lines().any(|line| line.trim_end_matches(':').eq_ignore_ascii_case(name)))
    }
}

fn with_object(line: &LogLine) -> String {
    match &line.object {
        Some(object) => format!("{object}: {}", line.text.trim()),
        None => line.text.trim().to_owned(),
    }
}

/// Watches over commands whose caller does not listen for trouble: a closed door is
/// knocked at once, and one that stays shut a few times.
#[derive(Default)]
struct Knocks {
    unwell: u32,
}

/// Among many small requests so many answers of a remote that is unwell are enough.
const UNWELL_MAX: u32 = 5;

impl Knocks {
    fn hear(&mut self, line: &LogLine, traffic: Traffic) -> Heard {
        if !line.is_trouble() {
            return Heard::Nothing;
        }
        let name = line.object.as_deref().unwrap_or_default();
        let class = classify::class_of(&classify::without_name(&line.text, name));
        let is_many_requests = matches!(traffic, Traffic::Requests | Traffic::Folders);
        self.unwell += u32::from(class == FailureClass::RemoteUnwell && is_many_requests);
        match class {
            // Providers lock accounts that keep trying.
            FailureClass::Authentication => Heard::EnoughNow,
            FailureClass::RemoteUnwell if self.unwell >= UNWELL_MAX => Heard::Enough,
            _ => Heard::Nothing,
        }
    }
}

/// Whether anything moved since the last line: the watchdog looks at bytes and
/// files, because statistics come every second from a hanging rclone, too.
#[derive(Default)]
struct Progress([i64; 8]);

impl Progress {
    fn moved(&mut self, line: &LogLine) -> bool {
        let Some(stats) = &line.stats else { return line.object.is_some() };
        let figures = [
            stats.bytes,
            stats.checks,
            stats.deletes,
            stats.renames,
            stats.listed,
            stats.transfers,
            stats.server_side_moves,
            stats.server_side_copies,
        ];
        let moved = figures != self.0;
        self.0 = figures;
        moved
    }
}
