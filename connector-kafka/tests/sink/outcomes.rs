//! The rows of the outcome tables that the README says a broker shows.

use std::time::Duration;

use connector_api::factory::Span;
use connector_api::sink::{Flush, Outcome, Proof};
use connector_kafka::sink::{KafkaCommittable, SinkOptions};
use libtest_mimic::{Failed, Trial};

use super::broker::{self, ensure};
use super::hand::{Process, context, env, going_back, options};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("what_another_process_prepared_is_committed_once", another_process),
        broker::trial("the_producer_that_lives_commits_and_a_second_process_finds_it", live_then_found),
        broker::trial("an_earlier_commit_is_told_from_the_open_transaction_that_followed_it", followed),
        broker::trial("what_was_aborted_is_lost", aborted),
        broker::trial("what_timed_out_is_lost", timed_out),
        broker::trial("what_was_fenced_is_told_from_what_is_lost", fenced),
        broker::trial("an_id_that_the_cluster_does_not_know_is_lost", unknown),
        broker::trial("another_cluster_commits_nothing", another_cluster),
        broker::trial("a_broker_answers_end_txn_as_the_table_says", answers),
        broker::trial("an_id_rests_until_a_checkpoint_is_complete_that_does_not_name_it", resting),
        broker::trial("an_id_that_a_savepoint_names_is_never_used_again", savepoints),
        broker::trial("a_checkpoint_fails_when_its_transaction_is_not_open", not_open),
    ]
}

macro_rules! expect {
    ($outcome:expr, $pattern:pat) => {
        match $outcome {
            $pattern => {}
            other => return Err(format!("{other:?}").into()),
        }
    };
}

const FOUND: Proof = Proof::TransactionCommitted;

/// How often each end of a transaction was counted in this process; other tests count, too.
fn counts() -> [u64; 4] {
    use connector_kafka::sink::metrics as names;
    [
        names::TRANSACTIONS_COMMITTED,
        names::TRANSACTIONS_FOUND_COMMITTED,
        names::TRANSACTIONS_ABORTED,
        names::TRANSACTIONS_LOST,
    ]
    .map(super::kept::counter)
}

async fn another_process() -> Result<(), Failed> {
    let before = counts();
    let options = options("another-process")?;
    let mut first = Process::open(&options, context(1, 1)).await?;
    let prepared = first.prepare(&["a", "b"]).await?;
    // Prepared for a checkpoint that nobody completes.
    first.prepare(&["never"]).await?;
    drop(first);
    let mut second = Process::committing(&options, context(1, 2)).await?;
    ensure!(
        second.sweep(std::slice::from_ref(&prepared)).await? == 1,
        "the open transaction goes, the prepared one stays"
    );
    expect!(second.commit(&prepared).await?, Outcome::Committed);
    ensure!(broker::values("another-process")? == ["a", "b"], "{:?}", broker::values("another-process")?);
    expect!(second.commit(&prepared).await?, Outcome::AlreadyCommitted { proof: FOUND });
    ensure!(second.sweep(&[]).await? == 0, "nothing is open any more");
    let grown: Vec<bool> = counts().iter().zip(before).map(|(now, before)| *now > before).collect();
    ensure!(grown[..3] == [true; 3], "committed, found and aborted were not all counted: {grown:?}");
    let java = super::java_values("another-process")?;
    ensure!(java == ["a", "b"], "a Java reader sees {java:?}");
    Ok(())
}

async fn live_then_found() -> Result<(), Failed> {
    let options = options("live-then-found")?;
    let mut process = Process::open(&options, context(1, 1)).await?;
    let prepared = process.prepare(&["a"]).await?;
    expect!(process.commit(&prepared).await?, Outcome::Committed);
    ensure!(broker::values("live-then-found")? == ["a"], "visible with the outcome");
    let mut second = Process::committing(&options, context(1, 2)).await?;
    expect!(second.commit(&prepared).await?, Outcome::AlreadyCommitted { proof: FOUND });
    Ok(())
}

/// Commits checkpoint after checkpoint until an id is used again.
async fn used_again(
    process: &mut Process,
    name: &str,
) -> Result<(KafkaCommittable, KafkaCommittable), Failed> {
    let mut before: Vec<KafkaCommittable> = Vec::new();
    for round in 0..6 {
        let prepared = process.prepare(&[&format!("{name} {round}")]).await?;
        if let Some(old) = before.iter().find(|old| old.transactional_id == prepared.transactional_id) {
            return Ok((old.clone(), prepared));
        }
        expect!(process.commit(&prepared).await?, Outcome::Committed);
        before.push(prepared);
    }
    Err("no id was used again within six checkpoints".into())
}

