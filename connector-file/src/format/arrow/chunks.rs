//! A file of the input as the Parquet library reads it.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use connector_api::{Error, Result};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use crate::input::Input;

/// A file. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    input: Arc<dyn Input>,
    /// What reading failed with: the library keeps only its text.
    failed: Arc<Mutex<Option<Error>>>,
}

impl Chunks {
    pub(super) fn new(input: Box<dyn Input>) -> Self {
        Self { input: input.into(), failed: Arc::default() }
    }

    pub(super) fn input(&self) -> &dyn Input {
        &*self.input
    }

    /// The error of this file, at a byte where that is known.
    pub(super) fn refuse(&self, at: Option<u64>, reason: impl Into<String>) -> Error {
        Error::data(self.input.origin(), at, reason)
    }

    /// Runs a call into the library: what it makes of damage, be it an error or a panic, becomes an error that names the
    /// file and the place `at` that it was about to read; what reading the file failed with is kept as it is.
    pub(super) fn call<T, E: ToString>(
        &self,
        at: u64,
        what: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T> {
        // What a panic leaves behind is dropped with the decoder: the error ends the split.
        let done = catch_unwind(AssertUnwindSafe(work));
        if let Some(failed) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failed);
        }
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(self.refuse(Some(at), format!("{what}: {}", e.to_string()))),
            Err(_) => Err(self
                .refuse(Some(at), format!("{what}: it is damaged in a way that the decoder did not expect"))),
        }
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<usize, ParquetError> {
        self.input.read(buffer, offset).map_err(|e| {
            let text = e.to_string();
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            ParquetError::General(text)
        })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.input.len()
    }
}

impl ChunkReader for Chunks {
    type T = io::BufReader<Stretch>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(Stretch { chunks: self.clone(), at: start }))
    }

    /// Takes no memory for more than the file holds.
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len());
        if end.is_none() {
            let reason =
                format!("{length} bytes at {start} reach behind the end of the file at {}", self.len());
            return Err(ParquetError::EOF(reason));
        }
        let mut buffer = vec![0; length];
        let read = self.fill(&mut buffer, start)?;
        if read < length {
            return Err(ParquetError::EOF(format!("{read} of {length} bytes at {start}")));
        }
        Ok(buffer.into())
    }
}

/// The file from a place on.
#[derive(Debug)]
pub(super) struct Stretch {
    chunks: Chunks,
    at: u64,
}

impl Read for Stretch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.chunks.fill(buffer, self.at).map_err(io::Error::other)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A row group: which it is, where it begins in the file, its rows and the number of the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) index: usize,
    pub(super) start: u64,
    pub(super) first_row: u64,
    pub(super) rows: u64,
}

/// The row groups in the order of their rows, after a check that what the metadata says lies within the file.
pub(super) fn groups(chunks: &Chunks, metadata: &ParquetMetaData) -> Result<Vec<Group>> {
    let mut first_row = 0_u64;
    let mut all = Vec::with_capacity(metadata.num_row_groups());
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let damaged =
            |what: &str| chunks.refuse(None, format!("the metadata of row group {index} is damaged: {what}"));
        let mut start = u64::MAX;
        for column in group.columns() {
            let begin = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let (begin, length) = (u64::try_from(begin), u64::try_from(column.compressed_size()));
            let (Ok(begin), Ok(length)) = (begin, length) else { return Err(damaged("a negative size")) };
            if begin.checked_add(length).is_none_or(|end| end > chunks.len()) {
                return Err(damaged("it reaches behind the end of the file"));
            }
            start = start.min(begin);
        }
        let rows = u64::try_from(group.num_rows()).map_err(|_| damaged("a negative number of rows"))?;
        // Without columns there is nothing in the file: then it belongs to the file's beginning.
        let start = if start == u64::MAX { 0 } else { start };
        all.push(Group { index, start, first_row, rows });
        first_row = first_row.checked_add(rows).ok_or_else(|| damaged("too many rows"))?;
    }
    Ok(all)
}
