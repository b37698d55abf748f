//! What a run tells while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::support::{Place, finish, signal};

#[test]
fn log_lines_are_json_when_asked_for() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    let ran = place.run(&["--log-format", "json", "--metrics", "0"]);
    ran.assert_done();
    assert!(ran.stderr.lines().count() > 0);
    for line in ran.stderr.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(entry["level"].is_string() && entry["message"].is_string(), "{line}");
    }
    let ran = place.run(&["--log-format", "json", "--set", "sink.x=1"]);
    assert_eq!(ran.code, 2);
    let last: serde_json::Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR");
}

#[test]
fn metrics_are_served_as_prometheus_text_on_the_loopback_interface() {
    let place = Place::new();
    place.long_input();
    let mut child = place.start(&["--metrics", "0"], |_| place.has_output());
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut address = String::new();
    while address.is_empty() {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "no address in the log");
        if let Some((_, rest)) = line.trim().split_once("metrics at http://") {
            address = rest.trim_end_matches("/metrics").to_owned();
        }
    }
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    for name in ["numRecordsIn", "numRecordsOut", "numberOfCompletedCheckpoints", "filesWritten"] {
        // A file is counted a moment after it can be seen.
        let found = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let metrics = get("/metrics");
            metrics.starts_with("HTTP/1.1 200 OK") && metrics.contains(&format!("\n{name}{{"))
        });
        assert!(found, "{name} is not in {}", get("/metrics"));
    }
    assert!(get("/").starts_with("HTTP/1.1 404"));
    signal(&child, "KILL");
    std::io::copy(&mut log, &mut std::io::sink()).unwrap();
    finish(child);
}

#[test]
fn an_address_that_is_none_exits_2() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    place.run(&["--metrics", "nonsense"]).assert_error(2, &["--metrics nonsense", "HOST:PORT"]);
    assert!(!place.path("ckpt").exists());
}
