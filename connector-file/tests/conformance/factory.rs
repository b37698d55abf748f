//! The factories.

use std::path::Path;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ConnectorFactory;
use connector_api::{MessageBatch, Result};
use connector_file::FileConnector;
use serde_json::{Value, json};
use testkit::factory::Values;
use testkit::{Example, FactorySubject, files};

pub(crate) struct FileFactory;

fn values(value: Value) -> Values {
    value.as_object().cloned().unwrap_or_default()
}

#[async_trait]
impl FactorySubject for FileFactory {
    type Batch = MessageBatch;

    fn factory(&self) -> Box<dyn ConnectorFactory<MessageBatch>> {
        Box::new(FileConnector)
    }

    fn source(&self) -> Option<Example> {
        Some(Example {
            options: values(json!({ "path": "/in", "format": "lines", "split_size": "1 MiB" })),
            elsewhere: values(json!({ "path": "/others" })),
            tuned: values(json!({ "split_size": "2 MiB" })),
            unreachable: values(json!({ "path": "/missing" })),
        })
    }

    fn sink(&self) -> Option<Example> {
        let compaction = json!({ "checkpoints": 2, "size": "64 MiB" });
        let rolling = json!({ "size": "1 MiB", "age": "1m", "on_checkpoint": false });
        Some(Example {
            options: values(json!({
                "path": "/out", "format": "lines", "prefix": "p", "suffix": ".txt",
                "buckets": { "time": "event", "pattern": "%Y-%m-%d/%H", "zone": "Europe/Berlin" }, "max_open": 10,
                "rolling": rolling, "compaction": compaction,
            })),
            elsewhere: values(json!({ "path": "/others" })),
            tuned: values(json!({ "rolling": { "size": "2 MiB" }, "compaction": "drain" })),
            unreachable: values(json!({ "path": "/in/0.txt" })),
        })
    }

    async fn prepare(&mut self, env: &Environment) -> Result<()> {
        files::append(&*env.fs, Path::new("/in/0.txt"), b"a line\n")
    }
}
