//! What stands below a sink's prefix of an object store.

use std::path::Path;
use std::sync::Arc;

use connector_api::factory::Options;
use connector_api::{Error, Result, Stored};
use futures::TryStreamExt;

use super::{FileKind, ListedFile, kind};
use crate::place::{Objects, Place, Store, wait};
use crate::sink::config::SinkOptions;
use crate::sink::naming;
use crate::sink::objects::Marker;

/// The objects below a sink's prefix. Its calls block; for a store over a network a tokio runtime must be entered.
#[derive(Clone, Debug)]
pub struct SinkObjects(Objects);

impl SinkObjects {
    /// Those of a sink with these options; none when it writes to a local directory.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn of(options: &Options, base_dir: &Path) -> Result<Option<Self>> {
        let parsed: SinkOptions = options.parse()?;
        let error = |name: &str, reason| options.error(name, reason);
        Ok(Self::found(Place::of(&parsed.path, base_dir, parsed.store.as_ref(), &error)?))
    }

    /// Those below a URL, reached as the process's environment says; none when it is a local path.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when there can be no such store.
    pub fn at(url: &Path) -> Result<Option<Self>> {
        let error = |name: &str, reason| Error::config(name, reason);
        Ok(Self::found(Place::of(url, Path::new(""), None, &error)?))
    }

    /// Those of a store that the program made; `path` is a prefix within it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the path can be none.
    pub fn on(store: Arc<dyn Store>, path: &Path) -> Result<Self> {
        let (objects, below) = Place::within(store, path, &|name, reason| Error::config(name, reason))?;
        Ok(Self(objects.below(&below)))
    }

    fn found(place: Place) -> Option<Self> {
        match place {
            Place::Local(_) => None,
            Place::Objects(objects, below) => Some(Self(objects.below(&below))),
        }
    }

    /// What names them, such as `s3://bucket/prefix`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// All of them, in the order of their names, as [`list`](super::list) does for a directory. Uploads are found by their markers,
    /// since stores don't list them through this library.
    ///
    /// # Errors
    ///
    /// Those of the store; [`Error::Data`] for a marker that is none. One that vanishes meanwhile is no error.
    pub fn list(&self) -> Result<Vec<ListedFile>> {
        let mut found = Vec::new();
        let mut listed = self.0.list()?;
        while let Some((name, object)) = wait(listed.try_next())?? {
            let (bucket, file) = naming::split(&name);
            if bucket.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            let kind = kind(file);
            let mut uploads = None;
            if matches!(kind, FileKind::Uploading(_)) {
                let Some(content) = self.read(&name)? else { continue };
                let damaged = |e: Error| Error::data(format!("{}/{name}", self.url()), None, e.to_string());
                uploads = Some(Marker::from_bytes(&content).map_err(damaged)?.name);
            }
            found.push(ListedFile { kind, bytes: object.len, name, uploads });
        }
        found.sort();
        Ok(found)
    }

    /// The content of a small object; none when it is not there.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(wait(self.0.read_all(&self.0.at(name)?))??.map(Vec::from))
    }

    /// Whether an object is there.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn is_there(&self, name: &str) -> Result<bool> {
        Ok(wait(self.0.look(&self.0.at(name)?))??.is_some())
    }
}
