//! Rules of the sink, one by one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::{Access, Environment, FileSystem};
use connector_api::factory::{ByteSize, FactoryContext, Options, SinkFactory, Span};
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::{
    BatchCommitter, Checkpoint, CommitBatch, CommitRequest, CommittingWriter, Flush, Operator, Outcome, Output,
    Prepare, References, Restored, Sink, SinkWriter, StatefulWriter, SweepOrphans, WriterContext,
};
use connector_api::{Batch, Error, Stored};
use testkit::fs::{Fault, OpKind, Rule, SimFs};
use testkit::sim;

use super::{DIR, RUN, batch, context, names, visible};
use crate::sink::committable::{FileCommittable, WriterState};
use crate::sink::committer::FileCommitter;
use crate::sink::compaction::{Compactor, CompactorState, Coordinator, CoordinatorState, Request};
use crate::sink::config::{Compaction, Merge, Rolling, SinkConfig, SinkOptions};
use crate::sink::naming::{self, Uid};
use crate::sink::sweep::FileSweep;
use crate::sink::writer::FileWriter;
use crate::sink::{COMPACTOR_UID, COORDINATOR_UID, FileSink, FileSinkFactory};

fn config(size: u64, age: Option<u64>, on_checkpoint: bool) -> Arc<SinkConfig> {
    let age = age.map(|millis| Span(Duration::from_millis(millis)));
    let rolling = Rolling { size: ByteSize(size), age, on_checkpoint };
    let options = SinkOptions { rolling, ..SinkOptions::lines(DIR) };
    Arc::new(options.checked(Path::new("/"), &|name, reason| Error::config(name, reason)).unwrap())
}

fn going_back(context: WriterContext) -> WriterContext {
    let restored = Restored { checkpoint: CheckpointId(1), going_back: true };
    WriterContext { restored: Some(restored), ..context }
}

fn lines(texts: &[&str]) -> Batch<connector_api::MessageBatch> {
    Batch::new(batch(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), "\n"))
}

const CHECKPOINT: Checkpoint = Checkpoint { id: CheckpointId(1), savepoint: false };

struct Written {
    files: Vec<FileCommittable>,
    states: Vec<WriterState>,
}

async fn checkpoint(writer: &mut FileWriter, why: Flush) -> Written {
    writer.flush(why).await.unwrap();
    let files = writer.prepare_commit().await.unwrap();
    Written { files, states: writer.snapshot(CHECKPOINT).unwrap() }
}

async fn open(context: WriterContext, config: &Arc<SinkConfig>, states: Vec<WriterState>) -> FileWriter {
    FileWriter::open(context, config.clone(), states).await.unwrap()
}

async fn commit(context: &WriterContext, files: &[FileCommittable]) -> Vec<Outcome<FileCommittable>> {
    let requests = files.iter().map(|file| CommitRequest {
        committable: file.clone(),
        checkpoint: CheckpointId(1),
        retries: 0,
    });
    let mut committer = FileCommitter::new(context, config(1, None, true));
    committer.commit_batch(CommitBatch::new(requests.collect())).await.into_outcomes()
}

fn staged(fs: &SimFs, name: &str, content: &str) -> FileCommittable {
    let staged = naming::hidden(name);
    fs.put(Path::new(DIR).join(&staged), content.as_bytes()).unwrap();
    FileCommittable { staged, name: name.into(), length: content.len() as u64, inputs: Vec::new() }
}

fn part(attempt: u64, subtask: u32, counter: u64) -> String {
    let uid = Uid { attempt: AttemptId { run: RUN, number: attempt }, subtask };
    config(1, None, true).names.part(uid, counter)
}

fn simulated<F: Future<Output = ()>>(test: impl FnOnce(SimFs, Environment) -> F) {
    let fs = SimFs::new();
    sim::run(async { test(fs.clone(), sim::environment(&fs, 7)).await });
}

// Writer

