//! A sink that counts and drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use connector_api::sink::{Flush, Sink, SinkPlan, SinkWriter};
use connector_api::{Batch, Result, RowBatch};

/// Counts rows.
#[derive(Clone, Debug, Default)]
pub struct Blackhole {
    /// Rows written.
    pub rows: Arc<AtomicU64>,
}

impl<B: RowBatch> Sink<B> for Blackhole {
    fn plan(&self) -> Result<SinkPlan<B>> {
        let this = self.clone();
        Ok(SinkPlan::writer(move |_| std::future::ready(Ok(this.clone()))).at_least_once())
    }
}

#[async_trait]
impl<B: RowBatch> SinkWriter<B> for Blackhole {
    async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        self.rows.fetch_add(batch.rows.rows() as u64, Ordering::Relaxed);
        Ok(())
    }

    async fn flush(&mut self, _: Flush) -> Result<()> {
        Ok(())
    }
}
