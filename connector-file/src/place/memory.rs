//! A store in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::BytesMut;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

static STORES: LazyLock<Mutex<HashMap<String, MemoryStore>>> = LazyLock::new(Mutex::default);

/// The store of a name, made when it is asked for first. It lives as long as the process.
pub(super) fn named(name: &str) -> Arc<MemoryStore> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::new(stores.entry(name.to_owned()).or_default().clone())
}

/// A store in memory, for tests and experiments. Clones share their objects.
///
/// It is [`InMemory`] but for uploads: that of version 0.13 loses parts that don't come in the order of their numbers, and
/// parts that go up at the same time don't.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    objects: Arc<InMemory>,
    uploads: Arc<Mutex<Uploads>>,
}

#[derive(Debug, Default)]
struct Uploads {
    begun: u64,
    open: BTreeMap<u64, Upload>,
}

#[derive(Debug)]
struct Upload {
    key: Key,
    parts: BTreeMap<usize, PutPayload>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The uploads that were begun and neither completed nor aborted: id and key of each.
    pub fn uploads(&self) -> Vec<(MultipartId, Key)> {
        self.locked().open.iter().map(|(id, upload)| (id.to_string(), upload.key.clone())).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(code: &str, id: &str) -> Error {
    Error::Generic { store: "MemoryStore", source: format!("<Code>{code}</Code> for the upload {id}").into() }
}

fn number(key: &Key, id: &str, uploads: &Uploads) -> Result<u64> {
    let number =
        id.parse().ok().filter(|number| uploads.open.get(number).is_some_and(|upload| upload.key == *key));
    number.ok_or_else(|| refused("NoSuchUpload", id))
}

/// What the completion must name a part by, as an entity tag is.
fn part_id(index: usize, content: &PutPayload) -> String {
    format!("{index}:{}", content.content_length())
}

#[async_trait]
impl MultipartStore for MemoryStore {
    async fn create_multipart(&self, path: &Key) -> Result<MultipartId> {
        let mut uploads = self.locked();
        uploads.begun += 1;
        let id = uploads.begun;
        uploads.open.insert(id, Upload { key: path.clone(), parts: BTreeMap::new() });
        Ok(id.to_string())
    }

    async fn put_part(
        &self,
        path: &Key,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let mut uploads = self.locked();
        let number = number(path, id, &uploads)?;
        let content_id = part_id(part_idx, &data);
        if let Some(upload) = uploads.open.get_mut(&number) {
            upload.parts.insert(part_idx, data);
        }
        Ok(PartId { content_id })
    }

    async fn complete_multipart(
        &self,
        path: &Key,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let content = {
            let mut uploads = self.locked();
            let number = number(path, id, &uploads)?;
            let Some(upload) = uploads.open.get(&number) else { return Err(refused("NoSuchUpload", id)) };
            let mut content = BytesMut::new();
            for (index, part) in parts.iter().enumerate() {
                let found = upload.parts.get(&index).filter(|found| part_id(index, found) == part.content_id);
                let Some(found) = found else { return Err(refused("InvalidPart", id)) };
                found.iter().for_each(|bytes| content.extend_from_slice(bytes));
            }
            uploads.open.remove(&number);
            content.freeze()
        };
        self.objects.put(path, content.into()).await
    }

    async fn abort_multipart(&self, path: &Key, id: &MultipartId) -> Result<()> {
        let mut uploads = self.locked();
        let number = number(path, id, &uploads)?;
        uploads.open.remove(&number);
        Ok(())
    }
}

impl fmt::Display for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory:/")
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put_opts(&self, location: &Key, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::wait;

    fn put(store: &MemoryStore, id: &String, index: usize, text: &'static str) -> PartId {
        let key = Key::from("a");
        wait(store.put_part(&key, id, index, PutPayload::from_static(text.as_bytes()))).unwrap().unwrap()
    }

    #[test]
    fn parts_of_an_upload_may_come_in_any_order() {
        let store = MemoryStore::new();
        let key = Key::from("a");
        let id = wait(store.create_multipart(&key)).unwrap().unwrap();
        let (second, first) = (put(&store, &id, 1, "b"), put(&store, &id, 0, "a"));
        let parts = vec![first, second];
        assert_eq!(store.uploads().len(), 1);
        wait(store.complete_multipart(&key, &id, parts.clone())).unwrap().unwrap();
        assert!(store.uploads().is_empty());
        let content = wait(async { store.get(&key).await?.bytes().await }).unwrap().unwrap();
        assert_eq!(&content[..], b"ab");
        assert!(wait(store.complete_multipart(&key, &id, parts)).unwrap().is_err(), "completed twice");
    }

    #[test]
    fn a_part_that_was_not_put_is_refused() {
        let store = MemoryStore::new();
        let key = Key::from("a");
        let id = wait(store.create_multipart(&key)).unwrap().unwrap();
        let part = PartId { content_id: "0:7".into() };
        put(&store, &id, 0, "a");
        let error = wait(store.complete_multipart(&key, &id, vec![part])).unwrap().unwrap_err();
        assert!(error.to_string().contains("InvalidPart"), "{error}");
    }
}
