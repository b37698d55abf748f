//! A proxy that lets a request through and cuts its answer off.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Forwards to a server.
pub(super) struct Cutter {
    pub(super) port: u16,
    flags: Arc<Flags>,
}

#[derive(Default)]
struct Flags {
    armed: AtomicBool,
    cut: AtomicBool,
}

impl Cutter {
    pub(super) fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let flags = Arc::new(Flags::default());
        let shared = flags.clone();
        // Ends with the process of the tests.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) {
                    forward(client, server, shared.clone());
                }
            }
        });
        Self { port, flags }
    }

    /// Whether requests that complete an upload reach the server, and their answers do not come.
    pub(super) fn cut_completions(&self, cut: bool) {
        self.flags.armed.store(cut, Ordering::SeqCst);
    }

    pub(super) fn has_cut(&self) -> bool {
        self.flags.cut.load(Ordering::SeqCst)
    }
}

fn forward(client: TcpStream, server: TcpStream, flags: Arc<Flags>) {
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
    // Of this connection: what the server answers next is dropped.
    let cuts = Arc::new(AtomicBool::new(false));
    let marks = cuts.clone();
    let shared = flags.clone();
    thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read.min(4_096)]);
            let head = text.lines().next().unwrap_or_default();
            let completes = head.starts_with("POST ") && head.contains("uploadId=");
            if completes && shared.armed.load(Ordering::SeqCst) {
                marks.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            if cuts.load(Ordering::SeqCst) {
                flags.cut.store(true, Ordering::SeqCst);
                break;
            }
            if to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = from_server.shutdown(Shutdown::Both);
    });
}
