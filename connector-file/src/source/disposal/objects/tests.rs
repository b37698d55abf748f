//! Rules of moving and deleting objects, at every death.

use std::path::Path;
use std::sync::Arc;

use connector_api::env::CrashPoints;
use connector_api::{Error, Result};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use testkit::fs::SimFs;

use crate::place::{Objects, Place, wait};
use crate::source::disposal::AfterRead;
use crate::source::kept::Done;
use crate::source::place::SourcePlace;
use crate::source::select::Selection;
use crate::source::split::{FileState, RelativePath};
use crate::source::{FileSource, SourceOptions};
use crate::store::{Fault, Op, TestStore};

const NAMES: [&str; 2] = ["a", "d/b"];

struct World {
    store: TestStore,
    all: Objects,
    selection: Selection,
    after: AfterRead,
    files: Vec<Done>,
}

impl World {
    fn new(after: &str) -> Self {
        let store = TestStore::default();
        for name in NAMES {
            put(&store, &format!("in/{name}"), &format!("content of {name}"));
        }
        let error = |name: &str, reason| Error::config(name, reason);
        let (all, _) = Place::within(Arc::new(store.clone()), Path::new("in"), &error).unwrap();
        let options = SourceOptions::lines("in");
        let selection = Selection::new(&options, Path::new(""), &str::to_owned).unwrap();
        let after = AfterRead::try_from(after.to_owned()).unwrap();
        let place = SourcePlace::Objects(all.clone());
        let after = after.checked(&place, &selection, Path::new(""), "after_read").unwrap();
        let done = |name: &str| {
            let found = wait(all.look(&all.at(&format!("in/{name}")).unwrap())).unwrap().unwrap().unwrap();
            let path = RelativePath::new(Path::new(name)).unwrap();
            Done { generation: 0, path, file: FileState::from(found) }
        };
        let files = NAMES.map(done).into();
        Self { store, all, selection, after, files }
    }

    fn dispose(&self) -> Result<()> {
        self.dispose_with(self.store.clone())
    }

    fn dispose_with(&self, store: TestStore) -> Result<()> {
        let crash = CrashPoints::default();
        let error = |name: &str, reason| Error::config(name, reason);
        let (all, _) = Place::within(Arc::new(store), Path::new("in"), &error)?;
        let (after, all, selection) = (&self.after, &all, &self.selection);
        super::Disposing { after, all, selection, crash: &crash }.all(&self.files)
    }

    fn names(&self) -> Vec<String> {
        let found: Vec<_> =
            wait(object_store::ObjectStore::list(&self.store.memory, None).try_collect()).unwrap().unwrap();
        let mut names: Vec<String> =
            found.iter().map(|found: &object_store::ObjectMeta| found.location.to_string()).collect();
        names.sort();
        names
    }

    fn content(&self, name: &str) -> String {
        String::from_utf8(wait(self.store.content(name)).unwrap()).unwrap()
    }
}

fn put(store: &TestStore, name: &str, content: &str) {
    wait(store.memory.put(&Key::from(name), content.to_owned().into())).unwrap().unwrap();
}

/// Whatever operation the process dies at, before it or after it, and with a failure in the next life.
#[test]
fn objects_are_moved_or_deleted_once_whenever_the_process_dies() {
    for (after, left) in [("delete", vec![]), ("move:done", vec!["done/a", "done/d/b"])] {
        for conditional in [true, false] {
            let mut deaths = 0;
            for (nth, fault) in (1..40).flat_map(|nth| [(nth, Fault::Before), (nth, Fault::After)]) {
                let world = World::new(after);
                if !conditional {
                    world.store.without_conditional_copies();
                }
                let process = SimFs::new();
                let store = world.store.within(&process);
                store.die_at(nth, fault);
                let ended = world.dispose_with(store);
                assert_eq!(ended.is_err(), process.is_frozen());
                deaths += u32::from(process.is_frozen());
                // At no moment it is nowhere.
                if after != "delete" {
                    for name in NAMES {
                        let there = [format!("in/{name}"), format!("done/{name}")];
                        assert!(there.iter().any(|at| world.content(at) == format!("content of {name}")));
                    }
                }
                world.dispose().unwrap_or_else(|e| panic!("{after} {nth} {fault:?}: {e}"));
                world.dispose().unwrap();
                assert_eq!(world.names(), left, "{after} {nth} {fault:?}");
                for name in &left {
                    assert_eq!(world.content(name), format!("content of {}", &name["done/".len()..]));
                }
            }
            assert!(deaths >= if after == "delete" { 8 } else { 20 }, "{after}: {deaths}");
        }
    }
}

#[test]
fn an_object_of_another_content_at_the_target_is_neither_replaced_nor_is_its_source_removed() {
    for there in ["other", "Content of a"] {
        for conditional in [true, false] {
            let world = World::new("move:done");
            if !conditional {
                world.store.without_conditional_copies();
            }
            put(&world.store, "done/a", there);
            let error = world.dispose().unwrap_err();
            assert!(error.to_string().contains("in/a") && error.to_string().contains("done/a"), "{error}");
            assert!(!error.is_retryable());
            assert_eq!((&*world.content("in/a"), &*world.content("done/a")), ("content of a", there));
        }
    }
}

#[test]
fn an_object_that_was_written_anew_is_left_for_the_next_listing() {
    for after in ["delete", "move:done"] {
        let world = World::new(after);
        put(&world.store, "in/a", "content of A");
        world.dispose().unwrap();
        assert_eq!(world.content("in/a"), "content of A", "{after}");
        assert_eq!(world.content("in/d/b"), "");
    }
}

#[test]
fn an_object_that_is_written_anew_after_the_copy_is_left() {
    let world = World::new("move:done");
    let (store, files) = (world.store.clone(), &world.files[..1]);
    store.before(Op::Copy, {
        let store = store.clone();
        Box::new(move || {
            // The next question is what was copied, the one behind it whether it is still what was read.
            store.before(Op::Get, {
                let store = store.clone();
                Box::new(move || put(&store, "in/a", "content of A"))
            });
        })
    });
    let crash = CrashPoints::default();
    let (after, all, selection) = (&world.after, &world.all, &world.selection);
    super::Disposing { after, all, selection, crash: &crash }.all(files).unwrap();
    assert_eq!((&*world.content("in/a"), &*world.content("done/a")), ("content of A", "content of a"));
}

#[test]
fn where_objects_can_not_be_moved_is_told_before_anything_is_read() {
    let of = |path: &str, after: &str| {
        let after = AfterRead::try_from(after.to_owned()).unwrap();
        let options = SourceOptions { after_read: Some(after), ..SourceOptions::lines(path) };
        FileSource::<connector_api::MessageBatch>::new(&options, Path::new("/base"))
    };
    for good in ["move:done", "move:memory://moves/done", "move:/done/", "move:in/_done"] {
        assert!(of("memory://moves/in", good).is_ok(), "{good}");
    }
    for bad in
        ["move:in/done", "move:memory://other/done", "move:memory://moves/in", "move:a//b", "move:a/../b"]
    {
        match of("memory://moves/in", bad) {
            Err(Error::Config { option, .. }) => assert_eq!(option, "after_read", "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
    assert!(of("memory://moves", "move:done").is_err(), "the whole bucket is read");
}