#[test]
fn nothing_is_visible_before_the_commit_and_no_rows_make_no_file() {
    simulated(|fs, env| async move {
        let context = context(&env, 1, 0, 1);
        let mut writer = open(context.clone(), &config(100, None, true), vec![]).await;
        assert!(checkpoint(&mut writer, Flush::Checkpoint).await.files.is_empty());
        writer.write(lines(&[])).await.unwrap();
        assert!(checkpoint(&mut writer, Flush::Checkpoint).await.files.is_empty());
        assert!(fs.files().is_empty());
        writer.write(lines(&["a", "b"])).await.unwrap();
        let written = checkpoint(&mut writer, Flush::Checkpoint).await;
        assert!(written.states.is_empty() && names(&fs, false).is_empty());
        assert_eq!(names(&fs, true), [naming::hidden(&part(1, 0, 0))]);
        assert!(matches!(commit(&context, &written.files).await[..], [Outcome::Committed]));
        assert_eq!((names(&fs, false), visible(&fs)), (vec![part(1, 0, 0)], vec!["a".into(), "b".into()]));
    });
}

#[test]
fn a_part_is_closed_by_the_record_that_reaches_the_size() {
    simulated(|_, env| async move {
        let mut writer = open(context(&env, 1, 0, 1), &config(4, None, true), vec![]).await;
        writer.write(lines(&["a", "b", "c", "long line", "d"])).await.unwrap();
        let files = checkpoint(&mut writer, Flush::Checkpoint).await.files;
        assert_eq!(files.iter().map(|file| file.length).collect::<Vec<_>>(), [4, 12, 2]);
        assert_eq!(files.iter().map(|file| &*file.name).collect::<Vec<_>>(), [
            part(1, 0, 0),
            part(1, 0, 1),
            part(1, 0, 2)
        ]);
    });
}

#[test]
fn a_part_is_closed_by_age_while_there_is_no_input_and_on_write() {
    simulated(|_, env| async move {
        let mut writer = open(context(&env, 1, 0, 1), &config(1_000, Some(100), false), vec![]).await;
        writer.write(lines(&["a"])).await.unwrap();
        let began = env.clock.monotonic();
        writer.idle().await.unwrap();
        assert_eq!(env.clock.monotonic() - began, Duration::from_millis(100));
        writer.write(lines(&["b"])).await.unwrap();
        env.clock.sleep(Duration::from_millis(100)).await;
        writer.write(lines(&["c"])).await.unwrap();
        let written = checkpoint(&mut writer, Flush::Checkpoint).await;
        assert_eq!((written.files.len(), written.states.len()), (2, 1));
    });
}

#[test]
fn an_open_part_goes_on_over_checkpoints_and_a_savepoint_closes_it() {
    simulated(|_, env| async move {
        let mut writer = open(context(&env, 1, 0, 1), &config(1_000, None, false), vec![]).await;
        for (i, text) in ["a", "b"].into_iter().enumerate() {
            writer.write(lines(&[text])).await.unwrap();
            let written = checkpoint(&mut writer, Flush::Checkpoint).await;
            assert!(written.files.is_empty());
            assert_eq!((&*written.states[0].name, written.states[0].length), (&*part(1, 0, 0), 2 + 2 * i as u64));
        }
        let written = checkpoint(&mut writer, Flush::Savepoint).await;
        assert_eq!((written.files.len(), written.files[0].length, written.states.len()), (1, 4, 0));
    });
}

#[test]
fn a_failed_background_sync_fails_the_next_flush() {
    simulated(|fs, env| async move {
        let mut writer = open(context(&env, 1, 0, 1), &config(1, None, true), vec![]).await;
        fs.inject(Rule::on(OpKind::Sync, Fault::Eio).nth(1));
        writer.write(lines(&["a"])).await.unwrap();
        env.clock.sleep(Duration::from_secs(1)).await;
        let error = writer.flush(Flush::Checkpoint).await.unwrap_err();
        assert!(error.to_string().starts_with("fdatasync /out/.part-"), "{error}");
        assert!(error.is_retryable());
    });
}

#[test]
fn a_full_disk_is_a_clear_error_that_a_restart_may_cure() {
    simulated(|fs, env| async move {
        let mut writer = open(context(&env, 1, 0, 1), &config(1_000, None, true), vec![]).await;
        fs.set_capacity(Some(3));
        writer.write(lines(&["abc", "def"])).await.unwrap();
        let error = writer.flush(Flush::Checkpoint).await.unwrap_err();
        assert!(error.to_string().starts_with("write /out/.part-") && error.is_retryable(), "{error}");
    });
}

