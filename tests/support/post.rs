//! Who notifications are sent to: web servers that answer as told, proxies,
//! and a mail server with TLS and login. All on loopback, all real sockets.

use super::servers::dies_with_us;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `POST /path HTTP/1.1`.
    pub line: String,
    /// As `name: value`, the name in lower case.
    pub headers: Vec<String>,
    /// As text.
    pub body: String,
}

impl Request {
    /// The part between the method and the version.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What a server does about a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status and body.
    Answer(u16, String),
    /// Nothing, for a long time.
    Hang,
    /// The connection ends without a word.
    Close,
}

impl Reply {
    /// 200 with nothing.
    pub fn good() -> Reply {
        Reply::Answer(200, String::new())
    }
}

/// A web server that keeps what it gets. It lives as long as the test process.
pub struct WebServer {
    /// On 127.0.0.1.
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl WebServer {
    /// `reply` gets each request and how many there were before.
    pub fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> WebServer {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let port = accept_all(move |stream| {
            let Some(request) = read_request(&stream) else { return };
            let before = {
                let mut kept = kept.lock().unwrap();
                kept.push(request.clone());
                kept.len() - 1
            };
            answer(stream, reply(&request, before));
        });
        WebServer { port, requests }
    }

    /// A Telegram bot server that knows one token and one chat, and refuses
    /// what Telegram's refuses. `first` is its answer to the first request.
    pub fn telegram(token: &'static str, chat: &'static str, first: Option<Reply>) -> WebServer {
        let first = Mutex::new(first);
        WebServer::start(move |request, _| {
            let first = first.lock().unwrap().take();
            first.unwrap_or_else(|| telegram_reply(token, chat, request))
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The text of the only message that was sent to Telegram.
    pub fn only_text(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].json()["text"].as_str().unwrap().to_owned()
    }
}

/// What Telegram answers: `{"ok":false,"error_code":…,"description":…}`.
pub fn telegram_refuses(status: u16, description: &str, parameters: Value) -> Reply {
    let body =
        json!({"ok": false, "error_code": status, "description": description, "parameters": parameters});
    Reply::Answer(status, body.to_string())
}

fn telegram_reply(token: &str, chat: &str, request: &Request) -> Reply {
    let refuse = |status, description: &str| telegram_refuses(status, description, json!({}));
    let path = request.path();
    let Some(given) = path.strip_prefix("/bot").and_then(|rest| rest.strip_suffix("/sendMessage")) else {
        return refuse(404, "Not Found");
    };
    if given != token {
        return refuse(401, "Unauthorized");
    }
    let Ok(message) = serde_json::from_str::<Value>(&request.body) else {
        return refuse(400, "Bad Request: can't parse the body");
    };
    let text = message["text"].as_str().unwrap_or_default();
    let units = text.encode_utf16().count();
    let is_within = |entity: &Value| {
        let end = entity["offset"]
            .as_u64()
            .unwrap_or(u64::MAX)
            .saturating_add(entity["length"].as_u64().unwrap_or(u64::MAX));
        end <= units as u64
    };
    if message["chat_id"] != chat {
        refuse(400, "Bad Request: chat not found")
    } else if text.trim().is_empty() {
        refuse(400, "Bad Request: message text is empty")
    } else if units > 4_096 {
        refuse(400, "Bad Request: message is too long")
    } else if message.get("parse_mode").is_some()
        || !message["entities"].as_array().unwrap().iter().all(is_within)
    {
        refuse(400, "Bad Request: can't parse entities")
    } else {
        Reply::Answer(200, json!({"ok": true, "result": {"message_id": 1}}).to_string())
    }
}

/// Calls `serve` for each connection in a thread of its own.
pub fn accept_all(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<String>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&length| length > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|&length| length > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push(format!("{}: {}", name.to_ascii_lowercase(), value.trim()));
    }
    Some((line.trim_end().to_owned(), headers))
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (line, headers) = read_head(&mut reader)?;
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn answer(mut stream: TcpStream, reply: Reply) {
    match reply {
        Reply::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }
        Reply::Hang => std::thread::sleep(Duration::from_secs(600)),
        Reply::Close => {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A proxy that only lets in who knows `ferry:hunter2`, and leads every name
/// to one port of this machine: a name that only the proxy can resolve.
pub struct WayOut {
    /// On 127.0.0.1.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl WayOut {
    /// An HTTP proxy (CONNECT).
    pub fn http(target: u16) -> WayOut {
        WayOut::start(target, |stream| {
            let mut reader = BufReader::new(stream.try_clone().ok()?);
            let (line, headers) = read_head(&mut reader)?;
            let asked = line.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
            // Base64 of ferry:hunter2.
            if !headers.iter().any(|header| header == "proxy-authorization: Basic ZmVycnk6aHVudGVyMg==") {
                stream.write_all(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n").ok()?;
                return None;
            }
            stream.write_all(b"HTTP/1.1 200 Go\r\n\r\n").ok()?;
            Some(asked)
        })
    }

    /// A SOCKS5 proxy.
    pub fn socks5(target: u16) -> WayOut {
        WayOut::start(target, |stream| {
            let mut byte = [0; 2];
            stream.read_exact(&mut byte).ok()?;
            take(stream, byte[1])?;
            stream.write_all(&[5, 2]).ok()?;
            stream.read_exact(&mut byte).ok()?;
            let user = take(stream, byte[1])?;
            let mut length = [0];
            stream.read_exact(&mut length).ok()?;
            let password = take(stream, length[0])?;
            let is_known = user == b"ferry" && password == b"hunter2";
            stream.write_all(&[1, u8::from(!is_known)]).ok()?;
            let mut head = [0; 4];
            stream.read_exact(&mut head).ok().filter(|()| is_known)?;
            // A name, not an address that this machine has found.
            assert_eq!(head, [5, 1, 0, 3]);
            stream.read_exact(&mut length).ok()?;
            let name = String::from_utf8(take(stream, length[0])?).ok()?;
            stream.read_exact(&mut byte).ok()?;
            stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).ok()?;
            Some(format!("{name}:{}", u16::from(byte[0]) << 8 | u16::from(byte[1])))
        })
    }

    fn start(
        target: u16,
        welcome: impl Fn(&mut TcpStream) -> Option<String> + Send + Sync + 'static,
    ) -> WayOut {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let port = accept_all(move |mut stream| {
            let Some(name) = welcome(&mut stream) else { return };
            noted.lock().unwrap().push(name);
            let far = TcpStream::connect(("127.0.0.1", target)).unwrap();
            let (mut from, mut to) = (stream.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut &far, &mut &stream);
            let _ = stream.shutdown(Shutdown::Both);
        });
        WayOut { port, asked }
    }

    /// The `name:port` of everybody who was let through.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn take(stream: &mut TcpStream, length: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// `tests/support/post_office.py` at work.
pub struct PostOffice {
    child: Child,
    /// On 127.0.0.1.
    pub port: u16,
    folder: tempfile::TempDir,
}

impl PostOffice {
    /// `kind` is `smtps`, `starttls` or `https`.
    pub fn start(kind: &str) -> PostOffice {
        let folder = super::scratch();
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support");
        let mut child = dies_with_us(&super::tool("aiosmtpd"))
            .arg(support.join("post_office.py"))
            .arg(kind)
            .arg(folder.path())
            .args([support.join("tls/server.pem"), support.join("tls/server.key.pem")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port =
            line.trim().parse().unwrap_or_else(|error| panic!("the post office says {line:?}: {error}"));
        PostOffice { child, port, folder }
    }

    /// Who the programs must trust: the value of `SSL_CERT_FILE`.
    pub fn authority() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls/authority.pem")
    }

    /// What was taken, once there are `number` pieces of it.
    pub fn taken(&self, number: usize) -> Vec<Value> {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let taken: Vec<Value> = (1..)
                .map_while(|number| std::fs::read(self.folder.path().join(format!("{number}.json"))).ok())
                .map(|bytes| serde_json::from_slice(&bytes).unwrap())
                .collect();
            if taken.len() >= number {
                return taken;
            }
            assert!(Instant::now() < patience, "only {} of {number} came", taken.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
