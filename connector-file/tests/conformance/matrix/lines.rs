//! Lines, as messages.

use connector_api::factory::ByteSize;
use connector_api::{MessageBatch, Result};
use connector_file::sink::{Rolling, SinkOptions};
use connector_file::source::SourceOptions;
use testkit::TestRow;

use super::Looks;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines;

impl Looks for Lines {
    type Batch = MessageBatch;

    fn ending(self) -> &'static str {
        ".txt"
    }

    fn source(self, options: SourceOptions) -> SourceOptions {
        SourceOptions { split_size: ByteSize(150), ..options }
    }

    fn sink(self, options: SinkOptions) -> SinkOptions {
        SinkOptions { rolling: Rolling { size: ByteSize(80), ..Rolling::default() }, ..options }
    }

    fn piece_bytes(self) -> u64 {
        48
    }

    fn merged_bytes(self) -> u64 {
        300
    }

    fn added(self, mut content: Vec<u8>, rows: &[TestRow]) -> Result<Vec<u8>> {
        rows.iter().for_each(|row| content.extend(format!("{}\n", row.text).bytes()));
        Ok(content)
    }

    fn texts(self, content: &[u8]) -> Result<Vec<String>> {
        Ok(String::from_utf8_lossy(content).lines().map(str::to_owned).collect())
    }
}
