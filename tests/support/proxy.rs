//! An HTTP/1.1 proxy in front of a server on loopback: it counts requests, adds
//! latency, and makes chosen requests fail in chosen ways.
//!
//! Bodies are streamed. One thread per connection; connections are kept alive on
//! both sides, so that thousands of requests do not use up the ports.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Counted from 1 since the last [`Proxy::forget`].
    pub number: u64,
    /// `GET`, `PUT`, `PROPFIND`, …
    pub method: String,
    /// Path and query, still percent-encoded.
    pub path: String,
}

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server never sees it; this status is answered after its body was read.
    Status(u16),
    /// The connection is dropped; the server never sees the request.
    Refuse,
    /// The server does the work, and the answer is lost.
    LoseReply,
    /// The server gets half of the body, and then nothing.
    CutUpload,
    /// The client gets half of the answer's body, and then nothing.
    CutReply,
    /// The server does the work, and the answer comes this much later.
    Hang(Duration),
}

/// Decides which requests fail.
pub type Decide = dyn Fn(&Seen) -> Option<Fault> + Send + Sync;

/// Changes a request's headers, or its answer's status, on the way.
pub trait Manners: Send + Sync {
    /// The headers that the server gets.
    fn request(&self, _seen: &Seen, _headers: &mut Headers) {}
    /// A status that is answered at once; the server never sees the request.
    fn instead(&self, _seen: &Seen) -> Option<u16> {
        None
    }
    /// As [`Manners::instead`], with a body of XML.
    fn tells(&self, _seen: &Seen) -> Option<(u16, String)> {
        None
    }
    /// The status that the client gets.
    fn reply(&self, _seen: &Seen, status: u16) -> u16 {
        status
    }
}

