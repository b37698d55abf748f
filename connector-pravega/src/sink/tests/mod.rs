//! The sink on simulated stores: leases, outcomes, and scaling while it writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::batch::FromRows;
use connector_api::env::Environment;
use connector_api::factory::Span;
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::message::Message;
use connector_api::sink::{
    CommitRequest, Committer, CommittingWriter, Flush, Outcome, Proof, SinkWriter, WriterContext,
};
use connector_api::{Batch, MessageBatch};
use segment_store::client::StoreClient;
use segment_store::model::TransactionState;
use segment_store::{KeyRange, TransactionId};
use testkit::fs::{Fault, OpKind, Rule, SimFs};
use testkit::sim;

use super::committer::PravegaCommitter;
use super::keeper::Keepers;
use super::writer::PravegaWriter;
use super::*;
use crate::stream::{DIR, STREAM, events, name, opened, small};

const LEASE: Duration = Duration::from_secs(30);

fn config(guarantee: DeliveryGuarantee) -> Arc<SinkConfig> {
    let options =
        SinkOptions { delivery_guarantee: guarantee, lease: Span(LEASE), ..SinkOptions::stream(DIR, STREAM) };
    PravegaSink::new(&options, Path::new("/")).unwrap().kept_as(small()).config
}

fn context(env: &Environment, number: u64) -> WriterContext {
    WriterContext::first(env.clone(), AttemptId { run: RunId(1), number })
}

fn rows(rows: impl IntoIterator<Item = (String, String)>) -> Batch<MessageBatch> {
    let message = |(key, value): (String, String)| Message {
        key: Some(Bytes::from(key)),
        value: Some(Bytes::from(value)),
    };
    Batch::new(MessageBatch::from_rows(rows.into_iter().map(message).collect()).unwrap())
}

fn one() -> Batch<MessageBatch> {
    rows([("k".to_owned(), "v".to_owned())])
}

/// A prepared transaction, with the keeper that its writer leaves behind.
async fn prepared(env: &Environment, keepers: &Arc<Keepers>) -> (PravegaWriter, PravegaCommittable) {
    let config = config(DeliveryGuarantee::ExactlyOnce);
    let mut writer = PravegaWriter::open(context(env, 1), config, keepers.clone()).await.unwrap();
    writer.write(one()).await.unwrap();
    writer.flush(Flush::Checkpoint).await.unwrap();
    let due = writer.prepare_commit().await.unwrap().remove(0);
    (writer, due)
}

fn request(committable: &PravegaCommittable) -> CommitRequest<PravegaCommittable> {
    CommitRequest { committable: committable.clone(), checkpoint: CheckpointId(1), retries: 0 }
}

async fn state(client: &dyn StoreClient, due: &PravegaCommittable) -> TransactionState {
    client.transaction(&due.stream, due.transaction).await.unwrap()
}

#[test]
fn a_lease_is_kept_while_a_commit_is_pending_and_runs_out_when_nobody_does() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 2).await.unwrap();
        let keepers = Arc::<Keepers>::default();
        let (writer, due) = prepared(&env, &keepers).await;
        tokio::time::sleep(LEASE * 20).await;
        assert_eq!(state(&*client, &due).await, TransactionState::Open, "its writer lives");
        // The attempt is over, and nobody takes its place in time.
        drop(writer);
        tokio::time::sleep(LEASE * 2).await;
        assert_eq!(state(&*client, &due).await, TransactionState::Aborted);
        let config = config(DeliveryGuarantee::ExactlyOnce);
        let mut committer = PravegaCommitter::new(context(&env, 2), config, keepers);
        let outcome = committer.commit(&request(&due)).await;
        let Outcome::Lost { reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains(&due.transaction.to_string()) && reason.contains("lease"), "{reason}");
    });
}

#[test]
fn a_restored_committable_that_can_t_be_committed_yet_is_kept_alive() {
    sim::run(async {
        let fs = SimFs::new();
        let env = sim::environment(&fs, 1);
        let client = opened(&env, 2).await.unwrap();
        let (writer, due) = prepared(&env, &Arc::default()).await;
        drop(writer);
        let config = config(DeliveryGuarantee::ExactlyOnce);
        let mut committer = PravegaCommitter::new(context(&env, 2), config, Arc::default());
        fs.inject(testkit::fs::Rule::on_any(testkit::fs::Fault::Eio));
        let outcome = committer.commit(&request(&due)).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        fs.clear_faults();
        tokio::time::sleep(LEASE * 20).await;
        assert_eq!(state(&*client, &due).await, TransactionState::Open);
        assert!(matches!(committer.commit(&request(&due)).await, Outcome::Committed));
        let again = committer.commit(&request(&due)).await;
        assert!(
            matches!(again, Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted }),
            "{again:?}"
        );
        assert_eq!(events(&*client).await.unwrap(), ["v"]);
    });
}

