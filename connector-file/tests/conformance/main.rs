//! testkit's suites over this connector, in the simulation: {lines, CSV, JSON, Parquet} x {local, memory, S3 server} x {source, sink,
//! sink with compaction}, and what only some of these have.
//!
//! | where | explores | crash campaigns |
//! |---|---|---|
//! | lines, CSV and JSON locally, lines in memory; all that only some have | 20 seeds | every hit of every crash point, also as power cuts; pairs |
//! | the others in memory; Parquet locally | 20 seeds; 5 | each crash point once, and once as the second death |
//! | a server that speaks S3; CSV and JSON only where `TESTKIT_ALL_ON_S3` is set, as `cargo xtask soak conformance` does | 1 seed | the same |
#![allow(missing_docs, clippy::expect_used)]

mod factory;
mod matrix;
#[cfg(feature = "s3")]
mod server;
mod sink;
mod source;
#[path = "../support/store.rs"]
mod store;

use std::process::ExitCode;

use connector_file::format::{Compression, Format};
use factory::FileFactory;
use matrix::{Lines, Local, Looks, Objects, Place, Rows, Shape, Sinks, Sources};
use sink::FileSinkContext;
use source::FileSourceContext;
use testkit::Suite;

const CSV: Rows = Rows(Shape { format: Format::Csv, compression: Compression::None });
const JSON: Rows = Rows(Shape { format: Format::Json, compression: Compression::None });
const GZIP: Rows = Rows(Shape { format: Format::Json, compression: Compression::Gzip });
const CSV_GZIP: Rows = Rows(Shape { format: Format::Csv, compression: Compression::Gzip });

/// What makes a place for one test.
type Where = fn() -> Box<dyn Place>;

/// A source of a format in a place.
fn source<L: Looks>(suite: Suite, name: &str, looks: L, place: Where) -> Suite {
    suite.named(format!("source:{name}")).source(move |_| Sources(looks, place()))
}

/// A sink of a format in a place.
fn sink<L: Looks>(suite: Suite, name: &str, looks: L, place: Where, compacted: bool) -> Suite {
    let name = format!("sink:{name}{}", if compacted { ":compacted" } else { "" });
    suite.named(name).sink(move |_| Sinks { looks, place: place(), compacted })
}

/// The source, the sink, and the sink with compaction.
fn all<L: Looks>(suite: Suite, name: &str, looks: L, place: Where) -> Suite {
    let suite = source(suite, name, looks, place);
    let suite = sink(suite, name, looks, place, false);
    sink(suite, name, looks, place, true)
}

/// All formats of text in a place.
fn texts(suite: Suite, at: &str, place: Where) -> Suite {
    let suite = all(suite, &format!("lines:{at}"), Lines, place);
    let suite = all(suite, &format!("csv:{at}"), CSV, place);
    all(suite, &format!("json:{at}"), JSON, place)
}

/// Parquet in a place.
#[cfg(feature = "parquet")]
fn columns(suite: Suite, at: &str, place: Where) -> Suite {
    all(suite, &format!("parquet:{at}"), matrix::Columns, place)
}

#[cfg(not(feature = "parquet"))]
fn columns(suite: Suite, _: &str, _: Where) -> Suite {
    suite
}

/// What lines locally have besides, and compressed files.
fn others(suite: Suite) -> Suite {
    let lines = |on_checkpoint, compacted, bucketed| FileSinkContext { on_checkpoint, compacted, bucketed };
    let suite = suite
        .named("source:lines:local:moving")
        .source(|_| FileSourceContext::bounded(Some("move:/done")))
        .named("source:lines:local:continuous")
        .source(|_| FileSourceContext::continuous(None))
        .named("source:lines:local:continuous:deleting")
        .source(|_| FileSourceContext::continuous(Some("delete")))
        .named("sink:lines:local:open")
        .sink(move |_| lines(false, false, false))
        .named("sink:lines:local:open:compacted")
        .sink(move |_| lines(false, true, false))
        .named("sink:lines:local:buckets")
        .sink(move |_| lines(true, false, true))
        .named("sink:lines:local:buckets:open:compacted")
        .sink(move |_| lines(false, true, true))
        .named("factory")
        .factory(|_| FileFactory);
    let suite = source(suite, "json:local:gzip", GZIP, || Box::new(Local));
    sink(suite, "csv:local:gzip", CSV_GZIP, || Box::new(Local), true)
}

/// Each combination on one server, in a prefix of its own for each run.
#[cfg(feature = "s3")]
fn on_a_server(suite: Suite) -> Suite {
    let suite = suite.sparing(1).needing(server::missing);
    let on_server: Where = || Box::new(server::objects());
    let suite = columns(all(suite, "lines:s3", Lines, on_server), "s3", on_server);
    if std::env::var_os("TESTKIT_ALL_ON_S3").is_none() {
        return suite;
    }
    all(all(suite, "csv:s3", CSV, on_server), "json:s3", JSON, on_server)
}

#[cfg(not(feature = "s3"))]
fn on_a_server(suite: Suite) -> Suite {
    suite
}

fn main() -> ExitCode {
    let suite = others(texts(Suite::new("file"), "local", || Box::new(Local)));
    let in_memory: Where = || Box::new(Objects::in_memory());
    let suite = all(suite, "lines:memory", Lines, in_memory).sparing(20);
    let suite = all(all(suite, "csv:memory", CSV, in_memory), "json:memory", JSON, in_memory);
    let suite = columns(columns(suite.sparing(5), "local", || Box::new(Local)), "memory", in_memory);
    on_a_server(suite).main()
}
