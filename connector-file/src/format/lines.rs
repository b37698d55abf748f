//! Lines: every record is one.

use connector_api::{Error, MessageBatch, Result, RowBatch};
use connector_base::format::{LineBuffer, LineOptions, Lines};
use connector_base::reader::Fetched;

use super::content::Content;
use super::{Compression, Decode, Encode, Gathered, Opening, Stamp};

/// What is read behind the end of a range at once, to find the end of the last record.
const BEYOND: u64 = 4 << 10;

/// Cuts the lines that start in a byte range, or all of a compressed file.
#[derive(Debug)]
pub(super) struct LineReader {
    content: Content,
    end: u64,
    lines: LineBuffer,
}

impl LineReader {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let compression = opening.compression();
        let Opening { options, split, input, pool, spawner, .. } = opening;
        let (offset, inside) = match split.position {
            Some(position) => (position, false),
            // A record that ends right before the range is told from one that reaches into it by its terminator.
            None if split.offset > 0 => (split.offset - 1, true),
            None => (0, false),
        };
        let end = if compression == Compression::None { split.end() } else { u64::MAX };
        let origin = input.origin().to_owned();
        if compression != Compression::None && split.offset > 0 {
            let reason = "is compressed, and the checkpoint has a split that begins within it";
            return Err(Error::data(origin, Some(split.offset), reason));
        }
        let mut content = Content::open(input, compression, Some(spawner))?;
        content.skip_to(offset)?;
        let max_record = options.max_record;
        let options = LineOptions { origin, offset, inside, limit: end, max_record };
        Ok(Self { content, end, lines: LineBuffer::new(pool, options) })
    }

    /// What names the file in errors.
    pub(super) fn origin(&self) -> &str {
        self.content.origin()
    }

    /// The next lines; none when all were taken.
    pub(super) fn next(&mut self) -> Result<Option<Lines>> {
        while !self.lines.is_done() {
            let ended = self.fill()?;
            if let Some(lines) = self.lines.take(ended)? {
                return Ok(Some(lines));
            }
        }
        self.content.check_name()?;
        Ok(None)
    }

    /// Reads the next bytes; says whether the content ends behind them.
    fn fill(&mut self) -> Result<bool> {
        let at = self.lines.next_offset();
        let left = self.content.left();
        let useful = self.end.saturating_sub(at).saturating_add(BEYOND).min(left.unwrap_or(u64::MAX));
        let room = self.lines.room();
        let length = usize::try_from(useful).unwrap_or(usize::MAX).min(room.len());
        let read = self.content.fill(&mut room[..length])?;
        self.lines.filled(read);
        Ok(left.map_or(read < length, |left| read as u64 == left))
    }
}

/// Reads each line as a value.
#[derive(Debug)]
pub(super) struct LineDecoder {
    lines: LineReader,
    stamp: Stamp,
}

impl LineDecoder {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let stamp = opening.stamp();
        Ok(Self { lines: LineReader::new(opening)?, stamp })
    }
}

impl Decode<MessageBatch> for LineDecoder {
    fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        let Some(lines) = self.lines.next()? else { return Ok(None) };
        let begins = |batch: &MessageBatch| (0..batch.rows()).map(|row| lines.position(row)).collect();
        let stamped = self.stamp.on(lines.batch.clone(), begins)?;
        let mut fetched = lines.into_fetched();
        if let Fetched::Rows { batch, .. } = &mut fetched {
            batch.rows = stamped;
        }
        Ok(Some(fetched))
    }
}

/// Writes each value as a line.
#[derive(Debug)]
pub(super) struct LineEncoder;

impl Encode<MessageBatch> for LineEncoder {
    fn add(&mut self, batch: &MessageBatch, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        out.add_lines(batch, row, room)
    }
}
