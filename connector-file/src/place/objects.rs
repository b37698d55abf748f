//! Objects below a prefix.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::Metadata;
use connector_api::{Error, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyMode, CopyOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, UpdateVersion,
};

use super::errors::{is_absent, is_gone, store_error};

/// An object store that files are read from and written to.
///
/// Its answers must be consistent: what was put is found, and what was deleted is not, from the answer on.
pub trait Store: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> Store for S {}

/// Objects below a prefix of a store. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Objects {
    store: Arc<dyn Store>,
    /// What names the store, for messages.
    url: Arc<str>,
    prefix: Arc<str>,
}

impl Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Objects({}/{})", self.url, self.prefix)
    }
}

/// One object, by its key and by what names it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: Key,
    /// Such as `s3://bucket/a/b`.
    pub(crate) url: String,
}

/// What became of an upload that was to be completed.
#[derive(Debug)]
pub(crate) enum Completion {
    /// The object is there.
    Done,
    /// The store does not know the upload, or what was put into it.
    Unknown(String),
}

/// A state of an object, as the store tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision(UpdateVersion);

impl Objects {
    pub(crate) fn new(store: Arc<dyn Store>, url: impl Into<Arc<str>>, prefix: impl Into<Arc<str>>) -> Self {
        Self { store, url: url.into(), prefix: prefix.into() }
    }

    /// Those below a path.
    pub(crate) fn below(&self, path: &str) -> Self {
        Self { prefix: join(&self.prefix, path).into(), ..self.clone() }
    }

    /// Whether the store refuses small parts of uploads.
    pub(crate) fn wants_large_parts(&self) -> bool {
        self.url.starts_with("s3://") || self.url.starts_with("gs://")
    }

    /// What names them in messages.
    pub(crate) fn url(&self) -> String {
        join(&self.url, &self.prefix)
    }

    /// The object of this name below the prefix.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] when it can't be a key: empty parts, `.`, `..`, control characters.
    pub(crate) fn at(&self, name: &str) -> Result<Object> {
        let key = join(&self.prefix, name);
        let url = join(&self.url, &key);
        match Key::parse(&key) {
            Ok(key) => Ok(Object { key, url }),
            Err(e) => Err(Error::data(url, None, format!("can't be the name of an object: {e}"))),
        }
    }

