//! Rules of finished buckets, one by one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{Operator, Output, Prepare, Sink};
use connector_api::{Error, MessageBatch};
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use testkit::fs::SimFs;

use super::store::{Fault, Op, TestStore};
use super::{CHECKPOINT, DIR, context, named, part, simulated};
use crate::place::{Place, wait};
use crate::sink::committable::{FileCommittable, FinishedBucket, Mark, StagedFile};
use crate::sink::config::{SinkConfig, SinkOptions};
use crate::sink::finish::{Finisher, Tracker};
use crate::sink::{
    BucketOptions, FINISHER_UID, FileSink, MANIFEST, Manifest, ManifestFile, OnFinished, SUCCESS,
    TRACKER_UID, naming,
};

const HOUR: i64 = 3_600_000;

fn options() -> SinkOptions {
    SinkOptions {
        buckets: BucketOptions::event_time("%F/%H"),
        on_finished: Some(OnFinished::default()),
        ..SinkOptions::lines(DIR)
    }
}

fn config() -> Arc<SinkConfig> {
    let error = |name: &str, reason| Error::config(name, reason);
    Arc::new(options().checked::<MessageBatch>(Path::new("/"), &error).unwrap())
}

fn tracker(env: &Environment, delay: Duration) -> Tracker {
    Tracker::open(&context(env, 1, 0, 1), config(), delay, Vec::new())
}

fn file(hour: u32, counter: u64) -> StagedFile {
    named(naming::within(&format!("1970-01-01/{hour:02}"), &part(1, 0, counter)), 2)
}

fn mark(writer: u32, of: u32, watermark: i64) -> FileCommittable {
    FileCommittable::Mark(Mark { writer, of, watermark })
}

fn finished(hour: u32, parts: u64) -> FileCommittable {
    FileCommittable::Finished(FinishedBucket { bucket: format!("1970-01-01/{hour:02}"), parts })
}

async fn feed<O: Operator>(operator: &mut O, items: Vec<O::In>) -> Vec<O::Out> {
    let mut out = Output::new();
    for item in items {
        operator.process(item, CheckpointId(1), &mut out).await.unwrap();
    }
    operator.prepare(Prepare::Running, &mut out).await.unwrap();
    out.take()
}

#[test]
fn a_bucket_ends_when_the_slowest_writer_has_passed_its_end() {
    simulated(|_, env| async move {
        let mut tracker = tracker(&env, Duration::ZERO);
        let (a, b) = (file(0, 0), file(1, 1));
        let out = feed(&mut tracker, vec![a.clone().into(), b.clone().into(), mark(0, 2, 5 * HOUR)]).await;
        assert_eq!(out, [a.into(), b.into()], "one of two writers has said nothing");
        assert_eq!(feed(&mut tracker, vec![mark(1, 2, HOUR - 1)]).await, []);
        assert_eq!(feed(&mut tracker, vec![mark(1, 2, HOUR)]).await, [finished(0, 1)]);
        assert_eq!(tracker.snapshot(CHECKPOINT).unwrap().len(), 1);
        // A late part ends it again, with itself alone.
        let late = file(0, 2);
        assert_eq!(feed(&mut tracker, vec![late.clone().into()]).await, [late.into(), finished(0, 1)]);
    });
}

#[test]
fn what_writers_of_another_number_said_does_not_count() {
    simulated(|_, env| async move {
        let mut tracker = tracker(&env, Duration::ZERO);
        feed(&mut tracker, vec![mark(0, 1, 9 * HOUR)]).await;
        let a = file(0, 0);
        assert_eq!(feed(&mut tracker, vec![a.clone().into(), mark(0, 2, 9 * HOUR)]).await, [a.into()]);
        assert_eq!(feed(&mut tracker, vec![mark(1, 2, 9 * HOUR)]).await, [finished(0, 1)]);
    });
}

#[test]
fn a_delay_is_waited_for_but_not_at_the_end_of_the_input() {
    simulated(|_, env| async move {
        let mut tracker = tracker(&env, Duration::from_secs(3_600));
        let (a, b) = (file(0, 0), file(1, 1));
        feed(&mut tracker, vec![a.into(), b.into()]).await;
        assert_eq!(feed(&mut tracker, vec![mark(0, 1, 2 * HOUR - 1)]).await, []);
        assert_eq!(feed(&mut tracker, vec![mark(0, 1, 2 * HOUR)]).await, [finished(0, 1)]);
        let mut out = Output::new();
        tracker.end_of_input(&mut out).await.unwrap();
        assert_eq!(out.take(), [finished(1, 1)]);
        assert!(tracker.snapshot(CHECKPOINT).unwrap().is_empty());
    });
}

