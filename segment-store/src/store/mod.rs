//! The store in this process.

mod client;
mod identity;
mod tools;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use futures::channel::oneshot;

use crate::container::{Container, StoreStats};
use crate::error::{Error, Result};
use crate::id::{SegmentId, SegmentName, StreamName};
use crate::key_range::KeyRange;
use crate::memory::MemoryFs;
use crate::options::{Durability, StoreOptions};

use identity::{identity, settle, take_store};
pub use tools::{holds, salvage, verify};

/// How often the directory is asked for, and how long is waited in between.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A store of streams in a directory, open in this process and in no other. Cloning is cheap; the directory is given back when
/// the last clone is dropped, better by [`close`](Self::close).
#[derive(Clone)]
pub struct Store {
    container: Arc<Container>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.container.dir).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a directory, which is made a store if it is none.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] naming who has it open; [`Error::Corrupt`] when what is stored is damaged; the system's.
    pub async fn open(env: Environment, dir: impl Into<PathBuf>, options: StoreOptions) -> Result<Self> {
        options.check()?;
        let (mut env, dir) = (env, dir.into());
        if options.durability == Durability::Memory {
            env.fs = Arc::new(MemoryFs::default());
        }
        let new_id = u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64());
        let mut tries = 0;
        let (lock, id) = loop {
            let (sender, taken) = oneshot::channel();
            let (fs, at) = (env.fs.clone(), dir.clone());
            // Whoever asked may be gone.
            let work = move || drop(sender.send(take_store(&*fs, &at, new_id)));
            env.spawner.spawn_blocking(Box::new(work));
            match taken.await.unwrap_or(Err(Error::Closed)) {
                // One who attaches has it for a moment.
                Err(Error::Locked { .. }) if tries < LOCK_TRIES => {
                    tries += 1;
                    env.clock.sleep(LOCK_PAUSE).await;
                }
                taken => break taken?,
            }
        };
        let container = Container::open(env, dir, id, options, Some(lock)).await?;
        Ok(Self { container })
    }

    /// Opens a store that is there.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`], and those of [`open`](Self::open).
    pub async fn open_existing(
        env: Environment,
        dir: impl Into<PathBuf>,
        options: StoreOptions,
    ) -> Result<Self> {
        let dir = dir.into();
        match identity(&*env.fs, &dir)? {
            Some(_) => Self::open(env, dir, options).await,
            None => Err(Error::NoStore { dir }),
        }
    }

    /// Opens a store that is there for reading only, also while another process has it open. What that one has made durable shows up within
    /// a moment.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`]; [`Error::Corrupt`] when what is stored is damaged; the system's.
    pub async fn attach(env: Environment, dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        let id = identity(&*env.fs, &dir)?.ok_or_else(|| Error::NoStore { dir: dir.clone() })?;
        let (sender, settled) = oneshot::channel();
        let (edges, at) = (env.clone(), dir.clone());
        env.spawner.spawn_blocking(Box::new(move || {
            // Whoever asked may be gone.
            let _ = sender.send(settle(&edges, &at, id));
        }));
        settled.await.unwrap_or(Err(Error::Closed))?;
        let container = Container::open(env, dir, id, StoreOptions::default(), None).await?;
        Ok(Self { container })
    }

    /// Of a store that is open for reading only: reads what was written since.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    pub async fn refresh(&self) -> Result<()> {
        self.container.refresh().await
    }

    /// Makes a snapshot, so that the next opening replays nothing.
    ///
    /// # Errors
    ///
    /// When it could not be stored; nothing is lost then.
    pub async fn snapshot(&self) -> Result<()> {
        self.container.ready().await?;
        self.container.snapshot_now().await
    }

    /// Moves what is due out of the log, as happens by itself whenever a file of it is full.
    ///
    /// # Errors
    ///
    /// When it could not be done; nothing is lost then.
    pub async fn upkeep(&self) -> Result<()> {
        self.container.ready().await?;
        self.container.upkeep().await
    }

    /// Waits for what is under way, makes a snapshot and closes the store for all clones.
    ///
    /// # Errors
    ///
    /// When something could not be stored; the store is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let made = self.snapshot().await;
        self.container.close().await;
        match made {
            Err(Error::Closed) => Ok(()),
            made => made,
        }
    }

    /// What the store takes.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn stats(&self) -> Result<StoreStats> {
        self.container.stats()
    }

    /// All segments that a stream ever had, oldest first: what there is to draw.
    ///
    /// # Errors
    ///
    /// [`Error::NoStream`].
    pub async fn history(&self, stream: &StreamName) -> Result<Vec<SegmentHistory>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                let segment = |(id, record): (SegmentId, &crate::model::SegmentRecord)| {
                    let stored = state.segment(&name(stream, id)).ok()?.1;
                    Some(SegmentHistory {
                        id,
                        range: record.range,
                        made_at: record.made_at,
                        sealed_at: record.sealed_at,
                        start: stored.start,
                        length: stored.length,
                    })
                };
                Ok(found.segments().filter_map(segment).collect())
            })
            .await
    }

    fn now(&self) -> i64 {
        self.container.env.clock.now_millis()
    }
}

/// A segment, over the life of its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentHistory {
    /// The segment.
    pub id: SegmentId,
    /// Its keys.
    pub range: KeyRange,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// When it was sealed.
    pub sealed_at: Option<i64>,
    /// Its first offset that was not truncated.
    pub start: u64,
    /// Where it ends.
    pub length: u64,
}

fn name(stream: &StreamName, id: SegmentId) -> SegmentName {
    SegmentName::new(stream.clone(), id)
}

#[cfg(test)]
mod tests {
    use testkit::fs::SimFs;
    use testkit::sim;

    use super::*;
    use crate::client::StoreClient;

    /// As one that was started before the store was closed, and had to wait.
    #[test]
    fn a_late_upkeep_touches_nothing_of_a_closed_store() {
        sim::run(async {
            let fs = SimFs::new();
            let options =
                StoreOptions { log_file_size: 64 * 1024, spare_files: 2, ..StoreOptions::default() };
            let store = Store::open(sim::environment(&fs, 1), "s", options).await.unwrap();
            store.close().await.unwrap();
            let before = fs.operations();
            assert!(matches!(store.container.upkeep().await, Err(Error::Closed)));
            assert_eq!(fs.operations(), before);
        });
    }

    #[test]
    fn all_writers_of_a_store_share_their_buffers() {
        sim::run(async {
            let fs = SimFs::new();
            let options = StoreOptions::default();
            let store = Store::open(sim::environment(&fs, 1), "s", options).await.unwrap();
            drop(store.pool().share(vec![0; 1500]));
            // No new one has this capacity.
            assert_eq!(store.clone().pool().take(1000).capacity(), 1500);
        });
    }
}
