//! One direction of one connection.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Counts;
use super::weather::{Direction, Lane, Weather};
use crate::random::SeededRandom;

/// The most that is read or written at once.
pub(super) const SLICE: usize = 16 * 1024;
/// The most that waits in a lane; then its sender feels the pressure.
const WAITING: usize = 1024 * 1024;

/// How a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The sender's end was passed on.
    Finished,
    /// All that was to pass has passed.
    Cut,
    /// A side is gone, or bytes are missing.
    Broken,
}

/// What waits to be passed on.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    sent: usize,
}

/// A lane's state.
pub(super) struct Pipe {
    connection: u64,
    direction: Direction,
    weather: watch::Receiver<Weather>,
    counts: Arc<Counts>,
    random: SeededRandom,
    /// As the lane last saw them.
    finishes: u64,
    heals: u64,
    cuts: u64,
    left: Option<u64>,
    waiting: VecDeque<Piece>,
    held: usize,
    /// No piece overtakes another, whatever the jitter.
    last_due: Instant,
    /// When the throttle lets the next slice pass.
    free: Instant,
    ended: bool,
    lost: bool,
    buffer: Vec<u8>,
}

impl Pipe {
    pub(super) fn new(
        connection: u64,
        direction: Direction,
        weather: watch::Receiver<Weather>,
        counts: Arc<Counts>,
        start: Weather,
    ) -> Self {
        let lane = start.lane(direction);
        let stream = connection * 2 + u64::from(direction == Direction::ToClient);
        let now = Instant::now();
        Self {
            connection,
            direction,
            weather,
            counts,
            random: SeededRandom::new(start.seed.wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
            finishes: lane.finishes,
            heals: start.heals,
            cuts: lane.cuts,
            left: lane.cut,
            waiting: VecDeque::new(),
            held: 0,
            last_due: now,
            free: now,
            ended: false,
            lost: false,
            buffer: vec![0; SLICE],
        }
    }

    /// Passes bytes from one side to the other until it ends.
    pub(super) async fn run(&mut self, from: &TcpStream, to: &TcpStream) -> End {
        match self.pass(from, to).await {
            Ok(end) => end,
            Err(_) => End::Broken,
        }
    }

    async fn pass(&mut self, from: &TcpStream, to: &TcpStream) -> io::Result<End> {
        let mut weather = self.weather.clone();
        loop {
            let lane = {
                let now = weather.borrow_and_update();
                if now.heals != self.heals {
                    self.heals = now.heals;
                    if self.lost {
                        return Ok(End::Broken);
                    }
                }
                *now.lane(self.direction)
            };
            if lane.cuts != self.cuts || lane.cut.is_none() {
                (self.cuts, self.left) = (lane.cuts, lane.cut);
            }
            if self.left == Some(0) {
                return Ok(End::Cut);
            }
            if lane.finishes != self.finishes {
                finish(to)?;
                return swallow(from).await;
            }
            let stalled = lane.stall.holds(self.connection);
            let next = self.waiting.front().map(|piece| piece.due.max(self.free)).filter(|_| !stalled);
            if next.is_none() && self.waiting.is_empty() && self.ended && !stalled && !self.lost {
                finish(to)?;
                return Ok(End::Finished);
            }
            tokio::select! {
                biased;
                changed = weather.changed() => if changed.is_err() { return Ok(End::Broken) },
                ready = writable(to, next) => {
                    ready?;
                    // The weather may have changed since this loop looked.
                    if !weather.has_changed().unwrap_or(true) { self.write(to, &lane)?; }
                }
                ready = from.readable(), if !self.ended && self.held < WAITING => {
                    ready?;
                    self.read(from)?;
                }
            }
        }
    }

    fn read(&mut self, from: &TcpStream) -> io::Result<()> {
        let count = match from.try_read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        // Asked for after the read: a fault that was set before these bytes were sent holds for them.
        let lane = *self.weather.borrow().lane(self.direction);
        self.ended = count == 0;
        if lane.hole.holds(self.connection) {
            self.lost = true;
        } else if count > 0 {
            let jitter = u64::try_from(lane.latency.jitter.as_micros()).unwrap_or(u64::MAX - 1);
            let jitter = Duration::from_micros(self.random.below(jitter + 1));
            let due = (Instant::now() + lane.latency.delay + jitter).max(self.last_due);
            self.last_due = due;
            self.held += count;
            self.waiting.push_back(Piece { due, bytes: self.buffer[..count].to_vec(), sent: 0 });
        }
        Ok(())
    }

    fn write(&mut self, to: &TcpStream, lane: &Lane) -> io::Result<()> {
        let Some(piece) = self.waiting.front_mut() else { return Ok(()) };
        let rate = lane.rate.map(|rate| rate.get());
        // Fifty slices a second, so that a slow stream trickles instead of jumping.
        let most = rate.map_or(SLICE, |rate| (rate as usize / 50).clamp(1, SLICE));
        let most = most.min(self.left.map_or(SLICE, |left| usize::try_from(left).unwrap_or(SLICE)));
        let rest = &piece.bytes[piece.sent..];
        let count = match to.try_write(&rest[..rest.len().min(most)]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        piece.sent += count;
        if piece.sent == piece.bytes.len() {
            self.held -= piece.sent;
            self.waiting.pop_front();
        }
        let passed = count as u64;
        self.left = self.left.map(|left| left - passed);
        self.counts.passed(self.direction).fetch_add(passed, Ordering::SeqCst);
        if let Some(rate) = rate {
            let pause = Duration::from_secs_f64(count as f64 / f64::from(rate));
            self.free = self.free.max(Instant::now()) + pause;
        }
        Ok(())
    }
}

/// Waits until something is due and the socket takes it; for ever if nothing waits.
async fn writable(to: &TcpStream, due: Option<Instant>) -> io::Result<()> {
    match due {
        Some(due) => {
            sleep_until(due).await;
            to.writable().await
        }
        None => std::future::pending().await,
    }
}

/// FIN to the receiver; its own direction stays open.
pub(super) fn finish(to: &TcpStream) -> io::Result<()> {
    match rustix::net::shutdown(to, rustix::net::Shutdown::Write) {
        // The receiver is gone altogether; the other lane says so.
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads to the end and passes nothing on.
pub(super) async fn swallow(from: &TcpStream) -> io::Result<End> {
    let mut buffer = vec![0; SLICE];
    loop {
        from.readable().await?;
        match from.try_read(&mut buffer) {
            Ok(0) => return Ok(End::Finished),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