#[test]
fn a_restored_part_is_cut_to_the_length_in_the_state_and_goes_on_under_its_name() {
    simulated(|fs, env| async move {
        let config = config(1_000, None, false);
        let mut writer = open(context(&env, 1, 0, 1), &config, vec![]).await;
        writer.write(lines(&["a"])).await.unwrap();
        let states = checkpoint(&mut writer, Flush::Checkpoint).await.states;
        writer.write(lines(&["lost"])).await.unwrap();
        checkpoint(&mut writer, Flush::Checkpoint).await;
        writer.close().await.unwrap();
        let context = context(&env, 2, 0, 1);
        let mut writer = open(context.clone(), &config, states).await;
        writer.write(lines(&["b"])).await.unwrap();
        let files = checkpoint(&mut writer, Flush::EndOfInput).await.files;
        assert_eq!(files[0].name, part(1, 0, 0));
        assert!(matches!(commit(&context, &files).await[..], [Outcome::Committed]));
        assert_eq!(visible(&fs), ["a", "b"]);
    });
}

#[test]
fn of_several_restored_parts_one_goes_on_and_the_others_are_closed() {
    simulated(|fs, env| async move {
        let config = config(1_000, None, false);
        let mut states = Vec::new();
        for (subtask, text) in [(0, "long line"), (1, "x"), (2, "line")] {
            let mut writer = open(context(&env, 1, subtask, 3), &config, vec![]).await;
            writer.write(lines(&[text])).await.unwrap();
            states.extend(checkpoint(&mut writer, Flush::Checkpoint).await.states);
            writer.write(lines(&["lost"])).await.unwrap();
            writer.close().await.unwrap();
        }
        let context = context(&env, 2, 0, 1);
        let mut writer = open(context.clone(), &config, states).await;
        let written = checkpoint(&mut writer, Flush::Checkpoint).await;
        assert_eq!((written.files.len(), &*written.states[0].name), (2, &*part(1, 1, 0)));
        commit(&context, &written.files).await;
        assert_eq!(visible(&fs), ["line", "long line"]);
    });
}

#[test]
fn a_part_that_an_earlier_attempt_still_holds_is_not_touched() {
    simulated(|fs, env| async move {
        let config = config(1_000, None, false);
        let mut writer = open(context(&env, 1, 0, 1), &config, vec![]).await;
        writer.write(lines(&["a"])).await.unwrap();
        let states = checkpoint(&mut writer, Flush::Checkpoint).await.states;
        let error = FileWriter::open(context(&env, 2, 0, 1), config.clone(), states.clone()).await.unwrap_err();
        assert!(error.to_string().starts_with("take over from an earlier attempt /out/.part-"), "{error}");
        assert!(error.is_retryable());
        writer.write(lines(&["b"])).await.unwrap();
        checkpoint(&mut writer, Flush::Checkpoint).await;
        assert_eq!(fs.content(Path::new(DIR).join(&states[0].staged)).unwrap(), b"a\nb\n");
        drop(writer);
        open(context(&env, 3, 0, 1), &config, states).await;
    });
}

#[test]
fn a_part_that_is_gone_or_too_short_is_lost_by_name() {
    simulated(|fs, env| async move {
        let staged = naming::hidden(&part(1, 0, 0));
        let state = |length| WriterState {
            staged: staged.clone(),
            name: part(1, 0, 0),
            length,
            created_at: 0,
            inputs: vec![],
        };
        for content in [None, Some("ab\n")] {
            if let Some(content) = content {
                fs.put(Path::new(DIR).join(&staged), content.as_bytes()).unwrap();
            }
            let opened = FileWriter::open(context(&env, 2, 0, 1), config(9, None, false), vec![state(6)]).await;
            let error = opened.unwrap_err();
            assert!(matches!(&error, Error::Lost(why) if why.contains(&staged)), "{error}");
        }
    });
}

