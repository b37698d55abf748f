//! testkit's suites over this connector, on a real broker.
#![allow(missing_docs, clippy::expect_used)]

#[path = "../support/agreed.rs"]
mod agreed;
#[path = "../support/broker.rs"]
mod broker;
mod factory;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/java.rs"]
mod java;
mod sink;

use std::process::ExitCode;

use connector_kafka::sink::DeliveryGuarantee;
use factory::KafkaFactory;
use sink::KafkaSinkContext;
use testkit::brokers::Kafka;

fn main() -> ExitCode {
    if let Err(missing) = testkit::brokers::require(&Kafka::new()) {
        eprintln!("not run, since there is no broker: {missing}");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let suite = testkit::Suite::new("kafka")
        .on_the_real_system()
        .sparing(1)
        .threads(4)
        .factory(|_| KafkaFactory)
        .named("kafka sink, exactly once")
        .sink(|around| KafkaSinkContext::new(around, DeliveryGuarantee::ExactlyOnce))
        .named("kafka sink, at least once")
        .sink(|around| KafkaSinkContext::new(around, DeliveryGuarantee::AtLeastOnce));
    agreed::end(suite.main())
}
