//! Where a task's output goes.

use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_api::sink::{Partition, Partitioner};
use connector_api::{Batch, Result, RowBatch};
use tokio::sync::mpsc;

use super::WriterCore;
use super::message::{Committable, Element, neighbour_gone};
use crate::coordinate::checkpoint::Trigger;
use crate::coordinate::route::Route;

/// Where a reader's batches go.
pub(crate) enum OutputTo<B: RowBatch> {
    /// Into a writer in the same task.
    Chained(Box<WriterCore<B>>),
    /// To writers in tasks of their own.
    Exchange(Exchange<B>),
}

/// The sending ends of the channels to all writers.
pub(crate) struct Exchange<B> {
    senders: Vec<mpsc::Sender<Element<Batch<B>>>>,
    partitioner: Option<Partitioner<B>>,
    turn: usize,
}

impl<B: RowBatch> Exchange<B> {
    /// Without a partitioner, whole batches go to the writers in turn, beginning at the one of the same index.
    pub(crate) fn new(
        senders: Vec<mpsc::Sender<Element<Batch<B>>>>,
        partitioner: Option<Partitioner<B>>,
        index: usize,
    ) -> Self {
        Self { turn: index, senders, partitioner }
    }

    pub(crate) async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        match &self.partitioner {
            Some(partition) => {
                for (target, part) in partition(batch, self.senders.len() as u32) {
                    send(&self.senders[target as usize % self.senders.len()], Element::Data(part)).await?;
                }
            }
            None => {
                let target = self.turn % self.senders.len();
                self.turn = target + 1;
                send(&self.senders[target], Element::Data(batch)).await?;
            }
        }
        Ok(())
    }

    /// To all writers.
    pub(crate) async fn broadcast(&mut self, element: impl Fn() -> Element<Batch<B>>) -> Result<()> {
        for sender in &self.senders {
            send(sender, element()).await?;
        }
        Ok(())
    }
}

async fn send<T>(sender: &mpsc::Sender<Element<T>>, element: Element<T>) -> Result<()> {
    sender.send(element).await.map_err(|_| neighbour_gone())
}

/// The sending ends of the channels to all instances of the next sink stage.
pub(crate) struct Downstream {
    senders: Vec<mpsc::Sender<Element<Committable>>>,
    route: Route,
}

impl Downstream {
    /// `index`: which instance of its stage the sender is.
    pub(crate) fn new(
        senders: Vec<mpsc::Sender<Element<Committable>>>,
        partition: Partition,
        index: usize,
    ) -> Self {
        Self { senders, route: Route::new(partition, index) }
    }

    /// Sends items to the instances that the partitioning names.
    pub(crate) async fn items(&mut self, checkpoint: CheckpointId, items: Vec<Bytes>) -> Result<()> {
        for bytes in items {
            let target = self.route.target(&bytes, self.senders.len())?;
            send(&self.senders[target], Element::Data(Committable { checkpoint, bytes })).await?;
        }
        Ok(())
    }

    pub(crate) async fn barrier(&mut self, trigger: Trigger) -> Result<()> {
        for sender in &self.senders {
            send(sender, Element::Barrier(trigger)).await?;
        }
        Ok(())
    }

    pub(crate) async fn end(&mut self) -> Result<()> {
        for sender in &self.senders {
            send(sender, Element::End).await?;
        }
        Ok(())
    }
}
