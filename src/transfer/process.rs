//! One rclone process: started, fed, listened to, and ended.

use crate::disk::spawn_bound_to_this_thread;
use crate::transfer::orphan::{ProcessMark, STARTED_BY_US, mark_of};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Tells running transfers to end. Clones share it; set it from any thread or
/// a signal handler.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicU8>);

const FINISH: u8 = 1;
const NOW: u8 = 2;

impl StopSignal {
    /// Start nothing new; what runs gets the grace of [`Control`].
    pub fn finish(&self) {
        self.0.fetch_max(FINISH, Ordering::SeqCst);
    }

    /// End what runs at once.
    pub fn now(&self) {
        self.0.store(NOW, Ordering::SeqCst);
    }

    /// True once either was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    fn is_now(&self) -> bool {
        self.0.load(Ordering::SeqCst) == NOW
    }
}

/// Writes down which process is about to send.
type RecordProcess = Box<dyn Fn(ProcessMark) -> io::Result<()> + Send + Sync>;

/// How long rclone may run, and who is told.
pub struct Control {
    /// Ends transfers from outside.
    pub stop: StopSignal,
    /// How long a running rclone may go on after [`StopSignal::finish`].
    pub grace: Duration,
    /// An rclone without any progress for so long is ended. Must be longer than
    /// rclone's own `--timeout` (see `docs/rclone.md`).
    pub no_progress: Duration,
    /// Is told the process before its list is written, so before it can send.
    /// An error ends the process and the call.
    pub record_process: RecordProcess,
}

impl Default for Control {
    fn default() -> Self {
        Control {
            stop: StopSignal::default(),
            grace: Duration::from_secs(30),
            no_progress: Duration::from_secs(45 * 60),
            record_process: Box::new(|_| Ok(())),
        }
    }
}

/// One command line.
pub(crate) struct Call {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// By us.
    ByUs(Reason),
}

/// Why we ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Stopped,
    NoProgress,
    /// The listener has heard enough.
    GaveUp,
}

/// What the listener makes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    Progress,
    /// End the process: going on would do harm.
    Enough,
    /// As `Enough`, and without grace: each further request does harm.
    EnoughNow,
}

enum Piece {
    Lines(Vec<String>),
    Output(Vec<u8>),
    /// One of the two pipes is at its end.
    End,
}

/// Longer lines are cut: a message can hold a whole page, but not the memory.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// When we are slower than rclone (a journal on a slow disk), it waits, and not the memory.
const PIECES_WAITING_MAX: usize = 16;
/// A line waits so long for those behind it: handed over one by one, each costs rclone and us a
/// change of threads. How much that is was not measured.
const LINES_GATHERED_FOR: Duration = Duration::from_millis(2);
/// And no more than so many go together.
const LINES_MAX: usize = 256;
const TICK: Duration = Duration::from_millis(100);
/// Between SIGTERM and SIGKILL. On local and SFTP remotes rclone uses it to remove its partial files.
const TERMINATION: Duration = Duration::from_secs(5);

/// Runs one rclone to its end, without input. Returns what it wrote to stdout.
///
/// # Errors
/// When it cannot be started or not be recorded; then nothing was sent.
pub(crate) fn run(call: Call, control: &Control) -> io::Result<(Ended, Vec<u8>)> {
    let mut output = Vec::new();
    let collect = &mut |bytes: &[u8]| output.extend_from_slice(bytes);
    let ended = start(call, control)?.listen(Vec::new(), control, &mut |_| Heard::Nothing, collect)?;
    Ok((ended, output))
}

/// Starts one rclone. It is on record then, and waits for its input: the list
/// can be made meanwhile.
///
/// # Errors
/// As [`run`].
pub(crate) fn start(call: Call, control: &Control) -> io::Result<Running> {
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).env_clear().envs(call.environment).env(STARTED_BY_US, "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running(spawn_bound_to_this_thread(command)?);
    let mark = mark_of(running.0.id())?;
    (control.record_process)(mark)?;
    Ok(running)
}

/// One that was started. Dropped, it is ended: an rclone must not outlive an error on our
/// side.
pub(crate) struct Running(Child);

