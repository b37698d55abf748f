//! One client and its upstream.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Counts;
use super::lane::{End, Pipe, SLICE, finish, swallow};
use super::weather::{Direction, Weather};

/// Counts a connection out, also when its task is dropped.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why both lanes stop.
enum Event {
    End(End),
    Reset,
    HalfOpen,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    number: u64,
    client: TcpStream,
    mut weather: watch::Receiver<Weather>,
    counts: Arc<Counts>,
) {
    let _open = Open(counts.clone());
    let start = *weather.borrow_and_update();
    let upstream = match start.upstream {
        Some(upstream) => TcpStream::connect(upstream).await,
        None => Err(std::io::ErrorKind::NotConnected.into()),
    };
    let Ok(upstream) = upstream else { return reset(client) };
    // A fault must not wait for Nagle's algorithm.
    if client.set_nodelay(true).and_then(|()| upstream.set_nodelay(true)).is_err() {
        return reset(client);
    }
    let pipe = |direction| Pipe::new(number, direction, weather.clone(), counts.clone(), start);
    let (mut there, mut back) = (pipe(Direction::ToUpstream), pipe(Direction::ToClient));
    let lanes = async {
        let there = there.run(&client, &upstream);
        let back = back.run(&upstream, &client);
        tokio::pin!(there, back);
        let (mut there_done, mut back_done) = (false, false);
        loop {
            let end = tokio::select! {
                end = &mut there, if !there_done => { there_done = true; end }
                end = &mut back, if !back_done => { back_done = true; end }
            };
            if end != End::Finished || (there_done && back_done) {
                return end;
            }
        }
    };
    let event = tokio::select! {
        biased;
        event = ordered(&mut weather, &start) => event,
        end = lanes => Event::End(end),
    };
    match event {
        Event::End(End::Finished) => {}
        Event::End(End::Cut) => cut(client, upstream, weather).await,
        Event::Reset | Event::End(End::Broken) => {
            reset(client);
            reset(upstream);
        }
        Event::HalfOpen => {
            drop(upstream);
            silence(client, weather).await;
        }
    }
}

async fn ordered(weather: &mut watch::Receiver<Weather>, start: &Weather) -> Event {
    loop {
        let now = *weather.borrow_and_update();
        if now.resets != start.resets {
            return Event::Reset;
        }
        if now.half_opens != start.half_opens {
            return Event::HalfOpen;
        }
        if weather.changed().await.is_err() {
            return Event::Reset;
        }
    }
}

/// Ends both sides and reads on until they end too: closing with bytes unread would be a reset, which may take back bytes
/// that were to pass.
async fn cut(client: TcpStream, upstream: TcpStream, mut weather: watch::Receiver<Weather>) {
    let start = *weather.borrow_and_update();
    if finish(&client).and_then(|()| finish(&upstream)).is_ok() {
        let read_on = async { tokio::join!(swallow(&client), swallow(&upstream)) };
        tokio::select! {
            _ended = read_on => return,
            _reset_or_half_open = ordered(&mut weather, &start) => {}
        }
    }
    reset(client);
    reset(upstream);
}

/// Swallows what the client sends, until it goes or somebody heals or resets.
async fn silence(client: TcpStream, mut weather: watch::Receiver<Weather>) {
    let start = *weather.borrow_and_update();
    let mut buffer = vec![0; SLICE];
    let mut gone = false;
    loop {
        tokio::select! {
            biased;
            changed = weather.changed() => {
                let now = *weather.borrow_and_update();
                if changed.is_err() || now.heals != start.heals || now.resets != start.resets {
                    return reset(client);
                }
            }
            ready = client.readable(), if !gone => match ready.and_then(|()| client.try_read(&mut buffer)) {
                // The client has finished sending; its reading side may still be open.
                Ok(0) => gone = true,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            },
        }
    }
}

/// Closes with RST instead of FIN.
fn reset(stream: TcpStream) {
    // Where this fails the connection is gone already.
    let _ = stream.set_zero_linger();
}
