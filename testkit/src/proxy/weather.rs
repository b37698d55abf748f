//! What the proxy is to do now: one value that is replaced as a whole.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Which bytes a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the client sends.
    ToUpstream,
    /// What the client receives.
    ToClient,
    /// Both.
    Both,
}

/// Which connections a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those that stand now.
    Existing,
    /// Those that are made from now on.
    New,
    /// All.
    All,
}

impl Reach {
    /// The connections with these numbers, where `first` is the number of the next one.
    pub(super) fn from(self, first: u64) -> Span {
        match self {
            Self::Existing => Span { from: 0, to: first },
            Self::New => Span { from: first, to: u64::MAX },
            Self::All => Span { from: 0, to: u64::MAX },
        }
    }
}

/// Numbers of connections, the end not included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    from: u64,
    to: u64,
}

impl Span {
    pub(super) fn holds(self, connection: u64) -> bool {
        (self.from..self.to).contains(&connection)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

/// The faults of one direction. What happens once is a number that grows: a connection acts when it has grown since it last looked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    pub(super) latency: Latency,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) stall: Span,
    pub(super) hole: Span,
    pub(super) finishes: u64,
    pub(super) cut: Option<u64>,
    /// How often a cut was ordered.
    pub(super) cuts: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) upstream: Option<SocketAddr>,
    pub(super) seed: u64,
    pub(super) to_upstream: Lane,
    pub(super) to_client: Lane,
    pub(super) resets: u64,
    pub(super) half_opens: u64,
    pub(super) heals: u64,
}

impl Weather {
    /// Changes one lane or both.
    pub(super) fn lanes(&mut self, direction: Direction, mut change: impl FnMut(&mut Lane)) {
        if direction != Direction::ToClient {
            change(&mut self.to_upstream);
        }
        if direction != Direction::ToUpstream {
            change(&mut self.to_client);
        }
    }

    pub(super) fn lane(&self, direction: Direction) -> &Lane {
        if direction == Direction::ToClient { &self.to_client } else { &self.to_upstream }
    }

    pub(super) fn heal(&mut self) {
        let healed = |lane: &Lane| Lane { finishes: lane.finishes, cuts: lane.cuts, ..Lane::default() };
        self.to_upstream = healed(&self.to_upstream);
        self.to_client = healed(&self.to_client);
        self.heals += 1;
    }
}
