//! `connect kafka transactions`: what transactions a cluster has, and an end to one that nobody else will end.

use std::time::Duration;

use connector_kafka::connection::Connection;
use connector_kafka::transactions::{Transaction, Transactions};
use serde::Serialize;

use crate::args::{
    ClusterArgs, KafkaCommand, TransactionsAbortArgs, TransactionsCommand, TransactionsListArgs,
};
use crate::failure::Failure;
use crate::output;

/// One line of the list.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    state: &'a str,
    open: bool,
    producer_id: i64,
    epoch: i16,
    /// Milliseconds since the Unix epoch; null when none has begun.
    started_at: Option<i64>,
    timeout_ms: u64,
}

impl<'a> Line<'a> {
    fn of(transaction: &'a Transaction) -> Self {
        Self {
            id: &transaction.id,
            state: &transaction.state,
            open: transaction.is_open(),
            producer_id: transaction.producer_id,
            epoch: transaction.epoch,
            started_at: transaction.started_at,
            timeout_ms: u64::try_from(transaction.timeout.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Does what the command says.
pub(crate) async fn kafka(command: &KafkaCommand) -> Result<(), Failure> {
    let KafkaCommand::Transactions(command) = command;
    match command {
        TransactionsCommand::List(args) => list(args).await,
        TransactionsCommand::Abort(args) => abort(args).await,
    }
}

fn transactions(cluster: &ClusterArgs) -> Result<Transactions, Failure> {
    let ClusterArgs { bootstrap_servers, properties } = cluster;
    let connection = Connection {
        bootstrap_servers: bootstrap_servers.clone(),
        properties: properties.iter().cloned().collect(),
    };
    let env = connector_runtime::local::environment();
    Transactions::of(&env, &connection).map_err(|e| Failure::Configuration(e.to_string()))
}

async fn list(args: &TransactionsListArgs) -> Result<(), Failure> {
    let mut all = transactions(&args.cluster)?.list(&args.prefix).await.map_err(failed)?;
    all.retain(|transaction| !args.open || transaction.is_open());
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let lines: Vec<_> = all.iter().map(Line::of).collect();
    if args.json {
        let text = serde_json::to_string(&serde_json::json!({ "transactions": lines }));
        output::line(&text.map_err(|e| Failure::Surroundings(e.to_string()))?);
        return Ok(());
    }
    let width = all.iter().map(|transaction| transaction.id.len()).max().unwrap_or(2).max(2);
    output::line(&format!(
        "{:width$}  {:17}  {:>12}  {:>5}  {:>9}",
        "id", "state", "producer", "epoch", "timeout"
    ));
    for Transaction { id, state, producer_id, epoch, timeout, .. } in &all {
        let timeout = Duration::from_secs(timeout.as_secs());
        output::line(&format!(
            "{id:width$}  {state:17}  {producer_id:>12}  {epoch:>5}  {:>9}",
            format!("{timeout:?}")
        ));
    }
    Ok(())
}

async fn abort(args: &TransactionsAbortArgs) -> Result<(), Failure> {
    let transactions = transactions(&args.cluster)?;
    let Some(found) = transactions.describe(&args.id).await.map_err(failed)? else {
        return Err(Failure::Surroundings(format!("the cluster knows no transactional id `{}`", args.id)));
    };
    if !found.is_open() {
        return Err(Failure::Surroundings(format!(
            "`{}` is {}: there is nothing to abort",
            args.id, found.state
        )));
    }
    transactions.abort(&args.id).await.map_err(failed)?;
    output::line(&format!("`{}` is aborted, and its producer fenced", args.id));
    Ok(())
}

fn failed(error: connector_api::Error) -> Failure {
    Failure::Surroundings(error.to_string())
}
