//! The sink, into a stream of three segments.

use std::path::Path;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::{MessageBatch, Result};
use connector_pravega::sink::{CRASH_POINTS, DeliveryGuarantee, PravegaSink, SinkOptions};
use testkit::context::Expiry;
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SinkContext};

use crate::stream::{DIR, STREAM, events, failed, name, opened, small};

const SEGMENTS: u32 = 3;

pub(crate) struct PravegaSinkContext {
    pub(crate) guarantee: DeliveryGuarantee,
}

#[async_trait]
impl SinkContext for PravegaSinkContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        let options = SinkOptions {
            create: Some(SEGMENTS),
            delivery_guarantee: self.guarantee,
            ..SinkOptions::stream(DIR, STREAM)
        };
        Ok(Box::new(PravegaSink::new(&options, Path::new("/"))?.kept_as(small())))
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        events(&*opened(env, SEGMENTS).await?).await
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        let client = opened(env, SEGMENTS).await?;
        let open = client.open_transactions(&name()).await.map_err(failed)?.unwrap_or_default();
        Ok(open.into_iter().map(|open| open.label).collect())
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        (self.guarantee == DeliveryGuarantee::ExactlyOnce).then_some(self as &mut dyn Expiry)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let transactions = self.guarantee == DeliveryGuarantee::ExactlyOnce;
        let plain = ["pravega-writer/before-flush", "pravega-writer/after-flush"];
        let points = CRASH_POINTS.iter().copied();
        let reached = points.filter(|point| transactions || plain.contains(point)).collect();
        Some(CrashTable { readme: super::README, reached })
    }
}

#[async_trait]
impl Expiry for PravegaSinkContext {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        let client = opened(env, SEGMENTS).await?;
        for open in client.open_transactions(&name()).await.map_err(failed)?.unwrap_or_default() {
            client.abort(&name(), open.id).await.map_err(failed)?;
        }
        Ok(())
    }
}
