//! A broker that restarts, and a network that loses answers: on a broker of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector_api::env::CrashPoints;
use connector_api::sink::{Outcome, WriterContext};
use connector_kafka::connection::Connection;
use connector_kafka::sink::SinkOptions;
use connector_kafka::transactions::Transactions;
use libtest_mimic::{Failed, Trial};
use testkit::brokers::{Broker, Kafka};
use testkit::proxy::{Direction, Proxy, Reach};

use super::broker::{self, ensure};
use super::hand::{Process, context, env};
use super::java;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("what_was_prepared_outlives_a_kill_of_the_broker", broker_dies),
        broker::trial("clusters_of_every_transaction_version_that_is_taken_were_tried", versions),
        broker::trial("a_commit_whose_answer_is_swallowed_is_committed_once", answer_swallowed),
        broker::trial(
            "a_commit_whose_connection_is_reset_before_the_answer_is_committed_once",
            answer_cut_off,
        ),
        broker::trial("a_cluster_that_can_t_be_reached_is_a_reason_to_try_again", unreachable),
    ]
}

fn options(bootstrap: &str, name: &str) -> SinkOptions {
    SinkOptions::topic(bootstrap, name).exactly_once(name)
}

async fn broker_dies() -> Result<(), Failed> {
    let mut kafka = Broker::start(Kafka::new())?;
    let bootstrap = kafka.address().to_string();
    let options = options(&bootstrap, "broker-dies");
    let mut first = Process::open(&options, context(1, 1)).await?;
    let by_another = first.prepare(&["a"]).await?;
    let by_itself = first.prepare(&["b"]).await?;
    kafka.kill()?;
    kafka.restart()?;
    let mut second = Process::committing(&options, context(1, 2)).await?;
    // The coordinator is loading at first.
    for (process, committable) in [(&mut second, &by_another), (&mut first, &by_itself)] {
        match process.commit(committable).await? {
            Outcome::Committed => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    let values = broker::values_at(&bootstrap, "broker-dies")?;
    ensure!(values == ["a", "b"], "{values:?}");
    // And it writes on.
    let third = first.prepare(&["c"]).await?;
    match first.commit(&third).await? {
        Outcome::Committed => {}
        other => return Err(format!("{other:?}").into()),
    }
    let values = broker::values_at(&bootstrap, "broker-dies")?;
    ensure!(values == ["a", "b", "c"], "{values:?}");
    Ok(())
}

async fn answer_swallowed() -> Result<(), Failed> {
    answer_lost("answer-swallowed", false).await
}

async fn answer_cut_off() -> Result<(), Failed> {
    answer_lost("answer-cut-off", true).await
}

/// EndTxn reaches the broker, and its answer is swallowed; or the connection is reset once the broker has done it.
async fn answer_lost(name: &'static str, is_reset: bool) -> Result<(), Failed> {
    let proxy = Arc::new(Proxy::listen()?);
    let kafka = Broker::start(Kafka::new().behind(proxy.address()))?;
    proxy.forward_to(kafka.address_of(Kafka::PROXIED));
    let direct = kafka.address().to_string();
    let prepared = Process::open(&options(&direct, name), context(1, 1)).await?.prepare(&["once"]).await?;
    let mut context: WriterContext = context(1, 2);
    let (swallowing, hit) = (proxy.clone(), Arc::new(AtomicBool::new(false)));
    let once = hit.clone();
    context.env.crash = CrashPoints::new(move |point| {
        if point == "kafka-committer/after-look" && !once.swap(true, Ordering::SeqCst) {
            swallowing.black_hole(Direction::ToClient, Reach::Existing);
        }
    });
    let mut second = Process::committing(&options(&proxy.address().to_string(), name), context).await?;
    let begun = tokio::time::Instant::now();
    let resetting = async {
        if is_reset {
            let connection = Connection { bootstrap_servers: direct.clone(), properties: Default::default() };
            let transactions = Transactions::of(&env(), &connection)?;
            while transactions.describe(&prepared.transactional_id).await?.is_none_or(|found| found.is_open())
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            proxy.reset_all();
        }
        Ok::<_, Failed>(())
    };
    let (committed, reset) = futures::join!(second.commit(&prepared), resetting);
    reset?;
    match committed? {
        Outcome::Committed => {}
        other => return Err(format!("{other:?}").into()),
    }
    ensure!(hit.load(Ordering::SeqCst), "no answer was lost");
    ensure!(
        !is_reset || begun.elapsed() < Duration::from_secs(9),
        "it waited {:?} for an answer",
        begun.elapsed()
    );
    let values = broker::values_at(&direct, name)?;
    ensure!(values == ["once"], "{values:?}");
    Ok(())
}

async fn unreachable() -> Result<(), Failed> {
    let mut kafka = Broker::start(Kafka::new())?;
    let bootstrap = kafka.address().to_string();
    let options = options(&bootstrap, "unreachable");
    let prepared = Process::open(&options, context(1, 1)).await?.prepare(&["later"]).await?;
    kafka.kill()?;
    let mut second = Process::committing(&options, context(1, 2)).await?;
    let begun = tokio::time::Instant::now();
    match second.commit(&prepared).await? {
        Outcome::Retry { .. } => {}
        other => return Err(format!("{other:?}").into()),
    }
    ensure!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    kafka.restart()?;
    match second.commit(&prepared).await? {
        Outcome::Committed => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// From 2, where a cluster begins today, down to 0, the level of old ones.
async fn versions() -> Result<(), Failed> {
    let kafka = Broker::start(Kafka::new())?;
    let (bootstrap, pid) = (kafka.address().to_string(), kafka.pid().ok_or("the broker is no process")?);
    let connection = Connection { bootstrap_servers: bootstrap.clone(), properties: Default::default() };
    for level in [2_i16, 1, 0] {
        if level < 2 {
            java::run(pid, "SetFeature", &[&bootstrap, "transaction.version", &level.to_string()])?;
        }
        let mut left = 50;
        // The broker hears of it from the controller a little later; level 0 is no level.
        while Transactions::of(&env(), &connection)?.feature("transaction.version").await?.unwrap_or(0)
            != level
        {
            ensure!(left > 0, "the cluster did not come to level {level}");
            left -= 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let name = format!("version-{level}");
        let options = options(&bootstrap, &name);
        let mut first = Process::open(&options, context(1, 1)).await?;
        let (by_another, by_itself) = (first.prepare(&["a"]).await?, first.prepare(&["b"]).await?);
        let mut second = Process::committing(&options, context(1, 2)).await?;
        for (process, committable) in [(&mut second, &by_another), (&mut first, &by_itself)] {
            match process.commit(committable).await? {
                Outcome::Committed => {}
                other => return Err(format!("at level {level}: {other:?}").into()),
            }
        }
        for committable in [&by_another, &by_itself] {
            match second.commit(committable).await? {
                Outcome::AlreadyCommitted { .. } => {}
                other => return Err(format!("at level {level}: {other:?}").into()),
            }
        }
        let values = broker::values_at(&bootstrap, &name)?;
        ensure!(values == ["a", "b"], "at level {level}: {values:?}");
    }
    Ok(())
}
