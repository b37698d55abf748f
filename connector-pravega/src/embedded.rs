//! Stores that are open in this process.
//!
//! Who only reads shares a store that is open for writing in this process, or reads along with whichever process writes. For writing a directory can be open once, and the source and the sink of a job, all their subtasks and other jobs of the process want it: who
//! opens it shares it with who comes later, and the last one to let go closes it. Directories are told apart within a file system, so
//! that simulated processes side by side share nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use connector_api::env::{CrashPoints, Environment, FileSystem};
use connector_api::{Error, Result};
use segment_store::client::StoreClient;
use segment_store::{Durability, Store, StoreOptions, StreamName};

use crate::error::{failed, unless_missing};
use crate::options::{DurabilityOption, StoreAt};

/// For how long a directory may be held by another process that is letting go of it.
const LETTING_GO: Duration = Duration::from_secs(3);
/// For how long by this one, which writes to its end what was under way: a file of the log that is made ready or moved, and a snapshot.
const LETTING_GO_HERE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(20);

/// A store that is open, or about to be.
#[derive(Default)]
struct Opened {
    store: Weak<Store>,
    options: Option<StoreOptions>,
    /// The same store, read along while another process has it, or may want it.
    attached: Weak<Store>,
}

struct Place {
    /// Keeps the address from being used again as long as it stands for this file system.
    fs: Weak<dyn FileSystem>,
    opened: Arc<tokio::sync::Mutex<Opened>>,
}

type Places = HashMap<(usize, PathBuf), Place>;

static PLACES: LazyLock<Mutex<Places>> = LazyLock::new(Mutex::default);

fn places() -> MutexGuard<'static, Places> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(env: &Environment, dir: &Path) -> Arc<tokio::sync::Mutex<Opened>> {
    let mut places = places();
    places.retain(|_, place| place.fs.strong_count() > 0);
    let key = (Arc::as_ptr(&env.fs).cast::<()>() as usize, dir.to_path_buf());
    let place =
        places.entry(key).or_insert_with(|| Place { fs: Arc::downgrade(&env.fs), opened: Arc::default() });
    place.opened.clone()
}

/// The store in a directory as the connectors of this process share it: the one that is open, or it is opened, and made where there is none.
/// It stays open for as long as somebody holds it.
///
/// # Errors
///
/// [`Error::Config`] when it is open with other options; else the store's.
pub async fn shared_store(
    env: &Environment,
    dir: &Path,
    options: StoreOptions,
) -> Result<Arc<dyn StoreClient>> {
    let at = StoreAt { options, ..StoreAt::new(dir, Path::new("/"), DurabilityOption::default(), true) };
    open(env, &at).await
}

/// The store in a directory: the one that is open, or it is opened.
pub(crate) async fn open(env: &Environment, at: &StoreAt) -> Result<Arc<dyn StoreClient>> {
    let place = place(env, &at.dir);
    let mut opened = place.lock().await;
    if let Some(store) = opened.store.upgrade() {
        return match &opened.options {
            Some(options) if *options != at.options => Err(Error::config(
                "durability",
                format!(
                    "is {:?}, and this process has {} open with {:?}: all that use one store say the same",
                    at.options.durability,
                    at.dir.display(),
                    options.durability
                ),
            )),
            _ => Ok(store),
        };
    }
    let store = Arc::new(open_new(env, at).await?);
    (opened.store, opened.options) = (Arc::downgrade(&store), Some(at.options.clone()));
    Ok(store)
}

/// The store in a directory, for reading alone: the one that is open in this process, else it is read along, so that another process may
/// write it.
pub(crate) async fn attach(env: &Environment, at: &StoreAt) -> Result<Arc<dyn StoreClient>> {
    if at.options.durability == Durability::Memory {
        return open(env, at).await;
    }
    let place = place(env, &at.dir);
    let mut opened = place.lock().await;
    if let Some(store) = opened.store.upgrade().or_else(|| opened.attached.upgrade()) {
        return Ok(store);
    }
    let env = Environment { crash: CrashPoints::none(), ..env.clone() };
    let attached =
        Store::attach(env, &at.dir).await.map_err(failed("open the store in", at.dir.display()))?;
    let attached = Arc::new(attached);
    opened.attached = Arc::downgrade(&attached);
    Ok(attached)
}

async fn open_new(env: &Environment, at: &StoreAt) -> Result<Store> {
    if !at.makes {
        is_there(env, at).await?;
    }
    // Its own crash points are its own tests' business.
    let env = Environment { crash: CrashPoints::none(), ..env.clone() };
    let since = env.clock.monotonic();
    loop {
        match Store::open(env.clone(), &at.dir, at.options.clone()).await {
            // Who had it lets go of it in the background.
            Err(segment_store::Error::Locked { holder, .. })
                if env.clock.monotonic().saturating_sub(since) < patience(holder) =>
            {
                env.clock.sleep(AGAIN).await;
            }
            opened => return opened.map_err(failed("open the store in", at.dir.display())),
        }
    }
}