#[test]
fn after_going_back_an_open_part_is_copied_and_a_published_one_left_out() {
    simulated(|fs, env| async move {
        let config = config(1_000, None, false);
        let mut writer = open(context(&env, 1, 0, 1), &config, vec![]).await;
        writer.write(lines(&["a"])).await.unwrap();
        let mut states = checkpoint(&mut writer, Flush::Checkpoint).await.states;
        writer.write(lines(&["b"])).await.unwrap();
        checkpoint(&mut writer, Flush::Checkpoint).await;
        writer.close().await.unwrap();
        let original = Path::new(DIR).join(&states[0].staged);
        let gone = part(1, 1, 0);
        states.push(WriterState { staged: naming::hidden(&gone), name: gone, ..states[0].clone() });
        let context = going_back(context(&env, 2, 0, 1));
        let mut writer = open(context.clone(), &config, states).await;
        writer.write(lines(&["c"])).await.unwrap();
        let files = checkpoint(&mut writer, Flush::EndOfInput).await.files;
        assert_eq!(fs.content(&original).unwrap(), b"a\nb\n");
        assert!(matches!(commit(&context, &files).await[..], [Outcome::Committed]));
        assert_eq!((visible(&fs), names(&fs, true)), (vec!["a".into(), "c".into()], vec![]));
    });
}

// Committer

#[test]
fn what_was_committed_before_is_found_by_name_and_length() {
    simulated(|fs, env| async move {
        let context = context(&env, 2, 0, 1);
        let file = staged(&fs, "part-a", "a\n");
        assert!(matches!(commit(&context, std::slice::from_ref(&file)).await[..], [Outcome::Committed]));
        assert!(matches!(commit(&context, &[file]).await[..], [Outcome::AlreadyCommitted { .. }]));
    });
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    simulated(|fs, env| async move {
        let file = staged(&fs, "part-a", "ours\n");
        fs.put("/out/part-a", b"theirs\n").unwrap();
        let outcomes = commit(&context(&env, 2, 0, 1), std::slice::from_ref(&file)).await;
        assert!(matches!(&outcomes[..], [Outcome::Fatal(e)] if e.to_string().contains("both /out/.part-a")));
        assert_eq!(fs.content("/out/part-a").unwrap(), b"theirs\n");
        assert_eq!(fs.content("/out/.part-a.inprogress").unwrap(), b"ours\n");
        fs.remove_file(Path::new("/out/.part-a.inprogress")).unwrap();
        let outcomes = commit(&context(&env, 2, 0, 1), &[file]).await;
        assert!(matches!(&outcomes[..], [Outcome::Fatal(e)] if e.to_string().contains("7 bytes")));
    });
}

#[test]
fn a_staged_file_of_another_length_is_not_published() {
    simulated(|fs, env| async move {
        let file = FileCommittable { length: 1, ..staged(&fs, "part-a", "a\n") };
        let outcomes = commit(&context(&env, 2, 0, 1), &[file]).await;
        assert!(matches!(&outcomes[..], [Outcome::Fatal(e)] if e.to_string().contains("changed after")));
        assert!(names(&fs, false).is_empty());
    });
}

#[test]
fn what_is_gone_is_lost_by_both_names_unless_the_job_went_back() {
    simulated(|fs, env| async move {
        fs.create_dir_all(Path::new(DIR)).unwrap();
        let file = FileCommittable {
            staged: ".part-a.inprogress".into(),
            name: "part-a".into(),
            length: 2,
            inputs: vec![],
        };
        let context = context(&env, 2, 0, 1);
        let outcomes = commit(&context, std::slice::from_ref(&file)).await;
        let [Outcome::Lost { reason }] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert!(reason.contains("/out/.part-a.inprogress") && reason.contains("/out/part-a"), "{reason}");
        assert!(matches!(commit(&going_back(context), &[file]).await[..], [Outcome::AlreadyCommitted { .. }]));
    });
}

