//! A server that takes multipart uploads of S3 and reads each connection at a limited rate, as a wide-area link would carry it.
//!
//! It knows what a sink needs and no more: uploads, small objects, sizes, empty listings. It checks no signature and keeps no content.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Result, now};

/// The server. It lives as long as the process.
#[derive(Clone, Debug)]
pub struct SlowS3 {
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    uploads: u64,
    /// By object and upload: the sizes of parts.
    parts: BTreeMap<(String, String), BTreeMap<u32, u64>>,
    objects: BTreeMap<String, u64>,
}

/// One request, without its body.
struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    length: u64,
}

impl SlowS3 {
    /// Listens on a free port; each connection is read at `rate` bytes per second.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub fn start(rate: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let state = Arc::<Mutex<State>>::default();
        let server = Self { endpoint: format!("http://127.0.0.1:{port}"), state };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = shared.clone();
                // A connection ends when its client goes away.
                std::thread::spawn(move || server.serve(stream, rate));
            }
        });
        Ok(server)
    }

    /// Bytes of visible objects, and how many uploads are open.
    pub fn visible(&self) -> (u64, usize) {
        let state = self.lock();
        let is_hidden = |key: &str| key.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        let visible = state.objects.iter().filter(|(key, _)| !is_hidden(key));
        (visible.map(|(_, size)| size).sum(), state.parts.len())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream, rate: u64) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut answers = stream.try_clone()?;
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        while let Some(request) = head(&mut reader)? {
            slowly(&mut reader, request.length, rate)?;
            let (status, headers, body) = self.answer(&request);
            let length = if request.method == "HEAD" {
                String::new()
            } else {
                format!("content-length: {}\r\n", body.len())
            };
            write!(answers, "HTTP/1.1 {status}\r\n{headers}{length}\r\n{body}")?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> (&'static str, String, String) {
        let mut state = self.lock();
        let key = request.key.clone();
        let upload = request.query.get("uploadId").cloned();
        let part = request.query.get("partNumber").and_then(|n| n.parse().ok());
        let etag = "etag: \"0\"\r\n".to_owned();
        match (request.method.as_str(), upload, part) {
            ("POST", None, _) if request.query.contains_key("uploads") => {
                state.uploads += 1;
                let id = state.uploads.to_string();
                state.parts.insert((key.clone(), id.clone()), BTreeMap::new());
                let body = format!(
                    "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                ("200 OK", String::new(), body)
            }
            ("PUT", Some(id), Some(part)) => match state.parts.get_mut(&(key, id)) {
                Some(parts) => {
                    parts.insert(part, request.length);
                    ("200 OK", etag, String::new())
                }
                None => ("404 Not Found", String::new(), "<Error><Code>NoSuchUpload</Code></Error>".into()),
            },
            ("POST", Some(id), _) => match state.parts.remove(&(key.clone(), id)) {
                Some(parts) => {
                    state.objects.insert(key.clone(), parts.values().sum());
                    let body = format!(
                        "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>0</ETag></CompleteMultipartUploadResult>"
                    );
                    ("200 OK", String::new(), body)
                }
                None => ("404 Not Found", String::new(), "<Error><Code>NoSuchUpload</Code></Error>".into()),
            },
            ("DELETE", Some(id), _) => {
                state.parts.remove(&(key, id));
                ("204 No Content", String::new(), String::new())
            }
            ("PUT", ..) => {
                state.objects.insert(key, request.length);
                ("200 OK", etag, String::new())
            }
            ("DELETE", ..) => {
                state.objects.remove(&key);
                ("204 No Content", String::new(), String::new())
            }
            ("HEAD", ..) => match state.objects.get(&key) {
                Some(size) => {
                    let headers = format!(
                        "content-length: {size}\r\n{etag}last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                    );
                    ("200 OK", headers, String::new())
                }
                None => ("404 Not Found", String::new(), String::new()),
            },
            ("GET", ..) if request.query.contains_key("list-type") => {
                let body = "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
                ("200 OK", String::new(), body.into())
            }
            _ => ("404 Not Found", String::new(), String::new()),
        }
    }
}

/// The next request; none when the client has gone.
fn head(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.to_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let query = query.collect();
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Some(Request { method, key, query, length }));
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
}

/// Reads a body no faster than `rate`.
fn slowly(reader: &mut impl Read, length: u64, rate: u64) -> std::io::Result<()> {
    let (started, mut done) = (now(), 0);
    let mut buffer = vec![0; 64 << 10];
    while done < length {
        let wanted = buffer.len().min(usize::try_from(length - done).unwrap_or(usize::MAX));
        match reader.read(&mut buffer[..wanted])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => done += n as u64,
        }
        let due = Duration::from_secs_f64(done as f64 / rate as f64);
        sleep(due.saturating_sub(started.elapsed()));
    }
    Ok(())
}

/// This is what makes the server slow.
#[allow(clippy::disallowed_methods)]
fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}
