//! The rules of the source, on real files.

use std::fs;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use connector_api::factory::ByteSize;
use connector_api::id::{CheckpointId, ReaderId};
use connector_api::source::{
    EnumeratorCommand, ReaderCommand, ReaderEvent, SourceReader, Split, SplitEnumerator,
};
use connector_api::{Error, Stored};
use tempfile::TempDir;

use super::super::split::FileSplit;
use super::host::*;
use crate::source::*;

/// A tree of files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        put(&dir, name, content);
    }
    dir
}

#[allow(clippy::disallowed_methods)]
fn put(dir: &TempDir, name: &str, content: &str) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn source(dir: &TempDir, change: impl FnOnce(&mut SourceOptions)) -> FileSource {
    let mut options = SourceOptions::lines("in");
    change(&mut options);
    FileSource::new(&options, dir.path()).unwrap()
}

async fn read(source: &FileSource) -> Result<Vec<String>> {
    let mut records = Host::new(source, 2, None).rest().await?;
    records.sort();
    Ok(records)
}

async fn read_in(dir: &TempDir, change: impl FnOnce(&mut SourceOptions)) -> Vec<String> {
    read(&source(dir, change)).await.unwrap()
}

#[tokio::test]
async fn every_line_of_a_tree_is_read_once_whatever_the_split_size() {
    let text: String = (0..100).map(|i| format!("{i:03}{}\n", "x".repeat(i % 40))).collect();
    let dir = tree(&[("in/a", &text), ("in/d/b", "b1\r\n\r\nb2"), ("in/empty", "")]);
    let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
    expected.extend(["b1", "", "b2"].map(str::to_owned));
    expected.sort();
    for split_size in [1, 7, 100, 5000, 1 << 20] {
        let found = read_in(&dir, |o| o.split_size = ByteSize(split_size)).await;
        assert_eq!(found, expected, "split size {split_size}");
    }
}

#[tokio::test]
async fn include_exclude_recursive_and_hidden_names_select_files() {
    let dir = tree(&[
        ("in/a.txt", "a"),
        ("in/b.csv", "b"),
        ("in/.hidden", "h"),
        ("in/_tmp/x.txt", "t"),
        ("in/d/c.txt", "c"),
        ("in/d/e/f.txt", "f"),
    ]);
    assert_eq!(read_in(&dir, |_| {}).await, ["a", "b", "c", "f"]);
    assert_eq!(read_in(&dir, |o| o.recursive = false).await, ["a", "b"]);
    assert_eq!(read_in(&dir, |o| o.include = vec!["*.txt".into()]).await, ["a", "c", "f"]);
    assert_eq!(read_in(&dir, |o| o.include = vec!["d/*".into()]).await, ["c"]);
    assert_eq!(read_in(&dir, |o| o.exclude = vec!["e".into()]).await, ["a", "b", "c"]);
    let both = |o: &mut SourceOptions| o.include = vec!["*.txt".into(), "a*".into(), "*".into()];
    assert_eq!(read_in(&dir, both).await, ["a", "b", "c", "f"]);
    assert_eq!(read_in(&dir, |o| o.include = vec![".h*".into()]).await, ["h"]);
    assert_eq!(read_in(&dir, |o| o.include = vec!["_tmp/*".into()]).await, ["t"]);
}