#[test]
fn failures_that_may_pass_are_retried_and_others_end_the_job() {
    for (kind, fault, retried) in [
        (OpKind::Rename, Fault::Eio, true),
        (OpKind::Rename, Fault::NoSpace, true),
        (OpKind::SyncDir, Fault::Eio, true),
        (OpKind::Remove, Fault::Eio, true),
        (OpKind::Rename, Fault::Denied, false),
        (OpKind::Remove, Fault::Denied, false),
    ] {
        simulated(|fs, env| async move {
            let context = context(&env, 2, 0, 1);
            let input = staged(&fs, "part-b", "b\n").staged;
            let file = FileCommittable { inputs: vec![input], ..staged(&fs, "part-a", "a\n") };
            fs.inject(Rule::on(kind, fault).nth(1));
            let outcomes = commit(&context, std::slice::from_ref(&file)).await;
            match &outcomes[..] {
                [Outcome::Retry { updated: None, .. }] if retried => {}
                [Outcome::Fatal(_)] if !retried => {}
                other => panic!("{kind:?} {fault:?}: {other:?}"),
            }
            let again = commit(&context, &[file]).await;
            assert!(matches!(again[..], [Outcome::Committed | Outcome::AlreadyCommitted { .. }]), "{again:?}");
            assert_eq!((names(&fs, false), names(&fs, true)), (vec!["part-a".to_owned()], vec![]));
        });
    }
}

#[test]
fn one_bad_file_of_a_batch_does_not_hold_the_others_and_the_directory_is_synced_once() {
    simulated(|fs, env| async move {
        let mut files: Vec<_> = ["part-a", "part-b", "part-c"].map(|name| staged(&fs, name, "x\n")).into();
        files[1].length = 7;
        fs.keep_log();
        let outcomes = commit(&context(&env, 2, 0, 1), &files).await;
        assert!(matches!(outcomes[..], [Outcome::Committed, Outcome::Fatal(_), Outcome::Committed]));
        let kinds: Vec<_> = fs.log().iter().map(|operation| operation.kind).collect();
        assert_eq!(kinds, [OpKind::Rename, OpKind::Rename, OpKind::SyncDir]);
    });
}

#[test]
fn a_name_that_leads_outside_is_refused() {
    simulated(|fs, env| async move {
        let file = FileCommittable { name: "../part-a".into(), ..staged(&fs, "part-a", "a\n") };
        assert!(matches!(commit(&context(&env, 2, 0, 1), &[file]).await[..], [Outcome::Fatal(_)]));
    });
}

// Compaction

fn merging(checkpoints: u32, size: Option<u64>) -> Compaction {
    Compaction::Merge(Merge { checkpoints, size: size.map(ByteSize) })
}

async fn coordinator(
    env: &Environment,
    compaction: &Compaction,
    states: Vec<CoordinatorState>,
) -> Coordinator {
    Coordinator::open(context(env, 2, 0, 1), config(1, None, true), compaction, states).await.unwrap()
}

async fn compactor(context: &WriterContext, drains: bool, states: Vec<CompactorState>) -> Compactor {
    Compactor::open(context.clone(), config(1, None, true), drains, states).await.unwrap()
}

fn named(name: String, length: u64) -> FileCommittable {
    FileCommittable { staged: naming::hidden(&name), name, length, inputs: vec![] }
}

#[test]
fn parts_wait_for_their_number_of_checkpoints_and_large_ones_pass_at_once() {
    simulated(|_, env| async move {
        let compaction = merging(2, Some(100));
        let mut coordinator = coordinator(&env, &compaction, vec![]).await;
        let mut out = Output::new();
        let (first, large, second) =
            (named(part(1, 0, 10), 40), named(part(1, 0, 3), 80), named(part(1, 0, 9), 40));
        coordinator.process(first.clone(), CheckpointId(1), &mut out).await.unwrap();
        coordinator.process(large.clone(), CheckpointId(1), &mut out).await.unwrap();
        assert_eq!(out.take(), [Request::Pass(large)]);
        coordinator.prepare(Prepare::Running, &mut out).await.unwrap();
        let states = coordinator.snapshot(CHECKPOINT).unwrap();
        // The count survives a restore.
        let mut coordinator = self::coordinator(&env, &compaction, states).await;
        coordinator.process(second.clone(), CheckpointId(2), &mut out).await.unwrap();
        assert!(out.take().is_empty());
        coordinator.prepare(Prepare::Running, &mut out).await.unwrap();
        assert_eq!(out.take(), [Request::Merge(vec![second, first])]);
        assert!(coordinator.snapshot(CHECKPOINT).unwrap().is_empty());
    });
}