#[test]
fn a_transaction_that_the_store_does_not_know_is_fatal() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let _client = opened(&env, 2).await.unwrap();
        let config = config(DeliveryGuarantee::ExactlyOnce);
        let mut committer = PravegaCommitter::new(context(&env, 2), config, Arc::default());
        let unknown = PravegaCommittable { stream: name(), transaction: TransactionId::new(7, 7, 7) };
        let outcome = committer.commit(&request(&unknown)).await;
        assert!(matches!(outcome, Outcome::Fatal(_)), "{outcome:?}");
    });
}

#[test]
fn keys_stay_in_order_when_the_stream_is_scaled_while_it_is_written() {
    for guarantee in [DeliveryGuarantee::AtLeastOnce, DeliveryGuarantee::ExactlyOnce] {
        sim::run(async {
            let env = sim::environment(&SimFs::new(), 1);
            let client = opened(&env, 1).await.unwrap();
            let config = config(guarantee);
            let (writing, keepers) = (config.clone(), Arc::<Keepers>::default());
            let mut writer = PravegaWriter::open(context(&env, 1), writing, keepers.clone()).await.unwrap();
            let mut committer = PravegaCommitter::new(context(&env, 1), config, keepers);
            for (round, segments) in (0..12).zip([1_u32, 4, 2, 3].into_iter().cycle()) {
                let all =
                    (0..200).map(|n| (format!("k{}", n % 10), format!("k{}-{round:03}-{n:03}", n % 10)));
                writer.write(rows(all)).await.unwrap();
                let current = client.stream(&name()).await.unwrap().current;
                let seal: Vec<_> = current.iter().map(|(id, _)| *id).collect();
                client.scale(&name(), &seal, &KeyRange::even(segments)).await.unwrap();
                let late = (0..10).map(|n| (format!("k{n}"), format!("k{n}-{round:03}-999")));
                writer.write(rows(late)).await.unwrap();
                writer.flush(Flush::Checkpoint).await.unwrap();
                for due in writer.prepare_commit().await.unwrap() {
                    assert!(matches!(committer.commit(&request(&due)).await, Outcome::Committed));
                }
            }
            let found = events(&*client).await.unwrap();
            assert_eq!(found.len(), 12 * 210);
            let mut last = BTreeMap::new();
            for row in &found {
                let (key, rest) = row.split_once('-').unwrap();
                let before = last.insert(key, rest);
                assert!(before.is_none_or(|before| before < rest), "{guarantee:?}: {row} behind {before:?}");
            }
        });
    }
}

/// A disk that fails, or is full for a while: what was taken is not written twice, and what was not is written, in order.
#[test]
fn a_store_that_can_t_write_is_tried_again() {
    for guarantee in [DeliveryGuarantee::AtLeastOnce, DeliveryGuarantee::ExactlyOnce] {
        for (fault, nth) in (1..12).flat_map(|nth| [(Fault::Eio, nth), (Fault::NoSpace, nth)]) {
            sim::run(async {
                let fs = SimFs::new();
                let env = sim::environment(&fs, 1);
                let client = opened(&env, 3).await.unwrap();
                let config = config(guarantee);
                let (writing, keepers) = (config.clone(), Arc::<Keepers>::default());
                let mut writer =
                    PravegaWriter::open(context(&env, 1), writing, keepers.clone()).await.unwrap();
                let mut committer = PravegaCommitter::new(context(&env, 1), config, keepers);
                let row = |n: usize| (format!("k{}", n % 10), format!("k{}-{n:04}", n % 10));
                writer.write(rows((0..100).map(row))).await.unwrap();
                // Not before a transaction has begun: what begins one is not tried again.
                let kind = if fault == Fault::Eio { OpKind::Sync } else { OpKind::Write };
                fs.inject(Rule::on(kind, fault).path_containing(".log").nth(nth));
                for batch in 1..10 {
                    writer.write(rows((batch * 100..batch * 100 + 100).map(row))).await.unwrap();
                }
                writer.flush(Flush::Checkpoint).await.unwrap();
                fs.clear_faults();
                for due in writer.prepare_commit().await.unwrap() {
                    assert!(matches!(committer.commit(&request(&due)).await, Outcome::Committed));
                }
                let mut found = events(&*client).await.unwrap();
                let mut last = BTreeMap::new();
                for row in &found {
                    let (key, rest) = row.split_once('-').unwrap();
                    let before = last.insert(key.to_owned(), rest.to_owned());
                    assert!(
                        before.is_none_or(|before| *before < *rest),
                        "{guarantee:?} {fault:?} {nth}: {row}"
                    );
                }
                found.sort_by(|a, b| a[3..].cmp(&b[3..]));
                assert_eq!(
                    found,
                    (0..1000).map(|n| row(n).1).collect::<Vec<_>>(),
                    "{guarantee:?} {fault:?} {nth}"
                );
            });
        }
    }
}
