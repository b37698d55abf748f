//! Whole jobs after outages: longer than the time-out of transactions, and with another number of writers.

use std::time::Duration;

use connector_kafka::transactions::Transaction;
use connector_runtime::{JobEnd, OnLost};
use libtest_mimic::{Failed, Trial};

use super::broker::{self, ensure};
use super::kills::{Order, expected, finish, order, run, start};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("an_outage_longer_than_the_time_out_ends_the_job_or_is_skipped_and_counted", outage),
        broker::trial("rows_prepared_by_four_writers_are_committed_by_one_and_by_three", rescaled),
    ]
}

/// Lets a process die when it is about to commit for the n-th time; gives the transactions that it leaves open.
async fn dies_before_commit(order: &Order, nth: u64) -> Result<Vec<Transaction>, Failed> {
    let point = "kafka-committer/before-commit".to_owned();
    let ended = start(&Order { point, nth, ..order.clone() })?.wait()?;
    ensure!(ended.code().is_none(), "the process was to die: {ended}");
    open(&order.name).await
}

async fn open(name: &str) -> Result<Vec<Transaction>, Failed> {
    let mut found = broker::transactions()?.list(&format!("{name}-")).await?;
    found.retain(Transaction::is_open);
    Ok(found)
}

async fn outage() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let order = Order { timeout: 3, ..order("outage", dir.path())? };
    let left = dies_before_commit(&order, 1).await?;
    ensure!(!left.is_empty(), "no transaction was prepared");
    while !open(&order.name).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A restart changes nothing about it.
    for _ in 0..2 {
        let error = match run(&order, OnLost::Fail).await {
            Err(error) => error.to_string(),
            Ok(report) => return Err(format!("rows are gone, and the job ended by {:?}", report.end).into()),
        };
        let named = left.iter().any(|one| error.contains(&one.id));
        ensure!(named && error.contains("lost") && error.contains("on_lost"), "{error}");
    }
    let report = run(&order, OnLost::Skip).await?;
    ensure!(report.end == JobEnd::Finished && report.lost == 1, "{report:?}");
    let (values, all) = (super::java_values(&order.name)?, expected());
    ensure!(values.windows(2).all(|pair| pair[0] < pair[1]), "values are there twice");
    ensure!(values.iter().all(|value| all.binary_search(value).is_ok()), "foreign values are there");
    // What the transaction held, and nothing else of the job.
    let gone = all.len() - values.len();
    ensure!(gone > 0 && gone < all.len() / 2, "{gone} of {} rows are gone", all.len());
    ensure!(open(&order.name).await?.is_empty(), "transactions are left open");
    Ok(())
}

async fn rescaled() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let mut order = order("rescaled", dir.path())?;
    order.writers = 4;
    let left = dies_before_commit(&order, 1).await?;
    ensure!(left.len() > 1, "of four writers {} had a transaction open", left.len());
    // The next process first commits what these prepared, then dies at a transaction of its own.
    order.writers = 1;
    let named: Vec<String> = left.into_iter().map(|one| one.id).collect();
    let left = dies_before_commit(&order, 5).await?;
    ensure!(left.iter().any(|one| !named.contains(&one.id)), "none of its own is open: {left:?}");
    order.writers = 3;
    finish(&order).await
}
