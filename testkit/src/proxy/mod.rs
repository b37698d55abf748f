//! A TCP proxy whose faults are switched while it runs: what lies between a connector and its system, at its worst.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use std::time::Duration;
//! use testkit::proxy::{Direction, Proxy};
//!
//! let proxy = Proxy::to("127.0.0.1:9092".parse().expect("an address"))?;
//! // the client under test connects to proxy.address()
//! proxy.latency(Direction::Both, Duration::from_millis(50), Duration::from_millis(20));
//! proxy.cut_after(Direction::ToClient, 1_000);
//! proxy.heal()?;
//! # Ok(())
//! # }
//! ```
//!
//! | fault | what the two sides see |
//! |---|---|
//! | [`latency`](Proxy::latency) | bytes arrive later, in order |
//! | [`throttle`](Proxy::throttle) | bytes arrive slowly |
//! | [`stall`](Proxy::stall) | nothing arrives; after healing everything does: packets that TCP repeats |
//! | [`black_hole`](Proxy::black_hole) | nothing arrives, and it is lost; healing resets connections that lost something |
//! | [`refuse_new`](Proxy::refuse_new) | `ECONNREFUSED` for new connections; those that stand go on |
//! | [`reset_all`](Proxy::reset_all) | `ECONNRESET` on each connection that stands |
//! | [`half_open`](Proxy::half_open) | the upstream side sees the end, the client sees an open connection that is silent |
//! | [`finish`](Proxy::finish) | one direction ends in order (FIN), the other goes on |
//! | [`cut_after`](Proxy::cut_after) | so many bytes more, then the end, in the middle of whatever it was |
//!
//! The proxy lives on a thread of its own in real time, so it serves blocking and asynchronous tests alike. A call takes effect before it
//! returns for bytes that are sent, and connections that are made, afterwards. A connection counts as standing once the proxy has taken it from the
//! kernel, for certain when an answer came through it. A proxy whose upstream can't be reached accepts and then
//! resets, which is what a real one does.

mod connection;
mod lane;
mod listener;
mod weather;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use listener::Order;
pub use weather::{Direction, Reach};
use weather::{Latency, Weather};

/// See the [module](self).
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    orders: mpsc::UnboundedSender<Order>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// What passed.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    open: AtomicU64,
    to_upstream: AtomicU64,
    to_client: AtomicU64,
}

