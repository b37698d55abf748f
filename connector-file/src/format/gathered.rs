//! Bytes on their way to a part; among them whole stretches of a batch's buffer, where its rows stand there as lines.

use bytes::{Bytes, BytesMut};
use connector_api::{Error, MessageBatch, Result};

use super::{OFFSET_COLUMN, PATH_COLUMN};

const TERMINATOR: u8 = b'\n';
/// Stretches below this are copied together: a write of its own costs more than copying them.
const MIN_SLICE: usize = 16 << 10;
/// Enough for one hand-over to the file.
pub(crate) const ENOUGH: usize = 512 << 10;

/// Bytes on their way to a part, in order.
#[derive(Debug, Default)]
pub struct Gathered {
    chunks: Vec<Bytes>,
    /// The end of the data, not yet among the chunks.
    copied: BytesMut,
    bytes: usize,
}

impl Gathered {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out, leaving the spare room of the copy buffer for what follows.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.end_copy();
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    fn end_copy(&mut self) {
        if !self.copied.is_empty() {
            self.chunks.push(self.copied.split().freeze());
        }
    }

    /// Adds a copy.
    pub(crate) fn copy(&mut self, data: &[u8]) {
        if self.copied.capacity() - self.copied.len() < data.len() {
            self.copied.reserve(data.len().max(ENOUGH));
        }
        self.copied.extend_from_slice(data);
        self.bytes += data.len();
    }

    /// Adds bytes without a copy.
    pub(crate) fn share(&mut self, data: Bytes) {
        self.end_copy();
        self.bytes += data.len();
        self.chunks.push(data);
    }

    /// Adds the rows from `row` on: until the batch ends, `room` bytes are used up (by less than one row more), or there is
    /// [`ENOUGH`] to hand over. Gives the first row that was not added. Adds at least one row.
    ///
    /// A stretch of rows that stand in the buffer one after the other, each pair with one terminator between, is added as
    /// one slice, without a copy.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a tombstone, and for a row that contains the terminator: it would come back as two.
    pub(super) fn add_lines(&mut self, batch: &MessageBatch, row: usize, room: u64) -> Result<usize> {
        let (buffer, spans) = (batch.buffer(), batch.value_spans());
        let text: &[u8] = buffer;
        let mut room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut next = row;
        loop {
            let first = next;
            let Some(span) = spans[first].range() else { return Err(tombstone(batch, first)) };
            let (start, mut end) = (span.start, span.end);
            next += 1;
            while next < spans.len() && end + 1 - start < room {
                match spans[next].range() {
                    // `end` is within the buffer, since a row begins behind it.
                    Some(span) if span.start == end + 1 && text[end] == TERMINATOR => end = span.end,
                    _ => break,
                }
                next += 1;
            }
            let terminated = text.get(end) == Some(&TERMINATOR);
            let stretch = start..end + usize::from(terminated);
            let rows = next - first;
            // The gaps were seen to be terminators, so one count over the stretch tells of any within a row.
            if memchr::memchr_iter(TERMINATOR, &text[stretch.clone()]).count()
                != rows - usize::from(!terminated)
            {
                return Err(contains_terminator(batch, first..next));
            }
            if stretch.len() < MIN_SLICE {
                self.copy(&text[stretch]);
            } else {
                self.share(buffer.slice(stretch));
            }
            if !terminated {
                self.copy(&[TERMINATOR]);
            }
            room = room.saturating_sub(end + 1 - start);
            if next == spans.len() || room == 0 || self.bytes >= ENOUGH {
                return Ok(next);
            }
        }
    }
}

fn tombstone(batch: &MessageBatch, row: usize) -> Error {
    refused(batch, row, "has no value (a tombstone), and a line can't say so".to_owned())
}

/// The error of a row that can't be written. It names where the row came from, if its columns of metadata tell; and its place in the
/// batch.
fn refused(batch: &MessageBatch, row: usize, reason: String) -> Error {
    let offset = |column: &str| batch.integer(column, row).and_then(|offset| u64::try_from(offset).ok());
    let reason = format!("row {row} of the batch {reason}");
    match (batch.text("topic", row), batch.integer("partition", row), batch.text(PATH_COLUMN, row)) {
        (Some(topic), Some(partition), _) => {
            Error::data(format!("{topic}:{partition}"), offset("offset"), reason)
        }
        (_, _, Some(path)) => Error::data(path.to_owned(), offset(OFFSET_COLUMN), reason),
        _ => Error::data("a record to write", None, reason),
    }
}