impl Running {
    /// Gives it its input and listens until it ends; `on_line` gets every line of stderr and
    /// `on_output` what comes on stdout, both on the calling thread.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub(crate) fn listen(
        mut self,
        input: Vec<u8>,
        control: &Control,
        on_line: &mut dyn FnMut(&str) -> Heard,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Ended> {
        let (sender, pieces) = sync_channel(PIECES_WAITING_MAX);
        let mut readers = Vec::with_capacity(3);
        if let Some(stderr) = self.0.stderr.take() {
            let sender = sender.clone();
            readers.push(thread::spawn(move || read_lines(stderr, &sender)));
        }
        if let Some(stdout) = self.0.stdout.take() {
            let sender = sender.clone();
            readers.push(thread::spawn(move || read_output(stdout, &sender)));
        }
        if let Some(mut stdin) = self.0.stdin.take() {
            // An rclone that ends without reading all of it says why on stderr.
            readers.push(thread::spawn(move || drop(stdin.write_all(&input))));
        }
        drop(sender);

        let result = listen(&mut self.0, control, &pieces, on_line, on_output);
        drop(pieces);
        drop(self);
        for reader in readers {
            // None of them panics, and their pipes are closed once the group is dead.
            let _ = reader.join();
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal(&self.0, Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

fn listen(
    child: &mut Child,
    control: &Control,
    pieces: &Receiver<Piece>,
    on_line: &mut dyn FnMut(&str) -> Heard,
    on_output: &mut dyn FnMut(&[u8]),
) -> io::Result<Ended> {
    let mut open_pipes = 2;
    let mut last_progress = Instant::now();
    let mut stop_seen: Option<Instant> = None;
    let mut ending: Option<(Reason, Instant)> = None;
    let mut exited: Option<Instant> = None;
    loop {
        match pieces.recv_timeout(TICK) {
            Ok(Piece::Lines(lines)) => {
                for line in lines {
                    match on_line(&line) {
                        Heard::Nothing => {}
                        Heard::Progress => last_progress = Instant::now(),
                        Heard::Enough if ending.is_none() => ending = Some(end(child, Reason::GaveUp)),
                        Heard::Enough => {}
                        Heard::EnoughNow => {
                            signal(child, Signal::KILL);
                            ending = Some((Reason::GaveUp, Instant::now()));
                        }
                    }
                }
            }
            Ok(Piece::Output(bytes)) => {
                last_progress = Instant::now();
                on_output(&bytes);
            }
            Ok(Piece::End) => open_pipes -= 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open_pipes = 0,
        }
        if open_pipes == 0 {
            break;
        }
        // Something else may hold the pipes open after rclone itself has ended.
        if exited.is_none() && child.try_wait()?.is_some() {
            exited = Some(Instant::now());
        }
        if exited.is_some_and(|at| at.elapsed() > TERMINATION) {
            signal(child, Signal::KILL);
        }
        let now = Instant::now();
        if let Some((_, at)) = ending {
            if now.duration_since(at) > TERMINATION {
                signal(child, Signal::KILL);
            }
            continue;
        }
        if control.stop.is_set() {
            let since = *stop_seen.get_or_insert(now);
            if control.stop.is_now() || now.duration_since(since) >= control.grace {
                ending = Some(end(child, Reason::Stopped));
            }
        } else if now.duration_since(last_progress) >= control.no_progress {
            ending = Some(end(child, Reason::NoProgress));
        }
    }
    let status = child.wait()?;
    Ok(how_it_ended(status, ending.map(|(reason, _)| reason)))
}

fn how_it_ended(status: ExitStatus, reason: Option<Reason>) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match (reason, status.code()) {
        // It may have come to its own end in the same moment; then its word counts.
        (Some(_), Some(0)) => Ended::Exited(0),
        (Some(reason), _) => Ended::ByUs(reason),
        (None, Some(code)) => Ended::Exited(code),
        (None, None) => Ended::Signalled(status.signal().unwrap_or(0)),
    }
}

fn end(child: &Child, reason: Reason) -> (Reason, Instant) {
    signal(child, Signal::TERM);
    (reason, Instant::now())
}

/// To the whole group: a password command of rclone dies with it. The child was
/// not waited for yet, so its number is still its own.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

fn read_lines(pipe: impl Read, sender: &SyncSender<Piece>) {
    let mut reader = BufReader::with_capacity(64 << 10, pipe);
    let mut line = Vec::new();
    let mut lines = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => lines.push(String::from_utf8_lossy(&line).into_owned()),
        }
        if lines.len() < LINES_MAX && reader.buffer().contains(&b'\n') {
            continue;
        }
        if sender.send(Piece::Lines(std::mem::take(&mut lines))).is_err() {
            break;
        }
        thread::sleep(LINES_GATHERED_FOR);
    }
    let _ = sender.send(Piece::End);
}

fn read_output(mut pipe: impl Read, sender: &SyncSender<Piece>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if sender.send(Piece::Output(buffer[..length].to_vec())).is_err() {
                    break;
                }
            }
        }
    }
    let _ = sender.send(Piece::End);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Call {
        Call {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        }
    }

    fn run(script: &str, control: &Control, on_line: &mut dyn FnMut(&str) -> Heard) -> (Ended, Vec<u8>) {
        let mut output = Vec::new();
        let collect = &mut |bytes: &[u8]| output.extend_from_slice(bytes);
        let running = start(shell(script), control).unwrap();
        let ended = running.listen(b"list\n".to_vec(), control, on_line, collect).unwrap();
        (ended, output)
    }

    #[test]
    fn input_goes_in_and_both_pipes_come_out() {
        let mut lines = Vec::new();
        let script = "cat; echo one >&2; printf two >&2; exit 7";
        let (ended, output) = run(script, &Control::default(), &mut |line| {
            lines.push(line.to_owned());
            Heard::Nothing
        });
        assert_eq!((ended, output.as_slice()), (Ended::Exited(7), &b"list\n"[..]));
        assert_eq!(lines, ["one\n", "two"]);
    }

    #[test]
    fn a_process_without_progress_is_ended() {
        let control = Control { no_progress: Duration::from_millis(300), ..Control::default() };
        let (ended, _) = run("sleep 1000", &control, &mut |_| Heard::Nothing);
        assert_eq!(ended, Ended::ByUs(Reason::NoProgress));
    }

    #[test]
    fn a_stop_ends_what_runs_with_all_its_children() {
        let control = Control::default();
        let stop = control.stop.clone();
        let (ended, _) = run("echo go >&2; sleep 1000 & wait", &control, &mut |_| {
            stop.now();
            Heard::Nothing
        });
        assert_eq!(ended, Ended::ByUs(Reason::Stopped));
    }

    #[test]
    fn a_process_that_cannot_be_recorded_never_gets_its_list() {
        let control = Control {
            record_process: Box::new(|_| Err(io::Error::other("disk full"))),
            ..Control::default()
        };
        assert!(start(shell("cat"), &control).is_err());
    }

    #[test]
    fn a_process_that_gets_no_list_after_all_is_ended() {
        let running = start(shell("exec sleep 1000"), &Control::default()).unwrap();
        let id = Pid::from_raw(i32::try_from(running.0.id()).unwrap()).unwrap();
        drop(running);
        assert_eq!(rustix::process::test_kill_process(id), Err(rustix::io::Errno::SRCH));
    }
}
