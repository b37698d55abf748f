//! Raw: every file is one record.

use connector_api::message::Span;
use connector_api::{Batch, Error, MessageBatch, Result};
use connector_base::reader::{Fetched, Positions};

use super::content::Content;
use super::{Decode, Opening, Stamp};
use crate::source::FileSplit;

/// What the buffer grows by at least.
const STEP: usize = 64 << 10;

/// Reads a whole file as one value.
#[derive(Debug)]
pub(super) struct RawDecoder {
    content: Content,
    max_record: usize,
    is_read: bool,
    stamp: Stamp,
}

impl RawDecoder {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let (compression, stamp) = (opening.compression(), opening.stamp());
        let Opening { options, split, input, .. } = opening;
        let content = Content::open(input, compression, None)?;
        Ok(Self { content, max_record: options.max_record, is_read: split.position.is_some(), stamp })
    }
}

impl Decode<MessageBatch> for RawDecoder {
    fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        if std::mem::replace(&mut self.is_read, true) {
            return Ok(None);
        }
        let mut record = Vec::new();
        loop {
            let left =
                self.content.left().and_then(|left| usize::try_from(left).ok()).unwrap_or(record.len());
            // One byte more than is allowed tells a file that is too long from one that just fits.
            let most = self.max_record.saturating_add(1).saturating_sub(record.len());
            let step = left.max(STEP).min(most);
            let filled = record.len();
            record.resize(filled + step, 0);
            let read = self.content.fill(&mut record[filled..])?;
            record.truncate(filled + read);
            if record.len() > self.max_record {
                let reason = format!(
                    "has more than {} bytes, the largest record that `max_record` allows",
                    self.max_record
                );
                return Err(Error::data(self.content.origin(), Some(0), reason));
            }
            if read < step {
                break;
            }
        }
        self.content.check_name()?;
        // `max_record` is at most 1 GiB.
        let spans = vec![Span::new(0, record.len() as u32)];
        let batch = self.stamp.on(MessageBatch::from_spans(record.into(), spans)?, |_| vec![0])?;
        Ok(Some(Fetched::rows(Batch::new(batch), Positions::by(|_| FileSplit::READ))))
    }
}
