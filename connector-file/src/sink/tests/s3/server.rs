//! A server of testkit's, for the tests of one connector.

use testkit::brokers::{Broker, S3, require};

/// A server with one bucket, `bucket`, which is empty after each start.
pub(super) struct Moto {
    pub(super) port: u16,
    broker: Broker,
}

impl Moto {
    /// Starts one; says why it can't, in one line. In continuous integration that fails the test.
    pub(super) fn start() -> Option<Self> {
        if let Err(missing) = require(&S3) {
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            println!("not tried: {missing}");
            return None;
        }
        let broker = Broker::start(S3).unwrap();
        Some(Self { port: broker.address().port(), broker })
    }

    /// Starts it again, empty, on the same port.
    pub(super) fn restart(&mut self) {
        self.broker.restart().unwrap();
    }

    /// SIGKILL, and reaped.
    pub(super) fn kill(&mut self) {
        self.broker.kill().unwrap();
    }
}
