//! A system that breaks now and then while the sink runs.

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, Result};

use super::support::{break_it, heal_it};
use crate::context::SinkContext;
use crate::fs::SimFs;
use crate::lockstep::Pair;
use crate::random::SeededRandom;
use crate::reference::Numbers;

/// The sink under test in bad weather, with a source in memory.
pub(super) struct Weather<'a, C> {
    context: &'a mut C,
    numbers: Numbers,
    fs: Option<SimFs>,
    random: SeededRandom,
    /// How often it still breaks.
    left: u32,
    /// The step at which it is healed again.
    until: Option<u64>,
    was_broken: bool,
}

impl<'a, C: SinkContext> Weather<'a, C> {
    pub(super) fn new(context: &'a mut C, numbers: Numbers, fs: Option<SimFs>, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        Self { context, numbers, fs, random, left: 4, until: None, was_broken: false }
    }
}

#[async_trait]
impl<C: SinkContext> Pair<C::Batch> for Weather<'_, C> {
    fn source(&mut self, _: &Environment) -> Result<BoxSource<C::Batch>> {
        Ok(erase(self.numbers.source()))
    }

    fn sink(&mut self, env: &Environment) -> Result<Box<dyn Sink<C::Batch>>> {
        self.context.sink(env)
    }

    async fn visible(&mut self, env: &Environment) -> Result<Option<Vec<String>>> {
        match self.until {
            Some(_) => Ok(None),
            None => self.context.visible(env).await.map(Some),
        }
    }

    async fn meanwhile(&mut self, env: &Environment, steps: u64) -> Result<()> {
        match self.until {
            None if self.left > 0 && self.random.below(60) == 0 => {
                self.left -= 1;
                self.until = Some(steps + 1 + self.random.below(40));
                self.was_broken = true;
                break_it(self.context, env, self.fs.as_ref()).await
            }
            Some(until) if steps >= until => {
                self.until = None;
                heal_it(self.context, env, self.fs.as_ref()).await
            }
            _ => Ok(()),
        }
    }

    /// What a broken system causes may be told a while later, and must say that it passes.
    fn excuses(&mut self, error: &Error) -> bool {
        self.was_broken && error.is_retryable()
    }
}
