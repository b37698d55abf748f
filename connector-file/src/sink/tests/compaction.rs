//! Rules of compaction, one by one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Operator, Outcome, Output, Prepare, References, Sink, SweepOrphans, WriterContext,
};
use connector_api::{Error, MessageBatch, Stored};

use super::{
    CHECKPOINT, DIR, commit, config, context, files, going_back, named, names, part, simulated, staged,
    visible,
};
use crate::sink::compaction::{Compactor, CompactorState, Coordinator, CoordinatorState, Request};
use crate::sink::config::{Compaction, Merge, SinkOptions};
use crate::sink::sweep::FileSweep;
use crate::sink::{COMPACTOR_UID, COORDINATOR_UID, FileSink};

fn merging(checkpoints: u32, size: Option<u64>) -> Compaction {
    Compaction::Merge(Merge { checkpoints, size: size.map(ByteSize), ..Merge::default() })
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

#[test]
fn parts_wait_for_their_number_of_checkpoints_and_large_ones_pass_at_once() {
    simulated(|_, env| async move {
        let compaction = merging(2, Some(100));
        let mut coordinator = coordinator(&env, &compaction, vec![]).await;
        let mut out = Output::new();
        let (first, large, second) =
            (named(part(1, 0, 10), 40), named(part(1, 0, 3), 80), named(part(1, 0, 9), 40));
        coordinator.process(first.clone().into(), CheckpointId(1), &mut out).await.unwrap();
        coordinator.process(large.clone().into(), CheckpointId(1), &mut out).await.unwrap();
        assert_eq!(out.take(), [Request::Pass(large.into())]);
        coordinator.prepare(Prepare::Running, &mut out).await.unwrap();
        let states = coordinator.snapshot(CHECKPOINT).unwrap();
        // The count survives a restore.
        let mut coordinator = self::coordinator(&env, &compaction, states).await;
        coordinator.process(second.clone().into(), CheckpointId(2), &mut out).await.unwrap();
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
        coordinator.process(file.clone().into(), CheckpointId(1), &mut out).await.unwrap();
        coordinator.end_of_input(&mut out).await.unwrap();
        assert_eq!(out.take(), [Request::Pass(file.into())]);
    });
}

#[test]
fn a_merge_begins_when_its_checkpoint_is_complete_and_publishes_with_one_rename() {
    simulated(|fs, env| async move {
        let context = context(&env, 2, 1, 2);
        let inputs: Vec<_> =
            [(0, "a\n"), (1, "b\n")].map(|(counter, text)| staged(&fs, &part(1, 0, counter), text)).into();
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
        let files = files(out.take());
        assert_eq!((&*files[0].name, files[0].length, files[0].inputs.len()), (&*part(1, 0, 0), 4, 2));
        assert!(names(&fs, false).is_empty());
        assert!(matches!(commit(&context, &files).await[..], [Outcome::Committed]));
        assert_eq!((visible(&fs), names(&fs, true)), (vec!["a".into(), "b".into()], vec![]));
    });
}

#[test]
fn merges_keep_to_the_rate_and_closing_does_not_wait_for_it() {
    simulated(|fs, env| async move {
        let state = |at: u64| {
            let inputs = [0, 1].map(|i| staged(&fs, &part(1, 0, 2 * at + i), &"x\n".repeat(25)));
            CompactorState { checkpoint: 1, inputs: inputs.into() }
        };
        let mut paced = (*config(1, None, true)).clone();
        let merge = Merge { rate: Some(ByteSize(10)), ..Merge::default() };
        paced.compaction = Some(Compaction::Merge(merge));
        let states = (0..4).map(state).collect();
        let opened = Compactor::open(context(&env, 2, 0, 1), Arc::new(paced), false, states);
        let mut compactor = opened.await.unwrap();
        let merged = || names(&fs, true).iter().filter(|name| name.ends_with(".compacting")).count();
        compactor.checkpoint_complete(CheckpointId(1), &mut Output::new()).await.unwrap();
        for expected in 1..=3 {
            // 100 bytes at 10 bytes per second.
            env.clock.sleep(Duration::from_secs(5)).await;
            assert_eq!(merged(), expected);
            env.clock.sleep(Duration::from_secs(5)).await;
        }
        let mut out = Output::new();
        compactor.prepare(Prepare::Running, &mut out).await.unwrap();
        assert!(out.take().len() >= 3);
        compactor.close().await.unwrap();
        let closed = merged();
        env.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(merged(), closed, "a merge began after the end");
    });
}

#[test]
fn nothing_near_its_size_is_kept_back_and_keep_size_says_what_is_near() {
    simulated(|_, env| async move {
        for (keep_size, passes) in
            [(None, [false, true]), (Some(20), [true, true]), (Some(90), [false, false])]
        {
            let merge = Merge {
                checkpoints: 9,
                size: Some(ByteSize(100)),
                keep_size: keep_size.map(ByteSize),
                rate: None,
            };
            let mut coordinator = coordinator(&env, &Compaction::Merge(merge), vec![]).await;
            for (length, passes) in [79, 80].into_iter().zip(passes) {
                let mut out = Output::new();
                let file = named(part(1, 0, length), length);
                coordinator.process(file.into(), CheckpointId(1), &mut out).await.unwrap();
                assert_eq!(out.take().len() == 1, passes, "{length} bytes, keep_size {keep_size:?}");
            }
        }
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
                assert_eq!(
                    files(out.take()).iter().map(|file| &*file.name).collect::<Vec<_>>(),
                    [part(1, 0, 1)]
                );
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
        assert_eq!(files(out.take())[0].length, 200);
    });
}

#[test]
fn draining_gives_everything_back_as_it_is() {
    simulated(|_, env| async move {
        let held = vec![named(part(1, 0, 0), 5), named(part(1, 0, 1), 5)];
        let states = vec![CoordinatorState { checkpoints: 1, held: held.clone() }];
        let mut coordinator = coordinator(&env, &Compaction::Drain, states).await;
        let mut out = Output::new();
        coordinator.process(held[0].clone().into(), CheckpointId(1), &mut out).await.unwrap();
        coordinator.prepare(Prepare::Running, &mut out).await.unwrap();
        assert!(out.take().iter().all(|request| matches!(request, Request::Pass(_))));
        assert!(coordinator.snapshot(CHECKPOINT).unwrap().is_empty());
        let states = vec![CompactorState { checkpoint: 1, inputs: held.clone() }];
        let mut compactor = compactor(&context(&env, 2, 0, 1), true, states).await;
        let mut out = Output::new();
        compactor.checkpoint_complete(CheckpointId(1), &mut out).await.unwrap();
        compactor.prepare(Prepare::Running, &mut out).await.unwrap();
        assert_eq!(files(out.take()), held);
        assert!(compactor.snapshot(CHECKPOINT).unwrap().is_empty());
    });
}

#[test]
fn leaving_compaction_out_names_its_stages_with_a_hint() {
    let plan =
        FileSink::<MessageBatch>::new(&SinkOptions::lines("out"), Path::new("/")).unwrap().plan().unwrap();
    assert!(plan.pre_commit.is_empty());
    for uid in [COORDINATOR_UID, COMPACTOR_UID] {
        assert!(plan.absent[uid].contains("sink.compaction = \"drain\""));
    }
    for compaction in [merging(1, None), Compaction::Drain] {
        let options = SinkOptions { compaction: Some(compaction), ..SinkOptions::lines("out") };
        let plan = FileSink::<MessageBatch>::new(&options, Path::new("/")).unwrap().plan().unwrap();
        let uids: Vec<_> = plan.pre_commit.iter().map(|stage| &*stage.uid).collect();
        assert_eq!(uids, [COORDINATOR_UID, COMPACTOR_UID]);
        assert!(uids.iter().all(|uid| !plan.absent.contains_key(*uid)));
    }
}
