//! testkit's suites over this connector, in the simulation.
#![allow(missing_docs)]

mod factory;
mod objects;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod sink;
mod source;
#[path = "../support/store.rs"]
mod store;

use std::process::ExitCode;

use connector_file::format::{Compression, Format};
use factory::FileFactory;
use objects::{ObjectSinkContext, ObjectSourceContext};
use rows::{RowSinkContext, RowSourceContext, Shape};
use sink::FileSinkContext;
use source::FileSourceContext;

const CSV: Shape = Shape { format: Format::Csv, compression: Compression::None };
const JSON: Shape = Shape { format: Format::Json, compression: Compression::None };
const GZIP: Shape = Shape { format: Format::Json, compression: Compression::Gzip };
const CSV_GZIP: Shape = Shape { format: Format::Csv, compression: Compression::Gzip };

fn main() -> ExitCode {
    let suite = testkit::Suite::new("file source")
        .source(|_| FileSourceContext::bounded(None))
        .named("file source, moving")
        .source(|_| FileSourceContext::bounded(Some("move:/done")))
        .named("file source, continuous")
        .source(|_| FileSourceContext::continuous(None))
        .named("file source, continuous, deleting")
        .source(|_| FileSourceContext::continuous(Some("delete")))
        .named("file sink, parts closed at checkpoints")
        .sink(|_| FileSinkContext { on_checkpoint: true, compacted: false, bucketed: false })
        .named("file sink, parts open over checkpoints")
        .sink(|_| FileSinkContext { on_checkpoint: false, compacted: false, bucketed: false })
        .named("file sink, compacted")
        .sink(|_| FileSinkContext { on_checkpoint: true, compacted: true, bucketed: false })
        .named("file sink, parts open over checkpoints, compacted")
        .sink(|_| FileSinkContext { on_checkpoint: false, compacted: true, bucketed: false })
        .named("file sink, in buckets")
        .sink(|_| FileSinkContext { on_checkpoint: true, compacted: false, bucketed: true })
        .named("file sink, in buckets, parts open over checkpoints, compacted")
        .sink(|_| FileSinkContext { on_checkpoint: false, compacted: true, bucketed: true })
        .named("file source, CSV")
        .source(|_| RowSourceContext(CSV))
        .named("file source, JSON lines")
        .source(|_| RowSourceContext(JSON))
        .named("file source, JSON lines in gzip")
        .source(|_| RowSourceContext(GZIP))
        .named("file sink, CSV, compacted")
        .sink(|_| RowSinkContext { shape: CSV, compacted: true })
        .named("file sink, JSON lines")
        .sink(|_| RowSinkContext { shape: JSON, compacted: false })
        .named("file sink, CSV in gzip, compacted")
        .sink(|_| RowSinkContext { shape: CSV_GZIP, compacted: true })
        .named("object source")
        .source(|_| ObjectSourceContext::default())
        .named("object sink")
        .sink(|_| ObjectSinkContext::default())
        .named("object sink, compacted")
        .sink(|_| ObjectSinkContext { compacted: true, ..ObjectSinkContext::default() })
        .named("file")
        .factory(|_| FileFactory);
    #[cfg(feature = "parquet")]
    let suite = suite
        .named("file source, parquet")
        .source(|_| parquet::ParquetSourceContext)
        .named("file sink, parquet")
        .sink(|_| parquet::ParquetSinkContext { compacted: false })
        .named("file sink, parquet, compacted")
        .sink(|_| parquet::ParquetSinkContext { compacted: true });
    suite.main()
}
