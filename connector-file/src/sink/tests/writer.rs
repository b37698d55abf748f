//! Rules of the writer, one by one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connector_api::sink::{CommittingWriter, Flush, Outcome, SinkWriter, StatefulWriter, WriterContext};
use connector_api::{Batch, Error, MessageBatch};
use testkit::fs::{Fault, OpKind, Rule};

use super::{
    CHECKPOINT, DIR, batch, commit, config, context, files, going_back, names, part, simulated, visible,
};
use crate::sink::committable::{StagedFile, WriterState};
use crate::sink::config::SinkConfig;
use crate::sink::naming;
use crate::sink::writer::FileWriter;

fn lines(texts: &[&str]) -> Batch<connector_api::MessageBatch> {
    Batch::new(batch(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), "\n"))
}

struct Written {
    files: Vec<StagedFile>,
    states: Vec<WriterState>,
}

async fn checkpoint(writer: &mut FileWriter<MessageBatch>, why: Flush) -> Written {
    writer.flush(why).await.unwrap();
    let files = files(writer.prepare_commit().await.unwrap());
    Written { files, states: writer.snapshot(CHECKPOINT).unwrap() }
}

async fn open(
    context: WriterContext,
    config: &Arc<SinkConfig>,
    states: Vec<WriterState>,
) -> FileWriter<MessageBatch> {
    FileWriter::<MessageBatch>::open(context, config.clone(), states).await.unwrap()
}

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
        assert_eq!(
            files.iter().map(|file| &*file.name).collect::<Vec<_>>(),
            [part(1, 0, 0), part(1, 0, 1), part(1, 0, 2)]
        );
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
            assert_eq!(
                (&*written.states[0].name, written.states[0].length),
                (&*part(1, 0, 0), 2 + 2 * i as u64)
            );
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
        let error = FileWriter::<MessageBatch>::open(context(&env, 2, 0, 1), config.clone(), states.clone())
            .await
            .unwrap_err();
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
            rows: 0,
            created_at: 0,
        };
        for content in [None, Some("ab\n")] {
            if let Some(content) = content {
                fs.put(Path::new(DIR).join(&staged), content.as_bytes()).unwrap();
            }
            let opened = FileWriter::<MessageBatch>::open(
                context(&env, 2, 0, 1),
                config(9, None, false),
                vec![state(6)],
            )
            .await;
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
        assert_eq!(visible(&fs), ["a", "c"]);
        assert_eq!(fs.content(&original).unwrap(), b"a\nb\n", "a later checkpoint may name it");
    });
}