#[tokio::test]
async fn a_path_is_a_file_a_directory_or_a_glob() {
    let dir = tree(&[("in/a.txt", "a"), ("in/d1/b.txt", "b"), ("in/d2/c.txt", "c"), ("x[1]/y", "y")]);
    assert_eq!(read_in(&dir, |o| o.path = "in/a.txt".into()).await, ["a"]);
    assert_eq!(read_in(&dir, |o| o.path = "in/*.txt".into()).await, ["a"]);
    assert_eq!(read_in(&dir, |o| o.path = "in/**/*.txt".into()).await, ["a", "b", "c"]);
    assert_eq!(read_in(&dir, |o| o.path = "in/d?".into()).await, ["b", "c"]);
    assert_eq!(read_in(&dir, |o| o.path = "*/d{1,2}/*".into()).await, ["b", "c"]);
    // It exists, so it is no glob.
    assert_eq!(read_in(&dir, |o| o.path = "x[1]".into()).await, ["y"]);
    assert_eq!(read_in(&dir, |o| o.path = "x[1]/y".into()).await, ["y"]);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_an_error_that_names_the_option_and_an_empty_directory_is_not() {
    let dir = tree(&[("in/a", "a")]);
    for path in ["nowhere", "nowhere/*.txt", "in/*.csv", "in/a/b"] {
        match read(&source(&dir, |o| o.path = path.into())).await {
            Err(Error::Config { option, reason }) => assert_eq!(option, "path", "{reason}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    fs::create_dir(dir.path().join("empty")).unwrap();
    assert!(read_in(&dir, |o| o.path = "empty".into()).await.is_empty());
    assert!(read_in(&dir, |o| o.exclude = vec!["*".into()]).await.is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_loop_of_links_is_read_once() {
    let dir = tree(&[("in/d/a", "a")]);
    std::os::unix::fs::symlink(dir.path().join("in"), dir.path().join("in/d/up")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("in/d"), dir.path().join("in/z")).unwrap();
    assert_eq!(read_in(&dir, |_| {}).await, ["a"]);
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_are_not_utf8_are_read() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tree(&[("in/a", "a")]);
    let name = std::ffi::OsStr::from_bytes(b"in/\xff");
    fs::copy(dir.path().join("in/a"), dir.path().join(name)).unwrap();
    assert_eq!(read_in(&dir, |_| {}).await, ["a", "a"]);
}

type Change = fn(&Path);

#[tokio::test]
async fn a_file_that_changes_under_the_reader_is_named() {
    let long: String = (0..200_000).map(|i| format!("line {i}\n")).collect();
    let cases: [(&str, Change); 5] = [
        ("shrank", |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(600_000).unwrap()),
        ("grew", |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(9_000_000).unwrap()),
        ("modified", |path| {
            let later = fs::metadata(path).unwrap().modified().unwrap() + Duration::from_millis(1);
            fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(later).unwrap();
        }),
        ("No such file", |path| fs::remove_file(path).unwrap()),
        ("another file", |path| {
            fs::copy(path, path.with_file_name("copy")).unwrap();
            let same = fs::metadata(path).unwrap().modified().unwrap();
            let copy = fs::OpenOptions::new().write(true).open(path.with_file_name("copy")).unwrap();
            copy.set_modified(same).unwrap();
            #[allow(clippy::disallowed_methods)]
            fs::rename(path.with_file_name("copy"), path).unwrap();
        }),
    ];
    for (part, change) in cases {
        let dir = tree(&[("in/a.log", &long)]);
        let mut host = Host::new(&source(&dir, |_| {}), 1, None);
        assert!(host.next().await.unwrap().is_some());
        change(&dir.path().join("in/a.log"));
        let error = host.rest().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("in/a.log") && text.contains(part), "{part}: {text}");
        assert!(!error.is_retryable(), "{text}");
    }
}

#[tokio::test]
async fn a_file_without_terminators_is_an_error_with_its_offset() {
    let dir = tree(&[("in/a", &format!("ok\n{}", "x".repeat(1000)))]);
    let source = source(&dir, |o| o.max_record = ByteSize(100));
    let mut host = Host::new(&source, 1, None);
    assert_eq!(texts(&host.next().await.unwrap().unwrap().1), ["ok"]);
    let text = host.rest().await.unwrap_err().to_string();
    assert!(text.contains("in/a at offset 3:") && text.contains("max_record"), "{text}");
    assert!(text.starts_with("split a:0: "), "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_nothing_is_named() {
    let dir = tree(&[("in/a", "a")]);
    std::os::unix::fs::symlink("gone", dir.path().join("in/b")).unwrap();
    let text = read(&source(&dir, |_| {})).await.unwrap_err().to_string();
    assert!(text.contains("in/b"), "{text}");
}

#[tokio::test]
async fn a_restore_reads_what_the_snapshot_had_not_emitted_even_after_a_move_and_never_lists_again() {
    let text: String = (0..300).map(|i| format!("{i:04}\n")).collect();
    for batches in 0..=10 {
        let dir = tree(&[("old/in/a", &text), ("old/in/b", &text.replace('0', "b"))]);
        let at = |parent: &str| {
            let mut options = SourceOptions::lines("in");
            options.split_size = ByteSize(300);
            FileSource::new(&options, &dir.path().join(parent)).unwrap()
        };
        let source = at("old");
        let mut host = Host::new(&source, 2, None);
        let mut records = Vec::new();
        let mut last = None;
        for _ in 0..batches {
            let (reader, batch) = host.next().await.unwrap().unwrap();
            records.push(texts(&batch));
            last = Some(reader);
        }
        while !host.enumerator.snapshot(CheckpointId(1)).unwrap().listed {
            tokio::task::yield_now().await;
            poll_fn(|cx| Poll::Ready(host.enumerator.poll(cx, &mut host.context))).await.unwrap();
        }
        host.deliver().unwrap();
        // The last batch is emitted in part.
        let held_back = batches % 7;
        if let Some(batch) = records.last_mut() {
            batch.truncate(batch.len() - held_back);
        }
        let state = host.enumerator.snapshot(CheckpointId(1)).unwrap();
        let mut splits = Vec::new();
        for (id, reader) in &mut host.readers {
            let unemitted = if last == Some(*id) { held_back } else { 0 };
            splits.extend(reader.snapshot(CheckpointId(1), unemitted).unwrap());
        }
        drop(host);

        #[allow(clippy::disallowed_methods)]
        fs::rename(dir.path().join("old"), dir.path().join("new")).unwrap();
        put(&dir, "new/in/late", "late\n");
        let state = FileEnumeratorState::from_bytes(&state.to_bytes().unwrap()).unwrap();
        let source = at("new");
        let mut host = Host::new(&source, 3, Some(state));
        for (i, split) in splits.into_iter().enumerate() {
            let reader = host.readers.get_mut(&ReaderId(i as u32 % 3)).unwrap();
            reader.handle(ReaderCommand::AddSplits(vec![split])).unwrap();
        }
        records.push(host.rest().await.unwrap());
        let mut records = records.concat();
        records.sort();
        let mut expected: Vec<_> = text.lines().map(str::to_owned).collect();
        expected.extend(text.replace('0', "b").lines().map(str::to_owned));
        expected.sort();
        assert_eq!(records, expected, "after {batches} batches");
    }
}

#[tokio::test]
async fn returned_splits_go_to_readers_that_wait_or_come_back() {
    let dir = tree(&[("in/a", "a\n"), ("in/b", "b\n")]);
    let source = source(&dir, |_| {});
    let mut host = Host::new(&source, 2, None);
    let (failed, first) = host.next().await.unwrap().unwrap();
    // It dies before any checkpoint: everything it had been given comes back.
    host.context.reader_removed(failed);
    host.readers.remove(&failed);
    host.asked.retain(|c| !matches!(c, EnumeratorCommand::SplitRequest(r) if *r == failed));
    host.ended.remove(&failed);
    host.tell(EnumeratorCommand::RemoveReader(failed)).unwrap();
    let name = &texts(&first)[0];
    let found = fs::metadata(dir.path().join("in").join(name)).unwrap();
    let all =
        listing::list(&source.config.selection, &*environment().fs, false, &Default::default()).unwrap();
    assert_eq!(found.len(), 2);
    let split = all.iter().find(|f| f.path.to_string() == *name).unwrap();
    let back = split::cut(&split.path, split.file, 100, 0);
    host.tell(EnumeratorCommand::AddSplitsBack(back)).unwrap();
    host.add(&source, failed);
    let mut records = host.rest().await.unwrap();
    records.sort();
    assert_eq!(records, ["a", "b"]);
    // The one that came back was told anew.
    assert!(host.told.iter().filter(|r| **r == failed).count() >= 1);
}

#[tokio::test]
async fn every_reader_is_told_the_end_also_one_that_never_had_a_split() {
    let dir = tree(&[("in/a", "a\n")]);
    let source = source(&dir, |_| {});
    let mut host = Host::new(&source, 4, None);
    assert_eq!(host.rest().await.unwrap(), ["a"]);
    assert_eq!(host.told.len(), 4);
    assert_eq!(host.finished, ["a:0"]);
    assert_eq!(host.context.total_bytes(), Some(2));
    assert_eq!(host.context.unassigned(), Some(0));
    host.add(&source, ReaderId(9));
    assert!(host.rest().await.unwrap().is_empty());
    assert_eq!(host.told.last(), Some(&ReaderId(9)));
}

#[tokio::test]
async fn a_finished_split_is_restored_without_its_file() {
    let dir = tree(&[("in/a", "a\n")]);
    let source = source(&dir, |_| {});
    let mut host = Host::new(&source, 1, None);
    host.rest().await.unwrap();
    let splits = host.readers.get_mut(&ReaderId(0)).unwrap().snapshot(CheckpointId(1), 0).unwrap();
    assert_eq!(
        splits.iter().map(|s| (s.id().to_string(), s.position)).collect::<Vec<_>>(),
        [("a:0".into(), Some(FileSplit::READ))]
    );
    fs::remove_file(dir.path().join("in/a")).unwrap();
    let mut reader = reader_of(&source, ReaderId(0), environment());
    reader.handle(ReaderCommand::AddSplits(splits)).unwrap();
    let event = poll_fn(|cx| reader.poll_next(cx)).await.unwrap();
    assert!(matches!(event, ReaderEvent::SplitFinished(id) if id.as_str() == "a:0"));
    poll_fn(|cx| reader.poll_close(cx)).await.unwrap();
}
