//! A store that fails when it is told to: in memory, or over another.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use connector_file::place::{MemoryStore, Store};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use testkit::fs::SimFs;

/// An operation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    PutPart,
    Complete,
    Abort,
    Put,
    Get,
    Delete,
    Copy,
    List,
}

/// How an operation fails.
#[allow(dead_code, reason = "not every test target injects single faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has no effect.
    Before,
    /// It is done, and the answer is lost.
    After,
    /// The caller may not.
    Denied,
}

/// What lists the uploads that were begun and not ended.
pub(crate) type Uploads = Arc<dyn Fn() -> Vec<(MultipartId, Key)> + Send + Sync>;

/// A store with faults. Clones share everything but the process that they live in.
#[derive(Clone)]
pub(crate) struct TestStore {
    /// What is behind it, unless it was made over another store.
    #[allow(dead_code, reason = "not every test target looks past the faults")]
    pub(crate) memory: MemoryStore,
    inner: Arc<dyn Store>,
    uploads: Uploads,
    state: Arc<Mutex<State>>,
    /// Who asks; none for one that never dies.
    process: Option<SimFs>,
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Default for TestStore {
    fn default() -> Self {
        let memory = MemoryStore::default();
        let uploads = memory.clone();
        let inner = Arc::new(memory.clone());
        Self {
            memory,
            inner,
            uploads: Arc::new(move || uploads.uploads()),
            state: Arc::default(),
            process: None,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    broken: bool,
    rules: Vec<(Op, Fault)>,
    log: Vec<(Op, String)>,
    read: u64,
    without_conditional_copies: bool,
    takes_unknown_for_done: bool,
    slow: bool,
    flying: usize,
    most_flying: usize,
    without_conditional_puts: bool,
    /// After how many operations the process dies, and whether the last of them takes effect.
    death: Option<(u64, Fault)>,
    before: Option<(Op, Before)>,
}

/// What happens before an operation.
struct Before(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Before")
    }
}

impl TestStore {
    #[allow(dead_code, reason = "some test targets make it by default")]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Over another store, whose uploads are listed so.
    #[allow(dead_code, reason = "not every test target has another")]
    pub(crate) fn over(inner: Arc<dyn Store>, uploads: Uploads) -> Self {
        Self { memory: MemoryStore::default(), inner, uploads, state: Arc::default(), process: None }
    }

    /// The uploads that were begun and not ended, past the faults.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn uploads(&self) -> Vec<(MultipartId, Key)> {
        (self.uploads)()
    }

    /// What is behind the faults.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything fails from now on.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.state().broken = broken;
    }

    /// The next operation of this kind fails.
    #[allow(dead_code, reason = "not every test target injects single faults")]
    pub(crate) fn fail(&self, op: Op, fault: Fault) {
        self.state().rules.push((op, fault));
    }

    /// Whether an operation is still to fail.
    #[allow(dead_code, reason = "not every test target injects single faults")]
    pub(crate) fn will_fail(&self) -> bool {
        !self.state().rules.is_empty()
    }

    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn without_conditional_copies(&self) {
        self.state().without_conditional_copies = true;
    }

    /// A flaw: an upload that is not there is said to be completed.
    #[allow(dead_code, reason = "not every test target has twins")]
    pub(crate) fn take_unknown_for_done(&self) {
        self.state().takes_unknown_for_done = true;
    }

