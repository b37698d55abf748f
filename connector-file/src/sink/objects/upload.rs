//! One upload, part by part.

use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use connector_api::env::Environment;
use connector_api::{Error, Result, Stored};
use futures::FutureExt;
use futures::channel::oneshot;
use object_store::PutPayload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::marker::Marker;
use crate::place::Object;
use crate::sink::place::ObjectPlace;

/// What a part is gathered in: pieces of one size, which an allocator gives out again, where buffers that double until they hold a
/// part leave gaps between each other.
const BLOCK: usize = 256 << 10;

/// What the uploads of one writer, or of one compactor, share.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    pub(super) env: Environment,
    pub(super) place: ObjectPlace,
    /// One for each part on its way.
    permits: Arc<Semaphore>,
    /// Whether a store that answers at once is asked without a task: for work that blocks, and must not wait for one.
    at_once: bool,
}

impl Uploads {
    pub(crate) fn new(env: Environment, place: ObjectPlace, at_once: bool) -> Self {
        let permits = Arc::new(Semaphore::new(place.max_uploads));
        Self { env, place, permits, at_once }
    }
}

/// An upload that takes bytes.
///
/// It holds less than one part of its own; with its kin no more than `max_uploads` parts are on their way.
#[derive(Debug)]
pub(crate) struct Upload {
    shared: Uploads,
    /// The name of the object below the sink's prefix.
    name: String,
    object: Object,
    marker: Object,
    /// Once it began.
    id: Option<Arc<str>>,
    filled: Gathering,
    parts: Vec<Flight>,
    /// For the next part.
    reserved: Option<OwnedSemaphorePermit>,
}

/// A part that is gathered.
#[derive(Debug, Default)]
struct Gathering {
    blocks: Vec<Bytes>,
    /// The block that is not full yet.
    last: BytesMut,
    length: usize,
}

impl Gathering {
    fn copy(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            if self.last.len() == BLOCK {
                let full = mem::replace(&mut self.last, BytesMut::with_capacity(BLOCK));
                self.blocks.push(full.freeze());
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.last.len()));
            self.last.extend_from_slice(now);
            bytes = later;
        }
    }

    /// All of it.
    fn take(&mut self) -> PutPayload {
        let Self { mut blocks, last, .. } = mem::take(self);
        blocks.push(last.freeze());
        blocks.into_iter().collect()
    }
}

/// A part on its way.
#[derive(Debug)]
enum Flight {
    Landed(Result<String>),
    Going(oneshot::Receiver<Result<String>>),
}

impl Flight {
    async fn land(&mut self) {
        if let Self::Going(going) = self {
            *self = Self::Landed(going.await.unwrap_or_else(|_| Err(cancelled())));
        }
    }

    /// What it came to, if that was a failure.
    fn failure(&mut self) -> Option<Error> {
        if let Self::Going(going) = self {
            match going.try_recv() {
                Ok(None) => return None,
                Ok(Some(result)) => *self = Self::Landed(result),
                Err(oneshot::Canceled) => *self = Self::Landed(Err(cancelled())),
            }
        }
        match self {
            Self::Landed(result @ Err(_)) => mem::replace(result, Err(cancelled())).err(),
            _ => None,
        }
    }
}

fn cancelled() -> Error {
    Error::Cancelled("an upload".into())
}