#[test]
fn a_part_without_company_passes_and_the_end_of_input_waits_for_none() {
    simulated(|_, env| async move {
        let mut coordinator = coordinator(&env, &merging(9, None), vec![]).await;
        let mut out = Output::new();
        let file = named(part(1, 0, 0), 5);
        coordinator.process(file.clone(), CheckpointId(1), &mut out).await.unwrap();
        coordinator.end_of_input(&mut out).await.unwrap();
        assert_eq!(out.take(), [Request::Pass(file)]);
    });
}

#[test]
fn a_merge_begins_when_its_checkpoint_is_complete_and_publishes_with_one_rename() {
    simulated(|fs, env| async move {
        let context = context(&env, 2, 1, 2);
        let inputs: Vec<_> = [(0, "a\n"), (1, "b\n")]
            .map(|(counter, text)| staged(&fs, &part(1, 0, counter), text))
            .into();
        let mut compactor = compactor(&context, false, vec![]).await;
        let mut out = Output::new();
        compactor.process(Request::Merge(inputs.clone()), CheckpointId(5), &mut out).await.unwrap();
        compactor.checkpoint_complete(CheckpointId(4), &mut out).await.unwrap();
        env.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(names(&fs, true).len(), 2, "a merge began too early");
        assert_eq!(compactor.snapshot(CHECKPOINT).unwrap().len(), 1);
        compactor.checkpoint_complete(CheckpointId(6), &mut out).await.unwrap();
        assert_eq!(compactor.snapshot(CHECKPOINT).unwrap().len(), 1);
        compactor.prepare(Prepare::Final, &mut out).await.unwrap();
        assert!(compactor.snapshot(CHECKPOINT).unwrap().is_empty());
        let files = out.take();
        assert_eq!((&*files[0].name, files[0].length, files[0].inputs.len()), (&*part(1, 0, 0), 4, 2));
        assert!(names(&fs, false).is_empty());
        assert!(matches!(commit(&context, &files).await[..], [Outcome::Committed]));
        assert_eq!((visible(&fs), names(&fs, true)), (vec!["a".into(), "b".into()], vec![]));
    });
}

#[test]
fn a_missing_input_is_lost_and_after_going_back_left_out() {
    simulated(|fs, env| async move {
        let mut inputs: Vec<_> = [(0, "a\n"), (1, "b\n"), (2, "c\n")]
            .map(|(counter, text)| staged(&fs, &part(1, 0, counter), text))
            .into();
        inputs.push(named(part(1, 0, 3), 2));
        let state = CompactorState { checkpoint: 1, inputs };
        for went_back in [false, true] {
            let mut context = context(&env, 2, 0, 1);
            if went_back {
                context = going_back(context);
                fs.put(Path::new(DIR).join(part(1, 0, 0)), b"a\n").unwrap();
            }
            let mut compactor = compactor(&context, false, vec![state.clone()]).await;
            let mut out = Output::new();
            compactor.checkpoint_complete(CheckpointId(1), &mut out).await.unwrap();
            let merged = compactor.prepare(Prepare::Final, &mut out).await;
            if went_back {
                merged.unwrap();
                assert_eq!(out.take().iter().map(|file| &*file.name).collect::<Vec<_>>(), [part(1, 0, 1)]);
            } else {
                let error = merged.unwrap_err();
                assert!(matches!(&error, Error::Lost(why) if why.contains(&part(1, 0, 3))), "{error}");
            }
        }
    });
}

