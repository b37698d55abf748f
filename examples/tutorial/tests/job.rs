//! The connector by name, in a job of the runtime, on real files.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use connector_api::MessageBatch;
use connector_api::factory::{ConnectorFactory, FactoryContext, Options};
use connector_runtime::{
    CheckpointConfig, Job, JobConfig, JobEnd, OnLost, Pipeline, RestartStrategy, StartOptions, local,
};
use testkit::files;
use tutorial::factory::Journal;
use tutorial::record;

/// Copies the journals in `in` of this directory to `out`.
async fn copy(base: &Path) -> connector_runtime::JobReport {
    let env = local::environment();
    let context = FactoryContext { env: env.clone(), base_dir: base.to_owned() };
    let options =
        |end: &str, dir: &str| Options::new(end, [("dir".to_owned(), dir.into())].into_iter().collect());
    let journal: &dyn ConnectorFactory<MessageBatch> = &Journal;
    let (from, into) = (journal.source().unwrap(), journal.sink().unwrap());
    let source = from.create(&options("source", "in"), &context).unwrap();
    let sink = into.create(&options("sink", "out"), &context).unwrap();
    let mut identity = from.options().identity(&options("source", "in"));
    identity.extend(into.options().identity(&options("sink", "out")));
    let pipeline = Pipeline::source("in", source).sink("out", sink);
    let config = JobConfig {
        name: "copy".into(),
        source_parallelism: 2,
        sink_parallelism: 2,
        committer_parallelism: 1,
        checkpoint: CheckpointConfig {
            interval: Duration::from_millis(20),
            dir: base.join("checkpoints"),
            retain: 2,
            timeout: Duration::from_secs(60),
        },
        restart: RestartStrategy::None,
        on_lost: OnLost::Fail,
        identity,
        close_timeout: Duration::from_secs(10),
    };
    Job::new(pipeline, config, env).start(StartOptions::default()).await.unwrap().wait().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_copies_every_record_once() {
    let base = tempfile::tempdir().unwrap();
    let fs = local::environment().fs;
    for split in 0..3 {
        let mut journal = Vec::new();
        for row in 0..1_000 {
            record::put(&mut journal, row, Some(format!("{split}-{row}").as_bytes())).unwrap();
        }
        files::append(&*fs, &base.path().join(format!("in/log-{split}.bin")), &journal).unwrap();
    }
    let report = copy(base.path()).await;
    assert_eq!((report.end, report.records_in, report.records_out), (JobEnd::Finished, 3_000, 3_000));
    let out = base.path().join("out");
    let mut rows = std::collections::BTreeSet::new();
    let mut count = 0;
    for name in files::names(&*fs, &out).unwrap() {
        assert!(!name.starts_with('.'), "{name} was left behind");
        let journal = files::read(&*fs, &out.join(name)).unwrap();
        let mut rest = &journal[..];
        while let Some((_, length)) = record::first(rest) {
            rows.insert(rest[record::HEAD..record::HEAD + length].to_vec());
            rest = &rest[record::HEAD + length..];
            count += 1;
        }
    }
    assert_eq!((rows.len(), count), (3_000, 3_000));
    assert_eq!(copy(base.path()).await.end, JobEnd::AlreadyFinished);
}
