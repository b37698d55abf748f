//! What the factory tells of an input without a reader.

use connector_api::factory::{FactoryContext, Options, Payload, SourceFactory};

use super::host::{environment, texts};
use crate::source::*;

fn options(values: serde_json::Value) -> Options {
    Options::new("source", values.as_object().unwrap().clone())
}

#[allow(clippy::disallowed_methods)]
async fn sample(files: &[(&str, &str)], max_rows: usize) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join("in").join(name), content).unwrap();
    }
    let context = FactoryContext { env: environment(), base_dir: dir.path().into() };
    let options = options(serde_json::json!({ "path": "in", "format": "lines", "split_size": 3 }));
    let sample = SourceFactory::<MessageBatch>::sample(&FileSourceFactory, &options, &context, max_rows);
    sample.await.unwrap().unwrap().iter().flat_map(texts).collect()
}

#[tokio::test]
async fn a_sample_is_the_first_rows_over_splits_and_files() {
    let files = [("b", "4\n5\n"), ("a", "1\n2\n3\n"), ("c", "6\n")];
    for count in 0..=6 {
        let expected: Vec<String> = (1..=count).map(|n| n.to_string()).collect();
        assert_eq!(sample(&files, count).await, expected);
    }
    assert_eq!(sample(&files, 100).await.len(), 6);
    assert!(sample(&[], 100).await.is_empty());
}

#[test]
fn what_the_rows_are_is_told_from_the_options_and_wrong_ones_are_refused() {
    let payload = |values| SourceFactory::<MessageBatch>::payload(&FileSourceFactory, &options(values));
    let lines = payload(serde_json::json!({ "path": "in", "format": "lines" }));
    assert_eq!(lines.unwrap(), Some(Payload::Bytes));
    let parquet = payload(serde_json::json!({ "path": "in", "format": "parquet" }));
    assert_eq!(parquet.unwrap(), None, "not as messages");
    let refused = payload(serde_json::json!({ "path": "in", "format": "lines", "patch": 1 })).unwrap_err();
    assert!(refused.to_string().contains("source.patch"), "{refused}");
}