#[test]
fn a_merge_that_fails_on_a_full_disk_fails_the_attempt_and_can_be_done_again() {
    simulated(|fs, env| async move {
        let inputs: Vec<_> =
            [0, 1].map(|counter| staged(&fs, &part(1, 0, counter), &"x\n".repeat(50))).into();
        let state = CompactorState { checkpoint: 1, inputs };
        fs.set_capacity(Some(250));
        let mut out = Output::new();
        for attempt in [2, 3] {
            let context = context(&env, attempt, 0, 1);
            let sweep = FileSweep { config: config(1, None, true) };
            let references = References::new(vec![state.to_bytes().unwrap()]);
            sweep.sweep(context.clone(), references).await.unwrap();
            let mut compactor = compactor(&context, false, vec![state.clone()]).await;
            compactor.checkpoint_complete(CheckpointId(1), &mut out).await.unwrap();
            let merged = compactor.prepare(Prepare::Final, &mut out).await;
            if attempt == 2 {
                let error = merged.unwrap_err();
                assert!(error.is_retryable() && error.to_string().starts_with("copy "), "{error}");
            } else {
                merged.unwrap();
            }
            compactor.close().await.unwrap();
            fs.set_capacity(None);
        }
        assert_eq!(out.take()[0].length, 200);
    });
}

#[test]
fn draining_gives_everything_back_as_it_is() {
    simulated(|_, env| async move {
        let held = vec![named(part(1, 0, 0), 5), named(part(1, 0, 1), 5)];
        let states = vec![CoordinatorState { checkpoints: 1, held: held.clone() }];
        let mut coordinator = coordinator(&env, &Compaction::Drain, states).await;
        let mut out = Output::new();
        coordinator.process(held[0].clone(), CheckpointId(1), &mut out).await.unwrap();
        coordinator.prepare(Prepare::Running, &mut out).await.unwrap();
        assert!(out.take().iter().all(|request| matches!(request, Request::Pass(_))));
        assert!(coordinator.snapshot(CHECKPOINT).unwrap().is_empty());
        let states = vec![CompactorState { checkpoint: 1, inputs: held.clone() }];
        let mut compactor = compactor(&context(&env, 2, 0, 1), true, states).await;
        let mut out = Output::new();
        compactor.checkpoint_complete(CheckpointId(1), &mut out).await.unwrap();
        compactor.prepare(Prepare::Running, &mut out).await.unwrap();
        assert_eq!(out.take(), held);
        assert!(compactor.snapshot(CHECKPOINT).unwrap().is_empty());
    });
}

#[test]
fn leaving_compaction_out_names_its_stages_with_a_hint() {
    let plan = FileSink::new(&SinkOptions::lines("out"), Path::new("/")).unwrap().plan().unwrap();
    assert!(plan.pre_commit.is_empty());
    for uid in [COORDINATOR_UID, COMPACTOR_UID] {
        assert!(plan.absent[uid].contains("sink.compaction = \"drain\""));
    }
    for compaction in [merging(1, None), Compaction::Drain] {
        let options = SinkOptions { compaction: Some(compaction), ..SinkOptions::lines("out") };
        let plan = FileSink::new(&options, Path::new("/")).unwrap().plan().unwrap();
        let uids: Vec<_> = plan.pre_commit.iter().map(|stage| &*stage.uid).collect();
        assert_eq!(uids, [COORDINATOR_UID, COMPACTOR_UID]);
        assert!(plan.absent.is_empty());
    }
}

// Sweep

