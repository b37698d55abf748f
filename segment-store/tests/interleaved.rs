//! What happens while a frame is being synced.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
use futures::FutureExt;
use segment_store::client::StoreClient;
use segment_store::{Ack, Error, Store};
use support::events::{event, name};
use support::{append, env, small, stream};
use testkit::fs::SimFs;
use testkit::sim;

type Hook = Arc<dyn Fn() + Send + Sync>;

/// A disk that calls while it syncs a file of the log.
#[derive(Clone)]
struct Calling(SimFs, Arc<Mutex<Option<Hook>>>);

struct CallingFile(Box<dyn File>, Calling, bool);

impl fmt::Debug for Calling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calling")
    }
}

impl fmt::Debug for CallingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallingFile")
    }
}

impl FileSystem for Calling {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let is_log = path.extension().is_some_and(|end| end == "log");
        Ok(Box::new(CallingFile(self.0.open(path, access)?, self.clone(), is_log)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.0.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        self.0.rename(from, to, how)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.0.lock(path)
    }
}

impl File for CallingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        self.0.copy_range(from, from_offset, offset, length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let hook = self.1.1.lock().unwrap().clone();
        if let Some(hook) = hook.filter(|_| self.2) {
            hook();
        }
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Default)]
struct Placed {
    acks: Vec<Ack>,
    /// Where the segment ends with each event.
    ends: Vec<u64>,
}

#[test]
fn readers_see_the_end_of_what_is_durable_and_not_what_has_its_place() {
    sim::run(async {
        let fs = Calling(SimFs::new(), Arc::default());
        let mut env = env(&fs.0, 1);
        env.fs = Arc::new(fs.clone());
        let store = Store::open(env, "s", small()).await.unwrap();
        store.create_scope("a").await.unwrap();
        store.create_stream(&stream("a/b"), 1).await.unwrap();
        let placed = Arc::new(Mutex::new(Placed::default()));
        let is_wrong = Arc::new(AtomicBool::new(false));
        let place = {
            let (store, placed) = (store.clone(), placed.clone());
            move || {
                let number = placed.lock().unwrap().acks.len() as i64;
                let what = append(1, number, (number > 0).then(|| number - 1), &event(number));
                let ack = store.append(&name(), what).now_or_never().unwrap().unwrap();
                let mut placed = placed.lock().unwrap();
                let end = placed.ends.last().copied().unwrap_or(0) + event(number).len() as u64;
                placed.ends.push(end);
                placed.acks.push(ack);
            }
        };
        let hook = {
            let (store, placed, is_wrong, place) =
                (store.clone(), placed.clone(), is_wrong.clone(), place.clone());
            move || {
                // One event a frame: the last one that has its place is in the frame that is being synced.
                let count = placed.lock().unwrap().ends.len();
                let durable = if count < 2 { 0 } else { placed.lock().unwrap().ends[count - 2] };
                let behind = store.read(&name(), durable + 1, 10, Duration::ZERO).now_or_never();
                if !matches!(behind, Some(Err(Error::BeyondEnd { length, .. })) if length == durable) {
                    is_wrong.store(true, Ordering::Relaxed);
                }
                if count < 15 {
                    place();
                }
            }
        };
        *fs.1.lock().unwrap() = Some(Arc::new(hook));
        place();
        tokio::time::sleep(Duration::from_secs(1)).await;
        *fs.1.lock().unwrap() = None;
        let placed = std::mem::take(&mut *placed.lock().unwrap());
        assert_eq!(placed.acks.len(), 15);
        for (ack, end) in placed.acks.into_iter().zip(placed.ends) {
            assert_eq!(ack.durable().await.unwrap(), end);
        }
        assert!(!is_wrong.load(Ordering::Relaxed), "a reader was shown more than what is durable");
        support::events::check(&store, 15).await;
    });
}
