//! Runs a program that is fed, heard and, when it takes too long, ended.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What is kept of each stream.
const HEARD_BYTES_MAX: u64 = 64 << 10;

/// How it ended, and what it said.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Starts `command`, writes `input` to it, and waits at most `limit`. After
/// that the program is ended, with all that it started.
///
/// # Errors
/// When it cannot be started or does not end; the rest of a sentence that
/// begins with the program.
pub(super) fn run(mut command: Command, input: Vec<u8>, limit: Duration) -> Result<Ended, String> {
    let deadline = Instant::now() + limit;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: a shell script is ended together with what it waits for.
    let mut child =
        command.process_group(0).spawn().map_err(|error| format!("cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read must not hold us: the thread goes with its pipe.
        std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
    }
    let stdout = heard(child.stdout.take());
    let stderr = heard(child.stderr.take());
    let status =
        wait_until(&mut child, deadline).map_err(|error| format!("cannot be waited for: {error}"))?;
    let Some(status) = status else {
        end_group(&mut child);
        return Err(format!("did not come to an end: no end after {} s", limit.as_secs_f64()));
    };
    // Something that it left running may hold the pipes open: not our concern.
    let patience = Duration::from_secs(1);
    let said = |stream: mpsc::Receiver<Vec<u8>>| stream.recv_timeout(patience).unwrap_or_default();
    Ok(Ended { status, stdout: said(stdout), stderr: said(stderr) })
}

fn heard(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (tell, listen) = mpsc::channel();
    if let Some(mut stream) = stream {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.by_ref().take(HEARD_BYTES_MAX).read_to_end(&mut bytes);
            let _ = tell.send(bytes);
            // Read on, or a talkative program would wait for us.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
    }
    listen
}

fn wait_until(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(text);
        command
    }

    #[test]
    fn a_program_is_fed_and_heard_even_when_it_says_more_than_we_keep() {
        let input = vec![b'x'; 300_000];
        let ended = run(shell("cat; echo sorry >&2; exit 4"), input, Duration::from_secs(60)).unwrap();
        assert_eq!(ended.stdout.len() as u64, HEARD_BYTES_MAX);
        assert_eq!((ended.stderr, ended.status.code()), (b"sorry\n".to_vec(), Some(4)));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! >'{}'; wait", noted.display());
        let told = run(shell(&script), Vec::new(), Duration::from_secs(1)).err().unwrap();
        assert!(told.contains("no end after 1 s"), "{told}");
        let pid: u32 = std::fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            crate::disk::process_start_time(pid).is_none()
        });
        assert!(gone, "sleep {pid} is still there");
    }

    #[test]
    fn a_program_that_does_not_read_is_no_trouble() {
        let ended = run(shell("exit 0"), vec![0; 1 << 20], Duration::from_secs(60)).unwrap();
        assert!(ended.status.success());
        assert!(run(Command::new("/no/such/program"), Vec::new(), Duration::from_secs(1)).is_err());
    }
}
