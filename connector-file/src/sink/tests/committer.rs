//! Rules of the committer, one by one.

use std::path::Path;
use std::sync::Arc;

use connector_api::Error;
use connector_api::env::{Access, FileSystem};
use connector_api::id::CheckpointId;
use connector_api::sink::{BatchCommitter, CommitBatch, CommitRequest, Outcome};
use testkit::fs::{Fault, OpKind, Rule};

use super::{DIR, commit, context, going_back, named, names, part, simulated, staged};
use crate::sink::committable::{FileCommittable, Staged, StagedFile};
use crate::sink::committer::FileCommitter;
use crate::sink::config::SinkOptions;
use crate::sink::naming::{self, Uid};

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
        let file = StagedFile { length: 1, ..staged(&fs, "part-a", "a\n") };
        let outcomes = commit(&context(&env, 2, 0, 1), &[file]).await;
        assert!(matches!(&outcomes[..], [Outcome::Fatal(e)] if e.to_string().contains("changed after")));
        assert!(names(&fs, false).is_empty());
    });
}

#[test]
fn what_is_gone_is_lost_by_both_names_unless_the_job_went_back() {
    simulated(|fs, env| async move {
        fs.create_dir_all(Path::new(DIR)).unwrap();
        let file = StagedFile { inputs: vec![], ..named("part-a".into(), 2) };
        let context = context(&env, 2, 0, 1);
        let outcomes = commit(&context, std::slice::from_ref(&file)).await;
        let [Outcome::Lost { reason }] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert!(reason.contains("/out/.part-a.inprogress") && reason.contains("/out/part-a"), "{reason}");
        assert!(matches!(
            commit(&going_back(context), &[file]).await[..],
            [Outcome::AlreadyCommitted { .. }]
        ));
    });
}

#[test]
fn a_merge_whose_name_a_left_branch_took_appears_beside_it() {
    simulated(|fs, env| async move {
        let (first, uid) = (part(1, 0, 0), Uid { attempt: context(&env, 3, 0, 1).attempt, subtask: 0 });
        fs.put(Path::new(DIR).join(&first), b"a\nb\n").unwrap();
        let merged =
            StagedFile { staged: Staged::Hidden(naming::compacting(&first, uid)), ..named(first.clone(), 2) };
        fs.put(Path::new(DIR).join(merged.hidden().unwrap()), b"a\n").unwrap();
        let context = context(&env, 4, 0, 1);
        let outcomes = commit(&context, std::slice::from_ref(&merged)).await;
        assert!(matches!(&outcomes[..], [Outcome::Fatal(_)]), "nobody went back: {outcomes:?}");
        let context = going_back(context);
        let outcomes = commit(&context, std::slice::from_ref(&merged)).await;
        let [Outcome::Retry { updated: Some(FileCommittable::File(renamed)), .. }] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        assert!(matches!(commit(&context, std::slice::from_ref(renamed)).await[..], [Outcome::Committed]));
        let both = [first, renamed.name.clone()];
        assert!(both.iter().all(|name| names(&fs, false).contains(name)), "{both:?}");
        // It died before the new name was in a checkpoint.
        assert!(matches!(commit(&context, &[merged]).await[..], [Outcome::AlreadyCommitted { .. }]));
    });
}

#[test]
fn a_part_whose_name_a_merge_of_a_left_branch_bears_is_visible_with_it() {
    simulated(|fs, env| async move {
        let file = staged(&fs, &part(1, 0, 0), "a\n");
        fs.put(Path::new(DIR).join(&file.name), b"a\nb\n").unwrap();
        let context = going_back(context(&env, 4, 0, 1));
        assert!(matches!(commit(&context, &[file]).await[..], [Outcome::AlreadyCommitted { .. }]));
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
            let input = staged(&fs, "part-b", "b\n").hidden().unwrap().to_owned();
            let file = StagedFile { inputs: vec![input], ..staged(&fs, "part-a", "a\n") };
            fs.inject(Rule::on(kind, fault).nth(1));
            let outcomes = commit(&context, std::slice::from_ref(&file)).await;
            match &outcomes[..] {
                [Outcome::Retry { updated: None, .. }] if retried => {}
                [Outcome::Fatal(_)] if !retried => {}
                other => panic!("{kind:?} {fault:?}: {other:?}"),
            }
            let again = commit(&context, &[file]).await;
            assert!(
                matches!(again[..], [Outcome::Committed | Outcome::AlreadyCommitted { .. }]),
                "{again:?}"
            );
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
        let file = StagedFile { name: "../part-a".into(), ..staged(&fs, "part-a", "a\n") };
        assert!(matches!(commit(&context(&env, 2, 0, 1), &[file]).await[..], [Outcome::Fatal(_)]));
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
    let config = options
        .checked::<connector_api::MessageBatch>(Path::new("/"), &|name, reason| Error::config(name, reason))
        .unwrap();
    let context = context(&local, 2, 0, 1);
    let mut committer = FileCommitter::new(&context, Arc::new(config));
    let committable = StagedFile { inputs: vec![], ..named("part-a".into(), 2) };
    let request = CommitRequest { committable: committable.into(), checkpoint: CheckpointId(1), retries: 0 };
    let settled = runtime.block_on(committer.commit_batch(CommitBatch::new(vec![request])));
    assert!(matches!(settled.into_outcomes()[..], [Outcome::AlreadyCommitted { .. }]));
    assert!(!staged.exists() && name.exists());
}
