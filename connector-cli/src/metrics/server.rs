//! `GET /metrics`, and nothing else, over HTTP/1.1. One request a connection; small enough to need no framework.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::failure::Failure;

/// A head of a request above this is refused.
const MAX_HEAD: usize = 8 * 1024;
/// A connection that is not done by then is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Further connections wait.
const MAX_CONNECTIONS: usize = 32;
/// The exporter asks to be tidied every few seconds.
const UPKEEP: Duration = Duration::from_secs(5);

/// Listens at `address`. Without a host (`9100`, `:9100`) that is the loopback interface.
///
/// # Errors
///
/// [`Failure::Configuration`] for what is no address, [`Failure::Surroundings`] when it can't be listened at.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, Failure> {
    let allowed = "allowed: a port (loopback only), HOST:PORT, or [IPV6]:PORT";
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::Configuration(format!("--metrics {address}: {why}; {allowed}"))
    };
    let port = address.strip_prefix(':').unwrap_or(address);
    let addresses: Vec<SocketAddr> = match port.parse::<u16>() {
        Ok(port) => vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
        Err(_) => tokio::net::lookup_host(address).await.map_err(|e| wrong(&e))?.collect(),
    };
    TcpListener::bind(&*addresses)
        .await
        .map_err(|e| Failure::Surroundings(format!("--metrics {address}: can't listen there: {e}")))
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: PrometheusHandle) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut upkeep = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = upkeep.tick() => metrics.run_upkeep(),
            accepted = accept(&listener, &connections) => {
                let Some((stream, permit)) = accepted else { continue };
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    // A peer that goes away or takes too long has itself to blame.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, &metrics)).await;
                    drop(permit);
                });
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(e) => {
            // Out of file descriptors, for example: the job matters more than its metrics.
            tracing::warn!(error = %e, "metrics: a connection was not accepted");
            tokio::time::sleep(Duration::from_secs(1)).await;
            None
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &PrometheusHandle) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() <= MAX_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let response = respond(&head, || metrics.render());
    stream.write_all(&response).await?;
    stream.shutdown().await
}

fn respond(head: &[u8], render: impl FnOnce() -> String) -> Vec<u8> {
    let line =
        head.split(|b| *b == b'\r').next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or("");
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let path = target.map(|target| target.split('?').next().unwrap_or(target));
    let proper = head.len() <= MAX_HEAD && version.is_some_and(|version| version.starts_with("HTTP/1."));
    let text = "text/plain; charset=utf-8";
    let (status, kind, body) = match (proper, method, path) {
        (false, ..) => {
            ("400 Bad Request", text, "expected an HTTP/1.1 request of at most 8 KiB\n".to_owned())
        }
        (_, Some("GET" | "HEAD"), Some("/metrics")) => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", render())
        }
        (_, Some("GET" | "HEAD"), _) => ("404 Not Found", text, "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", text, "only GET and HEAD\n".to_owned()),
    };
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    let body = if method == Some("HEAD") { String::new() } else { body };
    [head.into_bytes(), body.into_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> String {
        let response = String::from_utf8(respond(head.as_bytes(), || "x 1\n".into())).unwrap();
        response.lines().next().unwrap().trim_start_matches("HTTP/1.1 ").to_owned()
    }

    #[test]
    fn only_metrics_are_served() {
        assert_eq!(status("GET /metrics HTTP/1.1\r\n\r\n"), "200 OK");
        assert_eq!(status("GET /metrics?x=1 HTTP/1.0\r\n\r\n"), "200 OK");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("nonsense\r\n\r\n"), "400 Bad Request");
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(MAX_HEAD))), "400 Bad Request");
    }

    #[tokio::test]
    async fn an_address_without_a_host_is_the_loopback_interface() {
        for address in ["0", ":0"] {
            assert!(bind(address).await.unwrap().local_addr().unwrap().ip().is_loopback());
        }
        let refused = bind("nonsense").await.unwrap_err();
        assert_eq!(refused.exit_code(), crate::failure::BAD_CONFIGURATION, "{refused}");
    }
}
