//! Nothing is told or shown before it is durable.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::time::Duration;

use segment_store::client::StoreClient;
use segment_store::{Error, WriterId};
use support::append;
use support::events::{event, fill, made, name, write};
use testkit::fs::{Fault, OpKind, Rule, SimFs};
use testkit::sim;

const FAULTS: [Fault; 3] = [Fault::Eio, Fault::Torn, Fault::SyncLoss { forget: false }];

fn failing_sync(fs: &SimFs, fault: Fault, nth: u64) {
    fs.inject(Rule::on(OpKind::Sync, fault).path_containing(".log").nth(nth));
}

#[test]
fn what_was_read_once_is_read_ever_after() {
    for (fault, nth) in FAULTS.into_iter().flat_map(|fault| (1..25).map(move |nth| (fault, nth))) {
        sim::run(async {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 2).await;
            failing_sync(&fs, fault, nth);
            let reader = store.clone();
            let reading = tokio::spawn(async move {
                let mut seen: Vec<u8> = Vec::new();
                loop {
                    match reader.read(&name(), seen.len() as u64, 10_000, Duration::from_secs(5)).await {
                        Ok(read) if read.bytes.is_empty() => return seen,
                        Ok(read) => seen.extend_from_slice(&read.bytes),
                        Err(Error::Unavailable { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let mut number = 2;
            let mut acks = Vec::new();
            while number < 30 {
                let what = append(1, number, Some(number - 1), &event(number));
                match store.append(&name(), what).await {
                    Ok(ack) => acks.push(ack),
                    Err(_) => break,
                }
                number += 1;
                // Now and then a frame is on its way while the next one is filled.
                if number % 3 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for ack in acks {
                let _ = ack.durable().await;
            }
            fs.clear_faults();
            // Other bytes come where the lost ones were.
            let last = store.last_event(&name(), WriterId(1)).await.unwrap();
            let what = append(1, 1000, last, b"after the failure");
            store.append(&name(), what).await.unwrap().durable().await.unwrap();
            let seen = reading.await.unwrap();
            let there = support::read_all(&store, &name(), 0).await.unwrap();
            assert!(there == seen, "{fault:?} {nth}: read {} bytes of {}", seen.len(), there.len());
        });
    }
}

#[test]
fn a_repetition_of_what_is_under_way_is_acknowledged_with_it() {
    for fault in FAULTS {
        sim::run(async {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 2).await;
            failing_sync(&fs, fault, 1);
            // Small enough for the frame that the first one is in.
            let what = append(1, 2, Some(1), b"small");
            let first = store.append(&name(), what.clone()).await.unwrap();
            let again = store.append(&name(), what).await.unwrap();
            assert!(again.is_repeated());
            assert!(matches!(first.durable().await, Err(Error::Unavailable { .. })));
            assert!(matches!(again.durable().await, Err(Error::Unavailable { .. })));
        });
    }
}

#[test]
fn no_answer_rests_on_what_is_not_durable() {
    for fault in FAULTS {
        sim::run(async {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 2).await;
            failing_sync(&fs, fault, 1);
            let ack = store.append(&name(), append(1, 2, Some(1), &event(2))).await.unwrap();
            let asked = store.last_event(&name(), WriterId(1)).await;
            assert!(matches!(asked, Err(Error::Unavailable { .. })), "{asked:?}");
            assert!(ack.durable().await.is_err());
            assert_eq!(store.last_event(&name(), WriterId(1)).await.unwrap(), Some(1));
            write(&store, 2).await.unwrap();
        });
    }
}