struct Shared {
    upstream: AtomicU16,
    seen: Mutex<Vec<Seen>>,
    /// When each of them came.
    arrived: Mutex<Vec<Instant>>,
    decide: RwLock<Option<Box<Decide>>>,
    manners: RwLock<Option<Box<dyn Manners>>>,
    latency: RwLock<Duration>,
    stopped: AtomicBool,
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts one in front of the server on port `upstream` of 127.0.0.1.
    pub fn start(upstream: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(upstream),
            seen: Mutex::default(),
            arrived: Mutex::default(),
            decide: RwLock::default(),
            manners: RwLock::default(),
            latency: RwLock::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(client) = client else { continue };
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    // A client that goes away is no failure of the proxy.
                    let _ = serve(&shared, client);
                });
            }
        });
        Proxy { port, shared }
    }

    /// Every request since the last [`Proxy::forget`], in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, each with the time of its arrival.
    pub fn seen_at(&self) -> Vec<(Seen, Instant)> {
        let arrived = self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.seen().into_iter().zip(arrived).collect()
    }

    /// How many requests came in all.
    pub fn total(&self) -> usize {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many requests had this method.
    pub fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method).count()
    }

    /// Counts from 1 again.
    pub fn forget(&self) {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// New connections go to this server from now on.
    pub fn set_upstream(&self, port: u16) {
        self.shared.upstream.store(port, Ordering::Relaxed);
    }

    /// Every request waits this long first.
    pub fn set_latency(&self, latency: Duration) {
        *self.shared.latency.write().unwrap() = latency;
    }

    /// Fails the requests that `decide` chooses, until told otherwise.
    pub fn fail(&self, decide: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static) {
        *self.shared.decide.write().unwrap() = Some(Box::new(decide));
    }

    /// Fails the `number`-th request, counted from 1.
    pub fn fail_request(&self, number: u64, fault: Fault) {
        self.fail(move |seen| (seen.number == number).then_some(fault));
    }

    /// All is well again.
    pub fn heal(&self) {
        *self.shared.decide.write().unwrap() = None;
    }

    /// Lets a server behave like another one.
    pub fn set_manners(&self, manners: impl Manners + 'static) {
        *self.shared.manners.write().unwrap() = Some(Box::new(manners));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The first line and the headers of a message.
#[derive(Debug, Clone)]
pub struct Headers {
    /// Request line or status line, without line end.
    pub first: String,
    /// Names and values, in order.
    pub lines: Vec<(String, String)>,
}

impl Headers {
    fn read(from: &mut impl BufRead) -> io::Result<Option<Headers>> {
        let Some(first) = read_line(from)? else { return Ok(None) };
        let mut lines = Vec::new();
        loop {
            let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(Some(Headers { first, lines }));
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            lines.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.lines {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        to.write_all(text.as_bytes())
    }

    /// The value of a header, whatever the case of its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Takes a header away.
    pub fn remove(&mut self, name: &str) {
        self.lines.retain(|(line, _)| !line.eq_ignore_ascii_case(name));
    }

    /// Replaces a header's value.
    pub fn set(&mut self, name: &str, value: String) {
        self.remove(name);
        self.lines.push((name.to_owned(), value));
    }

    fn closes(&self) -> bool {
        self.get("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            || self.first.contains("HTTP/1.0")
    }

    fn length(&self) -> Option<u64> {
        self.get("Content-Length").and_then(|value| value.parse().ok())
    }

    fn is_chunked(&self) -> bool {
        self.get("Transfer-Encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    while line.ends_with(b"\n") || line.ends_with(b"\r") {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

#[derive(Debug, Clone, Copy)]
enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Body {
    fn of_request(headers: &Headers) -> Body {
        if headers.is_chunked() { Body::Chunked } else { headers.length().map_or(Body::None, Body::Length) }
    }

    fn of_reply(method: &str, headers: &Headers) -> Body {
        match headers.status() {
            _ if method == "HEAD" => Body::None,
            100..200 | 204 | 304 => Body::None,
            _ if headers.is_chunked() => Body::Chunked,
            _ => headers.length().map_or(Body::UntilClose, Body::Length),
        }
    }

    /// Streams the body. With `half`, only half of a body of known length, and
    /// only the first chunk of any other.
    fn stream(self, from: &mut impl BufRead, to: &mut impl Write, half: bool) -> io::Result<()> {
        match self {
            Body::None => {}
            Body::Length(length) => {
                let length = if half { length / 2 } else { length };
                if io::copy(&mut from.take(length), to)? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Body::UntilClose => {
                io::copy(from, to)?;
            }
            Body::Chunked => loop {
                let size = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let digits = size.split(';').next().unwrap_or_default().trim();
                let length = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                write!(to, "{size}\r\n")?;
                io::copy(&mut from.take(length), to)?;
                // After the last chunk come trailers, each a line, and an empty line.
                loop {
                    let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                    write!(to, "{line}\r\n")?;
                    if length > 0 || line.is_empty() {
                        break;
                    }
                }
                if half || length == 0 {
                    break;
                }
            },
        }
        to.flush()
    }
}

fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut to_client = client.try_clone()?;
    let mut from_client = BufReader::new(client);
    let mut upstream: Option<BufReader<TcpStream>> = None;
    while let Some(mut headers) = Headers::read(&mut from_client)? {
        let seen = note(shared, &headers);
        let latency = *shared.latency.read().unwrap();
        std::thread::sleep(latency);
        // The promise is ours, so that a server is never asked to make it.
        if headers.get("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            headers.remove("Expect");
            to_client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let fault = shared.decide.read().unwrap().as_ref().and_then(|decide| decide(&seen));
        let (mut fault, mut told) = (fault, None);
        if let Some(manners) = shared.manners.read().unwrap().as_ref() {
            manners.request(&seen, &mut headers);
            fault = fault.or_else(|| manners.instead(&seen).map(Fault::Status));
            told = if fault.is_none() { manners.tells(&seen) } else { None };
        }
        let body = Body::of_request(&headers);
        if let Some((status, xml)) = told {
            body.stream(&mut from_client, &mut io::sink(), false)?;
            let length = xml.len();
            write!(
                to_client,
                "HTTP/1.1 {status} Told\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{xml}"
            )?;
            continue;
        }
        match fault {
            Some(Fault::Refuse) => return to_client.shutdown(Shutdown::Both),
            Some(Fault::Status(status)) => {
                body.stream(&mut from_client, &mut io::sink(), false)?;
                let text = format!("injected {status}");
                write!(
                    to_client,
                    "HTTP/1.1 {status} Injected\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                )?;
                continue;
            }
            _ => {}
        }
        let mut server = match upstream.take() {
            Some(server) if is_open(server.get_ref()) => server,
            _ => connect(shared.upstream.load(Ordering::Relaxed))?,
        };
        headers.write(server.get_mut())?;
        body.stream(&mut from_client, server.get_mut(), fault == Some(Fault::CutUpload))?;
        if fault == Some(Fault::CutUpload) {
            server.get_mut().shutdown(Shutdown::Both)?;
            return to_client.shutdown(Shutdown::Both);
        }
        let keep = answer(shared, &seen, fault, &mut server, &mut to_client)?;
        if headers.closes() || !keep {
            return to_client.shutdown(Shutdown::Both);
        }
        upstream = Some(server);
    }
    Ok(())
}

/// Hands the server's answer on; false when the connection must end.
fn answer(
    shared: &Shared,
    seen: &Seen,
    fault: Option<Fault>,
    server: &mut BufReader<TcpStream>,
    to_client: &mut TcpStream,
) -> io::Result<bool> {
    let mut reply = Headers::read(server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    while reply.status() == 100 {
        reply = Headers::read(server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    match fault {
        Some(Fault::LoseReply) => return Ok(false),
        Some(Fault::Hang(wait)) => std::thread::sleep(wait),
        _ => {}
    }
    let body = Body::of_reply(&seen.method, &reply);
    if let Some(manners) = shared.manners.read().unwrap().as_ref() {
        let status = manners.reply(seen, reply.status());
        if status != reply.status() {
            reply.first = format!("HTTP/1.1 {status} Otherwise");
        }
    }
    let half = fault == Some(Fault::CutReply);
    reply.write(to_client)?;
    body.stream(server, to_client, half)?;
    Ok(!half && !reply.closes() && !matches!(body, Body::UntilClose))
}

fn note(shared: &Shared, headers: &Headers) -> Seen {
    let mut words = headers.first.split(' ');
    let mut all = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = Seen {
        number: all.len() as u64 + 1,
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
    };
    all.push(seen.clone());
    shared.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    seen
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    server.set_nodelay(true)?;
    Ok(BufReader::new(server))
}

/// False when the server closed an idle connection meanwhile.
fn is_open(server: &TcpStream) -> bool {
    let mut byte = [0];
    let looked = server.set_nonblocking(true).and_then(|()| server.peek(&mut byte));
    let open = matches!(looked, Err(ref error) if error.kind() == io::ErrorKind::WouldBlock);
    open && server.set_nonblocking(false).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::scratch;
    use crate::support::servers::{Protocol, Rclone, RcloneConfiguration, Server};
    use std::path::Path;
    use std::process::Output;

    struct Behind {
        scratch: tempfile::TempDir,
        server: Server,
        proxy: Proxy,
        configuration: RcloneConfiguration,
    }

    fn behind(protocol: Protocol) -> Behind {
        let scratch = scratch();
        let server = Server::start(protocol, Rclone::Current, &scratch.path().join("served"));
        let proxy = Proxy::start(server.port);
        let configuration = RcloneConfiguration::new(scratch.path());
        configuration.add("remote", &server.remote_settings(proxy.port));
        std::fs::create_dir(scratch.path().join("source")).unwrap();
        Behind { scratch, server, proxy, configuration }
    }

    impl Behind {
        fn source(&self) -> std::path::PathBuf {
            self.scratch.path().join("source")
        }

        fn copy(&self, flags: &[&str]) -> Output {
            let target: &Path = "remote:bucket/mirror".as_ref();
            Rclone::Current
                .command(&self.configuration.path)
                .args(["copy", "--retries=1", "--low-level-retries=1", "--no-check-dest", "--no-traverse"])
                .args(flags)
                .args([&self.source(), target])
                .output()
                .unwrap()
        }
    }

    #[test]
    fn the_proxy_counts_and_passes_bodies_unchanged() {
        for protocol in [Protocol::Webdav, Protocol::Wsgidav, Protocol::S3] {
            let behind = behind(protocol);
            let big: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
            std::fs::write(behind.source().join("big"), &big).unwrap();
            std::fs::write(behind.source().join("empty"), "").unwrap();
            let output = behind.copy(&[]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(std::fs::read(behind.server.folder.join("bucket/mirror/big")).unwrap(), big);
            let uploads = behind
                .proxy
                .seen()
                .iter()
                .filter(|seen| seen.method == "PUT" && seen.path.contains("mirror/"))
                .count();
            assert_eq!(uploads, 2);
            let back = Rclone::Current
                .command(&behind.configuration.path)
                .args(["cat", "remote:bucket/mirror/big"])
                .output()
                .unwrap();
            assert!(back.stdout == big, "the body came back changed");
        }
    }

    #[test]
    fn every_fault_is_felt_by_the_client_and_heals() {
        let behind = behind(Protocol::Webdav);
        std::fs::write(behind.source().join("file"), vec![7; 100_000]).unwrap();
        for fault in [
            Fault::Status(507),
            Fault::Refuse,
            Fault::LoseReply,
            Fault::CutUpload,
            Fault::Hang(Duration::from_secs(3)),
        ] {
            behind.proxy.fail(move |seen| (seen.method == "PUT").then_some(fault));
            let output = behind.copy(&["--timeout=1s", "--contimeout=1s"]);
            assert!(!output.status.success(), "{fault:?} was not noticed");
            behind.proxy.heal();
            let output = behind.copy(&[]);
            assert!(
                output.status.success(),
                "still broken after {fault:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    #[test]
    fn only_the_chosen_request_fails() {
        let behind = behind(Protocol::Webdav);
        std::fs::write(behind.source().join("file"), "content").unwrap();
        assert!(behind.copy(&[]).status.success(), "the first copy makes the folders");
        behind.proxy.forget();
        assert!(behind.copy(&[]).status.success());
        let upload = behind.proxy.seen().into_iter().find(|seen| seen.method == "PUT").unwrap();
        let requests = behind.proxy.total() as u64;

        behind.proxy.forget();
        behind.proxy.fail_request(requests + 1, Fault::Status(507));
        assert!(behind.copy(&[]).status.success(), "there is no such request");
        behind.proxy.forget();
        behind.proxy.fail_request(upload.number, Fault::Status(507));
        assert!(!behind.copy(&[]).status.success(), "the upload should have failed");
    }

    #[test]
    fn latency_is_added_to_each_request() {
        let behind = behind(Protocol::Webdav);
        behind.proxy.set_latency(Duration::from_millis(150));
        let began = std::time::Instant::now();
        std::fs::write(behind.source().join("file"), "content").unwrap();
        assert!(behind.copy(&[]).status.success());
        // A lower bound cannot be broken by a slow machine.
        assert!(began.elapsed() >= Duration::from_millis(300));
    }
}
