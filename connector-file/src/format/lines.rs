//! Lines: every record is one.

use connector_api::{MessageBatch, Result};
use connector_base::format::{LineBuffer, LineOptions};
use connector_base::reader::Fetched;

use super::{Decode, Encode, Gathered, Opening};
use crate::input::Input;

/// What is read behind the end of a range at once, to find the end of the last record.
const BEYOND: u64 = 4 << 10;

/// Reads the lines that start in a byte range.
#[derive(Debug)]
pub(super) struct LineDecoder {
    input: Box<dyn Input>,
    end: u64,
    lines: LineBuffer,
}

impl LineDecoder {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let Opening { options, split, input, pool } = opening;
        let (offset, inside) = match split.position {
            Some(position) => (position, false),
            // A record that ends right before the range is told from one that reaches into it by its terminator.
            None if split.offset > 0 => (split.offset - 1, true),
            None => (0, false),
        };
        let origin = input.origin().to_owned();
        let max_record = options.max_record;
        let options = LineOptions { origin, offset, inside, limit: split.end(), max_record };
        Ok(Self { input, end: split.end(), lines: LineBuffer::new(pool, options) })
    }

    /// Reads the next bytes; says whether the file ends behind them.
    fn fill(&mut self) -> Result<bool> {
        let at = self.lines.next_offset();
        let left_in_file = self.input.len().saturating_sub(at);
        let useful = self.end.saturating_sub(at).saturating_add(BEYOND).min(left_in_file);
        let room = self.lines.room();
        let length = usize::try_from(useful).unwrap_or(usize::MAX).min(room.len());
        let read = self.input.read(&mut room[..length], at)?;
        self.lines.filled(read);
        Ok(read as u64 == left_in_file)
    }
}

impl Decode<MessageBatch> for LineDecoder {
    fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        while !self.lines.is_done() {
            let ended = self.fill()?;
            if let Some(lines) = self.lines.take(ended)? {
                return Ok(Some(lines.into_fetched()));
            }
        }
        self.input.check_name(self.lines.next_offset())?;
        Ok(None)
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
