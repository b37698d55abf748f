//! Real systems on this machine, for tests: started, killed, frozen and restarted with their data kept.
//!
//! By default a system is a child process: a JVM with jars of Maven, or Python with packages of its index, fetched once into
//! `${XDG_CACHE_HOME:-$HOME/.cache}/connector-sdk/brokers`. With `TESTKIT_BROKERS=container` in the environment, and
//! testkit's feature `containers`, it is a container of the official image. A test says the same in both cases:
//!
//! ```no_run
//! # fn main() -> Result<(), testkit::brokers::BrokerError> {
//! use testkit::brokers::{Broker, Kafka};
//!
//! let mut kafka = Broker::start(Kafka::new())?;
//! let bootstrap = kafka.address().to_string();
//! kafka.kill()?; // SIGKILL
//! kafka.restart()?; // the same ports, the same data
//! # Ok(())
//! # }
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `TESTKIT_BROKERS` | `process` (the default) or `container` |
//! | `TESTKIT_KAFKA_IMAGE` | the image to use for Kafka instead of the official one, as `name:tag` |
//! | `TESTKIT_KEEP` | `1` keeps data directories, and says where they are |
//! | `CI` | when set, a test that lacks something fails instead of being ignored; see [`trial`] |
//!
//! What happens to a system when its test dies: a small `sh` outlives the test process, notices the end of a pipe, kills the
//! child with SIGKILL and removes its data. A container is removed by the next test that starts one.
//!
//! Continuous integration runs the processes. It has no container engine: `cargo xtask containers` runs the same tests on containers, with
//! a Docker daemon and an image of its own.
//!
//! A further system is one file with one [`Recipe`].

mod broker;
mod cache;
#[cfg(feature = "containers")]
mod container;
mod error;
mod java;
mod kafka;
mod mode;
mod ports;
mod process;
mod python;
mod real;
mod recipe;
mod s3;
mod trial;
mod watcher;

pub use broker::Broker;
pub use error::{BrokerError, Missing};
pub use kafka::{Authority, Identity, Kafka, KafkaClient, Metadata};
pub use mode::Mode;
pub use recipe::{Image, Node, Program, Recipe, Software};
pub use s3::S3;
pub use trial::{require, trial};
