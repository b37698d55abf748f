//! Where blocking work runs in these tests.

use connector_api::env::{Spawner, TaskHandle};
use futures::future::BoxFuture;

/// Each piece of work on a thread of its own.
#[derive(Debug)]
pub(super) struct Threads;

/// At once, on the thread of the caller.
#[derive(Debug)]
pub(super) struct Inline;

/// Never.
#[derive(Debug)]
pub(super) struct Never;

impl Spawner for Threads {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        unreachable!("formats spawn no task: {name}")
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(work);
    }
}

impl Spawner for Inline {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        unreachable!("formats spawn no task: {name}")
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

impl Spawner for Never {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        unreachable!("formats spawn no task: {name}")
    }

    fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {}
}
