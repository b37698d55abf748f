//! Reads: of what is visible, from wherever it is, and waiting for more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::extents::{Extent, Location};
use super::files::Piece;
use super::record::SegmentKey;
use super::{Container, Core, Status};
use crate::error::{Error, Result};
use crate::id::SegmentName;

/// How often one who only reads looks for more.
const FOLLOW: Duration = Duration::from_millis(50);

/// A part of a segment, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The bytes; none at the end of what there is.
    pub bytes: Bytes,
    /// Whether the segment is sealed and ends behind these bytes.
    pub is_end: bool,
}

impl Container {
    /// Bytes of a segment from `offset` on, at most `max`; waits for more at its end, at most `patience`.
    pub(crate) async fn read(
        self: &Arc<Self>,
        segment: &SegmentName,
        offset: u64,
        max: usize,
        patience: Duration,
    ) -> Result<Read> {
        let until = self.env.clock.monotonic() + patience;
        loop {
            self.ready().await?;
            let waiters = {
                let mut core = self.core();
                let core = &mut *core;
                let (key, found) = core.state.segment(segment)?;
                let (visible, start) = (found.visible, found.start);
                if offset < start {
                    return Err(Error::Truncated { segment: segment.clone(), offset, start });
                }
                // Who reads along may know less than whoever told the offset: it comes.
                if offset > visible.length && !matches!(core.status, Status::ReadOnly) {
                    let (segment, length) = (segment.clone(), visible.length);
                    return Err(Error::BeyondEnd { segment, offset, length });
                }
                if offset < visible.length {
                    Err(core.pieces(key, offset, visible.length.min(offset.saturating_add(max as u64))))
                } else if visible.is_sealed && offset == visible.length {
                    return Ok(Read { bytes: Bytes::new(), is_end: true });
                } else {
                    let segment = core.state.segments.get_mut(&key);
                    let waiters = segment.map(|s| s.waiters.get_or_insert_with(Arc::default).clone());
                    waiters.map_or_else(|| Err(Vec::new()), Ok)
                }
            };
            match waiters {
                Err(pieces) => return self.fetch(segment, offset, pieces).await,
                Ok(waiters) => {
                    let mut told = std::pin::pin!(waiters.notified());
                    told.as_mut().enable();
                    if self.has_more(segment, offset) {
                        continue;
                    }
                    let now = self.env.clock.monotonic();
                    if now >= until {
                        return Ok(Read { bytes: Bytes::new(), is_end: false });
                    }
                    if self.is_read_only() {
                        self.env.clock.sleep(FOLLOW.min(until - now)).await;
                        self.refresh().await?;
                        continue;
                    }
                    let timer = self.env.clock.sleep(until - now);
                    futures::future::select(told, timer).await;
                }
            }
        }
    }

    /// Whether a reader at `offset` has no reason to wait.
    fn has_more(&self, segment: &SegmentName, offset: u64) -> bool {
        let core = self.core();
        match core.state.segment(segment) {
            Ok((_, found)) => {
                offset < found.visible.length || (found.visible.is_sealed && offset == found.visible.length)
            }
            Err(_) => true,
        }
    }

    async fn fetch(self: &Arc<Self>, segment: &SegmentName, offset: u64, pieces: Vec<Piece>) -> Result<Read> {
        let in_memory = pieces.iter().all(|piece| matches!(piece, Piece::Memory(_)));
        let bytes = if in_memory {
            self.files.read(&pieces)
        } else {
            self.blocking(move |this| this.files.read(&pieces)).await
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            // Between the look and the read it may have been truncated, or moved.
            Err(error) => self.fetch_again(segment, offset, error).await?,
        };
        Ok(Read { bytes, is_end: false })
    }

    /// A file may be recycled between the moment a reader learns where bytes are and the read. Then they are elsewhere, or truncated.
    async fn fetch_again(
        self: &Arc<Self>,
        segment: &SegmentName,
        offset: u64,
        error: Error,
    ) -> Result<Bytes> {
        let pieces = {
            let core = self.core();
            let (key, found) = core.state.segment(segment)?;
            if offset < found.start {
                let start = found.start;
                return Err(Error::Truncated { segment: segment.clone(), offset, start });
            }
            core.pieces(key, offset, found.visible.length.min(offset + 1))
        };
        if let [Piece::Frame { .. } | Piece::Object { .. }] = &pieces[..] {
            tracing::debug!(%error, %segment, offset, "read again");
        }
        self.blocking(move |this| this.files.read(&pieces)).await
    }
}

impl Core {
    /// Where the visible bytes from `from` to `until` are to be read from.
    fn pieces(&self, key: SegmentKey, from: u64, until: u64) -> Vec<Piece> {
        let Some(segment) = self.state.segments.get(&key) else { return Vec::new() };
        let piece = |extent: Extent| {
            let length = extent.length as usize;
            match extent.location {
                Location::Object { id, at } => Piece::Object { id, at, length },
                Location::Frame { number, at } => {
                    match self.cache.get(number).and_then(|f| f.slice(at, length)) {
                        Some(bytes) => Piece::Memory(bytes),
                        None => Piece::Frame { number, place: self.state.frames.place(number), at, length },
                    }
                }
            }
        };
        segment.extents.between(from, until).map(piece).collect()
    }
}