/// FLINK-40626: the id of an earlier checkpoint is in use again. Its open transaction is not what is to be committed.
async fn followed() -> Result<(), Failed> {
    let options = options("followed")?;
    let mut process = Process::open(&options, context(1, 1)).await?;
    let (old, new) = used_again(&mut process, "row").await?;
    ensure!(old.epoch == new.epoch && old.started_at < new.started_at, "{old:?} {new:?}");
    let before = broker::values("followed")?;
    drop(process);
    let mut second = Process::committing(&options, context(1, 2)).await?;
    expect!(second.commit(&old).await?, Outcome::AlreadyCommitted { proof: FOUND });
    ensure!(
        broker::values("followed")? == before,
        "the later transaction was committed in place of the earlier one"
    );
    // The reference to the earlier one does not keep the later one.
    ensure!(second.sweep(&[old]).await? == 1, "an open transaction is kept by the name of its id alone");
    let java = super::java_values("followed")?;
    ensure!(java == before, "a Java reader sees {java:?} in place of {before:?}");
    let again = broker::values("followed")?;
    ensure!(again == before, "librdkafka sees {again:?} in place of {before:?}");
    Ok(())
}

async fn aborted() -> Result<(), Failed> {
    let options = options("aborted")?;
    let mut process = Process::open(&options, context(1, 1)).await?;
    let prepared = process.prepare(&["gone"]).await?;
    drop(process);
    let transactions = broker::transactions()?;
    let found = transactions.describe(&prepared.transactional_id).await?.ok_or("unknown id")?;
    ensure!(transactions.end(&found, false).await? == 0, "it is aborted");
    let mut second = Process::committing(&options, context(1, 2)).await?;
    let reason = match second.commit(&prepared).await? {
        Outcome::Lost { reason } => reason,
        other => return Err(format!("{other:?}").into()),
    };
    ensure!(reason.contains(&prepared.transactional_id), "{reason}");
    ensure!(broker::values("aborted")?.is_empty(), "nothing of it is visible");
    Ok(())
}