fn contains_terminator(batch: &MessageBatch, rows: std::ops::Range<usize>) -> Error {
    let mut rows = rows.filter_map(|row| {
        let at = memchr::memchr(TERMINATOR, batch.get(row).value?)?;
        Some((row, at))
    });
    let (row, at) = rows.next().unwrap_or_default();
    refused(
        batch,
        row,
        format!("contains the line terminator, at byte {at}: it would be read back as two records"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::RowBatch;
    use connector_api::message::{Column, Span};

    fn batch(text: &[u8], spans: &[(u32, u32)]) -> MessageBatch {
        let spans = spans.iter().map(|&(start, end)| Span::new(start, end)).collect();
        MessageBatch::from_spans(Bytes::copy_from_slice(text), spans).unwrap()
    }

    fn text(gathered: &mut Gathered) -> Vec<u8> {
        let bytes = gathered.bytes();
        let all = gathered.take().concat();
        assert_eq!((all.len(), gathered.bytes()), (bytes, 0));
        all
    }

    /// What the sink is to write, row by row.
    fn expected(batch: &MessageBatch) -> Vec<u8> {
        batch.iter().flat_map(|row| [row.value.unwrap(), b"\n"].concat()).collect()
    }

    #[test]
    fn every_row_ends_in_one_terminator_however_it_lies_in_the_buffer() {
        type Spans = &'static [(u32, u32)];
        let cases: [(&[u8], Spans); 9] = [
            (b"ab\ncd\n", &[(0, 2), (3, 5)]),
            (b"ab\ncd", &[(0, 2), (3, 5)]),
            (b"ab\r\ncd\r\n", &[(0, 2), (4, 6)]),
            (b"abcd", &[(0, 2), (2, 4)]),
            (b"ab,cd\n", &[(0, 2), (3, 5)]),
            (b"cd\nab\n", &[(3, 5), (0, 2)]),
            (b"\n\n\n", &[(0, 0), (1, 1), (2, 2)]),
            (b"ab\n", &[(0, 2), (0, 2)]),
            (b"", &[(0, 0), (0, 0)]),
        ];
        for (buffer, spans) in cases {
            let batch = batch(buffer, spans);
            let mut gathered = Gathered::default();
            assert_eq!(gathered.add_lines(&batch, 0, u64::MAX).unwrap(), batch.rows());
            assert_eq!(text(&mut gathered), expected(&batch), "{buffer:?}");
        }
    }

    #[test]
    fn long_stretches_are_shared_and_keep_their_place_among_copied_ones() {
        let line = [b'x'; 99];
        let mut buffer = b"first|".to_vec();
        let mut spans = vec![(0, 5)];
        for _ in 0..1_000 {
            let start = buffer.len() as u32;
            buffer.extend_from_slice(&line);
            buffer.push(b'\n');
            spans.push((start, start + 99));
        }
        buffer.extend_from_slice(b"last");
        spans.push((100_006, 100_010));
        let batch = batch(&buffer, &spans);
        let mut gathered = Gathered::default();
        assert_eq!(gathered.add_lines(&batch, 0, u64::MAX).unwrap(), 1_002);
        let chunks = gathered.take();
        assert_eq!(chunks.concat(), expected(&batch));
        let buffer = batch.buffer().as_ptr_range();
        assert!(chunks.iter().any(|chunk| chunk.len() > 90_000 && buffer.contains(&chunk.as_ptr())));
    }

    #[test]
    fn adding_stops_at_the_row_that_uses_up_the_room() {
        let batch = batch(b"ab\ncd\nef\n", &[(0, 2), (3, 5), (6, 8)]);
        for (room, rows) in [(0, 1), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (100, 3)] {
            let mut gathered = Gathered::default();
            assert_eq!(gathered.add_lines(&batch, 0, room).unwrap(), rows, "room {room}");
            assert_eq!(gathered.bytes(), rows * 3);
        }
        let mut gathered = Gathered::default();
        assert_eq!(gathered.add_lines(&batch, 2, 100).unwrap(), 3);
        assert_eq!(text(&mut gathered), b"ef\n");
    }

    #[test]
    fn a_row_with_the_terminator_in_it_is_refused_by_number() {
        let whole = batch(b"ab\nc\nd\nef\n", &[(0, 2), (3, 6), (7, 9)]);
        let apart = batch(b"ab,c\nd,ef,", &[(0, 2), (3, 6), (7, 9)]);
        for batch in [whole, apart] {
            let error = Gathered::default().add_lines(&batch, 0, u64::MAX).unwrap_err();
            assert!(matches!(error, Error::Data { .. }));
            assert!(error.to_string().contains("row 1 of the batch"), "{error}");
        }
    }

    #[test]
    fn a_row_that_can_t_be_written_is_named_by_where_it_came_from() {
        let error = |columns: &[(&str, Column)]| {
            let mut batch = batch(b"ab,c\nd,", &[(0, 2), (3, 6)]);
            for (name, column) in columns {
                batch = batch.with_column(*name, column.clone()).unwrap();
            }
            Gathered::default().add_lines(&batch, 0, u64::MAX).unwrap_err().to_string()
        };
        let offsets = Column::Integers(vec![41, 42].into());
        let record = error(&[
            ("topic", Column::SameText("orders".into())),
            ("partition", Column::SameInteger(3)),
            ("offset", offsets.clone()),
        ]);
        assert!(record.starts_with("orders:3 at offset 42"), "{record}");
        let line = error(&[(PATH_COLUMN, Column::SameText("in/a".into())), (OFFSET_COLUMN, offsets)]);
        assert!(line.starts_with("in/a at offset 42"), "{line}");
    }

    #[test]
    fn a_gap_that_is_no_terminator_does_not_hide_one_within_a_row() {
        // As many terminators as rows, but not where they belong.
        let batch = batch(b"a\nb,cd", &[(0, 3), (4, 6)]);
        assert!(Gathered::default().add_lines(&batch, 0, u64::MAX).is_err());
    }

    #[test]
    fn a_tombstone_is_refused_by_number() {
        let batch =
            MessageBatch::from_spans(Bytes::from_static(b"ab\n"), vec![Span::new(0, 2), Span::NULL]).unwrap();
        let error = Gathered::default().add_lines(&batch, 0, u64::MAX).unwrap_err();
        assert!(error.to_string().contains("row 1 of the batch has no value"), "{error}");
    }
}
