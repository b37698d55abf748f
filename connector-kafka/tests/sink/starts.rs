//! What happens before the first row: others under the prefix, dead attempts, what the cluster allows.

use std::time::Duration;

use connector_api::Error;
use connector_api::factory::Span;
use connector_api::id::RunId;
use connector_api::sink::{Outcome, WriterContext};
use connector_kafka::sink::SinkOptions;
use libtest_mimic::{Failed, Trial};

use super::broker::{self, ensure};
use super::hand::{Process, context, options};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("two_jobs_with_one_prefix_are_told_from_each_other", two_jobs),
        broker::trial("a_longer_prefix_is_another_prefix", longer_prefix),
        broker::trial(
            "open_transactions_of_ancestors_and_of_writers_that_are_no_more_are_aborted",
            ancestors,
        ),
        broker::trial("the_transaction_timeout_is_checked_against_cluster_and_interval", timeouts),
    ]
}

fn option_of<T>(result: Result<T, Error>) -> Result<(String, String), Failed> {
    match result {
        Err(Error::Config { option, reason }) => Ok((option, reason)),
        Err(other) => Err(other.into()),
        Ok(_) => Err("it was not refused".into()),
    }
}

async fn two_jobs() -> Result<(), Failed> {
    let options = options("two-jobs")?;
    let mut first = Process::open(&options, context(1, 1)).await?;
    first.write(&["open"]).await?;
    let prepared = first.prepare(&["prepared"]).await?;
    let (option, reason) = option_of(Process::open(&options, context(2, 1)).await)?;
    ensure!(option == "transactional_id_prefix", "{option}: {reason}");
    ensure!(reason.contains(&prepared.transactional_id) && reason.contains("take_over"), "{reason}");
    // Its sweep, which comes first, touches nothing of the other.
    let other = Process::committing(&options, context(2, 1)).await?;
    ensure!(other.sweep(&[]).await? == 0, "it swept what another run made");
    let forcing = SinkOptions { take_over: true, ..options.clone() };
    let mut second = Process::open(&forcing, context(2, 1)).await?;
    let written = second.prepare(&["second"]).await?;
    expect_committed(&second.commit(&written).await?)?;
    // The first is told that it was fenced, and publishes nothing more.
    match first.commit(&prepared).await? {
        Outcome::Fatal(_) => {}
        other => return Err(format!("{other:?}").into()),
    }
    ensure!(broker::values("two-jobs")? == ["second"], "{:?}", broker::values("two-jobs")?);
    Ok(())
}

fn expect_committed<C: std::fmt::Debug>(outcome: &Outcome<C>) -> Result<(), Failed> {
    match outcome {
        Outcome::Committed => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

async fn longer_prefix() -> Result<(), Failed> {
    let mut other = Process::open(&options("longer-prefix")?, context(1, 1)).await?;
    let prepared = other.prepare(&["x"]).await?;
    let short = SinkOptions::topic(broker::bootstrap()?, "longer").exactly_once("longer");
    Process::open(&short, context(2, 1)).await?;
    expect_committed(&other.commit(&prepared).await?)
}

async fn ancestors() -> Result<(), Failed> {
    let options = options("ancestors")?;
    let parent = Process::open(&options, WriterContext { parallelism: 4, ..context(1, 1) }).await?;
    let (mut open, mut needed) = (Vec::new(), None);
    for subtask in 0..4 {
        let context = WriterContext { subtask, parallelism: 4, ..context(1, 1) };
        let mut writer = Process::open(&options, context).await?;
        if subtask == 3 {
            needed = Some(writer.prepare(&["needed"]).await?);
        }
        writer.write(&["open"]).await?;
        // What was sent is on its way: without it the transaction has not begun for the broker.
        let list = || async {
            broker::transactions()?
                .list(&format!("ancestors-0000000000000001-1.{subtask}."))
                .await
                .map_err(Failed::from)
        };
        while list().await?.iter().filter(|found| found.state == "Ongoing").count()
            < 1 + usize::from(subtask == 3)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        open.push(writer);
    }
    drop((parent, open));
    let needed = needed.ok_or("nothing was prepared")?;
    let child = WriterContext { ancestors: [RunId(1)].into(), ..context(2, 1) };
    let mut child = Process::open(&options, child).await?;
    let swept = child.sweep(std::slice::from_ref(&needed)).await?;
    ensure!(swept == 4, "{swept} of 4 were aborted");
    expect_committed(&child.commit(&needed).await?)?;
    ensure!(broker::values("ancestors")? == ["needed"], "{:?}", broker::values("ancestors")?);
    Ok(())
}

async fn timeouts() -> Result<(), Failed> {
    let plain = options("timeouts")?;
    let with = |minutes: u64| {
        let transaction_timeout = Some(Span(Duration::from_secs(60 * minutes)));
        SinkOptions { transaction_timeout, ..plain.clone() }
    };
    let (option, reason) = option_of(Process::open(&with(16), context(1, 1)).await)?;
    ensure!(option == "transaction_timeout" && reason.contains("900s"), "{option}: {reason}");
    let slow = || WriterContext { checkpoint_interval: Some(Duration::from_secs(600)), ..context(1, 1) };
    let (option, reason) = option_of(Process::open(&with(15), slow()).await)?;
    ensure!(option == "transaction_timeout" && reason.contains("600s"), "{option}: {reason}");
    let (option, _) = option_of(Process::open(&plain, slow()).await)?;
    ensure!(option == "transaction_timeout", "{option}");
    // Left out, it is what the cluster allows.
    let mut process = Process::open(&plain, context(1, 1)).await?;
    let prepared = process.prepare(&["x"]).await?;
    let found = broker::transactions()?.describe(&prepared.transactional_id).await?.ok_or("unknown id")?;
    ensure!(found.timeout == Duration::from_secs(900), "{found:?}");
    Ok(())
}
