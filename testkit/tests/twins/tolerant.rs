//! A committer that says of what it can't decode that it is committed.

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::sink::{CommitRequest, DynCommitter, OpenCommitter, Outcome, Proof, Sink, SinkPlan};
use connector_api::{Error, Result};
use std::sync::Arc;
use testkit::reference::LedgerContext;
use testkit::{Capabilities, SinkContext};

#[derive(Default)]
pub(crate) struct Tolerant(LedgerContext);

#[async_trait]
impl SinkContext for Tolerant {
    type Batch = Vec<String>;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn sink(&self, env: &Environment) -> Result<Box<dyn Sink<Vec<String>>>> {
        Ok(Box::new(TolerantSink(self.0.sink(env)?)))
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        self.0.visible(env).await
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        self.0.lingering(env).await
    }
}

struct TolerantSink(Box<dyn Sink<Vec<String>>>);

impl Sink<Vec<String>> for TolerantSink {
    fn plan(&self) -> Result<SinkPlan<Vec<String>>> {
        let mut plan = self.0.plan()?;
        let inner = plan.committer.take();
        plan.committer = inner.map(|inner| -> OpenCommitter {
            Arc::new(move |context| {
                let opening = inner(context);
                Box::pin(
                    async move { Ok(Box::new(TolerantCommitter(opening.await?)) as Box<dyn DynCommitter>) },
                )
            })
        });
        Ok(plan)
    }
}

struct TolerantCommitter(Box<dyn DynCommitter>);

#[async_trait]
impl DynCommitter for TolerantCommitter {
    async fn commit(&mut self, requests: Vec<CommitRequest<Bytes>>) -> Vec<Outcome<Bytes>> {
        let mut outcomes = self.0.commit(requests).await;
        for outcome in &mut outcomes {
            if matches!(outcome, Outcome::Fatal(Error::State { .. })) {
                *outcome = Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted };
            }
        }
        outcomes
    }
}