fn finisher(env: &Environment, attempt: u64) -> Finisher {
    Finisher::open(&context(env, attempt, 0, 1), &config(), OnFinished::default(), Vec::new())
}

fn show(fs: &SimFs, file: &StagedFile) -> FileCommittable {
    fs.put(Path::new(DIR).join(&file.name), b"x\n").unwrap();
    file.clone().into()
}

fn listed(fs: &SimFs) -> Option<Vec<String>> {
    let bucket = Path::new(DIR).join("1970-01-01/00");
    let content = fs.content(bucket.join(MANIFEST)).ok()?;
    assert!(fs.content(bucket.join(SUCCESS)).is_ok());
    let manifest = Manifest::read(&content, "manifest").unwrap();
    Some(manifest.files.into_iter().map(|file| file.name).collect())
}

fn short(file: &StagedFile) -> String {
    naming::split(&file.name).1.to_owned()
}

#[test]
fn a_bucket_is_marked_when_all_its_parts_are_visible_and_late_ones_extend_the_manifest() {
    simulated(|fs, env| async move {
        let mut finisher = finisher(&env, 1);
        let (a, b, late) = (file(0, 0), StagedFile { parts: 2, ..file(0, 1) }, file(0, 2));
        let items = vec![show(&fs, &a), finished(0, 3)];
        feed(&mut finisher, items).await;
        assert_eq!(listed(&fs), None, "a merge of two parts is still to come");
        let states = finisher.snapshot(CHECKPOINT).unwrap();
        let mut finisher = Finisher::open(&context(&env, 2, 0, 1), &config(), OnFinished::default(), states);
        let items = vec![show(&fs, &b)];
        feed(&mut finisher, items).await;
        assert_eq!(listed(&fs), Some(vec![short(&a), short(&b)]));
        assert!(finisher.snapshot(CHECKPOINT).unwrap().is_empty(), "a finished bucket is forgotten");
        let items = vec![finished(0, 1), show(&fs, &late)];
        feed(&mut finisher, items).await;
        assert_eq!(listed(&fs), Some(vec![short(&a), short(&b), short(&late)]));
        // The same once more, as after a restore.
        let items = vec![finished(0, 1), show(&fs, &late)];
        feed(&mut finisher, items).await;
        assert_eq!(listed(&fs).unwrap().len(), 3);
    });
}

#[test]
fn a_bucket_that_lost_a_part_is_never_marked_and_does_not_keep_the_job_from_ending() {
    simulated(|fs, env| async move {
        let mut finisher = finisher(&env, 1);
        let items = vec![show(&fs, &file(0, 0)), finished(0, 2)];
        feed(&mut finisher, items).await;
        assert_eq!(finisher.snapshot(CHECKPOINT).unwrap().len(), 1);
        finisher.end_of_input(&mut Output::new()).await.unwrap();
        feed(&mut finisher, vec![]).await;
        assert_eq!((listed(&fs), finisher.snapshot(CHECKPOINT).unwrap().len()), (None, 0));
    });
}

#[test]
fn a_manifest_that_is_none_is_named_and_left_alone() {
    simulated(|fs, env| async move {
        let mut finisher = finisher(&env, 1);
        let path = Path::new(DIR).join("1970-01-01/00").join(MANIFEST);
        fs.put(&path, b"mine").unwrap();
        let mut out = Output::new();
        for item in [show(&fs, &file(0, 0)), finished(0, 1)] {
            finisher.process(item, CheckpointId(1), &mut out).await.unwrap();
        }
        let error = finisher.prepare(Prepare::Running, &mut out).await.unwrap_err();
        assert!(error.to_string().contains("1970-01-01/00/_manifest.json"), "{error}");
        assert_eq!(fs.content(&path).unwrap(), b"mine");
    });
}

fn object_config(store: &TestStore) -> Arc<SinkConfig> {
    let error = |name: &str, reason| Error::config(name, reason);
    let (objects, below) = Place::within(Arc::new(store.clone()), Path::new("out"), &error).unwrap();
    let options = SinkOptions { path: "out".into(), ..options() };
    Arc::new(options.checked_at::<MessageBatch>(Place::Objects(objects, below), &error).unwrap())
}

