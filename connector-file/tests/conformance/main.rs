//! testkit's suites over this connector, in the simulation.
#![allow(missing_docs)]

mod factory;
mod sink;
mod source;

use std::process::ExitCode;

use factory::FileFactory;
use sink::FileSinkContext;
use source::FileSourceContext;

fn main() -> ExitCode {
    testkit::Suite::new("file source")
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
        .named("file")
        .factory(|_| FileFactory)
        .main()
}
