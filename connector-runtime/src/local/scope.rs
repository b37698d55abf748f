//! An account of tasks and blocking work, so that one can wait for their end.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use connector_api::env::{Environment, Spawner, TaskHandle};
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// Everything that was spawned through one environment.
///
/// A host gives each attempt a scope of its own and awaits [`close`](Scope::close) before it begins the next: otherwise a
/// dead attempt, whose blocking work can't be cancelled, could still write while the new one reads.
///
/// ```text
/// let (env, scope) = Scope::new(&job_env);     // for the attempt
/// ...                                          // the attempt fails
/// scope.close().await;                         // nothing of it runs any more
/// ```
///
/// Scopes nest: what is spawned in an inner scope is in the outer one as well.
#[derive(Clone)]
pub struct Scope(Arc<Shared>);

struct Shared {
    inner: Arc<dyn Spawner>,
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    next: u64,
    running: BTreeMap<u64, Running>,
}

struct Running {
    name: String,
    /// None for blocking work, and for a task in the moment between its registration and its spawning.
    task: Option<Box<dyn TaskHandle>>,
}

impl Scope {
    /// A scope, and an environment that is `env` but spawns in the scope.
    pub fn new(env: &Environment) -> (Environment, Self) {
        let scope = Self(Arc::new(Shared {
            inner: env.spawner.clone(),
            state: Mutex::default(),
            idle: Notify::new(),
        }));
        let env = Environment { spawner: Arc::new(ScopedSpawner(scope.0.clone())), ..env.clone() };
        (env, scope)
    }

    /// The names of the tasks and pieces of blocking work that have not ended.
    pub fn running(&self) -> Vec<String> {
        self.0.lock().running.values().map(|running| running.name.clone()).collect()
    }

    /// Waits until nothing runs. Cancel-safe. More may be spawned afterwards.
    pub async fn wait_idle(&self) {
        loop {
            let notified = self.0.idle.notified();
            tokio::pin!(notified);
            // Registered before the look, so that no end falls between the two.
            notified.as_mut().enable();
            if self.0.lock().running.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Aborts every task, lets blocking work that has begun run to its end, refuses new work (a task spawned now is
    /// aborted, blocking work is dropped and reads as cancelled), and waits until nothing runs. Cancel-safe.
    pub async fn close(&self) {
        self.abort();
        self.wait_idle().await;
    }

    /// The first half of [`close`](Self::close): does not wait.
    pub fn abort(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        for running in state.running.values() {
            if let Some(task) = &running.task {
                task.abort();
            }
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("running", &self.running()).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None when the scope is closed.
    fn enter(self: &Arc<Self>, name: &str) -> Option<Guard> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.running.insert(id, Running { name: name.to_owned(), task: None });
        Some(Guard { scope: self.clone(), id })
    }
}

/// The presence of one task in the scope.
struct Guard {
    scope: Arc<Shared>,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (ended, is_idle) = {
            let mut state = self.scope.lock();
            let ended = state.running.remove(&self.id);
            (ended, state.running.is_empty())
        };
        // A task's handle is foreign code: dropped outside the lock.
        drop(ended);
        if is_idle {
            self.scope.idle.notify_waiters();
        }
    }
}

struct ScopedSpawner(Arc<Shared>);

impl fmt::Debug for ScopedSpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopedSpawner").field(&self.0.inner).finish()
    }
}

impl Spawner for ScopedSpawner {
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        let Some(guard) = self.0.enter(name) else {
            // Dropped here and now; what remains is a handle to nothing.
            drop(task);
            return Box::new(Ended);
        };
        let id = guard.id;
        let handle: Arc<dyn TaskHandle> =
            Arc::from(self.0.inner.spawn(name, Box::pin(Tracked { task, _guard: guard })));
        let mut state = self.0.lock();
        let is_closed = state.is_closed;
        if let Some(running) = state.running.get_mut(&id) {
            running.task = Some(Box::new(SharedHandle(handle.clone())));
        }
        drop(state);
        if is_closed {
            // Closed between the registration and here, when there was no handle to abort.
            handle.abort();
        }
        Box::new(SharedHandle(handle))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let Some(guard) = self.0.enter("blocking work") else { return };
        self.0.inner.spawn_blocking(Box::new(move || {
            let _guard = guard;
            work();
        }));
    }

    fn linger(&self) -> Duration {
        self.0.inner.linger()
    }
}

/// A task with its presence. Fields are dropped in order: the task is gone before its presence is.
struct Tracked {
    task: BoxFuture<'static, ()>,
    _guard: Guard,
}

impl Future for Tracked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }
}

#[derive(Clone, Debug)]
struct SharedHandle(Arc<dyn TaskHandle>);

impl TaskHandle for SharedHandle {
    fn abort(&self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Ended;

impl TaskHandle for Ended {
    fn abort(&self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::local::environment;

    #[tokio::test]
    async fn closing_waits_for_blocking_work_that_began() {
        let (env, scope) = Scope::new(&environment());
        let (go, wait) = mpsc::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let has_run = done.clone();
        env.spawner.spawn_blocking(Box::new(move || {
            let _ = wait.recv();
            has_run.store(true, Ordering::SeqCst);
        }));
        tokio::select! {
            () = scope.close() => panic!("closed while blocking work ran"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        go.send(()).unwrap();
        scope.close().await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn closing_ends_tasks_of_inner_scopes_and_refuses_new_work() {
        let (env, scope) = Scope::new(&environment());
        let (inner_env, inner) = Scope::new(&env);
        env.spawner.spawn("outer", Box::pin(std::future::pending()));
        inner_env.spawner.spawn("inner", Box::pin(std::future::pending()));
        assert_eq!(scope.running(), ["outer", "inner"]);
        scope.close().await;
        assert!(inner.running().is_empty());
        env.spawner.spawn("late", Box::pin(std::future::pending()));
        assert!(matches!(env.blocking("late", || Ok(())).await, Err(connector_api::Error::Cancelled(_))));
        scope.wait_idle().await;
    }

    #[tokio::test]
    async fn idle_is_told_when_tasks_end_by_themselves_or_panic() {
        let (env, scope) = Scope::new(&environment());
        scope.wait_idle().await;
        env.spawner.spawn("short", Box::pin(tokio::task::yield_now()));
        env.spawner.spawn("panics", Box::pin(async { panic!("on purpose") }));
        scope.wait_idle().await;
        assert!(scope.running().is_empty());
    }

    #[tokio::test]
    async fn blocking_work_lingers_in_a_scope_as_it_does_outside() {
        let outside = environment();
        let (inside, _scope) = Scope::new(&outside);
        assert!(!outside.spawner.linger().is_zero());
        assert_eq!(inside.spawner.linger(), outside.spawner.linger());
    }
}
