//! Rules of the sink over an object store, one by one.

#[path = "../../../tests/conformance/matrix/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only the context of the sink is needed here")]
mod matrix;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use connector_api::factory::ByteSize;
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::{
    BatchCommitter, CommitBatch, CommitRequest, CommittingWriter, Flush, Outcome, Proof, References,
    SinkWriter, SweepOrphans, WriterContext,
};
use connector_api::{Batch, Error, MessageBatch, Stored};
use futures::FutureExt;
use object_store::ObjectStoreExt;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;

use super::store::{self, Fault, Op, TestStore};
use super::{RUN, batch, files, going_back};
use crate::place::{Place, UploadOptions};
use crate::sink::committable::{FileCommittable, Staged, StagedFile};
use crate::sink::committer::FileCommitter;
use crate::sink::compaction::{Compactor, CompactorState};
use crate::sink::config::{Compaction, Merge, Rolling, SinkConfig, SinkOptions};
use crate::sink::listing::{FileKind, SinkObjects, pending};
use crate::sink::naming::{self, Uid};
use crate::sink::sweep::FileSweep;
use crate::sink::writer::FileWriter;

const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 1, size: None, keep_size: None, rate: None });

fn config(store: &TestStore, compaction: Option<Compaction>) -> Arc<SinkConfig> {
    let rolling = Rolling { size: ByteSize(1_000), ..Rolling::default() };
    let upload = Some(UploadOptions { part_size: ByteSize(10), max_uploads: 3 });
    let options = SinkOptions { rolling, compaction, upload, ..SinkOptions::lines("out") };
    let error = |name: &str, reason| Error::config(name, reason);
    let (objects, below) = Place::within(Arc::new(store.clone()), Path::new("out"), &error).unwrap();
    Arc::new(options.checked_at::<MessageBatch>(Place::Objects(objects, below), &error).unwrap())
}

fn simulated<F: Future<Output = ()>>(test: impl FnOnce(TestStore, WriterContext) -> F) {
    super::simulated(|_, env| async move { test(TestStore::new(), super::context(&env, 2, 0, 1)).await });
}

