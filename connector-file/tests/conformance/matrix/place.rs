//! Where the files of a test lie.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_file::place::Store;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use testkit::files;

use super::super::store::TestStore;

/// A place for files, as the tests see it: without the connector, and past all faults.
#[async_trait]
pub(crate) trait Place: Send + Sync + 'static {
    /// The store that the connector is handed; none for local files.
    fn store(&self) -> Option<&TestStore>;

    /// A directory of this test.
    fn dir(&self, name: &str) -> String;

    /// The files in a directory.
    async fn names(&self, env: &Environment, dir: &str) -> Result<Vec<String>>;

    /// The content of a file; empty when it is not there.
    async fn read(&self, env: &Environment, path: &str) -> Result<Vec<u8>>;

    async fn write(&self, env: &Environment, path: &str, content: Vec<u8>) -> Result<()>;

    async fn remove(&self, env: &Environment, path: &str) -> Result<()>;
}

/// The files of the simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local;

#[async_trait]
impl Place for Local {
    fn store(&self) -> Option<&TestStore> {
        None
    }

    fn dir(&self, name: &str) -> String {
        format!("/{name}")
    }

    async fn names(&self, env: &Environment, dir: &str) -> Result<Vec<String>> {
        files::names(&*env.fs, Path::new(dir))
    }

    async fn read(&self, env: &Environment, path: &str) -> Result<Vec<u8>> {
        match env.fs.metadata(Path::new(path)) {
            Ok(_) => files::read(&*env.fs, Path::new(path)),
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn write(&self, env: &Environment, path: &str, content: Vec<u8>) -> Result<()> {
        if env.fs.metadata(Path::new(path)).is_ok() {
            env.fs.remove_file(Path::new(path)).map_err(Error::io("remove", Path::new(path)))?;
        }
        files::append(&*env.fs, Path::new(path), &content)
    }

    async fn remove(&self, env: &Environment, path: &str) -> Result<()> {
        let path = Path::new(path);
        let dir = path.parent().unwrap_or(path);
        env.fs.remove_file(path).map_err(Error::io("remove", path))?;
        env.fs.sync_dir(dir).map_err(Error::io("sync", dir))
    }
}

/// Objects of a store, below a prefix of this test.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) store: TestStore,
    root: String,
    /// What cleans up when it is dropped.
    _end: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl Objects {
    /// In a store of its own.
    pub(crate) fn in_memory() -> Self {
        Self::of(TestStore::new(), "", None)
    }

    /// `root` is empty or ends with a slash.
    pub(crate) fn of(
        store: TestStore,
        root: &str,
        end: Option<Box<dyn std::any::Any + Send + Sync>>,
    ) -> Self {
        Self { store, root: root.to_owned(), _end: end }
    }

    /// Ends all uploads.
    pub(crate) async fn abort_uploads(store: &TestStore) -> Result<()> {
        for (id, key) in store.uploads() {
            store.inner().abort_multipart(&key, &id).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(e: object_store::Error) -> Error {
    Error::data("the test's store", None, e.to_string())
}

#[async_trait]
impl Place for Objects {
    fn store(&self) -> Option<&TestStore> {
        Some(&self.store)
    }

    fn dir(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    async fn names(&self, _: &Environment, dir: &str) -> Result<Vec<String>> {
        Ok(self.store.names(dir).await)
    }

    async fn read(&self, _: &Environment, path: &str) -> Result<Vec<u8>> {
        Ok(self.store.content(path).await)
    }

    async fn write(&self, _: &Environment, path: &str, content: Vec<u8>) -> Result<()> {
        let content = PutPayload::from_bytes(Bytes::from(content));
        self.store.inner().put(&Key::from(path), content).await.map(drop).map_err(failed)
    }

    async fn remove(&self, _: &Environment, path: &str) -> Result<()> {
        self.store.inner().delete(&Key::from(path)).await.map_err(failed)
    }
}

/// What the connector is handed.
pub(crate) fn handed(store: &TestStore) -> Arc<dyn Store> {
    Arc::new(store.clone())
}