impl Upload {
    /// An upload of the object `name` with this marker. Nothing is asked of the store yet.
    pub(crate) fn new(shared: &Uploads, name: &str, marker: &str) -> Result<Self> {
        let objects = &shared.place.objects;
        Ok(Self {
            name: name.to_owned(),
            object: objects.at(name)?,
            marker: objects.at(marker)?,
            shared: shared.clone(),
            id: None,
            filled: Gathering::default(),
            parts: Vec::new(),
            reserved: None,
        })
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    pub(super) fn marker(&self) -> &Object {
        &self.marker
    }

    /// The bytes, if they are fewer than one part and nothing was asked of the store yet; and what to hold until they are there.
    pub(super) fn take_small(&mut self) -> Option<(PutPayload, Option<OwnedSemaphorePermit>)> {
        let is_small = self.id.is_none() && self.parts.is_empty();
        is_small.then(|| (self.filled.take(), self.reserved.take()))
    }

    /// Waits until the next part may go on its way, so that whoever ends this upload in the background holds no bytes that wait.
    /// Cancel-safe. What was reserved is kept from others: put that part, or drop the upload.
    pub(super) async fn reserve(&mut self) -> Result<()> {
        if self.reserved.is_none() {
            self.reserved = Some(self.permit().await?);
        }
        Ok(())
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        self.shared.permits.clone().acquire_owned().await.map_err(|_| cancelled())
    }

    /// Takes bytes; waits while too many parts are on their way.
    ///
    /// # Errors
    ///
    /// Those of the store, also of a part put earlier.
    pub(crate) async fn write(&mut self, chunks: &[Bytes]) -> Result<()> {
        let part_size = self.shared.place.part_size;
        for chunk in chunks {
            let mut chunk = &chunk[..];
            while !chunk.is_empty() {
                let (now, later) = chunk.split_at(chunk.len().min(part_size - self.filled.length));
                self.filled.copy(now);
                chunk = later;
                if self.filled.length == part_size {
                    self.put().await?;
                }
            }
        }
        Ok(())
    }

    /// Makes the upload, and its marker, if that was not done yet.
    async fn begin(&mut self) -> Result<Arc<str>> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let Uploads { env, place, .. } = &self.shared;
        let id = place.objects.create_upload(&self.object).await?;
        env.crash.hit("file-upload/after-create");
        let marker = Marker { name: self.name.clone(), id: id.clone() };
        place.objects.put(&self.marker, marker.to_bytes()?).await?;
        env.crash.hit("file-upload/after-marker");
        let id: Arc<str> = id.into();
        self.id = Some(id.clone());
        Ok(id)
    }

    /// Sends what was gathered off as the next part.
    async fn put(&mut self) -> Result<()> {
        if let Some(failure) = self.parts.iter_mut().find_map(Flight::failure) {
            return Err(failure);
        }
        let id = self.begin().await?;
        let permit = match self.reserved.take() {
            Some(permit) => permit,
            None => self.permit().await?,
        };
        let content = self.filled.take();
        let index = self.parts.len();
        self.parts.push(self.send(id, index, content, permit));
        Ok(())
    }

    fn send(&self, id: Arc<str>, index: usize, content: PutPayload, permit: OwnedSemaphorePermit) -> Flight {
        let Uploads { env, place, at_once, .. } = self.shared.clone();
        let (object, spawner) = (self.object.clone(), env.spawner.clone());
        let mut put = async move {
            env.crash.hit("file-upload/before-part");
            let put = place.objects.put_part(&object, &id, index, content).await;
            drop(permit);
            env.crash.hit("file-upload/after-part");
            put
        }
        .boxed();
        if at_once && let Some(put) = (&mut put).now_or_never() {
            return Flight::Landed(put);
        }
        let (done, going) = oneshot::channel();
        let task = async move {
            // The receiver is gone when the writer was dropped: then nobody wants it.
            let _ = done.send(put.await);
        };
        drop(spawner.spawn("upload a part", task.boxed()));
        Flight::Going(going)
    }

    /// Puts what is left, and waits for all parts; gives the id, and what the completion needs of the parts.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) async fn finish(&mut self) -> Result<(String, Vec<String>)> {
        // A store wants at least one part, even if it is empty.
        if self.filled.length > 0 || self.parts.is_empty() {
            self.put().await?;
        }
        self.reserved = None;
        self.land().await;
        let id = self.begin().await?;
        let mut parts = Vec::with_capacity(self.parts.len());
        for flight in self.parts.drain(..) {
            match flight {
                Flight::Landed(part) => parts.push(part?),
                Flight::Going(_) => return Err(cancelled()),
            }
        }
        Ok((id.to_string(), parts))
    }

    /// Waits for the parts on their way. Cancel-safe.
    pub(crate) async fn land(&mut self) {
        for flight in &mut self.parts {
            flight.land().await;
        }
    }
}