/// Writes lines as one part, and stages it.
async fn staged(config: &Arc<SinkConfig>, context: &WriterContext, lines: &[&str]) -> StagedFile {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut writer = FileWriter::<MessageBatch>::open(context.clone(), config.clone(), vec![]).await.unwrap();
    writer.write(Batch::new(batch(&lines, "\n"))).await.unwrap();
    writer.flush(Flush::Checkpoint).await.unwrap();
    let mut files = files(writer.prepare_commit().await.unwrap());
    writer.close().await.unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

async fn commit(
    config: &Arc<SinkConfig>,
    context: &WriterContext,
    file: &StagedFile,
) -> Outcome<FileCommittable> {
    let request = CommitRequest { committable: file.clone().into(), checkpoint: CheckpointId(1), retries: 0 };
    let mut committer = FileCommitter::new(context, config.clone());
    committer.commit_batch(CommitBatch::new(vec![request])).await.into_outcomes().remove(0)
}

async fn sweep(config: &Arc<SinkConfig>, context: &WriterContext, stored: Vec<Bytes>) -> u64 {
    let sweep = FileSweep { config: config.clone() };
    sweep.sweep(context.clone(), References::new(stored)).await.unwrap()
}

async fn expire(store: &TestStore) {
    for (id, key) in store.memory.uploads() {
        store.memory.abort_multipart(&key, &id).await.unwrap();
    }
}

#[test]
fn a_part_is_an_upload_until_its_commit_and_nothing_is_left_of_it() {
    simulated(|store, context| async move {
        let config = config(&store, None);
        let file = staged(&config, &context, &["one", "two", "three", "four"]).await;
        let Staged::Upload { parts, .. } = &file.staged else { panic!("{file:?}") };
        // 19 bytes, in parts of 10.
        assert_eq!((file.length, parts.len(), file.rows), (19, 2, 4));
        let hidden = store.names("out").await;
        assert!(hidden.len() == 1 && naming::is_marker(&hidden[0]), "{hidden:?}");
        assert!(matches!(commit(&config, &context, &file).await, Outcome::Committed));
        assert_eq!(store.names("out").await, [&*file.name]);
        assert_eq!(store.content(&format!("out/{}", file.name)).await, b"one\ntwo\nthree\nfour\n");
        assert!(store.memory.uploads().is_empty());
    });
}

#[test]
fn the_marker_is_there_before_the_first_part() {
    simulated(|store, context| async move {
        staged(&config(&store, None), &context, &["a line"]).await;
        let log: Vec<_> = store.take_log().into_iter().map(|(op, _)| op).collect();
        assert_eq!(log, [Op::Create, Op::Put, Op::PutPart]);
    });
}

#[test]
fn no_more_parts_are_on_their_way_than_the_options_say() {
    simulated(|store, context| async move {
        store.slow();
        let lines: Vec<String> = (0..80).map(|i| format!("line {i}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        staged(&config(&store, None), &context, &lines).await;
        assert_eq!(store.most_flying(), 3);
    });
}

#[test]
fn however_many_parts_are_being_ended_only_those_on_their_way_hold_bytes() {
    simulated(|store, context| async move {
        store.slow();
        let rolling = Rolling { size: ByteSize(5), ..Rolling::default() };
        let config = Arc::new(SinkConfig { rolling, ..(*config(&store, None)).clone() });
        let mut writer = FileWriter::<MessageBatch>::open(context, config, vec![]).await.unwrap();
        let mut taken = 0;
        // Each line is a part of one piece.
        while let Some(written) = writer.write(Batch::new(batch(&["a line".to_owned()], "\n"))).now_or_never()
        {
            written.unwrap();
            taken += 1;
        }
        // Three on their way, and the one that is full and waits is the one that takes no more.
        assert!(taken <= 3, "{taken} parts were taken");
        // That write was given up, and a writer whose write was given up is given up too.
    });
}

#[test]
fn a_lost_answer_to_the_completion_is_found_by_the_object() {
    for compaction in [None, Some(MERGE)] {
        simulated(|store, context| async move {
            let op = if compaction.is_some() { Op::Copy } else { Op::Complete };
            let config = config(&store, compaction);
            let file = staged(&config, &context, &["a line"]).await;
            store.fail(op, Fault::After);
            assert!(matches!(commit(&config, &context, &file).await, Outcome::Retry { updated: None, .. }));
            let again = commit(&config, &context, &file).await;
            assert!(matches!(again, Outcome::AlreadyCommitted { proof: Proof::Published }), "{again:?}");
            assert_eq!(store.names("out").await, [&*file.name]);
        });
    }
}

#[test]
fn an_upload_that_the_store_does_not_know_is_lost_by_name_unless_its_object_is_there() {
    simulated(|store, context| async move {
        let config = config(&store, None);
        let file = staged(&config, &context, &["a line"]).await;
        expire(&store).await;
        let lost = commit(&config, &context, &file).await;
        assert!(matches!(&lost, Outcome::Lost { reason } if reason.contains(&file.name)), "{lost:?}");
        store.memory.put(&Key::from(format!("out/{}", file.name)), "another".into()).await.unwrap();
        let found = commit(&config, &context, &file).await;
        assert!(matches!(found, Outcome::AlreadyCommitted { .. }), "of the same size: {found:?}");
    });
}

#[test]
fn an_object_of_another_size_under_the_name_is_never_overwritten() {
    for compaction in [None, Some(MERGE)] {
        simulated(|store, context| async move {
            let config = config(&store, compaction);
            let file = staged(&config, &context, &["a line"]).await;
            let name = format!("out/{}", file.name);
            store.memory.put(&Key::from(name.clone()), "theirs".into()).await.unwrap();
            let outcome = commit(&config, &context, &file).await;
            assert!(
                matches!(&outcome, Outcome::Fatal(e) if e.to_string().contains(&file.name)),
                "{outcome:?}"
            );
            assert_eq!(store.content(&name).await, b"theirs");
        });
    }
}

#[test]
fn a_hidden_object_is_copied_whole_before_it_is_removed() {
    for conditional in [true, false] {
        simulated(|store, context| async move {
            if !conditional {
                store.without_conditional_copies();
            }
            let config = config(&store, Some(MERGE));
            let file = staged(&config, &context, &["one", "two", "three"]).await;
            assert_eq!(
                store.names("out").await,
                [file.hidden().unwrap()],
                "the marker of its upload is gone"
            );
            store.fail(Op::Delete, Fault::Before);
            assert!(matches!(commit(&config, &context, &file).await, Outcome::Retry { .. }));
            assert_eq!(store.names("out").await.len(), 2);
            assert!(matches!(commit(&config, &context, &file).await, Outcome::AlreadyCommitted { .. }));
            assert_eq!(store.names("out").await, [&*file.name]);
            assert_eq!(store.content(&format!("out/{}", file.name)).await, b"one\ntwo\nthree\n");
        });
    }
}

#[test]
fn a_hidden_object_that_is_gone_is_lost_unless_the_job_went_back() {
    simulated(|store, context| async move {
        let config = config(&store, Some(MERGE));
        let file = staged(&config, &context, &["a line"]).await;
        store.memory.delete(&Key::from(format!("out/{}", file.hidden().unwrap()))).await.unwrap();
        let lost = commit(&config, &context, &file).await;
        assert!(matches!(&lost, Outcome::Lost { reason } if reason.contains(&file.name)), "{lost:?}");
        let back = commit(&config, &going_back(context), &file).await;
        assert!(matches!(back, Outcome::AlreadyCommitted { .. }), "{back:?}");
    });
}

#[test]
fn missing_permissions_end_the_job_and_what_may_pass_is_tried_again() {
    simulated(|store, context| async move {
        let config = config(&store, None);
        let file = staged(&config, &context, &["a line"]).await;
        for (op, fault, retried) in [
            (Op::Complete, Fault::Before, true),
            (Op::Get, Fault::Before, true),
            (Op::Complete, Fault::Denied, false),
        ] {
            store.fail(op, fault);
            match commit(&config, &context, &file).await {
                Outcome::Retry { updated: None, .. } if retried => {}
                Outcome::Fatal(_) if !retried => {}
                other => panic!("{op:?} {fault:?}: {other:?}"),
            }
        }
        assert!(matches!(commit(&config, &context, &file).await, Outcome::Committed));
    });
}

#[test]
fn a_part_that_fails_fails_the_flush_and_may_be_staged_again() {
    for op in [Op::Create, Op::Put, Op::PutPart] {
        simulated(|store, context| async move {
            let config = config(&store, None);
            let mut writer = FileWriter::<MessageBatch>::open(context, config, vec![]).await.unwrap();
            store.fail(op, Fault::Before);
            writer.write(Batch::new(batch(&["a line".into()], "\n"))).await.unwrap();
            let error = writer.flush(Flush::Checkpoint).await.unwrap_err();
            assert!(error.is_retryable() && error.to_string().contains("out/"), "{op:?}: {error}");
            writer.close().await.unwrap();
        });
    }
}

#[test]
fn a_merge_is_one_upload_under_a_name_of_its_own_and_its_inputs_go_after_it_is_seen() {
    simulated(|store, context| async move {
        let config = config(&store, Some(MERGE));
        let inputs = vec![
            staged(&config, &context, &["one", "two", "three"]).await,
            staged(&config, &super::context(&context.env, 2, 1, 2), &["four"]).await,
        ];
        let state = CompactorState { checkpoint: 1, inputs: inputs.clone() };
        let mut compactor =
            Compactor::open(context.clone(), config.clone(), false, vec![state]).await.unwrap();
        let mut out = connector_api::sink::Output::new();
        use connector_api::sink::Operator;
        compactor.checkpoint_complete(CheckpointId(1), &mut out).await.unwrap();
        compactor.prepare(connector_api::sink::Prepare::Final, &mut out).await.unwrap();
        let merged = files(out.take()).remove(0);
        assert_ne!(merged.name, inputs[0].name);
        assert_eq!((merged.length, merged.rows, merged.parts, merged.inputs.len()), (19, 4, 2, 2));
        assert!(store.names("out").await.iter().all(|name| name.starts_with('.')));
        assert!(matches!(commit(&config, &context, &merged).await, Outcome::Committed));
        assert_eq!(store.names("out").await, [&*merged.name]);
        assert_eq!(store.content(&format!("out/{}", merged.name)).await, b"one\ntwo\nthree\nfour\n");
    });
}

#[test]
fn the_sweep_aborts_what_dead_attempts_of_this_run_began_and_nothing_names() {
    simulated(|store, context| async move {
        let config = config(&store, None);
        let env = &context.env;
        let needed = staged(&config, &context, &["needed"]).await;
        let orphan = staged(&config, &super::context(env, 2, 1, 2), &["orphan"]).await;
        let living = staged(&config, &super::context(env, 5, 0, 1), &["living"]).await;
        let other = AttemptId { run: RunId(RUN.0 + 1), number: 1 };
        let foreign =
            staged(&config, &WriterContext { attempt: other, ..context.clone() }, &["foreign"]).await;
        let hidden = {
            let hides = self::config(&store, Some(MERGE));
            staged(&hides, &super::context(env, 3, 0, 1), &["hidden"]).await
        };
        let stored = vec![FileCommittable::File(needed.clone()).to_bytes().unwrap()];
        let now = super::context(env, 5, 0, 1);
        assert_eq!(sweep(&config, &now, stored.clone()).await, 2, "the orphan and the hidden one");
        for file in [&needed, &living, &foreign] {
            assert!(matches!(commit(&config, &now, file).await, Outcome::Committed), "{}", file.name);
        }
        assert!(matches!(commit(&config, &now, &orphan).await, Outcome::Lost { .. }));
        assert!(matches!(commit(&config, &now, &hidden).await, Outcome::Lost { .. }));
        assert_eq!(sweep(&config, &now, stored).await, 0);
        assert!(store.memory.uploads().is_empty());
    });
}

#[test]
fn a_listing_tells_what_is_visible_from_what_is_uploaded_and_what_waits_to_be_merged() {
    simulated(|store, context| async move {
        let plain = config(&store, None);
        let visible = staged(&plain, &context, &["visible"]).await;
        assert!(matches!(commit(&plain, &context, &visible).await, Outcome::Committed));
        let env = &context.env;
        let upload = staged(&plain, &super::context(env, 2, 1, 2), &["upload"]).await;
        let orphan = staged(&plain, &super::context(env, 1, 0, 1), &["orphan"]).await;
        let hidden =
            staged(&config(&store, Some(MERGE)), &super::context(env, 3, 0, 1), &["to be merged"]).await;
        for foreign in ["out/.other", "out/day=1/_SUCCESS", "out/.dir/x", "elsewhere/x"] {
            store.memory.put(&Key::from(foreign), "1".into()).await.unwrap();
        }
        let stored = vec![
            FileCommittable::File(upload.clone()).to_bytes().unwrap(),
            FileCommittable::File(hidden.clone()).to_bytes().unwrap(),
        ];
        let listed = SinkObjects::on(Arc::new(store.clone()), Path::new("out")).unwrap().list().unwrap();
        let known = pending(&References::new(stored)).unwrap();
        let attempt = |number| AttemptId { run: RUN, number };
        let expected = [
            (".other".to_owned(), FileKind::Foreign, false),
            ("day=1/_SUCCESS".to_owned(), FileKind::Mark, false),
            (visible.name.clone(), FileKind::Visible, false),
            (upload.name.clone(), FileKind::Uploading(attempt(2)), true),
            (orphan.name.clone(), FileKind::Uploading(attempt(1)), false),
            (hidden.hidden().unwrap().to_owned(), FileKind::InProgress(attempt(3)), true),
        ];
        let mut found: Vec<_> = listed
            .iter()
            .map(|file| (file.known_as().to_owned(), file.kind, known.contains_key(file.known_as())))
            .collect();
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        let one = &known[&upload.name];
        assert_eq!((one.becomes.as_deref(), one.bytes, one.records), (Some(&*upload.name), 7, 1));
    });
}

#[test]
fn a_marker_leads_to_no_upload_but_its_own() {
    simulated(|store, context| async move {
        let config = config(&store, None);
        let key = Key::from("out/precious");
        let id = store.memory.create_multipart(&key).await.unwrap();
        let uid = Uid { attempt: AttemptId { run: RUN, number: 1 }, subtask: 0 };
        let name = naming::uploading(&config.names.part(uid, 0), uid);
        let marker = crate::sink::objects::Marker { name: "precious".into(), id };
        let content = marker.to_bytes().unwrap();
        store.memory.put(&Key::from(format!("out/{name}")), content.into()).await.unwrap();
        assert_eq!(sweep(&config, &context, vec![]).await, 0);
        assert_eq!(store.memory.uploads().len(), 1);
    });
}

#[test]
fn a_sink_that_takes_an_unknown_upload_for_a_success_is_rejected() {
    let check = testkit::sink::checks::<matrix::Sinks<matrix::Lines>>()
        .into_iter()
        .find(|check| check.name == "sink::committer::what_is_gone_is_lost")
        .unwrap();
    let judge = |flawed: bool| {
        let make = move |_: &testkit::surroundings::Surroundings| {
            let place = matrix::Objects::in_memory();
            if flawed {
                place.store.take_unknown_for_done();
            }
            matrix::Sinks { looks: matrix::Lines, place: Box::new(place), compacted: false }
        };
        check.judge(&make, testkit::lab::Settings::from_env(false).unwrap())
    };
    judge(false).unwrap();
    let broken = judge(true).unwrap_err();
    println!("{broken}");
}