async fn timed_out() -> Result<(), Failed> {
    let timeout = Some(Span(Duration::from_secs(1)));
    let options = SinkOptions { transaction_timeout: timeout, ..options("timed-out")? };
    let mut process = Process::open(&options, context(1, 1)).await?;
    let prepared = process.prepare(&["gone"]).await?;
    let transactions = broker::transactions()?;
    while transactions.describe(&prepared.transactional_id).await?.is_none_or(|found| found.is_open()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let after = transactions.describe(&prepared.transactional_id).await?.ok_or("unknown id")?;
    ensure!(after.epoch > prepared.epoch, "the time-out makes a new epoch: {after:?}");
    // The producer that lives is no witness.
    expect!(process.commit(&prepared).await?, Outcome::Lost { .. });
    let mut second = Process::committing(&options, context(1, 2)).await?;
    expect!(second.commit(&prepared).await?, Outcome::Lost { .. });
    Ok(())
}

async fn fenced() -> Result<(), Failed> {
    let options = options("fenced")?;
    let mut process = Process::open(&options, context(1, 1)).await?;
    let prepared = process.prepare(&["whose"]).await?;
    drop(process);
    broker::transactions()?.abort(&prepared.transactional_id).await?;
    let mut second = Process::committing(&options, context(1, 2)).await?;
    let error = match second.commit(&prepared).await? {
        Outcome::Fatal(error) => error.to_string(),
        other => return Err(format!("{other:?}").into()),
    };
    ensure!(error.contains("another producer has its id"), "{error}");
    let mut back = Process::committing(&options, going_back(context(1, 3))).await?;
    expect!(back.commit(&prepared).await?, Outcome::AlreadyCommitted { .. });
    Ok(())
}

/// One that was never prepared.
async fn made_up(name: &str) -> Result<(SinkOptions, KafkaCommittable), Failed> {
    let options = options(name)?;
    let mut process = Process::open(&options, context(1, 1)).await?;
    let prepared = process.prepare(&["x"]).await?;
    expect!(process.commit(&prepared).await?, Outcome::Committed);
    Ok((options, prepared))
}

async fn unknown() -> Result<(), Failed> {
    let (options, prepared) = made_up("unknown").await?;
    let forgotten =
        KafkaCommittable { transactional_id: format!("{}9", prepared.transactional_id), ..prepared };
    let mut second = Process::committing(&options, context(1, 2)).await?;
    let before = counts()[3];
    expect!(second.commit(&forgotten).await?, Outcome::Lost { .. });
    ensure!(counts()[3] > before, "what was lost was not counted");
    Ok(())
}

async fn another_cluster() -> Result<(), Failed> {
    let (options, prepared) = made_up("another-cluster").await?;
    let elsewhere = KafkaCommittable { cluster_id: "elsewhere".into(), ..prepared };
    let mut second = Process::committing(&options, context(1, 2)).await?;
    expect!(second.commit(&elsewhere).await?, Outcome::Fatal(_));
    Ok(())
}

async fn answers() -> Result<(), Failed> {
    const NONE: i16 = 0;
    const INVALID_TXN_STATE: i16 = 48;
    const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
    const CONCURRENT_TRANSACTIONS: i16 = 51;
    const PRODUCER_FENCED: i16 = 90;
    let mut process = Process::open(&options("answers")?, context(1, 1)).await?;
    let prepared = process.prepare(&["x"]).await?;
    let transactions = broker::transactions()?;
    let open = transactions.describe(&prepared.transactional_id).await?.ok_or("unknown id")?;
    let with = |epoch, producer_id| connector_kafka::transactions::Transaction {
        epoch,
        producer_id,
        ..open.clone()
    };
    for (transaction, commit, answer) in [
        (with(open.epoch + 1, open.producer_id), true, PRODUCER_FENCED),
        (with(open.epoch, open.producer_id + 1_000), true, INVALID_PRODUCER_ID_MAPPING),
        (open.clone(), true, NONE),
    ] {
        let code = transactions.end(&transaction, commit).await?;
        ensure!(code == answer, "answered {code}, the table says {answer}");
    }
    // At once: the markers are on their way.
    let again = transactions.end(&open, true).await?;
    ensure!(matches!(again, NONE | CONCURRENT_TRANSACTIONS), "answered {again}");
    while transactions.describe(&open.id).await?.is_none_or(|found| found.state != "CompleteCommit") {
        env().clock.sleep(Duration::from_millis(5)).await;
    }
    let code = transactions.end(&open, false).await?;
    ensure!(code == INVALID_TXN_STATE, "an abort after the commit was answered {code}");
    Ok(())
}

async fn not_open() -> Result<(), Failed> {
    let mut process = Process::open(&options("not-open")?, context(1, 1)).await?;
    process.write(&["x"]).await?;
    // The client has not heard of it when it is asked to flush: only the coordinator knows.
    let transactions = broker::transactions()?;
    let mut ids = Vec::new();
    while ids.is_empty() {
        ids = transactions.list("not-open-").await?;
        ids.retain(|found| found.state == "Ongoing");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(transactions.end(&ids[0], false).await? == 0, "it is aborted");
    let error = match process.checkpoint(Flush::Checkpoint).await {
        Err(error) => error.to_string(),
        Ok(staged) => return Err(format!("the checkpoint names {staged:?}").into()),
    };
    ensure!(error.contains("must be open"), "{error}");
    Ok(())
}

async fn resting() -> Result<(), Failed> {
    let mut process = Process::open(&options("resting")?, context(1, 1)).await?;
    let first = process.prepare(&["1"]).await?;
    let second = process.prepare(&["2"]).await?;
    ensure!(first.transactional_id != second.transactional_id, "used again before its commit");
    expect!(process.commit(&first).await?, Outcome::Committed);
    // The second checkpoint was taken before the first one's outcome was known, and may be restored still: it names the first id.
    expect!(process.commit(&second).await?, Outcome::Committed);
    let third = process.prepare(&["3"]).await?;
    let known = [&first, &second].map(|one| one.transactional_id.clone());
    ensure!(!known.contains(&third.transactional_id), "used again while a checkpoint names it: {third:?}");
    // The third was taken after both outcomes, and is complete.
    expect!(process.commit(&third).await?, Outcome::Committed);
    let fourth = process.prepare(&["4"]).await?;
    ensure!(known.contains(&fourth.transactional_id), "not used again: {fourth:?}");
    Ok(())
}

async fn savepoints() -> Result<(), Failed> {
    let mut process = Process::open(&options("savepoints")?, context(1, 1)).await?;
    let aborted = process.prepare(&["0"]).await?;
    process.write(&["1"]).await?;
    let named = process.checkpoint(Flush::Savepoint).await?;
    let kept: Vec<String> = named.iter().chain([&aborted]).map(|one| one.transactional_id.clone()).collect();
    for committable in [vec![aborted], named].concat() {
        expect!(process.commit(&committable).await?, Outcome::Committed);
    }
    for round in 0..6 {
        let prepared = process.prepare(&[&round.to_string()]).await?;
        ensure!(
            !kept.contains(&prepared.transactional_id),
            "{} is in a savepoint",
            prepared.transactional_id
        );
        expect!(process.commit(&prepared).await?, Outcome::Committed);
    }
    Ok(())
}
