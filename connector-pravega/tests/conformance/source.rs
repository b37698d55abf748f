//! The source: a segment for each split of the test data.

use std::path::Path;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::source::{BoxSource, erase};
use connector_api::{MessageBatch, Result};
use connector_pravega::source::{CRASH_POINTS, PravegaSource, SourceOptions, Stop};
use segment_store::SegmentName;
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SourceContext, TestRow};

use crate::stream::{DIR, STREAM, append, failed, name, opened, small};

pub(crate) struct PravegaSourceContext {
    pub(crate) is_bounded: bool,
}

#[async_trait]
impl SourceContext for PravegaSourceContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        let ends = if self.is_bounded {
            Capabilities::of([Capability::Bounded])
        } else {
            Capabilities::of([Capability::Unbounded, Capability::Growth])
        };
        ends.with(Capability::Files)
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let options = SourceOptions {
            stop: self.is_bounded.then_some(Stop::Tail),
            // Less than two rows: an event that is cut off is read again.
            read_size: ByteSize(70),
            ..SourceOptions::stream(DIR, STREAM)
        };
        Ok(erase(PravegaSource::new(&options, Path::new("/"))?.kept_as(small())))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let client = opened(env, self.splits()).await?;
        let segments = client.stream(&name()).await.map_err(failed)?.current;
        let segment = SegmentName::new(name(), segments[split as usize].0);
        let texts: Vec<_> = rows.iter().map(|row| row.text.clone()).collect();
        append(&*client, env, segment, texts).await
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = connector_base::reader::CRASH_POINTS.iter();
        // Nothing is scaled here; `src/source/tests` does that.
        let own = CRASH_POINTS.iter().filter(|point| !point.ends_with("after-successors"));
        Some(CrashTable { readme: super::README, reached: reader.chain(own).copied().collect() })
    }
}
