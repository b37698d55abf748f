//! Topologies as engine-neutral data: a chain of named stages.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::erased::{BoxFuture, DynOperator, ErasedOperator, decode_all};
use super::{Operator, OperatorContext};
use crate::{Result, Stored};

/// How many instances of a stage run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// One.
    One,
    /// As many as there are committers.
    Same,
    /// This many.
    Exactly(u32),
}

/// Which instance of the next stage an item goes to.
#[derive(Clone)]
pub enum Partition {
    /// From instance i to instance i modulo the number of instances.
    Same,
    /// Evenly, in turn.
    Rebalance,
    /// By a key: items of equal keys go to the same instance. Made by [`Partition::by`].
    Key(KeyOf),
}

/// Reads the key off an item in its envelope.
pub type KeyOf = Arc<dyn Fn(&Bytes) -> Result<u64> + Send + Sync>;

impl Partition {
    /// By a key of the item.
    pub fn by<T: Stored>(key: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        Self::Key(Arc::new(move |bytes| Ok(key(&T::from_bytes(bytes)?))))
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "Same",
            Self::Rebalance => "Rebalance",
            Self::Key(_) => "Key",
        })
    }
}

/// Opens an operator with the states that it is to go on from (any number, also none).
pub type OpenOperator = Arc<
    dyn Fn(OperatorContext, Vec<Bytes>) -> BoxFuture<'static, Result<Box<dyn DynOperator>>> + Send + Sync,
>;

/// A named stage, ready for a host.
#[derive(Clone)]
pub struct Stage {
    /// Names the stage's state for ever.
    pub uid: String,
    /// How many instances run.
    pub parallelism: Parallelism,
    /// How items reach it.
    pub partition: Partition,
    /// Makes an instance.
    pub open: OpenOperator,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({}, {:?}, {:?})", self.uid, self.parallelism, self.partition)
    }
}

/// A chain of stages that takes `In` and gives `Out`.
#[must_use]
pub struct Topology<In, Out> {
    pub(super) stages: Vec<Stage>,
    types: PhantomData<fn(In) -> Out>,
}

impl<T> Topology<T, T> {
    /// No stage yet.
    pub fn new() -> Self {
        Self { stages: Vec::new(), types: PhantomData }
    }
}

impl<T> Default for Topology<T, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<In, Out: Stored> Topology<In, Out> {
    /// Appends a stage. `open` gets the states that the instance is to go on from.
    pub fn stage<O, F, Fut>(
        mut self,
        uid: impl Into<String>,
        parallelism: Parallelism,
        partition: Partition,
        open: F,
    ) -> Topology<In, O::Out>
    where
        O: Operator<In = Out>,
        F: Fn(OperatorContext, Vec<O::State>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
    {
        let open: OpenOperator = Arc::new(move |context, states| {
            let opened = decode_all(&states).map(|states| open(context, states));
            Box::pin(async move { Ok(Box::new(ErasedOperator(opened?.await?)) as Box<dyn DynOperator>) })
        });
        self.stages.push(Stage { uid: uid.into(), parallelism, partition, open });
        Topology { stages: self.stages, types: PhantomData }
    }
}
