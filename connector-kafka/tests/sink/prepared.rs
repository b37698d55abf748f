//! What the whole sink rests on: a transaction outlives the process that wrote it, and another process can end it.

use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::broker::{self, ensure};

const CHILD: &str = "KAFKA_SINK_TEST_CHILD";
const ROWS: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("a_transaction_of_a_dead_process_is_committed_by_another", committed_by_another),
        broker::trial("a_producer_that_is_dropped_leaves_its_transaction_open", dropped),
    ]
}

/// Writes in a transaction, flushes, and dies by SIGABRT: nothing of the client library gets to run.
pub(crate) fn child() -> Option<ExitCode> {
    let job = std::env::var(CHILD).ok()?;
    let mut words = job.split(' ');
    let (Some(bootstrap), Some(topic), Some(id)) = (words.next(), words.next(), words.next()) else {
        return Some(ExitCode::FAILURE);
    };
    match prepare(bootstrap, topic, id) {
        Ok(_producer) => std::process::abort(),
        Err(error) => {
            eprintln!("{error:?}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn prepare(bootstrap: &str, topic: &str, id: &str) -> Result<BaseProducer, Failed> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("transactional.id", id).create()?;
    producer.init_transactions(Duration::from_secs(30))?;
    producer.begin_transaction()?;
    for row in 0..ROWS {
        let value = format!("row {row:03}");
        producer.send(BaseRecord::<(), str>::to(topic).payload(&value)).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(producer)
}

async fn committed_by_another() -> Result<(), Failed> {
    broker::create_topic("prepared", 2)?;
    let job = format!("{} prepared prepared-id", broker::bootstrap()?);
    let died = Command::new(std::env::current_exe()?).env(CHILD, job).status()?;
    ensure!(died.code().is_none(), "the child was to die by a signal: {died}");
    let transactions = broker::transactions()?;
    let found = transactions.describe("prepared-id").await?.ok_or("the id is not known")?;
    ensure!(found.state == "Ongoing", "{found:?}");
    ensure!(broker::values("prepared")?.is_empty(), "seen before the commit");
    let version = transactions.feature("transaction.version").await?;
    ensure!(version == Some(2), "this was tried with transaction.version 2, not {version:?}");
    let code = transactions.end(&found, true).await?;
    ensure!(code == 0, "EndTxn was answered {code}");
    let after = loop {
        let again = transactions.end(&found, true).await?;
        let after = transactions.describe("prepared-id").await?.ok_or("the id is not known")?;
        ensure!(matches!(again, 0 | 51), "EndTxn again was answered {again}");
        if after.state == "CompleteCommit" {
            break after;
        }
    };
    ensure!(after.epoch == found.epoch && after.producer_id == found.producer_id, "{found:?} {after:?}");
    ensure!(after.started_at == found.started_at, "the moment of its begin is its name: {found:?} {after:?}");
    let values = broker::values("prepared")?;
    ensure!(values.len() == ROWS && values[7] == "row 007", "{values:?}");
    Ok(())
}

async fn dropped() -> Result<(), Failed> {
    broker::create_topic("dropped", 1)?;
    drop(prepare(&broker::bootstrap()?, "dropped", "dropped-id")?);
    let transactions = broker::transactions()?;
    let found = transactions.describe("dropped-id").await?.ok_or("the id is not known")?;
    ensure!(found.state == "Ongoing", "{found:?}");
    transactions.abort("dropped-id").await?;
    let after = transactions.describe("dropped-id").await?.ok_or("the id is not known")?;
    ensure!(after.state == "Empty" && after.epoch > found.epoch, "{after:?}");
    Ok(())
}
