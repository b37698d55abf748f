//! One server that speaks S3 for all tests, and a way to it from the simulation.
//!
//! The simulation has one thread and stands its clock still while anything can run. So each operation blocks that thread, while a
//! runtime of its own, with real sockets, asks the server: between two steps of the simulation no time passes, and a run is
//! the same each time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use testkit::brokers::{Broker, S3, require};
use tokio::runtime::Runtime;

use crate::matrix::Objects;
use crate::store::TestStore;

struct Server {
    broker: Broker,
    runtime: Runtime,
    client: AmazonS3,
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// The server; it starts when it is first asked for and ends with the process.
fn server() -> &'static Server {
    SERVER.get_or_init(|| {
        let broker = Broker::start(S3).expect("the S3 server starts");
        let client = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", broker.address()))
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(S3::BUCKET)
            .with_access_key_id("key")
            .with_secret_access_key("secret")
            .build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Server {
            broker,
            runtime: runtime.expect("a runtime starts"),
            client: client.expect("the client's options are right"),
        }
    })
}

/// One line when the server can't start here.
pub(crate) fn missing() -> std::result::Result<(), String> {
    require(&S3).map_err(|missing| missing.to_string())
}

/// A prefix of the one bucket, for one test.
pub(crate) fn objects() -> Objects {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let root = format!("{}/", NEXT.fetch_add(1, Ordering::Relaxed));
    let below = root.clone();
    let uploads = move || {
        let uploads = S3::uploads(server().broker.address(), &below).expect("uploads are listed");
        uploads.into_iter().map(|(id, key)| (id, Key::from(key))).collect()
    };
    let store = TestStore::over(Arc::new(Bridge), Arc::new(uploads));
    Objects::of(store, &root, Some(Box::new(Prefix(root.clone()))))
}

/// Objects that are removed with the test that made them: a listing takes longer the more there are.
#[derive(Debug)]
struct Prefix(String);

impl Drop for Prefix {
    fn drop(&mut self) {
        if SERVER.get().is_none() {
            return;
        }
        for (id, key) in S3::uploads(server().broker.address(), &self.0).unwrap_or_default() {
            let _ = asked(move |s3| async move { s3.abort_multipart(&Key::from(key), &id).await });
        }
        let root = Key::from(self.0.trim_end_matches('/'));
        let _ = asked(move |s3| async move {
            let found = s3.list(Some(&root)).map_ok(|found| found.location).boxed();
            s3.delete_stream(found).try_collect::<Vec<_>>().await
        });
    }
}

/// Asks the server and blocks the calling thread until the answer is there.
fn asked<T, W, F>(work: W) -> T
where
    T: Send + 'static,
    W: FnOnce(&'static AmazonS3) -> F,
    F: Future<Output = T> + Send + 'static,
{
    let (answer, answers) = mpsc::sync_channel(1);
    let work = work(&server().client);
    server().runtime.spawn(async move {
        let _ = answer.send(work.await);
    });
    answers.recv().expect("the client answers")
}

/// The server as a store that answers at once.
#[derive(Debug)]
struct Bridge;

impl fmt::Display for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bridge:/")
    }
}

#[async_trait]
impl MultipartStore for Bridge {
    async fn create_multipart(&self, path: &Key) -> Result<MultipartId> {
        let path = path.clone();
        asked(|s3| async move { s3.create_multipart(&path).await })
    }

    async fn put_part(&self, path: &Key, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let (path, id) = (path.clone(), id.clone());
        asked(|s3| async move { s3.put_part(&path, &id, index, data).await })
    }

    async fn complete_multipart(
        &self,
        path: &Key,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let (path, id) = (path.clone(), id.clone());
        asked(|s3| async move { s3.complete_multipart(&path, &id, parts).await })
    }

    async fn abort_multipart(&self, path: &Key, id: &MultipartId) -> Result<()> {
        let (path, id) = (path.clone(), id.clone());
        asked(|s3| async move { s3.abort_multipart(&path, &id).await })
    }
}

#[async_trait]
impl ObjectStore for Bridge {
    async fn put_opts(&self, key: &Key, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let key = key.clone();
        asked(|s3| async move { s3.put_opts(&key, payload, opts).await })
    }

    async fn put_multipart_opts(&self, _: &Key, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        // The connector asks for parts one by one.
        Err(Error::NotImplemented { operation: "put_multipart".into(), implementer: "Bridge".into() })
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let key = key.clone();
        asked(|s3| async move {
            let found = s3.get_opts(&key, options).await?;
            let (meta, range, attributes) =
                (found.meta.clone(), found.range.clone(), found.attributes.clone());
            let content = found.bytes().await?;
            let payload = GetResultPayload::Stream(futures::stream::iter([Ok(content)]).boxed());
            Ok(GetResult { payload, meta, range, attributes })
        })
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let delete = |key: Result<Key>| {
            let key = key?;
            let gone = key.clone();
            asked(|s3| async move { s3.delete(&gone).await })?;
            Ok(key)
        };
        keys.map(delete).boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        let found: Result<Vec<ObjectMeta>> =
            asked(|s3| async move { s3.list(prefix.as_ref()).try_collect().await });
        match found {
            Ok(found) => futures::stream::iter(found.into_iter().map(Ok)).boxed(),
            Err(e) => futures::stream::iter([Err(e)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        asked(|s3| async move { s3.list_with_delimiter(prefix.as_ref()).await })
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        asked(|s3| async move { s3.copy_opts(&from, &to, options).await })
    }
}
