//! One writer's events in one segment: what most of the failure matrix is shown on.

use segment_store::client::StoreClient;
use segment_store::{Error, SegmentName, Store, WriterId};
use testkit::fs::SimFs;

use super::{append, open, payload, read_all, segment, stream};

pub fn name() -> SegmentName {
    segment("a/b", 0)
}

pub async fn made(fs: &SimFs) -> Store {
    let store = open(fs).await.unwrap();
    store.create_scope("a").await.unwrap();
    store.create_stream(&stream("a/b"), 1).await.unwrap();
    store
}

pub fn event(number: i64) -> Vec<u8> {
    payload(number as u64, 300 + (number as usize * 997) % 3000)
}

pub async fn write(store: &Store, number: i64) -> Result<u64, Error> {
    let previous = (number > 0).then(|| number - 1);
    store.append(&name(), append(1, number, previous, &event(number))).await?.durable().await
}

pub async fn fill(store: &Store, from: i64, to: i64) {
    for number in from..to {
        write(store, number).await.unwrap();
    }
}

/// The events up to but without `to` are there, and nothing else.
pub async fn check(store: &Store, to: i64) {
    let bytes = read_all(store, &name(), 0).await.unwrap();
    let expected: Vec<u8> = (0..to).flat_map(event).collect();
    assert!(bytes == expected, "{} bytes, not {}", bytes.len(), expected.len());
    assert_eq!(last(store).await, (to > 0).then_some(to - 1));
}

pub async fn last(store: &Store) -> Option<i64> {
    store.last_event(&name(), WriterId(1)).await.unwrap()
}

pub fn paths(fs: &SimFs, end: &str) -> Vec<String> {
    let all = fs.files().into_iter().map(|path| path.to_string_lossy().into_owned());
    all.filter(|path| path.ends_with(end)).collect()
}

/// The files of the log that were begun, without the one that is ready to be.
pub fn logs(fs: &SimFs) -> Vec<String> {
    let is_begun = |path: &String| {
        let (name, bytes) = (path.rsplit('/').next().unwrap(), fs.content(path).unwrap());
        let number = u64::from_str_radix(name.trim_end_matches(".log"), 16).unwrap();
        bytes.starts_with(b"CSDKSLOG") && bytes[26..34] == number.to_le_bytes()
    };
    paths(fs, ".log").into_iter().filter(is_begun).collect()
}

/// Changes a file of a store that nobody has open.
pub fn damage(fs: &SimFs, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs.content(path).unwrap();
    change(&mut bytes);
    fs.put(path, &bytes).unwrap();
}

/// Where some bytes are in a file.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Nobody opens it, for writing or for reading; says which file is named.
pub async fn refused(fs: &SimFs) -> String {
    let env = super::env(fs, 1);
    let errors = [Store::attach(env, "s").await.unwrap_err(), open(fs).await.unwrap_err()];
    let [one, two] = errors.map(|error| match error {
        Error::Corrupt { path, offset, .. } => format!("{} {offset}", path.display()),
        other => panic!("{other}"),
    });
    assert_eq!(one, two);
    one
}
