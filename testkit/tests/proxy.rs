//! Each fault of the proxy, seen from both sides, with a server that echoes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use testkit::proxy::{Direction, Proxy, Reach};

/// Long enough for a loaded machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long "nothing comes" is watched.
const QUIET: Duration = Duration::from_millis(150);

/// How a connection ended for the server.
type Ending = Result<Vec<u8>, ErrorKind>;

/// Echoes, and tells how each connection ended and what it received.
fn echo() -> (SocketAddr, mpsc::Receiver<Ending>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, endings) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                let ending = loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => break Ok(seen),
                        Ok(count) => {
                            seen.extend(&buffer[..count]);
                            if let Err(error) = stream.write_all(&buffer[..count]) {
                                break Err(error.kind());
                            }
                        }
                        Err(error) => break Err(error.kind()),
                    }
                };
                let _ = tell.send(ending);
            });
        }
    });
    (address, endings)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn echoed(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text)?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

fn works(stream: &mut TcpStream) {
    assert_eq!(echoed(stream, b"ping").unwrap(), b"ping");
}

fn is_quiet(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let error = stream.read(&mut [0; 1]).expect_err("something came");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

fn is_reset(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn without_faults_bytes_and_ends_pass_in_both_directions() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut client = connect(&proxy);
    let text: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let sent = text.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == text);
    assert!(endings.recv_timeout(PATIENCE).unwrap().unwrap() == text);
    assert_eq!(proxy.passed(Direction::ToUpstream), text.len() as u64);
    assert_eq!(proxy.passed(Direction::Both), 2 * text.len() as u64);
}

#[test]
fn latency_delays_each_way_and_keeps_order() {
    let (server, _endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut client = connect(&proxy);
    proxy.seed(7);
    proxy.latency(Direction::Both, Duration::from_millis(60), Duration::from_millis(40));
    let started = now();
    works(&mut client);
    // A lower bound only: a slow machine makes it longer, nothing makes it shorter.
    assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
    for number in 0..50_u8 {
        client.write_all(&[number]).unwrap();
    }
    let mut back = [0; 50];
    client.read_exact(&mut back).unwrap();
    assert!(back.iter().copied().eq(0..50), "{back:?}");
}

#[test]
fn a_throttle_holds_a_stream_to_its_rate() {
    let (server, _endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut client = connect(&proxy);
    proxy.throttle(Direction::ToClient, NonZeroU32::new(50_000));
    let started = now();
    let text = vec![1; 20_000];
    assert!(echoed(&mut client, &text).unwrap() == text);
    // 20,000 bytes at 50,000 a second, less the first and the last slice of a fiftieth.
    assert!(started.elapsed() >= Duration::from_millis(350), "{:?}", started.elapsed());
    proxy.throttle(Direction::ToClient, None);
    works(&mut client);
}

#[test]
fn what_a_stall_held_arrives_after_healing() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut client = connect(&proxy);
    works(&mut client);
    proxy.stall(Direction::ToUpstream, Reach::All);
    client.write_all(b"late").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    is_quiet(&mut client);
    proxy.heal().unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"late");
    assert_eq!(endings.recv_timeout(PATIENCE).unwrap().unwrap(), b"pinglate");
}

#[test]
fn a_black_hole_swallows_and_healing_resets_only_what_lost_bytes() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let (mut loses, mut idle) = (connect(&proxy), connect(&proxy));
    works(&mut loses);
    works(&mut idle);
    proxy.black_hole(Direction::ToUpstream, Reach::All);
    loses.write_all(b"gone").unwrap();
    is_quiet(&mut loses);
    proxy.heal().unwrap();
    is_reset(&mut loses);
    assert_eq!(endings.recv_timeout(PATIENCE).unwrap(), Err(ErrorKind::ConnectionReset));
    works(&mut idle);
}

#[test]
fn a_black_hole_is_for_the_connections_it_was_made_for() {
    let (server, _endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut old = connect(&proxy);
    works(&mut old);
    proxy.black_hole(Direction::Both, Reach::New);
    let mut new = connect(&proxy);
    new.write_all(b"gone").unwrap();
    is_quiet(&mut new);
    works(&mut old);
    proxy.heal().unwrap();
    proxy.black_hole(Direction::Both, Reach::Existing);
    works(&mut connect(&proxy));
    old.write_all(b"gone").unwrap();
    is_quiet(&mut old);
}

#[test]
fn refused_means_refused_by_the_kernel_and_old_connections_go_on() {
    let (server, _endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut old = connect(&proxy);
    works(&mut old);
    for _again in 0..3 {
        proxy.refuse_new().unwrap();
        let error = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        works(&mut old);
        proxy.heal().unwrap();
        works(&mut connect(&proxy));
    }
}

#[test]
fn a_reset_hits_both_sides_of_all_connections_and_no_later_one() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut two = [connect(&proxy), connect(&proxy)];
    two.iter_mut().for_each(works);
    proxy.reset_all();
    for client in &mut two {
        is_reset(client);
        assert_eq!(endings.recv_timeout(PATIENCE).unwrap(), Err(ErrorKind::ConnectionReset));
    }
    works(&mut connect(&proxy));
}

#[test]
fn half_open_ends_the_upstream_side_and_leaves_the_client_waiting() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut client = connect(&proxy);
    works(&mut client);
    proxy.half_open();
    assert_eq!(endings.recv_timeout(PATIENCE).unwrap().unwrap(), b"ping");
    client.write_all(b"into nothing").unwrap();
    is_quiet(&mut client);
    client.write_all(b"still accepted").unwrap();
    proxy.heal().unwrap();
    is_reset(&mut client);
}

#[test]
fn an_end_in_one_direction_leaves_the_other_open() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut client = connect(&proxy);
    works(&mut client);
    proxy.finish(Direction::ToClient);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    client.write_all(b"still heard").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(endings.recv_timeout(PATIENCE).unwrap().unwrap(), b"pingstill heard");
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_pass() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let mut old = connect(&proxy);
    works(&mut old);
    proxy.cut_after(Direction::ToClient, 5);
    for client in [&mut old, &mut connect(&proxy)] {
        client.write_all(b"frame of bytes").unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back, b"frame");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        endings.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    proxy.heal().unwrap();
    let mut healed = connect(&proxy);
    works(&mut healed);
    works(&mut healed);
}

#[test]
fn an_unreachable_upstream_shows_as_a_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::to(nobody).unwrap();
    is_reset(&mut connect(&proxy));
    let (server, _endings) = echo();
    proxy.forward_to(server);
    works(&mut connect(&proxy));
}

#[test]
fn a_dropped_proxy_closes_its_connections_and_gives_the_port_back() {
    let (server, endings) = echo();
    let proxy = Proxy::to(server).unwrap();
    let address = proxy.address();
    let mut client = connect(&proxy);
    works(&mut client);
    assert_eq!((proxy.accepted(), proxy.open()), (1, 1));
    drop(proxy);
    endings.recv_timeout(PATIENCE).unwrap().ok();
    let ended = client.read(&mut [0; 1]);
    assert!(matches!(&ended, Ok(0)) || ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    TcpListener::bind(address).unwrap();
}
