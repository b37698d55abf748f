//! The factories.

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ConnectorFactory;
use connector_api::{MessageBatch, Result};
use connector_pravega::PravegaConnector;
use serde_json::{Value, json};
use testkit::factory::Values;
use testkit::{Example, FactorySubject, files};

use crate::stream::opened;

pub(crate) struct PravegaFactory;

fn values(value: Value) -> Values {
    value.as_object().cloned().unwrap_or_default()
}

#[async_trait]
impl FactorySubject for PravegaFactory {
    type Batch = MessageBatch;

    fn factory(&self) -> Box<dyn ConnectorFactory<MessageBatch>> {
        Box::new(PravegaConnector)
    }

    fn source(&self) -> Option<Example> {
        Some(Example {
            options: values(json!({
                "dir": "/store", "stream": "test/rows", "start": "tail", "stop": "tail",
                "on_truncated": "skip", "read_size": "1 MiB", "durability": "sync",
            })),
            elsewhere: values(json!({ "dir": "/others", "stream": "test/others" })),
            tuned: values(json!({ "read_size": "2 MiB", "on_truncated": "fail" })),
            unreachable: values(json!({ "dir": "/missing" })),
        })
    }

    fn sink(&self) -> Option<Example> {
        Some(Example {
            options: values(json!({
                "dir": "/store", "stream": "test/rows", "routing_key": "key", "delivery_guarantee": "exactly-once",
                "lease": "5m", "create": 4, "durability": "sync",
            })),
            elsewhere: values(json!({ "dir": "/others", "stream": "test/others" })),
            tuned: values(json!({ "lease": "6m", "routing_key": "none", "create": 2 })),
            unreachable: values(json!({ "dir": "/file/below" })),
        })
    }

    async fn prepare(&mut self, env: &Environment) -> Result<()> {
        drop(opened(env, 1).await?);
        files::append(&*env.fs, std::path::Path::new("/file"), b"no directory")
    }
}