#[test]
fn the_sweep_removes_only_what_dead_attempts_of_this_run_left_and_nothing_needs() {
    simulated(|fs, env| async move {
        let uid = |run, number| Uid { attempt: AttemptId { run: RunId(run), number }, subtask: 0 };
        let names = &config(1, None, true).names;
        let mine = |number, counter| names.part(uid(RUN.0, number), counter);
        let needed: Vec<_> = (0..6).map(|counter| named(mine(1, counter), 1)).collect();
        let keep = [
            mine(1, 100),
            "_SUCCESS".into(),
            ".hidden".into(),
            naming::hidden("part-x"),
            naming::hidden(&names.part(uid(1, 1), 0)),
            naming::hidden(&mine(4, 0)),
            naming::hidden(&mine(5, 0)),
            naming::compacting(&mine(1, 0), uid(RUN.0, 4)),
            format!("{}x", naming::hidden(&mine(1, 50))),
        ];
        let orphans = [
            naming::hidden(&mine(1, 50)),
            naming::hidden(&mine(3, 0)),
            naming::compacting(&mine(1, 0), uid(RUN.0, 3)),
        ];
        for name in keep.iter().chain(&orphans).chain(needed.iter().map(|file| &file.staged)) {
            fs.put(Path::new(DIR).join(name), b"x").unwrap();
        }
        let with_input = FileCommittable { inputs: vec![needed[1].staged.clone()], ..needed[0].clone() };
        let state = WriterState {
            staged: needed[2].staged.clone(),
            name: String::new(),
            length: 1,
            created_at: 0,
            inputs: vec![needed[3].staged.clone()],
        };
        let stored: Vec<Bytes> = vec![
            with_input.to_bytes().unwrap(),
            state.to_bytes().unwrap(),
            CoordinatorState { checkpoints: 1, held: vec![needed[4].clone()] }.to_bytes().unwrap(),
            CompactorState { checkpoint: 1, inputs: vec![needed[5].clone()] }.to_bytes().unwrap(),
        ];
        let sweep = FileSweep { config: config(1, None, true) };
        let context = context(&env, 4, 0, 1);
        let swept = sweep.sweep(context.clone(), References::new(stored)).await.unwrap();
        assert_eq!(swept, orphans.len() as u64);
        for name in keep.iter().chain(needed.iter().map(|file| &file.staged)) {
            assert!(fs.content(Path::new(DIR).join(name)).is_ok(), "{name} was swept");
        }
        let damaged = References::new(vec![Bytes::from_static(b"damaged")]);
        assert!(sweep.sweep(context, damaged).await.is_err());
    });
}

#[test]
fn a_sweep_before_the_first_file_finds_nothing() {
    simulated(|_, env| async move {
        let sweep = FileSweep { config: config(1, None, true) };
        assert_eq!(sweep.sweep(context(&env, 1, 0, 1), References::default()).await.unwrap(), 0);
    });
}

// Factory

#[test]
fn a_check_names_the_option_and_changes_nothing() {
    simulated(|fs, env| async move {
        fs.put("/base/file", b"x").unwrap();
        let before = fs.operations();
        let context = FactoryContext { env, base_dir: "/base".into() };
        let check = async |path: &str| {
            let values = serde_json::json!({ "path": path, "format": "lines" });
            let options = Options::new("sink", values.as_object().unwrap().clone());
            FileSinkFactory.create(&options, &context).unwrap();
            FileSinkFactory.check(&options, &context).await
        };
        check("new/deep").await.unwrap();
        check(".").await.unwrap();
        for path in ["file", "file/below"] {
            let error = check(path).await.unwrap_err();
            assert!(error.to_string().starts_with("option `sink.path`: /base/file is not a directory"), "{error}");
        }
        assert_eq!(fs.operations(), before);
    });
}

#[test]
fn a_half_done_rename_without_kernel_support_is_finished() {
    // The file bears both names when a process dies between giving the second and taking the first.
    let dir = tempfile::tempdir().unwrap();
    let (staged, name) = (dir.path().join(".part-a.inprogress"), dir.path().join("part-a"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = connector_runtime::local::environment_on(runtime.handle());
    local.fs.open(&staged, Access::CreateNew).unwrap().write_all_at(b"a\n", 0).unwrap();
    std::fs::hard_link(&staged, &name).unwrap();
    let options = SinkOptions::lines(dir.path());
    let config = options.checked(Path::new("/"), &|name, reason| Error::config(name, reason)).unwrap();
    let context = context(&local, 2, 0, 1);
    let mut committer = FileCommitter::new(&context, Arc::new(config));
    let committable = FileCommittable {
        staged: ".part-a.inprogress".into(),
        name: "part-a".into(),
        length: 2,
        inputs: vec![],
    };
    let request = CommitRequest { committable, checkpoint: CheckpointId(1), retries: 0 };
    let settled = runtime.block_on(committer.commit_batch(CommitBatch::new(vec![request])));
    assert!(matches!(settled.into_outcomes()[..], [Outcome::AlreadyCommitted { .. }]));
    assert!(!staged.exists() && name.exists());
}