    /// Parts take a while.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn slow(&self) {
        self.state().slow = true;
    }

    /// The most parts that were on their way at once.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn most_flying(&self) -> usize {
        self.state().most_flying
    }

    /// What was done, since this was asked last.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn take_log(&self) -> Vec<(Op, String)> {
        std::mem::take(&mut self.state().log)
    }

    /// The bytes that were read.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn bytes_read(&self) -> u64 {
        self.state().read
    }

    /// All names below a prefix, sorted.
    pub(crate) async fn names(&self, prefix: &str) -> Vec<String> {
        let found: Vec<ObjectMeta> =
            self.inner.list(Some(&Key::from(prefix))).try_collect().await.unwrap_or_default();
        let mut names: Vec<_> = found
            .iter()
            .filter_map(|found| found.location.as_ref().strip_prefix(prefix)?.strip_prefix('/'))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    }

    /// The content of an object; empty when it is not there.
    pub(crate) async fn content(&self, name: &str) -> Vec<u8> {
        match self.inner.get(&Key::from(name)).await {
            Ok(found) => found.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// The store as this process sees it: all operations fail once it is dead. Faults that were to come are forgotten.
    #[allow(dead_code, reason = "not every test target lets processes die")]
    pub(crate) fn within(&self, process: &SimFs) -> Self {
        let mut state = self.state();
        state.death = None;
        state.rules.clear();
        drop(state);
        Self { process: Some(process.clone()), ..self.clone() }
    }

    /// The process dies at this operation from now on, before it or after it.
    #[allow(dead_code, reason = "not every test target lets processes die")]
    pub(crate) fn die_at(&self, nth: u64, fault: Fault) {
        self.state().death = Some((nth, fault));
    }

    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn without_conditional_puts(&self) {
        self.state().without_conditional_puts = true;
    }

    /// Does this before the next operation of the kind.
    #[allow(dead_code, reason = "not every test target asks for it")]
    pub(crate) fn before(&self, op: Op, work: Box<dyn FnOnce() + Send>) {
        self.state().before = Some((op, Before(work)));
    }

    async fn around<T>(&self, op: Op, key: &Key, work: impl Future<Output = Result<T>>) -> Result<T> {
        let before = self.state().before.take_if(|(wanted, _)| *wanted == op);
        if let Some((_, Before(work))) = before {
            work();
        }
        let (fault, dies) = {
            let mut state = self.state();
            state.log.push((op, key.to_string()));
            if state.broken {
                return Err(failure("the store is broken"));
            }
            let dies = self.process.as_ref().and_then(|process| state.dies_now(process));
            let at = state.rules.iter().position(|rule| rule.0 == op);
            (at.map(|at| state.rules.remove(at).1), dies)
        };
        if let Some(fault) = dies {
            if fault == Fault::After {
                work.await?;
            }
            return Err(failure("the process is dead"));
        }
        match fault {
            None => work.await,
            Some(Fault::Before) => Err(failure("connection refused")),
            Some(Fault::Denied) => {
                Err(Error::PermissionDenied { path: key.to_string(), source: "not allowed".into() })
            }
            Some(Fault::After) => {
                work.await?;
                Err(failure("connection reset before the answer"))
            }
        }
    }
}

impl State {
    /// Whether the process is dead, or dies now, and if so whether before or after the operation.
    fn dies_now(&mut self, process: &SimFs) -> Option<Fault> {
        if process.is_frozen() {
            return Some(Fault::Before);
        }
        let (left, fault) = self.death?;
        self.death = Some((left.saturating_sub(1), fault));
        if left > 1 {
            return None;
        }
        process.freeze();
        Some(fault)
    }
}

fn failure(text: &'static str) -> Error {
    Error::Generic { store: "TestStore", source: text.into() }
}

impl fmt::Display for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test:/")
    }
}

#[async_trait]
impl MultipartStore for TestStore {
    async fn create_multipart(&self, path: &Key) -> Result<MultipartId> {
        self.around(Op::Create, path, self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Key, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let slow = {
            let mut state = self.state();
            state.flying += 1;
            state.most_flying = state.most_flying.max(state.flying);
            state.slow
        };
        if slow {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let put = self.around(Op::PutPart, path, self.inner.put_part(path, id, index, data)).await;
        self.state().flying -= 1;
        put
    }

    async fn complete_multipart(
        &self,
        path: &Key,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let completed = self.around(Op::Complete, path, self.inner.complete_multipart(path, id, parts)).await;
        match completed {
            Err(e) if self.state().takes_unknown_for_done && e.to_string().contains("NoSuchUpload") => {
                Ok(PutResult { e_tag: None, version: None })
            }
            other => other,
        }
    }

    async fn abort_multipart(&self, path: &Key, id: &MultipartId) -> Result<()> {
        self.around(Op::Abort, path, self.inner.abort_multipart(path, id)).await
    }
}

#[async_trait]
impl ObjectStore for TestStore {
    async fn put_opts(&self, key: &Key, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.state().without_conditional_puts && !matches!(opts.mode, PutMode::Overwrite) {
            return Err(Error::NotImplemented { operation: "put".into(), implementer: "TestStore".into() });
        }
        self.around(Op::Put, key, self.inner.put_opts(key, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, opts).await
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let found = self.around(Op::Get, key, self.inner.get_opts(key, options)).await?;
        if !head {
            self.state().read += found.range.end - found.range.start;
        }
        Ok(found)
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let store = self.clone();
        keys.then(move |key| {
            let store = store.clone();
            async move {
                let key = key?;
                store.around(Op::Delete, &key, store.inner.delete(&key)).await?;
                Ok(key)
            }
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let all = async move {
            let key = prefix.clone().unwrap_or_default();
            let found: Vec<ObjectMeta> =
                store.around(Op::List, &key, store.inner.list(prefix.as_ref()).try_collect()).await?;
            Ok::<_, Error>(futures::stream::iter(found.into_iter().map(Ok)))
        };
        futures::stream::once(all).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        if self.state().without_conditional_copies && matches!(options.mode, CopyMode::Create) {
            let operation = "copy_if_not_exists".to_owned();
            return Err(Error::NotImplemented { operation, implementer: "TestStore".into() });
        }
        self.around(Op::Copy, from, self.inner.copy_opts(from, to, options)).await
    }
}
