//! The connector by name.

use connector_api::MessageBatch;
use connector_api::factory::{ConnectorFactory, SinkFactory, SourceFactory};

use crate::{sink, source};

/// The connector `pravega`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PravegaConnector;

impl ConnectorFactory<MessageBatch> for PravegaConnector {
    fn identifier(&self) -> &'static str {
        "pravega"
    }

    fn about(&self) -> &'static str {
        "Streams in Pravega's model, in a directory: reads segments in the order of their keys; writes events exactly once, in transactions."
    }

    fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
        Some(&source::PravegaSourceFactory)
    }

    fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
        Some(&sink::PravegaSinkFactory)
    }
}

#[cfg(test)]
mod tests {
    use connector_api::factory::{FactoryContext, Options};
    use serde_json::{Value, json};
    use testkit::fs::SimFs;
    use testkit::sim;

    use super::*;
    use crate::stream::{DIR, opened};

    async fn checked(env: &connector_api::env::Environment, end: &str, options: Value) -> Result<(), String> {
        let context = FactoryContext { env: env.clone(), base_dir: "/".into() };
        let options = Options::new(end, options.as_object().cloned().unwrap());
        let checked = match end {
            "source" => PravegaConnector.source().unwrap().check(&options, &context).await,
            _ => PravegaConnector.sink().unwrap().check(&options, &context).await,
        };
        checked.map_err(|error| error.to_string())
    }

    /// Whether this process has the store open or nobody does.
    #[test]
    fn a_check_says_that_the_stream_is_missing_and_makes_nothing() {
        sim::run(async {
            let fs = SimFs::new();
            let env = sim::environment(&fs, 1);
            let mut open = Some(opened(&env, 2).await.unwrap());
            for _ in 0..2 {
                for end in ["source", "sink"] {
                    for missing in ["test/none", "none/rows"] {
                        let error =
                            checked(&env, end, json!({ "dir": DIR, "stream": missing })).await.unwrap_err();
                        let names = error.contains(&format!("{end}.stream")) && error.contains(missing);
                        assert!(names, "{error}");
                    }
                    checked(&env, end, json!({ "dir": DIR, "stream": "test/rows" })).await.unwrap();
                }
                let makes = json!({ "dir": DIR, "stream": "test/none", "create": 2 });
                checked(&env, "sink", makes).await.unwrap();
                drop(open.take());
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            let client = opened(&env, 1).await.unwrap();
            assert_eq!(client.scopes().await.unwrap(), ["test"]);
            assert!(client.stream(&"test/none".parse().unwrap()).await.is_err());
        });
    }
}