async fn put(store: &TestStore, file: &StagedFile) -> FileCommittable {
    store.memory.put(&Key::from(format!("out/{}", file.name)), "x\n".into()).await.unwrap();
    file.clone().into()
}

async fn listed_objects(store: &TestStore) -> Option<Vec<String>> {
    let content = store.content("out/1970-01-01/00/_manifest.json").await;
    if content.is_empty() {
        return None;
    }
    let manifest = Manifest::read(&content, "manifest").unwrap();
    Some(manifest.files.into_iter().map(|file| file.name).collect())
}

#[test]
fn in_an_object_store_marks_are_put_over_nothing_but_what_was_read() {
    for conditional in [true, false] {
        simulated(|_, env| async move {
            let store = TestStore::default();
            if !conditional {
                store.without_conditional_puts();
            }
            let open = |attempt, states| {
                let config = object_config(&store);
                Finisher::open(&context(&env, attempt, 0, 1), &config, OnFinished::default(), states)
            };
            let (a, b) = (file(0, 0), file(0, 1));
            let (a_is_there, b_is_there) = (put(&store, &a).await, put(&store, &b).await);
            feed(&mut open(1, vec![]), vec![a_is_there.clone(), finished(0, 1)]).await;
            assert_eq!(listed_objects(&store).await, Some(vec![short(&a)]));
            assert!(store.names("out").await.contains(&format!("1970-01-01/00/{SUCCESS}")));
            // The answer to the second put is lost, and the attempt after it does the same again.
            let mut finisher = open(2, vec![]);
            let mut out = Output::new();
            for item in [b_is_there.clone(), finished(0, 1)] {
                finisher.process(item, CheckpointId(1), &mut out).await.unwrap();
            }
            if conditional {
                store.fail(Op::Put, Fault::After);
                let error = finisher.prepare(Prepare::Running, &mut out).await.unwrap_err();
                assert!(error.is_retryable(), "{error}");
            }
            store.take_log();
            feed(&mut open(3, vec![]), vec![b_is_there, finished(0, 1)]).await;
            assert_eq!(listed_objects(&store).await, Some(vec![short(&a), short(&b)]));
            let puts = store.take_log().into_iter().filter(|(op, _)| *op == Op::Put).count();
            assert_eq!(puts, usize::from(!conditional), "what is as it must be is left alone");
        });
    }
}

/// Another manifest comes between the read and the put.
#[test]
fn a_manifest_that_an_attempt_given_up_writes_meanwhile_is_extended_and_not_replaced() {
    simulated(|_, env| async move {
        let store = TestStore::default();
        let config = object_config(&store);
        let (a, b) = (file(0, 0), file(0, 1));
        put(&store, &a).await;
        let b_is_there = put(&store, &b).await;
        let mut theirs = Manifest::new("1970-01-01/00");
        theirs.extend([ManifestFile { name: short(&a), bytes: 2, records: 1 }]);
        let (theirs, memory) = (theirs.to_json().unwrap(), store.memory.clone());
        let key = Key::from("out/1970-01-01/00/_manifest.json");
        let other = move || drop(wait(memory.put(&key, theirs.into())).unwrap().unwrap());
        store.before(Op::Put, Box::new(other));
        let mut finisher = Finisher::open(&context(&env, 2, 0, 1), &config, OnFinished::default(), vec![]);
        feed(&mut finisher, vec![b_is_there, finished(0, 1)]).await;
        assert_eq!(listed_objects(&store).await, Some(vec![short(&a), short(&b)]));
    });
}

#[test]
fn leaving_on_finished_out_names_its_stages_with_a_hint() {
    let plan = |options| FileSink::<MessageBatch>::new(&options, Path::new("/")).unwrap().plan().unwrap();
    let with = plan(options());
    assert_eq!((&*with.pre_commit[0].uid, &*with.post_commit[0].uid), (TRACKER_UID, FINISHER_UID));
    let without = plan(SinkOptions { on_finished: None, ..options() });
    for uid in [TRACKER_UID, FINISHER_UID] {
        assert!(!with.absent.contains_key(uid) && without.absent[uid].contains("on_finished"));
    }
}