    /// The name of a key below the prefix; none for one that is elsewhere.
    fn name<'a>(&self, key: &'a Key) -> Option<&'a str> {
        if self.prefix.is_empty() {
            return Some(key.as_ref());
        }
        key.as_ref().strip_prefix(&*self.prefix)?.strip_prefix('/')
    }

    /// All objects below the prefix, by name, as the store lists them.
    pub(crate) fn list(&self) -> Result<BoxStream<'static, Result<(String, Metadata)>>> {
        let prefix = if self.prefix.is_empty() { None } else { Some(self.at("")?.key) };
        let objects = self.clone();
        let listed = self.store.list(prefix.as_ref());
        let named = listed.map(move |found| {
            let found = found.map_err(|e| store_error("list", &objects.url(), e))?;
            Ok(objects.name(&found.location).map(|name| (name.to_owned(), metadata(&found))))
        });
        Ok(named.try_filter_map(|found| std::future::ready(Ok(found))).boxed())
    }

    /// Whether they can be listed: the store is reached, and lets us in. `option` is what the error names.
    pub(crate) async fn check(&self, option: &str) -> Result<()> {
        match self.list()?.try_next().await {
            Ok(_) => Ok(()),
            Err(e) => Err(Error::config(option, format!("can't list {}: {e}", self.url()))),
        }
    }

    /// What is known of an object; none when it is not there.
    pub(crate) async fn look(&self, object: &Object) -> Result<Option<Metadata>> {
        match self.store.head(&object.key).await {
            Ok(found) => Ok(Some(metadata(&found))),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(store_error("look at", &object.url, e)),
        }
    }

    /// The bytes from `start` to `end` (not with it), with what is known of the object that they are of.
    pub(crate) async fn read(&self, object: &Object, start: u64, end: u64) -> Result<(Bytes, Metadata)> {
        let failed = |e| store_error("read", &object.url, e);
        let options = GetOptions::new().with_range(Some(start..end));
        let found = self.store.get_opts(&object.key, options).await.map_err(failed)?;
        let meta = metadata(&found.meta);
        Ok((found.bytes().await.map_err(failed)?, meta))
    }

    /// All bytes of a small object; none when it is not there.
    pub(crate) async fn read_all(&self, object: &Object) -> Result<Option<Bytes>> {
        Ok(self.read_revision(object).await?.map(|(content, _)| content))
    }

    /// All bytes of a small object, and which state of it they are; none when it is not there.
    pub(crate) async fn read_revision(&self, object: &Object) -> Result<Option<(Bytes, Revision)>> {
        let failed = |e| store_error("read", &object.url, e);
        match self.store.get_opts(&object.key, GetOptions::new()).await {
            Ok(found) => {
                let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
                let revision = Revision(UpdateVersion { e_tag, version });
                Ok(Some((found.bytes().await.map_err(failed)?, revision)))
            }
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    /// Makes an object that is not there, or replaces this state of it, where the store can tell; says whether it did. It did not
    /// when another state is there, which may be the same content: the answer to an earlier try may have been lost.
    pub(crate) async fn put_over(
        &self,
        object: &Object,
        content: Bytes,
        over: Option<&Revision>,
    ) -> Result<bool> {
        let mode = over.map_or(PutMode::Create, |revision| PutMode::Update(revision.0.clone()));
        let payload = PutPayload::from_bytes(content.clone());
        match self.store.put_opts(&object.key, payload, PutOptions::from(mode)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            // It was removed. A bucket that is not there is told by a put over nothing.
            Err(object_store::Error::NotFound { .. }) if over.is_some() => Ok(false),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.put(object, content).await.map(|()| true)
            }
            Err(e) => Err(store_error("put", &object.url, e)),
        }
    }

    /// Makes or replaces an object.
    pub(crate) async fn put(&self, object: &Object, content: impl Into<PutPayload>) -> Result<()> {
        let put = self.store.put(&object.key, content.into()).await;
        put.map(drop).map_err(|e| store_error("put", &object.url, e))
    }

    /// Removes an object; one that is not there is fine.
    pub(crate) async fn remove(&self, object: &Object) -> Result<()> {
        match self.store.delete(&object.key).await {
            Err(e) if !is_absent(&e) => Err(store_error("remove", &object.url, e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Copies within the store, and replaces nothing where the store can tell; says whether it copied.
    pub(crate) async fn copy(&self, from: &Object, to: &Object) -> Result<bool> {
        let create = CopyOptions::new().with_mode(CopyMode::Create);
        match self.store.copy_opts(&from.key, &to.key, create).await {
            Ok(()) => return Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                return Ok(false);
            }
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {}
            Err(e) => return Err(store_error("copy", &from.url, e)),
        }
        if self.look(to).await?.is_some() {
            return Ok(false);
        }
        let copied = self.store.copy(&from.key, &to.key).await;
        copied.map(|()| true).map_err(|e| store_error("copy", &from.url, e))
    }

    /// Begins an upload; gives its id.
    pub(crate) async fn create_upload(&self, object: &Object) -> Result<String> {
        let created = self.store.create_multipart(&object.key).await;
        created.map_err(|e| store_error("begin an upload of", &object.url, e))
    }

    /// Puts a part of an upload; gives what the completion needs of it.
    pub(crate) async fn put_part(
        &self,
        object: &Object,
        id: &str,
        index: usize,
        content: PutPayload,
    ) -> Result<String> {
        match self.store.put_part(&object.key, &id.to_owned(), index, content).await {
            Ok(part) => Ok(part.content_id),
            Err(e) => Err(store_error("upload a part of", &object.url, e)),
        }
    }

    /// Makes the object of an upload appear.
    pub(crate) async fn complete_upload(
        &self,
        object: &Object,
        id: &str,
        parts: &[String],
    ) -> Result<Completion> {
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        match self.store.complete_multipart(&object.key, &id.to_owned(), parts).await {
            Ok(_) => Ok(Completion::Done),
            Err(e) if is_gone(&e) => Ok(Completion::Unknown(e.to_string())),
            Err(e) => Err(store_error("complete the upload of", &object.url, e)),
        }
    }

    /// Gives an upload up; one that the store does not know is fine.
    pub(crate) async fn abort_upload(&self, object: &Object, id: &str) -> Result<()> {
        match self.store.abort_multipart(&object.key, &id.to_owned()).await {
            Err(e) if !is_gone(&e) => Err(store_error("abort the upload of", &object.url, e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn join(base: &str, name: &str) -> String {
    match (base.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => base.to_owned(),
        (false, false) => format!("{base}/{name}"),
    }
}

/// What a store says of an object, as a file system would. The modification is in whole seconds: listings are finer than the
/// headers of the object itself. The entity tag stands for the identity of the content.
fn metadata(found: &ObjectMeta) -> Metadata {
    let seconds = u64::try_from(found.last_modified.timestamp()).unwrap_or(0);
    let file_id = found.e_tag.as_deref().map_or(0, fingerprint);
    Metadata { len: found.size, modified: Duration::from_secs(seconds), is_dir: false, file_id }
}

/// FNV-1a of an entity tag without its marks, which some stores set in one answer and not in another. It is stored.
fn fingerprint(e_tag: &str) -> u64 {
    let tag = e_tag.trim_start_matches("W/").trim_matches('"');
    tag.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_of_tags_stay_what_they_are() {
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("\"a\""), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("W/\"a\""), fingerprint("a"));
    }

    #[test]
    fn names_are_below_the_prefix_only() {
        let store = Arc::new(object_store::memory::InMemory::new());
        let objects = Objects::new(store, "s3://b", "").below("a/b");
        assert_eq!(objects.url(), "s3://b/a/b");
        let object = objects.at("day=1/x").unwrap();
        assert_eq!((object.key.as_ref(), &*object.url), ("a/b/day=1/x", "s3://b/a/b/day=1/x"));
        assert_eq!(objects.name(&object.key), Some("day=1/x"));
        assert_eq!(objects.name(&Key::parse("a/bc/x").unwrap()), None);
        for bad in ["../x", "a//b", "a/./b", "a\nb"] {
            assert!(objects.at(bad).is_err(), "{bad:?}");
        }
    }
}
