//! testkit's suites over this connector, in the simulation.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used)]

mod factory;
mod sink;
mod source;
#[path = "../support/stream.rs"]
mod stream;

use std::process::ExitCode;

use connector_pravega::sink::DeliveryGuarantee;
use factory::PravegaFactory;
use sink::PravegaSinkContext;
use source::PravegaSourceContext;
use testkit::Suite;

const README: &str = include_str!("../../README.md");

fn main() -> ExitCode {
    Suite::new("pravega")
        .factory(|_| PravegaFactory)
        .named("source:bounded")
        .source(|_| PravegaSourceContext { is_bounded: true })
        .named("source:unbounded")
        .source(|_| PravegaSourceContext { is_bounded: false })
        .named("sink:exactly-once")
        .sink(|_| PravegaSinkContext { guarantee: DeliveryGuarantee::ExactlyOnce })
        .named("sink:at-least-once")
        .sink(|_| PravegaSinkContext { guarantee: DeliveryGuarantee::AtLeastOnce })
        .main()
}