fn patience(holder: Option<u32>) -> Duration {
    if holder == Some(std::process::id()) { LETTING_GO_HERE } else { LETTING_GO }
}

/// Whether there is a store, told without opening it.
pub(crate) async fn is_there(env: &Environment, at: &StoreAt) -> Result<()> {
    let (fs, dir) = (env.fs.clone(), at.dir.clone());
    let look = move || match fs.metadata(&dir.join("store")) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let failed = failed("open the store in", dir.display());
            Err(failed(segment_store::Error::NoStore { dir: dir.clone() }))
        }
        Err(e) => Err(Error::io("look at", &dir.join("store"))(e)),
    };
    env.blocking("looking for the store", look).await
}

/// Whether the store has a stream. Nothing is written, whoever has the store open.
pub(crate) async fn has_stream(env: &Environment, at: &StoreAt, stream: &StreamName) -> Result<bool> {
    let place = place(env, &at.dir);
    let store = place.lock().await.store.upgrade();
    if let Some(store) = store {
        return Ok(unless_missing(store.stream(stream).await, "ask for", stream)?.is_some());
    }
    let (edges, dir, stream) = (env.clone(), at.dir.clone(), stream.clone());
    let look = move || {
        let found = segment_store::holds(&edges, &dir, &stream);
        found.map_err(failed("look at the store in", dir.display()))
    };
    env.blocking("looking for the stream", look).await
}

/// Whether a store could be made there, as far as it can be told without making one.
pub(crate) async fn may_become_one(env: &Environment, at: &StoreAt) -> Result<()> {
    let (fs, dir) = (env.fs.clone(), at.dir.clone());
    let look = move || {
        // The first of the directory and those above it that is there must be a directory.
        for above in dir.ancestors() {
            match fs.list(above) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("look at", above)(e)),
            }
        }
        Ok(())
    };
    env.blocking("looking at the directory", look).await
}

#[cfg(test)]
mod tests {
    use testkit::fs::SimFs;
    use testkit::sim;

    use super::*;

    fn at(dir: &str) -> StoreAt {
        let mut at = StoreAt::new(Path::new(dir), Path::new("/"), DurabilityOption::Sync, true);
        at.options.log_file_size = 64 * 1024;
        at.options.frame_size = 8 * 1024;
        at
    }

    #[test]
    fn all_who_name_a_directory_share_its_store() {
        sim::run(async {
            let env = sim::environment(&SimFs::new(), 1);
            let first = open(&env, &at("/s")).await.unwrap();
            let second = open(&env, &at("/x/../s")).await.unwrap();
            first.create_scope("a").await.unwrap();
            assert_eq!(second.scopes().await.unwrap(), ["a"]);
            let mut other = at("/s");
            other.options.durability = Durability::Os;
            let refused = open(&env, &other).await.unwrap_err();
            assert!(matches!(&refused, Error::Config { option, .. } if option == "durability"), "{refused}");
            drop((first, second));
            // Nobody has it any more: it is opened anew.
            assert_eq!(open(&env, &other).await.unwrap().scopes().await.unwrap(), ["a"]);
        });
    }

    #[test]
    fn a_store_is_waited_for_that_this_process_lets_go_of() {
        sim::run(async {
            let env = sim::environment(&SimFs::new(), 1);
            let store = Store::open(env.clone(), "/s", at("/s").options).await.unwrap();
            let clock = env.clock.clone();
            let slow = tokio::spawn(async move {
                clock.sleep(Duration::from_secs(50)).await;
                store.close().await
            });
            open(&env, &at("/s")).await.unwrap();
            assert!(slow.is_finished());
        });
    }

    #[test]
    fn another_process_that_has_the_store_is_named_soon() {
        sim::run(async {
            let env = sim::environment(&SimFs::new(), 1);
            env.fs.create_dir_all(Path::new("/s")).unwrap();
            let lock = env.fs.lock(Path::new("/s/lock")).unwrap();
            let other = std::process::id() + 1;
            lock.set_content(format!("{other}\n").as_bytes()).unwrap();
            let since = env.clock.monotonic();
            let error = open(&env, &at("/s")).await.unwrap_err();
            assert!(error.to_string().contains(&format!("held open by process {other}")), "{error}");
            assert!(env.clock.monotonic() - since < Duration::from_secs(5));
        });
    }

    #[test]
    fn file_systems_side_by_side_share_nothing() {
        sim::run(async {
            let (one, two) = (sim::environment(&SimFs::new(), 1), sim::environment(&SimFs::new(), 1));
            let first = open(&one, &at("/s")).await.unwrap();
            first.create_scope("a").await.unwrap();
            assert!(open(&two, &at("/s")).await.unwrap().scopes().await.unwrap().is_empty());
        });
    }

    #[test]
    fn a_store_that_is_not_there_is_not_made_unasked() {
        sim::run(async {
            let env = sim::environment(&SimFs::new(), 1);
            let error = open(&env, &StoreAt { makes: false, ..at("/s") }).await.unwrap_err();
            assert!(error.to_string().contains("holds no store"), "{error}");
            assert!(env.fs.list(Path::new("/s")).is_err());
        });
    }
}