impl Counts {
    fn passed(&self, direction: Direction) -> &AtomicU64 {
        if direction == Direction::ToUpstream { &self.to_upstream } else { &self.to_client }
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream`.
    ///
    /// # Errors
    ///
    /// The machine gives no socket or no thread.
    pub fn to(upstream: SocketAddr) -> io::Result<Self> {
        let proxy = Self::listen()?;
        proxy.forward_to(upstream);
        Ok(proxy)
    }

    /// Listens on a free port of 127.0.0.1; until [`forward_to`](Self::forward_to) says where to, connections are reset.
    ///
    /// # Errors
    ///
    /// The machine gives no socket or no thread.
    pub fn listen() -> io::Result<Self> {
        let counts = Arc::new(Counts::default());
        let (weather, seen) = watch::channel(Weather::default());
        let (orders, received) = mpsc::unbounded_channel();
        let (address, thread) = listener::start(seen, received, counts.clone())?;
        Ok(Self { address, weather, orders, counts, thread: Some(thread) })
    }

    /// Where clients connect. It stays the same for the proxy's life, also while new connections are refused.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards connections that are made from now on to this address.
    pub fn forward_to(&self, upstream: SocketAddr) {
        self.weather.send_modify(|weather| weather.upstream = Some(upstream));
    }

    /// Delays what is sent by `delay` and up to `jitter` more, drawn from the proxy's seed per piece read; order is kept. Replaces an
    /// earlier latency; zero takes it away.
    pub fn latency(&self, direction: Direction, delay: Duration, jitter: Duration) {
        let latency = Latency { delay, jitter };
        self.weather.send_modify(|weather| weather.lanes(direction, |lane| lane.latency = latency));
    }

    /// Decides the jitter of connections that are made from now on. The default is 0.
    pub fn seed(&self, seed: u64) {
        self.weather.send_modify(|weather| weather.seed = seed);
    }

    /// Lets no more than so many bytes a second pass, per connection. `None` takes the limit away.
    pub fn throttle(&self, direction: Direction, bytes_per_second: Option<std::num::NonZeroU32>) {
        self.weather.send_modify(|weather| weather.lanes(direction, |lane| lane.rate = bytes_per_second));
    }

    /// Nothing passes until [`heal`](Self::heal); then everything does. Ends of streams are held too.
    pub fn stall(&self, direction: Direction, reach: Reach) {
        let first = self.counts.accepted.load(Ordering::SeqCst);
        self.weather.send_modify(|weather| weather.lanes(direction, |lane| lane.stall = reach.from(first)));
    }

    /// Bytes and ends of streams are swallowed. A connection that lost something is reset by [`heal`](Self::heal): a stream with a gap is
    /// nothing that TCP would ever deliver.
    pub fn black_hole(&self, direction: Direction, reach: Reach) {
        let first = self.counts.accepted.load(Ordering::SeqCst);
        self.weather.send_modify(|weather| weather.lanes(direction, |lane| lane.hole = reach.from(first)));
    }

    /// Refuses new connections until [`heal`](Self::heal), as if nobody listened.
    ///
    /// # Errors
    ///
    /// The proxy's thread is gone.
    pub fn refuse_new(&self) -> io::Result<()> {
        self.order(false)
    }

    /// Resets (RST) all connections that stand; new ones are served.
    pub fn reset_all(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }

    /// Closes the upstream side of all connections that stand and leaves their client side open: what the client sends is swallowed, nothing
    /// comes back. [`heal`](Self::heal) resets them.
    pub fn half_open(&self) {
        self.weather.send_modify(|weather| weather.half_opens += 1);
    }

    /// Ends this direction of all connections that stand in order (FIN to the receiver); what its sender sends from now on is
    /// swallowed. The other direction goes on.
    pub fn finish(&self, direction: Direction) {
        self.weather.send_modify(|weather| weather.lanes(direction, |lane| lane.finishes += 1));
    }

    /// Lets exactly so many bytes more pass in this direction of each connection, counted from now for those that stand and from their
    /// beginning for new ones, and then closes both sides (FIN). [`heal`](Self::heal) takes it back where it has not happened.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.weather.send_modify(|weather| {
            weather.lanes(direction, |lane| {
                lane.cut = Some(bytes);
                lane.cuts += 1;
            });
        });
    }

    /// Takes all faults away: connections that were stalled, slow or to be cut go on, those that lost bytes or one side are reset, new ones are
    /// accepted.
    ///
    /// # Errors
    ///
    /// The proxy's thread is gone, or its port can't be listened on again.
    pub fn heal(&self) -> io::Result<()> {
        self.weather.send_modify(Weather::heal);
        self.order(true)
    }

    fn order(&self, accept: bool) -> io::Result<()> {
        let (answer, answered) = std::sync::mpsc::channel();
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the proxy's thread is gone");
        self.orders.send(Order { accept, answer }).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many connections stand now.
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many bytes were passed on in a direction so far, over all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        let count = |direction| self.counts.passed(direction).load(Ordering::SeqCst);
        match direction {
            Direction::Both => count(Direction::ToUpstream) + count(Direction::ToClient),
            one => count(one),
        }
    }
}

impl Drop for Proxy {
    /// Closes what stands and gives the port back.
    fn drop(&mut self) {
        // The thread ends when nobody can give it orders any more.
        let (closed, _) = mpsc::unbounded_channel();
        self.orders = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
